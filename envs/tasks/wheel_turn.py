"""Turning a wheel with the Shadow hand on an arm."""

from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np
import torch
from torch import Tensor

from .. import ASSETS
from ..arrays import beside
from ..hand import SHADOW_HAND, attach_arm, attach_hand, compiled
from ..task_state import TaskState
from .manipulation import Contacts, Draw, Manipulation, matrix, ramp, turned
from .shadow_hand_grasp import ABOVE

_HEIGHT = 0.02  # of the wheel's centre [m]
_PEG = (0.07, 0.03)  # of a peg's axis from the wheel's, and of the pushing finger above its centre [m]
_BESIDE, _OPEN = 0.015, 0.032  # of that finger from the peg's axis, and farther while the hand comes down [m]
_PUSHING, _STOP = (1.4, 3.0), 0.02  # when it pushes [s], and where it stops before the goal, for wheels roll on [rad]
_FOLLOWING = 0.3  # share of a finger beside the one that pushes, of whose share
_UP = (0.0, 0.0, 1.0)


class WheelTurn(Manipulation):
    """A wheel with four pegs shall turn by 0.3 to 1.2 rad to one side. See `Manipulation`.

    The wheel stands within 5 cm (in x and in y) of the place below the hand, at a random angle. Success: within
    0.1 rad. The episode has 80 steps, 4 s.

    Args:
        hand_xml: another hand's MJCF; see `envs.hand`.
        weights, contact_softness, randomize: see `Manipulation`.
    """

    weights = Manipulation.weights | {"position": 0.0, "orientation": 20.0}

    def __init__(
        self,
        hand_xml: str | Path = SHADOW_HAND,
        weights: Mapping[str, float] | None = None,
        backend: str = "sim",
        contact_softness: float = 0.0,
        randomize: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        scene = mujoco.MjSpec.from_file(str(ASSETS / "wheel_turn.xml"))
        attach_arm(scene, "base")
        attach_hand(scene, "flange", hand_xml)
        model = compiled(scene, ABOVE)
        self._stand_body = model.body("stand").id
        super().__init__(model, backend, 80, weights, (0.0, 0.0, _HEIGHT), contact_softness, randomize)
        tips = torch.arange(len(self.tips))
        thumb = tips == self.start_tips[:, 0].argmin()
        across = self.start_tips[:, 1].masked_fill(thumb, 0.0)  # no thumb pushes
        pushing = across.argmin(), across.argmax()  # to either side
        self._row = torch.stack([self.start_tips - self.start_tips[i] for i in pushing])
        shares = [torch.where(tips == i, 1.0, _FOLLOWING * ~thumb).double() for i in pushing]
        self._shares = torch.stack([share / share.sum() for share in shares])

    def draw(self, rng: np.random.Generator) -> Draw:
        """Where the wheel stands, its angle, and the goal's."""
        place = np.array([*rng.uniform(-0.05, 0.05, 2), _HEIGHT])
        upright, angle = np.array([1.0, 0.0, 0.0, 0.0]), rng.uniform(-np.pi / 4, np.pi / 4)
        goal = angle + rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.2)
        # The stand is turned, not the wheel on it, so that the state keeps where the wheel came from.
        poses = {"stand": (place, turned(upright, _UP, angle)), "goal": (place, turned(upright, _UP, goal))}
        return Draw(np.zeros(1), poses)

    def contacts(self, state: TaskState) -> Contacts:
        """One finger behind the peg on the blue spoke, which it is to push: the outer one on the side of the push.

        It comes down beside where the peg is at the start in 0.8 s, to the peg until 1.2 s, and goes from there to
        where the peg is at the goal until 3 s, gently at first and last, since a wheel that is hit rolls on. The
        other fingers keep their places in the row, behind it.
        """
        seconds = self.seconds(state)
        stand, angle, part = self._plan(state)
        side, sign = (angle > 0.0).long(), angle.sign()
        behind = _BESIDE + _OPEN * (1.0 - ramp(seconds, 0.8, 1.2))
        above = _PEG[1] + 0.05 - 0.02 * ramp(seconds, 0.0, 0.5) - 0.03 * ramp(seconds, 0.5, 0.8)
        turned_by = (angle - sign * _STOP) * part
        along, across = turned_by.cos(), turned_by.sin()
        # Of the peg's place on the wheel, so turned, (_PEG[0], -sign * behind).
        x = _PEG[0] * along + sign * behind * across
        y = _PEG[0] * across - sign * behind * along
        point = stand @ torch.stack([x, y, above], dim=-1)[..., None]
        row, shares = beside(self._row, point), beside(self._shares, point)
        return Contacts(point.squeeze(-1)[..., None, :] + row[side], shares[side])

    def _plan(self, state: TaskState) -> tuple[Tensor, Tensor, Tensor]:
        """The stand's rotation (..., 3, 3), the goal's angle from there [rad] and how much of it is due, (...)."""
        # Stand and goal stay where they are: the side of the push lasts an episode.
        stand, goal = matrix(state.kinematics.xquat[..., [self._stand_body, self.goal_body], :]).detach().unbind(-3)
        turn = stand.transpose(-1, -2) @ goal
        part = ramp(self.seconds(state), *_PUSHING)
        return stand, torch.atan2(turn[..., 1, 0], turn[..., 0, 0]), part.square() * (3.0 - 2.0 * part)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        """As of every manipulation, but for the angle until 3 s: then it is the one that is due which counts.

        Whoever is paid for the goal from the first on hits the wheel, and it rolls past.
        """
        terms = super().reward_terms(state, action, next_state)
        if "orientation" in terms:
            _, angle, part = self._plan(next_state)
            behind = angle * part - next_state.qpos[..., self._object_qpos].squeeze(-1)
            terms["orientation"] = -(self.constants["orientation"] * behind.square()).log1p()
        return terms

    def success(self, state: TaskState) -> Tensor:
        """Whether the wheel is within 0.1 rad of the goal, (...) bool."""
        return self.orientation_error(state) < 0.1

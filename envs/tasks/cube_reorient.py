"""Turning a cube: between two fingers, or in the Shadow hand."""

import math
from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np
import torch
from torch import Tensor

from .. import ASSETS
from ..arrays import beside
from ..hand import FINGER_RATE, SHADOW_HAND, attach_hand, command_rates, compiled
from ..task_state import TaskState
from .manipulation import Contacts, Draw, Manipulation, matrix, turned

_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
_LIFT = 0.05  # of the goal of the two fingers, which turn the cube above the table [m]
_TWO_FINGERS = {
    f"{side}_{joint}": angle for side in ("left", "right") for joint, angle in (("hip", 0.289), ("knee", 1.192))
}
_BOWL = {
    **{f"{f}J{k}": angle for f in ("FF", "MF", "RF", "LF") for k, angle in ((3, 0.3), (2, 0.8), (1, 0.8))},
    **{"THJ5": 0.6, "THJ4": 0.5, "THJ2": -0.2, "THJ1": 0.3},
}
_BESIDE = 0.011  # of the centres of two fingertips that press, from the cube's faces [m]
# Where the cube lies in that hand, on the palm and the ring finger.
_IN_BOWL = np.array([0.0202, 0.0, 0.2972])


class CubeReorient(Manipulation):
    """A cube of 5 cm shall turn to an orientation. Observation, action and reward: see `Manipulation`.

    Two fingers of three joints start with their tips 8 mm from two sides of the cube on a table. The goal is 5 cm
    above the start and turned by 0.4 rad to `max_angle` about an axis across the line between the fingers: two
    fingertips cannot turn a cube about their own line. Success: within 0.2 rad.

    With `hand="shadow"` the cube lies in the hand, palm up, and the goal is turned by `flip_angle` about one axis of
    the world. Success: within 0.4 rad. Either way the episode has 60 steps, 3 s.

    Args:
        hand: "two_fingers" or "shadow".
        axis: "x" (along the hand), "y" (across it) or "z" (up), of the flip in the hand.
        max_angle: of the goal of two fingers, at least 0.4 [rad].
        flip_angle: of the goal in the hand [rad].
        hand_xml: another hand's MJCF for `hand="shadow"`, palm and fingers as the Shadow hand's; see `envs.hand`.
        weights, contact_softness, randomize: see `Manipulation`.
    """

    def __init__(  # noqa: PLR0913 (one argument for each setting)
        self,
        hand: str = "two_fingers",
        axis: str = "x",
        max_angle: float = 0.8,
        flip_angle: float = math.pi / 2,
        hand_xml: str | Path = SHADOW_HAND,
        weights: Mapping[str, float] | None = None,
        backend: str = "sim",
        contact_softness: float = 0.0,
        randomize: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        if hand not in ("two_fingers", "shadow"):
            raise ValueError(f'hand={hand!r}: choose "two_fingers" or "shadow"')
        if axis not in _AXES:
            raise ValueError(f"axis={axis!r}: choose one of {', '.join(map(repr, _AXES))}")
        if not 0.4 <= max_angle <= math.pi:
            raise ValueError(f"max_angle={max_angle!r}: must be between 0.4 and pi [rad]")
        if not 0.0 < abs(flip_angle) <= math.pi:
            raise ValueError(f"flip_angle={flip_angle!r}: must be between -pi and pi and not 0 [rad]")
        self._in_hand, self._axis = hand == "shadow", _AXES[axis]
        self._max_angle, self._flip_angle = max_angle, flip_angle
        if self._in_hand:
            scene = mujoco.MjSpec.from_file(str(ASSETS / "cube_in_hand.xml"))
            attach_hand(scene, "mount", hand_xml)
            model, self._place = compiled(scene, _BOWL), _IN_BOWL
        else:
            scene = mujoco.MjSpec.from_file(str(ASSETS / "cube_reorient.xml"))
            command_rates(scene, FINGER_RATE)
            model, self._place = compiled(scene, _TWO_FINGERS), np.array([0.0, 0.0, 0.025])
        self.on_table = not self._in_hand
        # The hand does not hold the cube all the time: fingertips need not be near.
        weights = {"reach": 3.0, "orientation": 8.0, **(weights or {})} if self._in_hand else weights
        self.success_angle = 0.4 if self._in_hand else 0.2
        super().__init__(model, backend, 60, weights, self._place, contact_softness, randomize)

    def draw(self, rng: np.random.Generator) -> Draw:
        """The cube 5 mm (in the hand 3 mm) about its place and 0.1 rad about the vertical, and the goal."""
        noise = 0.003 if self._in_hand else 0.005
        place = self._place + np.array([*rng.uniform(-noise, noise, 2), 0.0])
        quat = turned(np.array([1.0, 0.0, 0.0, 0.0]), _AXES["z"], rng.uniform(-0.1, 0.1))
        if self._in_hand:
            goal = place, turned(quat, self._axis, self._flip_angle)
        else:
            direction = rng.uniform(-math.pi, math.pi)
            axis = math.cos(direction), 0.0, math.sin(direction)
            goal = place + np.array([0.0, 0.0, _LIFT]), turned(quat, axis, rng.uniform(0.4, self._max_angle))
        return Draw(np.concatenate([place, quat]), {"goal": goal})

    def contacts(self, state: TaskState) -> Contacts:
        """Two fingers hold the faces beside them; in the hand all fingertips are asked for near the cube's centre."""
        if self._in_hand:
            return super().contacts(state)
        across = matrix(state.kinematics.xquat[..., self.object_body, :])[..., 1]
        away = 0.025 * self.size(state)[..., None, None] + _BESIDE
        points = beside(self.start_tips, across)[:, 1].sign()[:, None] * away * across[..., None, :]
        return Contacts(points, torch.full_like(points[..., 0], 1.0 / len(self.tips)))

    def success(self, state: TaskState) -> Tensor:
        """Whether the cube is turned to the goal within 0.2 rad, in the hand 0.4 rad; (...) bool."""
        return self.orientation_error(state) < self.success_angle

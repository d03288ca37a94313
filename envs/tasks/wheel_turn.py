"""Turning a wheel with the Shadow hand on an arm."""

from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np
from torch import Tensor

from .. import ASSETS
from ..hand import SHADOW_HAND, attach_arm, attach_hand, compiled
from ..task import TaskState
from .manipulation import Draw, Manipulation, turned
from .shadow_hand_grasp import ABOVE

_HEIGHT = 0.02  # of the wheel's centre [m]
_UP = (0.0, 0.0, 1.0)


class WheelTurn(Manipulation):
    """A wheel with four pegs shall turn by 0.3 to 1.2 rad to one side. See `Manipulation`.

    The wheel stands within 5 cm (in x and in y) of the place below the hand, at a random angle. Success: within
    0.1 rad. The episode has 80 steps, 4 s.

    Args:
        hand_xml: another hand's MJCF; see `envs.hand`.
        weights: see `Manipulation`.
    """

    weights = Manipulation.weights | {"position": 0.0}

    def __init__(
        self, hand_xml: str | Path = SHADOW_HAND, weights: Mapping[str, float] | None = None, backend: str = "sim"
    ) -> None:
        scene = mujoco.MjSpec.from_file(str(ASSETS / "wheel_turn.xml"))
        attach_arm(scene, "base")
        attach_hand(scene, "flange", hand_xml)
        super().__init__(compiled(scene, ABOVE), backend, 80, weights, (0.0, 0.0, _HEIGHT))

    def draw(self, rng: np.random.Generator) -> Draw:
        """Where the wheel stands, its angle, and the goal's."""
        place = np.array([*rng.uniform(-0.05, 0.05, 2), _HEIGHT])
        upright, angle = np.array([1.0, 0.0, 0.0, 0.0]), rng.uniform(-np.pi / 4, np.pi / 4)
        goal = angle + rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.2)
        poses = {"stand": (place, upright), "goal": (place, turned(upright, _UP, goal))}
        return Draw(np.array([angle]), poses)

    def success(self, state: TaskState) -> Tensor:
        """Whether the wheel is within 0.1 rad of the goal, (...) bool."""
        return self.orientation_error(state) < 0.1

"""Planar pushing: fingers move a polygon along a trajectory of poses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import ArrayLike
from torch import Tensor

from ...sim import Model
from ..polygon import Polygon, placed, polygon_of
from ..pushing_goals import checked_trajectory, random_goal
from ..pushing_loss import pose_loss
from ..pushing_scene import KNOT_SECONDS, TOUCHING, View, pushing_scene
from ..task import Task
from ..task_state import TaskState

_RATE = 0.5  # of a command, at most [m/s]
_BEHIND = -0.05  # where goals are pictured, z [m]
_SUCCESS = (0.02, 0.2)  # [m], [rad]
_SMALLEST, _LARGEST = 0.01, 0.25  # of a polygon's radius [m]
_BLOCK = ((-0.05, -0.04), (0.05, -0.04), (0.05, 0.04), (-0.05, 0.04))


class PlanarPushing(Task):
    """A polygon of 1 kg shall be where a trajectory of poses, one every 0.1 s, has it at each time.

    After Aceituno et al., "A Differentiable Recipe for Learning Visual Non-Prehensile Planar Manipulation"; the scene
    is `envs.pushing_scene`. In the plane x is to the right and y up, the angle counterclockwise. The object starts
    at the first pose, at rest; the fingers touch it from the left and from the right (more of them in between, above;
    in the view from the top all around), their commands where they are. Between knots the goal goes linearly, after
    the last it stays. Steps of 0.02 s: 20 for five knots; for more make it with max_episode_steps = 5 (knots - 1).

    Action (2 N) from -1 to 1: rates of the commands, x and y of each finger, times 0.5 m/s. A servo pulls its finger
    to the command, so that one 2 cm inside the object pushes with 10 N.

    Observation (8 N + 4 knots + 12), in world axes: the object's position (2) [m], sine and cosine of its angle,
    velocity (3) [m/s, rad/s]; each finger's way from the object (2 N) [m], its velocity (2 N) [m/s], its command's
    lead (2 N) [m], and its way from where it touched the object at the start (2 N) [m]; the present goal (4) and all
    knots (4 each) from the object: position [m], sine and cosine of the angle; the time in knots over their number.

    Reward: minus the mean squared error of the pose from the present goal, [cm^2] as in `envs.pushing_loss`.
    Success: within 2 cm and 0.2 rad of the last pose.

    Args:
        view: "sagittal", with gravity and ground, or "top", with friction of the support.
        polygon: vertices (F, 2) [m], or a file of them, see `envs.polygon`.
        num_fingers: how many, N.
        knots: poses of a trajectory, T.
        stiffness: of the servos [N/m].
        contact_softness: distance [m] at which contacts begin to push, see `sim.Model`; 0 is MuJoCo's meaning.
        goal: poses (T, 3) [m, m, rad] of every episode; None for random ones, see `envs.pushing_goals`.

    Raises:
        ValueError: an argument is out of its range.
    """

    serves_gpu = False
    n_substeps = 8

    def __init__(
        self,
        view: View = "sagittal",
        polygon: Polygon | ArrayLike | str | Path = _BLOCK,
        num_fingers: int = 2,
        knots: int = 5,
        stiffness: float = 500.0,
        contact_softness: float = 0.0,
        goal: ArrayLike | None = None,
        backend: str = "sim",
    ) -> None:
        if not (isinstance(knots, int) and knots > 1):
            raise ValueError(f"knots={knots!r}: must be an integer of 2 or more")
        self.polygon, self.knots, self.num_fingers = polygon_of(polygon), knots, num_fingers
        if not _SMALLEST <= self.polygon.radius <= _LARGEST:
            size = f"{self.polygon.radius:.3g} m from its centre to a corner"
            raise ValueError(f"polygon: {size}, the fingers reach {_SMALLEST} to {_LARGEST} m: give metres")
        self.view: View = view
        spec = pushing_scene(self.polygon, view, num_fingers, stiffness, integrated=True, goals=knots)
        super().__init__(Model.from_mujoco(spec, contact_softness), backend=backend)
        self._goal = None if goal is None else checked_trajectory(self.polygon, view, goal, knots)
        size = 8 * num_fingers + 4 * knots + 12
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2 * num_fingers,), np.float32)
        self._steps_per_knot = round(KNOT_SECONDS / self.seconds_per_step)
        self.episode_steps = self._steps_per_knot * (knots - 1)

    def initial(self, rng: Sequence[np.random.Generator], params: None = None) -> TaskState:
        """Object and fingers at rest at the first pose of the goal."""
        goals = np.stack(
            [random_goal(self.polygon, self.view, self.knots, one) if self._goal is None else self._goal for one in rng]
        )
        start = self.state_at(self.model.initial_state(), len(rng))
        fingers = torch.from_numpy(placed(self._touching(goals[:, 0, 2]), goals[:, 0])).flatten(1)
        qpos = torch.cat([torch.from_numpy(goals[:, 0]), fingers], dim=-1)
        pos, quat = np.zeros(goals.shape), np.zeros((*goals.shape[:2], 4))
        pos[..., :2], pos[..., 2] = goals[..., :2], _BEHIND
        quat[..., 0], quat[..., 3] = np.cos(goals[..., 2] / 2), np.sin(goals[..., 2] / 2)
        mocap = torch.from_numpy(pos), torch.from_numpy(quat)
        return TaskState(self.model, qpos, start.qvel, fingers.clone(), start.time, *mocap)

    def control(self, action: Tensor) -> Tensor:
        """Rates of the commands for the servos and again for their dampers, (..., 4 N) [m/s]."""
        rates = _RATE * super().control(action)
        return torch.cat([rates, rates], dim=-1)

    def goals(self, state: TaskState) -> Tensor:
        """The trajectory (..., T, 3) [m, m, rad]."""
        assert state.mocap_pos is not None and state.mocap_quat is not None
        # Half angles are in their quadrant, so that an angle does not jump between knots.
        angle = 2.0 * torch.atan2(state.mocap_quat[..., 3], state.mocap_quat[..., 0])
        return torch.cat([state.mocap_pos[..., :2], angle[..., None]], dim=-1)

    def present_goal(self, state: TaskState) -> Tensor:
        """The pose that is due now, (..., 3)."""
        goals, at = self.goals(state), (state.time.double() / self._steps_per_knot).clamp(max=self.knots - 1)
        before = at.long().clamp(max=self.knots - 2)
        index = before[..., None, None].expand(*before.shape, 1, 3)
        first, second = goals.gather(-2, index).squeeze(-2), goals.gather(-2, index + 1).squeeze(-2)
        return first + (at - before)[..., None] * (second - first)

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        """Shape (..., 8 N + 4 T + 12)."""
        pose, fingers = state.qpos[..., :3], state.qpos[..., 3:]
        place, angle = pose[..., :2], pose[..., 2:]
        goals = self.goals(state)
        home = self._home(goals[..., 0, 2], pose)
        away = fingers - torch.cat([place] * self.num_fingers, dim=-1)
        knots = _relative(goals, pose[..., None, :]).flatten(-2)
        time = (state.time.double() / self.episode_steps)[..., None]
        parts = [place, angle.sin(), angle.cos(), state.qvel[..., :3], away, state.qvel[..., 3:], state.act - fingers]
        return torch.cat([*parts, fingers - home, _relative(self.present_goal(state), pose), knots, time], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        """Minus the loss of the pose, (...) [cm^2]."""
        return {"tracking": -pose_loss(next_state.qpos[..., :3], self.present_goal(next_state))}

    def state_info(self, state: TaskState, params: None = None) -> dict[str, Tensor]:
        """Distance and angle to the last pose of the goal, (...) [m] and [rad], and whether both are success."""
        error = state.qpos[..., :3] - self.goals(state)[..., -1, :]
        position, angle = torch.linalg.vector_norm(error[..., :2], dim=-1), error[..., 2].cos().clamp(-1.0, 1.0).acos()
        success = (position < _SUCCESS[0]) & (angle < _SUCCESS[1])
        return {"is_success": success, "position_error": position, "orientation_error": angle}

    def _touching(self, angle: ArrayLike) -> np.ndarray:
        """Where fingers touch the object that starts at an angle (...), centres (..., N, 2) in its frame [m]."""
        n = self.num_fingers
        around = np.linspace(np.pi, 0.0, n) if self.view == "sagittal" else np.pi * (1.0 - 2.0 * np.arange(n) / n)
        from_object = around - np.asarray(angle)[..., None]
        point, normal = self.polygon.towards(np.stack([np.cos(from_object), np.sin(from_object)], axis=-1))
        return self.polygon.clear(point + TOUCHING * normal, TOUCHING)

    def _home(self, start_angle: Tensor, pose: Tensor) -> Tensor:
        """Those places in the world with the object at `pose` (..., 3), (..., 2 N)."""
        local = torch.from_numpy(self._touching(start_angle.detach().numpy()))
        sin, cos = pose[..., None, 2].sin(), pose[..., None, 2].cos()
        x, y = local.unbind(-1)
        world = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1) + pose[..., None, :2]
        return world.flatten(-2)


def _relative(goal: Tensor, pose: Tensor) -> Tensor:
    """Goals from poses, (..., 3) both, to (..., 4): position [m], sine and cosine of the angle."""
    error = goal - pose
    return torch.cat([error[..., :2], error[..., 2:].sin(), error[..., 2:].cos()], dim=-1)

"""Tasks in which an arm brings a ball to rest at a target: throwing and golf.

After Qiao, Liang, Koltun and Lin, "Efficient Differentiable Simulation of Articulated Bodies"
(ICML 2021), section 6.3, "Motion control", where the loss is the distance from ball to target at the
episode's end. Their robots and scenes are theirs; the MJCF files here are our own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import mujoco
import torch
from torch import Tensor

from ...sim import Model
from .. import ASSETS
from ..arrays import beside
from ..task import Task, place_on_ground
from ..task_state import TaskState


@dataclass(frozen=True)
class BallConstants:
    """SI units. The target is a place of the ball's centre at rest."""

    file: str  # of the MJCF in `ASSETS`
    target: tuple[float, float]  # x and y [m]
    rest_height: float  # of the centre of a ball that lies still: contacts give way under its weight [m]
    episode_steps: int  # of which the observed time is a fraction
    n_substeps: int = 2


class BallToTarget(Task):
    """Observation: the arm's joint angles and velocities, and where the ball is and moves. Action: motor torques.

    Every joint of the arm has a motor; an action of 1 is its greatest torque. Episodes start from the
    same state, joint angles zero and at rest. The reward is the progress of the ball to the target, so
    the return is the initial distance, `max_return`, minus the final one.

    Args:
        backend: as for every task.
        target: x and y of the place where the ball shall come to rest [m].
        contact_softness: distance [m] at which contacts begin to push, see `sim.Model`; 0 is the file's meaning.

    The MJCF has sites "target" and "tool" and a free body "ball", whose joint is the last.
    """

    defaults: ClassVar[BallConstants]
    constants: BallConstants

    def __init__(
        self, backend: str = "sim", target: Sequence[float] | None = None, contact_softness: float = 0.0
    ) -> None:
        place = self.defaults.target if target is None else place_on_ground("target", target)
        constants = replace(self.defaults, target=place)
        spec = mujoco.MjSpec.from_file(str(ASSETS / constants.file))
        mark = spec.site("target")
        mark.pos = [*place, mark.pos[2]]
        super().__init__(Model.from_mujoco(spec, contact_softness=contact_softness), constants, backend)
        self.n_substeps, self.episode_steps = constants.n_substeps, constants.episode_steps
        self.n_joints = self.model.nu
        m = self.model.mj_model
        self._geom, self._tool = m.geom("ball").id, m.site("tool").id
        self._target = torch.tensor([*place, constants.rest_height], dtype=torch.float64)
        self.max_return = float(self.distance(self.state_at(self.model.initial_state(), 1)))

    def ball(self, state: TaskState) -> Tensor:
        """Position of the ball's centre, (..., 3) [m]."""
        return state.qpos[..., self.n_joints : self.n_joints + 3]

    def _beside_target(self, place: Tensor) -> Tensor:
        return place - beside(self._target, place)

    def distance(self, state: TaskState) -> Tensor:
        """From the ball to the target, (...) [m]."""
        return torch.linalg.vector_norm(self._beside_target(self.ball(state)), dim=-1)

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        """Shape (..., 2 k + 13) for k joints.

        Joint angles (k) [rad] and velocities (k) [rad/s], of the ball position from the target (3) [m],
        velocity (3) [m/s] and angular velocity (3) [rad/s], position of the tool from the ball (3) [m],
        time fraction; all vectors in world axes.
        """
        k, ball = self.n_joints, self.ball(state)
        # MuJoCo's angular velocity of a free joint is in the body's axes, of which a ball's are arbitrary.
        axes = state.kinematics.geom_xmat[..., self._geom, :].unflatten(-1, (3, 3))
        spin = (axes @ state.qvel[..., k + 3 :, None]).squeeze(-1)
        tool = state.kinematics.site_xpos[..., self._tool, :] - ball
        time = (state.time / self.episode_steps)[..., None]
        joints = [state.qpos[..., :k], state.qvel[..., :k]]
        return torch.cat([*joints, self._beside_target(ball), state.qvel[..., k : k + 3], spin, tool, time], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        """How much nearer the ball came, (...) [m]."""
        return {"progress": self.distance(state) - self.distance(next_state)}

    def state_info(self, state: TaskState, params: None = None) -> dict[str, Tensor]:
        """Distance from the ball to the target (...) [m]."""
        return {"ball_distance": self.distance(state)}

    def observed_reward(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        """The same reward (...) from observations, for transitions that a learned model predicts."""
        ball = slice(2 * self.n_joints, 2 * self.n_joints + 3)
        before, after = (torch.linalg.vector_norm(o[..., ball], dim=-1) for o in (obs, next_obs))
        return before - after

    def observed_terminal(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        """Whether the predicted transition ends the task, (...) bool: it never does before its time."""
        return torch.zeros(next_obs.shape[:-1], dtype=torch.bool)

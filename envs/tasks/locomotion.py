"""Robots that are paid for moving along x, as in Gymnasium's MuJoCo environments of version 5.

Model file, observation, reward, health, start and keyword arguments are those of the environment
that `counterpart_id` names (Gymnasium 1.4, gymnasium/envs/mujoco/*_v5.py), so that a policy runs
unchanged in both. One thing differs by intent: rewards here are functions of (state, action, next
state), while Gymnasium reads body positions and contact forces as `mj_step` leaves them. Those
belong to the last evaluation inside the step: with Euler that is one time step earlier, with RK4
the last Runge-Kutta stage, a prediction of the next state.
"""

from abc import abstractmethod
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import mujoco
import numpy as np
import torch
from gymnasium.envs.mujoco.mujoco_env import expand_model_path
from torch import Tensor
from torch.nn.functional import pad

from ...sim import Model
from ..arrays import Array, as_float, as_numpy, namespace, uniform_like
from ..task import Task
from ..task_state import TaskState


@dataclass(frozen=True)
class LocomotionConstants:
    """Gymnasium's keyword arguments, which mean what they mean there."""

    xml_file: str
    frame_skip: int
    ctrl_cost_weight: float
    reset_noise_scale: float
    forward_reward_weight: float = 1.0
    exclude_current_positions_from_observation: bool = True


class Locomotion(Task):
    """Observation: qpos without the first `n_places`, then qvel. Reward: velocity along x minus the cost of control.

    Args:
        backend: as for every task.
        integrator: "Euler", "RK4" or "implicitfast" in place of the model file's.
        contact_softness: distance [m] at which contacts begin to push, see `sim.Model`; 0 is the file's meaning.
        keywords: fields of `constants_type`.
    """

    counterpart_id: ClassVar[str]
    constants_type: ClassVar[type[LocomotionConstants]]
    n_places: ClassVar[int] = 1  # leading entries of qpos that say where on the ground the robot is
    observed_speed: ClassVar[float] = np.inf  # velocities are clipped to it in observations
    normal_velocities: ClassVar[bool] = False  # start velocities: normally or uniformly distributed
    constants: Any

    def __init__(
        self, backend: str = "sim", integrator: str | None = None, contact_softness: float = 0.0, **keywords: Any
    ) -> None:
        self._check_names(keywords)
        constants = self.constants_type(**keywords)
        if not isinstance(constants.frame_skip, int | np.integer) or constants.frame_skip < 1:
            raise ValueError(f"frame_skip={constants.frame_skip!r}: must be a positive integer")
        super().__init__(_load(constants.xml_file, integrator, contact_softness), constants, backend)
        self.n_substeps = int(constants.frame_skip)
        self.n_hidden = self.n_places if constants.exclude_current_positions_from_observation else 0

    @property
    def counterpart(self) -> tuple[str, dict[str, Any]]:
        return self.counterpart_id, asdict(self.constants)

    def initial(self, rng: Any, params: None = None) -> TaskState:
        """Gymnasium's start for the same generators, drawn in its order; quaternions get their noise raw."""
        m, scale = self.model, self.constants.reset_noise_scale
        start = self.state_at(m.initial_state(), len(rng))
        # Of numpy, which for few numbers is quicker than torch; the tensors share the memory.
        qpos, qvel = as_numpy(start.qpos), as_numpy(start.qvel)
        for i, one in enumerate(rng):
            qpos[i] += one.uniform(-scale, scale, m.nq)
            qvel[i] += scale * one.standard_normal(m.nv) if self.normal_velocities else one.uniform(-scale, scale, m.nv)
        return start

    def initial_tensors(self, still: TaskState, generator: torch.Generator) -> TaskState:
        """The same noise, drawn by torch."""
        scale, speeds = self.constants.reset_noise_scale, still.qvel
        if self.normal_velocities:
            kind: dict[str, Any] = {"dtype": speeds.dtype, "device": speeds.device}
            noise = scale * torch.randn(speeds.shape, generator=generator, **kind)
        else:
            noise = uniform_like(speeds, -scale, scale, generator)
        qpos = still.qpos + uniform_like(still.qpos, -scale, scale, generator)
        return replace(still, qpos=qpos, qvel=speeds + noise)

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Array:
        """Shape (..., nq - n_hidden + nv)."""
        qvel = state.qvel
        if self.observed_speed < np.inf:
            qvel = qvel.clip(-self.observed_speed, self.observed_speed)
        return namespace(qvel).concatenate([state.qpos[..., self.n_hidden :], qvel], axis=-1)

    def place(self, state: TaskState) -> Array:
        """The position (..., n_places) [m] whose velocity is rewarded."""
        return state.qpos[..., : self.n_places]

    def velocity(self, state: TaskState, next_state: TaskState) -> Array:
        """Mean velocity (..., n_places) [m/s] of a transition."""
        return (self.place(next_state) - self.place(state)) / self.seconds_per_step

    def reward_terms(self, state: TaskState, action: Array, next_state: TaskState) -> dict[str, Array]:
        """Velocity along x and the cost of the action, as it was given and not clipped, each (...)."""
        return {
            "forward": self.constants.forward_reward_weight * self.velocity(state, next_state)[..., 0],
            "ctrl": -self.constants.ctrl_cost_weight * namespace(action).square(action).sum(-1),
        }

    def state_info(self, state: TaskState, params: None = None) -> dict[str, Array]:
        """Where the robot is, (...) [m]: `x_position`, in space also `y_position`."""
        return {f"{axis}_position": state.qpos[..., i] for i, axis in zip(range(self.n_places), "xy", strict=False)}

    def transition_info(
        self, state: TaskState, action: Array, next_state: TaskState, params: None = None
    ) -> dict[str, Array]:
        """The reward's terms and the velocities."""
        velocity = self.velocity(state, next_state)
        named = {f"{axis}_velocity": velocity[..., i] for i, axis in zip(range(self.n_places), "xy", strict=False)}
        return named | super().transition_info(state, action, next_state)

    def observed_terminal(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        """Whether a transition between observations (..., n_obs) ends the task, (...) bool."""
        return torch.zeros(next_obs.shape[:-1], dtype=torch.bool)

    def _check_names(self, keywords: dict[str, Any]) -> None:
        """TypeError, which begins as Python's own, if an argument is unknown."""
        known = [field.name for field in fields(self.constants_type)]
        for name in keywords.keys() - known:
            takes = ", ".join([*known, "integrator", "contact_softness"])
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}: it takes {takes}"
            )


@dataclass(frozen=True)
class BalanceConstants(LocomotionConstants):
    """Further ones for robots that can fall."""

    healthy_reward: float = 1.0
    terminate_when_unhealthy: bool = True
    healthy_z_range: tuple[float, float] = (0.0, np.inf)  # [m]


class Balance(Locomotion):
    """Locomotion that also pays for every step in health, and ends without it."""

    @abstractmethod
    def healthy(self, qpos: Array, qvel: Array) -> Array:
        """Whether coordinates (..., nq), (..., nv) are those of a robot that has not fallen, (...) bool.

        It does not look at the first `n_places` of qpos, so that observations tell it too.
        """

    def reward_terms(self, state: TaskState, action: Array, next_state: TaskState) -> dict[str, Array]:
        """Those of all locomotion, and for survival, each (...)."""
        survive = self.constants.healthy_reward * as_float(self._is_healthy(next_state))
        return super().reward_terms(state, action, next_state) | {"survive": survive}

    def terminal(self, state: TaskState, rng: Any = None, params: None = None) -> Array:
        if not self.constants.terminate_when_unhealthy:
            return super().terminal(state)
        return ~self._is_healthy(state)

    def _is_healthy(self, state: TaskState) -> Array:
        return state.kept("healthy", lambda: self.healthy(state.qpos, state.qvel))

    def observed_terminal(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        n_seen = self.model.nq - self.n_hidden
        if not self.constants.terminate_when_unhealthy:
            return super().observed_terminal(obs, action, next_obs)
        return ~self.healthy(pad(next_obs[..., :n_seen], (self.n_hidden, 0)), next_obs[..., n_seen:])


@dataclass(frozen=True)
class PlanarBalanceConstants(BalanceConstants):
    """Those of the hopper and the walker."""

    frame_skip: int = 4
    ctrl_cost_weight: float = 1e-3
    reset_noise_scale: float = 5e-3
    healthy_angle_range: tuple[float, float] = (-np.inf, np.inf)  # [rad]


class PlanarBalance(Balance):
    """Balance in the plane of x and z: qpos begins with x, z and the pitch."""

    observed_speed = 10.0

    def healthy(self, qpos: Array, qvel: Array) -> Array:
        (low_z, high_z), (low, high) = self.constants.healthy_z_range, self.constants.healthy_angle_range
        z, angle = qpos[..., 1], qpos[..., 2]
        return (low_z < z) & (z < high_z) & (low < angle) & (angle < high)

    def state_info(self, state: TaskState, params: None = None) -> dict[str, Array]:
        """Position along x, and height above the reference configuration, (...) [m]."""
        height = state.qpos[..., 1] - self.model.qpos0[1]
        return super().state_info(state) | {"z_distance_from_origin": height}


def _load(xml_file: str, integrator: str | None, contact_softness: float) -> Model:
    """A model by Gymnasium's rule: its own file, unless the name starts with ".", "/" or "~"."""
    try:
        path = expand_model_path(xml_file)
    except OSError as error:
        raise ValueError(f"xml_file={xml_file!r}: {error}") from None
    if integrator is None:
        return Model.from_xml_path(path, contact_softness=contact_softness)
    name = f"mjINT_{str(integrator).upper()}"
    if not hasattr(mujoco.mjtIntegrator, name):
        raise ValueError(f"integrator={integrator!r}: choose 'Euler', 'RK4' or 'implicitfast'")
    spec = mujoco.MjSpec.from_file(path)
    spec.option.integrator = getattr(mujoco.mjtIntegrator, name)
    return Model.from_mujoco(spec, contact_softness=contact_softness)

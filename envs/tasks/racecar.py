"""The racecar: a model car with steering and four driven wheels that drives to a target.

After the car of Qiao, Liang, Koltun and Lin, "Efficient Differentiable Simulation of Articulated
Bodies" (ICML 2021), section 6.3, where its braking from 1 m/s tells the friction of the wheels.
The car is that of pybullet's racecar in primitives: `assets/racecar.xml`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import mujoco
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ...sim import Model
from .. import ASSETS
from ..arrays import Array, beside, namespace, uniform_like
from ..task import Task, place_on_ground
from ..task_state import TaskState

WHEELS = ("rear_left_wheel", "rear_right_wheel", "front_left_wheel", "front_right_wheel")
_STEERING = ("left_steering", "right_steering")


@dataclass(frozen=True)
class RacecarConstants:
    """SI units; the first five are the constructor's arguments, the wheels' places and limits those of the file."""

    sliding_friction: float = 0.8
    initial_speed: float = 1.0
    reset_noise_scale: float = 1.0
    braked: bool = False
    target: tuple[float, float] = (2.0, 0.0)
    position_noise: float = 0.5
    heading_noise: float = 1.0
    wheel_radius: float = 0.05
    wheelbase: float = 0.325
    track: float = 0.2
    steering_limit: float = 0.6
    torque_limit: float = 0.25
    brake_torque: float = 2.0
    ctrl_cost_weight: float = 0.01
    episode_steps: int = 100  # of which the observed time is a fraction


class Racecar(Task):
    """Observation (20): where the target is, the car's orientation, velocities, steering, wheel speeds.

    In the frame of the chassis, x ahead and y to the left: the target relative to the car (2) [m],
    the vertical (3), velocity (3) [m/s] and rotation rate (3) [rad/s]; then steering angles (2)
    [rad], their rates (2) [rad/s], and what the rims of the wheels run at (4), rear ones first [m/s];
    at last the time fraction.

    Action (2) from -1 to 1: steering to the left, and the torque of all four motors. The inner
    wheel steers more than the outer one, so that all roll about one centre.

    Reward: by how much the target came nearer [m], minus a little for the action. It is never
    more than the distance at the start: the car should be there when time is over, after 5 s.

    Args:
        sliding_friction: coefficient between wheels and floor.
        initial_speed: along the car, with rolling wheels unless braked [m/s].
        reset_noise_scale: 1 starts within 0.5 m of the origin and 1 rad of the x axis; 0 exactly there.
        braked: the brakes hold the wheels, so that the car slides.
        target: x and y of the place to drive to [m].
    """

    n_substeps = 20

    def __init__(
        self,
        sliding_friction: float = 0.8,
        initial_speed: float = 1.0,
        reset_noise_scale: float = 1.0,
        braked: bool = False,
        target: Sequence[float] = (2.0, 0.0),
        backend: str = "sim",
    ) -> None:
        if not 0.0 < sliding_friction < math.inf:
            raise ValueError(f"sliding_friction={sliding_friction!r}: must be finite and more than 0")
        if not math.isfinite(initial_speed):
            raise ValueError(f"initial_speed={initial_speed!r}: must be finite")
        if not 0.0 <= reset_noise_scale < math.inf:
            raise ValueError(f"reset_noise_scale={reset_noise_scale!r}: must be finite and not negative")
        place = place_on_ground("target", target)
        constants = RacecarConstants(sliding_friction, initial_speed, reset_noise_scale, braked, place)
        super().__init__(racecar_model(constants), constants, backend)
        self.episode_steps = constants.episode_steps
        self.observation_space = spaces.Box(-np.inf, np.inf, (20,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        m = self.model.mj_model
        self._wheel_dofs = [int(m.joint(name).dofadr[0]) for name in WHEELS]
        self._steering_dofs = [int(m.joint(name).dofadr[0]) for name in _STEERING]
        self._target = torch.tensor([*constants.target, constants.wheel_radius], dtype=torch.float64)

    def initial(self, rng: Any, params: None = None) -> TaskState:
        """The car at its speed along its heading, which noise turns and moves."""
        still = self.state_at(self.model.initial_state(), len(rng)).arrays()
        return self._placed(still, np.array([one.uniform(-1.0, 1.0, 3) for one in rng])).tensors()

    def initial_tensors(self, still: TaskState, generator: torch.Generator) -> TaskState:
        """The same noise, drawn by torch."""
        return self._placed(still, uniform_like(still.qpos[:, :3], -1.0, 1.0, generator))

    def _placed(self, still: TaskState, noise: Array) -> TaskState:
        """`still` with the car where noise (N, 3) moves it and turns it to."""
        c = self.constants
        qpos, qvel, scaled = still.qpos + 0.0, still.qvel + 0.0, c.reset_noise_scale * noise
        heading = c.heading_noise * scaled[:, 2]
        xp = namespace(noise)
        cos, sin = xp.cos, xp.sin
        qpos[:, :2] = c.position_noise * scaled[:, :2]
        qpos[:, 3], qpos[:, 6] = cos(heading / 2), sin(heading / 2)
        qvel[:, 0], qvel[:, 1] = c.initial_speed * cos(heading), c.initial_speed * sin(heading)
        if not c.braked:
            for dof in self._wheel_dofs:  # one by one: a list of them would be copied to a GPU
                qvel[:, dof] = c.initial_speed / c.wheel_radius
        return replace(still, qpos=qpos, qvel=qvel)

    def control(self, action: Tensor) -> Tensor:
        """Steering angles of both front wheels [rad], then the torques of the four wheels [N m]."""
        steering, drive = super().control(action).unbind(-1)
        c = self.constants
        tangent = (c.steering_limit * steering).tan()
        inner = 0.5 * c.track / c.wheelbase * tangent  # half the track by the radius of the turn
        angles = [(tangent / (1.0 - inner)).atan(), (tangent / (1.0 + inner)).atan()]
        return torch.stack([*angles, *[c.torque_limit * drive] * len(WHEELS)], dim=-1)

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        """Shape (..., 20)."""
        rotation = _rotation(state.qpos[..., 3:7])
        target = _in_frame(rotation, beside(self._target, state.qpos) - state.qpos[..., :3])[..., :2]
        velocity = _in_frame(rotation, state.qvel[..., :3])
        rims = self.constants.wheel_radius * state.qvel[..., self._wheel_dofs]
        steering = state.qpos[..., [v + 1 for v in self._steering_dofs]]  # one number more in the root's quaternion
        parts = [target, rotation[..., 2, :], velocity, state.qvel[..., 3:6]]
        time = (state.time / self.episode_steps)[..., None]
        return torch.cat([*parts, steering, state.qvel[..., self._steering_dofs], rims, time], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        """Progress [m] and the cost of the action, as it was given and not clipped, each (...)."""
        progress = self._distance(state) - self._distance(next_state)
        return {"progress": progress, "ctrl": -self.constants.ctrl_cost_weight * action.square().sum(-1)}

    def state_info(self, state: TaskState, params: None = None) -> dict[str, Tensor]:
        """Position of the car and its distance to the target, (...) [m]."""
        x, y = state.qpos[..., 0], state.qpos[..., 1]
        return {"x_position": x, "y_position": y, "target_distance": self._distance(state)}

    def observed_terminal(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        """Whether a transition between observations (..., n_obs) ends the task, (...) bool: none does."""
        return torch.zeros(next_obs.shape[:-1], dtype=torch.bool)

    def _distance(self, state: TaskState) -> Tensor:
        # At the target the norm has a kink; a centimetre is near enough.
        return ((state.qpos[..., :2] - beside(self._target, state.qpos)[:2]).square().sum(-1) + 1e-4).sqrt()


def racecar_model(constants: RacecarConstants) -> Model:
    """The car of `assets/racecar.xml` with the friction, the brakes and the target of `constants`."""
    spec = mujoco.MjSpec.from_file(str(ASSETS / "racecar.xml"))
    for name in WHEELS:
        spec.geom(name).friction[0] = constants.sliding_friction
        spec.joint(name).frictionloss = constants.brake_torque if constants.braked else 0.0
    spec.site("target").pos[:2] = constants.target
    return Model.from_mujoco(spec)


def _rotation(quat: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4), which need not have unit length."""
    w, x, y, z = (quat / quat.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _in_frame(rotation: Tensor, vector: Tensor) -> Tensor:
    """World vectors (..., 3) in the frames that `rotation` (..., 3, 3) turns to the world."""
    return (vector[..., None, :] @ rotation)[..., 0, :]

"""The n-link pendulum: swing a chain of driven links from horizontal to upright in 100 steps.

After Qiao, Liang, Koltun and Lin, "Efficient Differentiable Simulation of Articulated Bodies"
(ICML 2021), section 5; the constants are those of the paper's experiments.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ...sim import Model
from ..task import Task
from ..task_state import TaskState

MAX_LINKS = 20


@dataclass(frozen=True)
class PendulumConstants:
    """SI units. Each link's centre of mass is at its far end. The chain shall be upright after `episode_steps`."""

    n_links: int = 5
    link_length: float = 0.5
    first_mass: float = 1.0
    further_mass: float = 2.16
    first_inertia: tuple[float, float, float] = (0.00495, 0.00494, 0.00222)
    further_inertia: tuple[float, float, float] = (0.00539, 0.00490, 0.00312)
    gravity: float = 9.8
    timestep: float = 1.0 / 60.0
    torque_limit: float = 10.0
    episode_steps: int = 100

    @property
    def reach(self) -> float:
        """Length of the stretched chain; the target is this high above the base [m]."""
        return self.n_links * self.link_length


class NLinkPendulum(Task):
    """Observation: joint velocities (n), positions of the n + 1 link ends (3 each), time fraction.

    Reward: decrease of the squared distance from tip to target, and in step 100 also minus the
    distance squared. Over 100 steps it telescopes to the initial squared distance minus twice the
    final one, that step's own penalty included, so the maximum return is 2 (n L)^2 = 0.5 n^2.

    The 100 steps are the problem's own, whatever limit of time an environment has: the time fraction
    is of them, and beyond them the reward is again the decrease alone.
    """

    def __init__(self, n_links: int = 5, backend: str = "sim") -> None:
        if isinstance(n_links, bool) or not isinstance(n_links, int | np.integer) or not 1 <= n_links <= MAX_LINKS:
            raise ValueError(f"n_links={n_links!r}: must be an integer from 1 to {MAX_LINKS}")
        constants = PendulumConstants(n_links=int(n_links))
        super().__init__(Model.from_xml_string(pendulum_mjcf(constants)), constants, backend)
        self.episode_steps = constants.episode_steps
        self.max_return = 2.0 * constants.reach**2
        n_obs = n_links + 3 * (n_links + 1) + 1
        self.observation_space = spaces.Box(-np.inf, np.inf, (n_obs,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (n_links,), np.float32)
        self._target = torch.tensor([0.0, 0.0, constants.reach], dtype=torch.float64)

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        """Shape (..., 4 n + 4): velocities [rad/s], link ends from base to tip [m], time fraction."""
        ends = state.kinematics.site_xpos.flatten(-2)
        return torch.cat([state.qvel, ends, (state.time / self.episode_steps)[..., None]], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        """Progress towards the target, and the last step's distance, each (...) [m^2]."""
        before, after = (self._squared_distance(s.kinematics.site_xpos[..., -1, :]) for s in (state, next_state))
        return self._terms(before, after, next_state.time == self.episode_steps)

    def state_info(self, state: TaskState, params: None = None) -> dict[str, Tensor]:
        """Distance from tip to target (...) [m]."""
        return {"tip_distance": self._squared_distance(state.kinematics.site_xpos[..., -1, :]).sqrt()}

    def observed_reward(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        """The same reward (...) from observations, for transitions that a learned model predicts."""
        before, after = (self._squared_distance(o[..., -4:-1]) for o in (obs, next_obs))
        early, late = (o[..., -1] * self.episode_steps > self.episode_steps - 0.5 for o in (obs, next_obs))
        return reduce(torch.add, self._terms(before, after, late & ~early).values())

    def observed_terminal(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        """Whether the predicted transition ends the task, (...) bool: it never does before its time."""
        return torch.zeros(next_obs.shape[:-1], dtype=torch.bool)

    def _squared_distance(self, tip: Tensor) -> Tensor:
        return (tip - self._target.to(tip)).square().sum(-1)

    @staticmethod
    def _terms(before: Tensor, after: Tensor, last: Tensor) -> dict[str, Tensor]:
        return {"progress": before - after, "final": torch.where(last, -after, 0.0)}


def pendulum_mjcf(constants: PendulumConstants) -> str:
    """The chain as MJCF: hinges about x, links along +y at qpos = 0, one site at each link end."""
    bodies = ""
    for link in reversed(range(constants.n_links)):
        bodies = _link_mjcf(constants, link, bodies)
    reach = constants.reach
    return f"""
<mujoco model="pendulum with {constants.n_links} links">
  <compiler angle="radian" autolimits="false"/>
  <option timestep="{constants.timestep!r}" gravity="0 0 {-constants.gravity}" integrator="Euler"/>
  <statistic center="0 0 0" extent="{2 * reach}"/>
  <visual><headlight ambient="0.4 0.4 0.4" diffuse="0.5 0.5 0.5"/></visual>
  <default>
    <geom contype="0" conaffinity="0"/>
    <motor gear="{constants.torque_limit}" ctrllimited="true" ctrlrange="-1 1"/>
  </default>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.75 0.82 0.9" rgb2="1 1 1" width="64" height="64"/>
    <texture name="grid" type="2d" builtin="checker" rgb1="0.25 0.3 0.35" rgb2="0.3 0.36 0.4" width="64" height="64"/>
    <material name="grid" texture="grid" texrepeat="8 8"/>
  </asset>
  <worldbody>
    <light pos="{2 * reach} 0 {3 * reach}" dir="-0.5 0 -1" directional="true"/>
    <camera name="side" pos="{2.4 * reach} 0 0" xyaxes="0 1 0 0 0 1" fovy="55"/>
    <geom name="floor" type="plane" pos="0 0 {-1.1 * reach}" size="{4 * reach} {4 * reach} 0.1" material="grid"/>
    <geom name="target" type="sphere" pos="0 0 {reach}" size="0.06" rgba="0.2 0.8 0.3 0.6"/>
    <site name="end0" pos="0 0 0"/>{bodies}
  </worldbody>
  <actuator>{"".join(f'<motor joint="hinge{i + 1}"/>' for i in range(constants.n_links))}</actuator>
</mujoco>"""


def _link_mjcf(constants: PendulumConstants, link: int, children: str) -> str:
    first = link == 0
    length = constants.link_length
    mass = constants.first_mass if first else constants.further_mass
    inertia = constants.first_inertia if first else constants.further_inertia
    return f"""
    <body name="link{link + 1}" pos="0 {0.0 if first else length} 0">
      <joint name="hinge{link + 1}" type="hinge" axis="1 0 0"/>
      <inertial pos="0 {length} 0" mass="{mass}" diaginertia="{" ".join(map(str, inertia))}"/>
      <geom type="capsule" fromto="0 0 0 0 {length} 0" size="0.03" rgba="0.9 0.6 0.2 1"/>
      <site name="end{link + 1}" pos="0 {length} 0"/>{children}
    </body>"""

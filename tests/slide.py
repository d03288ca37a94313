"""A mass on a rail that is to be brought to the origin: the smallest task of gradgym's, for tests of algorithms."""

from typing import Any

import torch
from torch import Tensor

from gradgym.envs import register
from gradgym.envs.task import Task
from gradgym.envs.task_state import TaskState
from gradgym.sim import Model

EPISODE_STEPS = 20
RAIL = """
<mujoco>
  <option timestep="0.1" gravity="0 0 0"/>
  <worldbody><body>
    <joint name="rail" type="slide" axis="1 0 0" damping="1"/>
    <geom type="sphere" size="0.1" mass="1" contype="0" conaffinity="0"/>
  </body></worldbody>
  <actuator><motor joint="rail" gear="5" ctrllimited="true" ctrlrange="-2 2"/></actuator>
</mujoco>"""


class Slide(Task):
    """Starts at rest up to 1 m from the origin, force up to 10 N; reward -x^2 - 0.01 a^2, observation (x, v)."""

    def __init__(self, backend: str = "sim") -> None:
        super().__init__(Model.from_xml_string(RAIL), backend=backend)

    def initial(self, rng: Any, params: None = None) -> TaskState:
        start = self.state_at(self.model.initial_state(), len(rng))
        start.qpos[:, 0] = torch.tensor([one.uniform(-1, 1) for one in rng])
        return start

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        return torch.cat([state.qpos, state.qvel], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        return {"place": -next_state.qpos.square().sum(-1), "effort": -0.01 * action.square().sum(-1)}


register("Slide-v0", Slide, EPISODE_STEPS)

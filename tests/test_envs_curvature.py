"""Curvatures of rewards by tangents, beside closed forms and differences."""

from typing import Any

import numpy as np
import slide
import torch
from torch import Tensor

from gradgym.envs.curvature import reward_curvature
from gradgym.envs.gradients import observation_gradient
from gradgym.envs.task import Task
from gradgym.envs.task_state import TaskState
from gradgym.envs.tasks.pendulum import NLinkPendulum
from gradgym.sim import Model
from gradgym.sim.tangent import integrate_pos


def moved(state: TaskState, rng: np.random.Generator, time: int) -> TaskState:
    """Every coordinate elsewhere."""
    shift = 0.5 * rng.normal(size=(len(state.qpos), state.model.nv))
    qpos = integrate_pos(state.model, state.qpos.numpy(), shift)
    return state.changed({"qpos": torch.from_numpy(qpos), "time": state.time + time, "known_kinematics": None})


def starts(task: Task, count: int) -> TaskState:
    return task.start([np.random.default_rng(i) for i in range(count)])


def test_of_a_sum_of_squares() -> None:
    task = slide.Slide()
    state = starts(task, 3)
    found = reward_curvature(task, state, torch.zeros(3, 1, dtype=torch.float64), state)
    np.testing.assert_array_equal(found.state, 0.0)
    np.testing.assert_allclose(found.action, np.full((3, 1, 1), -0.02))
    np.testing.assert_allclose(found.next_state, np.tile(np.diag([-2.0, 0.0]), (3, 1, 1)), atol=1e-14)


def test_of_the_tips_squared_distance() -> None:
    """-2 J^T J of the tip, twice that in the last step; and in the state before with the other sign."""
    task, rng = NLinkPendulum(2), np.random.default_rng(0)
    for time, weight in ((7, -2.0), (100, -4.0)):
        before, after = moved(starts(task, 4), rng, time - 1), moved(starts(task, 4), rng, time)
        found = reward_curvature(task, before, torch.zeros(4, 2, dtype=torch.float64), after)
        np.testing.assert_array_equal(found.action, 0.0)
        for state, curvature, factor in ((before, found.state, 2.0), (after, found.next_state, weight)):
            total = state.qpos.numpy().cumsum(1)
            J = np.zeros((4, 2, 4))
            for joint in range(2):
                J[:, 0, joint] = -0.5 * np.sin(total[:, joint:]).sum(1)
                J[:, 1, joint] = 0.5 * np.cos(total[:, joint:]).sum(1)
            np.testing.assert_allclose(curvature, factor * J.swapaxes(1, 2) @ J, atol=1e-12)


class Corner(Task):
    """A free body of which a corner shall be at the origin; quaternion and place both count."""

    def __init__(self, backend: str = "sim") -> None:
        super().__init__(
            Model.from_xml_string("""<mujoco><option gravity="0 0 0"/><worldbody><body pos="0.3 0.2 0.1"><freejoint/>
            <geom size="0.1" mass="1" contype="0" conaffinity="0"/><site name="corner" pos="0.1 0.2 0.3"/></body>
            </worldbody></mujoco>"""),
            backend=backend,
        )

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        return torch.cat([state.kinematics.site_xpos[..., 0, :], state.qvel], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        return {"place": -next_state.kinematics.site_xpos[..., 0, :].square().sum(-1)}


def test_of_a_free_body_beside_differences() -> None:
    task, eps = Corner(), 1e-6
    state = moved(starts(task, 2), np.random.default_rng(1), 0)
    J = np.zeros((2, 3, 12))
    for k in range(6):
        ends = []
        for sign in (1.0, -1.0):
            qpos = integrate_pos(task.model, state.qpos.numpy(), sign * eps * np.eye(6)[k])
            there = state.changed({"qpos": torch.from_numpy(qpos), "known_kinematics": None})
            ends.append(there.kinematics.site_xpos[:, 0].numpy())
        J[:, :, k] = (ends[0] - ends[1]) / (2 * eps)
    found = reward_curvature(task, state, torch.zeros(2, 0, dtype=torch.float64), state)
    np.testing.assert_allclose(found.next_state, -2.0 * J.swapaxes(1, 2) @ J, atol=1e-8)
    np.testing.assert_allclose(observation_gradient(task, state)[:, :3], J, atol=1e-8)
    np.testing.assert_array_equal(observation_gradient(task, state)[:, 3:, 6:], np.tile(np.eye(6), (2, 1, 1)))

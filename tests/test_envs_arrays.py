"""Tasks that take numpy's arrays: the same numbers as with torch, torch where it is needed, single states."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from transitions import gradients_of, random_transitions

from gradgym import envs
from gradgym.envs.arrays import Array, namespace
from gradgym.envs.forward_gradients import forward_gradients
from gradgym.envs.gradients import _torch_gradients
from gradgym.envs.task import Task
from gradgym.envs.task_state import TaskState
from gradgym.envs.tasks.ant import Ant
from gradgym.envs.tasks.half_cheetah import HalfCheetah
from gradgym.envs.tasks.hopper import Hopper
from gradgym.envs.tasks.walker2d import Walker2d

TASKS: dict[str, Any] = {
    "ant": Ant,
    # Every force is inside the range, so that all of the contact cost has a derivative.
    "ant-forces": lambda: Ant(contact_force_range=(-1e4, 1e4), main_body="aux_1"),
    "half-cheetah": HalfCheetah,
    "hopper": Hopper,
    "walker": Walker2d,
}


def numbers(task: Task, state: TaskState, action: Array) -> dict[str, Array]:
    """All that a task's functions say of a transition."""
    with torch.no_grad():
        after = task.transition(state, action)
        found = {
            "obs": task.observation(after),
            "terminal": task.terminal(after),
            "reward": task.reward(state, action, after),
        }
        return found | task.transition_info(state, action, after) | task.state_info(after)


@pytest.mark.parametrize("name", TASKS)
def test_numpy_and_torch_give_the_same(name: str) -> None:
    task = TASKS[name]()
    assert task.is_numpy
    state, action = random_transitions(task, 4)
    by_torch, by_numpy = numbers(task, state, action), numbers(task, state.arrays(), action.numpy())
    single = numbers(task, state.arrays().map(lambda x: x[1]), action.numpy()[1])
    assert by_torch.keys() == by_numpy.keys() == single.keys()
    for key, expected in by_torch.items():
        assert not isinstance(by_numpy[key], torch.Tensor)
        assert by_numpy[key].dtype == expected.numpy().dtype
        # Sums are made in another order: some last bits differ.
        np.testing.assert_allclose(by_numpy[key], expected.numpy(), rtol=1e-13, atol=1e-13)
        np.testing.assert_array_equal(single[key], by_numpy[key][1])


@pytest.mark.parametrize("name", TASKS)
def test_forward_mode_gives_what_torch_gives(name: str) -> None:
    task = TASKS[name]()
    state, action = random_transitions(task, 3)
    state, actions = state.arrays(), action.numpy()
    after = task.transition(state, actions)
    task.reward(state, actions, after)  # contact forces become known
    jacobian = task.backend.step_jacobian(task.model, state.numpy(), task.control(actions), task.n_substeps)
    found = forward_gradients(task, state, actions, after, *jacobian)
    expected = _torch_gradients(task, state, actions, after, *jacobian)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=1e-12 * max(1.0, np.abs(value).max()))


class TorchHopper(Hopper):
    """Adds a function that is torch's alone, and does not say that it takes numpy's arrays."""

    def reward_terms(self, state: TaskState, action: Array, next_state: TaskState) -> dict[str, Array]:
        return {"turned": next_state.qpos[..., 2].arctan().mul(action.square().sum(-1))}


class ArctanHopper(Hopper):
    """The same over both, with a function that `Dual` has no rule for."""

    serves_numpy = True

    def reward_terms(self, state: TaskState, action: Array, next_state: TaskState) -> dict[str, Array]:
        xp = namespace(action)
        return {"turned": xp.arctan(next_state.qpos[..., 2]) * xp.square(action).sum(-1)}


def test_a_subclass_with_torch_alone_is_stepped_by_torch() -> None:
    for number, made in enumerate((TorchHopper, ArctanHopper)):
        envs.register(f"{made.__name__}-v{number}", made, max_episode_steps=50)
    single, reference = (
        gymnasium.make("TorchHopper-v0", gradients="full"),
        gymnasium.make("ArctanHopper-v1", gradients="full"),
    )
    for env in (single, reference):
        env.reset(seed=0)
    for _ in range(5):
        action = np.array([0.3, -0.8, 1.2])
        (obs, reward, *_, info), (expected_obs, expected, *_, expected_info) = (
            e.step(action) for e in (single, reference)
        )
        np.testing.assert_array_equal(obs, expected_obs)
        assert reward == pytest.approx(expected, rel=1e-12)
        assert info.keys() == expected_info.keys()
        for key, value in info["gradients"].items():
            np.testing.assert_allclose(
                value, expected_info["gradients"][key], atol=1e-12 * max(1.0, np.abs(value).max())
            )


def test_torch_alone_and_no_rule_are_told_apart() -> None:
    assert Hopper().is_numpy and ArctanHopper().is_numpy and not TorchHopper().is_numpy


def test_forces_of_the_state_before_are_left_to_torch() -> None:
    """Their derivative by the action is not that of the next state's forces."""

    class Pressed(Ant):
        serves_numpy = True

        def reward_terms(self, state: TaskState, action: Array, next_state: TaskState) -> dict[str, Array]:
            return {"pressed": namespace(action).square(self.contact_forces(state, action)).sum((-2, -1))}

    task = Pressed()
    state, action = random_transitions(task, 2)
    state, actions = state.arrays(), action.numpy()
    after = task.transition(state, actions)
    task.reward(state, actions, after)
    found = gradients_of(task, state, actions, after, "action")["dreward_daction"]
    h = 1e-6
    for i in range(8):
        ends = [task.reward(state.changed({}), actions + s * h * np.eye(8)[i], after) for s in (-1, 1)]
        np.testing.assert_allclose(found[:, i], (ends[1] - ends[0]) / (2 * h), atol=1e-5 * np.abs(found).max())
    assert found.any()


def test_the_state_of_an_environment_is_in_tensors_and_its_memory_is_stepped() -> None:
    env: Any = gymnasium.make("gradgym/Hopper-v0").unwrapped
    env.reset(seed=0)
    env.step(np.zeros(3))
    assert isinstance(env.state.qvel, torch.Tensor) and env.state.qvel.shape == (1, 6)
    env.state.qvel[:] = 0.5
    kept = env.state
    obs = env.step(np.zeros(3))[0]
    assert torch.equal(kept.qvel, torch.full((1, 6), 0.5, dtype=torch.float64))
    after = env.task.transition(kept, torch.zeros(1, 3, dtype=torch.float64))
    np.testing.assert_array_equal(obs, env.task.observation(after)[0].numpy().astype(np.float32))

"""Tasks whose tensors are on another device than the CPU: nothing of theirs stays behind."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import ks_2samp
from stand_in_device import DEVICE, stand_in

from gradgym.envs.task import Task
from gradgym.sim import placement

NAMES = "NLinkPendulum", "Ant", "HalfCheetah", "Hopper", "Walker2d", "BallThrow", "Golf", "Racecar"

RANDOM = {"randomize": {"size": (0.9, 1.1)}}
HANDS = ("CubeReorient", RANDOM), ("CubeReorient", {"hand": "shadow"}), ("ShadowHandGrasp", RANDOM), ("WheelTurn", {})


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in counts as a GPU; forces, which a GPU would compute, are none."""
    monkeypatch.setattr(placement, "is_on_gpu", lambda x: isinstance(x, torch.Tensor) and x.device == DEVICE)
    monkeypatch.setattr(
        Task, "contact_forces", lambda self, state, _: state.qpos.new_zeros((*state.time.shape, self.model.nbody, 6))
    )


@pytest.mark.parametrize(("name", "arguments"), [*((name, {}) for name in NAMES), *HANDS])
def test_functions_of_a_task_stay_on_the_device(name: str, arguments: dict[str, Any]) -> None:
    envs: Any = gymnasium.make_vec(f"gradgym/{name}-v0", 3, **arguments)
    task = envs.task
    assert task.serves_gpu
    start = task.start([np.random.default_rng(i) for i in range(3)]).tensors()
    drawn = torch.from_numpy(envs.action_space.sample()).double()
    with stand_in() as device, torch.no_grad():
        state, action = start.map(lambda x: x.to(device)), drawn.to(device)
        after = state.after(state.qpos + 0.01, state.qvel, state.act, None)
        results = [task.control(action), task.observation(after), task.terminal(after)]
        results += [*task.state_info(after).values(), *task.transition_info(state, action, after).values()]
        assert all(x.device == device for x in results)


@pytest.mark.parametrize("name", NAMES)
def test_starts_are_drawn_on_the_device(name: str) -> None:
    envs: Any = gymnasium.make_vec(f"gradgym/{name}-v0", 3)
    task = envs.task
    assert task.draws_tensors
    still = task.state_at(task.model.initial_state(), 3)
    with stand_in() as device, torch.no_grad():
        start = task.start_tensors(still.map(lambda x: x.to(device)), torch.Generator())
        assert all(x.device == device for x in (start.qpos, start.qvel, start.act, start.time))


@pytest.mark.parametrize("name", NAMES)
def test_starts_that_torch_draws_are_distributed_as_those_of_the_cpu(name: str) -> None:
    envs: Any = gymnasium.make_vec(f"gradgym/{name}-v0", 1)
    task, count = envs.task, 2000
    expected = task.start([np.random.default_rng(i) for i in range(count)])
    still = task.state_at(task.model.initial_state(), count)
    found = task.start_tensors(still, torch.Generator().manual_seed(0))
    assert torch.equal(still.qpos, task.state_at(task.model.initial_state(), count).qpos)
    for one, other in (expected.qpos, found.qpos), (expected.qvel, found.qvel), (expected.act, found.act):
        assert one.shape == other.shape and one.dtype == other.dtype
        for known, drawn in zip(one.T.numpy(), other.T.numpy(), strict=True):
            alike: Any = ks_2samp(known, drawn)
            assert (known == drawn).all() or alike.pvalue > 1e-4
    # What is drawn together belongs together: a car runs where it looks
    one, other = (torch.cat([x.qpos, x.qvel], 1).numpy() for x in (expected, found))
    spread = one.std(0)
    assert_allclose(np.cov(other.T), np.cov(one.T), rtol=0.0, atol=0.1 * spread.max() ** 2 + 1e-30)
    assert (found.time == 0).all()

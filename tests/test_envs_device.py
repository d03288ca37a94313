"""Tasks whose tensors are on another device than the CPU: nothing of theirs stays behind."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stand_in_device import DEVICE, stand_in

from gradgym.envs.task import Task
from gradgym.sim import placement

NAMES = "NLinkPendulum", "Ant", "HalfCheetah", "Hopper", "Walker2d", "BallThrow", "Golf", "Racecar"


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in counts as a GPU; forces, which a GPU would compute, are none."""
    monkeypatch.setattr(placement, "is_on_gpu", lambda x: isinstance(x, torch.Tensor) and x.device == DEVICE)
    monkeypatch.setattr(
        Task, "contact_forces", lambda self, state, _: state.qpos.new_zeros((*state.time.shape, self.model.nbody, 6))
    )


@pytest.mark.parametrize("name", NAMES)
def test_functions_of_a_task_stay_on_the_device(name: str) -> None:
    envs: Any = gymnasium.make_vec(f"gradgym/{name}-v0", 3)
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

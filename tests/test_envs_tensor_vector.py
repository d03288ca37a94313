"""Environments on a GPU, whose kernels an emulation runs (`cuda_emulation.py`), beside those on the CPU."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from gradgym.agents import SHAC
from gradgym.envs.differentiable import DifferentiableEnvs
from gradgym.envs.tensor_vector import TensorVectorEnv
from gradgym.envs.vector import TaskVectorEnv

pytest.importorskip("numba_cuda", reason="the extra cuda is not installed: nothing compiles for CUDA")

from cuda_emulation import emulated, shared_gpu

PENDULUM = "gradgym/NLinkPendulum-v0"


@pytest.fixture(autouse=True)
def _gpu() -> Any:
    with emulated(shared_gpu()):
        yield


def _made(**keywords: Any) -> Any:
    return gymnasium.make_vec(PENDULUM, 6, n_links=3, **keywords)


def _actions(steps: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1.0, 1.0, (steps, 6, 3))


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_steps_are_those_of_arrays_until_an_episode_ends(mode: str) -> None:
    there, here = _made(device="cuda", autoreset_mode=mode), _made(autoreset_mode=mode)
    assert isinstance(there, TensorVectorEnv) and type(here) is TaskVectorEnv
    obs, _ = there.reset(seed=3)
    expected, _ = here.reset(seed=3)
    assert_allclose(obs, expected, rtol=1e-6)
    for action in _actions(5):
        *found, info = there.step(torch.from_numpy(action))
        *known, known_info = here.step(action)
        assert all(isinstance(x, torch.Tensor) for x in found)
        for one, other in zip(found, known, strict=True):
            assert_allclose(one, other, rtol=1e-6, atol=1e-7)
        assert known_info.keys() <= info.keys()
        for name, value in known_info.items():
            assert_allclose(np.asarray(info[name], float), np.asarray(value, float), rtol=1e-6, atol=1e-7)


def test_an_ended_episode_begins_again_in_the_next_step_at_a_start() -> None:
    envs = _made(device="cuda", max_episode_steps=2)
    envs.reset(seed=0)
    first, second, third = (envs.step(action) for action in _actions(3))
    assert not first[3].any() and second[3].all() and not third[3].any()
    assert (third[1] == 0.0).all() and (envs.state.time == 0).all()
    pool = envs._pool.qpos
    assert all(any(torch.equal(row, start) for start in pool) for row in envs.state.qpos)


def test_an_ended_episode_begins_again_at_once_and_leaves_its_last_observation() -> None:
    envs = _made(device="cuda", max_episode_steps=2, autoreset_mode="SameStep")
    envs.reset(seed=0)
    envs.step(_actions(1)[0])
    obs, reward, _, truncated, info = envs.step(_actions(2)[1])
    assert truncated.all() and (envs.state.time == 0).all() and (reward != 0.0).any()
    assert info["_final_obs"].all() and not torch.equal(info["final_obs"], obs)
    assert_allclose(obs, envs.task.observation(envs.state).float())


def test_equal_seeds_give_equal_episodes() -> None:
    def rollout() -> torch.Tensor:
        envs = _made(device="cuda", max_episode_steps=2)
        envs.reset(seed=5)
        return torch.stack([envs.step(action)[0] for action in _actions(6)])

    assert torch.equal(rollout(), rollout())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"on a GPU use envs\.DifferentiableEnvs"):
        _made(device="cuda", gradients="action")
    with pytest.raises(ValueError, match="backend='mujoco' runs on the CPU"):
        _made(device="cuda", backend="mujoco")
    with pytest.raises(ValueError, match="CubeReorient runs on the CPU: leave device='cuda' out"):
        gymnasium.make_vec("gradgym/CubeReorient-v0", 2, device="cuda")
    envs = _made(device="cuda")
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"NLinkPendulum: action has shape \(3,\), expected \(6, 3\)"):
        envs.step(np.zeros(3))


def test_gradients_of_steps_are_those_of_the_cpu() -> None:
    def gradient(**keywords: Any) -> torch.Tensor:
        envs = _made(**keywords)
        envs.reset(seed=1)
        worlds, action = DifferentiableEnvs(envs), torch.from_numpy(_actions(1)[0]).requires_grad_()
        rewards = torch.stack([worlds.step(action).reward.sum() for _ in range(3)])
        return torch.autograd.grad(rewards.sum(), action)[0]

    assert_allclose(gradient(device="cuda"), gradient(), rtol=1e-8, atol=1e-10)


def test_shac_trains_there() -> None:
    model = SHAC("MlpPolicy", _made(device="cuda", autoreset_mode="SameStep"), device="cpu", seed=0, horizon=2)
    before = torch.nn.utils.parameters_to_vector(model.policy.actor.parameters())
    launches = len(shared_gpu().launches)
    model.learn(24)
    assert len(shared_gpu().launches) >= launches + 2 * 4  # two ways of two steps, twice
    after = torch.nn.utils.parameters_to_vector(model.policy.actor.parameters())
    assert after.isfinite().all() and not torch.equal(before, after)

"""Environments on a GPU beside those on the CPU: in tensors of torch's device "cpu", which count as a GPU's.

What simulates is the CPU's code, or with numba-cuda that of a GPU in an emulation (`cuda_emulation.py`).
"""

import importlib.util
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from gradgym.agents import SHAC
from gradgym.envs.differentiable import DifferentiableEnvs
from gradgym.envs.tasks.hopper import Hopper
from gradgym.envs.tasks.pendulum import NLinkPendulum
from gradgym.envs.tensor_vector import TensorVectorEnv
from gradgym.envs.vector import TaskVectorEnv
from gradgym.sim import Models, placement

PENDULUM = "gradgym/NLinkPendulum-v0"
needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="the extra cuda is not installed: nothing compiles for CUDA"
)
both = pytest.mark.parametrize("place", ["host", pytest.param("emulation", marks=needs_compiler)], indirect=True)
emulation = pytest.mark.parametrize("place", [pytest.param("emulation", marks=needs_compiler)], indirect=True)


@pytest.fixture(autouse=True)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What "cuda" is: the CPU, or the emulation, which is returned."""
    if getattr(request, "param", "host") == "emulation":
        from cuda_emulation import emulated, shared_gpu

        with emulated(shared_gpu()) as gpu:
            yield gpu
    else:
        cpu = torch.device("cpu")
        monkeypatch.setattr(placement, "gpu_of", lambda device, *_: None if device is None else cpu)
        yield None


def _made(**keywords: Any) -> Any:
    return gymnasium.make_vec(PENDULUM, 6, n_links=3, **keywords)


def _actions(steps: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1.0, 1.0, (steps, 6, 3))


@both
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


def test_robots_are_put_elsewhere_by_arrays() -> None:
    there, here = _made(device="cuda", max_episode_steps=3), _made(max_episode_steps=3)
    qpos, qvel = np.random.default_rng(1).normal(size=(2, 2, 3))
    for envs in (there, here):
        envs.reset(seed=3)
        envs.set_state(qpos, qvel, rows=[1, 4])
    assert_allclose(there.state.qpos[[1, 4]], qpos)
    actions = _actions(3)
    assert_allclose(there.step(torch.from_numpy(actions[0]))[0], here.step(actions[0])[0], rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match="qpos"):
        there.set_state(qpos[:1], qvel, rows=[1, 4])
    for action in actions[1:]:
        there.step(torch.from_numpy(action))
    with pytest.raises(ValueError, match="environment 1 has ended"):
        there.set_state(qpos, qvel, rows=[1, 4])


def test_an_ended_episode_begins_again_in_the_next_step_at_a_start() -> None:
    envs = _made(device="cuda", max_episode_steps=2)
    envs.reset(seed=0)
    first, second, third = (envs.step(action) for action in _actions(3))
    assert not first[3].any() and second[3].all() and not third[3].any()
    assert (third[1] == 0.0).all() and (envs.state.time == 0).all()
    assert_allclose(envs.state.qpos, envs.task.model.initial_state().qpos[None].repeat(6, 0))


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


def _starts(envs: Any, seed: int | None) -> torch.Tensor:
    """Where six episodes of each environment begin, after `reset`; (6 num_envs, nq)."""
    obs, _ = envs.reset(seed=seed)
    found = []
    while len(found) < 6:
        if (envs.state.time == 0).all():
            found.append(envs.state.qpos)
            assert_allclose(obs, envs.task.observation(envs.state).float())
        obs, *_ = envs.step(torch.zeros(envs.action_space.shape))
    return torch.cat(found)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_every_episode_has_a_start_of_its_own(mode: str) -> None:
    """By the seed of `reset`, if there is one."""
    envs = gymnasium.make_vec("gradgym/Hopper-v0", 4, device="cuda", max_episode_steps=2, autoreset_mode=mode)
    one, again, further, other = (_starts(envs, seed) for seed in (7, 7, None, 70))
    assert torch.equal(one, again)
    many = torch.cat([one, further, other])
    assert len(many.unique(dim=0)) == len(many) == 3 * 6 * 4
    here: Any = gymnasium.make_vec("gradgym/Hopper-v0", 4)
    here.reset(seed=70)
    assert torch.equal(other[:4], here.unwrapped.state.qpos)


def test_hands_have_their_goals_and_objects_there() -> None:
    made: dict[str, Any] = {"num_envs": 3, "randomize": {"size": (0.9, 1.1)}, "max_episode_steps": 1}
    there: Any = gymnasium.make_vec("gradgym/CubeReorient-v0", device="cuda", **made)
    here: Any = gymnasium.make_vec("gradgym/CubeReorient-v0", **made)
    obs, _ = there.reset(seed=2)
    assert_allclose(obs, here.reset(seed=2)[0], rtol=1e-6, atol=1e-7)
    action = np.full(there.action_space.shape, 0.5)
    found, known = there.step(action), here.step(action)
    assert_allclose(found[0], known[0], rtol=1e-6, atol=1e-6)
    assert_allclose(found[1], known[1], rtol=1e-9)
    obs = there.step(action)[0]
    goals, pool = there.state.mocap_pos, there._pool.mocap_pos
    assert (there.state.time == 0).all() and all((goal == pool).all((1, 2)).any() for goal in goals)
    assert_allclose(obs, there.task.observation(there.state).float())


class Lifted(Hopper):
    """A task that draws other starts than the one that it is made of."""

    def initial(self, rng: Any, params: None = None) -> Any:
        state = super().initial(rng)
        return replace(state, qpos=state.qpos + 0.3)


def test_a_task_that_draws_on_the_host_alone_has_a_pool() -> None:
    envs = TensorVectorEnv(f"{__name__}:Lifted", 4, max_episode_steps=2)
    assert Hopper().draws_tensors and not envs.task.draws_tensors
    starts = _starts(envs, 7)
    assert len(starts.unique(dim=0)) <= 8  # the first ones, and the pool
    assert (starts[:, 0] > 0.29).all()


class Crowd(NLinkPendulum):
    """Pendulums of which each episode has a lighter or a heavier one."""

    def __init__(self, backend: str = "sim") -> None:
        super().__init__(n_links=3, backend=backend)
        self.models = self.model, self.model.replace(body_mass=2.0 * self.model.body_mass)
        self._pool = Models(self.models)


def test_models_are_drawn_too() -> None:
    task = Crowd()
    still, generator = task.state_at(task.model.initial_state(), 500), torch.Generator().manual_seed(0)
    variant = task.start_tensors(still, generator).variant
    assert variant is not None and 200 < int((variant == 1).sum()) < 300 and set(variant.tolist()) == {0, 1}


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"on a GPU use envs\.DifferentiableEnvs"):
        _made(device="cuda", gradients="action")
    with pytest.raises(ValueError, match="backend='mujoco' runs on the CPU"):
        _made(device="cuda", backend="mujoco")
    with pytest.raises(ValueError, match="PlanarPushing runs on the CPU: leave device='cuda' out"):
        gymnasium.make_vec("gradgym/PlanarPushing-v0", 2, device="cuda")
    envs = _made(device="cuda")
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"NLinkPendulum: action has shape \(3,\), expected \(6, 3\)"):
        envs.step(np.zeros(3))


@emulation
def test_gradients_of_steps_are_those_of_the_cpu() -> None:
    def gradient(**keywords: Any) -> torch.Tensor:
        envs = _made(**keywords)
        envs.reset(seed=1)
        worlds, action = DifferentiableEnvs(envs), torch.from_numpy(_actions(1)[0]).requires_grad_()
        rewards = torch.stack([worlds.step(action).reward.sum() for _ in range(3)])
        return torch.autograd.grad(rewards.sum(), action)[0]

    assert_allclose(gradient(device="cuda"), gradient(), rtol=1e-8, atol=1e-10)


@emulation
def test_shac_trains_there(place: Any) -> None:
    model = SHAC("MlpPolicy", _made(device="cuda", autoreset_mode="SameStep"), device="cpu", seed=0, horizon=2)
    before = torch.nn.utils.parameters_to_vector(model.policy.actor.parameters())
    launches = len(place.launches)
    model.learn(24)
    assert len(place.launches) >= launches + 2 * 4  # two ways of two steps, twice
    after = torch.nn.utils.parameters_to_vector(model.policy.actor.parameters())
    assert after.isfinite().all() and not torch.equal(before, after)

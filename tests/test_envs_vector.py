"""Many environments at once: they are single ones, whatever the number of threads, and share nothing."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from vector_info import assert_equal_info

from gradgym import sim
from gradgym.envs.vector import TaskVectorEnv
from gradgym.sim.kernels import threads as pool

ANT, HOPPER, PENDULUM = "gradgym/Ant-v0", "gradgym/Hopper-v0", "gradgym/NLinkPendulum-v0"
NUM_ENVS = 19  # a prime: no number of threads divides it
STEPS = 25


@pytest.fixture(autouse=True)
def threads_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pool, "_SHORT", 0.0)  # all threads, however little there is to do
    before = sim.get_num_threads()
    yield
    sim.set_num_threads(before)


def actions_of(envs: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (STEPS, *envs.action_space.shape))


@pytest.mark.parametrize("env_id", [ANT, HOPPER, PENDULUM])
def test_environments_together_are_single_ones_bit_for_bit(env_id: str) -> None:
    """Observations, rewards, flags, infos and the states behind them, up to the first end of each."""
    sim.set_num_threads(3)
    envs: Any = gymnasium.make_vec(env_id, num_envs=NUM_ENVS)
    singles: Any = [gymnasium.make(env_id) for _ in range(NUM_ENVS)]
    obs = envs.reset(seed=5)[0]
    for i, single in enumerate(singles):
        np.testing.assert_array_equal(single.reset(seed=5 + i)[0], obs[i])
    going = np.ones(NUM_ENVS, bool)
    for actions in actions_of(envs):
        *found, info = envs.step(actions)
        for i in np.flatnonzero(going):
            *expected, expected_info = singles[i].step(actions[i])
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a[i], b)
            assert {name: info[name][i] for name in expected_info} == expected_info
            for a, b in zip(envs.unwrapped.state.numpy()[:3], singles[i].unwrapped.state.numpy()[:3], strict=True):
                np.testing.assert_array_equal(a[i], b[0])
        going &= ~(found[2] | found[3])
    assert going.sum() > 1


def flat(results: tuple[Any, ...]) -> list[np.ndarray]:
    """All arrays of what `reset` or `step` returned, the single ones of `final_obs` too."""
    arrays: list[np.ndarray] = []
    for result in results:
        if isinstance(result, dict):
            arrays += flat(tuple(result.values()))
        else:
            arrays += [one for one in result if one is not None] if result.dtype == object else [result]
    return arrays


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_the_number_of_threads_does_not_show(mode: AutoresetMode) -> None:
    def episodes(threads: int) -> list[np.ndarray]:
        sim.set_num_threads(threads)
        options: dict[str, Any] = {"healthy_z_range": (0.6, 0.85), "gradients": "action", "autoreset_mode": mode}
        envs: Any = gymnasium.make_vec(ANT, num_envs=NUM_ENVS, **options)
        found = flat(envs.reset(seed=0))
        for actions in actions_of(envs):
            found += flat(envs.step(actions))
        return found

    expected = episodes(1)
    for threads in (2, 3):
        for a, b in zip(episodes(threads), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_ends_of_some_environments_in_the_same_step_are_gymnasiums() -> None:
    """Falls, which come at different times: `test_envs_adapters.py` has the limit of time, which all reach at once."""
    native = TaskVectorEnv(
        "gradgym.envs.tasks.hopper:Hopper", 5, autoreset_mode="SameStep", healthy_z_range=(1.2, np.inf)
    )
    make = [lambda: gymnasium.make(HOPPER, healthy_z_range=(1.2, np.inf))] * 5
    reference = SyncVectorEnv(make, autoreset_mode=AutoresetMode.SAME_STEP)
    np.testing.assert_array_equal(native.reset(seed=0)[0], reference.reset(seed=0)[0])
    ends = []
    for actions in actions_of(native):
        found, expected = native.step(actions), reference.step(actions)
        for a, b in zip(found[:4], expected[:4], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert_equal_info(found[4], expected[4])
        ends.append(found[2].sum())
    assert 0 < np.max(ends) < 5


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_what_is_returned_is_the_callers_own(mode: AutoresetMode) -> None:
    """Who overwrites all arrays that a step returned changes nothing: not the next steps, and no other array."""
    options: dict[str, Any] = {"max_episode_steps": 4, "gradients": "action", "autoreset_mode": mode}
    envs, untouched = (gymnasium.make_vec(ANT, num_envs=3, **options) for _ in range(2))
    for envs_ in (envs, untouched):
        envs_.reset(seed=0)
    for actions in actions_of(envs)[:10]:
        for a, b in zip(arrays := flat(envs.step(actions)), flat(untouched.step(actions)), strict=True):
            np.testing.assert_array_equal(a, b)
            a[...] = 0
        assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])

"""Resets of the adapters: seeds, masks, and where the last transition's gradients are."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from vector_info import assert_equal_info

PENDULUM = "gradgym/NLinkPendulum-v0"
HOPPER = "gradgym/Hopper-v0"  # whose starts are random


def make(**options: Any) -> Any:
    return gymnasium.make(PENDULUM, **options)


def make_vec(**options: Any) -> Any:
    return gymnasium.make_vec(PENDULUM, **options)


def test_seeds_of_a_vector_environment() -> None:
    envs = make_vec(num_envs=2)
    envs.reset(seed=[3, None])
    with pytest.raises(ValueError, match="3 seeds for num_envs=2"):
        envs.reset(seed=[1, 2, 3])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("seed", [None, 9, [5, 6, 7]])
def test_a_reset_mask_resets_what_it_says(mode: AutoresetMode, seed: Any) -> None:
    """As `SyncVectorEnv`; also between the end of an episode and the step that would restart it."""
    native: Any = gymnasium.make_vec(HOPPER, 3, max_episode_steps=5, autoreset_mode=mode)
    reference: Any = SyncVectorEnv([lambda: gymnasium.make(HOPPER, max_episode_steps=5)] * 3, autoreset_mode=mode)
    for envs in (native, reference):
        envs.reset(seed=4)
    rng = np.random.default_rng(0)
    for step in range(12):
        actions = rng.uniform(-1, 1, (3, 3))
        found, expected = native.step(actions), reference.step(actions)
        if step in (2, 4, 5):
            mask = np.array([step != 5, False, step == 5])
            found, expected = (envs.reset(seed=seed, options={"reset_mask": mask}) for envs in (native, reference))
        for a, b in zip(found[:-1], expected[:-1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert_equal_info(found[-1], expected[-1])


@pytest.mark.parametrize("vectorization_mode", ["vector_entry_point", "sync", "async"])
def test_where_the_gradients_of_an_episodes_last_transition_are(vectorization_mode: str) -> None:
    """In `final_info`, everywhere; beside the next episode's observation in our own vector environments."""
    own = vectorization_mode == "vector_entry_point"
    mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
    options: dict[str, Any] = {"n_links": 2, "gradients": "action", "max_episode_steps": 3}
    options |= mode if own else {"vector_kwargs": mode}
    envs = make_vec(num_envs=2, vectorization_mode=vectorization_mode, **options)
    single = make(n_links=2, gradients="action")
    try:
        envs.reset(seed=0)
        single.reset(seed=0)
        *_, (info, expected) = [
            (envs.step(np.full((2, 2), 0.3))[-1], single.step(np.full(2, 0.3))[-1]) for _ in range(3)
        ]
    finally:
        envs.close()
    for name, value in expected["gradients"].items():
        np.testing.assert_allclose(info["final_info"]["gradients"][name][0], value, rtol=1e-9, atol=1e-12)
        if own:
            np.testing.assert_allclose(info["gradients"][name][0], value, rtol=1e-9, atol=1e-12)
    assert ("gradients" in info) is own


@pytest.mark.parametrize("mask", [[True, False], np.zeros(2, bool), np.ones(3, bool), np.array([1, 0])])
def test_what_is_no_reset_mask_is_named(mask: Any) -> None:
    envs = make_vec(num_envs=2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"options\['reset_mask'\]: must be an array of 2 booleans, one of them True"):
        envs.reset(options={"reset_mask": mask})


@pytest.mark.parametrize("number", [np.int64, np.uint8, np.int32])
def test_seeds_may_be_numpys(number: Any) -> None:
    expected = gymnasium.make(HOPPER).reset(seed=3)[0]
    np.testing.assert_array_equal(gymnasium.make(HOPPER).reset(seed=number(3))[0], expected)
    seeds: list[Any] = [number(3), [number(3), None], np.array([3, 7], number)]
    for seed in seeds:
        np.testing.assert_array_equal(gymnasium.make_vec(HOPPER, 2).reset(seed=seed)[0][0], expected)
    sync: Any = gymnasium.make_vec(HOPPER, 2, vectorization_mode="sync")
    np.testing.assert_array_equal(sync.reset(seed=[number(3), None])[0][0], expected)


@pytest.mark.parametrize("seed", [1.0, -1, 1j])
def test_other_seeds_are_refused(seed: Any) -> None:
    for env, given in ((make(), seed), (make_vec(num_envs=2), seed), (make_vec(num_envs=2), [seed, 0])):
        with pytest.raises(gymnasium.error.Error, match="Seed must be"):
            env.reset(seed=given)

"""The limit of time is the one that an environment was made with, shorter or longer than the registered one."""

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from gradgym.envs.differentiable import DifferentiableEnvs
from gradgym.envs.vector import TaskVectorEnv

PENDULUM, CHEETAH = "gradgym/NLinkPendulum-v0", "gradgym/HalfCheetah-v0"
ALL = [spec.id for spec in gymnasium.registry.values() if spec.namespace == "gradgym"]
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]
LIMITS = [37, 100, 150]  # registered is 100
NEVER = -1


def first_truncation(env: Any, most: int) -> int | None:
    """The number of the step that was truncated, in any environment; None if none of the first `most` was."""
    env.reset(seed=0)
    env.action_space.seed(0)
    return next((t for t in range(1, most + 1) if np.any(env.step(env.action_space.sample())[3])), None)


@pytest.mark.parametrize("env_id", ALL)
def test_observed_time_is_of_the_registered_limit(env_id: str) -> None:
    """A task whose observation, or reward, tells the time divides it by the limit of the registration."""
    env: Any = gymnasium.make(env_id)
    envs: Any = gymnasium.make_vec(env_id, num_envs=2)
    assert env.spec.max_episode_steps == envs.max_episode_steps == envs.spec.max_episode_steps
    steps = getattr(env.unwrapped.task, "episode_steps", None)
    assert steps in (None, env.spec.max_episode_steps)
    assert (steps is None) == (env_id.split("/")[1] in ("Ant-v0", "HalfCheetah-v0", "Hopper-v0", "Walker2d-v0"))


@pytest.mark.parametrize("limit", LIMITS)
def test_a_single_environment(limit: int) -> None:
    env: Any = gymnasium.make(PENDULUM, n_links=1, max_episode_steps=limit)
    assert env.spec.max_episode_steps == limit
    assert first_truncation(env, 200) == limit


def test_half_cheetah_gets_its_1500_steps() -> None:
    env: Any = gymnasium.make(CHEETAH, frame_skip=1, max_episode_steps=1500)
    assert first_truncation(env, 1600) == env.spec.max_episode_steps == 1500


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", LIMITS)
def test_vector_environments(limit: int, mode: AutoresetMode) -> None:
    envs: Any = gymnasium.make_vec(PENDULUM, 2, n_links=1, max_episode_steps=limit, autoreset_mode=mode)
    assert envs.max_episode_steps == envs.spec.max_episode_steps == limit
    assert first_truncation(envs, 200) == limit
    again: Any = gymnasium.make_vec(envs.spec)
    assert (again.num_envs, again.max_episode_steps, again.spec.max_episode_steps) == (2, limit, limit)


@pytest.mark.parametrize("mode", MODES)
def test_a_state_beyond_the_registered_limit_goes_on(mode: AutoresetMode) -> None:
    envs: Any = gymnasium.make_vec(CHEETAH, 3, max_episode_steps=1500, autoreset_mode=mode)
    envs.reset(seed=0)
    envs.state = replace(envs.state, time=torch.tensor([0, 1200, 1499]))
    *_, truncated, _ = envs.step(np.zeros((3, 6)))
    np.testing.assert_array_equal(truncated, [False, False, True])


def test_environments_as_a_graph() -> None:
    envs: Any = gymnasium.make_vec(CHEETAH, 3, max_episode_steps=1500, autoreset_mode=AutoresetMode.SAME_STEP)
    envs.reset(seed=0)
    envs.state = replace(envs.state, time=torch.tensor([0, 1200, 1499]))
    step = DifferentiableEnvs(envs).step(torch.zeros(3, 6))
    assert step.truncated.tolist() == [False, False, True]
    assert envs.state.time.tolist() == [1, 1201, 0]


def test_no_limit() -> None:
    env: Any = gymnasium.make(PENDULUM, n_links=1, max_episode_steps=NEVER)
    assert env.spec.max_episode_steps is None
    assert first_truncation(env, 300) is None
    for mode in MODES:
        envs: Any = gymnasium.make_vec(PENDULUM, 2, n_links=1, max_episode_steps=NEVER, autoreset_mode=mode)
        assert envs.max_episode_steps is envs.spec.max_episode_steps is None
        assert first_truncation(envs, 300) is None
        assert not DifferentiableEnvs(envs).step(torch.zeros(2, 1)).truncated.any()


@pytest.mark.parametrize(
    ("limit", "message"),
    [(0, "=0: must be at least 1"), (-2, "=-2: must be at least 1"), (1.5, "=1.5: must be an integer"), (True, "True")],
)
def test_what_is_no_limit_is_named(limit: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"max_episode_steps{message}" if message[0] == "=" else message):
        TaskVectorEnv("gradgym.envs.tasks.pendulum:NLinkPendulum", max_episode_steps=limit)


def test_the_pendulums_100_steps_are_its_own() -> None:
    """Beyond them its time goes on and its reward is the progress; only step 100 is also charged the distance."""
    env: Any = gymnasium.make(PENDULUM, n_links=2, max_episode_steps=150)
    task, rows = env.unwrapped.task, []
    obs, _ = env.reset(seed=0)
    for t in range(1, 151):
        action = np.array([0.3, -0.2])
        next_obs, reward, _, _, info = env.step(action)
        assert next_obs[-1] == np.float32(t / 100)
        assert (info["reward_final"] != 0.0) == (t == 100)
        rows.append((obs, action, next_obs, reward))
        obs = next_obs
    before, actions, after, rewards = (torch.from_numpy(np.array(x)).double() for x in zip(*rows, strict=True))
    np.testing.assert_allclose(task.observed_reward(before, actions, after), rewards, atol=1e-5)

"""Wrappers around environments: the limit of time that holds under them, and what else they may change."""

from collections.abc import Generator
from typing import Any

import gymnasium
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, RecordVideo, TimeLimit
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecCheckNan, VecEnv, VecMonitor, VecVideoRecorder
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper

# What they leave as it is: actions, observations, rewards, and so the gradients of one by another.
_TRANSPARENT = (OrderEnforcing, PassiveEnvChecker, TimeLimit, RecordEpisodeStatistics, RecordVideo, Monitor)
_TRANSPARENT_OF_VECTORS = (VecMonitor, VecCheckNan, VecVideoRecorder)


def wrappers(env: gymnasium.Env[Any, Any]) -> Generator[gymnasium.Wrapper[Any, Any, Any, Any]]:
    """Those of an environment, the outermost first."""
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env


def time_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """Steps after which the time of an episode is over: the shortest of its limits; None without one."""
    own = (wrapper._max_episode_steps for wrapper in wrappers(env) if isinstance(wrapper, TimeLimit))  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] (it has no other name)
    return min(own, default=None)


def vector_time_limit(env: VecEnv) -> int | None:
    """That of the first environment. In another process only the outermost limit is seen."""
    if isinstance(env.unwrapped, DummyVecEnv):
        return time_limit(env.unwrapped.envs[0])
    spec = env.get_attr("spec")[0]
    return None if spec is None else spec.max_episode_steps


def changing_wrapper(env: VecEnv) -> str | None:
    """The name of a wrapper that may change actions, observations or rewards; None if there is none.

    Of environments in other processes it is known from their specification, if they have one.
    """
    while isinstance(env, VecEnvWrapper):
        if not isinstance(env, _TRANSPARENT_OF_VECTORS):
            return type(env).__name__
        env = env.venv
    if isinstance(env, DummyVecEnv):
        around = (wrapper for one in env.envs for wrapper in wrappers(one))
        return next((type(w).__name__ for w in around if not isinstance(w, _TRANSPARENT)), None)
    spec = env.get_attr("spec")[0]
    if spec is None:
        return None
    known = {f"{cls.__module__}:{cls.__name__}" for cls in _TRANSPARENT}
    return next((w.entry_point.split(":")[1] for w in spec.additional_wrappers if w.entry_point not in known), None)

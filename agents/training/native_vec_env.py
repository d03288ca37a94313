"""`NativeVecEnv`: our native vector environments for Stable-Baselines3.

SB3's own `DummyVecEnv` steps environments one by one; here one call of the simulator steps all.
"""

from collections.abc import Sequence
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import find_highest_version, get_env_id, parse_env_id
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper

from ...envs import VECTOR_ADAPTER
from ...envs.arrays import as_numpy
from ...envs.single import TaskEnv
from ...envs.vector import TaskVectorEnv
from ...envs.vector_on_device import vector_env
from .configuration import full_id
from .wrappers import time_limit, wrappers

_COUNTED = (OrderEnforcing, PassiveEnvChecker, TimeLimit, Monitor)


class NativeVecEnv(VecEnv):
    """A `TaskVectorEnv` in SB3's interface.

    As SB3 wants it, episodes restart in the step that ends them. Infos are made for those steps only
    (`terminal_observation`, `TimeLimit.truncated`, and `episode` with return "r" and length "l", as
    SB3's `Monitor` writes them); the infos of all other steps are empty.
    """

    def __init__(self, envs: TaskVectorEnv) -> None:
        if envs.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError("SB3 restarts episodes in the step that ends them: pass autoreset_mode='SameStep'")
        self.envs = envs
        self.render_mode = envs.render_mode
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self.returns = np.zeros(self.num_envs)
        self.lengths = np.zeros(self.num_envs, np.int64)

    def reset(self) -> NDArray[np.float32]:
        """Starts an episode everywhere; observations (num_envs, n_obs)."""
        obs, _ = self.envs.reset(seed=self._seeds)
        self._reset_seeds()
        self._reset_options()
        self.returns[:], self.lengths[:] = 0.0, 0
        return as_numpy(obs)

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], list[dict[str, Any]]]:
        *found, info = self.envs.step(self._actions)
        obs, reward, terminated, truncated = map(as_numpy, found)
        done = terminated | truncated
        infos = self.count(reward, terminated, truncated)
        for i in np.flatnonzero(done):
            infos[i]["terminal_observation"] = as_numpy(info["final_obs"][i])
        return obs, reward, done, infos

    def count(self, reward: NDArray[Any], terminated: NDArray[Any], truncated: NDArray[Any]) -> list[dict[str, Any]]:
        """Adds a step to the running episodes; the infos of the step, without terminal observations."""
        self.returns += reward
        self.lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(terminated | truncated):
            infos[i]["episode"] = {"r": float(self.returns[i]), "l": int(self.lengths[i])}
            infos[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
            self.returns[i], self.lengths[i] = 0.0, 0
        return infos

    def close(self) -> None:
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        value = getattr(self.envs, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("the environments share their attributes: set them when making the environment")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        if method_name == "render":  # SB3 shows windows so
            return [self.envs.render()]
        raise NotImplementedError("the environments are one object, .envs: call its methods")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        return self.envs.render() or [None] * self.num_envs


def native(env: Any, num_envs: int, device: torch.device | None = None) -> NativeVecEnv:
    """Native environments for an id, an `Env`, a `VectorEnv` or SB3's vector of ours, or what it already made.

    An id or an `Env` gives `num_envs` environments of its task, a `VectorEnv` as many as it has: itself, or
    where it restarts episodes a step later (Gymnasium's default) others like it. What SB3's `make_vec_env` made
    gives as many like it, with its seeds. What is made is on `device`, by default the CPU; ValueError where `env`
    is on another one.
    """
    made = _native(env, num_envs, {} if device is None or device.type == "cpu" else {"device": str(device)})
    own = getattr(made.envs, "device", torch.device("cpu"))
    if device is not None and own.type != device.type:
        raise ValueError(f'device="{device}": the environments are on "{own}", make them with device="{device}"')
    return made


def _native(env: Any, num_envs: int, place: dict[str, Any]) -> NativeVecEnv:
    if isinstance(env, NativeVecEnv):
        return env
    if isinstance(env, str):
        env = full_id(env)
        if gymnasium.spec(env.rpartition(":")[2]).vector_entry_point != VECTOR_ADAPTER:
            raise TypeError(f"env={env!r}: not an environment of gradgym's, so it has no gradients{suggestion(env)}")
        env = gymnasium.make_vec(env, num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **place)
    if isinstance(env, TaskVectorEnv):
        if env.autoreset_mode is AutoresetMode.SAME_STEP:
            return NativeVecEnv(env)
        return _like(env, env.num_envs, env.max_episode_steps, place)
    if isinstance(env, gymnasium.Env) and isinstance(env.unwrapped, TaskEnv):
        _check_wrappers(env)
        return _like(env.unwrapped, num_envs, time_limit(env), place)
    if isinstance(env, VecEnv):
        return _as_sb3_vector(env, place)
    raise TypeError(f"env={env!r}: pass the id of an environment of gradgym's, an Env or a VectorEnv made from one")


def _as_sb3_vector(env: VecEnv, place: dict[str, Any]) -> NativeVecEnv:
    if isinstance(env, VecEnvWrapper):
        raise TypeError(_wrapped(type(env).__name__))
    if not isinstance(env, DummyVecEnv):
        name = type(env).__name__
        raise TypeError(f"env is a {name}, whose environments are in other processes: pass the id, and n_envs")
    first = env.envs[0].unwrapped
    for one in env.envs:
        if not isinstance(one.unwrapped, TaskEnv):
            raise TypeError(f"env has {one.unwrapped!r}, which is no environment of gradgym's and has no gradients")
        _check_wrappers(one)
        alike = cloudpickle.dumps(one.unwrapped.task_arguments) == cloudpickle.dumps(first.task_arguments)  # pyright: ignore[reportAttributeAccessIssue]
        if not alike or time_limit(one) != time_limit(env.envs[0]):
            raise TypeError("env has environments with different arguments: native ones are alike")
    assert isinstance(first, TaskEnv)
    made = _like(first, env.num_envs, time_limit(env.envs[0]), place)
    made._seeds = list(env._seeds)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] (SB3 has no other name)
    return made


def suggestion(env_id: str) -> str:
    """Of the environment of gradgym's that has the same name, to be put at the end of a message; or nothing."""
    name = parse_env_id(env_id.rpartition(":")[2])[1]
    version = find_highest_version("gradgym", name)
    return "" if version is None else f"; {get_env_id('gradgym', name, version)} does"


def _like(
    env: TaskEnv | TaskVectorEnv, num_envs: int, max_episode_steps: int | None, place: dict[str, Any]
) -> NativeVecEnv:
    """New environments of the same task."""
    task: dict[str, Any] = env.task_arguments
    settings: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "max_episode_steps": max_episode_steps}
    return NativeVecEnv(vector_env(num_envs=num_envs, **settings, **task, **place))


def _check_wrappers(env: gymnasium.Env[Any, Any]) -> None:
    """TypeError if one would be lost: those of `gymnasium.make`, and SB3's `Monitor`, have their counterpart here."""
    for wrapper in wrappers(env):
        if not isinstance(wrapper, _COUNTED):
            raise TypeError(_wrapped(type(wrapper).__name__))
        if isinstance(wrapper, Monitor) and wrapper.results_writer is not None:
            raise TypeError("env has a Monitor with a file, which native environments have not: leave its filename out")


def _wrapped(name: str) -> str:
    itself = "; SHAC and BPTT normalise observations themselves, see their policy's `normalize`"
    own = itself if name in ("VecNormalize", "NormalizeObservation") else ""
    return f"env is wrapped in {name}, which native environments cannot be: pass it bare{own}"

"""How a run makes an algorithm of Stable-Baselines3: environment and constructor's arguments from its configuration."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from inspect import signature
from typing import Any, Self

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from .configuration import RunConfig
from .policy_state import PolicyState
from .sb3_policies import ACTIVATIONS, policy_from, state_of

_COUNTS = ("batch_size", "buffer_size", "n_steps", "n_epochs", "gradient_steps")


class Sb3Algorithm(BaseAlgorithm):
    """What an algorithm of SB3 lacks to be an `Algorithm` of a run; a base class beside its own."""

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        arguments = constructor_arguments(config.hyperparams)
        for name in _COUNTS:
            # SB3 trains on with some that are 0. Its gradient_steps of -1 are as many as steps were taken.
            if (value := arguments.get(name)) is not None and (name, value) != ("gradient_steps", -1):
                check_count(name, value)
        env = cls.training_env(config, arguments)
        policy = arguments.pop("policy", "MlpPolicy")
        # A constructor hands on what it does not name itself.
        known = {name for base in cls.__mro__ for name in signature(base.__init__).parameters}
        for name in arguments.keys() - known:
            value, preset = arguments[name], f"agents/presets/{config.algo}.yaml"
            raise ValueError(f"{name}={value!r}: --algo {config.algo} has no such setting, see {preset}")
        try:
            return cls(policy, env, seed=config.seed, **arguments)
        except AssertionError as error:  # SB3's word for spaces that an algorithm is not for
            if not str(error):
                raise
            raise ValueError(f"--algo {config.algo} --env {config.env}: {error}") from error

    @classmethod
    def rehearse(cls, config: RunConfig) -> None:
        """As `Algorithm` says: a step of the training's environments with the gradients that it asks for."""
        env = cls.training_env(config, constructor_arguments(config.hyperparams))
        env.reset()
        action = env.action_space.sample()
        env.step(np.stack([action] * env.num_envs) if isinstance(env, VecEnv) else action)
        env.close()

    @classmethod
    def training_env(cls, config: RunConfig, arguments: dict[str, Any]) -> Any:
        """What the constructor takes as `env`; of its other arguments those for the environment alone are taken out."""
        return config.make_training_env()

    def policy_state(self) -> PolicyState:
        """As `Algorithm` says."""
        return state_of(self.policy)

    @classmethod
    def load_policy(cls, state: PolicyState, env: str) -> BasePolicy:
        """As `Algorithm` says: a policy of one of the classes that the algorithm has names for."""
        return policy_from(state, cls.policy_aliases.values())


def check_count(name: str, value: Any) -> None:
    """ValueError unless the value is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: must be a positive integer")


def side_by_side(make: Callable[[], Any], n_envs: int) -> Any:
    """One environment, or several that SB3 steps in turn, for one call of the policy.

    ValueError: `n_envs` is no positive integer.
    """
    check_count("n_envs", n_envs)
    envs = [make() for _ in range(n_envs)]
    return envs[0] if n_envs == 1 else DummyVecEnv([partial(Monitor, env) for env in envs])


class LinearSchedule:
    """SB3 schedule from `initial` at the start of the training to zero at its end."""

    def __init__(self, initial: float) -> None:
        self.initial = initial

    def __call__(self, progress_remaining: float) -> float:
        return progress_remaining * self.initial


def constructor_arguments(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as Python objects: schedules (`lin_1e-3`), tuples, and activations from their names."""
    arguments = deepcopy(settings)
    for name, value in arguments.items():
        if name.endswith("_kwargs") and not isinstance(value, dict | None):
            raise ValueError(f"{name}={value!r}: write single ones as {name}.key:value")
    rate = arguments.get("learning_rate")
    if isinstance(rate, str):
        arguments["learning_rate"] = _schedule(rate)
    if isinstance(arguments.get("train_freq"), list):
        arguments["train_freq"] = tuple(arguments["train_freq"])
    policy_kwargs = arguments.get("policy_kwargs") or {}
    name = policy_kwargs.get("activation_fn")
    if name is not None:
        if name not in ACTIVATIONS:
            raise ValueError(f"activation_fn={name!r}: choose one of {', '.join(ACTIVATIONS)}")
        policy_kwargs["activation_fn"] = ACTIVATIONS[name]
    return arguments


def _schedule(text: str) -> Callable[[float], float]:
    kind, _, initial = text.partition("_")
    try:
        if kind == "lin":
            return LinearSchedule(float(initial))
    except ValueError:
        pass
    raise ValueError(f"learning_rate={text!r}: write a number, or lin_<number> for a linear decay to zero")

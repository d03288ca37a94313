"""Stable-Baselines3's own SAC and PPO, as runs train them."""

from typing import Any, ClassVar

import stable_baselines3 as sb3
from stable_baselines3.common.policies import BasePolicy

from .mbpo.sac_policy import BatchedSACPolicy
from .training.configuration import RunConfig
from .training.native_vec_env import native
from .training.sb3 import Sb3Algorithm


class SAC(Sb3Algorithm, sb3.SAC):
    """SB3's SAC, which can also be asked for the networks of MBPO by their name."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        **sb3.SAC.policy_aliases,
        BatchedSACPolicy.__name__: BatchedSACPolicy,
    }


class PPO(Sb3Algorithm, sb3.PPO):
    """SB3's PPO; in a run `n_envs` above 1 are stepped by one call of the simulator."""

    @classmethod
    def training_env(cls, config: RunConfig, arguments: dict[str, Any]) -> Any:
        n_envs = arguments.pop("n_envs", 1)
        env = config.make_training_env()
        return env if n_envs == 1 else native(env, n_envs)

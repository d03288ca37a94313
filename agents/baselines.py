"""Stable-Baselines3's own SAC and PPO, as runs train them."""

from typing import Any, ClassVar

import stable_baselines3 as sb3
import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from .mbpo.sac_policy import BatchedSACPolicy
from .training.configuration import RunConfig
from .training.native_vec_env import native
from .training.sb3 import Sb3Algorithm, side_by_side


class _FusedAdam(Sb3Algorithm):
    """One call for all parameters where SB3's Adam makes some for each: on small networks a fifth of an update."""

    def _setup_model(self) -> None:
        given = self.policy_kwargs
        if given.get("optimizer_class", torch.optim.Adam) is torch.optim.Adam and given.get("optimizer_kwargs") is None:
            # SB3's policies leave their own settings where there are any: PPO's epsilon.
            own = {"eps": 1e-5} if issubclass(self.policy_class, ActorCriticPolicy) else {}
            self.policy_kwargs = {**given, "optimizer_kwargs": {**own, "fused": True}}
        super()._setup_model()


class SAC(_FusedAdam, sb3.SAC):
    """SB3's SAC, which can also be asked for the networks of MBPO by their name."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        **sb3.SAC.policy_aliases,
        BatchedSACPolicy.__name__: BatchedSACPolicy,
    }

    @classmethod
    def training_env(cls, config: RunConfig, arguments: dict[str, Any]) -> Any:
        return side_by_side(config.make_training_env, arguments.pop("n_envs", 1))


class PPO(_FusedAdam, sb3.PPO):
    """SB3's PPO; in a run `n_envs` above 1 are stepped by one call of the simulator."""

    @classmethod
    def training_env(cls, config: RunConfig, arguments: dict[str, Any]) -> Any:
        n_envs = arguments.pop("n_envs", 1)
        env = config.make_training_env()
        return env if n_envs == 1 else native(env, n_envs)

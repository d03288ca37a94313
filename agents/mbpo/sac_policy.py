"""SAC's networks with all critics in one batched operation, under SB3's names."""

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, Actor, SACPolicy
from torch import Tensor, nn

from .batched_mlp import BatchedMlp


class BatchedCritic(nn.Module):
    """C action-value networks; SB3's `ContinuousCritic` with another layout of its weights."""

    def __init__(
        self, n_critics: int, n_inputs: int, net_arch: list[int], activation: nn.Module, layer_norm: bool = False
    ) -> None:
        super().__init__()
        self.q_networks = BatchedMlp(n_critics, [n_inputs, *net_arch, 1], activation, layer_norm)
        self.optimizer: torch.optim.Optimizer

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """One value (B, 1) for each critic, as SB3's own `SAC.train` expects them."""
        return tuple(self.values(obs, actions).unsqueeze(-1))

    def values(self, obs: Tensor, actions: Tensor) -> Tensor:
        """All values (C, B)."""
        return self.q_networks(torch.cat([obs, actions], dim=1)).squeeze(-1)

    def set_training_mode(self, mode: bool) -> None:
        self.train(mode)


class BatchedSACPolicy(SACPolicy):
    """SACPolicy with a `BatchedCritic` and fused Adam, for flat observations.

    Args:
        log_std_init: the policy's first log standard deviation, before tanh, in every state.
        layer_norm: whether the critics' hidden layers are normalised.
        *args: SACPolicy's.
        **kwargs: SACPolicy's.
    """

    def __init__(self, *args: Any, log_std_init: float = 0.0, layer_norm: bool = False, **kwargs: Any) -> None:
        self.layer_norm = layer_norm
        kwargs.setdefault("optimizer_kwargs", {"fused": True})
        super().__init__(*args, log_std_init=log_std_init, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "layer_norm": self.layer_norm}

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        actor = super().make_actor(features_extractor)
        assert isinstance(actor.log_std, nn.Linear)
        with torch.no_grad():
            actor.log_std.weight.zero_()
            actor.log_std.bias.fill_(actor.log_std_init)
            # Small first actions: the tanh is far from saturation, where it has no gradient.
            actor.mu.weight.mul_(0.1)  # pyright: ignore[reportCallIssue]
            actor.mu.bias.zero_()  # pyright: ignore[reportCallIssue]
        return actor

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        assert isinstance(self.observation_space, spaces.Box)
        n_inputs = self.observation_space.shape[0] + self.action_space.shape[0]  # pyright: ignore[reportOptionalSubscript]
        settings: dict[str, Any] = self.critic_kwargs
        arch, count = settings["net_arch"], settings["n_critics"]
        return BatchedCritic(count, n_inputs, arch, self.activation_fn(), self.layer_norm).to(self.device)


def gaussian(actor: Actor, obs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation (B, n_act) before tanh: SB3's, without its preparation of observations.

    That looks for images at every call; flat observations in float32 need none, unless an extractor is asked for.
    """
    if type(actor.features_extractor) is not FlattenExtractor or actor.use_sde:
        mean, log_std, _ = actor.get_action_dist_params(obs)
        return mean, log_std
    latent = actor.latent_pi(obs)
    return actor.mu(latent), torch.clamp(actor.log_std(latent), LOG_STD_MIN, LOG_STD_MAX)  # pyright: ignore[reportCallIssue]

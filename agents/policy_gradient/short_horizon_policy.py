"""Networks for policy gradients through the simulator: a smooth Gaussian policy and its critic."""

from itertools import pairwise
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn


class RunningNormalization(nn.Module):
    """Observations minus their mean, over their deviation, both of all that `update` has seen (Welford's sums)."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int, limit: float = 10.0) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Takes observations (..., size) into account."""
        x = x.reshape(-1, x.shape[-1]).to(self.mean.dtype)
        total = self.count + len(x)
        share = float(len(x) / total)
        delta = x.mean(0) - self.mean
        self.var.copy_((1 - share) * self.var + share * x.var(0, unbiased=False) + share * (1 - share) * delta.square())
        self.mean.add_(share * delta)
        self.count.copy_(total)

    def forward(self, x: Tensor) -> Tensor:
        scaled = (x - self.mean) * (self.var + 1e-4).rsqrt()
        # A smooth bound keeps a slope where a hard one would cut the gradient.
        return self.limit * torch.tanh(scaled / self.limit)


class ShortHorizonPolicy(BasePolicy):
    """tanh(mean(s) + std noise), with a value network and its slow copy; all smooth, so that gradients pass.

    Args:
        observation_space, action_space, lr_schedule: as for every policy of SB3's; both spaces flat boxes.
        net_arch: widths of the policy's hidden layers.
        critic_arch: those of the critic.
        activation_fn: smooth.
        log_std_init: first log standard deviation of the actions before tanh; learned, equal in all states.
        log_std_min: which it does not fall below while training. Noise smooths what the gradient sees of contacts.
        normalize: whether observations are normalised by what was seen so far: what SB3's `VecNormalize` does with
            `norm_reward=False`, inside the policy, so that gradients pass through it and it is saved with the policy.
        betas: of both Adams.
    """

    def __init__(  # noqa: PLR0913 (one argument for each setting, as in SB3)
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        net_arch: list[int] | None = None,
        critic_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ELU,
        log_std_init: float = -1.0,
        log_std_min: float = -2.0,
        normalize: bool = True,
        betas: tuple[float, float] = (0.7, 0.95),
    ) -> None:
        super().__init__(observation_space, action_space, squash_output=True)
        assert isinstance(observation_space, spaces.Box) and isinstance(action_space, spaces.Box)
        (n_obs,), (n_act,) = observation_space.shape, action_space.shape
        self.net_arch, self.critic_arch = net_arch or [128, 64, 32], critic_arch or [128, 128]
        if log_std_init < log_std_min:
            raise ValueError(f"log_std_init={log_std_init} is below log_std_min={log_std_min}: lower the latter too")
        self.activation_fn = activation_fn
        self.log_std_init, self.log_std_min = log_std_init, log_std_min
        self.betas = betas
        self.normalize = RunningNormalization(n_obs) if normalize else nn.Identity()
        self.actor = self._mlp([n_obs, *self.net_arch, n_act])
        with torch.no_grad():
            # Small first actions: the tanh is far from saturation, where it has no gradient.
            self.actor[-1].weight.mul_(0.1)  # pyright: ignore[reportCallIssue]
            self.actor[-1].bias.zero_()  # pyright: ignore[reportCallIssue]
        self.log_std = nn.Parameter(torch.full((n_act,), float(log_std_init)))
        self.critic, self.critic_target = (self._mlp([n_obs, *self.critic_arch, 1]) for _ in range(2))
        self.critic_target.load_state_dict(self.critic.state_dict())
        self.critic_target.requires_grad_(False)
        settings: dict[str, Any] = {"lr": lr_schedule(1.0), "betas": tuple(betas), "fused": True}
        self.optimizer = torch.optim.Adam([*self.actor.parameters(), self.log_std], **settings)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), **settings)

    def _mlp(self, sizes: list[int]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes[:-1]):
            layers += [nn.Linear(n_in, n_out), self.activation_fn()]
        return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))

    @property
    def actor_parameters(self) -> list[nn.Parameter]:
        return [*self.actor.parameters(), self.log_std]

    @property
    def std(self) -> Tensor:
        """Standard deviations (n_act,) of the actions before tanh."""
        return self.log_std.exp()

    @torch.no_grad()
    def keep_noise(self) -> None:
        """Lifts the noise to its floor; after each step of the optimizer, so that it can rise again."""
        self.log_std.clamp_(min=self.log_std_min)

    def observe(self, obs: Tensor) -> None:
        """Takes observations (..., n_obs) into account for later normalisation."""
        if isinstance(self.normalize, RunningNormalization):
            self.normalize.update(obs)

    def act(self, obs: Tensor, noise: Tensor) -> Tensor:
        """Actions in [-1, 1] (N, n_act) for observations (N, n_obs) and standard normal noise (N, n_act)."""
        return torch.tanh(self.actor(self.normalize(obs)) + self.std * noise)

    def target_value(self, obs: Tensor) -> Tensor:
        """The slow critic's value (...) of observations (..., n_obs), in the critic's units; differentiable by them."""
        return self.critic_target(self.normalize(obs)).squeeze(-1)

    def _predict(  # pyright: ignore[reportIncompatibleMethodOverride] (observations are flat)
        self, observation: Tensor, deterministic: bool = False
    ) -> Tensor:
        mean = self.actor(self.normalize(observation.float()))
        return torch.tanh(mean if deterministic else mean + self.std * torch.randn_like(mean))

    def forward(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        return self._predict(obs, deterministic)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        spaces_and_normalisation = super()._get_constructor_parameters()
        del spaces_and_normalisation["normalize_images"]
        return {
            **spaces_and_normalisation,
            "lr_schedule": self._dummy_schedule,
            "net_arch": self.net_arch,
            "critic_arch": self.critic_arch,
            "activation_fn": self.activation_fn,
            "log_std_init": self.log_std_init,
            "log_std_min": self.log_std_min,
            "normalize": isinstance(self.normalize, RunningNormalization),
            "betas": self.betas,
        }

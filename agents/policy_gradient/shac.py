"""SHAC: short-horizon actor-critic.

Xu, Makoviychuk, Narang, Ramos, Matusik, Garg, Macklin 2022, "Accelerated Policy Learning with
Parallel Differentiable Simulation": gradients through the simulator over a short horizon, beyond
which a critic stands for what follows and smooths it.
"""

import math
from typing import Any

import torch
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor

from ...envs.differentiable import DifferentiableEnvs
from ..target_network import soft_update
from .analytic import AnalyticPolicyGradient, Window
from .returns import discounted_sum, td_lambda
from .short_horizon_policy import ShortHorizonPolicy


class SHAC(AnalyticPolicyGradient):
    """Policy gradients through `horizon` steps of the simulator and the value of what follows.

    Args:
        policy, env, learning_rate, n_envs, horizon, gamma, max_grad_norm, adjoint_limit, kwargs: as in
            `AnalyticPolicyGradient`.
        gae_lambda: lambda of the critic's TD(lambda) targets.
        tau: share of the critic that its slow copy takes on at each update.
        critic_epochs: passes over a window for each update of the policy.
        critic_batches: into which each pass is divided.

    The defaults are those that serve Gymnasium's robots, whose steps take 40 to 50 ms; the paper's, for steps
    of 17 ms, are a horizon of 32 and 16 epochs. See agents/presets/shac.yaml. With `device="cuda"` networks and
    environments are on the GPU; the returns of episodes are counted on the host.
    """

    devices = "cpu", "cuda"

    def __init__(  # noqa: PLR0913 (one argument for each setting, as in SB3)
        self,
        policy: str | type[ShortHorizonPolicy],
        env: Any,
        learning_rate: float | Schedule = 3e-3,
        n_envs: int = 64,
        horizon: int = 4,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        tau: float = 0.8,
        critic_epochs: int = 4,
        critic_batches: int = 4,
        max_grad_norm: float = 1.0,
        adjoint_limit: float = torch.inf,
        **kwargs: Any,
    ) -> None:
        if horizon is None:
            raise ValueError("horizon=None: whole episodes are BPTT's, SHAC needs a number of steps")
        for name, value in (("critic_epochs", critic_epochs), ("critic_batches", critic_batches)):
            if value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        for name, value in (("gae_lambda", gae_lambda), ("tau", tau)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name}={value}: must be between 0 and 1")
        self.gae_lambda, self.tau = gae_lambda, tau
        self.critic_epochs, self.critic_batches = critic_epochs, critic_batches
        super().__init__(policy, env, learning_rate, n_envs, horizon, gamma, max_grad_norm, adjoint_limit, **kwargs)

    @property
    def value_scale(self) -> float:
        """The critic's unit: the sum of the discounts, so that its outputs are rewards a step."""
        return 1.0 / max(1.0 - self.gamma, 1e-3)

    def train(self, window: Window, worlds: DifferentiableEnvs) -> None:
        """One step of the policy, then the critic's passes over the window."""
        next_value = self.value_scale * self.policy.target_value(window.next_obs)
        returns = discounted_sum(window.reward, window.terminated, window.truncated, next_value, self.gamma)
        self._ascend(returns.mean() / len(window.reward), window, worlds)
        with torch.no_grad():
            reward, next_value = window.reward.detach(), next_value.detach()
            target = td_lambda(reward, window.terminated, window.truncated, next_value, self.gamma, self.gae_lambda)
        loss = self._fit_critic(window.obs.flatten(0, 1), target.flatten() / self.value_scale)
        self.logger.record("train/critic_loss", loss)
        self.logger.record("train/value", target.mean().item())
        self.policy.observe(window.obs)

    def _fit_critic(self, obs: Tensor, target: Tensor) -> float:
        """Mean squared error, in squares of the critic's unit, over the last pass."""
        critic, optimizer = self.policy.critic, self.policy.critic_optimizer
        inputs, parameters = self.policy.normalize(obs), list(critic.parameters())
        losses = [0.0]
        for _ in range(self.critic_epochs):
            losses = []
            for rows in torch.randperm(len(obs), device=obs.device).chunk(self.critic_batches):
                loss = (critic(inputs[rows]).squeeze(-1) - target[rows]).square().mean()
                for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                    parameter.grad = gradient
                norm = torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
                if math.isfinite(norm.item()):
                    optimizer.step()
                else:
                    self.skipped_updates += 1
                losses.append(loss.item())
        soft_update(self.policy.critic_target, critic, self.tau)
        return sum(losses) / len(losses)

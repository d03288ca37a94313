"""BPTT: the analytic policy gradient of whole episodes, without a critic."""

from typing import Any

import torch
from stable_baselines3.common.type_aliases import Schedule

from ..envs.differentiable import DifferentiableEnvs
from .analytic import AnalyticPolicyGradient, Window
from .returns import discounted_sum
from .short_horizon_policy import ShortHorizonPolicy


class BPTT(AnalyticPolicyGradient):
    """Ascends the gradient of the return by backpropagation through time.

    Args:
        policy, env, learning_rate, n_envs, gamma, max_grad_norm, adjoint_limit, kwargs: as in
            `AnalyticPolicyGradient`.
        horizon: steps through which gradients are carried; None for whole episodes. What follows the horizon
            does not count.
    """

    def __init__(
        self,
        policy: str | type[ShortHorizonPolicy],
        env: Any,
        learning_rate: float | Schedule = 3e-3,
        n_envs: int = 1,
        horizon: int | None = None,
        gamma: float = 1.0,
        max_grad_norm: float = 1.0,
        adjoint_limit: float = 1000.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, learning_rate, n_envs, horizon, gamma, max_grad_norm, adjoint_limit, **kwargs)

    def _window_length(self) -> int:
        assert self.env is not None
        return self.horizon or self.env.envs.episode_steps

    def train(self, window: Window, worlds: DifferentiableEnvs) -> None:
        """One step of the policy."""
        nothing = torch.zeros_like(window.reward)
        returns = discounted_sum(window.reward, window.terminated, window.truncated, nothing, self.gamma)
        self._ascend(returns.mean() / len(window.reward), window, worlds)
        self.policy.observe(window.obs)

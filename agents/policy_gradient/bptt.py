"""BPTT: the analytic policy gradient of whole episodes, without a critic."""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor
from torch.func import functional_call, vmap

from ...envs.advance import is_finite
from ...envs.differentiable import DifferentiableEnvs
from ..action_space import unscale
from .analytic import AnalyticPolicyGradient, Window
from .returns import discounted_sum
from .short_horizon_policy import ShortHorizonPolicy


class BPTT(AnalyticPolicyGradient):
    """Ascends the gradient of the return by backpropagation through time.

    Args:
        policy, env, learning_rate, n_envs, gamma, max_grad_norm, adjoint_limit, kwargs: as in
            `AnalyticPolicyGradient`.
        horizon: steps through which gradients are carried; None for those of an episode that time ends. What
            follows the horizon does not count. Where a task ends sooner, the next episode goes on in the
            rest of them, and from one update to the next.
        line_search: each update tries so many lengths of its step, from twice Adam's down to a 128th of
            it and the last zero, and takes the best; the noise takes its step in any case. Their returns are those of
            deterministic episodes from one start, all simulated at once; 0 for Adam's step as it is. Where
            motion is chaotic, the return along a step is rough at every scale, and the gradient alone does
            not tell how far to go.
        search_spread: of the line search: all steps but the two longest also get normal noise, so many
            times the root mean square of each tensor's step and shortened with it, which lets them leave
            the line. Where one rollout's gradient says little, the best of many such steps goes on.
    """

    def __init__(  # noqa: PLR0913 (one argument for each setting, as in SB3)
        self,
        policy: str | type[ShortHorizonPolicy],
        env: Any,
        learning_rate: float | Schedule = 3e-3,
        n_envs: int = 1,
        horizon: int | None = None,
        gamma: float = 1.0,
        max_grad_norm: float = 1.0,
        adjoint_limit: float = 1000.0,
        line_search: int = 0,
        search_spread: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if line_search < 0 or line_search == 1:
            raise ValueError(f"line_search={line_search}: must be 0, or at least 2 lengths")
        if line_search and horizon is not None:
            raise ValueError(f"line_search={line_search} compares whole episodes: leave horizon={horizon} out")
        if search_spread < 0.0:
            raise ValueError(f"search_spread={search_spread}: must not be negative")
        self.line_search, self.search_spread = line_search, search_spread
        super().__init__(policy, env, learning_rate, n_envs, horizon, gamma, max_grad_norm, adjoint_limit, **kwargs)
        if self.env is not None:
            self._window_length()  # refuses now what it would refuse in `learn`

    def _window_length(self) -> int:
        return self.horizon or self._episode_length()

    def _episode_length(self) -> int:
        assert self.env is not None
        if self.env.envs.max_episode_steps is None:
            raise ValueError("horizon=None is an episode that time ends: make env with max_episode_steps")
        return self.env.envs.max_episode_steps

    def train(self, window: Window, worlds: DifferentiableEnvs) -> None:
        """One step of the policy."""
        nothing = torch.zeros_like(window.reward)
        returns = discounted_sum(window.reward, window.terminated, window.truncated, nothing, self.gamma)
        start = [parameter.detach().clone() for parameter in self.policy.actor.parameters()]
        self._ascend(returns.mean() / len(window.reward), window, worlds)
        # Before the search: what it compares shall act as it will.
        self.policy.observe(window.obs)
        if self.line_search:
            self._choose_length(start)

    @torch.no_grad()
    def _choose_length(self, start: list[Tensor]) -> None:
        """Puts the policy's networks at the best of several places about the line from `start` to where they are."""
        scales = 2.0 ** torch.linspace(1.0, -7.0, self.line_search)
        scales[-1] = 0.0
        tried: dict[str, Tensor] = {}
        for (name, parameter), origin in zip(self.policy.actor.named_parameters(), start, strict=True):
            step = parameter - origin
            noise = self.search_spread * step.square().mean().sqrt() * torch.randn(self.line_search, *step.shape)
            noise[:2] = 0.0
            tried[name] = origin + scales.view(-1, *[1] * step.dim()) * (step + noise)
        returns = self._returns(tried).nan_to_num(nan=-torch.inf)
        best = int(returns.argmax()) if returns.isfinite().any() else -1  # the last is no step at all
        for name, parameter in self.policy.actor.named_parameters():
            parameter.copy_(tried[name][best])
        self.logger.record("train/step_scale", scales[best].item())
        self.logger.record("train/best_return_tried", returns[best].item())

    def _returns(self, networks: dict[str, Tensor]) -> Tensor:
        """Returns (K,) of deterministic episodes, one for each of K networks; parameters have the leading axis K."""
        assert self.env is not None
        envs, policy = self.env.envs, self.policy
        count, seed = self.line_search, int(torch.randint(2**31, ()))
        act = vmap(lambda network, obs: functional_call(policy.actor, network, (obs,)))
        state = envs.task.initial([np.random.default_rng(seed) for _ in range(count)])
        returns, weight = torch.zeros(count, dtype=torch.float64), torch.ones(count, dtype=torch.float64)
        for _ in range(self._episode_length()):
            obs = policy.normalize(envs.task.observation(state).float())
            action = unscale(torch.tanh(act(networks, obs)), self.action_space).double()
            after = envs.task.transition(state, action)
            finite = torch.from_numpy(is_finite(after))
            after = after.where(finite, state)
            reward = weight * envs.task.reward(state, action, after)
            returns += torch.where(finite | (weight == 0.0), reward, -torch.inf)
            weight = torch.where(envs.task.terminal(after), 0.0, self.gamma * weight)
            self.num_timesteps += count
            state = after
        return returns

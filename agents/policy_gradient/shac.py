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
from ...envs.task import OwnTime
from ...envs.vector import TaskVectorEnv
from ..target_network import soft_update
from .analytic import AnalyticPolicyGradient, Window
from .returns import discounted_sum, td_lambda
from .short_horizon_policy import ShortHorizonPolicy

HORIZON_SECONDS = 0.15  # benchmarks/shac_sweep.py
# Of the policy through whole episodes, which magnify noise, and the changes that a running normalisation makes to
# the policy beside the optimizer's.
_LITTLE_NOISE = {"log_std_init": -3.0, "log_std_min": -5.0}
_STEADY = {"normalize": False}


class SHAC(AnalyticPolicyGradient):
    """Policy gradients through `horizon` steps of the simulator and the value of what follows.

    Args:
        policy, env, learning_rate, n_envs, max_grad_norm, adjoint_limit, kwargs: as in `AnalyticPolicyGradient`.
        horizon: steps between updates, through which gradients are carried; None for whole episodes of a task
            that has its own time (`envs.task.OwnTime`), of others for as many steps as take 0.15 s.
        gamma: discount; None for 1 where the task has its own time, and 0.99 elsewhere.
        policy_kwargs: as in SB3; where the task has its own time, `normalize` is False unless given, and if no noise
            is given `log_std_init` is -3 and `log_std_min` -5.
        gae_lambda: lambda of the critic's TD(lambda) targets.
        tau: share of the critic that its slow copy takes on at each update.
        critic_epochs: passes over a window for each update of the policy.
        critic_batches: into which each pass is divided.

    Where an episode is over by the task's own time, nothing follows for the critic either: it never saw a state
    beyond. Such an episode is short, its return counts and not the haste; so gradients are carried through all of
    it, where a critic would have to follow outcomes that each update of the policy changes altogether. Elsewhere
    the defaults are those that serve robots that walk; the paper's, for steps of 17 ms, are a horizon of 32 and 16
    epochs. See agents/presets/shac.yaml. With `device="cuda"` networks and environments are on the GPU; the
    returns of episodes are counted on the host.
    """

    devices = "cpu", "cuda"

    def __init__(  # noqa: PLR0913 (one argument for each setting, as in SB3)
        self,
        policy: str | type[ShortHorizonPolicy],
        env: Any,
        learning_rate: float | Schedule = 3e-3,
        n_envs: int = 64,
        horizon: int | None = None,
        gamma: float | None = None,
        gae_lambda: float = 0.95,
        tau: float = 0.8,
        critic_epochs: int = 4,
        critic_batches: int = 4,
        max_grad_norm: float = 1.0,
        adjoint_limit: float = torch.inf,
        **kwargs: Any,
    ) -> None:
        for name, value in (("critic_epochs", critic_epochs), ("critic_batches", critic_batches)):
            if value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        for name, value in (("gae_lambda", gae_lambda), ("tau", tau)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name}={value}: must be between 0 and 1")
        self.gae_lambda, self.tau = gae_lambda, tau
        self.critic_epochs, self.critic_batches = critic_epochs, critic_batches
        discount = 0.99 if gamma is None else gamma
        super().__init__(policy, env, learning_rate, n_envs, horizon, discount, max_grad_norm, adjoint_limit, **kwargs)
        if self.env is not None:
            own_time = _own_time(self.env.envs)
            if gamma is None and own_time is not None:
                self.gamma = 1.0
            if horizon is None:
                seconds = self.env.envs.task.seconds_per_step
                self.horizon = own_time or max(1, round(HORIZON_SECONDS / seconds))

    def _setup_model(self) -> None:
        given = self.policy_kwargs
        if self.env is not None and _own_time(self.env.envs) is not None:
            noise = {} if _LITTLE_NOISE.keys() & given.keys() else _LITTLE_NOISE
            self.policy_kwargs = {**_STEADY, **noise, **given}
        super()._setup_model()

    @property
    def value_scale(self) -> float:
        """The critic's unit: the sum of the discounts, so that its outputs are rewards a step."""
        return 1.0 / max(1.0 - self.gamma, 1e-3)

    def _ends(self, window: Window, envs: TaskVectorEnv) -> tuple[Tensor, Tensor]:
        """Where nothing follows, and where time alone cuts off what follows, both (T, N) bool."""
        if _own_time(envs) is None:
            return window.terminated, window.truncated
        return window.terminated | window.truncated, torch.zeros_like(window.truncated)

    def train(self, window: Window, worlds: DifferentiableEnvs) -> None:
        """One step of the policy, then the critic's passes over the window."""
        next_value = self.value_scale * self.policy.target_value(window.next_obs)
        terminated, truncated = self._ends(window, worlds.envs)
        returns = discounted_sum(window.reward, terminated, truncated, next_value, self.gamma)
        self._ascend(returns.mean() / len(window.reward), window, worlds)
        with torch.no_grad():
            reward, next_value = window.reward.detach(), next_value.detach()
            target = td_lambda(reward, terminated, truncated, next_value, self.gamma, self.gae_lambda)
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


def _own_time(envs: TaskVectorEnv) -> int | None:
    """Steps of an episode that is over by the task's own time; None where there is none, or it lasts longer."""
    task, limit = envs.task, envs.max_episode_steps
    return limit if isinstance(task, OwnTime) and task.episode_steps == limit else None

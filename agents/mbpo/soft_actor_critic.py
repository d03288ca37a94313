"""Stable-Baselines3's soft actor-critic with its update written anew, for speed, in the pieces that MBPO needs."""

from typing import Any, ClassVar

import torch
from stable_baselines3 import SAC
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from ..target_network import soft_update
from .losses import actor_loss, critic_loss, entropy_loss, squashed_gaussian, td_target
from .replay import Batch
from .sac_policy import BatchedCritic, BatchedSACPolicy, gaussian


class BatchedSAC(SAC):
    """SAC on a `BatchedSACPolicy`. From equal batches and noise the updates are those of SB3's `train`."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": BatchedSACPolicy}
    critic: BatchedCritic  # pyright: ignore[reportIncompatibleVariableOverride]
    critic_target: BatchedCritic  # pyright: ignore[reportIncompatibleVariableOverride]

    def _ent_coef(self) -> Tensor:
        return self.ent_coef_tensor if self.log_ent_coef is None else self.log_ent_coef.detach().exp()

    def _act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Action (B, n_act) drawn from the policy, and its log-density (B,)."""
        mean, log_std = gaussian(self.actor, obs)
        return squashed_gaussian(mean, log_std, torch.randn_like(mean))

    def _update_critic(self, batch: Batch, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """One step of the critics; with it, where asked for, dV/ds' (B, n_obs) of the target critic."""
        next_obs = batch.next_obs.requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            next_action, next_log_prob = self._act(next_obs)
            next_q = self.critic_target.values(next_obs, next_action).amin(0)
        # Through the policy too: the next action answers to the next observation.
        value_gradient = torch.autograd.grad(next_q.sum(), next_obs)[0] if with_gradient else None
        next_value = next_q.detach() - self._ent_coef() * next_log_prob.detach()
        target = td_target(batch.rewards, batch.dones, next_value, self.gamma)
        loss = critic_loss(self.critic.values(batch.obs, batch.actions), target)
        descend(self.critic.optimizer, list(self.critic.parameters()), loss)
        return loss.detach(), value_gradient

    def _update_actor(self, obs: Tensor) -> Tensor:
        """One step of the policy at observations (B, n_obs), and of the entropy coefficient."""
        action, log_prob = self._act(obs)
        loss = actor_loss(self.critic.values(obs, action), log_prob, self._ent_coef())
        descend(self.actor.optimizer, list(self.actor.parameters()), loss)
        self._update_ent_coef(log_prob)
        return loss.detach()

    def _update_ent_coef(self, log_prob: Tensor) -> None:
        """One step of the coefficient from the policy's log-densities (B,), if it is learned."""
        if self.ent_coef_optimizer is not None:
            assert self.log_ent_coef is not None and isinstance(self.target_entropy, float)
            loss = entropy_loss(self.log_ent_coef, log_prob, self.target_entropy)
            descend(self.ent_coef_optimizer, [self.log_ent_coef], loss)

    def _update_target(self) -> None:
        soft_update(self.critic_target, self.critic, self.tau)

    def _record(self, losses: dict[str, Tensor], seconds_per_update: float) -> None:
        for name, value in losses.items():
            self.logger.record(f"train/{name}", value.item())
        self.logger.record("train/ent_coef", self._ent_coef().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/actor_gradient_norm", gradient_norm(self.actor))
        self.logger.record("train/critic_gradient_norm", gradient_norm(self.critic))
        self.logger.record("time/ms_per_update", 1e3 * seconds_per_update)
        self.logger.record("time/updates_per_second", 1.0 / seconds_per_update)


def descend(optimizer: torch.optim.Optimizer, parameters: list[Any], loss: Tensor) -> None:
    """One step for `parameters` alone; whatever else the loss depends on keeps its gradients."""
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()


def gradient_norm(module: torch.nn.Module) -> float:
    """Norm of the last gradient of all parameters together."""
    found = [p.grad for p in module.parameters() if p.grad is not None]
    return float(torch.nn.utils.get_total_norm(found)) if found else 0.0

"""Stable-Baselines3's soft actor-critic with its update written anew, for speed, in the pieces that MBPO needs."""

from typing import Any, ClassVar

import torch
from stable_baselines3 import SAC
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from ..target_network import soft_update
from .flat_parameters import FlatParameters, vector_of
from .losses import actor_loss, critic_loss, entropy_slope, squashed_gaussian, td_target
from .replay import Batch
from .sac_policy import BatchedCritic, BatchedSACPolicy, gaussian
from .update_by_hand import UpdateByHand, actor_order, can_update

# Attributes that `_prepare_updates` makes.
_BETWEEN_UPDATES = ("_flat_actor", "_flat_critic", "_by_hand")


class BatchedSAC(SAC):
    """SAC on a `BatchedSACPolicy`. From equal batches and noise the updates are those of SB3's `train`."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": BatchedSACPolicy}
    critic: BatchedCritic  # pyright: ignore[reportIncompatibleVariableOverride]
    critic_target: BatchedCritic  # pyright: ignore[reportIncompatibleVariableOverride]

    def _setup_model(self) -> None:
        super()._setup_model()
        kind, settings = self.policy.optimizer_class, self.policy.optimizer_kwargs
        for network, order in ((self.actor, actor_order(self.actor)), (self.critic, list(self.critic.parameters()))):
            network.optimizer = kind([vector_of(order)], lr=self.lr_schedule(1), **settings)  # pyright: ignore[reportCallIssue]
        if self.ent_coef_optimizer is not None:
            assert self.log_ent_coef is not None
            self.ent_coef_optimizer = torch.optim.Adam([self.log_ent_coef], lr=self.lr_schedule(1), fused=True)
        self._prepare_updates(self.batch_size)  # whoever holds a parameter now holds it for good

    def _prepare_updates(self, batch_size: int) -> None:
        """Before a series of updates; what this makes is in no checkpoint."""
        self._flat_actor = FlatParameters(actor_order(self.actor), _vector(self.actor.optimizer))
        self._flat_critic = FlatParameters(list(self.critic.parameters()), _vector(self.critic.optimizer))
        self._by_hand = None
        if can_update(self.actor, self.critic):
            flat = self._flat_actor, self._flat_critic
            self._by_hand = UpdateByHand(self.actor, self.critic, self.critic_target, *flat, batch_size)

    def _ent_coef(self) -> Tensor:
        return self.ent_coef_tensor if self.log_ent_coef is None else self.log_ent_coef.detach().exp()

    def _act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Action (B, n_act) drawn from the policy, and its log-density (B,)."""
        mean, log_std = gaussian(self.actor, obs)
        return squashed_gaussian(mean, log_std, torch.randn_like(mean))

    def _update_critic(self, batch: Batch, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """One step of the critics; with it, where asked for, dV/ds' (B, n_obs) of the target critic."""
        value_gradient = None
        if self._by_hand is not None and not with_gradient:
            with torch.no_grad():
                loss = self._by_hand.differentiate_critic(batch, self._ent_coef(), self.gamma)
        else:
            loss, value_gradient = self._critic_loss(batch, with_gradient)
            self._flat_critic.differentiate(loss)
        self.critic.optimizer.step()
        return loss.detach(), value_gradient

    def _critic_loss(self, batch: Batch, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        next_obs = batch.next_obs.requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            next_action, next_log_prob = self._act(next_obs)
            next_q = self.critic_target.values(next_obs, next_action).amin(0)
        # Through the policy too: the next action answers to the next observation.
        value_gradient = torch.autograd.grad(next_q.sum(), next_obs)[0] if with_gradient else None
        next_value = next_q.detach() - self._ent_coef() * next_log_prob.detach()
        target = td_target(batch.rewards, batch.dones, next_value, self.gamma)
        return critic_loss(self.critic.values(batch.obs, batch.actions), target), value_gradient

    def _update_actor(self, obs: Tensor) -> Tensor:
        """One step of the policy at observations (B, n_obs), and of the entropy coefficient."""
        if self._by_hand is not None:
            with torch.no_grad():
                loss, log_prob = self._by_hand.differentiate_actor(obs, self._ent_coef())
        else:
            action, log_prob = self._act(obs)
            loss = actor_loss(self.critic.values(obs, action), log_prob, self._ent_coef())
            self._flat_actor.differentiate(loss)
        self.actor.optimizer.step()
        self._update_ent_coef(log_prob)
        return loss.detach()

    def _update_ent_coef(self, log_prob: Tensor) -> None:
        """One step of the coefficient from the policy's log-densities (B,), if it is learned."""
        if self.ent_coef_optimizer is not None:
            assert self.log_ent_coef is not None and isinstance(self.target_entropy, float)
            self.log_ent_coef.grad = entropy_slope(log_prob, self.target_entropy).reshape(1)
            self.ent_coef_optimizer.step()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _BETWEEN_UPDATES}

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), *_BETWEEN_UPDATES]

    def _update_target(self) -> None:
        soft_update(self.critic_target, self.critic, self.tau)

    def _record(self, losses: dict[str, Tensor], seconds_per_update: float) -> None:
        for name, value in losses.items():
            self.logger.record(f"train/{name}", value.item())
        self.logger.record("train/ent_coef", self._ent_coef().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/actor_gradient_norm", self._flat_actor.gradient.norm().item())
        self.logger.record("train/critic_gradient_norm", self._flat_critic.gradient.norm().item())
        self.logger.record("time/ms_per_update", 1e3 * seconds_per_update)
        self.logger.record("time/updates_per_second", 1.0 / seconds_per_update)


def _vector(optimizer: torch.optim.Optimizer) -> torch.nn.Parameter:
    """The one parameter of an optimizer."""
    return optimizer.param_groups[0]["params"][0]

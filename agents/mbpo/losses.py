"""Losses and targets as pure functions. B is the batch dimension, C the number of critics."""

import math

import torch
from torch import Tensor

_LOG_2PI = math.log(2.0 * math.pi)


def squashed_gaussian(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Action tanh(mean + std noise) (B, n_act) and its log-density (B,).

    The Jacobian of tanh is log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2 x)), which does not
    underflow where the action saturates (Haarnoja et al. 2018, appendix C).
    """
    raw = mean + log_std.exp() * noise
    log_normal = -0.5 * noise.square() - log_std - 0.5 * _LOG_2PI
    log_slope = 2.0 * (math.log(2.0) - raw - torch.nn.functional.softplus(-2.0 * raw))
    return torch.tanh(raw), (log_normal - log_slope).sum(-1)


def td_target(reward: Tensor, done: Tensor, next_value: Tensor, gamma: float) -> Tensor:
    """One-step target r + gamma (1 - done) V(s'), each (B,)."""
    return reward + gamma * (1.0 - done) * next_value


def critic_loss(q: Tensor, target: Tensor) -> Tensor:
    """Half the squared error of the critics (C, B) to one target (B,), summed over critics."""
    return 0.5 * (q - target).square().mean(-1).sum()


def actor_loss(q: Tensor, log_prob: Tensor, ent_coef: Tensor) -> Tensor:
    """SAC's policy loss: alpha log pi - min_c Q_c(s, a) for critics (C, B) and log pi (B,)."""
    return (ent_coef * log_prob - q.amin(0)).mean()


def entropy_slope(log_prob: Tensor, target_entropy: float) -> Tensor:
    """Slope, in the entropy coefficient's logarithm, of its loss -log alpha (log pi + H), for log pi (B,).

    Haarnoja et al. 2018, equation 18, as SB3 writes it.
    """
    return -(log_prob.detach().mean() + target_entropy)


def importance_weight(policy_action: Tensor, stored_action: Tensor) -> Tensor:
    """Relevance w = exp(-|a - a0|) (B,) of a stored action's gradient (Qiao et al. 2021, equation 16)."""
    return torch.exp(-(policy_action.detach() - stored_action).norm(dim=-1))


def enhanced_actor_loss(
    action_gradient: Tensor, policy_action: Tensor, stored_action: Tensor, entropy_cost: Tensor
) -> Tensor:
    """Policy-enhanced loss w (alpha log pi - dQ/da . mu(s)) (Qiao et al. 2021, equations 14 and 16).

    Args:
        action_gradient: dQ/da (B, n_act) at the stored transition, see `value_gradients`.
        policy_action: mu(s) (B, n_act), the policy's present mean action.
        stored_action: a0 (B, n_act).
        entropy_cost: alpha log pi (B,).
    """
    weight = importance_weight(policy_action, stored_action)
    gain = (action_gradient.detach() * policy_action).sum(-1)
    return (weight * (entropy_cost - gain)).mean()

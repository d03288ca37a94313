import math

import pytest
import torch
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution

from gradgym.agents.mbpo.losses import (
    actor_loss,
    critic_loss,
    enhanced_actor_loss,
    entropy_slope,
    importance_weight,
    squashed_gaussian,
    td_target,
)


def test_squashed_gaussian_has_the_density_that_sb3_computes() -> None:
    mean, log_std, noise = torch.randn(5, 3), 0.3 * torch.randn(5, 3), torch.randn(5, 3)
    action, log_prob = squashed_gaussian(mean, log_std, noise)
    reference = SquashedDiagGaussianDistribution(3).proba_distribution(mean, log_std)
    expected = reference.log_prob(action, mean + log_std.exp() * noise)
    assert torch.allclose(action, torch.tanh(mean + log_std.exp() * noise))
    assert torch.allclose(log_prob, expected, atol=1e-2)  # SB3 adds 1e-6 to the slope


def test_squashed_gaussian_is_finite_where_the_action_saturates() -> None:
    _, log_prob = squashed_gaussian(torch.full((1, 1), 50.0), torch.zeros(1, 1), torch.zeros(1, 1))
    # log N(0) - 2 (log 2 - 50 - softplus(-100))
    assert log_prob.item() == pytest.approx(-0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - 50), rel=1e-6)


def test_target_stops_at_the_end() -> None:
    target = td_target(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]), torch.tensor([10.0, 10.0]), 0.9)
    assert target.tolist() == pytest.approx([10.0, 2.0])


def test_critic_loss_sums_half_the_mean_squares() -> None:
    q = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    assert critic_loss(q, torch.tensor([1.0, 1.0])).item() == pytest.approx(0.5 * (4.0 / 2) + 0.5 * 1.0)


def test_actor_loss_takes_the_smaller_critic() -> None:
    q = torch.tensor([[1.0, 5.0], [2.0, 3.0]])
    loss = actor_loss(q, torch.tensor([-1.0, 1.0]), torch.tensor(0.5))
    assert loss.item() == pytest.approx(((-0.5 - 1.0) + (0.5 - 3.0)) / 2)


def test_entropy_slope_raises_the_coefficient_below_the_target() -> None:
    log_coef = torch.zeros(1, requires_grad=True)
    log_prob = torch.tensor([2.0, 4.0])
    loss = -(log_coef * (log_prob - 1.0)).mean()
    loss.backward()
    assert log_coef.grad is not None and log_coef.grad.item() == -2.0
    assert entropy_slope(log_prob, target_entropy=-1.0).item() == -2.0


def test_importance_weight_is_equation_16() -> None:
    weight = importance_weight(torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]]))
    assert weight.tolist() == pytest.approx([math.exp(-5.0), 1.0])


def test_enhanced_loss_gives_the_weighted_action_gradient() -> None:
    """Equation 14: the loss's gradient by mu(s) is -w dQ/da, also through neither w nor dQ/da."""
    gradient, stored = torch.randn(4, 2), torch.randn(4, 2)
    action = torch.randn(4, 2, requires_grad=True)
    enhanced_actor_loss(gradient, action, stored, torch.zeros(4)).backward()
    weight = torch.exp(-(action.detach() - stored).norm(dim=1, keepdim=True))
    assert action.grad is not None and torch.allclose(action.grad, -weight * gradient / 4)

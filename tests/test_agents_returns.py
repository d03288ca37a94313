"""Closed forms of the returns and targets of short rollouts. Two environments, so that none reads the other's rows."""

import pytest
import torch

from gradgym.agents.policy_gradient.returns import discounted_sum, td_lambda

GAMMA = 0.9
REWARD = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]], dtype=torch.float64)
VALUE = torch.tensor([[5.0, 50.0], [6.0, 60.0], [7.0, 70.0], [8.0, 80.0]], dtype=torch.float64)
STEPS, ENVS = REWARD.shape


def flags(*entries: tuple[int, int]) -> torch.Tensor:
    """False except at (step, environment)."""
    found = torch.zeros(STEPS, ENVS, dtype=torch.bool)
    for step, env in entries:
        found[step, env] = True
    return found


NONE = flags()


def assert_equal(found: torch.Tensor, expected: list) -> None:
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0.0)


def test_sum_without_ends_counts_the_last_value() -> None:
    plain = 1 + 0.9 * 2 + 0.81 * 3 + 0.729 * 4 + 0.6561 * 8
    assert_equal(discounted_sum(REWARD, NONE, NONE, VALUE, GAMMA), [plain, 10 * plain])


def test_sum_begins_anew_after_an_end() -> None:
    """Termination inside: no value, and discount 1 for what follows; the other environment does not notice."""
    whole = 10 * (1 + 0.9 * 2 + 0.81 * 3 + 0.729 * 4 + 0.6561 * 8)
    found = discounted_sum(REWARD, flags((1, 0)), NONE, VALUE, GAMMA)
    assert_equal(found, [(1 + 0.9 * 2) + (3 + 0.9 * 4 + 0.81 * 8), whole])


def test_sum_counts_the_value_where_time_cut_an_episode() -> None:
    found = discounted_sum(REWARD, NONE, flags((1, 0)), VALUE, GAMMA)
    assert found[0].item() == pytest.approx((1 + 0.9 * 2 + 0.81 * 6) + (3 + 0.9 * 4 + 0.81 * 8), rel=1e-14)


def test_sum_at_the_rollouts_last_step() -> None:
    """The task's end leaves the value out; a cut by time counts it once, as the end of the rollout does."""
    rewards = 1 + 0.9 * 2 + 0.81 * 3 + 0.729 * 4
    found = discounted_sum(REWARD, flags((3, 0)), flags((3, 1)), VALUE, GAMMA)
    assert_equal(found, [rewards, 10 * (rewards + 0.6561 * 8)])


def test_gradients_of_the_sum_are_its_discounts() -> None:
    """By the values of states that are bootstrapped, and by no other value: not even one that is NaN."""
    terminated, truncated = flags((0, 0), (3, 1)), flags((2, 0), (1, 1))
    used = flags((2, 0), (3, 0), (1, 1))
    reward, value = REWARD.clone().requires_grad_(), VALUE.where(used, torch.nan).requires_grad_()
    total = discounted_sum(reward, terminated, truncated, value, GAMMA)
    assert total.isfinite().all()
    total.sum().backward()
    assert reward.grad is not None and value.grad is not None
    assert_equal(reward.grad, [[1.0, 1.0], [1.0, 0.9], [0.9, 1.0], [1.0, 0.9]])
    assert_equal(value.grad, [[0.0, 0.0], [0.0, 0.81], [0.81, 0.0], [0.9, 0.0]])


def test_lambda_zero_looks_one_step_ahead() -> None:
    found = td_lambda(REWARD, flags((1, 0)), flags((2, 1)), VALUE, GAMMA, lam=0.0)
    expected = REWARD + GAMMA * VALUE
    expected[1, 0] = 2.0
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=0.0)


def test_lambda_one_is_the_sum_from_each_step() -> None:
    ends = flags((1, 0)), flags((1, 1))
    found = td_lambda(REWARD, *ends, VALUE, GAMMA, lam=1.0)
    last, third = 4 + 0.9 * 8, 3 + 0.9 * 4 + 0.81 * 8
    assert_equal(
        found,
        [
            [1 + 0.9 * 2, 10 * (1 + 0.9 * 2 + 0.81 * 6)],
            [2, 10 * (2 + 0.9 * 6)],
            [third, 10 * third],
            [last, 10 * last],
        ],
    )


def n_step_mixture(t: int, env: int, end: int, terminal: bool, lam: float) -> float:
    """Sutton and Barto's definition: (1 - lambda) sum lambda^(n-1) G_n, all the rest of the weight on the last G_n."""
    total, weight, rewards, discount = 0.0, 1.0, 0.0, 1.0
    for k in range(t, end + 1):
        rewards += discount * REWARD[k, env].item()
        discount *= GAMMA
        one = rewards + (0.0 if terminal and k == end else discount * VALUE[k, env].item())
        share = weight if k == end else (1.0 - lam) * weight
        total += share * one
        weight *= lam
    return total


def test_targets_are_mixtures_of_n_step_returns() -> None:
    lam = 0.7
    found = td_lambda(REWARD, flags((1, 0)), flags((2, 1)), VALUE, GAMMA, lam)
    for t in range(STEPS):
        assert found[t, 0].item() == pytest.approx(n_step_mixture(t, 0, 1 if t < 2 else 3, t < 2, lam), rel=1e-14)
        assert found[t, 1].item() == pytest.approx(n_step_mixture(t, 1, 2 if t < 3 else 3, False, lam), rel=1e-14)


def test_targets_at_the_rollouts_last_step() -> None:
    found = td_lambda(REWARD, flags((3, 0)), flags((3, 1)), VALUE, GAMMA, lam=0.7)
    assert_equal(found[-1], [4.0, 40 + 0.9 * 80])
    assert found[0, 0].item() == pytest.approx(n_step_mixture(0, 0, 3, True, 0.7), rel=1e-14)

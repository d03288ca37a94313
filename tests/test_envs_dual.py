"""Forward mode on numpy's arrays: every rule against central differences, and what has none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradgym.envs.dual import Dual, NoRuleError

K = 4
RULES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y + 2.0 + np.arange(3.0),
    "subtract": lambda x, y: 1.0 - x - y - np.ones(3),
    "array minus": lambda x, y: np.ones((2, 3)) - x[0] + y,
    "multiply": lambda x, y: 2.0 * x * y * np.arange(3.0),
    "divide": lambda x, y: x / y + 1.0 / x + y / 3.0 + x / np.array([1.0, 2.0, 3.0]),
    "negative": lambda x, y: -x,
    "power": lambda x, y: x**3 + y**2,
    "absolute": lambda x, y: abs(x - y) + np.abs(x),
    "functions": lambda x, y: np.sin(x) + np.cos(y) + np.tanh(x) + np.exp(-y),
    "roots": lambda x, y: np.sqrt(x) + np.log(y) + np.log1p(x) + np.square(y),
    "sum": lambda x, y: (x * y).sum(-1) + x.sum((-2, -1)) + y.sum() + x.sum(1),
    "mean": lambda x, y: (x * y).mean(-1),
    "reshape": lambda x, y: x.reshape(3, 2) * y.reshape(-1, 2),
    "items": lambda x, y: x[..., 0] * y[1][..., None].sum() + x[:, 1],
    "clip": lambda x, y: x.clip(0.5, 1.0) * y,
    "where": lambda x, y: np.where(x > y, x * x, 3.0) + np.where(x.sum(-1)[..., None] < 2.0, np.zeros(3), y),
    "concatenate": lambda x, y: np.concatenate([x * x, np.ones((2, 1)), y], axis=-1),
    "stack": lambda x, y: np.stack([x * x, y], axis=-1),
    "broadcast": lambda x, y: x[0] * y + x[1] + y[:, 1:2],
}


@pytest.mark.parametrize("name", RULES)
def test_rates_are_those_of_differences(name: str) -> None:
    rng, rule, h = np.random.default_rng(0), RULES[name], 1e-6
    x, y = rng.uniform(0.3, 1.5, (2, 2, 3))
    dx, dy = rng.normal(size=(2, 2, 3, K))
    found = rule(Dual(x, dx), Dual(y, dy))
    np.testing.assert_array_equal(found.value, rule(x, y))
    assert found.rate.shape == (*found.shape, K)
    for k in range(K):
        ends = [rule(x + s * h * dx[..., k], y + s * h * dy[..., k]) for s in (-1, 1)]
        np.testing.assert_allclose(found.rate[..., k], (ends[1] - ends[0]) / (2 * h), atol=1e-7)


def test_single_numbers_have_rates_too() -> None:
    x = Dual(np.array([1.0, 2.0]), np.eye(2))
    product = x[..., 0] * x[..., 1] * 3.0
    np.testing.assert_array_equal(product.rate, [6.0, 3.0])
    square: Any = np.square(x[..., 1])
    np.testing.assert_array_equal((square / x[..., 0]).rate, [-4.0, 4.0])


def test_comparisons_are_of_values() -> None:
    x = Dual(np.array([1.0, 2.0]), np.eye(2))
    for found, expected in (
        (x < 2.0, [True, False]),
        (2.0 <= x, [False, True]),
        (np.array([1.0, 3.0]) == x, [True, False]),
        (x != x, [False, False]),
        (x >= np.array([1.0, 3.0]), [True, False]),
        (np.array([0.0, 3.0]) > x, [False, True]),
    ):
        np.testing.assert_array_equal(found, expected)
    assert not np.zeros_like(x).any() and np.ones_like(x).all()


def test_on_a_bound_the_rate_is_that_of_the_inside() -> None:
    x = Dual(np.array([-1.5, -1.0, 0.0, 1.0, 1.5]), np.ones((5, 1)))
    np.testing.assert_array_equal(x.clip(-1.0, 1.0).rate[:, 0], [0.0, 1.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize(
    "use",
    [
        np.arctan,
        np.linalg.norm,
        np.asarray,
        np.add.reduce,
        lambda x: np.ones(2) @ x,
        lambda x: x**x,
        lambda x: np.add(x, 1.0, where=False),
    ],
)
def test_what_has_no_rule_is_refused(use: Callable[[Any], Any]) -> None:
    with pytest.raises(NoRuleError):
        use(Dual(np.ones(2), np.eye(2)))

"""The lower bound of Q1 against the exact value, an independent distance, and central differences."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from random_grasps import random_grasp
from scipy.optimize import minimize
from torch import Tensor

from gradgym.agents.grasp.q1 import q1, q1_upper
from gradgym.agents.grasp.wrenches import friction_discs

pytest.importorskip("clarabel", reason="the extra 'grasp'")

from gradgym.agents.grasp.q1_lower import q1_lower

Array = NDArray[np.float64]
MU = 0.7


def random_tensors(seed: int, contacts: int) -> tuple[Tensor, Tensor, Tensor]:
    points, normals, weights = random_grasp(seed, contacts)
    return torch.tensor(points), torch.tensor(normals), torch.tensor(weights)


def exact(grasp: tuple[Tensor, Tensor, Tensor], m: float, tolerance: float = 1e-4) -> float:
    p, n, w = (t.detach().numpy() for t in grasp)
    return q1(p, n, MU, m, w, tolerance)


@pytest.mark.parametrize("contacts", [3, 4, 5, 6, 8])
def test_lower_exact_upper_in_this_order(contacts: int) -> None:
    ratios: list[float] = []
    for seed in range(8):
        grasp = random_tensors(seed, contacts)
        value, lower, upper = exact(grasp, 2.0), float(q1_lower(*grasp, MU, 2.0)), float(q1_upper(*grasp, MU, 2.0))
        assert lower <= value + 1e-7
        assert value <= upper * (1.0 + 1e-4)
        if value > 0.05:
            ratios.append(lower / value)
    assert all(ratio > 0.8 for ratio in ratios)


def test_without_a_share_the_program_is_nearly_tight() -> None:
    for seed in range(6):
        grasp = random_tensors(seed, 6)
        value = exact(grasp, 1.0, 1e-6)
        if value > 0.0:
            lower = float(q1_lower(*grasp, MU, 1.0, share=0.0))
            assert 0.93 * value < lower < value + 1e-6


def test_without_force_closure_minus_the_distance_of_the_wrenches() -> None:
    """By sequential quadratic programs over the wrenches themselves, not over directions."""
    compared = 0
    for seed in range(8):
        p, n, w = random_tensors(seed, 4)
        value = float(q1_lower(p, n, w, MU, 1.0, share=0.0))
        if value >= -1e-3:
            continue
        centers, axes = (t.numpy() for t in friction_discs(p, n, w, MU, 1.0))
        count = len(centers)

        def wrench(x: Array, centers: Array = centers, axes: Array = axes, count: int = count) -> Array:
            """Shares x[:N], and points of the discs in (radius, angle) coordinates."""
            y = x[count:].reshape(-1, 2)
            return x[:count] @ centers + np.einsum("na,nak->k", y, axes)

        shares = {"type": "eq", "fun": lambda x, count=count: x[:count].sum() - 1.0}
        discs = {
            "type": "ineq",
            "fun": lambda x, count=count: x[:count] ** 2 - (x[count:].reshape(-1, 2) ** 2).sum(1),
        }
        found = minimize(
            lambda x: wrench(x) @ wrench(x),
            np.concatenate((np.full(count, 1.0 / count), np.full(2 * count, 0.01))),
            method="SLSQP",
            constraints=[shares, discs],
            bounds=[(0.0, 1.0)] * count + [(-1.0, 1.0)] * (2 * count),
            options={"maxiter": 500, "ftol": 1e-14},
        )
        assert value == pytest.approx(-np.sqrt(found.fun), rel=1e-4)
        compared += 1
    assert compared >= 2


def central(function: Callable[[], Tensor], at: Tensor, k: int, step: float) -> float:
    """By entry k, of the fourth order, since the value has the solver's error, which wants a wide step."""
    entries, values = at.data.view(-1), []
    start = float(entries[k])
    for shift in (1.0, -1.0, 2.0, -2.0):
        entries[k] = start + shift * step
        values.append(float(function().detach()))
    entries[k] = start
    return (8.0 * (values[0] - values[1]) - (values[2] - values[3])) / (12.0 * step)


# Of eight contacts with seed 0, those that count change within the step: there it is not differentiable.
@pytest.mark.parametrize(("contacts", "seed"), [(n, k) for n in (3, 4, 5, 6, 8) for k in (0, 1, 2) if (n, k) != (8, 0)])
def test_gradient_by_central_differences(contacts: int, seed: int) -> None:
    """By ten entries; the error as that of all would be.

    By the better of two steps: the wider meets the function's own curvature, the narrower the solver's last digit.
    """
    p, n, w = data = random_tensors(seed, contacts)
    for t in data:
        t.requires_grad_()
    q1_lower(p, n, w, MU, 1.0).backward()
    gradient = torch.cat([t.grad.reshape(-1) for t in data if t.grad is not None])
    errors = np.zeros(2)
    for k in np.random.default_rng(seed).choice(len(gradient), 10, replace=False):
        tensor, entry = (data[k // (3 * contacts)], k % (3 * contacts)) if k < 6 * contacts else (w, k - 6 * contacts)
        differences = [central(lambda: q1_lower(p, n, w, MU, 1.0), tensor, entry, step) for step in (3e-4, 1e-4)]
        errors += (np.array(differences) - float(gradient[k])) ** 2
    assert np.sqrt(errors.min() * len(gradient) / 10.0) < 1e-5 * float(gradient.norm())


def test_gradient_is_on_every_contact_where_that_of_the_upper_bound_is_on_one() -> None:
    for seed, contacts in ((0, 5), (1, 8), (2, 10)):
        data = random_tensors(seed, contacts)
        for t in data:
            t.requires_grad_()
        upper = torch.autograd.grad(q1_upper(*data, MU, 1.0), data, allow_unused=True)
        lower = torch.autograd.grad(q1_lower(*data, MU, 1.0), data)
        for i in range(2):  # rows of points and normals
            assert int((upper[i].norm(dim=1) > 0.0).sum()) <= 1
            rows = lower[i].norm(dim=1)
            assert float(rows.min()) > 1e-6 * float(rows.max())
        assert float(lower[2].abs().min()) > 1e-7


def test_negligible_weights_are_left_out() -> None:
    points, normals, _ = random_tensors(0, 8)
    weights = torch.tensor([1.0, 0.8, 0.9, 1.0, 0.7, 0.6, 0.0, 0.0], dtype=torch.float64)
    without = q1_lower(points[:6], normals[:6], weights[:6], MU, 1.0)
    assert float(without) > 0.05
    assert torch.allclose(q1_lower(points, normals, weights, MU, 1.0), without, rtol=1e-9)
    # on both sides of what is negligible
    for small, tolerance in ((0.9e-3, 1e-5), (1.1e-3, 1e-2)):
        weights[6:] = small
        assert torch.allclose(q1_lower(points, normals, weights, MU, 1.0), without, rtol=tolerance)
    weights[6:] = 1e-5
    points.requires_grad_()
    q1_lower(points, normals, weights, MU, 1.0).backward()
    assert points.grad is not None
    assert torch.equal(points.grad[6:], torch.zeros(2, 3))
    assert bool((points.grad[:6].norm(dim=1) > 0.0).all())


def test_turned_scaled_and_weighted_grasps() -> None:
    p, n, w = random_tensors(3, 7)
    turn = torch.linalg.qr(torch.tensor(np.random.default_rng(5).normal(size=(3, 3)))).Q
    value = q1_lower(p, n, w, MU, 1.0)
    assert float(value) > 0.03
    for other in (
        q1_lower(p @ turn.T, n @ turn.T, w, MU, 1.0),  # the discs are round: no tangent is preferred
        q1_lower(0.04 * p, n, w, MU, 1.0 / 0.04**2),
        100.0 * q1_lower(p, n, 0.01 * w, MU, 1.0),
    ):
        assert torch.allclose(other, value, rtol=1e-6)


def test_two_contacts_have_no_margin() -> None:
    p = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    value = q1_lower(p, -p, torch.ones(2, dtype=torch.float64), MU, 1.0)
    value.backward()
    assert abs(float(value.detach())) < 1e-5
    assert p.grad is not None
    assert bool(p.grad.isfinite().all())


def test_batches_are_their_grasps_and_keep_the_type() -> None:
    grasps = [random_tensors(seed, 5) for seed in range(4)]
    stacked = [torch.stack(parts).reshape(2, 2, *parts[0].shape).float() for parts in zip(*grasps, strict=True)]
    for t in stacked:
        t.requires_grad_()
    values = q1_lower(stacked[0], stacked[1], stacked[2], MU, 1.0)
    assert values.dtype == torch.float32
    one_by_one = torch.stack([q1_lower(*grasp, MU, 1.0) for grasp in grasps])
    assert torch.allclose(values.detach().double().reshape(-1), one_by_one, atol=1e-5)
    (values * torch.tensor([[1.0, 0.0], [0.0, 2.0]])).sum().backward()
    assert stacked[0].grad is not None
    assert bool((stacked[0].grad[0, 1] == 0.0).all())
    single = grasps[3][0].clone().requires_grad_()
    q1_lower(single, *grasps[3][1:], MU, 1.0).backward()
    assert single.grad is not None
    assert torch.allclose(stacked[0].grad[1, 1].double(), 2.0 * single.grad, atol=1e-3)


def test_errors_are_one_line() -> None:
    p, n, w = random_tensors(0, 4)
    with pytest.raises(ValueError, match="share=1"):
        q1_lower(p, n, w, MU, 1.0, share=1.0)
    with pytest.raises(ValueError, match="finite"):
        q1_lower(p * float("nan"), n, w, MU, 1.0)
    with pytest.raises(ValueError, match="one weight positive"):
        q1_lower(p, n, 0.0 * w, MU, 1.0)

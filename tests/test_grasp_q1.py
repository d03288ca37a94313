"""Q1 against closed forms and a search of another kind; the upper bound against both and central differences."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from random_grasps import random_grasp
from scipy.optimize import linprog, minimize
from torch import Tensor

from gradgym.agents.grasp.q1 import q1, q1_upper
from gradgym.agents.grasp.wrenches import friction_discs, spread_directions

Array = NDArray[np.float64]
MU = 0.7


def tensors(points: Array, normals: Array, weights: Array) -> tuple[Tensor, Tensor, Tensor]:
    return torch.tensor(points), torch.tensor(normals), torch.tensor(weights)


def support(u: Array, points: Array, normals: Array, weights: Array, m: float) -> Array:
    """The definition: each cone's rim, (..., 6) of unit directions, by forces and torques of 3-vectors."""
    y = u * np.sqrt([1.0, 1.0, 1.0, m, m, m])
    g = y[..., None, :3] + np.cross(y[..., None, 3:], points)
    along = (g * normals).sum(-1)
    across = np.linalg.norm(g - along[..., None] * normals, axis=-1)
    return (weights * np.maximum(0.0, along + MU * across)).max(-1)


def searched(points: Array, normals: Array, weights: Array, m: float) -> float:
    """The least support by many starts and sequential quadratic programs in (u, b)."""
    u = np.random.default_rng(0).normal(size=(20_000, 6))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    centers, axes = (t.numpy() for t in friction_discs(*tensors(points, normals, weights), MU, m))
    coarse = support(u, points, normals, weights, m)
    best = np.inf
    for k in np.argsort(coarse)[:6]:
        constraints = [
            {"type": "eq", "fun": lambda x: x[:6] @ x[:6] - 1.0},
            {"type": "ineq", "fun": lambda x: x[6] - centers @ x[:6] - np.linalg.norm(axes @ x[:6], axis=1)},
        ]
        x = minimize(lambda x: x[6], np.append(u[k], coarse[k]), method="SLSQP", constraints=constraints).x
        best = min(best, float(support(x[:6] / np.linalg.norm(x[:6]), points, normals, weights, m)))
    return best


def closed(points: Array, normals: Array, weights: Array) -> bool:
    """Whether 0 is a sum of all edges of the cones, 24 each, with positive shares, and they span all wrenches."""
    centers, axes = (t.numpy() for t in friction_discs(*tensors(points, normals, weights), MU, 1.0))
    angles = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    turns = np.stack((np.cos(angles), np.sin(angles)), 1)
    edges = (centers[:, None] + turns @ axes).reshape(-1, 6)
    if np.linalg.matrix_rank(edges) < 6:
        return False
    return linprog(np.zeros(len(edges)), A_eq=edges.T, b_eq=-edges.sum(0), bounds=(0.0, None)).success


@pytest.mark.parametrize("contacts", [4, 5, 8, 14])
def test_q1_is_the_least_support_of_all_directions(contacts: int) -> None:
    compared = 0
    for seed in range(4):
        grasp = random_grasp(seed, contacts)
        value = q1(*grasp[:2], MU, 2.0, grasp[2])
        assert (value > 0.0) == closed(*grasp)
        if value > 0.0:
            search = searched(*grasp, 2.0)
            assert value < search * (1.0 + 2e-4)  # a search may miss the least
            compared += value > search * (1.0 - 1e-4)
    assert compared >= 1


def test_loose_tolerance_is_above_and_within() -> None:
    for seed in range(8):
        p, n, w = random_grasp(seed, 8)
        tight, loose = q1(p, n, MU, 1.0, w, tolerance=1e-6), q1(p, n, MU, 1.0, w, tolerance=0.05)
        assert tight * (1.0 - 1e-6) <= loose <= tight * 1.0501 / 0.95


def octahedron() -> Array:
    return np.concatenate((np.eye(3), -np.eye(3)))


def test_frictional_octahedron_by_hand() -> None:
    """Contacts at ±e_k of the unit sphere, m = 1.

    With pure torque u = (0, t): g = t × p, h = µ max_k |t × e_k|, least at t = e_1 + e_2 + e_3: µ √(2/3). With pure
    force: h = max_k |f_k| + µ √(1 - f_k²), least at f = (1, 1, 1)/√3 where µ < √2: 1/√3 + µ √(2/3), which is greater.
    """
    p = octahedron()
    value = q1(p, -p, MU, 1.0)
    assert value <= MU * np.sqrt(2.0 / 3.0) * (1.0 + 1e-4)
    assert value == pytest.approx(searched(p, -p, np.ones(6), 1.0), rel=2e-4)
    # with torques scaled down they are the least by far
    m = 1e-4
    assert q1(p, -p, MU, m) == pytest.approx(np.sqrt(m) * MU * np.sqrt(2.0 / 3.0), rel=2e-4)


def test_two_opposing_contacts_cannot_resist_a_turn() -> None:
    p = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    assert q1(p, -p) == 0.0


def planar(angles: list[float]) -> Array:
    return np.stack((np.cos(angles), np.sin(angles), np.zeros(len(angles))), 1)


def test_three_contacts_on_a_sphere_and_a_cylinder() -> None:
    """On the equator, evenly: the sphere's normals are the cylinder's."""
    p = planar([0.0, 2.0 * np.pi / 3.0, 4.0 * np.pi / 3.0])
    assert q1(p, -p, MU) == pytest.approx(searched(p, -p, np.ones(3), 1.0), rel=2e-4)
    assert q1(p, -p, MU) > 0.05
    # a half of the circle does not close
    half = planar([0.0, 0.5, 1.0])
    assert q1(half, -half, 0.3) == 0.0


def test_four_contacts_on_a_cube() -> None:
    """In the middle of four faces: coplanar points, normals of two pairs."""
    p = planar([0.0, np.pi / 2.0, np.pi, 3.0 * np.pi / 2.0])
    value = q1(p, -p, MU)
    assert value == pytest.approx(searched(p, -p, np.ones(4), 1.0), rel=2e-4)
    # a force along z alone: every contact resists by friction only, µ
    assert 0.05 < value <= MU


def test_turned_and_scaled_grasps_are_worth_the_same() -> None:
    p, n, w = random_grasp(3, 7)
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    value = q1(p, n, MU, 1.0, w)
    assert value > 0.05
    assert q1(p @ turn.T, n @ turn.T, MU, 1.0, w) == pytest.approx(value, rel=2e-4)
    assert q1(0.04 * p, n, MU, 1.0 / 0.04**2, w) == pytest.approx(value, rel=2e-4)
    assert q1(p, n, MU, 1.0, 0.01 * w) == pytest.approx(0.01 * value, rel=2e-4)


def test_weight_that_vanishes_is_a_contact_less() -> None:
    """α, β → ∞ of equation 2."""
    p, n, _ = random_grasp(3, 9)
    touching = np.arange(9) < 6
    without = q1(p[touching], n[touching], MU)
    assert without > 0.05
    far = np.where(touching, 0.0, 0.3)
    values = [q1(p, n, MU, weights=np.exp(-alpha * far)) for alpha in (0.0, 3.0, 30.0, 1000.0)]
    assert values[0] > 1.05 * without
    assert values[-1] == pytest.approx(without, rel=2e-4)
    exact, upper = q1(p, n, MU, weights=touching), q1_upper(*tensors(p, n, touching.astype(np.float64)), MU, 1.0)
    assert exact == pytest.approx(without, rel=2e-4)
    assert torch.equal(upper, q1_upper(*tensors(p[touching], n[touching], np.ones(6)), MU, 1.0))


def test_upper_bound_is_above_and_is_the_support_of_its_directions() -> None:
    for seed in range(10):
        grasp = random_grasp(seed, 8)
        upper = float(q1_upper(*tensors(*grasp), MU, 2.0))
        directions = spread_directions(64).numpy().T
        assert upper == pytest.approx(support(directions, *grasp, 2.0).min(), rel=1e-12)
        assert upper >= q1(*grasp[:2], MU, 2.0, grasp[2]) * (1.0 - 1e-4)


def test_directions_are_unit_and_apart() -> None:
    u = spread_directions(64)
    assert torch.allclose(u.norm(dim=0), torch.ones(64, dtype=torch.float64))
    assert torch.equal(u[:, :12], torch.cat((torch.eye(6), -torch.eye(6)), 1).double())
    cosines = u.T @ u - 2.0 * torch.eye(64)
    assert cosines.max() < np.cos(np.radians(35.0))
    with pytest.raises(ValueError, match="at least 12"):
        spread_directions(11)


def central(function: Callable[[], Tensor], at: Tensor, step: float) -> Tensor:
    result = torch.empty_like(at)
    for k in range(at.numel()):
        at.data.view(-1)[k] += step
        above = function().detach()
        at.data.view(-1)[k] -= 2.0 * step
        result.view(-1)[k] = (above - function().detach()) / (2.0 * step)
        at.data.view(-1)[k] += step
    return result


def test_upper_bound_gradient_by_central_differences_and_on_one_contact() -> None:
    for seed in range(5):
        p, n, w = data = tensors(*random_grasp(seed, 6))
        for at in data:
            at.requires_grad_()
        q1_upper(p, n, w, MU, 2.0).backward()
        for at in data:
            assert at.grad is not None
            differences = central(lambda p=p, n=n, w=w: q1_upper(p, n, w, MU, 2.0), at, 1e-6)
            assert torch.allclose(at.grad, differences, rtol=1e-5, atol=1e-5 * float(differences.abs().max()))
        assert w.grad is not None
        assert int((w.grad != 0.0).sum()) == 1


def test_upper_bound_takes_batches() -> None:
    grasps = [tensors(*random_grasp(seed, 5)) for seed in range(6)]
    stacked = [torch.stack(parts).reshape(2, 3, *parts[0].shape) for parts in zip(*grasps, strict=True)]
    values = q1_upper(stacked[0], stacked[1], stacked[2], MU, 1.0)
    one_by_one = torch.stack([q1_upper(p, n, w, MU, 1.0) for p, n, w in grasps])
    assert torch.allclose(values.reshape(-1), one_by_one)


def test_q1_is_fast_enough_for_a_planner() -> None:
    grasps = [random_grasp(seed, 12) for seed in range(10)]
    start = time.process_time()
    for p, n, w in grasps:
        q1(p, n, MU, 1.0, w)
    assert (time.process_time() - start) / 10 < 0.05


def test_errors_are_one_line() -> None:
    p, n, w = random_grasp(0, 4)
    with pytest.raises(ValueError, match="length 1"):
        q1(p, 2.0 * n)
    with pytest.raises(ValueError, match="must both be"):
        q1(p, n[:3])
    with pytest.raises(ValueError, match="weights have shape"):
        q1(p, n, weights=w[:3])
    with pytest.raises(ValueError, match="not negative"):
        q1(p, n, weights=-w)
    with pytest.raises(ValueError, match="finite"):
        q1(np.where(p > 0.0, np.nan, p), n)
    with pytest.raises(ValueError, match="friction=0"):
        q1(p, n, 0.0)

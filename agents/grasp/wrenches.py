"""The wrenches of frictional contacts, in coordinates in which the metric of Q1 is Euclidean.

Source: Liu et al., "Deep Differentiable Grasp Planner for High-DOF Grippers", section IV.B. There W is the convex hull
of the wrenches w of all contacts, and Q1 the radius r of the greatest ball |√M w| <= r in it, M = diag(1, 1, 1, m, m,
m). With x = √M w the ball is Euclidean, and lies in √M W if and only if r <= max_{x in √M W} u·x for all unit u:

    Q1 = min_{|u| = 1} max_i h_i(u),

h_i the support function of contact i's wrenches. The paper's directions are s = M^(-1/2) u, since (M s)·w = u·x; they
are unit in the metric, sᵀ M s = 1, and so is whatever stands in its equations 3 and 4 here.

Contact i presses with f·n <= weight and |f_t| <= µ f·n. Its wrenches A f, A = (1; √m [p]×), are the hull of 0 and of
the disc {c + Bᵀ y: |y| <= 1}, c = weight A n, rows of B = weight µ A t for two unit tangents t. Hence

    h(u) = max(0, c·u + |B u|) = weight max(0, w⊥ + µ w∥).

(The first case of the printed formula, w⊥ + w∥²/w⊥ where µ w⊥ > w∥, is below this: it is no support of that set.)
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def friction_discs(
    points: Tensor, normals: Tensor, weights: Tensor, friction: float, torque_weight: float
) -> tuple[Tensor, Tensor]:
    """Discs whose hull with 0 is √M W; differentiable in the three tensors.

    Args:
        points: (..., N, 3) from the centre of mass [m].
        normals: (..., N, 3), unit, into the object.
        weights: (..., N), greatest force along the normal.
        friction: µ.
        torque_weight: m [1/m²].

    Returns:
        Centres c (..., N, 6) and axes B (..., N, 2, 6), forces before torques.

    Raises:
        ValueError: shapes do not fit, or friction or torque_weight are not positive.
    """
    if points.shape[-1:] != (3,) or points.dim() < 2 or points.shape != normals.shape:
        raise ValueError(f"points {tuple(points.shape)}, normals {tuple(normals.shape)}: must both be (..., N, 3)")
    if weights.shape != points.shape[:-1]:
        raise ValueError(f"weights have shape {tuple(weights.shape)}: must be {tuple(points.shape[:-1])} as the points")
    for name, value in (("friction", friction), ("torque_weight", torque_weight)):
        if not 0.0 < value < float("inf"):
            raise ValueError(f"{name}={value}: must be positive and finite")
    axis = torch.nn.functional.one_hot(normals.detach().abs().argmin(-1), 3).to(normals.dtype)
    first = torch.linalg.cross(axis, normals)
    first = first / torch.linalg.vector_norm(first, dim=-1, keepdim=True)
    second = torch.linalg.cross(normals, first)
    forces = torch.stack((normals, friction * first, friction * second), -2) * weights[..., None, None]
    torques = torch.linalg.cross(points[..., None, :].expand_as(forces), forces)
    discs = torch.cat((forces, torque_weight**0.5 * torques), -1)
    return discs[..., 0, :], discs[..., 1:, :]


@lru_cache
def spread_directions(count: int) -> Tensor:
    """Unit vectors (6, count) of float64, the axes and their opposites first, the rest pushed apart.

    Raises:
        ValueError: count is below 12.
    """
    if count < 12:
        raise ValueError(f"directions={count}: must be at least 12, the axes and their opposites")
    u = np.concatenate((np.eye(6), -np.eye(6), np.random.default_rng(0).normal(size=(count - 12, 6))))
    for step in np.geomspace(0.3, 0.003, 300):
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        near = np.exp(12.0 * (u @ u.T - 1.0))
        np.fill_diagonal(near, 0.0)
        push = -(near @ u) / near.sum(1, keepdims=True)
        u[12:] += step * push[12:]
    return torch.from_numpy((u / np.linalg.norm(u, axis=1, keepdims=True)).T.copy())

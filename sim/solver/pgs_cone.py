"""One elliptic contact in projected Gauss-Seidel: its forces are updated together, within their cone."""

import math

from ..constraint.row import TINY
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..model.data import Data
from ..model.model import Model
from .cholesky import cholesky, cholesky_solve
from .pgs_rows import cost_slope, move

QCQP_ITERATIONS = 30


@kernel
def cone_update(m: Model, d: Data, r: int, c: int, p: int, dim: int) -> float:
    """Lower the cost by the forces of one elliptic contact: along their ray, then across it.

    As MuJoCo's mj_solPGS. At the apex, where MuJoCo moves along the normal, the ray is the one
    of the cone that is steepest, so that the solution is that of the convex problem everywhere.
    """
    lack, before = d.cone_vec[0], d.cone_vec[1]
    for i in range(dim):
        lack[i], before[i] = cost_slope(d, r + i), d.efc_force[r + i]
    _ray_update(m, d, r, c, p, dim)
    _friction_update(m, d, r, c, p, dim)
    improvement = 0.0
    for i in range(dim):
        change = d.efc_force[r + i] - before[i]
        slope = lack[i] + 0.5 * change * d.efc_R[r + i]
        for j in range(dim):
            slope += 0.5 * d.cone_A[c, i, j] * (d.efc_force[r + j] - before[j])
        improvement -= change * slope
    for i in range(dim):
        move(m, d, r + i, d.efc_force[r + i] - before[i])
    return improvement


@kernel
def _ray_update(m: Model, d: Data, r: int, c: int, p: int, dim: int) -> None:
    """Move the contact's force along its ray, or from the apex along the steepest ray of the cone."""
    lack, ray = d.cone_vec[0], d.cone_vec[2]
    apex = d.efc_force[r] < TINY
    if apex:
        t = 0.0
        for i in range(1, dim):
            t += (m.con_friction[p, i - 1] * lack[i]) ** 2
        t = math.sqrt(t)
        ray[0] = 1.0
        for i in range(1, dim):
            d.efc_force[r + i] = 0.0
            ray[i] = -(m.con_friction[p, i - 1] ** 2) * lack[i] / t if t > 0.0 else 0.0
    else:
        for i in range(dim):
            ray[i] = d.efc_force[r + i]
    slope, curvature = 0.0, 0.0
    for i in range(dim):
        slope += lack[i] * ray[i]
        curvature += d.efc_R[r + i] * ray[i] * ray[i]
        for j in range(dim):
            curvature += ray[i] * d.cone_A[c, i, j] * ray[j]
    step = max(-slope / curvature if curvature >= TINY else 0.0, 0.0 if apex else -1.0)
    for i in range(dim):
        d.efc_force[r + i] += step * ray[i]


@kernel
def _friction_update(m: Model, d: Data, r: int, c: int, p: int, dim: int) -> None:
    """Least cost over the friction forces, the normal force held."""
    lack, before, work, q, n = d.cone_vec[0], d.cone_vec[1], d.cone_work[0], d.cone_work[2, 0], dim - 1
    radius = d.efc_force[r]
    if radius < TINY:
        for i in range(dim):
            d.efc_force[r + i] = 0.0
        return
    for i in range(n):
        fi = m.con_friction[p, i]
        total = lack[i + 1] - d.efc_R[r + i + 1] * before[i + 1]
        total += d.cone_A[c, i + 1, 0] * (radius - before[0])
        for j in range(n):
            total -= d.cone_A[c, i + 1, j + 1] * before[j + 1]
            work[i, j] = fi * d.cone_A[c, i + 1, j + 1] * m.con_friction[p, j]
        work[i, i] += fi * fi * d.efc_R[r + i + 1]
        q[i] = fi * total
    least_in_ball(d, n, radius)
    for i in range(n):
        d.efc_force[r + i + 1] = m.con_friction[p, i] * d.cone_vec[2, i]


@kernel
def least_in_ball(d: Data, n: int, radius: float) -> None:
    """cone_vec[2] = the y that minimises y P y / 2 + q y in the ball |y| <= radius; P in cone_work[0], q in [2, 0].

    In units y of friction coefficient times the normal force the cone is such a ball. With a
    multiplier s, (P + s) y = -q and |y| = radius; Newton's method on 1/|y|.
    """
    work, factor, q, y = d.cone_work[0], d.cone_work[1], d.cone_work[2, 0], d.cone_vec[2]
    multiplier, size, on_cone = 0.0, 0.0, False
    for _ in range(QCQP_ITERATIONS):
        for i in range(n):
            for j in range(n):
                factor[i, j] = work[i, j]
            factor[i, i] += multiplier
            y[i] = -q[i]
        cholesky(n, factor)
        cholesky_solve(n, factor, y)
        size = math.sqrt(_square(n, y))
        excess = (size - radius) / radius
        if excess <= (1e-14 if on_cone else 0.0):
            break
        on_cone = True
        u = d.cone_work[2, 1]
        for i in range(n):
            u[i] = y[i]
        cholesky_solve(n, factor, u)
        slope = 0.0
        for i in range(n):
            slope += y[i] * u[i]
        multiplier += excess * size * size / slope
    if on_cone:
        for i in range(n):
            y[i] *= radius / size


@kernel
def _square(n: int, x: Floats) -> float:
    total = 0.0
    for i in range(n):
        total += x[i] * x[i]
    return total

"""Projected Gauss-Seidel on the dual problem: the constraint forces f, row by row.

The mixed complementarity problem of Qiao et al. (2021), section 4.1 and supplement C, with
MuJoCo's soft constraints (documentation, Computation, "Constraint solver"): f minimises
f (A + R) f / 2 + f b within its bounds and friction cones, A = J M^-1 J', b = J qacc_smooth - aref.
The acceleration M^-1 J' f is kept up to date while rows change, so that a row costs 2 nv and A,
but for its diagonal and the blocks of elliptic contacts, is never formed.
"""

import math

from ._jit import kernel
from .constraint_row import CONTACT_ELLIPTIC, EQUALITY, FRICTION_DOF, FRICTION_TENDON, TINY
from .crba import solve_ltdl
from .data import Data
from .model import Model
from .solver_newton import (
    cholesky,
    cholesky_solve,
    cone_curvature,
    constraint_forces,
    force_law_residual,
    set_point,
)

QCQP_ITERATIONS = 30


@kernel
def solve_pgs(m: Model, d: Data) -> None:
    """Fill qacc, efc_force, qfrc_constraint, efc_slope, cone_on and cone_hess.

    Needs qacc_smooth, qM, efc_*, and in qLD the factor of qM.

    Starts from the forces that the force law gives at qacc_warmstart, or from none if those cost
    more; stops when a sweep lowers the cost by less than the tolerance. `solver_residual` is
    Newton's: what the equation of motion lacks with the forces of the law.
    """
    _prepare(m, d)
    _start(m, d)
    scale = 1.0 / (m.meaninertia * max(1, m.nv))
    for _ in range(m.iterations):
        improvement = _sweep(m, d)
        d.solver_niter[0] += 1
        if scale * improvement < m.tolerance:
            break
    _finish(m, d)


@kernel
def force_bounds(d: Data, r: int) -> tuple[float, float]:
    """Least and greatest force of a row that is no part of an elliptic cone."""
    kind = d.efc_type[r]
    if kind == EQUALITY:
        return -math.inf, math.inf
    if kind == FRICTION_DOF or kind == FRICTION_TENDON:
        return -d.efc_floss[r], d.efc_floss[r]
    return 0.0, math.inf


@kernel
def _prepare(m: Model, d: Data) -> None:
    """qH (the factor of M, kept for the adjoint), efc_MinvJ, efc_ARdiag, cone_A."""
    for v in range(m.nv):
        for c in range(v + 1):
            d.qH[v, c] = d.qLD[v, c]
    r, n = 0, d.nefc[0]
    while r < n:
        for v in range(m.nv):
            d.efc_MinvJ[r, v] = d.efc_J[r, v]
        solve_ltdl(m, d.qH, d.efc_MinvJ[r].reshape((m.nv, 1)))
        d.efc_ARdiag[r] = d.efc_R[r] + _dot(m, d.efc_J[r], d.efc_MinvJ[r])
        r += 1
    for c in range(d.ncon[0]):
        r = d.con_efc[c]
        if r >= 0 and d.efc_type[r] == CONTACT_ELLIPTIC:
            dim = m.con_dim[d.con_pair[c]]
            for i in range(dim):
                for j in range(i + 1):
                    d.cone_A[c, i, j] = _dot(m, d.efc_J[r + i], d.efc_MinvJ[r + j])
                    d.cone_A[c, j, i] = d.cone_A[c, i, j]


@kernel
def _dot(m: Model, a, b) -> float:  # type: ignore[no-untyped-def]
    total = 0.0
    for v in range(m.nv):
        total += a[v] * b[v]
    return total


@kernel
def _move(m: Model, d: Data, r: int, change: float) -> None:
    """Acceleration after the force of row `r` changed."""
    for v in range(m.nv):
        d.qacc[v] += d.efc_MinvJ[r, v] * change


@kernel
def _start(m: Model, d: Data) -> None:
    for v in range(m.nv):
        d.qacc[v] = d.qacc_warmstart[v]
    set_point(m, d)
    constraint_forces(m, d)
    for v in range(m.nv):
        d.qacc[v] = d.qacc_smooth[v]
    for r in range(d.nefc[0]):
        _move(m, d, r, d.efc_force[r])
    cost = 0.0
    for r in range(d.nefc[0]):
        target = -2.0 * d.efc_aref[r] + d.efc_R[r] * d.efc_force[r]
        target += _dot(m, d.efc_J[r], d.qacc) + _dot(m, d.efc_J[r], d.qacc_smooth)
        cost += 0.5 * d.efc_force[r] * target
    if not cost < 0.0:
        for v in range(m.nv):
            d.qacc[v] = d.qacc_smooth[v]
        for r in range(d.nefc[0]):
            d.efc_force[r] = 0.0


@kernel
def _sweep(m: Model, d: Data) -> float:
    """Update every row once; returns by how much the cost fell."""
    improvement = 0.0
    r, n = 0, d.nefc[0]
    while r < n:
        if d.efc_type[r] == CONTACT_ELLIPTIC:
            c = d.efc_id[r]
            p = d.con_pair[c]
            improvement += _cone_update(m, d, r, c, p, m.con_dim[p])
            r += m.con_dim[p]
            continue
        force = d.efc_force[r]
        lack = _lack(m, d, r)
        low, high = force_bounds(d, r)
        d.efc_force[r] = min(max(force - lack / d.efc_ARdiag[r], low), high)
        change = d.efc_force[r] - force
        if change != 0.0:
            _move(m, d, r, change)
            improvement -= change * (lack + 0.5 * change * d.efc_ARdiag[r])
        r += 1
    return improvement


@kernel
def _lack(m: Model, d: Data, r: int) -> float:
    """Slope of the cost by the force of row `r`."""
    return _dot(m, d.efc_J[r], d.qacc) - d.efc_aref[r] + d.efc_R[r] * d.efc_force[r]


@kernel
def _cone_update(m: Model, d: Data, r: int, c: int, p: int, dim: int) -> float:
    """Lower the cost by the forces of one elliptic contact: along their ray, then across it.

    As MuJoCo's mj_solPGS. At the apex, where MuJoCo moves along the normal, the ray is the one
    of the cone that is steepest, so that the solution is that of the convex problem everywhere.
    """
    lack, before = d.cone_vec[0], d.cone_vec[1]
    for i in range(dim):
        lack[i], before[i] = _lack(m, d, r + i), d.efc_force[r + i]
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
        _move(m, d, r + i, d.efc_force[r + i] - before[i])
    return improvement


@kernel
def _ray_update(m: Model, d: Data, r: int, c: int, p: int, dim: int) -> None:
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
    """Least cost over the friction forces, the normal force held.

    In units y of friction coefficient times the normal force the cone is the ball |y| < f: with a
    multiplier s, (P + s) y = -q and |y| = f; Newton's method on 1/|y|.
    """
    lack, before, y = d.cone_vec[0], d.cone_vec[1], d.cone_vec[2]
    work, factor, n = d.cone_work[0], d.cone_work[1], dim - 1
    radius, size, on_cone = d.efc_force[r], 0.0, False
    if radius < TINY:
        for i in range(dim):
            d.efc_force[r + i] = 0.0
        return
    q = d.cone_work[2, 0]
    for i in range(n):
        fi = m.con_friction[p, i]
        total = lack[i + 1] - d.efc_R[r + i + 1] * before[i + 1]
        total += d.cone_A[c, i + 1, 0] * (radius - before[0])
        for j in range(n):
            total -= d.cone_A[c, i + 1, j + 1] * before[j + 1]
            work[i, j] = fi * d.cone_A[c, i + 1, j + 1] * m.con_friction[p, j]
        work[i, i] += fi * fi * d.efc_R[r + i + 1]
        q[i] = fi * total
    multiplier = 0.0
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
    onto_cone = radius / size if on_cone else 1.0
    for i in range(n):
        d.efc_force[r + i + 1] = m.con_friction[p, i] * y[i] * onto_cone


@kernel
def _square(n: int, x) -> float:  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(n):
        total += x[i] * x[i]
    return total


@kernel
def _finish(m: Model, d: Data) -> None:
    """Acceleration from the forces anew, without what rounding gathered; residual; slopes of the forces."""
    for v in range(m.nv):
        d.search[v] = 0.0
    for r in range(d.nefc[0]):
        for v in range(m.nv):
            d.search[v] += d.efc_J[r, v] * d.efc_force[r]
    for v in range(m.nv):
        d.qacc[v] = d.search[v]
    solve_ltdl(m, d.qH, d.qacc.reshape((m.nv, 1)))
    for v in range(m.nv):
        d.qacc[v] += d.qacc_smooth[v]
    set_point(m, d)
    for r in range(d.nefc[0]):
        d.efc_jv[r] = d.efc_force[r]
    d.solver_residual[0] = force_law_residual(m, d)
    for v in range(m.nv):
        d.qfrc_constraint[v] = d.search[v]
    for r in range(d.nefc[0]):
        d.efc_force[r] = d.efc_jv[r]
    _slopes(m, d)


@kernel
def _slopes(m: Model, d: Data) -> None:
    """efc_slope, cone_on, cone_hess of the forces found: where they are within bounds and cones, and where on them."""
    r, n = 0, d.nefc[0]
    while r < n:
        force, dim = d.efc_force[r], 1
        if d.efc_type[r] == CONTACT_ELLIPTIC:
            c = d.efc_id[r]
            p = d.con_pair[c]
            dim = m.con_dim[p]
            t, grip = 0.0, 0.0
            for i in range(1, dim):
                share = d.efc_force[r + i] / m.con_friction[p, i - 1]
                t -= share * d.efc_jar[r + i] * m.con_friction[p, i - 1]
                grip += share * share
            d.cone_on[c] = 1 if force > 0.0 and math.sqrt(grip) >= (1.0 - 1e-13) * force else 0
            if d.cone_on[c]:
                least = d.efc_R[r + 1] * m.con_friction[p, 0] ** 2 * force
                cone_curvature(m, d, r, c, p, dim, max(t / force, least))
            active = force > 0.0 and not d.cone_on[c]
        else:
            low, high = force_bounds(d, r)
            active = low < force < high
        for i in range(dim):
            d.efc_slope[r + i] = d.efc_D[r + i] if active else 0.0
        r += dim

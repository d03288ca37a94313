"""Newton's method on the primal problem: the acceleration that minimises Gauss's cost plus s(J a - aref).

MuJoCo documentation, Computation, "Constraint solver"; Todorov (2014), "Convex and analytically
invertible dynamics with contacts and constraints". s is quadratic where a row pushes, zero where
it does not, linear beyond a friction loss, and the squared distance to the friction cone for
elliptic contacts. Exact Newton steps with an exact line search converge in a few iterations. Each
island (`islands.py`) takes as many as it needs; its vectors and rows are in island order.
"""

import math

from ._jit import kernel
from .constraint_row import (
    CONTACT_ELLIPTIC,
    EQUALITY,
    FRICTION_DOF,
    FRICTION_TENDON,
    TINY,
    row_axpy,
    row_dot,
)
from .data import Data, Lanes
from .hessian import curvature_changed, hessian, solve_hessian, solve_hessian_lanes
from .islands import dof_at, dofs_of, row_at, rows_of
from .model import Model


@kernel
def solve_newton(m: Model, d: Data) -> None:
    """Fill iacc, efc_force, ifrc_constraint.

    Needs in iacc the smooth acceleration, qM, efc_*; starts from the cheaper of iacc_warmstart and iacc_smooth.
    """
    for k in range(d.nisland[0]):
        if d.island_nefc[k] > 0:
            _solve_island(m, d, k)


@kernel
def _solve_island(m: Model, d: Data, k: int) -> None:
    begin, end = dofs_of(d, k)
    first_row, end_row = rows_of(d, k)
    for i in range(first_row, end_row):
        d.efc_slope_qH[row_at(d, i)] = -1.0  # no row's slope: qH is another matrix's
    _start(m, d, k)
    niter, residual = 0, 0.0
    for iteration in range(m.iterations + 1):
        residual = force_law_residual(m, d, k)
        if residual < m.tolerance or iteration == m.iterations:
            break
        if curvature_changed(d, k):
            hessian(m, d, k)
        for i in range(begin, end):
            d.search[i] = -d.grad[i]
        solve_hessian(d, begin, end, d.search)
        alpha = _line_search(m, d, k)
        if alpha == 0.0:
            break
        for i in range(begin, end):
            d.iacc[i] += alpha * d.search[i]
            d.Ma[i] += alpha * d.Mv[i]
        for i in range(first_row, end_row):
            r = row_at(d, i)
            d.efc_jar[r] += alpha * d.efc_jv[r]
        niter += 1
    report(m, d, k, niter, residual)


@kernel
def report(m: Model, d: Data, k: int, niter: int, residual: float) -> None:
    """Put iterations and residual of island `k` into what the scene reports: the most, and the norm of all."""
    d.solver_niter[0] = max(d.solver_niter[0], niter)
    share = residual * d.island_nv[k] / m.nv
    d.solver_residual[0] = math.sqrt(d.solver_residual[0] ** 2 + share * share)


@kernel
def solve_newton_adj(m: Model, d: Data, w: Lanes) -> None:
    """qfrc_adj <- H^-1 qfrc_adj: from the cotangent of M qacc to the multiplier of the equation of motion.

    H is the Hessian at the solution.
    """
    for k in range(d.nisland[0]):
        if d.island_nefc[k] == 0 or curvature_changed(d, k):
            hessian(m, d, k)
        begin, end = dofs_of(d, k)
        solve_hessian_lanes(d, begin, end, w.qfrc_adj)


@kernel
def force_law_residual(m: Model, d: Data, k: int) -> float:
    """Forces that the law gives at `iacc` (with Ma and efc_jar); returns the scaled norm of `grad`."""
    constraint_forces(m, d, k)
    _gradient(d, k)
    begin, end = dofs_of(d, k)
    norm = 0.0
    for i in range(begin, end):
        norm += d.grad[i] * d.grad[i]
    return math.sqrt(norm) / (m.meaninertia * (end - begin))


@kernel
def _mul_m(m: Model, d: Data, k: int, out, x) -> None:  # type: ignore[no-untyped-def]
    """out = M x of an island, from the lower triangle of qM along the trees."""
    begin, end = dofs_of(d, k)
    for i in range(begin, end):
        out[i] = 0.0
    for i in range(begin, end):
        v = dof_at(d, i)
        out[i] += d.qM[v, v] * x[i]
        c = m.dof_parentid[v]
        while c >= 0:
            e = max(i - v + c, 0)
            out[i] += d.qM[v, c] * x[e]
            out[e] += d.qM[v, c] * x[i]
            c = m.dof_parentid[c]


@kernel
def set_point(m: Model, d: Data, k: int) -> None:
    """Ma and efc_jar at `iacc`."""
    _mul_m(m, d, k, d.Ma, d.iacc)
    _set_jar(d, k)


@kernel
def _set_jar(d: Data, k: int) -> None:
    first_row, end_row = rows_of(d, k)
    for i in range(first_row, end_row):
        r = row_at(d, i)
        d.efc_jar[r] = row_dot(d, r, d.efc_idofadr[r, 0], d.efc_idofadr[r, 1], d.iacc) - d.efc_aref[r]
        d.efc_jv[r] = 0.0  # a world that diverged before may have left NaN


@kernel
def _start(m: Model, d: Data, k: int) -> None:
    _set_jar(d, k)
    smooth = _cost(m, d, k, 0.0)[0]
    begin, end = dofs_of(d, k)
    for i in range(begin, end):
        d.iacc[i] = d.iacc_warmstart[i]
    set_point(m, d, k)
    warm = _cost(m, d, k, 0.0)[0]
    for i in range(begin, end):
        warm += 0.5 * (d.Ma[i] - d.ifrc_smooth[i]) * (d.iacc[i] - d.iacc_smooth[i])
    if not warm < smooth:
        for i in range(begin, end):
            d.iacc[i] = d.iacc_smooth[i]
        set_point(m, d, k)


@kernel
def _cost(m: Model, d: Data, k: int, alpha: float) -> tuple[float, float, float]:
    """Constraint cost at jar + alpha jv, and its first two derivatives by alpha."""
    cost, first, second = 0.0, 0.0, 0.0
    at, end = rows_of(d, k)
    while at < end:
        r = row_at(d, at)
        if d.efc_type[r] == CONTACT_ELLIPTIC:
            c = d.efc_id[r]
            p = d.con_pair[c]
            dim = m.con_dim[p]
            a, b, e = _cone_cost(m, d, r, c, p, dim, alpha)
            cost, first, second = cost + a, first + b, second + e
            at += dim
            continue
        at += 1
        x, dx, weight = d.efc_jar[r] + alpha * d.efc_jv[r], d.efc_jv[r], d.efc_D[r]
        kind = d.efc_type[r]
        if kind == FRICTION_DOF or kind == FRICTION_TENDON:
            bound = d.efc_floss[r] * d.efc_R[r]
            if abs(x) >= bound:
                sign = 1.0 if x > 0.0 else -1.0
                cost += d.efc_floss[r] * (abs(x) - 0.5 * bound)
                first += sign * d.efc_floss[r] * dx
                continue
        elif x >= 0.0 and kind != EQUALITY:
            continue
        cost += 0.5 * weight * x * x
        first += weight * x * dx
        second += weight * dx * dx
    return cost, first, second


@kernel
def _cone_cost(m: Model, d: Data, r: int, c: int, p: int, dim: int, alpha: float) -> tuple[float, float, float]:
    mu = d.con_mu[c]
    normal, dnormal = (d.efc_jar[r] + alpha * d.efc_jv[r]) * mu, d.efc_jv[r] * mu
    tt, td, dd = 0.0, 0.0, 0.0
    for e in range(1, dim):
        f = m.con_friction[p, e - 1]
        x, dx = (d.efc_jar[r + e] + alpha * d.efc_jv[r + e]) * f, d.efc_jv[r + e] * f
        tt, td, dd = tt + x * x, td + x * dx, dd + dx * dx
    t = math.sqrt(tt)
    if normal >= mu * t or (t <= 0.0 and normal >= 0.0):
        return 0.0, 0.0, 0.0
    if mu * normal + t <= 0.0 or (t <= 0.0 and normal < 0.0):
        cost, first, second = 0.0, 0.0, 0.0
        for e in range(dim):
            x, dx = d.efc_jar[r + e] + alpha * d.efc_jv[r + e], d.efc_jv[r + e]
            cost += 0.5 * d.efc_D[r + e] * x * x
            first += d.efc_D[r + e] * x * dx
            second += d.efc_D[r + e] * dx * dx
        return cost, first, second
    weight = d.efc_D[r] / (mu * mu * (1.0 + mu * mu))
    gap = normal - mu * t
    dt = td / t
    ddt = (dd - dt * dt) / t
    dgap = dnormal - mu * dt
    return 0.5 * weight * gap * gap, weight * gap * dgap, weight * (dgap * dgap - gap * mu * ddt)


@kernel
def constraint_forces(m: Model, d: Data, k: int) -> None:
    """efc_force, efc_slope, cone_on, cone_hess at jar."""
    at, end = rows_of(d, k)
    while at < end:
        r = row_at(d, at)
        kind, x = d.efc_type[r], d.efc_jar[r]
        if kind == CONTACT_ELLIPTIC:
            at += _cone_force(m, d, r)
            continue
        at += 1
        frictional = kind == FRICTION_DOF or kind == FRICTION_TENDON
        active = x < 0.0 or kind == EQUALITY
        if frictional:
            active = abs(x) < d.efc_floss[r] * d.efc_R[r]
        d.efc_slope[r] = d.efc_D[r] if active else 0.0
        d.efc_force[r] = -d.efc_D[r] * x if active else 0.0
        if frictional and not active:
            d.efc_force[r] = -d.efc_floss[r] if x > 0.0 else d.efc_floss[r]


@kernel
def _cone_force(m: Model, d: Data, r: int) -> int:
    """Force of one elliptic contact starting at row `r`; returns its number of rows."""
    c = d.efc_id[r]
    p, mu = d.con_pair[c], d.con_mu[c]
    dim = m.con_dim[p]
    normal, tt = d.efc_jar[r] * mu, 0.0
    for e in range(1, dim):
        x = d.efc_jar[r + e] * m.con_friction[p, e - 1]
        tt += x * x
    t = math.sqrt(tt)
    d.cone_on[c] = 0
    if normal >= mu * t or (t <= 0.0 and normal >= 0.0):
        for e in range(dim):
            d.efc_force[r + e], d.efc_slope[r + e] = 0.0, 0.0
    elif mu * normal + t <= 0.0 or (t <= 0.0 and normal < 0.0):
        for e in range(dim):
            d.efc_force[r + e], d.efc_slope[r + e] = -d.efc_D[r + e] * d.efc_jar[r + e], d.efc_D[r + e]
    else:
        _cone_surface(m, d, r, c, p, dim, normal, t)
    return dim


@kernel
def _cone_surface(m: Model, d: Data, r: int, c: int, p: int, dim: int, normal: float, t: float) -> None:
    mu = d.con_mu[c]
    weight = d.efc_D[r] / (mu * mu * (1.0 + mu * mu))
    gap = normal - mu * t
    d.cone_on[c] = 1
    d.efc_force[r], d.efc_slope[r] = -weight * gap * mu, 0.0
    for i in range(1, dim):
        fi = m.con_friction[p, i - 1]
        d.efc_force[r + i], d.efc_slope[r + i] = weight * gap * mu * d.efc_jar[r + i] * fi * fi / t, 0.0
    cone_curvature(m, d, r, c, p, dim, t)


@kernel
def cone_curvature(m: Model, d: Data, r: int, c: int, p: int, dim: int, t: float) -> None:
    """cone_hess of a contact whose force lies on the cone, where it slides at the scaled acceleration t."""
    mu, normal, h = d.con_mu[c], max(d.efc_force[r], TINY), d.cone_hess
    weight = d.efc_D[r] / (1.0 + mu * mu)
    h[c, 0, 0] = weight
    for i in range(1, dim):
        fi = m.con_friction[p, i - 1]
        ui = -d.efc_force[r + i] / (fi * normal)
        h[c, 0, i] = -weight * ui * fi
        h[c, i, 0] = h[c, 0, i]
        for j in range(1, dim):
            fj = m.con_friction[p, j - 1]
            uj = -d.efc_force[r + j] / (fj * normal)
            same = 1.0 if i == j else 0.0
            h[c, i, j] = (weight * ui * uj + normal / t * (same - ui * uj)) * fi * fj


@kernel
def _gradient(d: Data, k: int) -> None:
    begin, end = dofs_of(d, k)
    for i in range(begin, end):
        d.ifrc_constraint[i] = 0.0
    first_row, end_row = rows_of(d, k)
    for i in range(first_row, end_row):
        r = row_at(d, i)
        if d.efc_force[r] != 0.0:
            row_axpy(d, r, d.efc_idofadr[r, 0], d.efc_idofadr[r, 1], d.efc_force[r], d.ifrc_constraint)
    for i in range(begin, end):
        d.grad[i] = d.Ma[i] - d.ifrc_smooth[i] - d.ifrc_constraint[i]


@kernel
def _line_search(m: Model, d: Data, k: int) -> float:
    """The step along `search` that minimises the cost: Newton in one variable, kept in a bracket.

    0 where numbers are too large for it: the solver stops at the last finite point.
    """
    _mul_m(m, d, k, d.Mv, d.search)
    first_row, end_row = rows_of(d, k)
    for i in range(first_row, end_row):
        r = row_at(d, i)
        d.efc_jv[r] = row_dot(d, r, d.efc_idofadr[r, 0], d.efc_idofadr[r, 1], d.search)
    begin, end = dofs_of(d, k)
    linear, quadratic = 0.0, 0.0
    for i in range(begin, end):
        linear += d.search[i] * (d.Ma[i] - d.ifrc_smooth[i])
        quadratic += d.search[i] * d.Mv[i]
    low, high, alpha = 0.0, math.inf, 1.0
    start = abs(linear + _cost(m, d, k, 0.0)[1])
    if not start < math.inf:
        return 0.0
    for _ in range(m.ls_iterations):
        _, first, second = _cost(m, d, k, alpha)
        first += linear + alpha * quadratic
        second += quadratic
        if abs(first) <= 1e-12 * start:
            break
        if first > 0.0:
            high = alpha
        else:
            low = alpha
        step = alpha - first / max(second, TINY)
        if step <= low or step >= high:
            step = 0.5 * (low + high) if high < math.inf else 2.0 * alpha
        if step == alpha:
            break
        alpha = step
    return alpha if alpha < math.inf else 0.0

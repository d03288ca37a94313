"""Newton's method on the primal problem: the acceleration that minimises Gauss's cost plus s(J a - aref).

MuJoCo documentation, Computation, "Constraint solver"; Todorov (2014), "Convex and analytically
invertible dynamics with contacts and constraints". s is quadratic where a row pushes, zero where
it does not, linear beyond a friction loss, and the squared distance to the friction cone for
elliptic contacts. Exact Newton steps with an exact line search converge in a few iterations.
"""

import math

from ._jit import kernel
from .constraint_row import CONTACT_ELLIPTIC, EQUALITY, FRICTION_DOF, FRICTION_TENDON, TINY
from .data import Data, Lanes
from .model import Model


@kernel
def solve_newton(m: Model, d: Data) -> None:
    """Fill qacc, efc_force, qfrc_constraint, qH (Cholesky factor of the Hessian at the solution).

    Needs qacc_smooth, qM, efc_*; starts from the cheaper of qacc_warmstart and qacc_smooth.
    """
    _start(m, d)
    for iteration in range(m.iterations + 1):
        d.solver_residual[0] = force_law_residual(m, d)
        if iteration == 0 or _curvature_changed(d):
            _hessian(m, d)
        if d.solver_residual[0] < m.tolerance or iteration == m.iterations:
            break
        for v in range(m.nv):
            d.search[v] = -d.grad[v]
        cholesky_solve(m.nv, d.qH, d.search)
        alpha = _line_search(m, d)
        if alpha == 0.0:
            break
        for v in range(m.nv):
            d.qacc[v] += alpha * d.search[v]
            d.Ma[v] += alpha * d.Mv[v]
        for r in range(d.nefc[0]):
            d.efc_jar[r] += alpha * d.efc_jv[r]
        d.solver_niter[0] += 1


@kernel
def solve_newton_adj(m: Model, d: Data, w: Lanes) -> None:
    """qfrc_adj <- H^-1 qfrc_adj: from the cotangent of M qacc to the multiplier of the equation of motion."""
    cholesky_solve_lanes(m.nv, d.qH, w.qfrc_adj)


@kernel
def force_law_residual(m: Model, d: Data) -> float:
    """Forces that the law gives at `qacc` (with Ma and efc_jar); returns the scaled norm of `grad`."""
    constraint_forces(m, d)
    _gradient(m, d)
    norm = 0.0
    for v in range(m.nv):
        norm += d.grad[v] * d.grad[v]
    return math.sqrt(norm) / (m.meaninertia * max(1, m.nv))


@kernel
def _mul_m(m: Model, d: Data, out, x) -> None:  # type: ignore[no-untyped-def]
    """out = M x, from the lower triangle of qM along the tree."""
    for v in range(m.nv):
        out[v] = 0.0
    for v in range(m.nv):
        out[v] += d.qM[v, v] * x[v]
        c = m.dof_parentid[v]
        while c >= 0:
            out[v] += d.qM[v, c] * x[c]
            out[c] += d.qM[v, c] * x[v]
            c = m.dof_parentid[c]


@kernel
def set_point(m: Model, d: Data) -> None:
    """Ma and efc_jar at `qacc`."""
    _mul_m(m, d, d.Ma, d.qacc)
    for r in range(d.nefc[0]):
        total = -d.efc_aref[r]
        for v in range(m.nv):
            total += d.efc_J[r, v] * d.qacc[v]
        d.efc_jar[r] = total
        d.efc_jv[r] = 0.0  # a world that diverged before may have left NaN


@kernel
def _start(m: Model, d: Data) -> None:
    for v in range(m.nv):
        d.qacc[v] = d.qacc_warmstart[v]
    set_point(m, d)
    warm = _cost(m, d, 0.0)[0]
    for v in range(m.nv):
        warm += 0.5 * (d.Ma[v] - d.qfrc_smooth[v]) * (d.qacc[v] - d.qacc_smooth[v])
        d.qacc[v] = d.qacc_smooth[v]
    set_point(m, d)
    if warm < _cost(m, d, 0.0)[0]:
        for v in range(m.nv):
            d.qacc[v] = d.qacc_warmstart[v]
        set_point(m, d)


@kernel
def _cost(m: Model, d: Data, alpha: float) -> tuple[float, float, float]:
    """Constraint cost at jar + alpha jv, and its first two derivatives by alpha."""
    cost, first, second = 0.0, 0.0, 0.0
    r, n = 0, d.nefc[0]
    while r < n:
        if d.efc_type[r] == CONTACT_ELLIPTIC:
            c = d.efc_id[r]
            p = d.con_pair[c]
            dim = m.con_dim[p]
            a, b, e = _cone_cost(m, d, r, c, p, dim, alpha)
            cost, first, second = cost + a, first + b, second + e
            r += dim
            continue
        x, dx, weight = d.efc_jar[r] + alpha * d.efc_jv[r], d.efc_jv[r], d.efc_D[r]
        kind = d.efc_type[r]
        if kind == FRICTION_DOF or kind == FRICTION_TENDON:
            bound = d.efc_floss[r] * d.efc_R[r]
            if abs(x) >= bound:
                sign = 1.0 if x > 0.0 else -1.0
                cost += d.efc_floss[r] * (abs(x) - 0.5 * bound)
                first += sign * d.efc_floss[r] * dx
                r += 1
                continue
        elif x >= 0.0 and kind != EQUALITY:
            r += 1
            continue
        cost += 0.5 * weight * x * x
        first += weight * x * dx
        second += weight * dx * dx
        r += 1
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
def constraint_forces(m: Model, d: Data) -> None:
    """efc_force, efc_slope, cone_on, cone_hess at jar."""
    r, n = 0, d.nefc[0]
    while r < n:
        kind, x = d.efc_type[r], d.efc_jar[r]
        if kind == CONTACT_ELLIPTIC:
            r += _cone_force(m, d, r)
            continue
        frictional = kind == FRICTION_DOF or kind == FRICTION_TENDON
        active = x < 0.0 or kind == EQUALITY
        if frictional:
            active = abs(x) < d.efc_floss[r] * d.efc_R[r]
        d.efc_slope[r] = d.efc_D[r] if active else 0.0
        d.efc_force[r] = -d.efc_D[r] * x if active else 0.0
        if frictional and not active:
            d.efc_force[r] = -d.efc_floss[r] if x > 0.0 else d.efc_floss[r]
        r += 1


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
def _gradient(m: Model, d: Data) -> None:
    for v in range(m.nv):
        d.qfrc_constraint[v] = 0.0
    for r in range(d.nefc[0]):
        force = d.efc_force[r]
        if force != 0.0:
            for v in range(m.nv):
                d.qfrc_constraint[v] += d.efc_J[r, v] * force
    for v in range(m.nv):
        d.grad[v] = d.Ma[v] - d.qfrc_smooth[v] - d.qfrc_constraint[v]


@kernel
def _curvature_changed(d: Data) -> bool:
    """Whether rows have switched since `_hessian`, or a contact is or was on its cone, which is curved."""
    for r in range(d.nefc[0]):
        if d.efc_slope[r] != d.efc_slope_qH[r]:
            return True
        if d.efc_type[r] == CONTACT_ELLIPTIC and d.cone_on[d.efc_id[r]]:
            return True
    return False


@kernel
def _hessian(m: Model, d: Data) -> None:
    """Cholesky factor of M + J' C J in the lower triangle of qH."""
    for r in range(d.nefc[0]):
        d.efc_slope_qH[r] = d.efc_slope[r]
    for v in range(m.nv):
        for c in range(v + 1):
            d.qH[v, c] = d.qM[v, c]
    r, n = 0, d.nefc[0]
    while r < n:
        if d.efc_type[r] == CONTACT_ELLIPTIC:
            c = d.efc_id[r]
            dim = m.con_dim[d.con_pair[c]]
            if d.cone_on[c]:
                for i in range(dim):
                    d.efc_slope_qH[r + i] = -1.0  # no row's slope
                    for j in range(dim):
                        _add_outer(m, d, r + i, r + j, d.cone_hess[c, i, j])
                r += dim
                continue
        if d.efc_slope[r] != 0.0:
            _add_outer(m, d, r, r, d.efc_slope[r])
        r += 1
    cholesky(m.nv, d.qH)


@kernel
def _add_outer(m: Model, d: Data, i: int, j: int, s: float) -> None:
    for v in range(m.nv):
        x = s * d.efc_J[i, v]
        if x != 0.0:
            for c in range(v + 1):
                d.qH[v, c] += x * d.efc_J[j, c]


@kernel
def cholesky(n: int, a) -> None:  # type: ignore[no-untyped-def]
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            # a pivot below the rounding of its entry is noise: the rounding itself stands in
            a[i, j] = math.sqrt(max(total, TINY, 1e-15 * a[i, i])) if i == j else total / a[j, j]


@kernel
def cholesky_solve(n: int, a, x) -> None:  # type: ignore[no-untyped-def]
    """x <- (L L')^-1 x."""
    for i in range(n):
        total = x[i]
        for k in range(i):
            total -= a[i, k] * x[k]
        x[i] = total / a[i, i]
    for i in range(n - 1, -1, -1):
        x[i] /= a[i, i]
        for k in range(i):
            x[k] -= a[i, k] * x[i]


@kernel
def cholesky_solve_lanes(n: int, a, x) -> None:  # type: ignore[no-untyped-def]
    """x <- (L L')^-1 x for every column of x (n, lanes)."""
    lanes = x.shape[1]
    for i in range(n):
        for k in range(i):
            for e in range(lanes):
                x[i, e] -= a[i, k] * x[k, e]
        for e in range(lanes):
            x[i, e] /= a[i, i]
    for i in range(n - 1, -1, -1):
        for e in range(lanes):
            x[i, e] /= a[i, i]
        for k in range(i):
            for e in range(lanes):
                x[k, e] -= a[i, k] * x[i, e]


@kernel
def _line_search(m: Model, d: Data) -> float:
    """The step along `search` that minimises the cost: Newton in one variable, kept in a bracket.

    0 where numbers are too large for it: the solver stops at the last finite point.
    """
    _mul_m(m, d, d.Mv, d.search)
    for r in range(d.nefc[0]):
        total = 0.0
        for v in range(m.nv):
            total += d.efc_J[r, v] * d.search[v]
        d.efc_jv[r] = total
    linear, quadratic = 0.0, 0.0
    for v in range(m.nv):
        linear += d.search[v] * (d.Ma[v] - d.qfrc_smooth[v])
        quadratic += d.search[v] * d.Mv[v]
    low, high, alpha = 0.0, math.inf, 1.0
    start = abs(linear + _cost(m, d, 0.0)[1])
    if not start < math.inf:
        return 0.0
    for _ in range(m.ls_iterations):
        _, first, second = _cost(m, d, alpha)
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

"""Newton's method on the primal problem: the acceleration that minimises Gauss's cost plus s(J a - aref).

MuJoCo documentation, Computation, "Constraint solver"; Todorov (2014), "Convex and analytically
invertible dynamics with contacts and constraints". s is quadratic where a row pushes, zero where
it does not, linear beyond a friction loss, and the squared distance to the friction cone for
elliptic contacts. Exact Newton steps with an exact line search converge in a few iterations. Each
island (`islands.py`) takes as many as it needs; its vectors and rows are in island order.

Where forces are so large that their rounding alone is a residual above the tolerance, as those of
rows with a regulariser near zero that no motion can satisfy, the solver stops when the cost no
longer falls: when two steps running began at a gradient that is nothing but rounding.
"""

import math

from ..constraint.row import TINY, row_dof, row_dot, row_width
from ..kernels.apart import unit
from ..kernels.enums import CONTACT_ELLIPTIC, EQUALITY, FRICTION_DOF, FRICTION_TENDON
from ..kernels.jit import kernel
from ..model.data import Data, Lanes
from ..model.model import Model
from .force_law import force_law_residual, mul_m_island, report, set_jar, set_point
from .hessian import curvature_changed, hessian, solve_hessian, solve_hessian_lanes
from .islands import dofs_of, row_at, rows_of

LOST = 4e-15  # a share of what was added up that rounding alone can be


@unit
def solve_newton(m: Model, d: Data) -> None:
    """Fill iacc, efc_force, ifrc_constraint.

    Needs in iacc the smooth acceleration, qM, efc_*; starts from the cheaper of iacc_warmstart and iacc_smooth.
    """
    for k in range(d.nisland[0]):
        if d.island_nefc[k] > 0:
            _solve_island(m, d, k)


@kernel
def _solve_island(m: Model, d: Data, k: int) -> None:
    """Newton steps of island `k` until the residual is below the tolerance or nothing can be gained."""
    begin, end = dofs_of(d, k)
    first_row, end_row = rows_of(d, k)
    for i in range(first_row, end_row):
        d.efc_slope_qH[row_at(d, i)] = -1.0  # no row's slope: qH is another matrix's
    _start(m, d, k)
    niter, residual, lost, alpha = 0, 0.0, 0, 0.0
    for iteration in range(m.iterations + 1):
        residual = force_law_residual(m, d, k)
        if residual < m.tolerance or iteration == m.iterations or lost == 2:
            break
        if curvature_changed(d, k):
            hessian(m, d, k)
        for i in range(begin, end):
            d.search[i] = -d.grad[i]
        solve_hessian(d, begin, end, d.search)
        lost = lost + 1 if iteration > 0 and _lost(d, k) else 0
        alpha = _line_search(m, d, k)
        if alpha == 0.0 or not _move(d, k, alpha):
            break
        niter += 1
    report(m, d, k, niter, residual)
    if niter == m.iterations and not residual < m.tolerance and lost == 0:
        # a full step that switched no row, the cost being quadratic, has led to the minimum
        if abs(alpha - 1.0) > 1e-6 or curvature_changed(d, k):
            d.unconverged[0] += 1


@kernel
def _move(d: Data, k: int, alpha: float) -> bool:
    """Take the step alpha along `search`; whether that changed anything."""
    begin, end = dofs_of(d, k)
    first_row, end_row = rows_of(d, k)
    moved = False
    for i in range(begin, end):
        before = d.iacc[i]
        d.iacc[i] += alpha * d.search[i]
        d.Ma[i] += alpha * d.Mv[i]
        moved = moved or d.iacc[i] != before
    for i in range(first_row, end_row):
        r = row_at(d, i)
        before = d.efc_jar[r]
        d.efc_jar[r] += alpha * d.efc_jv[r]
        moved = moved or d.efc_jar[r] != before
    return moved


@unit
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
def _start(m: Model, d: Data, k: int) -> None:
    """Put iacc at the cheaper of warm start and smooth acceleration, with Ma and efc_jar there."""
    set_jar(d, k)
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
    """Of an elliptic contact: cost at jar + alpha jv and its first two derivatives by alpha."""
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
def _lost(d: Data, k: int) -> bool:
    """Whether the gradient is rounding alone: of the forces on each degree of freedom, as if none cancelled.

    Uses Mv as scratch.
    """
    begin, end = dofs_of(d, k)
    for i in range(begin, end):
        d.Mv[i] = abs(d.Ma[i]) + abs(d.ifrc_smooth[i])
    first_row, end_row = rows_of(d, k)
    for i in range(first_row, end_row):
        r = row_at(d, i)
        force = abs(d.efc_force[r])
        if d.efc_type[r] == CONTACT_ELLIPTIC and d.cone_on[d.efc_id[r]]:
            force = d.efc_D[r] * abs(d.efc_jar[r])  # on the cone it is the difference of two such
        if force != 0.0:
            for c in range(row_width(d, r)):
                d.Mv[d.map_dof2idof[row_dof(d, r, c)]] += force * abs(d.efc_J[r, c])
    for i in range(begin, end):
        if abs(d.grad[i]) > LOST * d.Mv[i]:
            return False
    return True


@kernel
def _line_search(m: Model, d: Data, k: int) -> float:
    """The step along `search` that minimises the cost: Newton in one variable, kept in a bracket.

    0 where numbers are too large for it: the solver stops at the last finite point.
    """
    mul_m_island(m, d, k, d.Mv, d.search)
    first_row, end_row = rows_of(d, k)
    linear, quadratic, energy = 0.0, 0.0, 0.0
    for i in range(first_row, end_row):
        r = row_at(d, i)
        d.efc_jv[r] = row_dot(d, r, d.efc_idofadr[r, 0], d.efc_idofadr[r, 1], d.search)
        if d.efc_type[r] == CONTACT_ELLIPTIC and d.cone_on[d.efc_id[r]]:
            energy += 0.5 * d.efc_D[r] * d.efc_jar[r] ** 2  # on the cone the force is that of a small difference
    begin, end = dofs_of(d, k)
    for i in range(begin, end):
        linear += d.search[i] * (d.Ma[i] - d.ifrc_smooth[i])
        quadratic += d.search[i] * d.Mv[i]
        energy += 0.5 * (d.iacc[i] * d.Ma[i] + d.iacc_smooth[i] * d.ifrc_smooth[i])
    low, high, alpha = 0.0, math.inf, 1.0
    cost, first, second = _cost(m, d, k, 0.0)
    start, energy = abs(linear + first), energy + cost
    if not start < math.inf:
        return 0.0
    enough = 1e-12 * start + 4e-16 * math.sqrt(energy * start)  # the second is the slope's rounding
    for _ in range(m.ls_iterations):
        _, first, second = _cost(m, d, k, alpha)
        first += linear + alpha * quadratic
        second += quadratic
        if abs(first) <= enough:
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

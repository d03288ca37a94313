"""The force law of MuJoCo's constraints, f(J a - aref), and what the equation of motion lacks with its forces.

MuJoCo documentation, Computation, "Constraint model": quadratic cost, hence linear force, where a
row pushes; none where it does not; constant beyond a friction loss; for elliptic contacts the
squared distance to the friction cone. Both solvers share it. Vectors and rows are in island order.
"""

import math

from ..constraint.row import TINY, row_axpy, row_dot
from ..kernels.enums import CONTACT_ELLIPTIC, EQUALITY, FRICTION_DOF, FRICTION_TENDON
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..model.data import Data
from ..model.model import Model
from .islands import dof_at, dofs_of, row_at, rows_of


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
def set_point(m: Model, d: Data, k: int) -> None:
    """Ma and efc_jar at `iacc`."""
    mul_m_island(m, d, k, d.Ma, d.iacc)
    set_jar(d, k)


@kernel
def set_jar(d: Data, k: int) -> None:
    first_row, end_row = rows_of(d, k)
    for i in range(first_row, end_row):
        r = row_at(d, i)
        d.efc_jar[r] = row_dot(d, r, d.efc_idofadr[r, 0], d.efc_idofadr[r, 1], d.iacc) - d.efc_aref[r]
        d.efc_jv[r] = 0.0  # a world that diverged before may have left NaN


@kernel
def mul_m_island(m: Model, d: Data, k: int, out: Floats, x: Floats) -> None:
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
def report(m: Model, d: Data, k: int, niter: int, residual: float) -> None:
    """Put iterations and residual of island `k` into what the scene reports: the most, and the norm of all."""
    d.solver_niter[0] = max(d.solver_niter[0], niter)
    share = residual * d.island_nv[k] / m.nv
    d.solver_residual[0] = math.sqrt(d.solver_residual[0] ** 2 + share * share)

"""Projected Gauss-Seidel on the dual problem: the constraint forces f, row by row.

The mixed complementarity problem of Qiao et al. (2021), section 4.1 and supplement C, with
MuJoCo's soft constraints (documentation, Computation, "Constraint solver"): f minimises
f (A + R) f / 2 + f b within its bounds and friction cones, A = J M^-1 J', b = J qacc_smooth - aref.
The acceleration M^-1 J' f is kept up to date while rows change, so that a row costs twice the size
of the trees it touches and A, but for its diagonal and the blocks of elliptic contacts, is never
formed. Each island (`islands.py`) gets as many sweeps as it needs; vectors and rows are in island order.
"""

import math

from ..kernels.apart import unit
from ..kernels.enums import CONTACT_ELLIPTIC
from ..kernels.jit import kernel
from ..model.data import Data
from ..model.model import Model
from .dual import acceleration_of_forces, responses
from .force_law import cone_curvature, constraint_forces, force_law_residual, report, set_point
from .islands import dofs_of, row_at, rows_of
from .pgs_cone import cone_update
from .pgs_rows import LOST, cost_slope, coupling, force_bounds, move, row_velocity, spans_of_trees


@unit
def solve_pgs(m: Model, d: Data) -> None:
    """Fill iacc, efc_force, ifrc_constraint, efc_slope, cone_on and cone_hess.

    Needs iacc_smooth, qM, efc_*, and in qLD the factor of qM.

    Starts from the forces that the force law gives at iacc_warmstart, or from none if those cost
    more; stops when a sweep lowers the cost by less than the tolerance, or than rounding. `solver_residual` is
    Newton's: what the equation of motion lacks with the forces of the law.
    """
    _prepare(m, d)
    for k in range(d.nisland[0]):
        if d.island_nefc[k] == 0:
            continue
        _start(m, d, k)
        scale, niter, converged = 1.0 / (m.meaninertia * d.island_nv[k]), 0, False
        for _ in range(m.iterations):
            improvement, energy = _sweep(m, d, k)
            niter += 1
            if scale * improvement < m.tolerance or improvement <= LOST * energy:
                converged = True
                break
        if not converged:
            d.unconverged[0] += 1
        _finish(m, d, k, niter)


@kernel
def _prepare(m: Model, d: Data) -> None:
    """efc_MinvJ, efc_ARdiag, cone_A."""
    responses(m, d)
    for r in range(d.nefc[0]):
        d.efc_ARdiag[r] = d.efc_R[r] + coupling(d, spans_of_trees(m, d, r), r, r)


@kernel
def _start(m: Model, d: Data, k: int) -> None:
    """Forces that the law gives at the warm start, or none if those cost more; iacc to match."""
    begin, end = dofs_of(d, k)
    first_row, end_row = rows_of(d, k)
    for i in range(begin, end):
        d.iacc[i] = d.iacc_warmstart[i]
    set_point(m, d, k)
    constraint_forces(m, d, k)
    for i in range(begin, end):
        d.iacc[i] = d.iacc_smooth[i]
    for i in range(first_row, end_row):
        r = row_at(d, i)
        move(m, d, r, d.efc_force[r])
    cost = 0.0
    for i in range(first_row, end_row):
        r = row_at(d, i)
        target = -2.0 * d.efc_aref[r] + d.efc_R[r] * d.efc_force[r]
        target += row_velocity(d, r, d.iacc) + row_velocity(d, r, d.iacc_smooth)
        cost += 0.5 * d.efc_force[r] * target
    if not cost < 0.0:
        for i in range(begin, end):
            d.iacc[i] = d.iacc_smooth[i]
        for i in range(first_row, end_row):
            d.efc_force[row_at(d, i)] = 0.0


@kernel
def _sweep(m: Model, d: Data, k: int) -> tuple[float, float]:
    """Update every row of an island once; returns by how much the cost fell, and the energy of the forces."""
    improvement, energy = 0.0, 0.0
    at, last = rows_of(d, k)
    while at < last:
        r = row_at(d, at)
        if d.efc_type[r] == CONTACT_ELLIPTIC:
            c = d.efc_id[r]
            p = d.con_pair[c]
            improvement += cone_update(m, d, r, c, p, m.con_dim[p])
            for e in range(m.con_dim[p]):
                energy += 0.5 * d.efc_ARdiag[r + e] * d.efc_force[r + e] ** 2
            at += m.con_dim[p]
            continue
        at += 1
        force = d.efc_force[r]
        lack = cost_slope(d, r)
        low, high = force_bounds(d, r)
        d.efc_force[r] = min(max(force - lack / d.efc_ARdiag[r], low), high)
        change = d.efc_force[r] - force
        if change != 0.0:
            move(m, d, r, change)
            improvement -= change * (lack + 0.5 * change * d.efc_ARdiag[r])
        energy += 0.5 * d.efc_ARdiag[r] * d.efc_force[r] ** 2
    return improvement, energy


@kernel
def _finish(m: Model, d: Data, k: int, niter: int) -> None:
    """Acceleration from the forces anew, without what rounding gathered; residual; slopes of the forces."""
    begin, end = dofs_of(d, k)
    first_row, end_row = rows_of(d, k)
    acceleration_of_forces(m, d, k)
    set_point(m, d, k)
    for i in range(first_row, end_row):
        r = row_at(d, i)
        d.pgs_force[r] = d.efc_force[r]
    report(m, d, k, niter, force_law_residual(m, d, k))
    for i in range(begin, end):
        d.ifrc_constraint[i] = d.dual_push[i]
    for i in range(first_row, end_row):
        r = row_at(d, i)
        d.efc_force[r] = d.pgs_force[r]
    _slopes(m, d, k)


@kernel
def _slopes(m: Model, d: Data, k: int) -> None:
    """efc_slope, cone_on, cone_hess of the forces found: where they are within bounds and cones, and where on them."""
    at, last = rows_of(d, k)
    while at < last:
        r = row_at(d, at)
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
        at += dim

"""Noslip: friction without regulariser, by sweeps over the friction forces after the main solver.

MuJoCo documentation, Computation, "Noslip solver" and mj_solNoSlip: projected Gauss-Seidel (`pgs.py`) on
f A f / 2 + f b instead of f (A + R) f / 2 + f b. What each update keeps is the main solver's: of a friction loss
its bounds, of opposing edges of a pyramid their sum, of an elliptic contact the normal force; so are the forces of
all other rows. Bodies then no longer creep under loads that their friction can hold. Vectors and rows are in
island order; the tolerance is on what a sweep lowers the cost by, over the trace of the island's inertia matrix,
and the first sweep counts the regulariser's share of the cost with it.
"""

from ..constraint.row import TINY
from ..kernels.apart import unit
from ..kernels.enums import CONTACT_ELLIPTIC, CONTACT_PYRAMIDAL, FRICTION_DOF, FRICTION_TENDON, PGS
from ..kernels.jit import kernel
from ..model.data import Data
from ..model.model import Model
from .dual import acceleration_of_forces, responses
from .islands import dof_at, dofs_of, row_at, rows_of
from .pgs_cone import least_in_ball
from .pgs_rows import coupling, force_bounds, move, row_velocity, spans_of_trees

LEAST_CURVATURE = 1e-10  # of a friction force; MuJoCo's, as is what it takes for singular
WORSE = 1e-10  # updates that raise the cost by more than this are taken back


@unit
def noslip(m: Model, d: Data) -> None:
    """Sweep over the friction forces in efc_force; iacc and ifrc_constraint to match. After a solver.

    Needs in qLD the factor of qM. Keeps the solver's forces and acceleration in main_force, main_acc.
    """
    if m.solver != PGS:
        responses(m, d)
    for i in range(m.nv):  # of islands without rows too: the adjoint reads all
        d.main_acc[i] = d.iacc[i]
    for k in range(d.nisland[0]):
        if d.island_nefc[k] > 0:
            _solve_island(m, d, k)


@kernel
def _solve_island(m: Model, d: Data, k: int) -> None:
    begin, end = dofs_of(d, k)
    first_row, end_row = rows_of(d, k)
    for i in range(first_row, end_row):
        r = row_at(d, i)
        d.main_force[r] = d.efc_force[r]
    acceleration_of_forces(m, d, k)
    improvement = _prepare(m, d, k)
    inertia = 0.0
    for i in range(begin, end):
        inertia += d.qM[dof_at(d, i), dof_at(d, i)]
    d.island_noslip[k] = 0
    converged = False
    while not converged and d.island_noslip[k] < m.noslip_iterations:
        improvement += _sweep(m, d, k)
        d.island_noslip[k] += 1
        converged = improvement < m.noslip_tolerance * inertia
        improvement = 0.0
    if not converged:
        d.unconverged[0] += 1
    acceleration_of_forces(m, d, k)
    for i in range(begin, end):
        d.ifrc_constraint[i] = d.dual_push[i]


@kernel
def _prepare(m: Model, d: Data, k: int) -> float:
    """Fill noslip_curvature; returns the regulariser's share of the cost."""
    share = 0.0
    at, last = rows_of(d, k)
    while at < last:
        r = row_at(d, at)
        share += 0.5 * d.efc_R[r] * d.efc_force[r] * d.efc_force[r]
        kind = d.efc_type[r]
        if kind == FRICTION_DOF or kind == FRICTION_TENDON:
            d.noslip_curvature[r] = max(TINY, coupling(d, spans_of_trees(m, d, r), r, r))
        elif kind == CONTACT_PYRAMIDAL:
            spans = spans_of_trees(m, d, r)
            both = coupling(d, spans, r, r) + coupling(d, spans, r + 1, r + 1)
            d.noslip_curvature[r] = both - 2.0 * coupling(d, spans, r, r + 1)
            share += 0.5 * d.efc_R[r + 1] * d.efc_force[r + 1] * d.efc_force[r + 1]
            at += 1
        at += 1
    return share


@kernel
def _sweep(m: Model, d: Data, k: int) -> float:
    """Update every friction force of an island once; returns by how much the cost fell."""
    improvement = 0.0
    at, last = rows_of(d, k)
    while at < last:
        r = row_at(d, at)
        kind = d.efc_type[r]
        if kind == FRICTION_DOF or kind == FRICTION_TENDON:
            improvement += _friction_loss_update(m, d, r)
        elif kind == CONTACT_PYRAMIDAL:
            improvement += _edges_update(m, d, r)
            at += 1
        elif kind == CONTACT_ELLIPTIC:
            c = d.efc_id[r]
            p = d.con_pair[c]
            improvement += _cone_update(m, d, r, c, p, m.con_dim[p])
            at += m.con_dim[p] - 1
        at += 1
    return improvement


@kernel
def _lack(d: Data, r: int) -> float:
    """J a - aref of row `r`: slope of the cost by its force."""
    return row_velocity(d, r, d.iacc) - d.efc_aref[r]


@kernel
def _friction_loss_update(m: Model, d: Data, r: int) -> float:
    force, lack = d.efc_force[r], _lack(d, r)
    low, high = force_bounds(d, r)
    d.efc_force[r] = min(max(force - lack / d.noslip_curvature[r], low), high)
    change = d.efc_force[r] - force
    if change != 0.0:
        move(m, d, r, change)
    return -change * (lack + 0.5 * change * d.noslip_curvature[r])


@kernel
def _edges_update(m: Model, d: Data, r: int) -> float:
    """Of the opposing edges `r` and the next the difference, the sum held."""
    middle, before = 0.5 * (d.efc_force[r] + d.efc_force[r + 1]), 0.5 * (d.efc_force[r] - d.efc_force[r + 1])
    half, slope, curvature = 0.0, _lack(d, r) - _lack(d, r + 1), d.noslip_curvature[r]
    if curvature >= TINY:
        half = min(max(before - slope / curvature, -middle), middle)
    change = half - before
    worse = change * (slope + 0.5 * change * curvature)
    if worse > WORSE:
        return 0.0
    if change != 0.0:
        # a bound is met exactly: which edge carries nothing is read from the forces
        d.efc_force[r], d.efc_force[r + 1] = middle + half, middle - half
        move(m, d, r, change)
        move(m, d, r + 1, -change)
    return -worse


@kernel
def _cone_update(m: Model, d: Data, r: int, c: int, p: int, dim: int) -> float:
    """Of an elliptic contact the friction forces, the normal force held."""
    lack, before, y, n = d.cone_vec[0], d.cone_vec[1], d.cone_vec[2], dim - 1
    work, q, radius = d.cone_work[0], d.cone_work[2, 0], d.efc_force[r]
    for i in range(n):
        lack[i], before[i], y[i] = _lack(d, r + 1 + i), d.efc_force[r + 1 + i], 0.0
    for i in range(n):
        fi = m.con_friction[p, i]
        q[i] = fi * lack[i]
        for j in range(n):
            q[i] -= fi * friction_block(d, c, i, j) * before[j]
            work[i, j] = fi * friction_block(d, c, i, j) * m.con_friction[p, j]
    if radius >= TINY and not singular_block(d, n):
        least_in_ball(d, n, radius)
    worse = 0.0
    for i in range(n):
        change = m.con_friction[p, i] * y[i] - before[i]
        slope = lack[i]
        for j in range(n):
            slope += 0.5 * friction_block(d, c, i, j) * (m.con_friction[p, j] * y[j] - before[j])
        worse += change * slope
    if worse > WORSE:
        return 0.0
    for i in range(n):
        d.efc_force[r + 1 + i] = m.con_friction[p, i] * y[i]
        move(m, d, r + 1 + i, d.efc_force[r + 1 + i] - before[i])
    return -worse


@kernel
def friction_block(d: Data, c: int, i: int, j: int) -> float:
    """Entry of A among the friction forces of contact `c`."""
    return d.cone_A[c, i + 1, j + 1] if i != j else max(d.cone_A[c, i + 1, i + 1], LEAST_CURVATURE)


@kernel
def singular_block(d: Data, n: int) -> bool:
    """Whether MuJoCo takes the matrix in cone_work[0] for singular: by the determinant, of large ones by the pivots."""
    left, determinant, least = d.cone_work[1], 1.0, LEAST_CURVATURE
    for i in range(n):
        for j in range(n):
            left[i, j] = d.cone_work[0, i, j]
    for k in range(n):
        determinant *= left[k, k]
        least = min(least, left[k, k])
        if left[k, k] <= 0.0:
            return True
        for i in range(k + 1, n):
            for j in range(k + 1, n):
                left[i, j] -= left[i, k] * left[k, j] / left[k, k]
    return least < LEAST_CURVATURE if n > 3 else determinant < LEAST_CURVATURE

"""Adjoint of noslip (`noslip.py`) where its sweeps have converged, by the implicit function theorem.

With a, f the final acceleration and forces and f1 the main solver's, M a = qfrc_smooth + J' f and every row is one of

    held     f = f1: all without friction, and what noslip leaves alone,
    sticks   J a = aref: friction within its bounds (of a pyramid's opposing edges their difference),
    slides   f = mu f1_normal s(J a - aref) on an elliptic cone, +-frictionloss, or all of a pair's sum on one edge.

So the cotangent g of M a gives the multiplier u of the equation of motion and z of the rows by

    M u + J' z = g,   J u = 0 of the rows that stick,   z = C J u of those on a cone, C = -df/d(J a), z = 0 of others,

where a cone's C is the friction's alone, its normal force held. `rows_adj.py` takes u and z as those of any other
constraint force but for the regulariser, which has no part in it. What is left are the forces f1 that are held and
that bounds go with: their cotangent x is a matter of the main solver, M a1 = qfrc_smooth + J' f1(J a1 - aref),
whose multiplier w and z are (H and C of the main solver)

    H w = -J' C x,   y = J w + x,   z = C y.

The first system is solved by the method of multipliers (Hestenes, 1969): rows that stick get a stiff slope, as rows
of Newton's method have, and what is left of J u goes into z; so any number of them may say the same.
"""

import math

from ..constraint.row import TINY, row_dof, row_dot, row_width
from ..kernels.enums import CONTACT_ELLIPTIC, CONTACT_PYRAMIDAL, FRICTION_DOF, FRICTION_TENDON
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.spatial import lanes_axpy
from ..model.data import Data, Lanes
from ..model.model import Model
from .hessian import add_products, factor, inertia_of_island, solve_hessian_lanes
from .islands import dofs_of, row_at, rows_of
from .noslip import LEAST_CURVATURE, friction_block, singular_block
from .pgs_rows import coupling, force_bounds, spans_of_trees

HELD, STICKS, SLIDES = 0, 1, 2
STIFFNESS = 1e5  # slope of a row that sticks, times its own entry of A
MULTIPLIER_ITERATIONS = 50
CONVERGED = 1e-20  # of what all iterations have gained


@kernel
def noslip_adj(m: Model, d: Data, w: Lanes) -> None:
    """qfrc_adj <- u, from the cotangent of M qacc; efc_z <- z, efc_y <- 0 (no regulariser), efc_force_adj <- x.

    The acceleration is d.qacc_warmstart, the forces are d.efc_force. Spoils qH.
    """
    set_jar_of(d, d.qacc_warmstart)
    _states(m, d)
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_z[r, k] = 0.0
    for island in range(d.nisland[0]):
        _solve_island_adj(m, d, w, island)
    _row_velocities(d, w)
    _force_cotangents(m, d, w)
    if w.with_params:
        _parameters_adj(m, d, w)
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_y[r, k] = 0.0


@kernel
def set_jar_of(d: Data, qacc: Floats) -> None:
    """efc_jar at the acceleration `qacc`."""
    for r in range(d.nefc[0]):
        d.efc_jar[r] = row_dot(d, r, d.efc_dofadr[r, 0], d.efc_dofadr[r, 1], qacc) - d.efc_aref[r]


@kernel
def _states(m: Model, d: Data) -> None:
    """Fill noslip_state, and noslip_slope of the rows that stick, from the forces."""
    r = 0
    while r < d.nefc[0]:
        kind, count = d.efc_type[r], 1
        d.noslip_state[r] = HELD
        if kind == FRICTION_DOF or kind == FRICTION_TENDON:
            low, high = force_bounds(d, r)
            _set_state(d, r, low < d.efc_force[r] < high, d.noslip_curvature[r])
        elif kind == CONTACT_PYRAMIDAL:
            spans = spans_of_trees(m, d, r)
            whole = coupling(d, spans, r, r)
            count = 2
            d.noslip_state[r + 1] = HELD
            # less than rounding leaves of equal edges: no velocity along the tangent
            if d.noslip_curvature[r] > 1e-12 * whole:
                sticks = min(d.efc_force[r], d.efc_force[r + 1]) > 0.0
                _set_state(d, r, sticks, d.noslip_curvature[r])
                d.noslip_state[r + 1] = d.noslip_state[r]
        elif kind == CONTACT_ELLIPTIC:
            count = _contact_states(m, d, r, d.efc_id[r], d.con_pair[d.efc_id[r]])
        r += count


@kernel
def _set_state(d: Data, r: int, sticks: bool, curvature: float) -> None:
    d.noslip_state[r] = STICKS if sticks else SLIDES
    d.noslip_slope[r] = STIFFNESS / curvature


@kernel
def _contact_states(m: Model, d: Data, r: int, c: int, p: int) -> int:
    """The same of an elliptic contact; returns its number of rows."""
    dim, n, grip, same = m.con_dim[p], m.con_dim[p] - 1, 0.0, True
    for i in range(n):
        grip += (d.efc_force[r + 1 + i] / m.con_friction[p, i]) ** 2
        same = same and d.efc_force[r + 1 + i] == d.main_force[r + 1 + i]
        for j in range(n):
            d.cone_work[0, i, j] = m.con_friction[p, i] * friction_block(d, c, i, j) * m.con_friction[p, j]
    held = same and singular_block(d, n)
    on_cone = math.sqrt(grip) >= (1.0 - 1e-12) * d.efc_force[r]
    for i in range(1, dim):
        d.noslip_state[r + i] = HELD
        if not held and d.cone_A[c, i, i] > LEAST_CURVATURE:
            _set_state(d, r + i, not on_cone, d.cone_A[c, i, i])
        elif not held and on_cone:
            d.noslip_state[r + i] = SLIDES
    return dim


@kernel
def _cone_slope(m: Model, d: Data, r: int, p: int, dim: int) -> None:
    """cone_work[0] = C of the friction forces of a contact that slides on its cone; zero without a normal force."""
    t = 0.0
    for i in range(1, dim):
        t += (d.efc_jar[r + i] * m.con_friction[p, i - 1]) ** 2
    t = max(math.sqrt(t), TINY)
    for i in range(1, dim):
        fi = m.con_friction[p, i - 1]
        ui = d.efc_jar[r + i] * fi / t
        for j in range(1, dim):
            fj = m.con_friction[p, j - 1]
            uj = d.efc_jar[r + j] * fj / t
            same = 1.0 if i == j else 0.0
            d.cone_work[0, i - 1, j - 1] = d.efc_force[r] / t * (same - ui * uj) * fi * fj


@kernel
def _slides_on_cone(d: Data, r: int) -> bool:
    """Whether row `r` is the normal of an elliptic contact whose friction slides under a normal force."""
    return d.efc_type[r] == CONTACT_ELLIPTIC and d.noslip_state[r + 1] == SLIDES and d.efc_force[r] > TINY


@kernel
def _hessian(m: Model, d: Data, island: int) -> None:
    """The factor of M + J' C J with the slopes of noslip's rows in the lower triangle of qH, as `hessian`."""
    inertia_of_island(m, d, island)
    y = d.qH_rows
    at, last = rows_of(d, island)
    while at < last:
        r, count = row_at(d, at), 1
        width = row_width(d, r)
        if d.efc_type[r] == CONTACT_ELLIPTIC:
            p = d.con_pair[d.efc_id[r]]
            count = m.con_dim[p]
            if _slides_on_cone(d, r):
                _cone_slope(m, d, r, p, count)
            for first in range(1, count, 4):
                for e in range(first, first + 4):
                    for i in range(width):
                        y[e - first, i] = 0.0
                    if e < count and d.noslip_state[r + e] == STICKS:
                        for i in range(width):
                            y[e - first, i] = d.noslip_slope[r + e] * d.efc_J[r + e, i]
                    elif e < count and _slides_on_cone(d, r):
                        for j in range(1, count):
                            for i in range(width):
                                y[e - first, i] += d.cone_work[0, e - 1, j - 1] * d.efc_J[r + j, i]
                add_products(d, r + first, r + count - 1)
        elif d.noslip_state[r] == STICKS:
            count = 2 if d.efc_type[r] == CONTACT_PYRAMIDAL else 1
            for i in range(width):
                whole = d.efc_J[r, i] - (d.efc_J[r + 1, i] if count == 2 else 0.0)
                y[0, i] = d.noslip_slope[r] * whole
                y[1, i] = -y[0, i] if count == 2 else 0.0
                y[2, i], y[3, i] = 0.0, 0.0
            add_products(d, r, r + count - 1)
        at += count
    begin, end = dofs_of(d, island)
    factor(d, begin, end)


@kernel
def _solve_island_adj(m: Model, d: Data, w: Lanes, island: int) -> None:
    """u in qfrc_adj, z of the rows that stick in efc_z."""
    begin, end = dofs_of(d, island)
    first_row, end_row = rows_of(d, island)
    _hessian(m, d, island)
    solve_hessian_lanes(d, begin, end, w.qfrc_adj)
    for k in range(w.nlane):
        w.sweep_total[k] = 0.0
    for _ in range(MULTIPLIER_ITERATIONS):
        for v in range(m.nv):
            for k in range(w.nlane):
                w.noslip_push[v, k] = 0.0
        for k in range(w.nlane):
            w.sweep_gain[k] = 0.0
        at = first_row
        while at < end_row:
            r = row_at(d, at)
            pair = d.efc_type[r] == CONTACT_PYRAMIDAL
            if d.noslip_state[r] == STICKS:
                _multiplier_update(d, w, r, pair)
            at += 2 if pair else 1
        converged = True
        for k in range(w.nlane):
            w.sweep_total[k] += w.sweep_gain[k]
            if w.sweep_gain[k] > CONVERGED * w.sweep_total[k]:
                converged = False
        if converged:
            break
        solve_hessian_lanes(d, begin, end, w.noslip_push)
        for i in range(begin, end):
            v = d.map_idof2dof[i]
            for k in range(w.nlane):
                w.qfrc_adj[v, k] -= w.noslip_push[v, k]


@kernel
def _multiplier_update(d: Data, w: Lanes, r: int, pair: bool) -> None:
    """z of a row, or of a pair of edges, += slope * J u; noslip_push += J' of the change."""
    change = w.sweep_change
    for k in range(w.nlane):
        change[k] = 0.0
    for i in range(row_width(d, r)):
        v, s = row_dof(d, r, i), d.efc_J[r, i] - (d.efc_J[r + 1, i] if pair else 0.0)
        for k in range(w.nlane):
            change[k] += s * w.qfrc_adj[v, k]
    for k in range(w.nlane):
        change[k] *= d.noslip_slope[r]
        w.efc_z[r, k] += change[k]
        if pair:
            w.efc_z[r + 1, k] -= change[k]
        w.sweep_gain[k] += change[k] * change[k] / d.noslip_slope[r]
    for i in range(row_width(d, r)):
        v, s = row_dof(d, r, i), d.efc_J[r, i] - (d.efc_J[r + 1, i] if pair else 0.0)
        for k in range(w.nlane):
            w.noslip_push[v, k] += s * change[k]


@kernel
def _row_velocities(d: Data, w: Lanes) -> None:
    """efc_y = J qfrc_adj."""
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_y[r, k] = 0.0
        for i in range(row_width(d, r)):
            lanes_axpy(w.efc_y, r, d.efc_J[r, i], w.qfrc_adj, row_dof(d, r, i))


@kernel
def _force_cotangents(m: Model, d: Data, w: Lanes) -> None:
    """efc_force_adj = x; efc_z of the contacts that slide on their cones."""
    y, x = w.efc_y, w.efc_force_adj
    r = 0
    while r < d.nefc[0]:
        count = 1
        for k in range(w.nlane):
            x[r, k] = y[r, k] if d.noslip_state[r] == HELD else 0.0
        if d.efc_type[r] == CONTACT_PYRAMIDAL:
            count = 2
            loaded = r if d.efc_force[r] > d.efc_force[r + 1] else r + 1
            for k in range(w.nlane):
                x[r, k] = y[loaded, k] if d.noslip_state[r] == SLIDES else 0.5 * (y[r, k] + y[r + 1, k])
                x[r + 1, k] = x[r, k]
        elif d.efc_type[r] == CONTACT_ELLIPTIC:
            p = d.con_pair[d.efc_id[r]]
            count = m.con_dim[p]
            if _slides_on_cone(d, r):
                _cone_slope(m, d, r, p, count)
            for i in range(1, count):
                held, share = d.noslip_state[r + i] == HELD, 0.0
                if _slides_on_cone(d, r):
                    share = d.efc_force[r + i] / d.efc_force[r]
                    for j in range(1, count):
                        lanes_axpy(w.efc_z, r + i, d.cone_work[0, i - 1, j - 1], y, r + j)
                for k in range(w.nlane):
                    x[r + i, k] = y[r + i, k] if held else 0.0
                    x[r, k] += share * y[r + i, k]
        r += count


@kernel
def _parameters_adj(m: Model, d: Data, w: Lanes) -> None:
    """Bounds and cones by friction loss and friction, lane 0: what `constraint_parameters_adj` has from efc_y."""
    r = 0
    while r < d.nefc[0]:
        kind, count = d.efc_type[r], 1
        if kind == FRICTION_DOF and d.noslip_state[r] == SLIDES:
            w.dof_frictionloss_adj[d.efc_id[r]] += w.efc_y[r, 0] * (1.0 if d.efc_force[r] > 0.0 else -1.0)
        elif kind == CONTACT_PYRAMIDAL:
            c = d.efc_id[r]
            p, e = d.con_pair[c], (r - d.con_efc[c]) // 2
            virtual = 0.5 / m.con_friction[p, e] * (w.efc_y[r, 0] - w.efc_y[r + 1, 0])
            w.con_friction_adj[p, e] += (d.efc_force[r] - d.efc_force[r + 1]) * virtual
            count = 2
        elif kind == CONTACT_ELLIPTIC:
            p = d.con_pair[d.efc_id[r]]
            count = m.con_dim[p]
            if _slides_on_cone(d, r):
                _sliding_adj(m, d, w, r, p, count)
        r += count


@kernel
def _sliding_adj(m: Model, d: Data, w: Lanes, r: int, p: int, dim: int) -> None:
    """Friction is -N friction^2 jar / t, t^2 the sum of (friction jar)^2, at a given normal force N."""
    t, along = 0.0, 0.0
    for e in range(1, dim):
        t += (d.efc_jar[r + e] * m.con_friction[p, e - 1]) ** 2
    t = max(math.sqrt(t), TINY)
    for e in range(1, dim):
        along += w.efc_y[r + e, 0] * d.efc_jar[r + e] * m.con_friction[p, e - 1] ** 2 / t
    for e in range(1, dim):
        friction, jar = m.con_friction[p, e - 1], d.efc_jar[r + e]
        turned = 2.0 * w.efc_y[r + e, 0] * friction * jar - along * friction * jar * jar / t
        w.con_friction_adj[p, e - 1] -= d.efc_force[r] * turned / t


@kernel
def main_forces_adj(m: Model, d: Data, w: Lanes) -> None:
    """qfrc_adj = -J' C x, with C of the main solver; qH is to be made again."""
    for r in range(d.nefc[0]):
        d.efc_slope_qH[r] = -1.0
        for k in range(w.nlane):
            w.efc_y[r, k] = w.efc_force_adj[r, k]
    _force_changes(m, d, w)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qfrc_adj[v, k] = 0.0
    for r in range(d.nefc[0]):
        for i in range(row_width(d, r)):
            lanes_axpy(w.qfrc_adj, row_dof(d, r, i), -d.efc_J[r, i], w.efc_z, r)


@kernel
def main_rows_adj(m: Model, d: Data, w: Lanes) -> None:
    """efc_y = J w + x, efc_z = C y for the multiplier w in qfrc_adj."""
    _row_velocities(d, w)
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_y[r, k] += w.efc_force_adj[r, k]
    _force_changes(m, d, w)


@kernel
def _force_changes(m: Model, d: Data, w: Lanes) -> None:
    """efc_z = C efc_y, with C of the main solver."""
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_z[r, k] = d.efc_slope[r] * w.efc_y[r, k]
    for c in range(d.ncon[0]):
        r = d.con_efc[c]
        if r >= 0 and d.efc_type[r] == CONTACT_ELLIPTIC and d.cone_on[c]:
            dim = m.con_dim[d.con_pair[c]]
            for i in range(dim):
                for j in range(dim):
                    lanes_axpy(w.efc_z, r + i, d.cone_hess[c, i, j], w.efc_y, r + j)


@kernel
def row_known(d: Data, w: Lanes, r: int) -> None:
    """In place of what `rows_adj.py` does for efc_y and efc_z of a row: they are there."""


@kernel
def contact_rows_known(m: Model, d: Data, w: Lanes, c: int) -> None:
    """The same for the rows of a contact."""

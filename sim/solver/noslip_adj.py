"""Adjoint of noslip (`noslip.py`): its sweeps in reverse, then the main solver's adjoint for what they start from.

With a, f the final acceleration and forces and f1 the main solver's, M a = qfrc_smooth + J' f and every row is one of

    held     f = f1: all without friction, and what noslip leaves alone,
    sticks   J a = aref: friction within its bounds (of a pyramid's opposing edges their difference),
    slides   f = -f1_normal friction^2 jar / t on an elliptic cone, t = |friction jar|, jar = J a - aref;
             +-frictionloss; or all that a pair of edges carries on one of them.

So the cotangent g of M a gives the multiplier u of the equation of motion and z of the rows by

    M u + J' z = g,   J u = 0 of the rows that stick,   z = C J u of those on a cone, C = -df/d(J a), z = 0 of others,

which as many sweeps as forth solve from last row to first (`pgs_adj.py`). `rows_adj.py` takes u and z as those of
any other constraint force but for the regulariser, which has no part in it. What is left are the forces f1 that are
held, that bounds go with, and that unfinished sweeps have not forgotten: their cotangent x is a matter of the main
solver, M a1 = qfrc_smooth + J' f1(J a1 - aref), whose multiplier w and z are (H and C of the main solver)

    H w = -J' C x,   y = J w + x,   z = C y.

Where the sweeps have converged this is exact. With few it is exact as far as every sweep ended with the same rows
sticking, and J does not change while the acceleration still does.
"""

import math

from ..constraint.row import TINY, row_dot
from ..dynamics.crba import factor_m, solve_ltdl
from ..kernels.apart import unit
from ..kernels.enums import CONTACT_ELLIPTIC, CONTACT_PYRAMIDAL, FRICTION_DOF, FRICTION_TENDON
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..model.data import Data, Lanes
from ..model.model import Model
from .cholesky import cholesky, cholesky_solve
from .islands import row_at, rows_of
from .noslip import friction_block, singular_block
from .pgs_adj import block_inverse, block_update, change_row, velocity_of_row
from .pgs_rows import coupling, force_bounds, spans_of_trees

HELD, STICKS, SLIDES = 0, 1, 2


@unit
def noslip_adj(m: Model, d: Data, w: Lanes) -> None:
    """qfrc_adj <- u, from the cotangent of M qacc; efc_z <- z, efc_y <- 0 (no regulariser), efc_force_adj <- x.

    The acceleration is d.qacc_warmstart, the forces are d.efc_force.
    """
    set_jar_of(d, d.qacc_warmstart)
    _states(m, d)
    factor_m(m, d, 0.0)
    solve_ltdl(m, d.qLD, w.qfrc_adj)
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_z[r, k] = 0.0
    for island in range(d.nisland[0]):
        if d.island_nefc[island] > 0:
            for _ in range(d.island_noslip[island]):
                _reverse_sweep(m, d, w, island)
    row_velocities(d, w)
    if w.with_params:
        _parameters_adj(m, d, w)
    _force_cotangents(m, d, w)
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
    """Fill noslip_state from the forces; cone_inv of the elliptic contacts."""
    r = 0
    while r < d.nefc[0]:
        kind, count = d.efc_type[r], 1
        d.noslip_state[r] = HELD
        if kind == FRICTION_DOF or kind == FRICTION_TENDON:
            low, high = force_bounds(d, r)
            d.noslip_state[r] = STICKS if low < d.efc_force[r] < high else SLIDES
        elif kind == CONTACT_PYRAMIDAL:
            count = 2
            # equal edges differ by rounding only: no velocity along the tangent
            if d.noslip_curvature[r] > 1e-12 * coupling(d, spans_of_trees(m, d, r), r, r):
                d.noslip_state[r] = STICKS if min(d.efc_force[r], d.efc_force[r + 1]) > 0.0 else SLIDES
        elif kind == CONTACT_ELLIPTIC:
            count = _contact_state(m, d, r, d.efc_id[r], d.con_pair[d.efc_id[r]])
        r += count


@kernel
def _contact_state(m: Model, d: Data, r: int, c: int, p: int) -> int:
    """The same of an elliptic contact, whose friction has one state, at its first row; returns its number of rows."""
    n, grip, same = m.con_dim[p] - 1, 0.0, True
    for i in range(n):
        grip += (d.efc_force[r + 1 + i] / m.con_friction[p, i]) ** 2
        same = same and d.efc_force[r + 1 + i] == d.main_force[r + 1 + i]
        for j in range(n):
            d.cone_work[0, i, j] = m.con_friction[p, i] * friction_block(d, c, i, j) * m.con_friction[p, j]
    if same and singular_block(d, n):
        return n + 1
    if math.sqrt(grip) < (1.0 - 1e-12) * d.efc_force[r]:
        d.noslip_state[r] = STICKS
        _friction_inverse(d, c, n)
    else:
        d.noslip_state[r] = SLIDES
        _cone_slope(m, d, r, p, n)
        block_inverse(d, c, 1, n)
    return n + 1


@kernel
def _friction_inverse(d: Data, c: int, n: int) -> None:
    """cone_inv = A^-1 among the friction forces of contact `c`."""
    factor, column = d.cone_work[0], d.cone_vec[0]
    for i in range(n):
        for j in range(n):
            factor[i, j] = friction_block(d, c, i, j)
    cholesky(n, factor)
    for j in range(n):
        for i in range(n):
            column[i] = 1.0 if i == j else 0.0
        cholesky_solve(n, factor, column)
        for i in range(n):
            d.cone_inv[c, i, j] = column[i]


@kernel
def _cone_slope(m: Model, d: Data, r: int, p: int, n: int) -> None:
    """cone_work[0] = C of the friction forces of a contact that slides on its cone."""
    t = 0.0
    for i in range(n):
        t += (d.efc_jar[r + 1 + i] * m.con_friction[p, i]) ** 2
    t = max(math.sqrt(t), TINY)
    for i in range(n):
        fi = m.con_friction[p, i]
        ui = d.efc_jar[r + 1 + i] * fi / t
        for j in range(n):
            fj = m.con_friction[p, j]
            uj = d.efc_jar[r + 1 + j] * fj / t
            same = 1.0 if i == j else 0.0
            d.cone_work[0, i, j] = d.efc_force[r] / t * (same - ui * uj) * fi * fj


@kernel
def _reverse_sweep(m: Model, d: Data, w: Lanes, island: int) -> None:
    """Update z of every friction force once, from last to first, and u with it.

    efc_force_adj keeps J u of a row, or of the difference of two edges, as its update left it.
    """
    first_row, end_row = rows_of(d, island)
    at = end_row - 1
    while at >= first_row:
        r = row_at(d, at)
        kind, count = d.efc_type[r], 1
        if kind == FRICTION_DOF or kind == FRICTION_TENDON:
            _friction_loss_adj(m, d, w, r)
        elif kind == CONTACT_PYRAMIDAL:
            count = 2
            _edges_adj(m, d, w, r - 1)
        elif kind == CONTACT_ELLIPTIC:
            c = d.efc_id[r]
            count = m.con_dim[d.con_pair[c]]
            _cone_adj(m, d, w, d.con_efc[c], c, count - 1)
        at -= count


@kernel
def _friction_loss_adj(m: Model, d: Data, w: Lanes, r: int) -> None:
    velocity_of_row(d, w, r)
    sticks = d.noslip_state[r] == STICKS
    for k in range(w.nlane):
        w.efc_force_adj[r, k] = 0.0 if sticks else w.efc_y[r, k]
        w.sweep_change[k] = w.efc_y[r, k] / d.noslip_curvature[r]
    if sticks:
        change_row(m, d, w, r)


@kernel
def _edges_adj(m: Model, d: Data, w: Lanes, r: int) -> None:
    """The same of the difference of edges `r` and the next."""
    state = d.noslip_state[r]
    if state == HELD:
        return
    velocity_of_row(d, w, r)
    velocity_of_row(d, w, r + 1)
    for k in range(w.nlane):
        apart = w.efc_y[r, k] - w.efc_y[r + 1, k]
        w.efc_force_adj[r, k] = 0.0 if state == STICKS else apart
        w.sweep_change[k] = apart / d.noslip_curvature[r]
    if state == STICKS:
        change_row(m, d, w, r)
        for k in range(w.nlane):
            w.sweep_change[k] = -w.sweep_change[k]
        change_row(m, d, w, r + 1)


@kernel
def _cone_adj(m: Model, d: Data, w: Lanes, r: int, c: int, n: int) -> None:
    """The same of the friction forces of an elliptic contact, all at once."""
    if d.noslip_state[r] == HELD:
        return
    block_update(m, d, w, r, c, 1, n)
    for i in range(1, n + 1):
        velocity_of_row(d, w, r + i)
        for k in range(w.nlane):
            w.efc_force_adj[r + i, k] = w.efc_y[r + i, k]


@kernel
def row_velocities(d: Data, w: Lanes) -> None:
    """efc_y = J qfrc_adj."""
    for r in range(d.nefc[0]):
        velocity_of_row(d, w, r)


@kernel
def _force_cotangents(m: Model, d: Data, w: Lanes) -> None:
    """efc_force_adj = x, from J u at the end and as the last update of the row left it."""
    y, x = w.efc_y, w.efc_force_adj
    r = 0
    while r < d.nefc[0]:
        kind, count, state = d.efc_type[r], 1, d.noslip_state[r]
        if kind == CONTACT_PYRAMIDAL and state != HELD:
            count = 2
            loaded = 0.0
            if state == SLIDES:
                loaded = 1.0 if d.efc_force[r] > d.efc_force[r + 1] else -1.0
            for k in range(w.nlane):
                left = x[r, k]
                by_sum, by_difference = y[r, k] + y[r + 1, k] + loaded * left, y[r, k] - y[r + 1, k] - left
                x[r, k], x[r + 1, k] = 0.5 * (by_sum + by_difference), 0.5 * (by_sum - by_difference)
        elif kind == CONTACT_ELLIPTIC:
            count = m.con_dim[d.con_pair[d.efc_id[r]]]
            for k in range(w.nlane):
                x[r, k] = y[r, k]
            for i in range(r + 1, r + count):
                share = d.efc_force[i] / d.efc_force[r] if state == SLIDES and d.efc_force[r] >= TINY else 0.0
                for k in range(w.nlane):
                    left = x[i, k] if state != HELD else 0.0
                    x[r, k] += share * left
                    x[i, k] = y[i, k] - left
        else:
            for k in range(w.nlane):
                x[r, k] = y[r, k] - (x[r, k] if state != HELD else 0.0)
        r += count


@kernel
def _parameters_adj(m: Model, d: Data, w: Lanes) -> None:
    """Bounds and cones by friction loss and friction, lane 0: what `constraint_parameters_adj` has from efc_y."""
    r = 0
    while r < d.nefc[0]:
        kind, count = d.efc_type[r], 1
        if kind == FRICTION_DOF and d.noslip_state[r] == SLIDES:
            w.dof_frictionloss_adj[d.efc_id[r]] += w.efc_force_adj[r, 0] * (1.0 if d.efc_force[r] > 0.0 else -1.0)
        elif kind == CONTACT_PYRAMIDAL:
            c = d.efc_id[r]
            p, e = d.con_pair[c], (r - d.con_efc[c]) // 2
            virtual = 0.5 / m.con_friction[p, e] * (w.efc_y[r, 0] - w.efc_y[r + 1, 0])
            w.con_friction_adj[p, e] += (d.efc_force[r] - d.efc_force[r + 1]) * virtual
            count = 2
        elif kind == CONTACT_ELLIPTIC:
            p = d.con_pair[d.efc_id[r]]
            count = m.con_dim[p]
            if d.noslip_state[r] == SLIDES:
                _sliding_adj(m, d, w, r, p, count)
        r += count


@kernel
def _sliding_adj(m: Model, d: Data, w: Lanes, r: int, p: int, dim: int) -> None:
    """Friction is -N friction^2 jar / t, t^2 the sum of (friction jar)^2, at a given normal force N."""
    t, along, y = 0.0, 0.0, w.efc_force_adj
    for e in range(1, dim):
        t += (d.efc_jar[r + e] * m.con_friction[p, e - 1]) ** 2
    t = max(math.sqrt(t), TINY)
    for e in range(1, dim):
        along += y[r + e, 0] * d.efc_jar[r + e] * m.con_friction[p, e - 1] ** 2 / t
    for e in range(1, dim):
        friction, jar = m.con_friction[p, e - 1], d.efc_jar[r + e]
        turned = 2.0 * y[r + e, 0] * friction * jar - along * friction * jar * jar / t
        w.con_friction_adj[p, e - 1] -= d.efc_force[r] * turned / t


@kernel
def row_known(d: Data, w: Lanes, r: int) -> None:
    """In place of what `rows_adj.py` does for efc_y and efc_z of a row: they are there."""


@kernel
def contact_rows_known(m: Model, d: Data, w: Lanes, c: int) -> None:
    """The same for the rows of a contact."""

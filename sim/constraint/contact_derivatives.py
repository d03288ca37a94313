"""`contact_adj.py` for many multipliers: by derivatives of joint forces, pair by pair of what a contact moves.

For the multipliers e_i, that is for each joint force, a contact has the columns of its rows as lanes of its own:
their unit twists at the contact in place of virtual velocities. What pushes the bodies there in column i
works on the twist of every coordinate j, and so gives the derivative of joint force i by j.
"""

from ..dynamics.velocity import dofs_moving_together
from ..kernels.apart import unit
from ..kernels.enums import CONTACT_ELLIPTIC
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.spatial import Vec6, axpy6, cross_force, cross_motion, dot6, load6, scale6, store6
from ..kernels.vector import AT_ONCE, Vec8, all8, load8, store8
from ..model.data import Data, Lanes
from ..model.model import Model
from .contact_adj import contact_coefficients, contact_pushes, twist_at_contact
from .contact_wrench import contact_row_count, row_wrench
from .row import column, last_dof, row_dof, row_width, stiffening

NONE: Vec6 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
# First rows of `con_column`: unit twists of both bodies, pushes on both, wrenches Z and Y, six each; the rows of J;
# for one coordinate the joint forces by its position and velocity.
TWIST1, TWIST2, PUSH1, PUSH2, Z, Y, J, BY_POS, BY_VEL = 0, 6, 12, 18, 24, 30, 36, 46, 47


@kernel
def clear_rates(m: Model, d: Data, w: Lanes) -> None:
    """Fill acc_rate: what the contacts need in place of cleared pushes. Needs cvel_qacc."""
    for b in range(1, m.nbody):
        before = load6(d.cvel_qacc, m.body_parentid[b])
        v, end = m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]
        while v < end:
            size, after = dofs_moving_together(m, v), before
            for i in range(v, v + size):
                after = axpy6(d.qacc_warmstart[i], load6(d.cdof, i), after)
                store6(w.acc_rate, i, cross_motion(before, load6(d.cdof, i)))
            before = after
            v += size


@unit
def contact_adj_by_pairs(m: Model, d: Data, w: Lanes, c: int) -> None:
    """Add to qpos_adj, qvel_adj what `contact_adj` and `gather_pushes` add for contact `c`."""
    p, first = d.con_pair[c], d.con_efc[c]
    b1, b2 = m.geom_bodyid[m.con_geom[p, 0]], m.geom_bodyid[m.con_geom[p, 1]]
    width, count = row_width(d, first), contact_row_count(m, d, c)
    unequal = d.efc_kbip[first, 1] != d.efc_kbip[first + count - 1, 1]
    contact_coefficients(m, d, c)
    _twists(m, d, w, c, b1, TWIST1, width)
    _twists(m, d, w, c, b2, TWIST2, width)
    _row_shares(m, d, w, c, count)
    for e in range(count):
        for i in range(width):
            w.con_column[J + e, i] = d.efc_J[first + e, i]
    for k in range(0, width, AT_ONCE):
        _pushes(d, w, k, count, b1 == 0, unequal)
    for j in range(width):
        _add_coordinate(m, d, w, c, b1, b2, j, width, unequal)


@kernel
def _pushes(d: Data, w: Lanes, k: int, count: int, held: bool, unequal: bool) -> None:
    """Fill Z, Y and the pushes of eight columns from `k` on."""
    a = w.con_column
    z, y, dist_adj = _shared6(w, 0, k, count), _shared6(w, 0, k, count), _shared(w, 12, k, count)
    if unequal:
        y = _shared6(w, 6, k, count)
        _store_columns(a, Y, k, y)
    push1, push2 = contact_pushes(d, held, _columns(a, TWIST1, k), _columns(a, TWIST2, k), z, y, unequal, dist_adj)
    if not held:
        _store_columns(a, PUSH1, k, push1)
    _store_columns(a, PUSH2, k, push2)
    _store_columns(a, Z, k, z)


@kernel
def _shared(w: Lanes, i: int, k: int, count: int) -> Vec8:
    """Share `i` of the rows' velocities in eight columns."""
    total = all8(0.0)
    for e in range(count):
        total += w.con_share[e, i] * load8(w.con_column, J + e, k)
    return total


@kernel
def _shared6(w: Lanes, i: int, k: int, count: int) -> tuple[Vec8, Vec8, Vec8, Vec8, Vec8, Vec8]:
    """Six shares, those of a wrench."""
    return (
        _shared(w, i, k, count),
        _shared(w, i + 1, k, count),
        _shared(w, i + 2, k, count),
        _shared(w, i + 3, k, count),
        _shared(w, i + 4, k, count),
        _shared(w, i + 5, k, count),
    )


@kernel
def _columns(a: Floats, row: int, k: int) -> tuple[Vec8, Vec8, Vec8, Vec8, Vec8, Vec8]:
    """Eight columns of a spatial vector."""
    return (
        load8(a, row, k),
        load8(a, row + 1, k),
        load8(a, row + 2, k),
        load8(a, row + 3, k),
        load8(a, row + 4, k),
        load8(a, row + 5, k),
    )


@kernel
def _store_columns(a: Floats, row: int, k: int, x: tuple[Vec8, Vec8, Vec8, Vec8, Vec8, Vec8]) -> None:
    store8(a, row, k, x[0])
    store8(a, row + 1, k, x[1])
    store8(a, row + 2, k, x[2])
    store8(a, row + 3, k, x[3])
    store8(a, row + 4, k, x[4])
    store8(a, row + 5, k, x[5])


@kernel
def _twists(m: Model, d: Data, w: Lanes, c: int, b: int, row: int, width: int) -> None:
    """Fill the unit twists of body `b`, at the contact."""
    for i in range(width):
        _set_column6(w.con_column, row, i, NONE)
    r, v = d.con_efc[c], last_dof(m, b)
    spans = (d.efc_dofadr[r, 0], d.efc_dofnum[r, 0], d.efc_dofadr[r, 1], d.efc_dofnum[r, 1])
    while v >= 0:
        _set_column6(w.con_column, row, column(spans, v), twist_at_contact(m, d, c, b, load6(d.cdof, v)))
        v = m.dof_parentid[v]


@kernel
def _row_shares(m: Model, d: Data, w: Lanes, c: int, count: int) -> None:
    """Fill con_share: what the velocity of each row adds to the wrenches Z and Y and to the distance's cotangent."""
    first, a = d.con_efc[c], w.con_share
    curved = d.efc_type[first] == CONTACT_ELLIPTIC and d.cone_on[c] != 0
    by_dist = stiffening(d, first)
    for e in range(count):
        z, y, stiff = NONE, NONE, 0.0
        for i in range(count if curved else 1):
            r = first + (i if curved else e)
            change = d.efc_slope[r] if r == first + e else 0.0
            if curved:
                change += d.cone_hess[c, i, e]
            wrench, k = row_wrench(m, d, c, first, r - first), d.efc_kbip
            z = axpy6(-change, wrench, z)
            y = axpy6(-change * (k[r, 1] - k[first, 1]), wrench, y)
            stiff += change * k[r, 0] * (k[r, 2] + k[r, 3] * d.efc_pos[r])
        for i in range(6):
            a[e, i], a[e, 6 + i] = z[i], y[i]
        a[e, 12] = d.efc_force[first + e] * by_dist - stiff


@kernel
def _column6(a: Floats, row: int, i: int) -> Vec6:
    return a[row, i], a[row + 1, i], a[row + 2, i], a[row + 3, i], a[row + 4, i], a[row + 5, i]


@kernel
def _set_column6(a: Floats, row: int, i: int, x: Vec6) -> None:
    for r in range(6):
        a[row + r, i] = x[r]


@kernel
def _moves(twist: Vec6) -> bool:
    for r in range(6):
        if twist[r] != 0.0:
            return True
    return False


@kernel
def _add_coordinate(m: Model, d: Data, w: Lanes, c: int, b1: int, b2: int, j: int, width: int, unequal: bool) -> None:
    """Add the products of the multipliers and the derivatives by column `j`, in the terms of `gather_pushes`."""
    a, r = w.con_column, d.con_efc[c]
    v, damping, twist1, twist2 = row_dof(d, r, j), d.efc_kbip[r, 1], _column6(a, TWIST1, j), _column6(a, TWIST2, j)
    first, second = _moves(twist1), _moves(twist2)
    if not first and not second:
        return
    for k in range(0, width, AT_ONCE):
        total = all8(0.0)
        if second:
            total += dot6(twist2, _columns(a, PUSH2, k))
        if first:
            total += dot6(twist1, _columns(a, PUSH1, k))
        store8(a, BY_POS, k, total)
    if first and second:  # the bodies do not move against each other
        for k in range(0, width, AT_ONCE):
            store8(a, BY_VEL, k, all8(0.0))
        _add_rows(d, w, r, v, width)
        return
    b, own, twist = (b2, TWIST2, twist2) if second else (b1, TWIST1, scale6(-1.0, twist1))
    sign = 1.0 if second else -1.0
    rate = scale6(sign, twist_at_contact(m, d, c, b, load6(d.cdof_dot, v)))
    moved = axpy6(damping, rate, scale6(sign, twist_at_contact(m, d, c, b, load6(w.acc_rate, v))))
    for k in range(0, width, AT_ONCE):
        z = _columns(a, Z, k)
        by_pos, by_vel = load8(a, BY_POS, k) + dot6(moved, z), damping * dot6(twist, z)
        if unequal:
            y = _columns(a, Y, k)
            by_pos, by_vel = by_pos + dot6(rate, y), by_vel + dot6(twist, y)
        store8(a, BY_POS, k, by_pos)
        store8(a, BY_VEL, k, by_vel)
    turned = cross_force(twist, load6(d.con_force, 0))
    for i in range(j):
        if m.dof_beforeid[row_dof(d, r, i)] != m.dof_beforeid[v]:
            a[BY_POS, i] += dot6(turned, _column6(a, own, i))
    _add_rows(d, w, r, v, width)


@kernel
def _add_rows(d: Data, w: Lanes, r: int, v: int, width: int) -> None:
    """Add the sums of the multipliers of the columns times BY_POS, BY_VEL to qpos_adj, qvel_adj of `v`.

    Two vectors at once, the last one perhaps twice: one sum need not wait for the other.
    """
    a, x = w.con_column, w.qfrc_adj
    for k in range(0, w.nlane, 2 * AT_ONCE):
        e = min(k + AT_ONCE, w.nlane - AT_ONCE)
        pos, pos2, vel, vel2 = (
            load8(w.qpos_adj, v, k),
            load8(w.qpos_adj, v, e),
            load8(w.qvel_adj, v, k),
            load8(w.qvel_adj, v, e),
        )
        for i in range(width):
            u, by_pos, by_vel = max(row_dof(d, r, i), 0), a[BY_POS, i], a[BY_VEL, i]
            one, other = load8(x, u, k), load8(x, u, e)
            pos, pos2 = pos + by_pos * one, pos2 + by_pos * other
            vel, vel2 = vel + by_vel * one, vel2 + by_vel * other
        store8(w.qpos_adj, v, k, pos)
        store8(w.qpos_adj, v, e, pos2)
        store8(w.qvel_adj, v, k, vel)
        store8(w.qvel_adj, v, e, vel2)

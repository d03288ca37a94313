"""Adjoint of contact forces: what `rows_adj.py` says, for the rows of one contact.

A contact's rows act through three velocities of its two bodies: the virtual one W (coefficient: the
force), that of the acceleration (coefficient: Z = -sum z_r E_r) and that of qvel (Z times the rows'
damping). With E_r the wrench of row r in the world, at the contact, each pairing of a wrench
(torque t, force f) and a relative velocity (turn w, point v) moves

    the contact's position by   f x w,     its frame by the torque   t x w + f x v,

and, as in `rnea.py`, the bodies themselves by v x* (their wrench).
"""

from ..collision.contacts import contact_motion
from ..kernels.jit import kernel
from ..kernels.spatial import (
    Vec6,
    add6,
    axpy6,
    cross_force,
    lane6,
    load6,
    scale6,
    store6,
    sub6,
)
from ..model.data import Data, Lanes
from ..model.model import Model
from .adhesive_contact import reference_push
from .contact_frame_adj import frame_hinge, frame_pushes, frame_turn
from .contact_wrench import at_contact, carried, contact_row_count, contact_row_products, contact_wrench, row_wrench
from .row import stiffening
from .surface_velocity import surface_velocity_adj

REST: Vec6 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
# Blocks of `con_lanes`: wrench Z; its share with unequal damping.
Z, Y = 0, 1


@kernel
def contact_adj(m: Model, d: Data, w: Lanes, c: int) -> None:
    """Fill efc_y, efc_z of contact `c`'s rows; add its pushes to cfrc, wcor, wmom, wpush of its bodies."""
    p, first = d.con_pair[c], d.con_efc[c]
    b1, b2 = m.geom_bodyid[m.con_geom[p, 0]], m.geom_bodyid[m.con_geom[p, 1]]
    count = contact_row_count(m, d, c)
    unequal = d.efc_kbip[first, 1] != d.efc_kbip[first + count - 1, 1]
    if not d.con_uneven[0] and (unequal or d.efc_kbip[first, 1] != d.con_damping[0]):
        d.con_uneven[0] = 1
        w.wpush[:] = 0.0
    contact_coefficients(m, d, c)
    force = load6(d.con_force, 0)
    if b1 > 0:
        store6(d.cfrc, b1, axpy6(-1.0, carried(m, d, c, b1, force), load6(d.cfrc, b1)))
    if b2 > 0:
        store6(d.cfrc, b2, add6(carried(m, d, c, b2, force), load6(d.cfrc, b2)))
    at = contact_row_products(m, d, w, c)
    _rows(m, d, w, c, first, at, count, unequal)
    for k in range(w.nlane):
        z, y = lane6(w.con_lanes, Z, k), REST
        if unequal:
            y = lane6(w.con_lanes, Y, k)
        first_twist, second_twist = REST, REST
        if b1 > 0:
            first_twist = twist_at_contact(m, d, c, b1, lane6(w.wvel, b1, k))
        if b2 > 0:
            second_twist = twist_at_contact(m, d, c, b2, lane6(w.wvel, b2, k))
        push1, push2 = contact_pushes(d, b1 == 0, first_twist, second_twist, z, y, unequal, w.con_dist_adj[k])
        if b1 > 0:
            _push(m, d, w, c, b1, k, push1, scale6(-1.0, z), scale6(-1.0, y), unequal)
        if b2 > 0:
            _push(m, d, w, c, b2, k, push2, z, y, unequal)
    surface_velocity_adj(m, d, w, c)


@kernel
def contact_coefficients(m: Model, d: Data, c: int) -> None:
    """Fill what all lanes share: con_motion, con_force, con_hinge, con_rates."""
    p, first = d.con_pair[c], d.con_efc[c]
    b1, b2, damping = m.geom_bodyid[m.con_geom[p, 0]], m.geom_bodyid[m.con_geom[p, 1]], d.efc_kbip[first, 1]
    contact_motion(m, d, c)
    store6(d.con_force, 0, contact_wrench(m, d, c))
    for side in range(2):
        b = b1 if side == 0 else b2
        v = twist_at_contact(m, d, c, b, load6(d.cvel, b))
        store6(d.con_rates, 2 * side, axpy6(damping, v, twist_at_contact(m, d, c, b, load6(d.cvel_qacc, b))))
        store6(d.con_rates, 2 * side + 1, v)
    frame_hinge(m, d, c)


@kernel
def contact_pushes(
    d: Data, held: bool, twist1: Vec6, twist2: Vec6, z: Vec6, y: Vec6, unequal: bool, dist_adj: float
) -> tuple[Vec6, Vec6]:
    """What pushes both bodies, at the contact, for their virtual twists there; `held`: the first is the world's.

    Twists, wrenches and `dist_adj` may be of eight lanes.
    """
    force, rates1, rates2 = load6(d.con_force, 0), load6(d.con_rates, 0), load6(d.con_rates, 2)
    turn = add6(frame_turn(force, sub6(twist2, twist1)), frame_turn(z, sub6(rates2, rates1)))
    if unequal:
        turn = add6(turn, frame_turn(y, sub6(load6(d.con_rates, 3), load6(d.con_rates, 1))))
    push1, push2 = frame_pushes(d, held, turn, dist_adj)
    turned = add6(cross_force(twist2, force), cross_force(rates2, z))
    if unequal:
        turned = add6(turned, cross_force(load6(d.con_rates, 3), y))
    push2 = add6(push2, turned)
    if held:
        return push2, push2
    turned = add6(cross_force(twist1, force), cross_force(rates1, z))
    if unequal:
        turned = add6(turned, cross_force(load6(d.con_rates, 1), y))
    return sub6(push1, turned), push2


@kernel
def twist_at_contact(m: Model, d: Data, c: int, b: int, v: Vec6) -> Vec6:
    """Velocity `v` of body `b`, referred to the contact's position."""
    turn, point = at_contact(m, d, c, b, v)
    return turn[0], turn[1], turn[2], point[0], point[1], point[2]


@kernel
def _push(m: Model, d: Data, w: Lanes, c: int, b: int, k: int, push: Vec6, z: Vec6, y: Vec6, unequal: bool) -> None:
    """Add to wcor, wmom, wpush of body `b`, in lane `k`."""
    push, z = carried(m, d, c, b, push), carried(m, d, c, b, z)
    for r in range(6):
        w.wcor[b, r, k] += push[r]
        w.wmom[b, r, k] += z[r]
    excess = d.efc_kbip[d.con_efc[c], 1] - d.con_damping[0]
    if excess != 0.0 or unequal:
        extra = axpy6(excess, z, carried(m, d, c, b, y))
        for r in range(6):
            w.wpush[b, r, k] += extra[r]


@kernel
def _rows(m: Model, d: Data, w: Lanes, c: int, first: int, at: int, count: int, unequal: bool) -> None:
    """Fill con_lanes[Z], con_lanes[Y], con_dist_adj from the rows' efc_y, efc_z."""
    n, z = w.nlane, w.con_lanes
    for i in range(6):
        for k in range(n):
            z[Z, i, k] = 0.0
        if unequal:
            for k in range(n):
                z[Y, i, k] = 0.0
    for k in range(n):
        w.con_dist_adj[k] = 0.0
    base = d.efc_kbip[first, 1]
    by_dist = stiffening(d, first)  # of all rows, whose D the first sets
    for e in range(count):
        r = first + e
        wrench = row_wrench(m, d, c, first, e)
        for i in range(6):
            s = wrench[i]
            if s != 0.0:
                for k in range(n):
                    z[Z, i, k] -= s * w.efc_z[at + e, k]
                if unequal:
                    s *= d.efc_kbip[r, 1] - base
                    for k in range(n):
                        z[Y, i, k] -= s * w.efc_z[at + e, k]
        stiffness = d.efc_kbip[r, 0] * (d.efc_kbip[r, 2] + d.efc_kbip[r, 3] * d.efc_pos[r])
        stiffness += by_dist * reference_push(m, d, c, e)
        pressure = d.efc_force[r] * by_dist
        for k in range(n):
            w.con_dist_adj[k] += pressure * w.efc_y[at + e, k] - stiffness * w.efc_z[at + e, k]

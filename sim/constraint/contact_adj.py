"""Adjoint of contact forces: what `rows_adj.py` says, for the rows of one contact, all lanes at once.

A contact's rows act through three velocities of its two bodies: the virtual one W (coefficient: the
force), that of the acceleration (coefficient: Z = -sum z_r E_r) and that of qvel (Z times the rows'
damping). With E_r the wrench of row r in the world, at the contact, each pairing of a wrench
(torque t, force f) and a relative velocity (turn w, point v) moves

    the contact's position by   f x w,     its frame by the torque   t x w + f x v,

and, as in `rnea.py`, the bodies themselves by v x* (their wrench). Everything is linear in the
lanes with coefficients that lanes share, so these are made first, as 6 x 6 matrices, and then
applied lane by lane.
"""

from ..collision.contacts import contact_motion
from ..collision.frame import FOLLOWS_AXIS, HELD, column3, row3, tangent_hint
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, add3, cross3, dot3, scale3, sub3
from ..kernels.spatial import (
    Vec6,
    add6,
    axpy6,
    cross_force,
    lanes_add_dot,
    lanes_set_dot,
    load6,
    scale6,
    store6,
)
from ..model.data import Data, Lanes
from ..model.model import Model
from .contact_wrench import at_contact, carried, contact_row_count, contact_row_products, contact_wrench, row_wrench
from .row import stiffening
from .surface_velocity import surface_velocity_adj

# Rows of `con_maps`: output by input; 1 and 2 are the contact's bodies.
TURN_BY_W1, TURN_BY_W2, TURN_BY_Z, TURN_BY_Y = 0, 1, 2, 3
PUSH1_BY_TURN, PUSH2_BY_TURN, PUSH1_BY_W, PUSH2_BY_W = 4, 5, 6, 7
PUSH1_BY_Z, PUSH2_BY_Z, PUSH1_BY_Y, PUSH2_BY_Y, CARRY1, CARRY2 = 8, 9, 10, 11, 12, 13
# Blocks of `con_lanes`: cotangents of frame and position; wrench Z; its share with unequal damping.
TURN, Z, Y = 0, 1, 2


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
    contact_motion(m, d, c)
    force = contact_wrench(m, d, c)
    if b1 > 0:
        store6(d.cfrc, b1, axpy6(-1.0, carried(m, d, c, b1, force), load6(d.cfrc, b1)))
    if b2 > 0:
        store6(d.cfrc, b2, add6(carried(m, d, c, b2, force), load6(d.cfrc, b2)))
    _turn_maps(m, d, c, b1, b2, force, d.efc_kbip[first, 1])
    _geometry_maps(m, d, c, b1, b2)
    _body_maps(m, d, c, b1, -1.0, force, d.efc_kbip[first, 1], 0)
    _body_maps(m, d, c, b2, 1.0, force, d.efc_kbip[first, 1], 1)
    at = contact_row_products(m, d, w, c)
    _rows(m, d, w, c, first, at, count, unequal)
    _lanes_turn(d, w, b1, b2, unequal)
    surface_velocity_adj(m, d, w, c)
    _lanes_push(d, w, b1, 0, d.efc_kbip[first, 1], unequal)
    _lanes_push(d, w, b2, 1, d.efc_kbip[first, 1], unequal)


@kernel
def _pairing(f: Vec6, turn: Vec3, point: Vec3) -> Vec6:
    """Torque on the frame, then cotangent of the position, of a wrench paired with a relative velocity."""
    torque, force = (f[0], f[1], f[2]), (f[3], f[4], f[5])
    by_frame = add3(cross3(torque, turn), cross3(force, point))
    by_pos = cross3(force, turn)
    return by_frame[0], by_frame[1], by_frame[2], by_pos[0], by_pos[1], by_pos[2]


@kernel
def _unit6(i: int) -> Vec6:
    return (
        1.0 if i == 0 else 0.0,
        1.0 if i == 1 else 0.0,
        1.0 if i == 2 else 0.0,
        1.0 if i == 3 else 0.0,
        1.0 if i == 4 else 0.0,
        1.0 if i == 5 else 0.0,
    )


@kernel
def _set_column(a: Floats, which: int, i: int, x: Vec6) -> None:
    for r in range(6):
        a[which, r, i] = x[r]


@kernel
def _relative(m: Model, d: Data, c: int, b1: int, b2: int, a: Floats) -> tuple[Vec3, Vec3]:
    turn1, point1 = at_contact(m, d, c, b1, load6(a, b1))
    turn2, point2 = at_contact(m, d, c, b2, load6(a, b2))
    return sub3(turn2, turn1), sub3(point2, point1)


@kernel
def _turn_maps(m: Model, d: Data, c: int, b1: int, b2: int, force: Vec6, damping: float) -> None:
    """How the pairings of the three velocities turn the contact's frame and move its position."""
    turn_a, point_a = _relative(m, d, c, b1, b2, d.cvel_qacc)
    turn_v, point_v = _relative(m, d, c, b1, b2, d.cvel)
    for i in range(6):
        unit = _unit6(i)
        if b1 > 0:
            turn, point = at_contact(m, d, c, b1, unit)
            _set_column(d.con_maps, TURN_BY_W1, i, _pairing(force, scale3(-1.0, turn), scale3(-1.0, point)))
        if b2 > 0:
            turn, point = at_contact(m, d, c, b2, unit)
            _set_column(d.con_maps, TURN_BY_W2, i, _pairing(force, turn, point))
        by_v = _pairing(unit, turn_v, point_v)
        _set_column(d.con_maps, TURN_BY_Z, i, axpy6(damping, by_v, _pairing(unit, turn_a, point_a)))
        _set_column(d.con_maps, TURN_BY_Y, i, by_v)


@kernel
def _body_maps(m: Model, d: Data, c: int, b: int, sign: float, force: Vec6, damping: float, side: int) -> None:
    """How the wrenches on body `b` turn with it."""
    if b == 0:
        return
    a, v, f = load6(d.cvel_qacc, b), load6(d.cvel, b), carried(m, d, c, b, force)
    for i in range(6):
        unit = _unit6(i)
        push = scale6(sign, carried(m, d, c, b, unit))
        by_v = cross_force(v, push)
        _set_column(d.con_maps, CARRY1 + side, i, push)
        _set_column(d.con_maps, PUSH1_BY_Z + side, i, axpy6(damping, by_v, cross_force(a, push)))
        _set_column(d.con_maps, PUSH1_BY_Y + side, i, by_v)
        _set_column(d.con_maps, PUSH1_BY_W + side, i, scale6(sign, cross_force(unit, f)))


@kernel
def _geometry_maps(m: Model, d: Data, c: int, b1: int, b2: int) -> None:
    """How the bodies are pushed by cotangents of frame (as a torque), position and distance."""
    normal, tangent, bitangent = row3(d.con_frame, c, 0), row3(d.con_frame, c, 1), row3(d.con_frame, c, 2)
    g2, attached = m.con_geom[d.con_pair[c], 1], d.con_hint[c] == FOLLOWS_AXIS
    hint = column3(d.geom_xmat, g2, 2) if attached else tangent_hint(normal)
    if d.con_hint[c] == HELD:
        hint = tangent
    along = dot3(hint, normal)
    length = dot3(hint, tangent)  # of the hint's part across the normal
    for i in range(6):
        unit = _unit6(i)
        normal_adj, pos_adj, spin = (0.0, 0.0, 0.0), (unit[3], unit[4], unit[5]), (0.0, 0.0, 0.0)
        if i < 3:
            torque = (unit[0], unit[1], unit[2])
            about = dot3(torque, normal) / length
            normal_adj = sub3(cross3(torque, normal), scale3(about * along, bitangent))
            if attached:
                spin = scale3(about, cross3(hint, bitangent))
        second = _motion_t(d, 0.0, pos_adj, normal_adj)
        whole = cross3(normal, normal_adj)
        first: Vec6 = (
            whole[0] - second[0], whole[1] - second[1], whole[2] - second[2],
            pos_adj[0] - second[3], pos_adj[1] - second[4], pos_adj[2] - second[5],
        )  # fmt: skip
        second = (second[0] + spin[0], second[1] + spin[1], second[2] + spin[2], second[3], second[4], second[5])
        _set_column(d.con_maps, PUSH1_BY_TURN, i, carried(m, d, c, b1, first))
        _set_column(d.con_maps, PUSH2_BY_TURN, i, carried(m, d, c, b2, second))
    apart = _motion_t(d, 1.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    store6(d.con_apart, 0, scale6(-1.0, carried(m, d, c, b1, apart)))
    store6(d.con_apart, 1, carried(m, d, c, b2, apart))


@kernel
def _motion_t(d: Data, dist: float, pos: Vec3, normal: Vec3) -> Vec6:
    """Wrench on body 2 at the contact: transpose of con_motion times cotangents."""
    a = d.con_motion
    x: Vec6 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    x = axpy6(dist, load6(a, 0), x)
    for r in range(3):
        x = axpy6(pos[r], load6(a, 1 + r), axpy6(normal[r], load6(a, 4 + r), x))
    return x


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
        pressure = d.efc_force[r] * by_dist
        for k in range(n):
            w.con_dist_adj[k] += pressure * w.efc_y[at + e, k] - stiffness * w.efc_z[at + e, k]


@kernel
def _map_row(a: Floats, which: int, r: int) -> Vec6:
    return a[which, r, 0], a[which, r, 1], a[which, r, 2], a[which, r, 3], a[which, r, 4], a[which, r, 5]


@kernel
def _lanes_turn(d: Data, w: Lanes, b1: int, b2: int, unequal: bool) -> None:
    z, maps = w.con_lanes, d.con_maps
    for r in range(6):
        lanes_set_dot(z, TURN, r, _map_row(maps, TURN_BY_Z, r), z, Z)
        if b1 > 0:
            lanes_add_dot(z, TURN, r, _map_row(maps, TURN_BY_W1, r), w.wvel, b1)
        if b2 > 0:
            lanes_add_dot(z, TURN, r, _map_row(maps, TURN_BY_W2, r), w.wvel, b2)
        if unequal:
            lanes_add_dot(z, TURN, r, _map_row(maps, TURN_BY_Y, r), z, Y)


@kernel
def _lanes_push(d: Data, w: Lanes, b: int, side: int, damping: float, unequal: bool) -> None:
    """Add to wcor, wmom, wpush of body `b` what the contact's maps give in every lane."""
    if b == 0:
        return
    z, maps = w.con_lanes, d.con_maps
    for r in range(6):
        lanes_add_dot(w.wcor, b, r, _map_row(maps, PUSH1_BY_TURN + side, r), z, TURN)
        lanes_add_dot(w.wcor, b, r, _map_row(maps, PUSH1_BY_W + side, r), w.wvel, b)
        lanes_add_dot(w.wcor, b, r, _map_row(maps, PUSH1_BY_Z + side, r), z, Z)
        carry = _map_row(maps, CARRY1 + side, r)
        lanes_add_dot(w.wmom, b, r, carry, z, Z)
        if damping != d.con_damping[0]:
            lanes_add_dot(w.wpush, b, r, scale6(damping - d.con_damping[0], carry), z, Z)
        if unequal:
            lanes_add_dot(w.wcor, b, r, _map_row(maps, PUSH1_BY_Y + side, r), z, Y)
            lanes_add_dot(w.wpush, b, r, carry, z, Y)
        apart = d.con_apart[side, r]
        for k in range(w.nlane):
            w.wcor[b, r, k] += apart * w.con_dist_adj[k]

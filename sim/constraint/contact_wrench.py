"""Wrenches of a contact's rows, and what its rows see of the virtual velocities of its bodies.

With E_r the wrench (torque, force) of row r on body 2, in the world, at the contact: the force of the
contact is sum f_r E_r, and y_r = E_r . (relative virtual velocity).
"""

from ..collision.frame import row3
from ..kernels.enums import CONTACT_ELLIPTIC, CONTACT_PYRAMIDAL
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, load3, scale3, sub3
from ..kernels.spatial import Vec6, axpy6, lanes_gain_dot, scale6, velocity_at
from ..model.data import Data, Lanes
from ..model.model import Model
from .adhesive_contact import directions, pulled


@kernel
def row_wrench(m: Model, d: Data, c: int, first: int, e: int) -> Vec6:
    """E_r of row `e` of contact `c`: (torque, force) on body 2 at the contact, world axes."""
    f = d.con_frame
    axis, s, normal = e, 1.0, 0.0
    if d.efc_type[first] == CONTACT_PYRAMIDAL:
        axis, normal = 1 + e // 2, 1.0
        s = m.con_friction[d.con_pair[c], axis - 1] * (1.0 - 2.0 * (e % 2))
    x = scale3(normal, row3(f, c, 0))
    a = scale3(s, row3(f, c, axis if axis < 3 else axis - 3))
    if axis < 3:
        x = add3(x, a)
        return 0.0, 0.0, 0.0, x[0], x[1], x[2]
    return a[0], a[1], a[2], x[0], x[1], x[2]


@kernel
def contact_row_count(m: Model, d: Data, c: int) -> int:
    """How many rows contact `c` has."""
    dim = directions(m, d, c)
    return 2 * (dim - 1) if d.efc_type[d.con_efc[c]] == CONTACT_PYRAMIDAL else dim


@kernel
def contact_wrench(m: Model, d: Data, c: int) -> Vec6:
    """(torque, force) on body 2 at the contact, world axes."""
    first, count = d.con_efc[c], contact_row_count(m, d, c)
    total: Vec6 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for e in range(count):
        total = axpy6(d.efc_force[first + e], row_wrench(m, d, c, first, e), total)
    return pulled(m, d, c, total)


@kernel
def _arm(m: Model, d: Data, c: int, b: int) -> Vec3:
    return sub3(load3(d.con_pos, c), load3(d.subtree_com, m.body_rootid[b]))


@kernel
def carried(m: Model, d: Data, c: int, b: int, x: Vec6) -> Vec6:
    """A wrench at the contact, referred to the point of body `b`'s tree."""
    moment = cross3(_arm(m, d, c, b), (x[3], x[4], x[5]))
    return x[0] + moment[0], x[1] + moment[1], x[2] + moment[2], x[3], x[4], x[5]


@kernel
def at_contact(m: Model, d: Data, c: int, b: int, v: Vec6) -> tuple[Vec3, Vec3]:
    """Turn, and velocity at the contact, of body `b` moving by `v`."""
    return (v[0], v[1], v[2]), velocity_at(v, _arm(m, d, c, b))


@kernel
def contact_row_products(m: Model, d: Data, w: Lanes, c: int) -> int:
    """efc_y = J w by the bodies' virtual velocities, efc_z = C y; returns where there the contact's rows begin."""
    at = first_place(d, w, c)
    contact_row_velocities(m, d, w, c)
    contact_row_changes(m, d, w, c)
    return at


@kernel
def first_place(d: Data, w: Lanes, c: int) -> int:
    """Where the rows of contact `c` begin in efc_y and efc_z."""
    return d.con_efc[c] if w.con_row < 0 else w.con_row


@kernel
def contact_row_velocities(m: Model, d: Data, w: Lanes, c: int) -> None:
    """efc_y = J w by the bodies' virtual velocities."""
    p, first, at = d.con_pair[c], d.con_efc[c], first_place(d, w, c)
    b1, b2 = m.geom_bodyid[m.con_geom[p, 0]], m.geom_bodyid[m.con_geom[p, 1]]
    for e in range(contact_row_count(m, d, c)):
        r = at + e
        wrench = row_wrench(m, d, c, first, e)
        for k in range(w.nlane):
            w.efc_y[r, k] = 0.0
        if b1 > 0:
            lanes_gain_dot(w.efc_y, r, scale6(-1.0, carried(m, d, c, b1, wrench)), w.wvel, b1)
        if b2 > 0:
            lanes_gain_dot(w.efc_y, r, carried(m, d, c, b2, wrench), w.wvel, b2)


@kernel
def contact_row_changes(m: Model, d: Data, w: Lanes, c: int) -> None:
    """efc_z = C y of the contact's rows; projected Gauss-Seidel and noslip know it already (`parts.py`)."""
    first, at, count = d.con_efc[c], first_place(d, w, c), contact_row_count(m, d, c)
    for e in range(count):
        for k in range(w.nlane):
            w.efc_z[at + e, k] = d.efc_slope[first + e] * w.efc_y[at + e, k]
    if d.efc_type[first] == CONTACT_ELLIPTIC and d.cone_on[c]:
        for i in range(count):
            for j in range(count):
                s = d.cone_hess[c, i, j]
                for k in range(w.nlane):
                    w.efc_z[at + i, k] += s * w.efc_y[at + j, k]

"""Surfaces of geoms that move while the geoms do not, as those of belts and turntables (mj_addSurfaceVel).

A surface's velocity field is that of a rigid motion that the geom carries along, and adds to what the rows
of tangents and spin see of the velocity of its body; normal and rolling rows do not see it. In the adjoint
(`contact_adj.py`) its wrenches pair with it as with the velocity, and turn with the geom, but, unlike the
velocity, it has no part that stays behind when a coordinate moves.
"""

from ..collision.frame import row3
from ..kernels.enums import CONTACT_PYRAMIDAL
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, load_mat3, mat_vec3, scale3, sub3
from ..kernels.spatial import Vec6, cross_force, scale6
from ..model.data import Data, Lanes
from ..model.model import Model
from .contact_wrench import at_contact, carried, contact_row_count, first_place


@kernel
def _surface_motion(m: Model, d: Data, g: int) -> Vec6:
    """Motion of the surface of geom `g`, referred to the point of its body's tree."""
    s, mat = m.geom_surfacevel, load_mat3(d.geom_xmat, g)
    turn = mat_vec3(mat, (s[g, 3], s[g, 4], s[g, 5]))
    arm = sub3(load3(d.subtree_com, m.body_rootid[m.geom_bodyid[g]]), load3(d.geom_xpos, g))
    shift = add3(mat_vec3(mat, (s[g, 0], s[g, 1], s[g, 2])), cross3(turn, arm))
    return turn[0], turn[1], turn[2], shift[0], shift[1], shift[2]


@kernel
def _relative(m: Model, d: Data, c: int) -> tuple[Vec3, Vec3]:
    """Turn, and velocity at contact `c`, of the second surface against the first."""
    g1, g2 = m.con_geom[d.con_pair[c], 0], m.con_geom[d.con_pair[c], 1]
    turn1, point1 = at_contact(m, d, c, m.geom_bodyid[g1], _surface_motion(m, d, g1))
    turn2, point2 = at_contact(m, d, c, m.geom_bodyid[g2], _surface_motion(m, d, g2))
    return sub3(turn2, turn1), sub3(point2, point1)


@kernel
def _sliding_wrench(m: Model, d: Data, c: int, first: int, e: int) -> Vec6:
    """The part of row `e`'s wrench that sees surfaces: tangents and spin."""
    axis, s = e, 1.0
    if d.efc_type[first] == CONTACT_PYRAMIDAL:
        axis = 1 + e // 2
        s = m.con_friction[d.con_pair[c], axis - 1] * (1.0 - 2.0 * (e % 2))
    zero = (0.0, 0.0, 0.0)
    force = scale3(s, row3(d.con_frame, c, axis)) if axis == 1 or axis == 2 else zero
    torque = scale3(s, row3(d.con_frame, c, 0)) if axis == 3 else zero
    return torque[0], torque[1], torque[2], force[0], force[1], force[2]


@kernel
def surface_velocity(m: Model, d: Data) -> None:
    """Add the surfaces' velocities to efc_vel, and to efc_aref what they change."""
    for c in range(d.ncon[0]):
        first = d.con_efc[c]
        if first < 0:
            continue
        turn, point = _relative(m, d, c)
        for e in range(contact_row_count(m, d, c)):
            x = _sliding_wrench(m, d, c, first, e)
            velocity = dot3((x[0], x[1], x[2]), turn) + dot3((x[3], x[4], x[5]), point)
            d.efc_vel[first + e] += velocity
            d.efc_aref[first + e] -= d.efc_kbip[first + e, 1] * velocity


@kernel
def surface_velocity_adj(m: Model, d: Data, w: Lanes, c: int) -> None:
    """Add the share of the surfaces of contact `c` to the cotangent of its frame and position, and to wcor."""
    first, at = d.con_efc[c], first_place(d, w, c)
    g1, g2 = m.con_geom[d.con_pair[c], 0], m.con_geom[d.con_pair[c], 1]
    b1, b2 = m.geom_bodyid[g1], m.geom_bodyid[g2]
    turn, point = _relative(m, d, c)
    motion1, motion2 = _surface_motion(m, d, g1), _surface_motion(m, d, g2)
    for e in range(contact_row_count(m, d, c)):
        x = scale6(-d.efc_kbip[first + e, 1], _sliding_wrench(m, d, c, first, e))
        torque, force = (x[0], x[1], x[2]), (x[3], x[4], x[5])
        by_frame, by_pos = add3(cross3(torque, turn), cross3(force, point)), cross3(force, turn)
        push1 = cross_force(motion1, scale6(-1.0, carried(m, d, c, b1, x)))
        push2 = cross_force(motion2, carried(m, d, c, b2, x))
        for k in range(w.nlane):
            z = w.efc_z[at + e, k]
            for i in range(3):
                w.con_lanes[0, i, k] += z * by_frame[i]
                w.con_lanes[0, 3 + i, k] += z * by_pos[i]
            for i in range(6):
                if b1 > 0:
                    w.wcor[b1, i, k] += z * push1[i]
                if b2 > 0:
                    w.wcor[b2, i, k] += z * push2[i]

"""Actuators that pull a body to what it touches (mjTRN_BODY): moment arms from the contacts.

An arm is minus the mean, over the body's contacts, of what the degree of freedom adds to the rate at
which the two bodies part along the normal. Contacts in the gap count, and of the others those of
bodies that can part. The table of moment arms lists all degrees of freedom.
"""

from ..collision.contacts import collide
from ..collision.frame import row3
from ..dynamics.kinematics import geom_poses
from ..kernels.enums import TRN_BODY
from ..kernels.jit import kernel, sequence
from ..kernels.rotation import Vec3, dot3, load3, sub3
from ..kernels.spatial import load6, velocity_at
from ..model.data import Data
from ..model.model import Model
from .adhesive_contact import out_of_reach
from .row import last_dof


@sequence
def contacts(m: Model, d: Data) -> None:
    """All contacts of the pose; nothing where `adhesion` has found them before the forces."""
    geom_poses(m, d)
    collide(m, d)


@kernel
def adhesion(m: Model, d: Data) -> None:
    """Fill the contacts; actuator_length, actuator_moment, actuator_velocity of actuators on bodies."""
    geom_poses(m, d)
    collide(m, d)
    for i in range(m.nu):
        if m.actuator_trntype[i] == TRN_BODY:
            first, count, velocity = m.moment_rowadr[i], contact_count(m, d, i), 0.0
            for v in range(m.nv):
                d.actuator_moment[first + v] = 0.0
            for c in range(d.ncon[0]):
                if adheres(m, d, i, c):
                    for side in range(2):
                        _add_arms(m, d, c, side, first, (1.0 - 2.0 * side) / count)
            for v in range(m.nv):
                velocity += d.actuator_moment[first + v] * d.qvel[v]
            d.actuator_length[i], d.actuator_velocity[i] = 0.0, velocity


@kernel
def contact_body(m: Model, d: Data, c: int, side: int) -> int:
    """First or second body of contact `c`."""
    return m.geom_bodyid[m.con_geom[d.con_pair[c], side]]


@kernel
def adheres(m: Model, d: Data, i: int, c: int) -> bool:
    """Whether actuator `i` pulls at contact `c`."""
    one, two, body = contact_body(m, d, c, 0), contact_body(m, d, c, 1), m.actuator_trnid[i, 0]
    if one != body and two != body:
        return False
    return out_of_reach(m, d, c) or last_dof(m, one) != last_dof(m, two)


@kernel
def contact_count(m: Model, d: Data, i: int) -> int:
    """How many contacts share the force of actuator `i`."""
    count = 0
    for c in range(d.ncon[0]):
        count += adheres(m, d, i, c)
    return count


@kernel
def contact_arm(m: Model, d: Data, c: int, b: int) -> Vec3:
    """From the reference point of spatial vectors of body `b` to contact `c`."""
    return sub3(load3(d.con_pos, c), load3(d.subtree_com, m.body_rootid[b]))


@kernel
def _add_arms(m: Model, d: Data, c: int, side: int, first: int, s: float) -> None:
    """Add s times the velocity along the normal of one body at contact `c`."""
    b, normal = contact_body(m, d, c, side), row3(d.con_frame, c, 0)
    arm, v = contact_arm(m, d, c, b), last_dof(m, b)
    while v >= 0:
        d.actuator_moment[first + v] += s * dot3(normal, velocity_at(load6(d.cdof, v), arm))
        v = m.dof_parentid[v]

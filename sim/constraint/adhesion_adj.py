"""Adjoint of `adhesion.py`: of each contact, G of `dynamics/wrench_adj.py` with opposite forces along the normal.

G = s n . (velocity of the first body at the contact - that of the second). With its motion (`collision/motion.py`)
the contact turns what G changes by with its position and normal into pulls on the two bodies.
"""

from ..collision.contacts import contact_motion
from ..collision.frame import row3
from ..dynamics.transmission import actuator_adj
from ..dynamics.wrench_adj import VELOCITY, lane_of, set_pull, wrench_adj, wrench_velocity
from ..kernels.enums import TRN_BODY
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, cross3, scale3, sub3
from ..kernels.spatial import Vec6, axpy6, load6, scale6, velocity_at
from ..model.data import Data, Lanes
from ..model.model import Model
from .adhesion import adheres, contact_arm, contact_body, contact_count


@kernel
def adhesion_adj(m: Model, d: Data, w: Lanes, implicit_time: float) -> None:
    """Add the derivative of qfrc_adj . (joint forces of actuators on bodies); before `actuation_adj`."""
    for i in range(m.nu):
        if m.actuator_enabled[i] and m.actuator_trntype[i] == TRN_BODY:
            actuator_adj(m, d, w, i, implicit_time)
            share = 1.0 / max(contact_count(m, d, i), 1)
            for c in range(d.ncon[0]):
                if adheres(m, d, i, c):
                    _contact_adj(m, d, w, i, c, share)


@kernel
def _contact_adj(m: Model, d: Data, w: Lanes, i: int, c: int, s: float) -> None:
    contact_motion(m, d, c)
    first, end = m.moment_rowadr[i], m.moment_rowadr[i] + m.moment_rownnz[i]
    b1, b2, normal = contact_body(m, d, c, 0), contact_body(m, d, c, 1), row3(d.con_frame, c, 0)
    wrench_velocity(m, d, w, b1, 0, first, end, first)
    wrench_velocity(m, d, w, b2, 1, first, end, first)
    arm1, arm2 = contact_arm(m, d, c, b1), contact_arm(m, d, c, b2)
    for k in range(w.nlane):
        one, two = lane_of(w, VELOCITY, k), lane_of(w, VELOCITY + 1, k)
        by_normal = scale3(s, sub3(velocity_at(one, arm1), velocity_at(two, arm2)))
        by_pos = scale3(s, cross3(normal, sub3((one[0], one[1], one[2]), (two[0], two[1], two[2]))))
        second = _moved_by_second(d, by_pos, by_normal)
        both = _at((0.0, 0.0, 0.0), by_pos, cross3(normal, by_normal))
        set_pull(w, 0, k, _referred(arm1, axpy6(-1.0, second, both)))
        set_pull(w, 1, k, _referred(arm2, second))
    zero = (0.0, 0.0, 0.0)
    wrench_adj(m, d, w, b1, 0, _at(arm1, scale3(s, normal), zero), first, end, first)
    wrench_adj(m, d, w, b2, 1, _at(arm2, scale3(-s, normal), zero), first, end, first)


@kernel
def _at(arm: Vec3, force: Vec3, torque: Vec3) -> Vec6:
    """Wrench of a force at `arm` and a torque."""
    moment = cross3(arm, force)
    return moment[0] + torque[0], moment[1] + torque[1], moment[2] + torque[2], force[0], force[1], force[2]


@kernel
def _referred(arm: Vec3, x: Vec6) -> Vec6:
    """A wrench at `arm`, referred to where that begins."""
    return _at(arm, (x[3], x[4], x[5]), (x[0], x[1], x[2]))


@kernel
def _moved_by_second(d: Data, by_pos: Vec3, by_normal: Vec3) -> Vec6:
    """Pull on the second body, at the contact, of cotangents of position and normal."""
    pull = scale6(by_pos[0], load6(d.con_motion, 1))
    for r in range(3):
        if r > 0:
            pull = axpy6(by_pos[r], load6(d.con_motion, 1 + r), pull)
        pull = axpy6(by_normal[r], load6(d.con_motion, 4 + r), pull)
    return pull

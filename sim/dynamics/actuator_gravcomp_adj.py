"""Adjoint of gravity compensation that acts with the actuators and does not reach its joint (jnt_actgravcomp).

It is lost where the joint's total is clamped, and where MuJoCo computes no actuators. `rne_adj` has differentiated
it as if it acted, so its derivative is taken off here. On v with the axis S (turn s) it is the sum of S . L over
the bodies behind, L the wrench of the lift w, which keeps its direction, at the centre of mass c. Coordinate j moves
c, and S if it is before v or turns with it:

    d(S . L)/dq_j = (S_j x S) . L + s . ((velocity of c by S_j) x w).
"""

from ..kernels.enums import BALL, FREE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, load_mat3, mat_t_vec3, scale3, sub3
from ..kernels.spatial import Vec6, cross_motion, dot6, lanes_axpy, load6, velocity_at
from ..model.data import Data, Lanes
from ..model.model import Model
from .actuation import dof_is_clamped
from .chain import last_dof
from .mocap import has_own_position, mocap_axis
from .passive import ACTUATED, LOST
from .tendon import moves_with


@kernel
def actuator_gravcomp_adj(m: Model, d: Data, w: Lanes) -> None:
    """Subtract the derivative of qfrc_adj . (what is lost) from qpos_adj, mocap_adj and parameters."""
    for v in range(m.nv):
        if m.dof_gravcomp[v] == LOST or (m.dof_gravcomp[v] == ACTUATED and dof_is_clamped(m, d, v)):
            for b in range(1, m.nbody):
                last = last_dof(m, b)
                if m.body_gravcomp[b] != 0.0 and last >= v and moves_with(m, last, v):
                    _lift_adj(m, d, w, v, b, last)


@kernel
def _lift_adj(m: Model, d: Data, w: Lanes, v: int, b: int, last: int) -> None:
    """The share of body `b` in what is lost on `v`."""
    arm = sub3(load3(d.xipos, b), load3(d.subtree_com, m.body_rootid[b]))
    lift = scale3(-m.body_gravcomp[b] * m.body_mass[b], (m.gravity[0], m.gravity[1], m.gravity[2]))
    axis, j = load6(d.cdof, v), last
    while j >= 0:
        slope = _slope(load6(d.cdof, j), axis, arm, lift, j <= v or _turns_with(m, j, v))
        lanes_axpy(w.qpos_adj, j, -slope, w.qfrc_adj, v)
        j = m.dof_parentid[j]
    root = m.body_rootid[b]
    mocap = m.body_mocapid[root]
    for c in range(6 if mocap >= 0 else 0):
        slope = _slope(mocap_axis(d, root, c), axis, arm, lift, True)
        lanes_axpy(w.mocap_adj[mocap], c, -slope, w.qfrc_adj, v)
    if w.with_params:
        _parameters_adj(m, d, w, v, b, arm, lift)


@kernel
def _slope(moved: Vec6, axis: Vec6, arm: Vec3, lift: Vec3, carries: bool) -> float:
    slope = dot3((axis[0], axis[1], axis[2]), cross3(velocity_at(moved, arm), lift))
    return slope + dot6(cross_motion(moved, axis), _wrench(arm, lift)) if carries else slope


@kernel
def _wrench(arm: Vec3, force: Vec3) -> Vec6:
    moment = cross3(arm, force)
    return moment[0], moment[1], moment[2], force[0], force[1], force[2]


@kernel
def _turns_with(m: Model, j: int, v: int) -> bool:
    """Whether both belong to the rotation of one ball or free joint."""
    joint = m.dof_jntid[v]
    if m.dof_jntid[j] != joint or (m.jnt_type[joint] != BALL and m.jnt_type[joint] != FREE):
        return False
    return m.jnt_type[joint] == BALL or min(j, v) - m.jnt_dofadr[joint] >= 3


@kernel
def _parameters_adj(m: Model, d: Data, w: Lanes, v: int, b: int, arm: Vec3, lift: Vec3) -> None:
    axis, push = load6(d.cdof, v), -w.qfrc_adj[v, 0]
    w.body_mass_adj[b] += push * dot6(axis, _wrench(arm, lift)) / m.body_mass[b]
    along = add3((axis[3], axis[4], axis[5]), cross3((axis[0], axis[1], axis[2]), arm))
    turned = scale3(push, cross3(lift, (axis[0], axis[1], axis[2])))
    by_com = mat_t_vec3(load_mat3(d.xmat, b), turned)
    for i in range(3):
        w.gravity_adj[i] -= push * m.body_gravcomp[b] * m.body_mass[b] * along[i]
        w.body_ipos_adj[b, i] += by_com[i]
    while b != m.dof_bodyid[v]:
        if not has_own_position(m, b):
            by_pos = mat_t_vec3(load_mat3(d.xmat, m.body_parentid[b]), turned)
            for i in range(3):
                w.body_pos_adj[b, i] += by_pos[i]
        b = m.body_parentid[b]

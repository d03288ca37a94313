"""Gradients of model parameters, from the same multiplier and sweep as those of the state.

The equation of motion contracted with the virtual velocities W is, body by body, linear in the
inertial parameters: with the pairing <x, y> = x . I y of spatial motions,

    E = sum_b <W, a> - <v x W, v>.

A body position moves its subtree like a slide joint in front of the body would (`rnea.py`).
"""

from ..kernels.enums import BALL, DYN_INTEGRATOR, FREE
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, load_mat3, mat_t_vec3, scale3, sub3
from ..kernels.spatial import Vec6, add6, cross_force, cross_motion, dot6, load6, velocity_at
from ..model.data import Data, Lanes
from ..model.model import Model
from .activation import MIN_TIME_CONSTANT, actuator_input, clamped_ctrl
from .actuation import (
    arms_move,
    coupled_sum,
    dof_is_clamped,
    dof_position,
    force_is_clamped,
    force_passes,
    moment_arm,
    setpoint,
)
from .actuator_law import force_slopes, law_parameters_adj, slope_changes
from .circle import turn_length_slope, whole_turns
from .fluid import fluid_parameters_adj
from .mocap import has_own_position
from .passive import deflection


@kernel
def parameters_adj(m: Model, d: Data, w: Lanes, damping_time: float, implicit_time: float) -> None:
    """Add to the parameter fields of `w`; runs after `rne_adj`, with one lane.

    `damping_time`: how far ahead dampers see the velocity; `implicit_time`: actuators.
    """
    inertial_parameters_adj(m, d, w)
    for v in range(m.nv):
        w.dof_armature_adj[v] -= w.qfrc_adj[v, 0] * d.qacc[v]
        w.dof_damping_adj[v] -= w.qfrc_adj[v, 0] * (d.qvel[v] + damping_time * d.qacc[v])
    for j in range(m.njnt):
        _stiffness_adj(m, d, w, j)
    for i in range(m.nu):
        if m.actuator_enabled[i]:
            _actuator_adj(m, d, w, i, implicit_time)
    fluid_parameters_adj(m, d, w)


@kernel
def inertial_parameters_adj(m: Model, d: Data, w: Lanes) -> None:
    """The share of the bodies' inertia, positions and weight."""
    for b in range(1, m.nbody):
        _inertial_adj(m, d, w, b)
        body_pos_share(
            m, d, w, b, load6(d.cvel, m.body_parentid[b]), load6(d.cacc, m.body_parentid[b]), lane6(w.wcor, b)
        )


@kernel
def lane6(a: Floats, i: int) -> Vec6:
    return a[i, 0, 0], a[i, 1, 0], a[i, 2, 0], a[i, 3, 0], a[i, 4, 0], a[i, 5, 0]


@kernel
def pairing_adj(m: Model, d: Data, w: Lanes, b: int, x: Vec6, y: Vec6, s: float) -> Vec3:
    """Add s * d<x, y> to mass, inertia and ipos of body `b`; return its gradient by the centre of mass."""
    arm = sub3(load3(d.xipos, b), load3(d.subtree_com, m.body_rootid[b]))
    xc, yc = velocity_at(x, arm), velocity_at(y, arm)
    xr, yr = (x[0], x[1], x[2]), (y[0], y[1], y[2])
    w.body_mass_adj[b] += s * dot3(xc, yc)
    xi, yi = mat_t_vec3(load_mat3(d.ximat, b), xr), mat_t_vec3(load_mat3(d.ximat, b), yr)
    by_com = scale3(s * m.body_mass[b], add3(cross3(yc, xr), cross3(xc, yr)))
    local = mat_t_vec3(load_mat3(d.xmat, b), by_com)
    for i in range(3):
        w.body_inertia_adj[b, i] += s * xi[i] * yi[i]
        w.body_ipos_adj[b, i] += local[i]
    return by_com


@kernel
def _inertial_adj(m: Model, d: Data, w: Lanes, b: int) -> None:
    virtual, v, a = lane6(w.wvel, b), load6(d.cvel, b), load6(d.cacc, b)
    s = m.body_gravcomp[b]
    a = (a[0], a[1], a[2], a[3] + s * m.gravity[0], a[4] + s * m.gravity[1], a[5] + s * m.gravity[2])
    pairing_adj(m, d, w, b, virtual, a, -1.0)
    pairing_adj(m, d, w, b, cross_motion(v, virtual), v, 1.0)
    arm = sub3(load3(d.xipos, b), load3(d.subtree_com, m.body_rootid[b]))
    at_com = velocity_at(virtual, arm)
    for i in range(3):
        w.gravity_adj[i] += (1.0 - s) * m.body_mass[b] * at_com[i]


@kernel
def body_pos_share(m: Model, d: Data, w: Lanes, b: int, v: Vec6, a: Vec6, coriolis: Vec6) -> None:
    """Body position of `b`: motion v, a of its parent, subtree sums cfrc, wmom, and `coriolis`."""
    if has_own_position(m, b):
        return
    p = m.body_parentid[b]
    r, force, before, momentum = load_mat3(d.xmat, p), load6(d.cfrc, b), lane6(w.wvel, p), lane6(w.wmom, b)
    for i in range(3):
        axis: Vec6 = (0.0, 0.0, 0.0, r[i], r[3 + i], r[6 + i])
        rate = cross_motion(v, axis)
        second = add6(cross_motion(a, axis), cross_motion(v, rate))
        w.body_pos_adj[b, i] -= dot6(cross_force(axis, force), before) + dot6(second, momentum) + dot6(rate, coriolis)


@kernel
def _stiffness_adj(m: Model, d: Data, w: Lanes, j: int) -> None:
    a, v, kind = m.jnt_qposadr[j], m.jnt_dofadr[j], m.jnt_type[j]
    if kind == FREE:
        for i in range(3):
            w.jnt_stiffness_adj[j] -= w.qfrc_adj[v + i, 0] * (d.qpos[a + i] - m.qpos_spring[a + i])
        a, v = a + 3, v + 3
    if kind == FREE or kind == BALL:
        phi = deflection(m, d, a)
        for i in range(3):
            w.jnt_stiffness_adj[j] -= w.qfrc_adj[v + i, 0] * phi[i]
    else:
        w.jnt_stiffness_adj[j] -= w.qfrc_adj[v, 0] * (d.qpos[a] - m.qpos_spring[a])


@kernel
def _actuator_adj(m: Model, d: Data, w: Lanes, i: int, implicit_time: float) -> None:
    """Add to gainprm, biasprm and gear of actuator `i`: what scales its force, and what constant moment arms do."""
    first, end = m.moment_rowadr[i], m.moment_rowadr[i] + m.moment_rownnz[i]
    value, length = setpoint(m, d, i), d.actuator_length[i]
    by_length, by_velocity = force_slopes(m, d, i, value)
    bends = slope_changes(m, d, i, value)
    force_adj, ahead = 0.0, 0.0  # cotangent of the force; of its velocity slope, by how far it looks ahead
    share = force_passes(m, d, i)
    if share == 0.0:
        by_length, by_velocity = 0.0, 0.0
    if force_is_clamped(m, d, i):
        implicit_time = 0.0
    if share != 0.0:
        for k in range(first, end):
            v = m.moment_colind[k]
            push = moment_arm(m, d, i, k) * w.qfrc_adj[v, 0]
            ahead += push * implicit_time * coupled_sum(m, d, i, k, d.qacc[:, None], 0)
            if not dof_is_clamped(m, d, v):
                force_adj += share * push
    law_parameters_adj(m, d, w, i, value, force_adj, ahead)
    turns = whole_turns(m, i, actuator_input(m, d, i) - length)
    rate_turns, act = 0.0, m.actuator_actadr[i]
    if act >= 0 and m.actuator_dyntype[i] != DYN_INTEGRATOR:
        rate_turns = whole_turns(m, i, clamped_ctrl(m, d, i) - d.act[act])
        rate_turns *= w.actdot_adj[act, 0] / max(m.actuator_dynprm[i, 0], MIN_TIME_CONSTANT)
    for k in range(first, first if arms_move(m, i) else end):
        v, gear = m.moment_colind[k], m.moment_gear[k]
        by_arm = force_adj * (by_length * dof_position(m, d, v) + by_velocity * d.qvel[v])
        if not dof_is_clamped(m, d, v):
            by_arm += w.qfrc_adj[v, 0] * d.actuator_force[i]
        by_arm += ahead * (bends[0] * dof_position(m, d, v) + bends[1] * d.qvel[v])
        if implicit_time > 0.0:
            rate = coupled_sum(m, d, i, k, d.qacc[:, None], 0)
            push = coupled_sum(m, d, i, k, w.qfrc_adj, 0)
            by_arm += by_velocity * implicit_time * (w.qfrc_adj[v, 0] * rate + push * d.qacc[v])
        w.actuator_gear_adj[i, gear] += m.moment_coef[k] * by_arm
    by_turn = force_adj * m.actuator_gainprm[i, 0] * turns + rate_turns
    for gear in range(6):
        w.actuator_gear_adj[i, gear] -= by_turn * turn_length_slope(m, i, gear)


@kernel
def gyroscopic_parameters_adj(m: Model, d: Data, w: Lanes) -> None:
    """The share of implicitfast's gyroscopic slope: time step * (<w x W, a> + <a x W, w>).

    Angular velocity w and acceleration a turn the body about its own origin.
    """
    for b in range(1, m.nbody):
        root = m.body_rootid[b]
        if not m.body_freesolo[root]:
            continue
        v = m.body_dofadr[root]
        omega = _turn_about(m, d, root, d.qvel[v + 3], d.qvel[v + 4], d.qvel[v + 5])
        alpha = _turn_about(m, d, root, d.qacc[v + 3], d.qacc[v + 4], d.qacc[v + 5])
        virtual = lane6(w.wvel, root)
        one = pairing_adj(m, d, w, b, cross_motion(omega, virtual), alpha, m.timestep)
        two = pairing_adj(m, d, w, b, cross_motion(alpha, virtual), omega, m.timestep)
        by_com, c = add3(one, two), b
        while c != root:  # the positions of welded bodies carry their descendants
            local = mat_t_vec3(load_mat3(d.xmat, m.body_parentid[c]), by_com)
            for i in range(3):
                w.body_pos_adj[c, i] += local[i]
            c = m.body_parentid[c]


@kernel
def _turn_about(m: Model, d: Data, b: int, x: float, y: float, z: float) -> Vec6:
    """Spatial motion that turns body `b` about its origin by the local rotation rate (x, y, z)."""
    r = load_mat3(d.xmat, b)
    rate: Vec3 = (
        r[0] * x + r[1] * y + r[2] * z,
        r[3] * x + r[4] * y + r[5] * z,
        r[6] * x + r[7] * y + r[8] * z,
    )
    linear = cross3(rate, sub3(load3(d.subtree_com, m.body_rootid[b]), load3(d.xpos, b)))
    return rate[0], rate[1], rate[2], linear[0], linear[1], linear[2]

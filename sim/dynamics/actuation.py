"""Actuators on joints and fixed tendons: activation dynamics, force, joint force (mj_fwdActuation), the adjoint.

force = gain(length, velocity) * input + bias(length, velocity), input = activation or control.
The moment arms of these transmissions are constants, listed in the model's table moment_*.
"""

import math

from ..kernels.enums import AFFINE, BALL, DYN_FILTEREXACT, DYN_INTEGRATOR, FREE, HINGE, SLIDE, TRN_TENDON
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, quat_log, quat_normalize, right_jacobian_inv_t
from ..kernels.spatial import lanes_axpy
from ..model.data import Data, Lanes
from ..model.model import Model
from .tendon import moves_with

MIN_TIME_CONSTANT = 1e-15


@kernel
def _last_entry(m: Model, i: int) -> int:
    """One past the last entry of actuator `i` in the table of moment arms; the first is moment_rowadr[i]."""
    return m.moment_rowadr[i] + m.moment_rownnz[i]


@kernel
def moment_arm(m: Model, i: int, k: int) -> float:
    """Joint force per force of actuator `i` on the degree of freedom of its entry `k`."""
    return m.actuator_gear[i, m.moment_gear[k]] * m.moment_coef[k]


@kernel
def joint_type(m: Model, i: int) -> int:
    """Type of the joint that actuator `i` acts on; of any of the scalar joints of a tendon, HINGE."""
    return HINGE if m.actuator_trntype[i] == TRN_TENDON else m.jnt_type[m.actuator_trnid[i, 0]]


@kernel
def ball_angles(d: Data, a: int) -> Vec3:
    """Rotation vector of the ball joint whose quaternion starts at `a` in qpos."""
    return quat_log(quat_normalize((d.qpos[a], d.qpos[a + 1], d.qpos[a + 2], d.qpos[a + 3])))


@kernel
def dof_position(m: Model, d: Data, v: int) -> float:
    """What the moment arm of `v` multiplies in the length of an actuator; 0 for free joints."""
    j = m.dof_jntid[v]
    if m.jnt_type[j] == FREE:
        return 0.0
    if m.jnt_type[j] == BALL:
        return ball_angles(d, m.jnt_qposadr[j])[v - m.jnt_dofadr[j]]
    return d.qpos[m.jnt_qposadr[j]]


@kernel
def coupled_sum(m: Model, i: int, k: int, x: Floats) -> float:
    """Sum of moment arm times x[dof, 0] over the entries of actuator `i` that the inertia matrix couples to entry `k`.

    MuJoCo's implicitfast keeps this part of the product of moment arms.
    """
    total, v = 0.0, m.moment_colind[k]
    for c in range(m.moment_rowadr[i], _last_entry(m, i)):
        if moves_with(m, v, m.moment_colind[c]) or moves_with(m, m.moment_colind[c], v):
            total += moment_arm(m, i, c) * x[m.moment_colind[c], 0]
    return total


@kernel
def clamped_ctrl(m: Model, d: Data, i: int) -> float:
    """Control of actuator `i` inside its range."""
    u = d.ctrl[i]
    if m.actuator_ctrllimited[i]:
        u = min(max(u, m.actuator_ctrlrange[i, 0]), m.actuator_ctrlrange[i, 1])
    return u


@kernel
def actuator_input(m: Model, d: Data, i: int) -> float:
    """What the gain multiplies: activation if the actuator has one, else control."""
    a = m.actuator_actadr[i]
    return d.act[a] if a >= 0 else clamped_ctrl(m, d, i)


@kernel
def turn_length(m: Model, i: int) -> float:
    """Length of a whole turn for an actuator that lives on a circle, 0 for the others.

    MuJoCo reads setpoint and activation of a servo (fixed gain, bias with the opposite slope) on a
    purely rotational transmission, here a ball joint, on the circle.
    """
    if joint_type(m, i) != BALL or m.actuator_gaintype[i] == AFFINE:
        return 0.0
    if m.actuator_biastype[i] != AFFINE or m.actuator_biasprm[i, 1] != -m.actuator_gainprm[i, 0]:
        return 0.0
    g = m.actuator_gear
    return 2.0 * math.pi * math.sqrt(g[i, 0] * g[i, 0] + g[i, 1] * g[i, 1] + g[i, 2] * g[i, 2])


@kernel
def whole_turns(m: Model, i: int, distance: float) -> float:
    """How many whole turns of actuator `i` are nearest to `distance`; 0 off the circle."""
    turn = turn_length(m, i)
    return float(round(distance / turn)) if turn > 0.0 else 0.0


@kernel
def turn_length_slope(m: Model, i: int, r: int) -> float:
    """Derivative of `turn_length` by gear `r`."""
    turn = turn_length(m, i)
    return 4.0 * math.pi * math.pi * m.actuator_gear[i, r] / turn if turn > 0.0 and r < 3 else 0.0


@kernel
def setpoint(m: Model, d: Data, i: int) -> float:
    """Input of actuator `i` as its gain sees it."""
    value = actuator_input(m, d, i)
    turns = whole_turns(m, i, value - d.actuator_length[i])
    return value - turns * turn_length(m, i) if turns != 0.0 else value


@kernel
def _transmission(m: Model, d: Data, i: int) -> None:
    length, velocity = 0.0, 0.0
    for k in range(m.moment_rowadr[i], _last_entry(m, i)):
        arm, v = moment_arm(m, i, k), m.moment_colind[k]
        length += arm * dof_position(m, d, v)
        velocity += arm * d.qvel[v]
    d.actuator_length[i] = length
    d.actuator_velocity[i] = velocity


@kernel
def _gain(m: Model, i: int, length: float, velocity: float) -> float:
    p = m.actuator_gainprm
    if m.actuator_gaintype[i] == AFFINE:
        return p[i, 0] + p[i, 1] * length + p[i, 2] * velocity
    return p[i, 0]


@kernel
def _bias(m: Model, i: int, length: float, velocity: float) -> float:
    p = m.actuator_biasprm
    if m.actuator_biastype[i] == AFFINE:
        return p[i, 0] + p[i, 1] * length + p[i, 2] * velocity
    return 0.0


@kernel
def force_slopes(m: Model, i: int, value: float) -> tuple[float, float]:
    """Derivative of the force by length and by velocity, at input `value`."""
    length, velocity = 0.0, 0.0
    if m.actuator_gaintype[i] == AFFINE:
        length += m.actuator_gainprm[i, 1] * value
        velocity += m.actuator_gainprm[i, 2] * value
    if m.actuator_biastype[i] == AFFINE:
        length += m.actuator_biasprm[i, 1]
        velocity += m.actuator_biasprm[i, 2]
    return length, velocity


@kernel
def dof_is_clamped(m: Model, d: Data, v: int) -> bool:
    """Whether the force of all actuators on `v` sits on the range that its joint allows."""
    j = m.dof_jntid[v]
    if not m.jnt_actfrclimited[j] or not (m.jnt_type[j] == HINGE or m.jnt_type[j] == SLIDE):
        return False
    return d.qfrc_actuator[v] <= m.jnt_actfrcrange[j, 0] or d.qfrc_actuator[v] >= m.jnt_actfrcrange[j, 1]


@kernel
def force_is_clamped(m: Model, d: Data, i: int) -> bool:
    """Whether the force of actuator `i` sits on its own range, its tendon's, or its joint's total does."""
    force, t = d.actuator_force[i], m.actuator_trnid[i, 0]
    if m.actuator_forcelimited[i] and (force <= m.actuator_forcerange[i, 0] or force >= m.actuator_forcerange[i, 1]):
        return True
    if m.actuator_trntype[i] != TRN_TENDON:
        return dof_is_clamped(m, d, m.jnt_dofadr[t])
    limits = m.tendon_actfrcrange
    return m.tendon_actfrclimited[t] != 0 and (force <= limits[t, 0] or force >= limits[t, 1])


@kernel
def _limited(m: Model, i: int, force: float) -> float:
    """`force` of actuator `i` inside the range of its tendon, then its own."""
    t = m.actuator_trnid[i, 0]
    if m.actuator_trntype[i] == TRN_TENDON and m.tendon_actfrclimited[t]:
        force = min(max(force, m.tendon_actfrcrange[t, 0]), m.tendon_actfrcrange[t, 1])
    if m.actuator_forcelimited[i]:
        force = min(max(force, m.actuator_forcerange[i, 0]), m.actuator_forcerange[i, 1])
    return force


@kernel
def actuation(m: Model, d: Data) -> None:
    """Fill actuator_length, actuator_velocity, actuator_force, act_dot, qfrc_actuator."""
    for v in range(m.nv):
        d.qfrc_actuator[v] = 0.0
    for i in range(m.nu):
        _transmission(m, d, i)
        _activation_rate(m, d, i)
        force = 0.0
        if m.actuator_enabled[i]:
            length, velocity = d.actuator_length[i], d.actuator_velocity[i]
            force = _gain(m, i, length, velocity) * setpoint(m, d, i) + _bias(m, i, length, velocity)
            force = _limited(m, i, force)
        d.actuator_force[i] = force
        for k in range(m.moment_rowadr[i], _last_entry(m, i)):
            d.qfrc_actuator[m.moment_colind[k]] += moment_arm(m, i, k) * force
    for j in range(m.njnt):
        if m.jnt_actfrclimited[j] and (m.jnt_type[j] == HINGE or m.jnt_type[j] == SLIDE):
            v = m.jnt_dofadr[j]
            low, high = m.jnt_actfrcrange[j, 0], m.jnt_actfrcrange[j, 1]
            d.qfrc_actuator[v] = min(max(d.qfrc_actuator[v], low), high)


@kernel
def _activation_rate(m: Model, d: Data, i: int) -> None:
    """Fill act_dot of actuator `i`, if it has an activation."""
    a = m.actuator_actadr[i]
    if a < 0:
        return
    if not m.actuator_enabled[i]:
        d.act_dot[a] = 0.0
    elif m.actuator_dyntype[i] == DYN_INTEGRATOR:
        d.act_dot[a] = clamped_ctrl(m, d, i)
    else:
        error = clamped_ctrl(m, d, i) - d.act[a]
        turns = whole_turns(m, i, error)
        if turns != 0.0:
            error -= turns * turn_length(m, i)
        d.act_dot[a] = error / max(m.actuator_dynprm[i, 0], MIN_TIME_CONSTANT)


@kernel
def activation_step(m: Model, i: int) -> float:
    """Factor of act_dot in one step: the time step, or its exact-filter equivalent."""
    if m.actuator_dyntype[i] != DYN_FILTEREXACT:
        return m.timestep
    tau = max(m.actuator_dynprm[i, 0], MIN_TIME_CONSTANT)
    return tau * (1.0 - math.exp(-m.timestep / tau))


@kernel
def actuation_adj(m: Model, d: Data, w: Lanes, implicit_time: float) -> None:
    """Add the derivative of qfrc_adj . qfrc_actuator and of actdot_adj . act_dot.

    With `implicit_time` h > 0 the force is the linearised one of implicitfast, at velocity
    qvel + h qacc: the gain then multiplies the input at that velocity.
    """
    for i in range(m.nu):
        if m.actuator_enabled[i]:
            _activation_rate_adj(m, d, w, i)
            if not force_is_clamped(m, d, i):
                _force_adj(m, d, w, i, implicit_time)


@kernel
def _ctrl_is_clamped(m: Model, d: Data, i: int) -> bool:
    u = d.ctrl[i]
    return m.actuator_ctrllimited[i] and (u < m.actuator_ctrlrange[i, 0] or u > m.actuator_ctrlrange[i, 1])


@kernel
def _activation_rate_adj(m: Model, d: Data, w: Lanes, i: int) -> None:
    a = m.actuator_actadr[i]
    if a < 0:
        return
    rate = 1.0
    if m.actuator_dyntype[i] != DYN_INTEGRATOR:
        rate = 1.0 / max(m.actuator_dynprm[i, 0], MIN_TIME_CONSTANT)
        for k in range(w.nlane):
            w.act_adj[a, k] -= rate * w.actdot_adj[a, k]
    if not _ctrl_is_clamped(m, d, i):
        for k in range(w.nlane):
            w.ctrl_adj[i, k] += rate * w.actdot_adj[a, k]


@kernel
def _length_slope(m: Model, d: Data, i: int, k: int) -> float:
    """Derivative of the length of actuator `i` by the degree of freedom of its entry `k`."""
    kind = joint_type(m, i)
    if kind == FREE:
        return 0.0
    if kind != BALL:
        return moment_arm(m, i, k)
    gear = (m.actuator_gear[i, 0], m.actuator_gear[i, 1], m.actuator_gear[i, 2])
    phi = ball_angles(d, m.jnt_qposadr[m.actuator_trnid[i, 0]])
    return right_jacobian_inv_t(phi, gear)[m.moment_gear[k]]


@kernel
def _force_adj(m: Model, d: Data, w: Lanes, i: int, implicit_time: float) -> None:
    """Add the derivative of qfrc_adj . (joint forces of actuator `i`) to qpos_adj, qvel_adj, act_adj, ctrl_adj."""
    gain = _gain(m, i, d.actuator_length[i], d.actuator_velocity[i])
    by_length, by_velocity = force_slopes(m, i, actuator_input(m, d, i))
    ahead = implicit_time * m.actuator_gainprm[i, 2] if m.actuator_gaintype[i] == AFFINE else 0.0
    act, first, end = m.actuator_actadr[i], m.moment_rowadr[i], _last_entry(m, i)
    passes_ctrl = act < 0 and not _ctrl_is_clamped(m, d, i)
    for k in range(first, end):
        v, arm = m.moment_colind[k], moment_arm(m, i, k)
        passes = not dof_is_clamped(m, d, v)
        by_input = gain if passes else 0.0
        if ahead != 0.0:
            by_input += ahead * coupled_sum(m, i, k, d.qacc[:, None])
        if act >= 0:
            lanes_axpy(w.act_adj, act, arm * by_input, w.qfrc_adj, v)
        elif passes_ctrl:
            lanes_axpy(w.ctrl_adj, i, arm * by_input, w.qfrc_adj, v)
        if passes:
            for c in range(first, end):
                u = m.moment_colind[c]
                lanes_axpy(w.qvel_adj, u, arm * by_velocity * moment_arm(m, i, c), w.qfrc_adj, v)
                if by_length != 0.0:
                    lanes_axpy(w.qpos_adj, u, arm * by_length * _length_slope(m, d, i, c), w.qfrc_adj, v)

"""Actuators on joints and fixed tendons: force and joint force (mj_fwdActuation), the adjoint.

force = gain(length, velocity) * input + bias(length, velocity), input = activation or control: see
`actuator_law.py` and `activation.py`.
The moment arms of joints and fixed tendons are constants, listed in the model's table moment_*; of those
that move with the pose, `transmission.py` fills the same table in the data before, and has the adjoint.
"""

from ..kernels.enums import BALL, FREE, HINGE, SLIDE, TRN_JOINT, TRN_JOINTINPARENT, TRN_TENDON
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, quat_log, quat_normalize, right_jacobian_inv_t
from ..kernels.spatial import lanes_axpy
from ..model.data import Data, Lanes
from ..model.model import Model
from .activation import activation_adj, activation_rate, activation_rate_adj, actuator_input, ctrl_is_clamped
from .actuator_law import actuator_bias, actuator_gain, force_slopes, gain_rate, slope_changes
from .circle import turn_length, whole_turns
from .passive import ACTUATED
from .tendon import moves_with
from .tendon_range import (
    limit_tendons,
    limited_tendon,
    own_range_clamps,
    shared_pull,
    tendon_is_clamped,
    tendon_is_scaled,
)


@kernel
def _last_entry(m: Model, i: int) -> int:
    """One past the last entry of actuator `i` in the table of moment arms; the first is moment_rowadr[i]."""
    return m.moment_rowadr[i] + m.moment_rownnz[i]


@kernel
def arms_move(m: Model, i: int) -> bool:
    """Whether the moment arms of actuator `i` move with the pose."""
    return m.moment_moves[i] != 0


@kernel
def moment_arm(m: Model, d: Data, i: int, k: int) -> float:
    """Joint force per force of actuator `i` on the degree of freedom of its entry `k`."""
    if arms_move(m, i):
        return d.actuator_moment[k]
    return m.actuator_gear[i, m.moment_gear[k]] * m.moment_coef[k]


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
def coupled_sum(m: Model, d: Data, i: int, k: int, x: Floats, lane: int) -> float:
    """Sum of arm times x[dof, lane] over the entries of actuator `i` that the inertia matrix couples to entry `k`.

    MuJoCo's implicitfast keeps this part of the product of moment arms.
    """
    total, v = 0.0, m.moment_colind[k]
    for c in range(m.moment_rowadr[i], _last_entry(m, i)):
        if moves_with(m, v, m.moment_colind[c]) or moves_with(m, m.moment_colind[c], v):
            total += moment_arm(m, d, i, c) * x[m.moment_colind[c], lane]
    return total


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
        arm, v = moment_arm(m, d, i, k), m.moment_colind[k]
        length += arm * dof_position(m, d, v)
        velocity += arm * d.qvel[v]
    d.actuator_length[i] = length
    d.actuator_velocity[i] = velocity


@kernel
def dof_is_clamped(m: Model, d: Data, v: int) -> bool:
    """Whether the force of all actuators on `v` sits on the range that its joint allows."""
    j = m.dof_jntid[v]
    if not m.jnt_actfrclimited[j] or not (m.jnt_type[j] == HINGE or m.jnt_type[j] == SLIDE):
        return False
    return d.qfrc_actuator[v] <= m.jnt_actfrcrange[j, 0] or d.qfrc_actuator[v] >= m.jnt_actfrcrange[j, 1]


@kernel
def force_is_clamped(m: Model, d: Data, i: int) -> bool:
    """Whether the force of actuator `i` sits on its own range, or its tendon's or joint's total does."""
    if own_range_clamps(m, d, i):
        return True
    if m.actuator_trntype[i] == TRN_JOINT or m.actuator_trntype[i] == TRN_JOINTINPARENT:
        return dof_is_clamped(m, d, m.jnt_dofadr[m.actuator_trnid[i, 0]])
    return tendon_is_clamped(m, d, i)


@kernel
def force_passes(m: Model, d: Data, i: int) -> float:
    """What the joints get of a change of actuator `i`'s force, in its own moment arms."""
    t = limited_tendon(m, i)
    if t < 0:
        return force_passes_apart(m, d, i)
    if tendon_is_scaled(m, d, t):
        return shared_pull(m, d, i, t)
    return 0.0 if own_range_clamps(m, d, i) else 1.0


@kernel
def force_passes_apart(m: Model, d: Data, i: int) -> float:
    """The same where no two actuators share a range."""
    return 0.0 if force_is_clamped(m, d, i) else 1.0


@kernel
def actuation(m: Model, d: Data) -> None:
    """Fill actuator_length, actuator_velocity, actuator_force, act_dot, qfrc_actuator."""
    for v in range(m.nv):
        d.qfrc_actuator[v] = 0.0
    for i in range(m.nu):
        if not arms_move(m, i):
            _transmission(m, d, i)
        activation_rate(m, d, i)
        force = 0.0
        if m.actuator_enabled[i]:
            length, velocity = d.actuator_length[i], d.actuator_velocity[i]
            force = actuator_gain(m, i, length, velocity) * setpoint(m, d, i) + actuator_bias(m, i, length, velocity)
        d.actuator_force[i] = force
    limit_tendons(m, d)
    for i in range(m.nu):
        force = d.actuator_force[i]
        if m.actuator_forcelimited[i]:
            force = min(max(force, m.actuator_forcerange[i, 0]), m.actuator_forcerange[i, 1])
            d.actuator_force[i] = force
        for k in range(m.moment_rowadr[i], _last_entry(m, i)):
            d.qfrc_actuator[m.moment_colind[k]] += moment_arm(m, d, i, k) * force
    actuator_gravcomp(m, d)
    for j in range(m.njnt):
        if m.jnt_actfrclimited[j] and (m.jnt_type[j] == HINGE or m.jnt_type[j] == SLIDE):
            v = m.jnt_dofadr[j]
            low, high = m.jnt_actfrcrange[j, 0], m.jnt_actfrcrange[j, 1]
            d.qfrc_actuator[v] = min(max(d.qfrc_actuator[v], low), high)


@kernel
def actuator_gravcomp(m: Model, d: Data) -> None:
    """Add gravity compensation to the actuators' forces, on joints where it is theirs."""
    for v in range(m.nv):
        if m.dof_gravcomp[v] == ACTUATED:
            d.qfrc_actuator[v] += d.qfrc_gravcomp[v]


@kernel
def actuation_adj(m: Model, d: Data, w: Lanes, implicit_time: float) -> None:
    """Add the derivative of qfrc_adj . qfrc_actuator and of actdot_adj . act_dot; after `transmission_adj`.

    With `implicit_time` h > 0 the force is the linearised one of implicitfast, at velocity
    qvel + h qacc: the gain then multiplies the input at that velocity.
    """
    for i in range(m.nu):
        if m.actuator_enabled[i]:
            if not m.actuator_actearly[i]:
                activation_rate_adj(m, d, w, i)
            passes = 0.0 if arms_move(m, i) else force_passes(m, d, i)
            if passes != 0.0:
                # where the force is clamped implicitfast takes nothing ahead
                _force_adj(m, d, w, i, passes, 0.0 if force_is_clamped(m, d, i) else implicit_time)
            if m.actuator_actearly[i]:  # the rate has a share in the force
                activation_rate_adj(m, d, w, i)


@kernel
def _length_slope(m: Model, d: Data, i: int, k: int) -> float:
    """Derivative of the length of actuator `i` by the degree of freedom of its entry `k`."""
    kind = HINGE if m.actuator_trntype[i] == TRN_TENDON else m.jnt_type[m.actuator_trnid[i, 0]]
    if kind == FREE:
        return 0.0
    if kind != BALL:
        return moment_arm(m, d, i, k)
    gear = (m.actuator_gear[i, 0], m.actuator_gear[i, 1], m.actuator_gear[i, 2])
    phi = ball_angles(d, m.jnt_qposadr[m.actuator_trnid[i, 0]])
    return right_jacobian_inv_t(phi, gear)[m.moment_gear[k]]


@kernel
def _force_adj(m: Model, d: Data, w: Lanes, i: int, share: float, implicit_time: float) -> None:
    """Add the derivative of qfrc_adj . (joint forces of actuator `i`) to qpos_adj, qvel_adj, act_adj, ctrl_adj.

    `share` is that of `force_passes`.
    """
    gain, value = share * actuator_gain(m, i, d.actuator_length[i], d.actuator_velocity[i]), actuator_input(m, d, i)
    by_length, by_velocity = force_slopes(m, d, i, value)
    by_length, by_velocity = share * by_length, share * by_velocity
    ahead = implicit_time * gain_rate(m, d, i)
    bends = slope_changes(m, d, i, value)
    act, first, end = m.actuator_actadr[i], m.moment_rowadr[i], _last_entry(m, i)
    passes_ctrl = act < 0 and not ctrl_is_clamped(m, d, i)
    for k in range(first, end):
        v, arm = m.moment_colind[k], moment_arm(m, d, i, k)
        passes = not dof_is_clamped(m, d, v)
        by_input = gain if passes else 0.0
        if ahead != 0.0:
            by_input += ahead * coupled_sum(m, d, i, k, d.qacc[:, None], 0)
        if act >= 0:
            activation_adj(m, d, w, i, arm * by_input, w.qfrc_adj, v)
        elif passes_ctrl:
            lanes_axpy(w.ctrl_adj, i, arm * by_input, w.qfrc_adj, v)
        if passes:
            for c in range(first, end):
                u = m.moment_colind[c]
                lanes_axpy(w.qvel_adj, u, arm * by_velocity * moment_arm(m, d, i, c), w.qfrc_adj, v)
                if by_length != 0.0:
                    lanes_axpy(w.qpos_adj, u, arm * by_length * _length_slope(m, d, i, c), w.qfrc_adj, v)
        if implicit_time > 0.0 and (bends[0] != 0.0 or bends[1] != 0.0):
            push = implicit_time * arm * coupled_sum(m, d, i, k, d.qacc[:, None], 0)
            for c in range(first, end):
                u = m.moment_colind[c]
                lanes_axpy(w.qvel_adj, u, push * bends[1] * moment_arm(m, d, i, c), w.qfrc_adj, v)
                lanes_axpy(w.qpos_adj, u, push * bends[0] * _length_slope(m, d, i, c), w.qfrc_adj, v)

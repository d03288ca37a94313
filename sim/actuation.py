"""Actuators on joints: activation dynamics, force, joint force (mj_fwdActuation), and the adjoint.

force = gain(length, velocity) * input + bias(length, velocity), input = activation or control.
"""

import math

from ._jit import kernel
from .data import Data, Lanes
from .kinematics import BALL, FREE, HINGE, SLIDE
from .model import Model
from .rotation import quat_log, quat_normalize, right_jacobian_inv_t

DYN_INTEGRATOR, DYN_FILTEREXACT = 1, 3
AFFINE = 1  # both mjGAIN_AFFINE and mjBIAS_AFFINE
MIN_TIME_CONSTANT = 1e-15


@kernel
def moment_size(m: Model, i: int) -> int:
    """Number of degrees of freedom that actuator `i` acts on; its moment arms are the gears."""
    kind = m.jnt_type[m.actuator_trnid[i, 0]]
    return 6 if kind == FREE else (3 if kind == BALL else 1)


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
    if m.jnt_type[m.actuator_trnid[i, 0]] != BALL or m.actuator_gaintype[i] == AFFINE:
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
    j = m.actuator_trnid[i, 0]
    a, v, kind = m.jnt_qposadr[j], m.jnt_dofadr[j], m.jnt_type[j]
    length, velocity = 0.0, 0.0
    if kind == BALL:
        phi = quat_log(quat_normalize((d.qpos[a], d.qpos[a + 1], d.qpos[a + 2], d.qpos[a + 3])))
        for r in range(3):
            length += m.actuator_gear[i, r] * phi[r]
    elif kind != FREE:
        length = m.actuator_gear[i, 0] * d.qpos[a]
    for r in range(moment_size(m, i)):
        velocity += m.actuator_gear[i, r] * d.qvel[v + r]
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
def force_is_clamped(m: Model, d: Data, i: int) -> bool:
    """Whether the force of actuator `i` sits on its own range or its joint's total does."""
    force, j = d.actuator_force[i], m.actuator_trnid[i, 0]
    if m.actuator_forcelimited[i] and (force <= m.actuator_forcerange[i, 0] or force >= m.actuator_forcerange[i, 1]):
        return True
    if not m.jnt_actfrclimited[j] or not (m.jnt_type[j] == HINGE or m.jnt_type[j] == SLIDE):
        return False
    total = d.qfrc_actuator[m.jnt_dofadr[j]]
    return total <= m.jnt_actfrcrange[j, 0] or total >= m.jnt_actfrcrange[j, 1]


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
            if m.actuator_forcelimited[i]:
                force = min(max(force, m.actuator_forcerange[i, 0]), m.actuator_forcerange[i, 1])
        d.actuator_force[i] = force
        v = m.jnt_dofadr[m.actuator_trnid[i, 0]]
        for r in range(moment_size(m, i)):
            d.qfrc_actuator[v + r] += m.actuator_gear[i, r] * force
    for j in range(m.njnt):
        if m.jnt_actfrclimited[j] and (m.jnt_type[j] == HINGE or m.jnt_type[j] == SLIDE):
            v = m.jnt_dofadr[j]
            low, high = m.jnt_actfrcrange[j, 0], m.jnt_actfrcrange[j, 1]
            d.qfrc_actuator[v] = min(max(d.qfrc_actuator[v], low), high)


@kernel
def _activation_rate(m: Model, d: Data, i: int) -> None:
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
def _force_adj(m: Model, d: Data, w: Lanes, i: int, implicit_time: float) -> None:
    j = m.actuator_trnid[i, 0]
    a, v, size = m.jnt_qposadr[j], m.jnt_dofadr[j], moment_size(m, i)
    shift = 0.0
    for r in range(size):
        shift += m.actuator_gear[i, r] * d.qacc[v + r]
    by_input = _gain(m, i, d.actuator_length[i], d.actuator_velocity[i] + implicit_time * shift)
    by_length, by_velocity = force_slopes(m, i, actuator_input(m, d, i))
    passes_ctrl = m.actuator_actadr[i] < 0 and not _ctrl_is_clamped(m, d, i)
    for k in range(w.nlane):
        force_adj = 0.0
        for r in range(size):
            force_adj += m.actuator_gear[i, r] * w.qfrc_adj[v + r, k]
        if m.actuator_actadr[i] >= 0:
            w.act_adj[m.actuator_actadr[i], k] += by_input * force_adj
        elif passes_ctrl:
            w.ctrl_adj[i, k] += by_input * force_adj
        for r in range(size):
            w.qvel_adj[v + r, k] += by_velocity * m.actuator_gear[i, r] * force_adj
        if size == 1:
            w.qpos_adj[v, k] += by_length * m.actuator_gear[i, 0] * force_adj
        elif size == 3:
            phi = quat_log(quat_normalize((d.qpos[a], d.qpos[a + 1], d.qpos[a + 2], d.qpos[a + 3])))
            gear = (m.actuator_gear[i, 0], m.actuator_gear[i, 1], m.actuator_gear[i, 2])
            slope = right_jacobian_inv_t(phi, gear)
            for r in range(3):
                w.qpos_adj[v + r, k] += by_length * force_adj * slope[r]

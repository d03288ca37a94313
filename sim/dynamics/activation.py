"""Inputs of actuators: controls, and activations with their rates, steps and adjoint (mj_fwdActuation)."""

import math

from ..kernels.enums import DYN_FILTEREXACT, DYN_INTEGRATOR, DYN_MUSCLE
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.spatial import lanes_axpy
from ..model.data import Data, Lanes
from ..model.model import Model
from .circle import turn_length, whole_turns
from .muscle import muscle_rate, muscle_rate_parameters_adj

MIN_TIME_CONSTANT = 1e-15


@kernel
def clamped_ctrl(m: Model, d: Data, i: int) -> float:
    """Control of actuator `i` inside its range."""
    u = d.ctrl[i]
    if m.actuator_ctrllimited[i]:
        u = min(max(u, m.actuator_ctrlrange[i, 0]), m.actuator_ctrlrange[i, 1])
    return u


@kernel
def ctrl_is_clamped(m: Model, d: Data, i: int) -> bool:
    u = d.ctrl[i]
    return m.actuator_ctrllimited[i] and (u < m.actuator_ctrlrange[i, 0] or u > m.actuator_ctrlrange[i, 1])


@kernel
def actuator_input(m: Model, d: Data, i: int) -> float:
    """What the gain multiplies: activation if the actuator has one, else control."""
    return activation(m, d, i) if m.actuator_actadr[i] >= 0 else clamped_ctrl(m, d, i)


@kernel
def activation(m: Model, d: Data, i: int) -> float:
    """Activation of actuator `i` that its force is of: the next one where it acts early."""
    return _next(m, d, i)[0] if m.actuator_actearly[i] else d.act[m.actuator_actadr[i]]


@kernel
def present_activation(m: Model, d: Data, i: int) -> float:
    """The same where none acts early."""
    return d.act[m.actuator_actadr[i]]


@kernel
def _next(m: Model, d: Data, i: int) -> tuple[float, bool]:
    """The next activation, off the circle, and whether it is inside its range."""
    a = m.actuator_actadr[i]
    value, low, high = (
        d.act[a] + activation_step(m, i) * d.act_dot[a],
        m.actuator_actrange[i, 0],
        m.actuator_actrange[i, 1],
    )
    if m.actuator_actlimited[i] and not (low <= value <= high):
        return min(max(value, low), high), False
    return value, True


@kernel
def activation_adj(m: Model, d: Data, w: Lanes, i: int, s: float, x: Floats, v: int) -> None:
    """Add s x[v] to the cotangent of what `activation` gives; before `activation_rate_adj` if it acts early."""
    if m.actuator_actearly[i]:
        if not _next(m, d, i)[1]:
            return
        lanes_axpy(w.actdot_adj, m.actuator_actadr[i], s * activation_step(m, i), x, v)
        if w.with_params:
            step_parameter_adj(m, w, i, s * x[v, 0] * d.act_dot[m.actuator_actadr[i]])
    present_activation_adj(m, d, w, i, s, x, v)


@kernel
def present_activation_adj(m: Model, _: Data, w: Lanes, i: int, s: float, x: Floats, v: int) -> None:
    """The same where none acts early."""
    lanes_axpy(w.act_adj, m.actuator_actadr[i], s, x, v)


@kernel
def activation_rate(m: Model, d: Data, i: int) -> None:
    """Fill act_dot of actuator `i`, if it has an activation."""
    a = m.actuator_actadr[i]
    if m.actuator_dyntype[i] == DYN_MUSCLE and a >= 0 and m.actuator_enabled[i]:
        d.act_dot[a] = muscle_rate(m, i, d.act[a], clamped_ctrl(m, d, i))[0]
    else:
        linear_activation_rate(m, d, i)


@kernel
def linear_activation_rate(m: Model, d: Data, i: int) -> None:
    """The same of integrators and filters."""
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
def step_parameter_adj(m: Model, w: Lanes, i: int, step_adj: float) -> None:
    """Add to dynprm_adj from the cotangent of `activation_step`."""
    tau = m.actuator_dynprm[i, 0]
    if m.actuator_dyntype[i] == DYN_FILTEREXACT and tau > MIN_TIME_CONSTANT:
        share = m.timestep / tau
        w.actuator_dynprm_adj[i, 0] += step_adj * (1.0 - (1.0 + share) * math.exp(-share))


@kernel
def activation_rate_adj(m: Model, d: Data, w: Lanes, i: int) -> None:
    """Add the derivative of actdot_adj . act_dot to act_adj, ctrl_adj."""
    a = m.actuator_actadr[i]
    if m.actuator_dyntype[i] != DYN_MUSCLE or a < 0:
        linear_activation_rate_adj(m, d, w, i)
        return
    _, by_act, by_ctrl = muscle_rate(m, i, d.act[a], clamped_ctrl(m, d, i))
    if w.with_params:
        muscle_rate_parameters_adj(m, w, i, d.act[a], clamped_ctrl(m, d, i), w.actdot_adj[a, 0])
    passes = not ctrl_is_clamped(m, d, i)
    for k in range(w.nlane):
        w.act_adj[a, k] += by_act * w.actdot_adj[a, k]
        if passes:
            w.ctrl_adj[i, k] += by_ctrl * w.actdot_adj[a, k]


@kernel
def linear_activation_rate_adj(m: Model, d: Data, w: Lanes, i: int) -> None:
    """The same of integrators and filters."""
    a = m.actuator_actadr[i]
    if a < 0:
        return
    rate = 1.0
    if m.actuator_dyntype[i] != DYN_INTEGRATOR:
        rate = 1.0 / max(m.actuator_dynprm[i, 0], MIN_TIME_CONSTANT)
        if w.with_params and m.actuator_dynprm[i, 0] > MIN_TIME_CONSTANT:
            w.actuator_dynprm_adj[i, 0] -= rate * d.act_dot[a] * w.actdot_adj[a, 0]
        for k in range(w.nlane):
            w.act_adj[a, k] -= rate * w.actdot_adj[a, k]
    if not ctrl_is_clamped(m, d, i):
        for k in range(w.nlane):
            w.ctrl_adj[i, k] += rate * w.actdot_adj[a, k]

"""Muscles: force by length and velocity, activation dynamics, and their derivatives.

MuJoCo documentation, Modeling, "Muscles" (mju_muscleGain, mju_muscleBias, mju_muscleDynamics); the
time constants are those of Millard et al. (2013). With the length L and the velocity V in units of
the optimal length,

    force = -F (FL(L) FV(V) activation + fpmax FP(L)),

FL, FV and FP of quadratic pieces: the first derivatives have kinks, the second ones jump.
Parameters, of gain and of bias: range[2], force, scale, lmin, lmax, vmax, fpmax, fvmax.
"""

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..model.data import Data, Lanes
from ..model.model import Model

MINVAL = 1e-15


@kernel
def _peak_force(m: Model, i: int, p: Floats) -> float:
    return p[2] if p[2] >= 0.0 else p[3] / max(MINVAL, m.actuator_acc0[i])


@kernel
def _optimal_length(m: Model, i: int, p: Floats) -> float:
    span = m.actuator_lengthrange[i, 1] - m.actuator_lengthrange[i, 0]
    return max(MINVAL, span / max(MINVAL, p[1] - p[0]))


@kernel
def _scaled_length(m: Model, i: int, p: Floats, length: float) -> float:
    return p[0] + (length - m.actuator_lengthrange[i, 0]) / _optimal_length(m, i, p)


@kernel
def _velocity_unit(m: Model, i: int, p: Floats) -> float:
    return max(MINVAL, _optimal_length(m, i, p) * p[6])


@kernel
def _active_length(x: float, low: float, high: float) -> tuple[float, float, float, float]:
    """FL at the scaled length `x`; its derivatives by x, lmin and lmax."""
    if x < low or x > high:
        return 0.0, 0.0, 0.0, 0.0
    left, right = max(MINVAL, 0.5 * (1.0 - low)), max(MINVAL, 0.5 * (high - 1.0))  # half of each side
    if x <= 0.5 * (low + 1.0):
        y = (x - low) / left
        return 0.5 * y * y, y / left, -0.5 * y * (1.0 - x) / (left * left), 0.0
    if x <= 1.0:
        y = (1.0 - x) / left
        return 1.0 - 0.5 * y * y, y / left, -0.5 * y * y / left, 0.0
    if x <= 0.5 * (1.0 + high):
        y = (x - 1.0) / right
        return 1.0 - 0.5 * y * y, -y / right, 0.0, 0.5 * y * y / right
    y = (high - x) / right
    return 0.5 * y * y, -y / right, 0.0, 0.5 * y * (x - 1.0) / (right * right)


@kernel
def _active_velocity(x: float, most: float) -> tuple[float, float, float]:
    """FV at the scaled velocity `x`, and its first two derivatives."""
    y = most - 1.0
    if x <= -1.0:
        return 0.0, 0.0, 0.0
    if x <= 0.0:
        return (x + 1.0) * (x + 1.0), 2.0 * (x + 1.0), 2.0
    if x <= y:
        return most - (y - x) * (y - x) / max(MINVAL, y), 2.0 * (y - x) / max(MINVAL, y), -2.0 / max(MINVAL, y)
    return most, 0.0, 0.0


@kernel
def _passive_length(x: float, high: float) -> tuple[float, float, float]:
    """FP at the scaled length `x`; its derivatives by x and lmax."""
    half = max(MINVAL, 0.5 * (high - 1.0))
    y = (x - 1.0) / half
    if y <= 0.0:
        return 0.0, 0.0, 0.0
    if y <= 1.0:
        return 0.5 * y * y, y / half, -0.5 * y * y / half
    return y - 0.5, 1.0 / half, -0.5 * y / half


@kernel
def muscle_gain(m: Model, i: int, length: float, velocity: float) -> float:
    p = m.actuator_gainprm[i]
    by_length = _active_length(_scaled_length(m, i, p, length), p[4], p[5])[0]
    return -_peak_force(m, i, p) * by_length * _active_velocity(velocity / _velocity_unit(m, i, p), p[8])[0]


@kernel
def muscle_bias(m: Model, i: int, length: float) -> float:
    p = m.actuator_biasprm[i]
    return -_peak_force(m, i, p) * p[7] * _passive_length(_scaled_length(m, i, p, length), p[5])[0]


@kernel
def _gain_curves(
    m: Model, d: Data, i: int
) -> tuple[tuple[float, float, float, float], tuple[float, float, float], float]:
    """FL and FV with their derivatives, and the unit of velocities."""
    p = m.actuator_gainprm[i]
    unit = _velocity_unit(m, i, p)
    length = _active_length(_scaled_length(m, i, p, d.actuator_length[i]), p[4], p[5])
    return length, _active_velocity(d.actuator_velocity[i] / unit, p[8]), unit


@kernel
def muscle_gain_slopes(m: Model, d: Data, i: int) -> tuple[float, float]:
    """Derivative of the gain by length and by velocity."""
    p = m.actuator_gainprm[i]
    length, velocity, unit = _gain_curves(m, d, i)
    force = -_peak_force(m, i, p)
    return force * length[1] / _optimal_length(m, i, p) * velocity[0], force * length[0] * velocity[1] / unit


@kernel
def muscle_rate_slopes(m: Model, d: Data, i: int) -> tuple[float, float]:
    """Derivative of the gain's derivative by velocity, by length and by velocity."""
    p = m.actuator_gainprm[i]
    length, velocity, unit = _gain_curves(m, d, i)
    force = -_peak_force(m, i, p) / unit
    return force * length[1] / _optimal_length(m, i, p) * velocity[1], force * length[0] * velocity[2] / unit


@kernel
def muscle_bias_slope(m: Model, d: Data, i: int) -> float:
    """Derivative of the bias by length."""
    p = m.actuator_biasprm[i]
    slope = _passive_length(_scaled_length(m, i, p, d.actuator_length[i]), p[5])[1]
    return -_peak_force(m, i, p) * p[7] * slope / _optimal_length(m, i, p)


@kernel
def muscle_bias_parameters_adj(m: Model, d: Data, w: Lanes, i: int, bias_adj: float) -> None:
    """Add to biasprm_adj from the cotangent of the bias."""
    p, out = m.actuator_biasprm[i], w.actuator_biasprm_adj[i]
    value, by_length, by_high = _passive_length(_scaled_length(m, i, p, d.actuator_length[i]), p[5])
    force = -_peak_force(m, i, p) * bias_adj
    _scale_adj(m, i, p, out, -bias_adj * p[7] * value)
    _range_adj(m, d, w, i, p, out, force * p[7] * by_length)
    out[5] += force * p[7] * by_high
    out[7] += force * value


@kernel
def _scale_adj(m: Model, i: int, p: Floats, out: Floats, force_adj: float) -> None:
    """The peak force is the parameter, or if that is negative follows from the scale."""
    if p[2] >= 0.0:
        out[2] += force_adj
    else:
        out[3] += force_adj / max(MINVAL, m.actuator_acc0[i])


@kernel
def _range_adj(m: Model, d: Data, w: Lanes, i: int, p: Floats, out: Floats, length_adj: float) -> None:
    """The ranges set where the scaled length starts and its unit."""
    low, high = m.actuator_lengthrange[i, 0], m.actuator_lengthrange[i, 1]
    share = (d.actuator_length[i] - low) / max(MINVAL, high - low)
    out[0] += length_adj * (1.0 - share)
    out[1] += length_adj * share
    by_end = length_adj * (p[1] - p[0]) / max(MINVAL, high - low)
    w.actuator_lengthrange_adj[i, 0] -= by_end * (1.0 - share)
    w.actuator_lengthrange_adj[i, 1] -= by_end * share


@kernel
def muscle_gain_parameters_adj(m: Model, d: Data, w: Lanes, i: int, gain_adj: float, rate_adj: float) -> None:
    """Add to gainprm_adj from the cotangents of the gain and of its derivative by velocity."""
    p, out = m.actuator_gainprm[i], w.actuator_gainprm_adj[i]
    length, velocity, unit = _gain_curves(m, d, i)
    force = -_peak_force(m, i, p)
    by_force = length[0] * (gain_adj * velocity[0] + rate_adj * velocity[1] / unit)
    by_length = force * (gain_adj * velocity[0] + rate_adj * velocity[1] / unit)
    # by the inverse of the unit, which both multiply
    by_scale = force * length[0] * (gain_adj * velocity[1] + rate_adj * velocity[2] / unit) * d.actuator_velocity[i]
    by_scale += force * length[0] * rate_adj * velocity[1]
    _scale_adj(m, i, p, out, -by_force)
    _range_adj(m, d, w, i, p, out, by_length * length[1])
    by_span = by_scale / (unit * max(MINVAL, m.actuator_lengthrange[i, 1] - m.actuator_lengthrange[i, 0]))
    w.actuator_lengthrange_adj[i, 0] += by_span
    w.actuator_lengthrange_adj[i, 1] -= by_span
    out[0] -= by_scale / (unit * max(MINVAL, p[1] - p[0]))
    out[1] += by_scale / (unit * max(MINVAL, p[1] - p[0]))
    out[4] += by_length * length[2]
    out[5] += by_length * length[3]
    out[6] -= by_scale / (unit * p[6])
    x, y = d.actuator_velocity[i] / unit, p[8] - 1.0
    if x > y:
        out[8] += force * length[0] * gain_adj
    elif x > 0.0:
        by_most = gain_adj * x * x / (y * y) + rate_adj * 2.0 * x / (y * y * unit)
        out[8] += force * length[0] * by_most


@kernel
def muscle_rate(m: Model, i: int, act: float, ctrl: float) -> tuple[float, float, float]:
    """Rate of the activation, between those of rise and decay; its derivatives by activation and control."""
    p = m.actuator_dynprm
    excess, slow = min(max(ctrl, 0.0), 1.0) - act, 0.5 + 1.5 * min(max(act, 0.0), 1.0)
    rise, decay, width = p[i, 0] * slow, p[i, 1] / slow, p[i, 2]
    share, by_excess = 1.0 if excess > 0.0 else 0.0, 0.0
    if width >= MINVAL:
        x = min(max(excess / width + 0.5, 0.0), 1.0)  # a sigmoid from decay to rise
        share = x * x * x * (3.0 * x * (2.0 * x - 5.0) + 10.0)
        by_excess = (rise - decay) * 30.0 * x * x * (1.0 - x) * (1.0 - x) / width
    by_slow = 1.5 * (share * p[i, 0] - (1.0 - share) * decay / slow) if 0.0 <= act <= 1.0 else 0.0
    tau = decay + (rise - decay) * share
    if tau <= MINVAL:
        tau, by_excess, by_slow = MINVAL, 0.0, 0.0
    rate = (1.0 - excess / tau * by_excess) / tau
    return excess / tau, -rate - excess / (tau * tau) * by_slow, rate if 0.0 <= ctrl <= 1.0 else 0.0


@kernel
def muscle_rate_parameters_adj(m: Model, w: Lanes, i: int, act: float, ctrl: float, rate_adj: float) -> None:
    """Add to dynprm_adj: time constants of rise and decay, and the width of the change between them."""
    p, out = m.actuator_dynprm, w.actuator_dynprm_adj
    excess, slow = min(max(ctrl, 0.0), 1.0) - act, 0.5 + 1.5 * min(max(act, 0.0), 1.0)
    rise, decay, width = p[i, 0] * slow, p[i, 1] / slow, p[i, 2]
    share, by_width = 1.0 if excess > 0.0 else 0.0, 0.0
    if width >= MINVAL:
        x = min(max(excess / width + 0.5, 0.0), 1.0)
        share = x * x * x * (3.0 * x * (2.0 * x - 5.0) + 10.0)
        by_width = -(rise - decay) * 30.0 * x * x * (1.0 - x) * (1.0 - x) * excess / (width * width)
    tau = decay + (rise - decay) * share
    if tau > MINVAL:
        by_tau = -rate_adj * excess / (tau * tau)
        out[i, 0] += by_tau * share * slow
        out[i, 1] += by_tau * (1.0 - share) / slow
        out[i, 2] += by_tau * by_width

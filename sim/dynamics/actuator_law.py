"""How hard an actuator pulls: gain and bias as functions of its length and velocity, and what derivatives need.

force = gain * input + bias. Both are constant, affine or a muscle's; a model without muscles takes the
functions named affine (`pipeline/parts.py`).
"""

from ..kernels.enums import AFFINE, FIXED, MUSCLE
from ..kernels.jit import kernel
from ..model.data import Data, Lanes
from ..model.model import Model
from .muscle import (
    muscle_bias,
    muscle_bias_parameters_adj,
    muscle_bias_slope,
    muscle_gain,
    muscle_gain_parameters_adj,
    muscle_gain_slopes,
    muscle_rate_slopes,
)


@kernel
def actuator_gain(m: Model, i: int, length: float, velocity: float) -> float:
    """What the input of actuator `i` is multiplied by."""
    if m.actuator_gaintype[i] == MUSCLE:
        return muscle_gain(m, i, length, velocity)
    return affine_gain(m, i, length, velocity)


@kernel
def affine_gain(m: Model, i: int, length: float, velocity: float) -> float:
    p = m.actuator_gainprm
    if m.actuator_gaintype[i] == AFFINE:
        return p[i, 0] + p[i, 1] * length + p[i, 2] * velocity
    return p[i, 0]


@kernel
def actuator_bias(m: Model, i: int, length: float, velocity: float) -> float:
    """Force of actuator `i` without input."""
    if m.actuator_biastype[i] == MUSCLE:
        return muscle_bias(m, i, length)
    return affine_bias(m, i, length, velocity)


@kernel
def affine_bias(m: Model, i: int, length: float, velocity: float) -> float:
    p = m.actuator_biasprm
    if m.actuator_biastype[i] == AFFINE:
        return p[i, 0] + p[i, 1] * length + p[i, 2] * velocity
    return 0.0


@kernel
def force_slopes(m: Model, d: Data, i: int, value: float) -> tuple[float, float]:
    """Derivative of the force by length and by velocity, at input `value`."""
    length, velocity = affine_slopes(m, d, i, value)
    if m.actuator_gaintype[i] == MUSCLE:
        by_length, by_velocity = muscle_gain_slopes(m, d, i)
        length += by_length * value
        velocity += by_velocity * value
    if m.actuator_biastype[i] == MUSCLE:
        length += muscle_bias_slope(m, d, i)
    return length, velocity


@kernel
def affine_slopes(m: Model, _: Data, i: int, value: float) -> tuple[float, float]:
    length, velocity = 0.0, 0.0
    if m.actuator_gaintype[i] == AFFINE:
        length += m.actuator_gainprm[i, 1] * value
        velocity += m.actuator_gainprm[i, 2] * value
    if m.actuator_biastype[i] == AFFINE:
        length += m.actuator_biasprm[i, 1]
        velocity += m.actuator_biasprm[i, 2]
    return length, velocity


@kernel
def gain_rate(m: Model, d: Data, i: int) -> float:
    """Derivative of the gain by velocity."""
    return muscle_gain_slopes(m, d, i)[1] if m.actuator_gaintype[i] == MUSCLE else affine_gain_rate(m, d, i)


@kernel
def affine_gain_rate(m: Model, _: Data, i: int) -> float:
    return m.actuator_gainprm[i, 2] if m.actuator_gaintype[i] == AFFINE else 0.0


@kernel
def slope_changes(m: Model, d: Data, i: int, value: float) -> tuple[float, float]:
    """Derivative of the velocity slope by length and by velocity, at input `value`."""
    if m.actuator_gaintype[i] != MUSCLE:
        return 0.0, 0.0
    by_length, by_velocity = muscle_rate_slopes(m, d, i)
    return value * by_length, value * by_velocity


@kernel
def affine_slope_changes(_m: Model, _d: Data, _i: int, _value: float) -> tuple[float, float]:
    return 0.0, 0.0


@kernel
def law_parameters_adj(m: Model, d: Data, w: Lanes, i: int, value: float, force_adj: float, slope_adj: float) -> None:
    """Add to gainprm_adj, biasprm_adj from the cotangents of the force and of its velocity slope, at input `value`."""
    affine_parameters_adj(m, d, w, i, value, force_adj, slope_adj)
    if m.actuator_gaintype[i] == MUSCLE:
        muscle_gain_parameters_adj(m, d, w, i, value * force_adj, value * slope_adj)
    if m.actuator_biastype[i] == MUSCLE:
        muscle_bias_parameters_adj(m, d, w, i, force_adj)


@kernel
def affine_parameters_adj(
    m: Model, d: Data, w: Lanes, i: int, value: float, force_adj: float, slope_adj: float
) -> None:
    by_powers = (force_adj, force_adj * d.actuator_length[i], force_adj * d.actuator_velocity[i] + slope_adj)
    for r in range(3):
        if m.actuator_gaintype[i] == AFFINE or (m.actuator_gaintype[i] == FIXED and r == 0):
            w.actuator_gainprm_adj[i, r] += value * by_powers[r]
        if m.actuator_biastype[i] == AFFINE:
            w.actuator_biasprm_adj[i, r] += by_powers[r]

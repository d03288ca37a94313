"""Actuators that live on a circle: how long a whole turn is, and how many of them lie in a distance."""

import math

from ..kernels.enums import AFFINE, FIXED
from ..kernels.jit import kernel
from ..model.model import Model


@kernel
def turn_length(m: Model, i: int) -> float:
    """Length of a whole turn for an actuator that lives on a circle, 0 for the others.

    MuJoCo reads setpoint and activation of a servo (fixed gain, bias with the opposite slope) on a
    purely rotational transmission, a ball joint or two sites, on the circle.
    """
    c = m.actuator_turngear[i]
    if c < 0 or m.actuator_gaintype[i] != FIXED:
        return 0.0
    if m.actuator_biastype[i] != AFFINE or m.actuator_biasprm[i, 1] != -m.actuator_gainprm[i, 0]:
        return 0.0
    g = m.actuator_gear
    return 2.0 * math.pi * math.sqrt(g[i, c] * g[i, c] + g[i, c + 1] * g[i, c + 1] + g[i, c + 2] * g[i, c + 2])


@kernel
def whole_turns(m: Model, i: int, distance: float) -> float:
    """How many whole turns of actuator `i` are nearest to `distance`; 0 off the circle."""
    turn = turn_length(m, i)
    return float(round(distance / turn)) if turn > 0.0 else 0.0


@kernel
def turn_length_slope(m: Model, i: int, r: int) -> float:
    """Derivative of `turn_length` by gear `r`."""
    turn, c = turn_length(m, i), m.actuator_turngear[i]
    return 4.0 * math.pi * math.pi * m.actuator_gear[i, r] / turn if turn > 0.0 and c <= r < c + 3 else 0.0

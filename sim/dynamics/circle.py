"""Actuators that live on a circle: how long a whole turn is, and how many of them lie in a distance."""

import math

from ..kernels.enums import AFFINE, BALL, FIXED, HINGE, TRN_TENDON
from ..kernels.jit import kernel
from ..model.model import Model


@kernel
def joint_type(m: Model, i: int) -> int:
    """Type of the joint that actuator `i` acts on; of any of the scalar joints of a tendon, HINGE."""
    return HINGE if m.actuator_trntype[i] == TRN_TENDON else m.jnt_type[m.actuator_trnid[i, 0]]


@kernel
def turn_length(m: Model, i: int) -> float:
    """Length of a whole turn for an actuator that lives on a circle, 0 for the others.

    MuJoCo reads setpoint and activation of a servo (fixed gain, bias with the opposite slope) on a
    purely rotational transmission, here a ball joint, on the circle.
    """
    if joint_type(m, i) != BALL or m.actuator_gaintype[i] != FIXED:
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

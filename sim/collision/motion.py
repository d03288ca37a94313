"""What a contact's geometry owes to its bodies: rates of distance, position and normal.

Turning and moving both bodies together carries the contact along, so only the motion of the
second body relative to the first matters. `con_motion` of one contact has rows distance, position
(3), normal (3), and columns for that motion: angular velocity (3), and velocity of the second
body's point at the contact's position (3), world axes, the first body at rest.
"""

import math

from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, scale3, sub3
from ..model.data import Data


@kernel
def unit_twist(i: int) -> tuple[Vec3, Vec3]:
    """Motion of column `i`: angular velocity, and velocity of the point at the contact."""
    x, y, z = 1.0 if i % 3 == 0 else 0.0, 1.0 if i % 3 == 1 else 0.0, 1.0 if i % 3 == 2 else 0.0
    if i < 3:
        return (x, y, z), (0.0, 0.0, 0.0)
    return (0.0, 0.0, 0.0), (x, y, z)


@kernel
def point_rate(turn: Vec3, shift: Vec3, arm: Vec3) -> Vec3:
    """Velocity of the second body's point at `arm` from the contact's position."""
    return add3(shift, cross3(turn, arm))


@kernel
def store_motion(d: Data, i: int, dist: float, pos: Vec3, normal: Vec3) -> None:
    """Column `i` of con_motion: rates of distance, position, normal."""
    d.con_motion[0, i] = dist
    for r in range(3):
        d.con_motion[1 + r, i] = pos[r]
        d.con_motion[4 + r, i] = normal[r]


@kernel
def store_seen_from_second(
    d: Data, i: int, turn: Vec3, shift: Vec3, normal: Vec3, dist: float, pos: Vec3, tilt: Vec3
) -> None:
    """Column `i` from the rates of distance, position, normal that the second body sees, itself at rest."""
    store_motion(d, i, dist, add3(shift, pos), add3(cross3(turn, normal), tilt))


@kernel
def plane_point_rates(normal: Vec3, rate: Vec3) -> tuple[float, Vec3, Vec3]:
    """Rates of distance, position, normal of a contact of a resting plane and a point that moves by `rate`."""
    by_dist = dot3(normal, rate)
    return by_dist, sub3(rate, scale3(0.5 * by_dist, normal)), (0.0, 0.0, 0.0)


@kernel
def ball_tilt(normal: Vec3, rate1: Vec3, rate2: Vec3, length: float) -> Vec3:
    """Rate of the normal of two balls whose centres, `length` apart, move by `rate1` and `rate2`; 0: it stays."""
    apart = sub3(rate2, rate1)
    return scale3(1.0 / length if length > 1e-12 else 0.0, sub3(apart, scale3(dot3(normal, apart), normal)))


@kernel
def cross_tilt(normal: Vec3, axis1: Vec3, axis2: Vec3, rate1: Vec3, rate2: Vec3) -> Vec3:
    """Rate of a normal that is perpendicular to two axes, which turn; none if these are parallel."""
    across = cross3(axis1, axis2)
    sine = math.sqrt(dot3(across, across))
    if sine < 1e-12:
        return 0.0, 0.0, 0.0
    sine = sine if dot3(across, normal) > 0.0 else -sine
    tilt = scale3(1.0 / sine, add3(cross3(rate1, axis2), cross3(axis1, rate2)))
    return sub3(tilt, scale3(dot3(normal, tilt), normal))


@kernel
def balls_rates(normal: Vec3, rate1: Vec3, rate2: Vec3, tilt: Vec3, radius1: float, dist: float) -> tuple[float, Vec3]:
    """Rates of distance and position of two balls, from those of their centres and of the normal."""
    by_dist = dot3(normal, sub3(rate2, rate1))
    return by_dist, add3(rate1, add3(scale3(0.5 * by_dist, normal), scale3(radius1 + 0.5 * dist, tilt)))

"""What a contact's geometry owes to its bodies: rates of distance, position and normal.

Turning and moving both bodies together carries the contact along, so only the motion of the
second body relative to the first matters. `con_motion` of one contact has rows distance, position
(3), normal (3), and columns for that motion: angular velocity (3), and velocity of the second
body's point at the contact's position (3), world axes, the first body at rest.
"""

from .._jit import kernel
from ..data import Data
from ..rotation import Vec3, add3, cross3


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

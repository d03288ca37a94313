"""A contact and its frame: the normal, and two tangents completed from a hint (mju_makeFrame)."""

import math

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, cross3, dot3, scale3, sub3
from ..model.data import Data

FROM_WORLD, FOLLOWS_AXIS, HELD = 0, 1, 2  # con_hint: what the first tangent does when the geoms turn
UPRIGHT = 1e-5  # sine of an axis to the normal below which its direction across is held: it may turn anywhere


@kernel
def tangent_hint(normal: Vec3) -> Vec3:
    """The axis that the first tangent starts from when geometry suggests none."""
    if -0.5 < normal[1] < 0.5:
        return 0.0, 1.0, 0.0
    return 0.0, 0.0, 1.0


@kernel
def add_contact(d: Data, pair: int, dist: float, pos: Vec3, normal: Vec3) -> None:
    """Append a contact whose first tangent is a world axis made orthogonal."""
    hint = tangent_hint(normal)
    y = sub3(hint, scale3(dot3(normal, hint), normal))
    _append(d, pair, dist, pos, normal, scale3(1.0 / math.sqrt(dot3(y, y)), y), FROM_WORLD)


@kernel
def add_contact_lengthwise(d: Data, pair: int, dist: float, pos: Vec3, normal: Vec3, axis: Vec3) -> None:
    """Append a contact whose first tangent is along geom 2's z axis, `axis`.

    If that is the normal, the first tangent is the world's x axis, across the normal or not, as in MuJoCo.
    """
    across = sub3(axis, scale3(dot3(normal, axis), normal))
    y, sine = unit_or_x(across)
    _append(d, pair, dist, pos, normal, y, FOLLOWS_AXIS if sine > UPRIGHT else HELD)


@kernel
def _append(d: Data, pair: int, dist: float, pos: Vec3, normal: Vec3, y: Vec3, hint: int) -> None:
    c = d.ncon[0]
    d.ncon[0] = c + 1
    d.con_pair[c], d.con_dist[c], d.con_hint[c] = pair, dist, hint
    z = cross3(normal, y)
    for i in range(3):
        d.con_pos[c, i] = pos[i]
        d.con_frame[c, i], d.con_frame[c, 3 + i], d.con_frame[c, 6 + i] = normal[i], y[i], z[i]


@kernel
def row3(a: Floats, i: int, r: int) -> Vec3:
    """Row `r` of the 3 x 3 matrix stored in a[i]."""
    return a[i, 3 * r], a[i, 3 * r + 1], a[i, 3 * r + 2]


@kernel
def column3(a: Floats, i: int, c: int) -> Vec3:
    """Column `c` of the 3 x 3 matrix stored in a[i]."""
    return a[i, c], a[i, 3 + c], a[i, 6 + c]


@kernel
def unit_or_x(v: Vec3) -> tuple[Vec3, float]:
    """Direction and length of `v`; (1, 0, 0) when it has none."""
    length = math.sqrt(dot3(v, v))
    if length < 1e-15:
        return (1.0, 0.0, 0.0), 0.0
    return scale3(1.0 / length, v), length


@kernel
def unit_or_cross(v: Vec3, axis1: Vec3, axis2: Vec3) -> tuple[Vec3, float]:
    """Direction and length of `v`; when it has none, the normal to both axes, or else (1, 0, 0)."""
    normal, length = unit_or_x(v)
    if length == 0.0:
        normal = unit_or_x(cross3(axis1, axis2))[0]
    return normal, length

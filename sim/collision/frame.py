"""The frame of a contact: its normal, and two tangents completed from a hint (mju_makeFrame)."""

import math

from .._jit import kernel
from .._record import Floats
from ..rotation import Vec3, add3, cross3, dot3, scale3, sub3


@kernel
def tangent_hint(normal: Vec3) -> Vec3:
    """The axis that the first tangent starts from when geometry suggests none."""
    if -0.5 < normal[1] < 0.5:
        return 0.0, 1.0, 0.0
    return 0.0, 0.0, 1.0


@kernel
def store_frame(frame: Floats, c: int, normal: Vec3, hint: Vec3) -> None:
    """Rows normal, tangent, tangent of frame[c]; the first tangent is `hint` made orthogonal."""
    y = sub3(hint, scale3(dot3(normal, hint), normal))
    y = scale3(1.0 / math.sqrt(dot3(y, y)), y)
    z = cross3(normal, y)
    for i in range(3):
        frame[c, i] = normal[i]
        frame[c, 3 + i] = y[i]
        frame[c, 6 + i] = z[i]


@kernel
def frame_adj(normal: Vec3, hint: Vec3, x_adj: Vec3, y_adj: Vec3, z_adj: Vec3) -> tuple[Vec3, Vec3]:
    """Cotangents of the three rows to those of normal and hint."""
    raw = sub3(hint, scale3(dot3(normal, hint), normal))
    length = math.sqrt(dot3(raw, raw))
    y = scale3(1.0 / length, raw)
    normal_adj = add3(x_adj, cross3(y, z_adj))  # z = normal x y
    y_adj = add3(y_adj, cross3(z_adj, normal))
    raw_adj = scale3(1.0 / length, sub3(y_adj, scale3(dot3(y, y_adj), y)))
    along = dot3(normal, hint)
    across = dot3(normal, raw_adj)
    normal_adj = sub3(normal_adj, add3(scale3(along, raw_adj), scale3(across, hint)))
    return normal_adj, sub3(raw_adj, scale3(across, normal))


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

"""The linear system of two points on two surfaces that share a normal.

At nearest or deepest points x2 - x1 = dist n, and each geom ties the tangential motions a of its
point and v of the normal: M a = B v, with the outward normal n, 2 x 2 across it. A vertex with
radius r has M = 1, B = r; a face M = 0, B = 1; an edge is a face along its direction, a vertex
across; a curved surface has M = 1 and the Hessian of its support function for B. Unknowns are the
motion of x1 and that of the normal; x2 moves by their sum, a + dist v.
"""

import math

from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, cross3, dot3, scale3
from ..model.data import Data
from ..model.model import Model
from .curved import CURVE, EDGE, FACE, VERTEX, curvature


@kernel
def feature_rows(
    m: Model, d: Data, g: int, row: int, kind: int, r: float, edge: Vec3, normal: Vec3, sign: float, dist: float
) -> None:
    """Two rows of con_solve, columns 0 to 3: M (a + dist v) - sign B v. M and -sign B also go to columns 10 to 13.

    `normal` is that of the contact, outward if `sign` is 1, inward if -1.
    """
    a = d.con_solve
    t1, t2 = tangents(normal)
    h11, h12, h22 = r, 0.0, r
    if kind == CURVE:
        h11, h12, h22 = curvature(m, d, g, scale3(sign, normal), t1, t2)
    for k in range(2):
        m0, m1, b0, b1 = (1.0, 0.0, h11, h12) if k == 0 else (0.0, 1.0, h12, h22)
        if kind == FACE:
            m0, m1, b0, b1 = (0.0, 0.0, 1.0, 0.0) if k == 0 else (0.0, 0.0, 0.0, 1.0)
        elif kind == EDGE:
            e0, e1 = dot3(edge, t1), dot3(edge, t2)
            m0, m1, b0, b1 = (0.0, 0.0, e0, e1) if k == 0 else (-e1, e0, -r * e1, r * e0)
        a[row + k, 0], a[row + k, 1] = m0, m1
        a[row + k, 2], a[row + k, 3] = dist * m0 - sign * b0, dist * m1 - sign * b1
        a[row + k, 10], a[row + k, 11], a[row + k, 12], a[row + k, 13] = m0, m1, -sign * b0, -sign * b1


@kernel
def compatible_features(kind1: int, kind2: int, edge1: Vec3, edge2: Vec3) -> tuple[int, int]:
    """Features flat on each other leave the point open: then one keeps its normal, the other a point."""
    if kind1 == CURVE or kind2 == CURVE:
        return kind1, kind2
    if kind1 + kind2 > 4 or (kind1 == EDGE and kind2 == EDGE and _parallel(edge1, edge2)):
        return (kind1, VERTEX) if kind1 >= kind2 else (VERTEX, kind2)
    return kind1, kind2


@kernel
def _parallel(a: Vec3, b: Vec3) -> bool:
    n = cross3(a, b)
    return dot3(n, n) < 1e-20


@kernel
def tangents(normal: Vec3) -> tuple[Vec3, Vec3]:
    """Two unit vectors across a unit normal."""
    x = (1.0, 0.0, 0.0) if abs(normal[0]) < 0.7 else (0.0, 1.0, 0.0)
    t = cross3(normal, x)
    t = scale3(1.0 / math.sqrt(dot3(t, t)), t)
    return t, cross3(normal, t)


@kernel
def eliminate(d: Data) -> None:
    """Gauss-Jordan with pivoting on the 4 x 4 system, columns 4 to 9 on the right; a free unknown becomes 0."""
    a = d.con_solve
    for k in range(4):
        best = k
        for r in range(k + 1, 4):
            if abs(a[r, k]) > abs(a[best, k]):
                best = r
        if abs(a[best, k]) < 1e-14:
            for i in range(4, 10):
                a[k, i] = 0.0
            continue
        for i in range(10):
            x = a[k, i]
            a[k, i] = a[best, i]
            a[best, i] = x
        s = 1.0 / a[k, k]
        for i in range(10):
            a[k, i] *= s
        for r in range(4):
            if r != k:
                s = a[r, k]
                for i in range(10):
                    a[r, i] -= s * a[k, i]

"""Distance of two convex cores by the algorithm of Gilbert, Johnson and Keerthi (1988).

The simplex is kept in the first rows of `ccd_vert`, the weights of its vertices that give the
point nearest to the origin in `ccd_weight`. Nearest points of a simplex: Ericson, Real-Time
Collision Detection (2005), chapter 5.1.
"""

import math

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .support import difference_support

OVERLAP, FAR = -1, -2


@kernel
def gjk(m: Model, d: Data, g1: int, g2: int, reach: float, tolerance: float) -> int:
    """Number of vertices of the nearest simplex; FAR beyond `reach`. `tolerance` is part of the size.

    At 4, or with the origin nearer than rounding, the cores overlap (ccd_gap is 0).
    """
    x = sub3(load3(d.geom_xpos, g1), load3(d.geom_xpos, g2))
    if dot3(x, x) < 1e-20:
        x = (1.0, 0.0, 0.0)
    count, size = 0, 0.0
    for _ in range(m.nccdvert):
        length = math.sqrt(dot3(x, x))
        w = difference_support(m, d, g1, g2, scale3(-1.0 / length, x), count)
        along = dot3(x, w) / length
        if along > reach:
            return FAR
        size = max(size, math.sqrt(dot3(w, w)))
        if count > 0 and length - along <= tolerance * (length + size):
            break
        if is_known(d, count):
            break
        count = _nearest(d, count + 1)
        x = _combination(d, count)
        if count == 4 or dot3(x, x) <= (1e-14 * size) ** 2:
            d.ccd_gap[0] = 0.0
            return count
    d.ccd_gap[0] = math.sqrt(dot3(x, x))
    return count


@kernel
def is_known(d: Data, count: int) -> bool:
    """Whether vertex `count` of `ccd_vert`, the newest, is one of those before it."""
    for i in range(count):
        if d.ccd_vert[i, 0, 0] == d.ccd_vert[count, 0, 0]:
            if d.ccd_vert[i, 0, 1] == d.ccd_vert[count, 0, 1] and d.ccd_vert[i, 0, 2] == d.ccd_vert[count, 0, 2]:
                return True
    return False


@kernel
def _combination(d: Data, count: int) -> Vec3:
    x = (0.0, 0.0, 0.0)
    for i in range(count):
        x = add3(x, scale3(d.ccd_weight[i], load3(d.ccd_vert[i], 0)))
    return x


@kernel
def _nearest(d: Data, count: int) -> int:
    """Drop the vertices that the point nearest to the origin does without; set weights, return how many stay."""
    s, weight = d.ccd_vert, d.ccd_weight
    for i in range(4):
        weight[i] = 0.0
    if count == 1:
        weight[0] = 1.0
    elif count == 2:
        weight[0], weight[1] = _on_segment(load3(s[0], 0), load3(s[1], 0))
    elif count == 3:
        weight[0], weight[1], weight[2] = _on_triangle(load3(s[0], 0), load3(s[1], 0), load3(s[2], 0))
    else:
        _on_tetrahedron(s, weight)
    kept = 0
    for i in range(count):
        if weight[i] > 0.0:
            weight[kept] = weight[i]
            _copy_vertex(d, i, kept)
            kept += 1
    return kept


@kernel
def _copy_vertex(d: Data, i: int, to: int) -> None:
    if i != to:
        d.ccd_id[to, 0], d.ccd_id[to, 1] = d.ccd_id[i, 0], d.ccd_id[i, 1]
        for r in range(3):
            for k in range(3):
                d.ccd_vert[to, r, k] = d.ccd_vert[i, r, k]


@kernel
def _on_segment(a: Vec3, b: Vec3) -> tuple[float, float]:
    ab = sub3(b, a)
    length = dot3(ab, ab)
    t = -dot3(a, ab) / length if length > 0.0 else 0.0
    t = min(max(t, 0.0), 1.0)
    return 1.0 - t, t


@kernel
def _on_triangle(a: Vec3, b: Vec3, c: Vec3) -> Vec3:
    """Barycentric coordinates of the triangle's point nearest the origin (Ericson 2005, section 5.1.5)."""
    ab, ac = sub3(b, a), sub3(c, a)
    d1, d2 = -dot3(ab, a), -dot3(ac, a)
    if d1 <= 0.0 and d2 <= 0.0:
        return 1.0, 0.0, 0.0
    d3, d4 = -dot3(ab, b), -dot3(ac, b)
    if d3 >= 0.0 and d4 <= d3:
        return 0.0, 1.0, 0.0
    d5, d6 = -dot3(ab, c), -dot3(ac, c)
    if d6 >= 0.0 and d5 <= d6:
        return 0.0, 0.0, 1.0
    normal = cross3(ab, ac)
    square = dot3(normal, normal)
    # barycentric coordinates by areas: differences of the products d1 ... d6 would cancel
    wa, wb, wc = dot3(normal, cross3(b, c)), dot3(normal, cross3(c, a)), dot3(normal, cross3(a, b))
    if wc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        t = d1 / (d1 - d3)
        return 1.0 - t, t, 0.0
    if wb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        t = d2 / (d2 - d6)
        return 1.0 - t, 0.0, t
    if wa <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        t = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        return 0.0, 1.0 - t, t
    if square <= 0.0:
        return 1.0, 0.0, 0.0
    return wa / square, wb / square, wc / square


@kernel
def _on_tetrahedron(s: Floats, weight: Floats) -> None:
    """All four weights if the origin is inside, else those of the nearest face."""
    least, inside = 1e300, True
    for i in range(4):
        j, k, n = (i + 1) % 4, (i + 2) % 4, (i + 3) % 4
        a, b, c, opposite = load3(s[j], 0), load3(s[k], 0), load3(s[n], 0), load3(s[i], 0)
        normal = cross3(sub3(b, a), sub3(c, a))
        edge = sub3(opposite, a)
        origin, other = -dot3(normal, a), dot3(normal, edge)
        solid = abs(other) > 1e-12 * math.sqrt(dot3(normal, normal) * dot3(edge, edge))
        if solid and origin * other > 0.0:
            continue
        inside = False
        u = _on_triangle(a, b, c)
        x = add3(add3(scale3(u[0], a), scale3(u[1], b)), scale3(u[2], c))
        if dot3(x, x) < least:
            least = dot3(x, x)
            weight[i], weight[j], weight[k], weight[n] = 0.0, u[0], u[1], u[2]
    if inside:
        for i in range(4):
            weight[i] = 0.25

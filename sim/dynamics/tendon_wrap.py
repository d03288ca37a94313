"""The shortest path between two points around or through a sphere or an endless cylinder (mju_wrap).

MuJoCo's XML reference, "spatial/geom" (side sites). In the plane of the points and the centre, or across the
cylinder's axis, a point at distance l from the centre sees the circle's tangent point under the angle
acos(r / l). With the angle theta between the two points, the path touches the circle if theta exceeds the
sum of these angles, and is then h(l0) + h(l1) + r theta long, h(l) = sqrt(l^2 - r^2) - r acos(r / l). A side site
says which way round: that of the polyline through it, whose theta may exceed pi. If it is inside, the
path instead touches the circle in one point t, from where |q0 - t| + |q1 - t| is least. Along a cylinder's
axis the path climbs evenly, so that its length is that of a hypotenuse.

All vectors are in world axes, the points relative to the geom's centre. The path's length depends on the
two points alone: gradient and Hessian are with the geom at rest.
"""

import math

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, add3, cross3, dot3, scale3, sub3

TINY = 1e-15  # mjMINVAL
STRAIGHT, AROUND, THE_OTHER_WAY, THROUGH = 0, 1, 2, 3
LEAST_SINE = 1e-9  # of the points' angle: below, no plane is theirs, and the path has a kink across any
PLANE_TURNS = 40  # most iterations for the point of a path through the geom
LAST_STEP = 1e-9  # relative to how far the nearer end is: Newton's steps then have squares that rounding hides
ROUNDING = 2e-16

Frame = tuple[Vec3, Vec3, Vec3, Vec3, Vec3, float, float, float, float]


@kernel
def _unit(x: Vec3) -> Vec3:
    """`x` at length 1; like MuJoCo (1, 0, 0) where it has none."""
    length = math.sqrt(dot3(x, x))
    return scale3(1.0 / length, x) if length > TINY else (1.0, 0.0, 0.0)


@kernel
def across(axis: Vec3, x: Vec3) -> Vec3:
    """`x` without its part along `axis`, which is zero for a sphere."""
    return sub3(x, scale3(dot3(axis, x), axis))


@kernel
def _normal(axis: Vec3, q0: Vec3, q1: Vec3) -> Vec3:
    """Across both points, of any length: from the first to the second it turns by less than half a circle."""
    normal = cross3(q0, q1)
    if dot3(normal, normal) > TINY * TINY:
        return normal
    if dot3(axis, axis) > 0.0:
        return axis
    n0 = _unit(q0)  # any plane will do
    a, b, c = abs(n0[0]), abs(n0[1]), abs(n0[2])
    if b > a and b > c:
        return cross3(n0, (1.0, 0.0, 1.0))
    if c > a and c > b:
        return cross3(n0, (1.0, 1.0, 0.0))
    return cross3(n0, (0.0, 1.0, 1.0))


@kernel
def plane_frame(axis: Vec3, p0: Vec3, p1: Vec3) -> Frame:
    """Of both points their directions n and, towards the other point, e across them; normal; distances; the angle.

    Of the angle, cosine and sine.
    """
    q0, q1 = across(axis, p0), across(axis, p1)
    l0, l1, normal, n0, n1 = math.sqrt(dot3(q0, q0)), math.sqrt(dot3(q1, q1)), cross3(q0, q1), _unit(q0), _unit(q1)
    size = math.sqrt(dot3(normal, normal))
    sine = size / (l0 * l1) if size > TINY else 0.0
    normal = _unit(_normal(axis, q0, q1))
    return n0, cross3(normal, n0), n1, cross3(n1, normal), normal, l0, l1, dot3(n0, n1), sine


@kernel
def wrap_kind(axis: Vec3, p0: Vec3, p1: Vec3, radius: float, sided: bool, side: Vec3) -> int:
    """Whether and how the path touches the geom; `side` is the side site if there is one (`sided`).

    Where it comes off, theta = acos(r / l0) + acos(r / l1), the cosines of both sides are equal.
    """
    q0, q1, square = across(axis, p0), across(axis, p1), radius * radius
    s0, s1 = dot3(q0, q0), dot3(q1, q1)
    if radius < TINY or s0 < square or s1 < square:
        return STRAIGHT
    if sided and dot3(side, side) < square:
        step = sub3(q1, q0)
        length = dot3(step, step)
        share = -dot3(step, q0) / length if length > TINY else 0.0
        nearest = add3(q0, scale3(share, step))
        if 0.0 < share < 1.0 and dot3(nearest, nearest) <= square:
            return STRAIGHT  # it passes through as it is
        return THROUGH
    if sided:
        normal = _normal(axis, q0, q1)
        if dot3(side, cross3(normal, q0)) < 0.0 and dot3(side, cross3(q1, normal)) < 0.0:
            return THE_OTHER_WAY  # the side site is opposite to the angle
    return AROUND if dot3(q0, q1) < square - math.sqrt((s0 - square) * (s1 - square)) else STRAIGHT


@kernel
def _turn_inside(l0: float, l1: float, cosine: float, sine: float, radius: float) -> tuple[float, float]:
    """Where the shortest path through the circle touches it: cosine and sine of the turn from the points' middle.

    `cosine` and `sine` are of half the points' angle. Newton's method in the tangent of half the turn; the slope of
    the length rises from less than zero at the first point to more at the second.
    """
    most = sine / (1.0 + cosine)
    low, high, gaps = -most, most, l0 + l1 - 2.0 * radius
    z = most * min(max((l0 - l1) / gaps, -0.9), 0.9) if gaps > TINY else 0.0  # as if the circle were a line
    for _ in range(PLANE_TURNS):
        slope, curvature = _slope_inside(l0, l1, cosine, sine, radius, z)
        if slope > 0.0:
            high = z
        else:
            low = z
        half = 0.5 * slope / curvature
        step = half * (1.0 + half * half / 3.0)
        better = (z - step) / (1.0 + z * step)
        if abs(better - z) <= LAST_STEP * (most - abs(z)) + ROUNDING * abs(z):
            z = better
            break
        z = better if low < better < high else 0.5 * (low + high)
    return _on_circle(z)


@kernel
def _on_circle(z: float) -> tuple[float, float]:
    """Cosine and sine of the angle, the tangent of half of which is `z`."""
    scale = 1.0 / (1.0 + z * z)
    return (1.0 - z * z) * scale, 2.0 * z * scale


@kernel
def _slope_inside(l0: float, l1: float, cosine: float, sine: float, radius: float, z: float) -> tuple[float, float]:
    """Derivatives, by the angle of the point on the circle, of the length through it."""
    c, s = _on_circle(z)
    slope, curvature = 0.0, 0.0
    for side in range(2):
        x, y = (l0 * cosine, -l0 * sine) if side == 0 else (l1 * cosine, l1 * sine)
        away, along = x - radius * c, y - radius * s
        distance = math.sqrt(away * away + along * along)
        rise = radius * (away * s - along * c) / distance
        slope += rise
        curvature += (radius * (x * c + y * s) - rise * rise) / distance
    return slope, curvature


@kernel
def _tangent(f: Frame, radius: float, side: int) -> tuple[float, float, float]:
    """Of one point: h', h'' and what the length changes by, per angle that the point turns, over its distance."""
    length = f[5] if side == 0 else f[6]
    leg = math.sqrt(max(length * length - radius * radius, TINY))
    return leg / length, radius * radius / (leg * length * length), radius / length


@kernel
def _inside(f: Frame, radius: float) -> tuple[Vec3, Vec3, Vec3, float, float]:
    """A path through the geom: where it touches, its directions from there to the points, its two lengths."""
    cosine = math.sqrt(max(0.5 * (1.0 + f[7]), TINY))  # of half the angle, less than a right one: see `wrap_kind`
    middle = scale3(0.5 / cosine, add3(f[0], f[2]))
    c, s = _turn_inside(f[5], f[6], cosine, 0.5 * f[8] / cosine, radius)
    t = add3(scale3(radius * c, middle), scale3(radius * s, cross3(f[4], middle)))
    u0, u1 = sub3(scale3(f[5], f[0]), t), sub3(scale3(f[6], f[2]), t)
    d0, d1 = math.sqrt(dot3(u0, u0)), math.sqrt(dot3(u1, u1))
    return t, scale3(1.0 / d0, u0), scale3(1.0 / d1, u1), d0, d1


@kernel
def wrap_gradient(f: Frame, kind: int, axis: Vec3, climb: float, radius: float) -> tuple[float, Vec3, Vec3]:
    """Length of a path that touches the geom, and its gradients by both points; `climb` along the axis."""
    length, g0, g1 = _flat_gradient(f, kind, radius)
    whole = math.sqrt(length * length + climb * climb)
    flat, steep = length / whole, climb / whole
    g0, g1 = scale3(flat, g0), scale3(flat, g1)
    return whole, sub3(g0, scale3(steep, axis)), add3(g1, scale3(steep, axis))


@kernel
def _flat_gradient(f: Frame, kind: int, radius: float) -> tuple[float, Vec3, Vec3]:
    """The same in the plane."""
    if kind == THROUGH:
        _, u0, u1, d0, d1 = _inside(f, radius)
        return d0 + d1, u0, u1
    sign = 1.0 if kind == AROUND else -1.0
    rise0, _, round0 = _tangent(f, radius, 0)
    rise1, _, round1 = _tangent(f, radius, 1)
    leg0, leg1 = rise0 * f[5], rise1 * f[6]
    # theta less acos(r / l0) + acos(r / l1), as one angle: cosine and sine of that sum, times l0 l1
    cosine, sine = radius * radius - leg0 * leg1, radius * (leg0 + leg1)
    x, y = f[7] * cosine + sign * f[8] * sine, sign * f[8] * cosine - f[7] * sine
    arc = math.atan2(y, x) if kind == AROUND else math.pi + math.atan2(-y, -x)
    length = leg0 + leg1 + radius * arc
    g0 = sub3(scale3(rise0, f[0]), scale3(sign * round0, f[1]))
    g1 = sub3(scale3(rise1, f[2]), scale3(sign * round1, f[3]))
    return length, g0, g1


@kernel
def add_outer(h: Floats, i: int, j: int, s: float, u: Vec3, v: Vec3) -> None:
    """Add s u v' to block (i, j) of a 6 x 6 matrix."""
    for r in range(3):
        for c in range(3):
            h[3 * i + r, 3 * j + c] += s * u[r] * v[c]


@kernel
def wrap_hessian(h: Floats, f: Frame, kind: int, axis: Vec3, climb: float, radius: float) -> None:
    """Fill h (6, 6) by the second derivative of the length by both points."""
    h[:] = 0.0
    round_all = dot3(axis, axis) == 0.0  # a sphere: the plane turns with the points
    if kind == THROUGH:
        _hessian_through(h, f, radius, round_all)
    else:
        _hessian_around(h, f, radius, 1.0 if kind == AROUND else -1.0, round_all)
    length, g0, g1 = _flat_gradient(f, kind, radius)
    whole = math.sqrt(length * length + climb * climb)
    if climb == 0.0 and round_all:
        return
    for r in range(6):
        for c in range(6):
            h[r, c] *= length / whole
    cube = whole * whole * whole
    for i in range(2):
        for j in range(2):
            a, b, s = g0 if i == 0 else g1, g0 if j == 0 else g1, 1.0 if i == j else -1.0
            rise, run = -1.0 if i == 0 else 1.0, -1.0 if j == 0 else 1.0
            add_outer(h, i, j, climb * climb / cube, a, b)
            add_outer(h, i, j, s * length * length / cube, axis, axis)
            add_outer(h, i, j, -run * length * climb / cube, a, axis)
            add_outer(h, i, j, -rise * length * climb / cube, axis, b)


@kernel
def _hessian_around(h: Floats, f: Frame, radius: float, sign: float, round_all: bool) -> None:
    normal, cosine, sine = f[4], f[7], f[8]
    for i in range(2):
        n, e, length = (f[0], f[1], f[5]) if i == 0 else (f[2], f[3], f[6])
        rise, bend, turn = _tangent(f, radius, i)
        turn *= sign / length
        add_outer(h, i, i, bend, n, n)
        add_outer(h, i, i, rise / length, e, e)
        add_outer(h, i, i, turn, n, e)
        add_outer(h, i, i, turn, e, n)
        if round_all and sine > LEAST_SINE:
            add_outer(h, i, i, rise / length + turn * cosine / sine, normal, normal)
            add_outer(h, i, 1 - i, -sign * radius / (f[5] * f[6] * sine), normal, normal)


@kernel
def _hessian_through(h: Floats, f: Frame, radius: float, round_all: bool) -> None:
    """The point t gives way: along the circle, and on a sphere across it too."""
    t, u0, u1, d0, d1 = _inside(f, radius)
    out, normal = scale3(1.0 / radius, t), f[4]
    along = cross3(normal, out)
    press = (dot3(u0, out) + dot3(u1, out)) / radius  # of the length's slope inwards, which a curved way costs
    stiff, stiff_across = press, press
    for i in range(2):
        u, distance = (u0, d0) if i == 0 else (u1, d1)
        side = cross3(normal, u)
        add_outer(h, i, i, 1.0 / distance, side, side)
        if round_all:
            add_outer(h, i, i, 1.0 / distance, normal, normal)
        part = dot3(side, along)
        stiff += part * part / distance
        stiff_across += 1.0 / distance
    for i in range(2):
        for j in range(2):
            a, x = cross3(normal, u0 if i == 0 else u1), d0 if i == 0 else d1
            b, y = cross3(normal, u0 if j == 0 else u1), d0 if j == 0 else d1
            add_outer(h, i, j, -dot3(a, along) * dot3(b, along) / (x * y * stiff), a, b)
            if round_all:
                add_outer(h, i, j, -1.0 / (x * y * stiff_across), normal, normal)

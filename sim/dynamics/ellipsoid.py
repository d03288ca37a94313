"""Fluid forces on an ellipsoid: added mass, Magnus and Kutta lift, drag (MuJoCo documentation, "Ellipsoid model").

Local frame, rotations first. With the velocity v, n = v'Dv, e = v'DDv, s = v'v, D the squares of the
products of two semi-axes, and the projected area A = pi sqrt(e / n),

    Kutta lift = K n A / (|v| e) (n v - s D v),    drag = -(k + |v| ((blunt - slender) A + slender A_max)) v.

fluid_coef: D (3), K, blunt - slender, slender A_max, k, the moments of angular drag (3), density,
viscous torque, added mass (3), added inertia (3), Magnus.
"""

import math

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, add3, cross3, dot3, scale3
from ..kernels.spatial import Vec6, add6


@kernel
def _times(a: Vec3, b: Vec3) -> Vec3:
    return a[0] * b[0], a[1] * b[1], a[2] * b[2]


@kernel
def _mix(a: float, x: Vec3, b: float, y: Vec3) -> Vec3:
    """a x + b y."""
    return a * x[0] + b * y[0], a * x[1] + b * y[1], a * x[2] + b * y[2]


@kernel
def _mix3(a: float, x: Vec3, b: float, y: Vec3, c: float, z: Vec3) -> Vec3:
    """a x + b y + c z."""
    return a * x[0] + b * y[0] + c * z[0], a * x[1] + b * y[1] + c * z[1], a * x[2] + b * y[2] + c * z[2]


@kernel
def _join(turn: Vec3, shift: Vec3) -> Vec6:
    return turn[0], turn[1], turn[2], shift[0], shift[1], shift[2]


@kernel
def _split(x: Vec6) -> tuple[Vec3, Vec3]:
    return (x[0], x[1], x[2]), (x[3], x[4], x[5])


@kernel
def _three(c: Floats, i: int) -> Vec3:
    return c[i], c[i + 1], c[i + 2]


@kernel
def _lift(c: Floats, x: Vec6, y: Vec6) -> Vec6:
    """Added mass and Magnus force, a bilinear form whose value at (x, x) is the force."""
    (turn, shift), (turn2, shift2) = _split(x), _split(y)
    momentum = _times(_three(c, 12), shift)
    torque = add3(cross3(momentum, shift2), cross3(_times(_three(c, 15), turn), turn2))
    return _join(torque, add3(cross3(momentum, turn2), scale3(c[18], cross3(turn, shift2))))


@kernel
def _lift_vjp(c: Floats, x: Vec6, y: Vec6) -> Vec6:
    """Derivative of y . lift(x, x) by x."""
    (turn, shift), (to, fo) = _split(x), _split(y)
    mass, inertia = _three(c, 12), _three(c, 15)
    momentum, spin = _times(mass, shift), _times(inertia, turn)
    by_turn = add3(_times(inertia, cross3(turn, to)), cross3(to, spin))
    by_turn = add3(by_turn, add3(cross3(fo, momentum), scale3(c[18], cross3(shift, fo))))
    by_shift = add3(_times(mass, add3(cross3(shift, to), cross3(turn, fo))), cross3(to, momentum))
    return _join(by_turn, add3(by_shift, scale3(c[18], cross3(fo, turn))))


@kernel
def _forms(c: Floats, v: Vec3) -> tuple[float, float, float, float]:
    """n, e, s of the velocity, and the projected area; e is 0 only at rest."""
    dv = _times(_three(c, 0), v)
    n, e = dot3(v, dv), dot3(dv, dv)
    return n, e, dot3(v, v), math.pi * math.sqrt(e / n) if e > 0.0 else 0.0


@kernel
def ellipsoid_force(c: Floats, x: Vec6) -> Vec6:
    """Force at the local velocity `x`."""
    turn, v = _split(x)
    n, e, s, area = _forms(c, v)
    speed = math.sqrt(s)
    kutta = c[3] * n / (speed * e) * area if e > 0.0 else 0.0
    drag = c[6] + speed * (c[4] * area + c[5])
    spin = _times(_three(c, 7), turn)
    shift = _mix(kutta * n - drag, v, -kutta * s, _times(_three(c, 0), v))
    return add6(_lift(c, x, x), _join(scale3(-c[11] - c[10] * math.sqrt(dot3(spin, spin)), turn), shift))


@kernel
def _kutta_scale(c: Floats, n: float, e: float, s: float) -> float:
    return math.pi * c[3] * math.sqrt(n / (e * s))


@kernel
def _spin_slope(c: Floats, turn: Vec3, y: Vec3, transposed: bool) -> Vec3:
    """Derivative of the torque of drag by the rotation, times `y`."""
    squares = _times(_three(c, 7), _three(c, 7))
    spin = _times(squares, turn)
    moment = math.sqrt(dot3(spin, turn))
    if moment == 0.0:
        return scale3(-c[11], y)
    first, second = (spin, turn) if transposed else (turn, spin)
    return _mix(-c[11] - c[10] * moment, y, -c[10] / moment * dot3(second, y), first)


@kernel
def ellipsoid_slope(c: Floats, x: Vec6, y: Vec6) -> Vec6:
    """Derivative of the force by the velocity `x`, times `y`."""
    (turn, v), (to, fo) = _split(x), _split(y)
    n, e, s, area = _forms(c, v)
    shift = scale3(-c[6], fo)
    if e > 0.0:
        d, speed = _three(c, 0), math.sqrt(s)
        dv, dy = _times(d, v), _times(d, fo)
        vy, vdy, vddy = dot3(v, fo), dot3(v, dy), dot3(dv, dy)
        kutta, z, quadratic = _kutta_scale(c, n, e, s), vddy / e - vdy / n + vy / s, c[4] * area + c[5]
        along = quadratic / speed * vy + speed * c[4] * area * (vddy / e - vdy / n)
        shift = _mix3(1.0, shift, kutta * (2.0 * vdy - n * z) - along, v, kutta * (s * z - 2.0 * vy), dv)
        shift = _mix3(1.0, shift, kutta * n - quadratic * speed, fo, -kutta * s, dy)
    return add6(add6(_lift(c, x, y), _lift(c, y, x)), _join(_spin_slope(c, turn, to, False), shift))


@kernel
def ellipsoid_slope_t(c: Floats, x: Vec6, y: Vec6) -> Vec6:
    """Derivative of y . force by the velocity `x`: the transpose of the same matrix, times `y`."""
    (turn, v), (to, fo) = _split(x), _split(y)
    n, e, s, area = _forms(c, v)
    shift = scale3(-c[6], fo)
    if e > 0.0:
        d, speed = _three(c, 0), math.sqrt(s)
        dv = _times(d, v)
        ddv, vy, dvy = _times(d, dv), dot3(v, fo), dot3(dv, fo)
        kutta, r, quadratic = _kutta_scale(c, n, e, s), s * dvy - n * vy, c[4] * area + c[5]
        along = speed * c[4] * area * vy
        shift = _mix(1.0, shift, kutta * (r / s - 2.0 * dvy) - quadratic / speed * vy, v)
        shift = _mix3(1.0, shift, kutta * (2.0 * vy - r / n) + along / n, dv, (kutta * r - along) / e, ddv)
        shift = _mix3(1.0, shift, kutta * n - quadratic * speed, fo, -kutta * s, _times(d, fo))
    return add6(_lift_vjp(c, x, y), _join(_spin_slope(c, turn, to, True), shift))


@kernel
def ellipsoid_bend(c: Floats, x: Vec6, y: Vec6, z: Vec6) -> Vec6:
    """Derivative of y . slope z by the velocity `x`."""
    (turn, v), (to, fo), (tz, fz) = _split(x), _split(y), _split(z)
    squares = _times(_three(c, 7), _three(c, 7))
    et, ez = _times(squares, turn), _times(squares, tz)
    moment = math.sqrt(dot3(et, turn))
    by_turn = (0.0, 0.0, 0.0)
    if moment > 0.0:
        density, along, across = c[10] / moment, dot3(et, tz), dot3(turn, to)
        by_turn = _mix3(-density * along, to, -density * across, ez, -density * dot3(to, tz), et)
        by_turn = _mix(1.0, by_turn, density / moment * along * across / moment, et)
    by_shift = (0.0, 0.0, 0.0)
    if _forms(c, v)[1] > 0.0:
        by_shift = add3(_kutta_bend(c, v, fo, fz), _drag_bend(c, v, fo, fz))
    return add6(_lift_vjp(c, z, y), _join(by_turn, by_shift))


@kernel
def _ratio_slope(d: Vec3, v: Vec3, z: Vec3, n: float, e: float) -> Vec3:
    """Derivative of v'DDz / e - v'Dz / n by the velocity."""
    dv, dz = _times(d, v), _times(d, z)
    out = _mix3(1.0 / e, _times(d, dz), -2.0 * dot3(dv, dz) / e / e, _times(d, dv), -1.0 / n, dz)
    return _mix(1.0, out, 2.0 * dot3(v, dz) / n / n, dv)


@kernel
def _kutta_bend(c: Floats, v: Vec3, y: Vec3, z: Vec3) -> Vec3:
    d = _three(c, 0)
    n, e, s, _ = _forms(c, v)
    dv, dy, dz = _times(d, v), _times(d, y), _times(d, z)
    vy, dvy, vz, vdz, vddz = dot3(v, y), dot3(dv, y), dot3(v, z), dot3(v, dz), dot3(dv, dz)
    yz, ydz = dot3(y, z), dot3(y, dz)
    r, q = s * dvy - n * vy, vddz / e - vdz / n + vz / s
    by_r = add3(_mix(2.0 * dvy, v, s, dy), _mix(-2.0 * vy, dv, -n, y))
    by_q = _mix3(1.0, _ratio_slope(d, v, z, n, e), 1.0 / s, z, -2.0 * vz / s / s, v)
    total = 2.0 * (vy * vdz - dvy * vz) + r * q - s * ydz + n * yz
    by_total = _mix3(q, by_r, r, by_q, -2.0 * ydz, v)
    by_total = add3(by_total, _mix3(2.0 * vdz, y, 2.0 * vy, dz, -2.0 * vz, dy))
    by_total = _mix3(1.0, by_total, -2.0 * dvy, z, 2.0 * yz + total / n, dv)
    by_total = _mix3(1.0, by_total, -total / e, _times(d, dv), -total / s, v)
    return scale3(_kutta_scale(c, n, e, s), by_total)


@kernel
def _drag_bend(c: Floats, v: Vec3, y: Vec3, z: Vec3) -> Vec3:
    d = _three(c, 0)
    n, e, s, area = _forms(c, v)
    dv, dz = _times(d, v), _times(d, z)
    ddv, vy, vz, speed = _times(d, dv), dot3(v, y), dot3(v, z), math.sqrt(s)
    quadratic, total = (c[4] * area + c[5]) / speed, vz * vy + s * dot3(y, z)
    along, ratio = speed * c[4] * area, dot3(dv, dz) / e - dot3(v, dz) / n
    by_area = _mix(1.0 / e, ddv, -1.0 / n, dv)  # of its logarithm
    out = _mix3(-c[4] * area / speed * total, by_area, quadratic / s * total, v, -quadratic * vy, z)
    out = _mix3(1.0, out, -quadratic * vz, y, -2.0 * quadratic * dot3(y, z), v)
    out = _mix3(1.0, out, -along * ratio, y, -vy * along, _ratio_slope(d, v, z, n, e))
    return _mix3(1.0, out, -vy * ratio * along, by_area, -vy * ratio * along / s, v)

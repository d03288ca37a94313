"""Vectors, quaternions (w, x, y, z) and rotation vectors, as tuples of floats.

Conventions are MuJoCo's: a quaternion maps body to world coordinates and a configuration is
moved by body-frame rotation vectors, q <- q exp(phi). Solà, Deray, Atchuthan, "A micro Lie
theory" (2018), equations 132-145, gives the Jacobians of SO(3).
"""

import math

from .jit import kernel
from .record import Floats

Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]
Mat3 = tuple[float, float, float, float, float, float, float, float, float]

# Below this angle, closed forms lose digits and series are exact to rounding.
SMALL_ANGLE = 1e-2


@kernel
def load3(a: Floats, i: int) -> Vec3:
    return a[i, 0], a[i, 1], a[i, 2]


@kernel
def store3(a: Floats, i: int, v: Vec3) -> None:
    a[i, 0] = v[0]
    a[i, 1] = v[1]
    a[i, 2] = v[2]


@kernel
def load4(a: Floats, i: int) -> Quat:
    return a[i, 0], a[i, 1], a[i, 2], a[i, 3]


@kernel
def load_mat3(a: Floats, i: int) -> Mat3:
    return a[i, 0], a[i, 1], a[i, 2], a[i, 3], a[i, 4], a[i, 5], a[i, 6], a[i, 7], a[i, 8]


@kernel
def store_mat3(a: Floats, i: int, r: Mat3) -> None:
    for k in range(9):
        a[i, k] = r[k]


@kernel
def add3(a: Vec3, b: Vec3) -> Vec3:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


@kernel
def sub3(a: Vec3, b: Vec3) -> Vec3:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@kernel
def scale3(s: float, a: Vec3) -> Vec3:
    return s * a[0], s * a[1], s * a[2]


@kernel
def dot3(a: Vec3, b: Vec3) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@kernel
def cross3(a: Vec3, b: Vec3) -> Vec3:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@kernel
def mat_vec3(r: Mat3, v: Vec3) -> Vec3:
    return (
        r[0] * v[0] + r[1] * v[1] + r[2] * v[2],
        r[3] * v[0] + r[4] * v[1] + r[5] * v[2],
        r[6] * v[0] + r[7] * v[1] + r[8] * v[2],
    )


@kernel
def mat_t_vec3(r: Mat3, v: Vec3) -> Vec3:
    return (
        r[0] * v[0] + r[3] * v[1] + r[6] * v[2],
        r[1] * v[0] + r[4] * v[1] + r[7] * v[2],
        r[2] * v[0] + r[5] * v[1] + r[8] * v[2],
    )


@kernel
def quat_normalize(q: Quat) -> Quat:
    norm = math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    if norm < 1e-15:
        return 1.0, 0.0, 0.0, 0.0
    s = 1.0 / norm
    return s * q[0], s * q[1], s * q[2], s * q[3]


@kernel
def quat_mul(a: Quat, b: Quat) -> Quat:
    return (
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    )


@kernel
def quat_conj(q: Quat) -> Quat:
    return q[0], -q[1], -q[2], -q[3]


@kernel
def quat_rotate(q: Quat, v: Vec3) -> Vec3:
    u = (q[1], q[2], q[3])
    t = cross3(u, v)
    t = (2.0 * t[0], 2.0 * t[1], 2.0 * t[2])
    w = cross3(u, t)
    return v[0] + q[0] * t[0] + w[0], v[1] + q[0] * t[1] + w[1], v[2] + q[0] * t[2] + w[2]


@kernel
def quat_to_mat(q: Quat) -> Mat3:
    w, x, y, z = q
    return (
        w * w + x * x - y * y - z * z,
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
        2.0 * (x * y + w * z),
        w * w - x * x + y * y - z * z,
        2.0 * (y * z - w * x),
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        w * w - x * x - y * y + z * z,
    )


@kernel
def quat_exp(phi: Vec3) -> Quat:
    """Quaternion of the rotation vector `phi` [rad]."""
    angle2 = dot3(phi, phi)
    angle = math.sqrt(angle2)
    if angle < SMALL_ANGLE:
        s = 0.5 - angle2 / 48.0 + angle2 * angle2 / 3840.0
    else:
        s = math.sin(0.5 * angle) / angle
    return math.cos(0.5 * angle), s * phi[0], s * phi[1], s * phi[2]


@kernel
def quat_log(q: Quat) -> Vec3:
    """Rotation vector of a unit quaternion, angle in (-pi, pi] as mju_quat2Vel."""
    sin_half = math.sqrt(q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    if sin_half < 1e-15:
        return 2.0 * q[1], 2.0 * q[2], 2.0 * q[3]
    angle = 2.0 * math.atan2(sin_half, q[0])
    if angle > math.pi:
        angle -= 2.0 * math.pi
    s = angle / sin_half
    return s * q[1], s * q[2], s * q[3]


@kernel
def _bracket_series(phi: Vec3, b: float, c: float, v: Vec3) -> Vec3:
    """v + b phi x v + c phi x (phi x v)."""
    pv = cross3(phi, v)
    ppv = cross3(phi, pv)
    return v[0] + b * pv[0] + c * ppv[0], v[1] + b * pv[1] + c * ppv[1], v[2] + b * pv[2] + c * ppv[2]


@kernel
def _jacobian_coefficients(phi: Vec3) -> tuple[float, float]:
    """(1 - cos a) / a^2 and (a - sin a) / a^3."""
    a2 = dot3(phi, phi)
    a = math.sqrt(a2)
    if a < SMALL_ANGLE:
        return 0.5 - a2 / 24.0 + a2 * a2 / 720.0, 1.0 / 6.0 - a2 / 120.0 + a2 * a2 / 5040.0
    return (1.0 - math.cos(a)) / a2, (a - math.sin(a)) / (a2 * a)


@kernel
def _inverse_coefficient(phi: Vec3) -> float:
    """1 / a^2 - (1 + cos a) / (2 a sin a)."""
    a2 = dot3(phi, phi)
    a = math.sqrt(a2)
    if a < 0.1:
        return 1.0 / 12.0 + a2 / 720.0 + a2 * a2 / 30240.0 + a2 * a2 * a2 / 1209600.0 + a2**4 / 47900160.0
    half = 0.5 * a
    return (1.0 - half * math.cos(half) / math.sin(half)) / a2


@kernel
def right_jacobian_t(phi: Vec3, v: Vec3) -> Vec3:
    """Jr(phi)^T v, where exp(phi + d) = exp(phi) exp(Jr(phi) d)."""
    b, c = _jacobian_coefficients(phi)
    return _bracket_series(phi, b, c, v)


@kernel
def right_jacobian_inv(phi: Vec3, v: Vec3) -> Vec3:
    """Jr(phi)^-1 v."""
    return _bracket_series(phi, 0.5, _inverse_coefficient(phi), v)


@kernel
def right_jacobian_inv_t(phi: Vec3, v: Vec3) -> Vec3:
    """Jr(phi)^-T v."""
    return _bracket_series(phi, -0.5, _inverse_coefficient(phi), v)


@kernel
def _inverse_coefficient_slope(phi: Vec3) -> float:
    """Derivative of `_inverse_coefficient` by the angle a, divided by a."""
    a2 = dot3(phi, phi)
    a = math.sqrt(a2)
    if a < 0.1:
        return 1.0 / 360.0 + a2 / 7560.0 + a2 * a2 / 201600.0 + a2**3 / 5987520.0
    half = 0.5 * a
    sine, cosine = math.sin(half), math.cos(half)
    product, slope = half * cosine / sine, 0.5 * cosine / sine - 0.5 * half / (sine * sine)
    return (-slope / a2 - 2.0 * (1.0 - product) / (a2 * a)) / a


@kernel
def right_jacobian_inv_adj(phi: Vec3, v: Vec3, g: Vec3) -> Vec3:
    """Gradient by `phi` of g . Jr(phi)^-1 v."""
    c, slope = _inverse_coefficient(phi), _inverse_coefficient_slope(phi)
    gp, pv, gv, pp = dot3(g, phi), dot3(phi, v), dot3(g, v), dot3(phi, phi)
    turn = cross3(v, g)
    radial = slope * (gp * pv - gv * pp) - 2.0 * c * gv
    return (
        0.5 * turn[0] + c * (g[0] * pv + v[0] * gp) + radial * phi[0],
        0.5 * turn[1] + c * (g[1] * pv + v[1] * gp) + radial * phi[1],
        0.5 * turn[2] + c * (g[2] * pv + v[2] * gp) + radial * phi[2],
    )


@kernel
def shortest_rotation(phi: Vec3) -> tuple[Vec3, float]:
    """The rotation vector of at most half a turn with the same rotation, and its share of `phi`'s length."""
    angle = math.sqrt(dot3(phi, phi))
    turns = float(round(angle / (2.0 * math.pi)))
    if turns == 0.0:
        return phi, 1.0
    share = 1.0 - 2.0 * math.pi * turns / angle
    return scale3(share, phi), share


@kernel
def shortest_rotation_adj(phi: Vec3, g: Vec3) -> Vec3:
    """Cotangent `g` of the shortest vector to that of `phi`: along `phi` lengths change one to one."""
    share = shortest_rotation(phi)[1]
    if share == 1.0:
        return g
    along = (1.0 - share) * dot3(phi, g) / dot3(phi, phi)
    return share * g[0] + along * phi[0], share * g[1] + along * phi[1], share * g[2] + along * phi[2]

"""Spatial vectors (rotational, linear) and inertias, as tuples, and their lanes.

Featherstone, "Rigid Body Dynamics Algorithms" (2008), chapter 2. An inertia is MuJoCo's
10-vector (xx, yy, zz, xy, xz, yz, mass * position, mass). A lane operation applies to all
right-hand sides of an adjoint at once: one inner loop over the last axis, which vectorises.
"""

from .jit import kernel
from .record import Floats
from .rotation import Vec3, add3, cross3

Vec6 = tuple[float, float, float, float, float, float]
Inert = tuple[float, float, float, float, float, float, float, float, float, float]


@kernel
def load6(a: Floats, i: int) -> Vec6:
    return a[i, 0], a[i, 1], a[i, 2], a[i, 3], a[i, 4], a[i, 5]


@kernel
def store6(a: Floats, i: int, v: Vec6) -> None:
    for k in range(6):
        a[i, k] = v[k]


@kernel
def load10(a: Floats, i: int) -> Inert:
    return a[i, 0], a[i, 1], a[i, 2], a[i, 3], a[i, 4], a[i, 5], a[i, 6], a[i, 7], a[i, 8], a[i, 9]


@kernel
def add6(a: Vec6, b: Vec6) -> Vec6:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5]


@kernel
def scale6(s: float, a: Vec6) -> Vec6:
    return s * a[0], s * a[1], s * a[2], s * a[3], s * a[4], s * a[5]


@kernel
def axpy6(s: float, x: Vec6, y: Vec6) -> Vec6:
    """s x + y."""
    return (
        s * x[0] + y[0],
        s * x[1] + y[1],
        s * x[2] + y[2],
        s * x[3] + y[3],
        s * x[4] + y[4],
        s * x[5] + y[5],
    )


@kernel
def dot6(a: Vec6, b: Vec6) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] + a[4] * b[4] + a[5] * b[5]


@kernel
def velocity_at(v: Vec6, arm: Vec3) -> Vec3:
    """Velocity of the point at `arm` from the reference point, of a body moving by `v`."""
    return add3((v[3], v[4], v[5]), cross3((v[0], v[1], v[2]), arm))


@kernel
def point_acceleration(a: Vec6, v: Vec6, arm: Vec3) -> Vec3:
    """Second derivative of the point at `arm`, moving with velocity `v` and acceleration `a`."""
    return add3(velocity_at(a, arm), cross3((v[0], v[1], v[2]), velocity_at(v, arm)))


@kernel
def cross_motion(v: Vec6, s: Vec6) -> Vec6:
    """v x s, both motions."""
    return (
        v[1] * s[2] - v[2] * s[1],
        v[2] * s[0] - v[0] * s[2],
        v[0] * s[1] - v[1] * s[0],
        v[1] * s[5] - v[2] * s[4] + v[4] * s[2] - v[5] * s[1],
        v[2] * s[3] - v[0] * s[5] + v[5] * s[0] - v[3] * s[2],
        v[0] * s[4] - v[1] * s[3] + v[3] * s[1] - v[4] * s[0],
    )


@kernel
def cross_force(v: Vec6, f: Vec6) -> Vec6:
    """v x* f, motion on force; (v x s) . f = -s . (v x* f)."""
    return (
        v[1] * f[2] - v[2] * f[1] + v[4] * f[5] - v[5] * f[4],
        v[2] * f[0] - v[0] * f[2] + v[5] * f[3] - v[3] * f[5],
        v[0] * f[1] - v[1] * f[0] + v[3] * f[4] - v[4] * f[3],
        v[1] * f[5] - v[2] * f[4],
        v[2] * f[3] - v[0] * f[5],
        v[0] * f[4] - v[1] * f[3],
    )


@kernel
def inert_mul(i: Inert, v: Vec6) -> Vec6:
    """Momentum (or force) of inertia `i` at velocity (or acceleration) `v`."""
    return (
        i[0] * v[0] + i[3] * v[1] + i[4] * v[2] - i[8] * v[4] + i[7] * v[5],
        i[3] * v[0] + i[1] * v[1] + i[5] * v[2] + i[8] * v[3] - i[6] * v[5],
        i[4] * v[0] + i[5] * v[1] + i[2] * v[2] - i[7] * v[3] + i[6] * v[4],
        i[8] * v[1] - i[7] * v[2] + i[9] * v[3],
        i[6] * v[2] - i[8] * v[0] + i[9] * v[4],
        i[7] * v[0] - i[6] * v[1] + i[9] * v[5],
    )


@kernel
def inert_rows(i: Inert) -> tuple[Vec6, Vec6, Vec6, Vec6, Vec6, Vec6]:
    """The inertia as a 6 x 6 matrix."""
    return (
        (i[0], i[3], i[4], 0.0, -i[8], i[7]),
        (i[3], i[1], i[5], i[8], 0.0, -i[6]),
        (i[4], i[5], i[2], -i[7], i[6], 0.0),
        (0.0, i[8], -i[7], i[9], 0.0, 0.0),
        (-i[8], 0.0, i[6], 0.0, i[9], 0.0),
        (i[7], -i[6], 0.0, 0.0, 0.0, i[9]),
    )


@kernel
def lanes_set_dot(out: Floats, i: int, r: int, c: Vec6, x: Floats, j: int) -> None:
    """out[i, r, :] = c . x[j, :, :]."""
    for k in range(out.shape[2]):
        out[i, r, k] = (
            c[0] * x[j, 0, k]
            + c[1] * x[j, 1, k]
            + c[2] * x[j, 2, k]
            + c[3] * x[j, 3, k]
            + c[4] * x[j, 4, k]
            + c[5] * x[j, 5, k]
        )


@kernel
def lanes_add_dot(out: Floats, i: int, r: int, c: Vec6, x: Floats, j: int) -> None:
    """out[i, r, :] += c . x[j, :, :]."""
    for k in range(out.shape[2]):
        out[i, r, k] += (
            c[0] * x[j, 0, k]
            + c[1] * x[j, 1, k]
            + c[2] * x[j, 2, k]
            + c[3] * x[j, 3, k]
            + c[4] * x[j, 4, k]
            + c[5] * x[j, 5, k]
        )


@kernel
def lanes_gain_dot(out: Floats, i: int, c: Vec6, x: Floats, j: int) -> None:
    """out[i, :] += c . x[j, :, :]."""
    for k in range(out.shape[1]):
        out[i, k] += (
            c[0] * x[j, 0, k]
            + c[1] * x[j, 1, k]
            + c[2] * x[j, 2, k]
            + c[3] * x[j, 3, k]
            + c[4] * x[j, 4, k]
            + c[5] * x[j, 5, k]
        )


@kernel
def lanes_sub_dot(out: Floats, i: int, c: Vec6, x: Floats, j: int) -> None:
    """out[i, :] -= c . x[j, :, :]."""
    for k in range(out.shape[1]):
        out[i, k] -= (
            c[0] * x[j, 0, k]
            + c[1] * x[j, 1, k]
            + c[2] * x[j, 2, k]
            + c[3] * x[j, 3, k]
            + c[4] * x[j, 4, k]
            + c[5] * x[j, 5, k]
        )


@kernel
def lanes_add_axis(out: Floats, i: int, s: Vec6, x: Floats, j: int) -> None:
    """out[i, :, :] += s (outer) x[j, :]."""
    for r in range(6):
        c = s[r]
        if c != 0.0:
            for k in range(out.shape[2]):
                out[i, r, k] += c * x[j, k]


@kernel
def lanes_axpy(out: Floats, i: int, s: float, x: Floats, j: int) -> None:
    """out[i, :] += s x[j, :], both (rows, nlane)."""
    if s != 0.0:
        for k in range(out.shape[1]):
            out[i, k] += s * x[j, k]


@kernel
def lanes_move(out: Floats, i: int, j: int, s: Vec6, x: Floats, v: int) -> None:
    """out[i, :, :] = out[j, :, :] + s (outer) x[v, :]."""
    for r in range(6):
        c = s[r]
        for k in range(out.shape[2]):
            out[i, r, k] = out[j, r, k] + c * x[v, k]


@kernel
def lanes_set(out: Floats, x: Floats) -> None:
    """out = x, both (rows, nlane)."""
    for i in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[i, k] = x[i, k]


@kernel
def lanes_copy(out: Floats, i: int, x: Floats, j: int) -> None:
    """out[i] = x[j], both (rows, nlane)."""
    for r in range(out.shape[1]):
        for k in range(out.shape[2]):
            out[i, r, k] = x[j, r, k]


@kernel
def lanes_accumulate(out: Floats, i: int, x: Floats, j: int) -> None:
    """out[i] += x[j], both (rows, nlane)."""
    for r in range(out.shape[1]):
        for k in range(out.shape[2]):
            out[i, r, k] += x[j, r, k]

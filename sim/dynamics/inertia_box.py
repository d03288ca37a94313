"""Drag on the box that has a body's inertia (MuJoCo documentation, Computation, "Inertia model").

Each of the six local velocities x has its own force -(a x + b |x| x): fluid_coef holds the six a,
rotations first, then the six b.
"""

import math

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.spatial import Vec6
from ..model.data import Data, Lanes
from ..model.model import Model

MINVAL = 1e-15


@kernel
def _one_force(c: Floats, i: int, x: float) -> float:
    return -(c[i] + c[6 + i] * abs(x)) * x


@kernel
def box_force(c: Floats, x: Vec6) -> Vec6:
    """Force at the local velocity `x`."""
    return (
        _one_force(c, 0, x[0]),
        _one_force(c, 1, x[1]),
        _one_force(c, 2, x[2]),
        _one_force(c, 3, x[3]),
        _one_force(c, 4, x[4]),
        _one_force(c, 5, x[5]),
    )


@kernel
def _one_slope(c: Floats, i: int, x: float) -> float:
    return -(c[i] + 2.0 * c[6 + i] * abs(x))


@kernel
def box_slope(c: Floats, x: Vec6, y: Vec6) -> Vec6:
    """Derivative of the force by the velocity, a diagonal matrix, times `y`."""
    return (
        _one_slope(c, 0, x[0]) * y[0],
        _one_slope(c, 1, x[1]) * y[1],
        _one_slope(c, 2, x[2]) * y[2],
        _one_slope(c, 3, x[3]) * y[3],
        _one_slope(c, 4, x[4]) * y[4],
        _one_slope(c, 5, x[5]) * y[5],
    )


@kernel
def _one_bend(c: Floats, i: int, x: float) -> float:
    return math.copysign(2.0 * c[6 + i], -x) if x != 0.0 else 0.0


@kernel
def box_bend(c: Floats, x: Vec6, y: Vec6, z: Vec6) -> Vec6:
    """Derivative of y . slope z by the velocity."""
    return (
        _one_bend(c, 0, x[0]) * y[0] * z[0],
        _one_bend(c, 1, x[1]) * y[1] * z[1],
        _one_bend(c, 2, x[2]) * y[2] * z[2],
        _one_bend(c, 3, x[3]) * y[3] * z[3],
        _one_bend(c, 4, x[4]) * y[4] * z[4],
        _one_bend(c, 5, x[5]) * y[5] * z[5],
    )


@kernel
def _square_side(m: Model, b: int, i: int) -> float:
    """Mass / 6 times the square of a side of the box."""
    return m.body_inertia[b, 0] + m.body_inertia[b, 1] + m.body_inertia[b, 2] - 2.0 * m.body_inertia[b, i]


@kernel
def _side(m: Model, b: int, i: int) -> float:
    return math.sqrt(max(MINVAL, _square_side(m, b, i)) / m.body_mass[b] * 6.0)


@kernel
def box_parameters_adj(m: Model, d: Data, w: Lanes, p: int, x: Vec6, y: Vec6, z: Vec6) -> None:
    """Add to mass and inertia of the piece's body the derivative of y . (force + time * slope z)."""
    b, time = m.fluid_bodyid[p], d.fluid_time[0]
    side = (_side(m, b, 0), _side(m, b, 1), _side(m, b, 2))
    size = (side[0] + side[1] + side[2]) / 3.0
    by_turn = (x[0] + time * z[0]) * y[0] + (x[1] + time * z[1]) * y[1] + (x[2] + time * z[2]) * y[2]
    by_shift = (x[3] + time * z[3]) * y[3] + (x[4] + time * z[4]) * y[4] + (x[5] + time * z[5]) * y[5]
    by_size = -math.pi * m.viscosity * (size * size * by_turn + by_shift)  # a third of it, which each side has
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        a, cubed = side[i], 4.0 * side[i] * side[i] * side[i]
        total = by_size
        # the side is the factor of its own rotation's drag, and is in those of the others
        total -= m.density / 64.0 * (side[j] ** 4 + side[k] ** 4) * _square(x, y, z, time, i)
        total -= m.density / 64.0 * cubed * side[j] * _square(x, y, z, time, j)
        total -= m.density / 64.0 * cubed * side[k] * _square(x, y, z, time, k)
        total -= 0.5 * m.density * side[k] * _square(x, y, z, time, 3 + j)
        total -= 0.5 * m.density * side[j] * _square(x, y, z, time, 3 + k)
        w.body_mass_adj[b] -= total * a / (2.0 * m.body_mass[b])
        if _square_side(m, b, i) > MINVAL:
            by_square = total * 3.0 / (m.body_mass[b] * a)
            w.body_inertia_adj[b, i] -= by_square
            w.body_inertia_adj[b, j] += by_square
            w.body_inertia_adj[b, k] += by_square


@kernel
def _square(x: Vec6, y: Vec6, z: Vec6, time: float, i: int) -> float:
    return (abs(x[i]) * x[i] + 2.0 * time * abs(x[i]) * z[i]) * y[i]

"""How contacts of cylinders and ellipsoids with planes, and of cylinders with spheres, move (`rim_geoms.py`)."""

import math

from ..kernels.enums import CYLINDER, PLANE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .frame import column3, row3
from .motion import (
    ball_tilt,
    balls_rates,
    cross_tilt,
    plane_point_rates,
    point_rate,
    store_motion,
    store_seen_from_second,
    unit_twist,
)
from .rim_geoms import CAP, SIDE, downward, rim_point


@kernel
def rim_motion(m: Model, d: Data, c: int) -> None:
    """Fill con_motion for contact `c` of one of these pairs."""
    pair = d.con_pair[c]
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    if m.geom_type[g1] != PLANE:
        _sphere_cylinder(m, d, c, g1, g2)
        return
    normal, pos = row3(d.con_frame, c, 0), load3(d.con_pos, c)
    arm = scale3(0.5 * d.con_dist[c], normal)
    for i in range(6):
        turn, shift = unit_twist(i)
        rate = point_rate(turn, shift, arm)
        slide = (0.0, 0.0, 0.0)
        if i < 3 and m.geom_type[g2] == CYLINDER:
            rate = add3(shift, cross3(turn, sub3(load3(d.geom_xpos, g2), pos)))
            slide = _rim_rate(m, d, c, g1, g2, turn)
        elif i < 3:
            slide = _ellipsoid_rate(m, d, g1, g2, turn)
        by_dist, moved, tilt = plane_point_rates(normal, add3(rate, slide))
        store_motion(d, i, by_dist, moved, tilt)


@kernel
def _rim_rate(m: Model, d: Data, c: int, g1: int, g2: int, turn: Vec3) -> Vec3:
    """Velocity of a cylinder's point against its centre when it turns: the lowest stays the lowest."""
    normal = column3(d.geom_xmat, g1, 2)
    axis, down, sine = downward(d, g1, g2)
    axis_rate, down_rate = cross3(turn, axis), cross3(turn, down)
    if sine > 0.0:
        down_rate = add3(scale3(dot3(normal, axis_rate), axis), scale3(dot3(normal, axis), axis_rate))
        down_rate = scale3(1.0 / sine, sub3(down_rate, scale3(dot3(down, down_rate), down)))
    aside_rate = add3(cross3(down_rate, axis), cross3(down, axis_rate))
    size = load3(m.geom_size, g2)
    return rim_point(d.con_feature[c, 0], axis_rate, down_rate, aside_rate, size[1], size[0])


@kernel
def _ellipsoid_rate(m: Model, d: Data, g1: int, g2: int, turn: Vec3) -> Vec3:
    """Velocity of the ellipsoid's lowest point on its surface when it turns."""
    mat, size = load_mat3(d.geom_xmat, g2), load3(m.geom_size, g2)
    normal = column3(d.geom_xmat, g1, 2)
    n, n_rate = mat_t_vec3(mat, normal), mat_t_vec3(mat, cross3(normal, turn))  # seen from the ellipsoid
    a = (size[0] * size[0], size[1] * size[1], size[2] * size[2])
    length = math.sqrt(a[0] * n[0] * n[0] + a[1] * n[1] * n[1] + a[2] * n[2] * n[2])
    growth = (a[0] * n[0] * n_rate[0] + a[1] * n[1] * n_rate[1] + a[2] * n[2] * n_rate[2]) / (length * length)
    rate = sub3(scale3(growth, n), n_rate)
    return mat_vec3(mat, (a[0] * rate[0] / length, a[1] * rate[1] / length, a[2] * rate[2] / length))


@kernel
def _sphere_cylinder(m: Model, d: Data, c: int, g1: int, g2: int) -> None:
    """The sphere's centre is followed from the cylinder, which rests."""
    normal, dist, kind = row3(d.con_frame, c, 0), d.con_dist[c], d.con_feature[c, 0]
    axis, ball, radius = column3(d.geom_xmat, g2, 2), m.geom_size[g1, 0], m.geom_size[g2, 0]
    z1 = column3(d.geom_xmat, g1, 2)
    across = sub3(load3(d.geom_xpos, g1), load3(d.geom_xpos, g2))
    across = sub3(across, scale3(dot3(axis, across), axis))
    distance = math.sqrt(dot3(across, across))
    length = 0.0 if kind == CAP else dist + ball + (radius if kind == SIDE else 0.0)
    for i in range(6):
        turn, shift = unit_twist(i)
        seen = scale3(-1.0, point_rate(turn, shift, scale3(-ball - 0.5 * dist, normal)))
        if kind == SIDE:
            nearest = scale3(dot3(axis, seen), axis)
        elif kind == CAP:
            nearest = sub3(seen, scale3(dot3(axis, seen), axis))
        else:
            around = sub3(seen, scale3(dot3(axis, seen), axis))
            around = sub3(around, scale3(dot3(across, around) / (distance * distance), across))
            nearest = scale3(radius / distance, around)
        tilt = ball_tilt(normal, seen, nearest, length)
        if d.con_feature[c, 1] == 1:  # as in `round_motion.py`
            tilt = cross_tilt(normal, z1, axis, cross3(z1, turn), (0.0, 0.0, 0.0))
        rate, moved = balls_rates(normal, seen, nearest, tilt, ball, dist)
        store_seen_from_second(d, i, turn, shift, normal, rate, moved, tilt)

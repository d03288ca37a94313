"""How contacts of a box with a plane, a sphere or a capsule move (`box_geoms.py`).

A corner over a plane moves with the box. A ball is followed from the box, which then rests: the
box's nearest point keeps the place of its face, edge or corner and follows the centre otherwise.
"""

from ..kernels.enums import CAPSULE, PLANE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .box_geoms import CORNER, EDGE, FACE, UPPER, box_corner, edge_middle
from .frame import column3, row3
from .motion import (
    ball_tilt,
    balls_rates,
    plane_point_rates,
    point_rate,
    store_motion,
    store_seen_from_second,
    unit_twist,
)


@kernel
def box_motion(m: Model, d: Data, c: int) -> None:
    """Fill con_motion for contact `c` of a plane, sphere or capsule with a box."""
    pair = d.con_pair[c]
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    normal, dist, pos = row3(d.con_frame, c, 0), d.con_dist[c], load3(d.con_pos, c)
    if m.geom_type[g1] == PLANE:
        for i in range(6):
            turn, shift = unit_twist(i)
            rate, moved, tilt = plane_point_rates(normal, point_rate(turn, shift, scale3(0.5 * dist, normal)))
            store_motion(d, i, rate, moved, tilt)
        return
    mat, across, radius = load_mat3(d.geom_xmat, g2), d.con_feature[c, 0], m.geom_size[g1, 0]
    local = mat_t_vec3(mat, normal)
    single = across == 1 or across == 2 or across == 4  # a face: the normal stays
    length = 0.0 if single else dist + radius
    for i in range(6):
        turn, shift = unit_twist(i)
        seen = mat_t_vec3(mat, _centre_rate(m, d, c, turn, shift, pos))
        nearest = (
            0.0 if across & 1 else seen[0],
            0.0 if across & 2 else seen[1],
            0.0 if across & 4 else seen[2],
        )
        tilt = ball_tilt(local, seen, nearest, length)
        rate, moved = balls_rates(local, seen, nearest, tilt, radius, dist)
        store_seen_from_second(d, i, turn, shift, normal, rate, mat_vec3(mat, moved), mat_vec3(mat, tilt))


@kernel
def _centre_rate(m: Model, d: Data, c: int, turn: Vec3, shift: Vec3, pos: Vec3) -> Vec3:
    """Velocity of the ball's centre seen from the box, world axes."""
    pair = d.con_pair[c]
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    p = load3(d.geom_xpos, g1)
    p_rate = scale3(-1.0, point_rate(turn, shift, sub3(p, pos)))
    if m.geom_type[g1] != CAPSULE:
        return p_rate
    mat, h = load_mat3(d.geom_xmat, g2), scale3(m.geom_size[g1, 1], column3(d.geom_xmat, g1, 2))
    h_rate = cross3(h, turn)
    x, x_rate = _place_rate(
        m, d, c, g2,
        mat_t_vec3(mat, sub3(p, load3(d.geom_xpos, g2))), mat_t_vec3(mat, h),
        mat_t_vec3(mat, p_rate), mat_t_vec3(mat, h_rate),
    )  # fmt: skip
    return add3(p_rate, add3(scale3(x, h_rate), scale3(x_rate, h)))


@kernel
def _place_rate(
    m: Model, d: Data, c: int, g2: int, p: Vec3, h: Vec3, p_rate: Vec3, h_rate: Vec3
) -> tuple[float, float]:
    """Place of the ball's centre on the segment p - h, p + h, and its rate; all in the box's frame."""
    kind, where, axis, slab = d.con_feature[c, 1], d.con_feature[c, 2], d.con_feature[c, 3], d.con_feature[c, 4]
    size = load3(m.geom_size, g2)
    x, rate = 1.0 if kind == UPPER else -1.0, 0.0
    if kind == CORNER:
        gap, mc = sub3(box_corner(size, where), p), dot3(h, h)
        x, rate = dot3(h, gap) / mc, (dot3(h_rate, gap) - dot3(h, p_rate)) / mc
    elif kind == EDGE:
        gap = sub3(edge_middle(size, where, axis), p)
        mc, mb, mb_rate = dot3(h, h), -h[axis], -h_rate[axis]
        u, v, det = -gap[axis], dot3(h, gap), mc - mb * mb
        x, along = (v - mb * u) / det, (mc * u - mb * v) / det  # along the edge from its middle
        v_rate = dot3(h_rate, gap) - dot3(h, p_rate) - mb_rate * along
        rate = (v_rate - mb * (p_rate[axis] - mb_rate * x)) / det
    elif kind == FACE:
        axis = where // 2
        x = ((size[axis] if where % 2 else -size[axis]) - p[axis]) / h[axis]
        rate = -(p_rate[axis] + x * h_rate[axis]) / h[axis]
    if slab != 0:
        axis, sign = abs(slab) - 1, 1.0 if slab > 0 else -1.0
        span = sign * 2.0 * size[axis] / abs(h[axis])
        x, rate = x + span, rate - span * h_rate[axis] / h[axis]
    return x, rate

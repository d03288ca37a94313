"""How contacts of two boxes move (`box_box.py`).

A point of a clipped face lies in three planes, each a face of one of the boxes, and moves so that
it stays in them; the normal keeps to the box whose face it is. The crossing of two edges follows
both, the normal stays perpendicular to them.
"""

import math

from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .box_box import edge_axis, edge_witness, relative_pose
from .frame import column3, row3
from .motion import plane_point_rates, point_rate, store_motion, store_seen_from_second, unit_twist

# Sine between an edge and a face that it crosses, below which the crossing counts as a point of the
# edge: of faces that lie flush, rounding says where they cross, and a small turn moves it anywhere.
FLUSH = 1e-6


@kernel
def box_box_motion(m: Model, d: Data, c: int) -> None:
    """Fill con_motion for contact `c` of two boxes."""
    if d.con_feature[c, 0] >= 12:
        _edge_motion(m, d, c)
    else:
        _face_motion(m, d, c)


@kernel
def _face_normal(m: Model, d: Data, c: int, column: int) -> Vec3:
    """Axis of the face in a column of con_feature."""
    face = d.con_feature[c, column]
    return column3(d.geom_xmat, m.con_geom[d.con_pair[c], face // 6], (face % 6) // 2)


@kernel
def _face_motion(m: Model, d: Data, c: int) -> None:
    """Of a corner of a face against the other box's face.

    Where three planes meet, each carried by its box; the box that owns the face rests.
    """
    normal, dist = row3(d.con_frame, c, 0), d.con_dist[c]
    owner = d.con_feature[c, 0] // 6
    out = scale3(-1.0, normal) if owner else normal
    arm = scale3(0.5 * dist, out)
    n1, n2, n3 = _face_normal(m, d, c, 1), _face_normal(m, d, c, 2), _face_normal(m, d, c, 3)
    d1, d2, d3 = cross3(n2, n3), cross3(n3, n1), cross3(n1, n2)
    volume = dot3(n1, d1)
    # the owner of the face rests
    moves1 = d.con_feature[c, 1] // 6 != owner
    moves2, moves3 = d.con_feature[c, 2] // 6 != owner, d.con_feature[c, 3] // 6 != owner
    for i in range(6):
        turn, shift = unit_twist(i)
        other = point_rate(turn, shift, arm)
        if owner:
            other = scale3(-1.0, other)
        rate = other
        if abs(volume) > FLUSH:
            s1 = dot3(n1, other) / volume if moves1 else 0.0
            s2 = dot3(n2, other) / volume if moves2 else 0.0
            s3 = dot3(n3, other) / volume if moves3 else 0.0
            rate = add3(scale3(s1, d1), add3(scale3(s2, d2), scale3(s3, d3)))
        by_dist, moved, tilt = plane_point_rates(out, rate)
        if owner:
            store_seen_from_second(d, i, turn, shift, normal, by_dist, moved, tilt)
        else:
            store_motion(d, i, by_dist, moved, tilt)


@kernel
def _edge_motion(m: Model, d: Data, c: int) -> None:
    """Of two edges: `edge_witness` differentiated, in the frame of box 1, which rests."""
    pair, number = d.con_pair[c], d.con_feature[c, 0] - 12
    g1, g2, i, j = m.con_geom[pair, 0], m.con_geom[pair, 1], number // 3, number % 3
    relative_pose(d, g1, g2)
    mat, pos = load_mat3(d.geom_xmat, g1), load3(d.con_pos, c)
    normal, at = mat_t_vec3(mat, row3(d.con_frame, c, 0)), mat_t_vec3(mat, sub3(pos, load3(d.geom_xpos, g1)))
    middle1, middle2, direction, guess, second, first, stopped = edge_witness(
        m, d, g1, g2, i, j, d.con_feature[c, 1], d.con_feature[c, 2]
    )
    edge1 = (1.0 if i == 0 else 0.0, 1.0 if i == 1 else 0.0, 1.0 if i == 2 else 0.0)
    gap, cosine = sub3(middle2, middle1), direction[i]
    axis = edge_axis(d, i, j)
    sine = math.sqrt(dot3(axis, axis))
    sine = sine if dot3(axis, normal) > 0.0 else -sine
    apart = sub3(add3(middle2, scale3(second, direction)), add3(middle1, scale3(first, edge1)))
    for k in range(6):
        turn, shift = unit_twist(k)
        turn, shift = mat_t_vec3(mat, turn), mat_t_vec3(mat, shift)
        gap_rate, direction_rate = point_rate(turn, shift, sub3(middle2, at)), cross3(turn, direction)
        along2_rate = dot3(direction_rate, gap) + dot3(direction, gap_rate)
        # edge_witness, differentiated; what an end stops does not move
        first_rate, second_rate = 0.0, 0.0
        if not stopped & 1:
            along2, cosine_rate = dot3(direction, gap), direction_rate[i]
            first_rate = gap_rate[i] - cosine_rate * along2 - cosine * along2_rate
            first_rate = (first_rate + 2.0 * guess * cosine * cosine_rate) / (1.0 - cosine * cosine)
        if not stopped & 2:
            second_rate = direction_rate[i] * guess + cosine * first_rate - along2_rate
        if stopped & 4:
            first_rate = 0.0
        else:
            first_rate = gap_rate[i] + direction_rate[i] * second + cosine * second_rate
        rate1 = scale3(first_rate, edge1)
        rate2 = add3(gap_rate, add3(scale3(second, direction_rate), scale3(second_rate, direction)))
        tilt = scale3(1.0 / sine, cross3(edge1, direction_rate))
        tilt = sub3(tilt, scale3(dot3(normal, tilt), normal))
        by_dist = dot3(sub3(rate2, rate1), normal) + dot3(apart, tilt)
        store_motion(d, k, by_dist, mat_vec3(mat, scale3(0.5, add3(rate1, rate2))), mat_vec3(mat, tilt))

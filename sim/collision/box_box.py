"""Contacts of two boxes: the axis of least overlap, then a clipped face or the crossing of two edges.

Separating-axis test and manifold of mjc_BoxBox as MuJoCo 4 has it (engine_collision_box.c), with its
tolerances: faces win over edges that are hardly better, or hardly tilted against the best face. Of
a face, the other box's most opposed face is clipped to its sides (Sutherland and Hodgman 1974).

Vectors are in the frame of the first box, or of the one whose face it is. A face of either box has
the number 6 * box + 2 * axis + side. Columns of `con_feature`, for `box_box_motion.py`: the face,
then three faces in which the contact's point lies; for edges 12 + 3 * axis1 + axis2, then bits of
each edge's corner.
"""

import math

from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .box_geoms import NEGLIGIBLE, edge_middle
from .frame import add_contact, column3

ROUNDING = 1e-13  # of separations, relative to the sizes
PARALLEL = 1e-16  # squared sine between edges whose common normal is noise
PREFER_FACE = 1e-6  # part of its separation that an edge axis must be better
AMBIGUOUS = 1e-9  # component of an axis that both corners support
DUPLICATE = 1e-14  # squared distance of two points, relative to the face
MAX_CONTACTS = 8
SEPARATED, FIRST_EDGE_AXIS = -1, 6


@kernel
def collide_box_box(m: Model, d: Data, pair: int) -> None:
    """Append the contacts of two boxes."""
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    relative_pose(d, g1, g2)
    reach = m.con_margin[pair] + m.con_gap[pair]
    slack = 0.0
    for k in range(3):
        slack += ROUNDING * (m.geom_size[g1, k] + m.geom_size[g2, k])
    axis = _separating_axis(m, d, g1, g2, reach + slack)
    if axis >= FIRST_EDGE_AXIS:
        _edge_contact(m, d, pair, axis - FIRST_EDGE_AXIS, reach + slack)
    elif axis != SEPARATED:
        _face_contacts(m, d, pair, axis // 3, axis % 3, reach)


@kernel
def relative_pose(d: Data, g1: int, g2: int) -> None:
    """Fill box_rot: axes of box 2 as columns, seen from box 1; box_offset: the other's centre seen from each."""
    apart = sub3(load3(d.geom_xpos, g2), load3(d.geom_xpos, g1))
    from_first = mat_t_vec3(load_mat3(d.geom_xmat, g1), apart)
    from_second = mat_t_vec3(load_mat3(d.geom_xmat, g2), apart)
    for k in range(3):
        axis = mat_t_vec3(load_mat3(d.geom_xmat, g1), column3(d.geom_xmat, g2, k))
        d.box_offset[0, k], d.box_offset[1, k] = from_first[k], -from_second[k]
        for i in range(3):
            d.box_rot[i, k] = axis[i]


@kernel
def box_turn(d: Data, box: int, i: int, k: int) -> float:
    """Component `i`, in the frame of `box`, of axis `k` of the other box."""
    return d.box_rot[k, i] if box else d.box_rot[i, k]


@kernel
def edge_axis(d: Data, i: int, j: int) -> Vec3:
    """Axis `i` of box 1 crossed with axis `j` of box 2."""
    x, y = -d.box_rot[(i + 2) % 3, j], d.box_rot[(i + 1) % 3, j]  # components i + 1 and i + 2
    if i == 0:
        return 0.0, x, y
    if i == 1:
        return y, 0.0, x
    return x, y, 0.0


@kernel
def _separating_axis(m: Model, d: Data, g1: int, g2: int, reach: float) -> int:
    """Number of the axis of largest separation: 3 * box + axis of a face, or 6 + 3 * axis1 + axis2."""
    best, found = -math.inf, SEPARATED
    for k in range(6):
        box, i = k // 3, k % 3
        own, other = (g2, g1) if box else (g1, g2)
        extent = 0.0
        for j in range(3):
            extent += abs(box_turn(d, box, i, j)) * m.geom_size[other, j]
        separation = abs(d.box_offset[box, i]) - m.geom_size[own, i] - extent
        if separation > reach:
            return SEPARATED
        if separation > best:
            best, found = separation, k
    face, at_face = found, best
    for k in range(9):
        i, j = k // 3, k % 3
        axis = edge_axis(d, i, j)
        square = dot3(axis, axis)
        if square < PARALLEL:
            continue
        axis = scale3(1.0 / math.sqrt(square), axis)
        extent, distance = 0.0, 0.0
        for r in range(3):
            if r != j:
                seen = axis[0] * d.box_rot[0, r] + axis[1] * d.box_rot[1, r] + axis[2] * d.box_rot[2, r]
                extent += m.geom_size[g2, r] * abs(seen)
            if r != i:
                extent += m.geom_size[g1, r] * abs(axis[r])
            distance += axis[r] * d.box_offset[0, r]
        separation = abs(distance) - extent
        if separation > reach:
            return SEPARATED
        if separation - PREFER_FACE * abs(separation) > best and separation > at_face:
            best, found = separation, FIRST_EDGE_AXIS + k
    if found >= FIRST_EDGE_AXIS and best < at_face + 0.05 * abs(at_face) + NEGLIGIBLE and _is_near(d, found, face):
        return face
    return found


@kernel
def _is_near(d: Data, number: int, face: int) -> bool:
    """Whether an edge axis is tilted by less than 8 degrees against the normal of a face."""
    axis = edge_axis(d, (number - FIRST_EDGE_AXIS) // 3, (number - FIRST_EDGE_AXIS) % 3)
    along = 0.0
    for r in range(3):
        along += axis[r] * (d.box_rot[r, face % 3] if face >= 3 else (1.0 if r == face else 0.0))
    return abs(along) > 0.99 * math.sqrt(dot3(axis, axis))


@kernel
def edge_witness(
    m: Model, d: Data, g1: int, g2: int, i: int, j: int, bits1: int, bits2: int
) -> tuple[Vec3, Vec3, Vec3, float, float, float, int]:
    """Nearest points of two edges, in the frame of box 1.

    Middle of the first edge; middle and direction of the second; the place on the first that a
    first guess gives, the place on the second, the final one on the first; bits of those three
    that stay, as an end stops them or the edges are parallel.
    """
    middle1, middle2 = edge_middle(load3(m.geom_size, g1), bits1, i), edge_middle(load3(m.geom_size, g2), bits2, j)
    middle2 = (
        d.box_offset[0, 0] + d.box_rot[0, 0] * middle2[0] + d.box_rot[0, 1] * middle2[1] + d.box_rot[0, 2] * middle2[2],
        d.box_offset[0, 1] + d.box_rot[1, 0] * middle2[0] + d.box_rot[1, 1] * middle2[1] + d.box_rot[1, 2] * middle2[2],
        d.box_offset[0, 2] + d.box_rot[2, 0] * middle2[0] + d.box_rot[2, 1] * middle2[1] + d.box_rot[2, 2] * middle2[2],
    )
    direction = (d.box_rot[0, j], d.box_rot[1, j], d.box_rot[2, j])
    gap = sub3(middle2, middle1)
    end1, end2, cosine = m.geom_size[g1, i], m.geom_size[g2, j], direction[i]
    along1, along2 = gap[i], dot3(direction, gap)
    square = 1.0 - cosine * cosine  # of the sine between the edges
    guess = (along1 - cosine * along2) / square if square >= NEGLIGIBLE else 0.0
    stopped = 1 if abs(guess) > end1 or square < NEGLIGIBLE else 0
    guess = min(max(guess, -end1), end1)
    second = cosine * guess - along2
    stopped += 2 if abs(second) > end2 else 0
    second = min(max(second, -end2), end2)
    first = along1 + cosine * second
    stopped += 4 if abs(first) > end1 else 0
    first = min(max(first, -end1), end1)
    return middle1, middle2, direction, guess, second, first, stopped


@kernel
def _edge_contact(m: Model, d: Data, pair: int, number: int, reach: float) -> None:
    """Contact of edge `number` // 3 of box 1 with edge `number` % 3 of box 2.

    At the middle of the shortest line between the nearest pair of parallel edges; none beyond `reach`.
    """
    g1, g2, i, j = m.con_geom[pair, 0], m.con_geom[pair, 1], number // 3, number % 3
    axis = edge_axis(d, i, j)
    axis = scale3(1.0 / math.sqrt(dot3(axis, axis)), axis)
    if axis[0] * d.box_offset[0, 0] + axis[1] * d.box_offset[0, 1] + axis[2] * d.box_offset[0, 2] < 0.0:
        axis = scale3(-1.0, axis)
    bits1, bits2, free1, free2 = 0, 0, 0, 0  # corners that support the axis, and axes where both sides do
    for step in range(2, 0, -1):
        r = (i + step) % 3
        bits1 += (1 << r) if axis[r] >= 0.0 else 0
        free1 = (1 << r) if abs(axis[r]) < AMBIGUOUS else free1
        r = (j + step) % 3
        seen = axis[0] * d.box_rot[0, r] + axis[1] * d.box_rot[1, r] + axis[2] * d.box_rot[2, r]
        bits2 += (1 << r) if seen < 0.0 else 0
        free2 = (1 << r) if abs(seen) < AMBIGUOUS else free2
    best, corner1, corner2 = math.inf, bits1, bits2
    dist, middle = 0.0, axis
    for k in range(4):
        if (k >= 2 and free1 == 0) or (k % 2 == 1 and free2 == 0):
            continue
        c1, c2 = bits1 ^ (free1 if k >= 2 else 0), bits2 ^ (free2 if k % 2 == 1 else 0)
        middle1, middle2, direction, _, second, first, _ = edge_witness(m, d, g1, g2, i, j, c1, c2)
        w1 = (
            middle1[0] + (first if i == 0 else 0.0),
            middle1[1] + (first if i == 1 else 0.0),
            middle1[2] + (first if i == 2 else 0.0),
        )
        w2 = add3(middle2, scale3(second, direction))
        gap = sub3(w2, w1)
        if dot3(gap, gap) < best:
            best, corner1, corner2 = dot3(gap, gap), c1, c2
            dist, middle = dot3(gap, axis), scale3(0.5, add3(w1, w2))
    if dist > reach:
        return
    c, mat = d.ncon[0], load_mat3(d.geom_xmat, g1)
    add_contact(d, pair, dist, add3(load3(d.geom_xpos, g1), mat_vec3(mat, middle)), mat_vec3(mat, axis))
    d.con_feature[c, 0], d.con_feature[c, 1], d.con_feature[c, 2] = 12 + number, corner1, corner2
    d.con_feature[c, 3] = 0


@kernel
def _face_contacts(m: Model, d: Data, pair: int, box: int, axis: int, reach: float) -> None:
    """Contacts of the face of `box` across `axis`, on the side of the other box."""
    own, other = m.con_geom[pair, box], m.con_geom[pair, 1 - box]
    x_axis, y_axis, side = (axis + 1) % 3, (axis + 2) % 3, 1 if d.box_offset[box, axis] >= 0.0 else 0
    opposed = _opposed_polygon(m, d, box, axis, side, own, other)
    width, depth = m.geom_size[own, x_axis], m.geom_size[own, y_axis]
    n, buffer = 4, 0
    for k in range(4):
        along, sign = k // 2, 1.0 if k % 2 == 0 else -1.0
        limit, label = depth if along else width, 6 * box + 2 * (y_axis if along else x_axis) + 1 - k % 2
        n, buffer = _clip(d, buffer, n, along, sign, limit, label)
    sign = 1.0 if side else -1.0
    out = scale3(sign, column3(d.geom_xmat, own, axis))
    normal = scale3(-1.0, out) if box else out
    u, v, centre = column3(d.geom_xmat, own, x_axis), column3(d.geom_xmat, own, y_axis), load3(d.geom_xpos, own)
    near, spare, count = DUPLICATE * (width * width + depth * depth), 1 - buffer, 0
    for k in range(n):
        x, y, z = d.box_poly[buffer, k, 0], d.box_poly[buffer, k, 1], d.box_poly[buffer, k, 2]
        fresh = z <= reach and count < MAX_CONTACTS
        for q in range(count):
            dx, dy = d.box_poly[spare, q, 0] - x, d.box_poly[spare, q, 1] - y
            fresh = fresh and dx * dx + dy * dy >= near
        if not fresh:
            continue
        d.box_poly[spare, count, 0], d.box_poly[spare, count, 1], count = x, y, count + 1
        pos = add3(centre, add3(scale3(x, u), add3(scale3(y, v), scale3(m.geom_size[own, axis] + 0.5 * z, out))))
        c = d.ncon[0]
        add_contact(d, pair, z, pos, normal)
        d.con_feature[c, 0], d.con_feature[c, 1] = 6 * box + 2 * axis + side, opposed
        d.con_feature[c, 2], d.con_feature[c, 3] = d.box_edge[buffer, (k + n - 1) % n], d.box_edge[buffer, k]


@kernel
def _opposed_polygon(m: Model, d: Data, box: int, axis: int, side: int, own: int, other: int) -> int:
    """Fill box_poly[0], box_edge[0] with the other box's most opposed face; its number is returned.

    Points are (x, y) across the face of `box` and z, their height over it; an edge follows its
    point and is named after the other face in which it lies.
    """
    b = 0
    for k in range(1, 3):
        if abs(box_turn(d, box, axis, k)) > abs(box_turn(d, box, axis, b)):
            b = k
    sign = 1.0 if side else -1.0
    facing = -1.0 if sign * box_turn(d, box, axis, b) > 0.0 else 1.0
    bu, bv, others = (b + 1) % 3, (b + 2) % 3, 6 * (1 - box)
    for r in range(3):
        c = (axis + 1 + r) % 3
        s = sign if r == 2 else 1.0
        middle = s * (d.box_offset[box, c] + facing * m.geom_size[other, b] * box_turn(d, box, c, b))
        if r == 2:
            middle -= m.geom_size[own, axis]
        du = s * m.geom_size[other, bu] * box_turn(d, box, c, bu)
        dv = s * m.geom_size[other, bv] * box_turn(d, box, c, bv)
        for k in range(4):
            d.box_poly[0, k, r] = middle + (du if k % 3 == 0 else -du) + (dv if k < 2 else -dv)
    d.box_edge[0, 0], d.box_edge[0, 2] = others + 2 * bv + 1, others + 2 * bv
    d.box_edge[0, 1], d.box_edge[0, 3] = others + 2 * bu, others + 2 * bu + 1
    return others + 2 * b + (1 if facing > 0.0 else 0)


@kernel
def _clip(d: Data, buffer: int, n: int, along: int, sign: float, limit: float, label: int) -> tuple[int, int]:
    """Keep the part of the polygon with sign * (coordinate `along`) <= limit; its size and buffer."""
    inside = True
    for k in range(n):
        d.box_over[k] = sign * d.box_poly[buffer, k, along] - limit
        inside = inside and d.box_over[k] <= 0.0
    if inside:
        return n, buffer
    spare, kept, room = 1 - buffer, 0, d.box_over.shape[0]
    for k in range(n):
        q = (k + 1) % n
        here, there = d.box_over[k], d.box_over[q]
        if here <= 0.0 and kept < room:
            for r in range(3):
                d.box_poly[spare, kept, r] = d.box_poly[buffer, k, r]
            d.box_edge[spare, kept], kept = d.box_edge[buffer, k], kept + 1
        if (here < 0.0) != (there < 0.0) and here != there and kept < room:
            t = here / (here - there)
            for r in range(3):
                d.box_poly[spare, kept, r] = d.box_poly[buffer, k, r] + t * (
                    d.box_poly[buffer, q, r] - d.box_poly[buffer, k, r]
                )
            d.box_edge[spare, kept], kept = label if here < 0.0 else d.box_edge[buffer, k], kept + 1
    return kept, spare

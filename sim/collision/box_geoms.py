"""Contacts of a box with a plane, a sphere or a capsule.

Conventions of mjc_PlaneBox, mjc_SphereBox and mjc_CapsuleBox (MuJoCo, engine_collision_primitive.c
and engine_collision_box.c). A capsule touches like one or two balls with centres on its segment:
at the point nearest to the box, and further along, at most where the segment leaves the faces.

Columns of `con_feature`, for the rates in `box_motion.py`:

    0  bits of the box's axes across which the box is nearest to the ball's centre
    1  what decides the centre's place on the segment: LOWER, UPPER, CORNER, EDGE or FACE
    2  bits of the corner (an edge's: the lower one), or face: 2 axis + side
    3  axis of the edge
    4  0, or sign * (axis + 1): from there on by the box's width along that axis
"""

import math

from ..kernels.enums import PLANE, SPHERE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .frame import add_contact, column3

LOWER, UPPER, CORNER, EDGE, FACE = 0, 1, 2, 3, 4
Place = tuple[float, int, int, int, int]  # on the segment, -1 to 1; then columns 1 to 4 of con_feature
NEGLIGIBLE = 1e-15  # mjMINVAL


@kernel
def box_corner(size: Vec3, bits: int) -> Vec3:
    """The corner on the positive side of the axes whose bit is set."""
    return (
        size[0] if bits & 1 else -size[0],
        size[1] if bits & 2 else -size[1],
        size[2] if bits & 4 else -size[2],
    )


@kernel
def edge_middle(size: Vec3, bits: int, axis: int) -> Vec3:
    """Middle of the edge along `axis` at a corner."""
    c = box_corner(size, bits)
    return 0.0 if axis == 0 else c[0], 0.0 if axis == 1 else c[1], 0.0 if axis == 2 else c[2]


@kernel
def collide_box(m: Model, d: Data, pair: int) -> None:
    """Append the contacts of one pair of plane, sphere or capsule with a box."""
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    kind = m.geom_type[g1]
    if kind == PLANE:
        _plane_box(m, d, pair, g1, g2)
    elif kind == SPHERE:
        _ball_box(m, d, pair, g1, g2, load3(d.geom_xpos, g1), (0.0, LOWER, 0, 0, 0))
    else:
        _capsule_box(m, d, pair, g1, g2)


@kernel
def _plane_box(m: Model, d: Data, pair: int, g1: int, g2: int) -> None:
    reach, normal, centre = m.con_margin[pair] + m.con_gap[pair], column3(d.geom_xmat, g1, 2), load3(d.geom_xpos, g2)
    height, count = dot3(normal, sub3(centre, load3(d.geom_xpos, g1))), 0
    for bits in range(8):
        corner = mat_vec3(load_mat3(d.geom_xmat, g2), box_corner(load3(m.geom_size, g2), bits))
        above = dot3(normal, corner)
        dist = height + above
        if above <= 0.0 and dist <= reach and count < 4:
            add_contact(d, pair, dist, add3(centre, sub3(corner, scale3(0.5 * dist, normal))), normal)
            count += 1


@kernel
def _clamped(x: float, limit: float) -> float:
    return min(max(x, -limit), limit)


@kernel
def _ball_box(m: Model, d: Data, pair: int, g1: int, g2: int, centre: Vec3, place: Place) -> None:
    """A ball of geom 1's radius around `centre`, and the box."""
    mat, size, radius = load_mat3(d.geom_xmat, g2), load3(m.geom_size, g2), m.geom_size[g1, 0]
    local = mat_t_vec3(mat, sub3(centre, load3(d.geom_xpos, g2)))
    nearest = (_clamped(local[0], size[0]), _clamped(local[1], size[1]), _clamped(local[2], size[2]))
    normal = sub3(nearest, local)
    length = math.sqrt(dot3(normal, normal))
    if length - radius > m.con_margin[pair] + m.con_gap[pair]:
        return
    if length > NEGLIGIBLE:
        normal = scale3(1.0 / length, normal)
        across = (1 if normal[0] != 0.0 else 0) + (2 if normal[1] != 0.0 else 0) + (4 if normal[2] != 0.0 else 0)
    else:
        axis, side, length = 0, 1.0, -math.inf
        for i in range(6):
            sign = 1.0 if i % 2 == 0 else -1.0  # towards the inside
            inside = -abs(sign * size[i // 2] + local[i // 2])
            if inside > length:
                axis, side, length = i // 2, sign, inside
        across = 1 << axis
        normal = (side if axis == 0 else 0.0, side if axis == 1 else 0.0, side if axis == 2 else 0.0)
    normal, dist, c = mat_vec3(mat, normal), length - radius, d.ncon[0]
    add_contact(d, pair, dist, add3(centre, scale3(radius + 0.5 * dist, normal)), normal)
    kind = place[1]
    if kind == FACE and across != 1 << (place[2] // 2):  # the centre keeps to this face's plane
        across &= 7 - (1 << (place[2] // 2))
    d.con_feature[c, 0], d.con_feature[c, 1] = across, kind
    d.con_feature[c, 2] = place[2] if kind >= CORNER else 0
    d.con_feature[c, 3] = place[3] if kind == EDGE else 0
    d.con_feature[c, 4] = place[4]


@kernel
def _capsule_box(m: Model, d: Data, pair: int, g1: int, g2: int) -> None:
    """One contact at the segment's point nearest the box.

    And a second where the segment runs along a face or past an edge.
    """
    mat, size, origin = load_mat3(d.geom_xmat, g2), load3(m.geom_size, g2), load3(d.geom_xpos, g2)
    axis, length = column3(d.geom_xmat, g1, 2), m.geom_size[g1, 1]
    p, h = mat_t_vec3(mat, sub3(load3(d.geom_xpos, g1), origin)), scale3(length, mat_t_vec3(mat, axis))
    at_face, best, face = _nearest_end(p, h, size)
    first, middle, found = _nearest_on_edges(p, h, size, length, best)
    if not found:
        if best == math.inf:  # so short that it counts as parallel to every edge
            return
        first = at_face
    _ball_box(m, d, pair, g1, g2, add3(origin, mat_vec3(mat, add3(p, scale3(first[0], h)))), first)
    if not found and face == -1:
        return
    if not found:
        second = _along_face(p, h, size, at_face, face)
    elif middle:
        second = _from_edge(p, h, size, first)
    else:
        second = _from_corner(h, size, length, first)
    if second[1] >= 0:
        _ball_box(m, d, pair, g1, g2, add3(origin, mat_vec3(mat, add3(p, scale3(second[0], h)))), second)


@kernel
def _nearest_end(p: Vec3, h: Vec3, size: Vec3) -> tuple[Place, float, int]:
    """The end of the segment p - h, p + h nearest to a face, its squared distance, the face's axis.

    Axis -1: the end lies in the box; the distance is infinite if neither end lies in it or over a face.
    """
    place, best, face = (0.0, LOWER, 0, 0, 0), math.inf, -1
    for end in range(2):
        sign = 2.0 * end - 1.0
        outside, axis, square = 0, -1, 0.0
        for k in range(3):
            x = p[k] + sign * h[k]
            if abs(x) > size[k]:
                outside, axis, square = outside + 1, k, (abs(x) - size[k]) ** 2
        if outside <= 1 and square < best:
            place, best, face = (sign, end, 0, 0, 0), square, axis
    return place, best, face


@kernel
def _moved_along(v: Vec3, axis: int, x: float) -> Vec3:
    return v[0] + (x if axis == 0 else 0.0), v[1] + (x if axis == 1 else 0.0), v[2] + (x if axis == 2 else 0.0)


@kernel
def _nearest_on_edges(p: Vec3, h: Vec3, size: Vec3, length: float, best: float) -> tuple[Place, bool, bool]:
    """The point of the segment nearest to an edge, if nearer than `best`; whether it faces the edge's middle."""
    place, middle, found = (0.0, LOWER, 0, 0, 0), False, False
    for axis in range(3):
        for bits in range(8):
            if bits & (1 << axis):
                continue
            gap = sub3(edge_middle(size, bits, axis), p)
            ma, mb, mc = size[axis] * size[axis], -size[axis] * h[axis], length * length
            u, v = -size[axis] * gap[axis], dot3(h, gap)
            det = ma * mc - mb * mb
            if abs(det) < NEGLIGIBLE:
                continue
            x1, x2 = (mc * u - mb * v) / det, (ma * v - mb * u) / det
            side, kind = 1, EDGE  # of the edge: 0 and 2 are its ends
            if abs(x1) > 1.0:
                side, kind, x1 = (2, CORNER, 1.0) if x1 > 0.0 else (0, CORNER, -1.0)
                x2 = (v - x1 * mb) / mc
            if abs(x2) > 1.0:
                kind, x2 = (UPPER, 1.0) if x2 > 0.0 else (LOWER, -1.0)
                x1 = (u - x2 * mb) / ma
                if abs(x1) > 1.0:
                    side, x1 = (2, 1.0) if x1 > 0.0 else (0, -1.0)
            apart = _moved_along(sub3(gap, scale3(x2, h)), axis, size[axis] * x1)
            square = dot3(apart, apart)
            if square < best - NEGLIGIBLE:
                corner = bits + ((1 << axis) if side == 2 else 0)
                place, middle, best, found = (x2, kind, corner, axis, 0), side == 1, square, True
    return place, middle, found


@kernel
def _ahead(sign: float) -> Place:
    """The end of the segment in the direction `sign`."""
    return sign, UPPER if sign > 0.0 else LOWER, 0, 0, 0


@kernel
def _to_width(h: Vec3, size: Vec3, start: Place, sign: float, axis: int, far: Place) -> Place:
    """`far`, or the place where the segment has crossed the box along `axis` if that comes first."""
    span = 2.0 * size[axis] / abs(h[axis]) if h[axis] != 0.0 else math.inf
    if span < sign * (far[0] - start[0]):
        return start[0] + sign * span, start[1], start[2], start[3], (axis + 1 if sign > 0.0 else -axis - 1)
    return far


@kernel
def _to_face(p: Vec3, h: Vec3, size: Vec3, start: Place, axis: int, side: int, far: Place) -> Place:
    """`far`, or the place where the segment crosses a face's plane if that lies between `start` and it."""
    if h[axis] == 0.0:
        return far
    x = ((size[axis] if side else -size[axis]) - p[axis]) / h[axis]
    sign = 1.0 if far[0] > start[0] else -1.0
    if 0.0 < sign * (x - start[0]) < sign * (far[0] - start[0]):
        return x, FACE, 2 * axis + side, 0, 0
    return far


@kernel
def _directions(h: Vec3) -> int:
    return (1 if h[0] > 0.0 else 0) + (2 if h[1] > 0.0 else 0) + (4 if h[2] > 0.0 else 0)


@kernel
def _from_corner(h: Vec3, size: Vec3, length: float, start: Place) -> Place:
    """Second centre after one next to a corner: along the edge or the face that the segment leans to."""
    bits = _directions(h) ^ start[2]
    if bits == 0 or bits == 7:
        return 0.0, -1, 0, 0, 0
    sign = 1.0
    if bits == 3 or bits == 5 or bits == 6:
        sign, bits = -1.0, 7 - bits
    axis = bits // 2
    if h[axis] * h[axis] > 0.5 * length * length:
        return _to_width(h, size, start, sign, axis, _ahead(sign))
    far = _to_width(h, size, start, -sign, (axis + 1) % 3, _ahead(-sign))
    return _to_width(h, size, start, -sign, (axis + 2) % 3, far)


@kernel
def _from_edge(p: Vec3, h: Vec3, size: Vec3, start: Place) -> Place:
    """Second centre after one next to the middle of an edge: across the face that the segment leans to."""
    axis, directions = start[3], _directions(h)
    bits = (directions ^ start[2]) & (7 - (1 << axis))
    if bits != 1 and bits != 2 and bits != 4:
        return 0.0, -1, 0, 0, 0
    across, other = (axis + 1) % 3, (axis + 2) % 3
    if abs(h[other]) >= abs(h[across]):
        across = other
    sign = 1.0 if bits & (1 << across) else -1.0
    far = _to_width(h, size, start, sign, across, _ahead(sign))
    upper = ((directions >> axis) & 1 != 0) == (sign > 0.0)
    return _to_face(p, h, size, start, axis, 1 if upper else 0, far)


@kernel
def _along_face(p: Vec3, h: Vec3, size: Vec3, start: Place, face: int) -> Place:
    """Second centre after an end over a face: the other end, or where the segment leaves the face."""
    far = _ahead(-start[0])
    for i in range(6):
        if i // 2 != face:
            far = _to_face(p, h, size, start, i // 2, i % 2, far)
    return far

"""Nearest or deepest points on curved surfaces, made exact by Newton's method.

GJK and EPA approach a curved surface by chords, so their normal is right to the square root of
their tolerance only, and faces, edges and rims that nearly lie on each other are one to them. From
there the conditions of `feature_system.py` are solved for the points and the normal, for what the
contact seems to lie on. The result stays if the support functions confirm it and the points lie
within their edges and caps; otherwise the features next to these have their turn.
"""

import math

from ..kernels.enums import CAPSULE, CYLINDER, ELLIPSOID, SPHERE
from ..kernels.jit import kernel, sequence
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, scale3, store3, sub3
from ..model.data import Data
from ..model.model import Model
from .curved import CURVE, EDGE, FACE, VERTEX, axis_of, curved_feature, edge_radius, is_curved
from .feature_system import compatible_features, eliminate, feature_rows, tangents
from .frame import unit_or_x
from .polytope_faces import vertex_position, within_face
from .support import core_support

Feature = tuple[int, Vec3, Vec3]  # kind, direction of the edge, normal of the face
STEPS = 20
CONFIRMED = 1e-9  # mismatch with the support functions, as part of the size
SAME = 1e-7  # how far the distance may have changed, as part of the size
UPRIGHT = 1e-2  # sine of a normal and an axis that may be parallel, or orthogonal


@kernel
def polish(m: Model, d: Data, g1: int, g2: int, gap: float, normal: Vec3) -> tuple[float, Vec3]:
    """Improve ccd_point and the normal; returns distance of the cores and normal.

    Sets ccd_feature of curved geoms, as the points were found, and ccd_kind, as they are.
    """
    found1, found2 = load3(d.ccd_point, 0), load3(d.ccd_point, 1)
    _curved_kind(m, d, g1, 0, normal)
    _curved_kind(m, d, g2, 1, scale3(-1.0, normal))
    for attempt in range(4):
        kind1 = _kind(m, d, g1, 0, normal, attempt % 2 == 1)
        kind2 = _kind(m, d, g2, 1, scale3(-1.0, normal), attempt >= 2)
        if kind1 == 0 or kind2 == 0:
            continue
        x1 = core_support(m, d, g1, normal)[0] if attempt % 2 == 1 and kind1 == VERTEX else found1
        x2 = core_support(m, d, g2, scale3(-1.0, normal))[0] if attempt >= 2 and kind2 == VERTEX else found2
        n, one, two = normal, _feature(m, d, g1, 0, kind1, normal), _feature(m, d, g2, 1, kind2, normal)
        kind1, kind2 = compatible_features(kind1, kind2, one[1], two[1])
        bound1, bound2 = (kind1, one[1], one[2]), (kind2, two[1], two[2])
        for _ in range(STEPS):
            x1 = _on_curve(m, d, g1, one[0], n, x1)
            x2 = _on_curve(m, d, g2, two[0], scale3(-1.0, n), x2)
            _linearise(m, d, g1, g2, bound1, bound2, sub3(x2, x1), n)
            eliminate(d)
            x1, x2, n, turn = _newton_step(d, bound1, bound2, x1, x2, n)
            if turn < 1e-14:
                break
        x1 = _on_curve(m, d, g1, one[0], n, x1)
        x2 = _on_curve(m, d, g2, two[0], scale3(-1.0, n), x2)
        dist = dot3(sub3(x2, x1), n)
        size = m.geom_rbound[g1] + m.geom_rbound[g2]
        if (
            abs(dist - gap) <= SAME * size
            and _confirmed(m, d, g1, g2, x1, x2, n)
            and _within(m, d, g1, 0, one[0], n, x1, size)
            and _within(m, d, g2, 1, two[0], scale3(-1.0, n), x2, size)
        ):
            store3(d.ccd_point, 0, x1)
            store3(d.ccd_point, 1, x2)
            d.ccd_kind[0], d.ccd_kind[1] = one[0], two[0]
            return dist, n
    return gap, normal


@kernel
def _curved_kind(m: Model, d: Data, g: int, side: int, outward: Vec3) -> None:
    if is_curved(m, g):
        kind = curved_feature(m, d, g, load3(d.ccd_point, side))
        if m.geom_type[g] == CYLINDER and not _may_be(d, g, kind, outward):
            kind = CURVE
        d.ccd_feature[side, 0], d.ccd_kind[side] = kind, kind
        store3(d.ccd_side, side, axis_of(d, g))


@kernel
def _may_be(d: Data, g: int, kind: int, outward: Vec3) -> bool:
    """Whether a normal is near those of a cylinder's cap or side."""
    along = dot3(axis_of(d, g), outward)
    return abs(along) < UPRIGHT if kind == EDGE else 1.0 - abs(along) < 0.5 * UPRIGHT**2


@kernel
def _kind(m: Model, d: Data, g: int, side: int, outward: Vec3, other: bool) -> int:
    """What the contact seems to lie on, or what is next to it; 0: nothing is."""
    kind, shape = d.ccd_feature[side, 0], m.geom_type[g]
    if not other:
        return kind
    if shape == CYLINDER:
        if kind != CURVE:
            return CURVE
        return EDGE if _may_be(d, g, EDGE, outward) else (FACE if _may_be(d, g, FACE, outward) else 0)
    if shape == ELLIPSOID or shape == SPHERE:
        return 0
    return 0 if kind == VERTEX and core_support(m, d, g, outward)[1] == d.ccd_feature[side, 1] else VERTEX


@kernel
def _feature(m: Model, d: Data, g: int, side: int, kind: int, n: Vec3) -> Feature:
    """A feature; normals of faces as the contact's, from geom 1 to geom 2."""
    sign = 1.0 if side == 0 else -1.0
    return kind, load3(d.ccd_side, side), scale3(sign, _face_normal(m, d, g, side, kind, scale3(sign, n)))


@sequence
def _linearise(m: Model, d: Data, g1: int, g2: int, one: Feature, two: Feature, apart: Vec3, n: Vec3) -> None:
    """The system of `feature_system.py` at points `apart` and normal n, the mismatch of both in column 4."""
    a, dist, (t1, t2) = d.con_solve, dot3(apart, n), tangents(n)
    feature_rows(m, d, g1, 0, one[0], edge_radius(m, g1), one[1], n, 1.0, 0.0)
    feature_rows(m, d, g2, 2, two[0], edge_radius(m, g2), two[1], n, -1.0, dist)
    r0, r1 = dot3(apart, t1), dot3(apart, t2)
    for k in range(2):
        a[k, 4] = _mismatch(one[0], k, one[1], one[2], n, t1, t2)
        # of x2 = x1 + dist n the tangential part is missing so far
        a[2 + k, 4] = a[2 + k, 10] * r0 + a[2 + k, 11] * r1 - _mismatch(two[0], k, two[1], two[2], n, t1, t2)
        for i in range(5, 10):
            a[k, i], a[2 + k, i] = 0.0, 0.0


@sequence
def _newton_step(d: Data, one: Feature, two: Feature, x1: Vec3, x2: Vec3, n: Vec3) -> tuple[Vec3, Vec3, Vec3, float]:
    """Points and normal moved by the system's solution, the normal by 0.3 at most; and how far it should turn."""
    a, apart, (t1, t2) = d.con_solve, sub3(x2, x1), tangents(n)
    dist, r0, r1 = dot3(apart, n), dot3(apart, t1), dot3(apart, t2)
    v0, v1 = a[2, 4], a[3, 4]
    largest = max(abs(v0), abs(v1))
    scale = 0.3 / largest if largest > 0.3 else 1.0
    s0, s1 = scale * a[0, 4], scale * a[1, 4]
    v0, v1 = scale * v0, scale * v1
    shift1 = add3(scale3(s0, t1), scale3(s1, t2))
    s0, s1 = s0 + dist * v0 - scale * r0, s1 + dist * v1 - scale * r1
    shift2 = add3(scale3(s0, t1), scale3(s1, t2))
    turned = unit_or_x(add3(n, add3(scale3(v0, t1), scale3(v1, t2))))[0]
    return _slide(x1, one, shift1), _slide(x2, two, shift2), turned, largest


@kernel
def _face_normal(m: Model, d: Data, g: int, side: int, kind: int, outward: Vec3) -> Vec3:
    """Outward normal of the face that the contact lies on, if it is one."""
    if kind != FACE:
        return outward
    if is_curved(m, g):
        axis = axis_of(d, g)
        return axis if dot3(axis, outward) > 0.0 else scale3(-1.0, axis)
    return _triangle_normal(d, side, outward)


@kernel
def _triangle_normal(d: Data, side: int, outward: Vec3) -> Vec3:
    a = load3(d.ccd_vert[d.ccd_corner[0]], 1 + side)
    ab = sub3(load3(d.ccd_vert[d.ccd_corner[1]], 1 + side), a)
    normal, area = unit_or_x(cross3(ab, sub3(load3(d.ccd_vert[d.ccd_corner[2]], 1 + side), a)))
    if area == 0.0:
        return outward
    return normal if dot3(normal, outward) > 0.0 else scale3(-1.0, normal)


@kernel
def _mismatch(kind: int, k: int, edge: Vec3, face: Vec3, n: Vec3, t1: Vec3, t2: Vec3) -> float:
    """How far the normal is from one that the feature allows."""
    if kind == FACE:
        return -dot3(face, t1 if k == 0 else t2)
    return dot3(edge, n) if kind == EDGE and k == 0 else 0.0


@kernel
def _slide(x: Vec3, feature: Feature, shift: Vec3) -> Vec3:
    """`x` moved by the part of `shift` along its edge or face; other features follow from the normal."""
    kind, edge, face = feature
    if kind == EDGE:
        return add3(x, scale3(dot3(edge, shift), edge))
    if kind == FACE:
        return add3(x, sub3(shift, scale3(dot3(face, shift), face)))
    return x


@kernel
def _on_curve(m: Model, d: Data, g: int, kind: int, outward: Vec3, x: Vec3) -> Vec3:
    """The point of the surface that belongs to the normal; on a cylinder's side at the height of `x`."""
    if kind == CURVE:
        return core_support(m, d, g, outward)[0]
    if kind == EDGE and is_curved(m, g):
        axis, centre = axis_of(d, g), load3(d.geom_xpos, g)
        across = unit_or_x(sub3(outward, scale3(dot3(axis, outward), axis)))[0]
        height = dot3(axis, sub3(x, centre))
        return add3(centre, add3(scale3(height, axis), scale3(m.geom_size[g, 0], across)))
    return x


@kernel
def _confirmed(m: Model, d: Data, g1: int, g2: int, x1: Vec3, x2: Vec3, n: Vec3) -> bool:
    """Whether both points lie farthest along the normal, opposite each other."""
    size = m.geom_rbound[g1] + m.geom_rbound[g2]
    slip = sub3(sub3(x2, x1), scale3(dot3(sub3(x2, x1), n), n))
    if dot3(slip, slip) > (CONFIRMED * size) ** 2:
        return False
    farthest1, farthest2 = core_support(m, d, g1, n)[0], core_support(m, d, g2, scale3(-1.0, n))[0]
    beyond = max(dot3(sub3(farthest1, x1), n), -dot3(sub3(farthest2, x2), n))
    return beyond <= CONFIRMED * size


@kernel
def _within(m: Model, d: Data, g: int, side: int, kind: int, outward: Vec3, x: Vec3, size: float) -> bool:
    """Whether a point that slid along an edge or a face is still on it."""
    shape = m.geom_type[g]
    if kind != EDGE and kind != FACE:
        return True
    if shape == CYLINDER or shape == CAPSULE:
        arm, axis = sub3(x, load3(d.geom_xpos, g)), axis_of(d, g)
        height = dot3(arm, axis)
        if kind == EDGE:
            return abs(height) <= m.geom_size[g, 1] + CONFIRMED * size
        return math.sqrt(max(dot3(arm, arm) - height * height, 0.0)) <= m.geom_size[g, 0] + CONFIRMED * size
    if kind == EDGE:
        first, last = (
            vertex_position(m, d, g, d.ccd_feature[side, 1]),
            vertex_position(m, d, g, d.ccd_feature[side, 2]),
        )
        line, length = unit_or_x(sub3(last, first))
        return -CONFIRMED * size <= dot3(sub3(x, first), line) <= length + CONFIRMED * size
    return within_face(m, d, g, side, outward, x, CONFIRMED * size)

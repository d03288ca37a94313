"""Nearest or deepest points on curved surfaces, made exact by Newton's method.

GJK and EPA approach a curved surface by chords, so their normal is right to the square root of
their tolerance only. From there the conditions of `feature_system.py` are solved for the points and
the normal; the result stays if the support functions confirm it.
"""

from ..kernels.jit import kernel, sequence
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, scale3, store3, sub3
from ..model.data import Data
from ..model.model import Model
from .curved import CURVE, EDGE, FACE, axis_of, curved_feature, edge_radius, is_curved
from .feature_system import compatible_features, eliminate, feature_rows, tangents
from .frame import unit_or_x
from .support import core_support

Feature = tuple[int, Vec3, Vec3]  # kind, direction of the edge, normal of the face
STEPS = 20
CONFIRMED = 1e-9  # mismatch with the support functions, as part of the size
CLOSE = 1e-3  # how far the points may have moved, as part of the size


@kernel
def polish(m: Model, d: Data, g1: int, g2: int, gap: float, normal: Vec3) -> tuple[float, Vec3]:
    """Improve ccd_point and the normal; returns distance of the cores and normal. Sets kinds of curved features."""
    _curved_kind(m, d, g1, 0)
    _curved_kind(m, d, g2, 1)
    one, two = _features(m, d, g1, g2, normal)
    x1, x2, n = load3(d.ccd_point, 0), load3(d.ccd_point, 1), normal
    for _ in range(STEPS):
        x1, x2 = _on_curve(m, d, g1, 0, n, x1), _on_curve(m, d, g2, 1, scale3(-1.0, n), x2)
        _linearise(m, d, g1, g2, one, two, sub3(x2, x1), n)
        eliminate(d)
        x1, x2, n, turn = _newton_step(d, one, two, x1, x2, n)
        if turn < 1e-14:
            break
    x1, x2 = _on_curve(m, d, g1, 0, n, x1), _on_curve(m, d, g2, 1, scale3(-1.0, n), x2)
    if not _confirmed(m, d, g1, g2, x1, x2, n):
        return gap, normal
    dist = dot3(sub3(x2, x1), n)
    store3(d.ccd_point, 0, x1)
    store3(d.ccd_point, 1, x2)
    return dist, n


@sequence
def _features(m: Model, d: Data, g1: int, g2: int, n: Vec3) -> tuple[Feature, Feature]:
    """What of each core the contact lies on; normals of faces as the contact's, from geom 1 to geom 2."""
    edge1, edge2 = load3(d.ccd_side, 0), load3(d.ccd_side, 1)
    kind1, kind2 = compatible_features(d.ccd_feature[0, 0], d.ccd_feature[1, 0], edge1, edge2)
    face1, face2 = _face_normal(m, d, g1, 0, n), scale3(-1.0, _face_normal(m, d, g2, 1, scale3(-1.0, n)))
    return (kind1, edge1, face1), (kind2, edge2, face2)


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
def _curved_kind(m: Model, d: Data, g: int, side: int) -> None:
    if is_curved(m, g):
        kind = curved_feature(m, d, g, load3(d.ccd_point, side))
        d.ccd_feature[side, 0] = kind
        store3(d.ccd_side, side, axis_of(d, g))


@kernel
def _face_normal(m: Model, d: Data, g: int, side: int, outward: Vec3) -> Vec3:
    """Outward normal of the face that the contact lies on, if it is one."""
    if d.ccd_feature[side, 0] != FACE:
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
def _on_curve(m: Model, d: Data, g: int, side: int, outward: Vec3, x: Vec3) -> Vec3:
    """The point of the surface that belongs to the normal; on a cylinder's side at the height of `x`."""
    kind = d.ccd_feature[side, 0]
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
    """Whether both points lie farthest along the normal, opposite each other, near those of `ccd_point`."""
    size = m.geom_rbound[g1] + m.geom_rbound[g2]
    dist = dot3(sub3(x2, x1), n)
    slip = sub3(sub3(x2, x1), scale3(dist, n))
    moved1, moved2 = sub3(x1, load3(d.ccd_point, 0)), sub3(x2, load3(d.ccd_point, 1))
    if (
        dot3(slip, slip) > (CONFIRMED * size) ** 2
        or max(dot3(moved1, moved1), dot3(moved2, moved2)) > (CLOSE * size) ** 2
    ):
        return False
    farthest1, farthest2 = core_support(m, d, g1, n)[0], core_support(m, d, g2, scale3(-1.0, n))[0]
    beyond = max(dot3(sub3(farthest1, x1), n), -dot3(sub3(farthest2, x2), n))
    return beyond <= CONFIRMED * size

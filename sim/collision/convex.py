"""Contacts of convex shapes: nearest or deepest points of their cores, then the points around.

The normal points from geom 1 to geom 2, as in mjc_Convex. Cores that are apart give their nearest
points (`gjk.py`), cores that overlap those of least depth (`epa.py`); spheres and capsules put
their radius around. What the contact lies on is kept for `manifold.py` and `convex_motion.py`: a
vertex, an edge or a face of each core.
"""

from ..kernels.enums import BOX, CAPSULE, CYLINDER, HFIELD, MESH, PLANE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, scale3, store3, sub3
from ..model.data import Data
from ..model.model import Model
from .broad_phase import own_boxes_within_reach
from .curved import EDGE, FACE, is_curved
from .epa import epa
from .frame import add_contact, unit_or_x
from .gjk import FAR, gjk
from .manifold import SINGLE, add_manifold
from .plane_mesh import collide_plane_mesh
from .polish import polish
from .polytope_faces import face_normals
from .support import core_radius, forget_supports

ROUNDING = 1e-15  # tolerance of GJK and EPA on polytopes, which end
ROUGH = 1e-8  # and on curved surfaces, as part of the size: `polish.py` does the rest


@kernel
def collide_convex(m: Model, d: Data, pair: int) -> None:
    """Append the contacts of one pair of convex geoms."""
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    if m.geom_type[g1] == PLANE:
        collide_plane_mesh(m, d, pair)
        return
    reach = m.con_margin[pair] + m.con_gap[pair]
    if not own_boxes_within_reach(m, d, g1, g2, reach):
        return
    found, dist, normal = nearest_points(m, d, g1, g2, reach)
    if not found:
        return
    before, several = d.ncon[0], 0
    if _has_faces(m, g2) and (_has_faces(m, g1) or m.geom_type[g1] == CAPSULE):
        several = add_manifold(m, d, pair, reach, normal)
    if several == 0:
        middle = scale3(0.5, add3(load3(d.ccd_point, 0), load3(d.ccd_point, 1)))
        add_contact(d, pair, dist, middle, normal)
        d.con_kind[before, 2] = SINGLE
    keep_features(m, d, g1, g2, before, dist, normal)


@kernel
def keep_features(m: Model, d: Data, g1: int, g2: int, before: int, dist: float, normal: Vec3) -> None:
    """Store what the contacts from number `before` on were found on, for `convex_motion.py`."""
    kinds = _lies_on(m, d, g1, 0, normal), _lies_on(m, d, g2, 1, scale3(-1.0, normal))
    for c in range(before, d.ncon[0]):
        d.con_apart_by[c] = dist
        store3(d.con_shape[c], 2, normal)
        store3(d.con_shape[c], 3, load3(d.ccd_point, 1))
        for side in range(2):
            d.con_kind[c, side] = kinds[side]
            store3(d.con_shape[c], side, load3(d.ccd_side, side))


@kernel
def _lies_on(m: Model, d: Data, g: int, side: int, outward: Vec3) -> int:
    """The kind of feature that moves the contact.

    GJK ends with two corners where the nearest point is on the line between them. Corners that have one
    face in common are no edge but a diagonal: there the face holds the normal, and no line lets it turn.
    """
    kind = d.ccd_kind[side]
    if kind == EDGE and _has_corners(m, g) and face_normals(m, d, g, side, outward) == 1:
        return FACE
    return kind


@kernel
def _has_corners(m: Model, g: int) -> bool:
    return m.geom_type[g] == BOX or m.geom_type[g] == MESH or m.geom_type[g] == HFIELD


@kernel
def _has_faces(m: Model, g: int) -> bool:
    return _has_corners(m, g) or m.geom_type[g] == CYLINDER


@kernel
def nearest_points(m: Model, d: Data, g1: int, g2: int, reach: float) -> tuple[bool, float, Vec3]:
    """Whether within `reach`, distance, normal. Fills ccd_point, ccd_feature, ccd_kind, ccd_side."""
    r1, r2 = core_radius(m, g1), core_radius(m, g2)
    normal = (1.0, 0.0, 0.0)
    forget_supports(d)
    curved = is_curved(m, g1) or is_curved(m, g2)
    tolerance = ROUGH if curved else ROUNDING
    count = gjk(m, d, g1, g2, reach + r1 + r2, tolerance)
    if count == FAR:
        return False, 0.0, normal
    gap = d.ccd_gap[0]
    if gap > 0.0:
        for i in range(count):
            d.ccd_corner[i] = i
        _weigh(d, count)
        normal = unit_or_x(sub3(load3(d.ccd_point, 1), load3(d.ccd_point, 0)))[0]
    else:
        overlap, depth, normal = epa(m, d, g1, g2, count, tolerance)
        if not overlap:
            return False, 0.0, normal
        count, gap = 3, -depth
        _project(d, scale3(-gap, normal), normal)
        _weigh(d, count)
    _features(d, count)
    if curved:
        gap, normal = polish(m, d, g1, g2, gap, normal)
    dist = gap - r1 - r2
    store3(d.ccd_point, 0, add3(load3(d.ccd_point, 0), scale3(r1, normal)))
    store3(d.ccd_point, 1, sub3(load3(d.ccd_point, 1), scale3(r2, normal)))
    return dist < reach, dist, normal


@kernel
def _project(d: Data, p: Vec3, normal: Vec3) -> None:
    """Weights of the corners of a face that give its point `p`."""
    a, b, c = (load3(d.ccd_vert[d.ccd_corner[0]], 0), load3(d.ccd_vert[d.ccd_corner[1]], 0),
               load3(d.ccd_vert[d.ccd_corner[2]], 0))  # fmt: skip
    area = dot3(normal, cross3(sub3(b, a), sub3(c, a)))
    wb = dot3(normal, cross3(sub3(c, p), sub3(a, p))) / area
    wc = dot3(normal, cross3(sub3(a, p), sub3(b, p))) / area
    d.ccd_weight[0], d.ccd_weight[1], d.ccd_weight[2] = 1.0 - wb - wc, wb, wc


@kernel
def _weigh(d: Data, count: int) -> None:
    """Points of both cores, by the weights of the corners."""
    for side in range(2):
        x = (0.0, 0.0, 0.0)
        for i in range(count):
            x = add3(x, scale3(d.ccd_weight[i], load3(d.ccd_vert[d.ccd_corner[i]], 1 + side)))
        store3(d.ccd_point, side, x)


@kernel
def _features(d: Data, count: int) -> None:
    """Vertices, 1 to 3, that the corners have on each side, and the direction of an edge."""
    for side in range(2):
        feature, size = d.ccd_feature, 1
        first, second, third = d.ccd_corner[0], d.ccd_corner[1 if count > 1 else 0], d.ccd_corner[2 if count > 2 else 0]
        a, b, c = d.ccd_id[first, side], d.ccd_id[second, side], d.ccd_id[third, side]
        if a == b:
            b, second = c, third
            size = 1 if a == c else 2
        else:
            size = 2 if c == a or c == b else 3
        feature[side, 0], feature[side, 1], feature[side, 2], feature[side, 3] = size, a, b, c
        d.ccd_kind[side] = size
        line = sub3(load3(d.ccd_vert[second], 1 + side), load3(d.ccd_vert[first], 1 + side))
        store3(d.ccd_side, side, unit_or_x(line)[0])

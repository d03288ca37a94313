"""How contacts of convex shapes move with their geoms (`convex.py`, `manifold.py`).

At a contact of one point the rates of the points and of the normal solve the linear system of
`feature_system.py`, with the motion of the second body's material on the right: the implicit
function theorem at the nearest points. The distance changes by n . v(x2), since both points slide
in the tangent plane.

Contacts of several points are corners, where three planes meet that are each fixed in a body, and
their projection on a face. The line of a capsule's or cylinder's side moves with the normal of the
single contact that it was drawn through.

Rows of `con_shape`: directions of the edges, normal and point x2 of the single contact; three
planes, normal of the clipping face. `con_kind`: kinds of both features (`curved.py`: vertex, edge, face, curve),
what made the contact, whether the first two planes belong to the clipping face.
"""

from ..kernels.enums import CAPSULE, CYLINDER, PLANE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .curved import edge_radius
from .feature_system import compatible_features, eliminate, feature_rows, tangents
from .frame import column3, row3, unit_or_x
from .manifold import EDGE1, EDGE2, FACES, SINGLE
from .motion import point_rate, store_motion, unit_twist
from .plane_mesh import plane_mesh_motion
from .support import core_radius

ZERO: Vec3 = (0.0, 0.0, 0.0)


@kernel
def convex_motion(m: Model, d: Data, c: int) -> None:
    """Fill con_motion for contact `c` of a convex pair."""
    p = d.con_pair[c]
    if m.geom_type[m.con_geom[p, 0]] == PLANE:
        plane_mesh_motion(d, c)
        return
    kind, pos = d.con_kind[c, 2], load3(d.con_pos, c)
    if kind == SINGLE:
        single_motion(m, d, c)
        return
    if kind == EDGE1 or kind == EDGE2:
        _single_system(m, d, c)
    for i in range(6):
        turn, shift = unit_twist(i)
        by_dist, by_pos, by_normal = _corner_rates(m, d, c, i, turn, shift, pos)
        store_motion(d, i, by_dist, by_pos, by_normal)


@kernel
def single_motion(m: Model, d: Data, c: int) -> None:
    """Fill con_motion for a contact of one point."""
    _single_system(m, d, c)
    for i in range(6):
        turn, shift = unit_twist(i)
        by_dist, by_pos, by_normal = _single_rates(d, c, i, turn, shift)
        store_motion(d, i, by_dist, by_pos, by_normal)


@kernel
def _single_system(m: Model, d: Data, c: int) -> None:
    """Solve for the tangential rates of x1 and of the normal: columns 4 to 9 of con_solve."""
    a, pair, kinds = d.con_solve, d.con_pair[c], d.con_kind
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    normal, x2, dist = load3(d.con_shape[c], 2), load3(d.con_shape[c], 3), d.con_apart_by[c]
    pos = load3(d.con_pos, c)
    t1, t2 = tangents(normal)
    edge1, edge2 = load3(d.con_shape[c], 0), load3(d.con_shape[c], 1)
    kind1, kind2 = compatible_features(kinds[c, 0], kinds[c, 1], edge1, edge2)
    feature_rows(m, d, g1, 0, kind1, core_radius(m, g1) + edge_radius(m, g1), edge1, normal, 1.0, 0.0)
    feature_rows(m, d, g2, 2, kind2, core_radius(m, g2) + edge_radius(m, g2), edge2, normal, -1.0, dist)
    for i in range(6):
        turn, shift = unit_twist(i)
        v, spin = point_rate(turn, shift, sub3(x2, pos)), cross3(turn, normal)
        v0, v1, s0, s1 = dot3(v, t1), dot3(v, t2), dot3(spin, t1), dot3(spin, t2)
        for k in range(2):
            a[k, 4 + i] = 0.0
            a[2 + k, 4 + i] = a[2 + k, 10] * v0 + a[2 + k, 11] * v1 + a[2 + k, 12] * s0 + a[2 + k, 13] * s1
    eliminate(d)


@kernel
def _normal_rate(d: Data, i: int, t1: Vec3, t2: Vec3) -> Vec3:
    return add3(scale3(d.con_solve[2, 4 + i], t1), scale3(d.con_solve[3, 4 + i], t2))


@kernel
def _single_rates(d: Data, c: int, i: int, turn: Vec3, shift: Vec3) -> tuple[float, Vec3, Vec3]:
    normal, x2, dist = load3(d.con_shape[c], 2), load3(d.con_shape[c], 3), d.con_apart_by[c]
    t1, t2 = tangents(normal)
    by_dist = dot3(normal, point_rate(turn, shift, sub3(x2, load3(d.con_pos, c))))
    by_normal = _normal_rate(d, i, t1, t2)
    by_x1 = add3(scale3(d.con_solve[0, 4 + i], t1), scale3(d.con_solve[1, 4 + i], t2))
    by_pos = add3(by_x1, add3(scale3(0.5 * by_dist, normal), scale3(0.5 * dist, by_normal)))
    return by_dist, by_pos, by_normal


@kernel
def _corner_rates(m: Model, d: Data, c: int, i: int, turn: Vec3, shift: Vec3, pos: Vec3) -> tuple[float, Vec3, Vec3]:
    """Rates of distance, position and normal of one corner of a manifold, for column `i` of the motion."""
    kind, dist, normal = d.con_kind[c, 2], d.con_dist[c], row3(d.con_frame, c, 0)
    clipping = load3(d.con_shape[c], 7)
    line_rate, lift = ZERO, 0.0
    if kind == FACES:
        h = dist / dot3(normal, clipping)
        corner = add3(sub3(pos, scale3(0.5 * dist, normal)), scale3(h, clipping))
    else:
        h = dist
        if kind == EDGE1 and m.geom_type[m.con_geom[d.con_pair[c], 0]] == CAPSULE:
            lift = 0.5 * (m.con_margin[d.con_pair[c]] + m.con_gap[d.con_pair[c]])
        corner = add3(pos, scale3(0.5 * dist - lift, clipping))
        line_rate = _line_rate(m, d, c, i, turn, lift)
    moved = point_rate(turn, shift, sub3(corner, pos))
    if kind == EDGE1:
        rate = _meeting_rate(d, c, line_rate, moved)
    else:
        rate = _meeting_rate(d, c, add3(moved, line_rate), ZERO)
    if kind == EDGE1:
        spin = cross3(turn, clipping)  # the face is geom 2's
        by_h = dot3(clipping, sub3(rate, moved))
        by_pos = sub3(rate, add3(scale3(0.5 * by_h, clipping), scale3(0.5 * h - lift, spin)))
        return by_h, by_pos, scale3(-1.0, spin)
    by_h = dot3(clipping, rate)
    if kind == EDGE2:
        return by_h, sub3(rate, scale3(0.5 * by_h, clipping)), ZERO
    spin = cross3(turn, normal)
    by_dist = by_h * dot3(normal, clipping) + h * dot3(clipping, spin)
    by_pos = sub3(rate, scale3(by_h, clipping))
    by_pos = add3(by_pos, add3(scale3(0.5 * by_dist, normal), scale3(0.5 * dist, spin)))
    return by_dist, by_pos, spin


@kernel
def _line_rate(m: Model, d: Data, c: int, i: int, turn: Vec3, lift: float) -> Vec3:
    """Velocity, in its geom, of the line of a capsule's or cylinder's side that the contact was found on."""
    pair, second = d.con_pair[c], d.con_kind[c, 2] == EDGE2
    g = m.con_geom[pair, 1 if second else 0]
    kind = m.geom_type[g]
    if kind != CAPSULE and kind != CYLINDER:
        return ZERO
    single, axis = load3(d.con_shape[c], 2), column3(d.geom_xmat, g, 2)
    t1, t2 = tangents(single)
    by_normal = _normal_rate(d, i, t1, t2)
    outward = single
    if second:
        outward, by_normal = scale3(-1.0, single), scale3(-1.0, sub3(by_normal, cross3(turn, single)))
    by_across = sub3(by_normal, scale3(dot3(axis, by_normal), axis))
    if kind == CAPSULE:
        return scale3(core_radius(m, g) + lift, by_across)
    across, length = unit_or_x(sub3(outward, scale3(dot3(axis, outward), axis)))
    if length < 1e-12:
        return ZERO
    return scale3(edge_radius(m, g) / length, sub3(by_across, scale3(dot3(across, by_across), across)))


@kernel
def _meeting_rate(d: Data, c: int, clipped: Vec3, clipping: Vec3) -> Vec3:
    """Velocity of the point where three planes meet, each moving with the clipped or the clipping shape."""
    a, b, e = load3(d.con_shape[c], 4), load3(d.con_shape[c], 5), load3(d.con_shape[c], 6)
    ab, be, ea = cross3(a, b), cross3(b, e), cross3(e, a)
    det = dot3(a, be)
    if abs(det) < 1e-12:
        return clipped
    by_a = dot3(a, clipping if d.con_kind[c, 3] == 1 else clipped)
    by_b = dot3(b, clipping if d.con_kind[c, 4] == 1 else clipped)
    by_e = dot3(e, clipped)
    return scale3(1.0 / det, add3(scale3(by_a, be), add3(scale3(by_b, ea), scale3(by_e, ab))))

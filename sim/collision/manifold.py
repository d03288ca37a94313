"""Contacts of several points: two faces, or a face and an edge, that lie on each other.

As mjc_multicontact of MuJoCo 4.0: when the contact found by GJK or EPA belongs to faces, or a face and an edge, that
are parallel within some degrees, one is clipped by the planes through the other's sides; the
clipped corners that lie below the face are the contacts, each with its own distance. Of a face only
the four corners that span the most area remain (rotating quadrilateral).

A corner is a point where three planes meet, each attached to one of the bodies; these are stored
for `convex_motion.py`.
"""

import math

from ..kernels.enums import CAPSULE, CYLINDER
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, scale3, store3, sub3
from ..model.data import Data
from ..model.model import Model
from .curved import FACE
from .frame import add_contact, unit_or_x
from .polytope_faces import ALIGNED, edges, face_normals, face_polygon, vertices_of_feature

SLANTED = 0.0888  # sine of an edge and a face that count as parallel
SINGLE, FACES, EDGE1, EDGE2 = 0, 1, 2, 3  # con_kind[2]: what made the contact
CLIPPING, CLIPPED, SIDES = 0, 1, 4  # rows of `polygon`; 2 and 3 hold the polygon while it is clipped


@kernel
def add_manifold(m: Model, d: Data, pair: int, reach: float, along: Vec3) -> int:
    """Append the contacts of faces and edges around ccd_point; how many: 0 if none are parallel.

    `along` is the normal there, from geom 1 to geom 2.
    """
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    toward = scale3(-1.0, along)
    n1 = face_normals(m, d, g1, 0, along)
    n2 = face_normals(m, d, g2, 1, toward)
    best, i, j = -ALIGNED, -1, -1
    for a in range(n1):
        normal = load3(d.face_normal[0], a)
        if dot3(normal, toward) < -SLANTED:
            for b in range(n2):
                other = load3(d.face_normal[1], b)
                if dot3(other, toward) > SLANTED and dot3(normal, other) < best:
                    best, i, j = dot3(normal, other), a, b
    if i >= 0:
        return _faces(m, d, pair, reach, i, j)
    dim1, dim2 = vertices_of_feature(m, d, g1, 0), vertices_of_feature(m, d, g2, 1)
    second = (dim2 < dim1 or n2 == 0) and dim2 != 3 and n1 > 0
    for attempt in range(2):
        if (attempt == 0) == second:
            if dim2 != 3 and n1 > 0:
                count = _edge(m, d, pair, reach, g2, g1, 1, n1, along)
                if count >= 0:
                    return count
        elif dim1 != 3 and n2 > 0:
            count = _edge(m, d, pair, reach, g1, g2, 0, n2, toward)
            if count >= 0:
                return count
    return 0


@kernel
def _faces(m: Model, d: Data, pair: int, reach: float, i: int, j: int) -> int:
    """Contacts of two faces: the second clipped to the first, at most four corners; returns how many."""
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    a = face_polygon(m, d, g1, d.face_index[0, i], CLIPPING)
    b = face_polygon(m, d, g2, d.face_index[1, j], CLIPPED)
    normal1, normal2 = load3(d.face_normal[0], i), load3(d.face_normal[1], j)
    count = _clip(d, a, b, normal1, reach)
    count = _largest_quadrilateral(d, count)
    for c in range(count):
        p = load3(d.polygon[d.corner[c, 0]], d.corner[c, 1])
        h = dot3(sub3(p, load3(d.polygon[CLIPPING], 0)), normal1)
        on1 = sub3(p, scale3(h, normal1))
        dist = dot3(sub3(on1, p), normal2)
        add_contact(d, pair, dist, sub3(on1, scale3(0.5 * dist, normal2)), scale3(-1.0, normal2))
        _keep_planes(d, c, b, FACES, normal1, normal2)
    return count


@kernel
def _edge(m: Model, d: Data, pair: int, reach: float, ge: int, gf: int, side: int, faces: int, out: Vec3) -> int:
    """Contacts of an edge of geom `ge` and a face of geom `gf`; -1: no edge is parallel to a face.

    None for a cylinder that touches with its cap: the contact lies on no line of its side. There
    mjc_multicontact takes a line through some vertex of its polytope, anywhere on the rim, which
    mostly misses the face.
    """
    lift = 0.5 * reach if m.geom_type[ge] == CAPSULE else 0.0  # mjc_ccd puts half of the margin around a capsule
    count, which, face = edges(m, d, ge, side, scale3(-1.0, out), lift), -1, -1
    for f in range(faces):
        normal = load3(d.face_normal[1 - side], f)
        if dot3(normal, out) <= 1e-15 or face >= 0:
            continue
        for e in range(count):
            direction = unit_or_x(sub3(load3(d.edge_end, e), load3(d.edge_start, e)))[0]
            if face < 0 and abs(dot3(normal, direction)) < SLANTED:
                which, face = e, f
    if face < 0:
        return -1
    if m.geom_type[ge] == CYLINDER and d.ccd_feature[side, 0] == FACE:
        return 0
    normal = load3(d.face_normal[1 - side], face)
    a = face_polygon(m, d, gf, d.face_index[1 - side, face], CLIPPING)
    store3(d.polygon[CLIPPED], 0, load3(d.edge_start, which))
    store3(d.polygon[CLIPPED], 1, load3(d.edge_end, which))
    count = _clip(d, a, 2, normal, reach - lift)
    count = _farthest_two(d, count)
    along = normal if side == 1 else scale3(-1.0, normal)  # from geom 1 to geom 2
    for c in range(count):
        p = load3(d.polygon[d.corner[c, 0]], d.corner[c, 1])
        h = dot3(sub3(p, load3(d.polygon[CLIPPING], 0)), normal) + lift
        add_contact(d, pair, h, add3(p, scale3(lift - 0.5 * h, normal)), along)
        _keep_planes(d, c, 2, EDGE1 if side == 0 else EDGE2, normal, normal)
    return count


@kernel
def _clip(d: Data, a: int, b: int, normal: Vec3, reach: float) -> int:
    """Clip polygon CLIPPED (b corners) by the sides of CLIPPING (a corners); list in `corner` what is within reach.

    A row of `corner`: where the corner is (row and index of `polygon`), and the two sides that meet
    there: 0, 1, ...: sides of the clipping face, -1, -2, ...: those of the clipped polygon.
    """
    for i in range(b):
        store3(d.polygon[2], i, load3(d.polygon[CLIPPED], i))
        d.polygon_side[0, i] = -1 - i
    old, count, room = 0, b, len(d.corner) - 4
    for e in range(a):
        start = load3(d.polygon[CLIPPING], e)
        side = unit_or_x(cross3(sub3(load3(d.polygon[CLIPPING], (e + 1) % a), start), normal))[0]
        store3(d.polygon[SIDES], e, side)
        new, kept = 1 - old, 0
        for i in range(count):
            k = (i + 1) % count
            p, q = load3(d.polygon[2 + old], i), load3(d.polygon[2 + old], k)
            hp, hq = dot3(sub3(p, start), side), dot3(sub3(q, start), side)
            inside, next_inside = hp > -1e-15, hq > -1e-15
            if inside != next_inside and hp != hq:
                t = hp / (hp - hq)
                if 0.0 <= t <= 1.0 and kept < room:
                    store3(d.polygon[2 + new], kept, add3(p, scale3(t, sub3(q, p))))
                    d.polygon_side[new, kept] = e if inside else d.polygon_side[old, i]
                    kept += 1
            if next_inside and kept < room:
                store3(d.polygon[2 + new], kept, q)
                d.polygon_side[new, kept] = d.polygon_side[old, k]
                kept += 1
        old, count = new, kept
    found, origin = 0, load3(d.polygon[CLIPPING], 0)
    for i in range(count):
        if dot3(sub3(load3(d.polygon[2 + old], i), origin), normal) <= reach:
            d.corner[found, 0], d.corner[found, 1] = 2 + old, i
            d.corner[found, 2] = d.polygon_side[old, (i + count - 1) % count]
            d.corner[found, 3] = d.polygon_side[old, i]
            found += 1
    return found


@kernel
def _keep_planes(d: Data, c: int, b: int, kind: int, clipping: Vec3, clipped: Vec3) -> None:
    """Store the three planes that meet in corner `c`, for the contact just appended."""
    con = d.ncon[0] - 1
    shape, start = d.con_shape, load3(d.polygon[CLIPPED], 0)
    d.con_kind[con, 2] = kind
    line = sub3(load3(d.polygon[CLIPPED], 1), start)
    for k in range(2):
        side, on_clipping = d.corner[c, 2 + k], 0
        if side >= 0:
            normal, on_clipping = load3(d.polygon[SIDES], side), 1
        elif b == 2:
            normal = cross3(line, clipping)
        else:
            i = -1 - side
            normal = cross3(sub3(load3(d.polygon[CLIPPED], (i + 1) % b), load3(d.polygon[CLIPPED], i)), clipped)
        store3(shape[con], 4 + k, unit_or_x(normal)[0])
        d.con_kind[con, 3 + k] = on_clipping
    if b == 2:  # the line, and what ends it
        ended = d.con_kind[con, 3] == 1 or d.con_kind[con, 4] == 1
        if ended and d.con_kind[con, 3] == 0:
            store3(shape[con], 4, load3(shape[con], 5))
        if not ended:
            store3(shape[con], 4, unit_or_x(line)[0])
        d.con_kind[con, 3], d.con_kind[con, 4] = 1 if ended else 0, 0
        first = unit_or_x(cross3(line, clipping))[0]
        store3(shape[con], 5, first)
        store3(shape[con], 6, unit_or_x(cross3(line, first))[0])
    else:
        store3(shape[con], 6, clipped)
    store3(shape[con], 7, clipping)


@kernel
def _copy_corner(d: Data, i: int, to: int) -> None:
    for k in range(4):
        d.corner[to, k] = d.corner[i, k]


@kernel
def _corner(d: Data, i: int) -> Vec3:
    return load3(d.polygon[d.corner[i, 0]], d.corner[i, 1])


@kernel
def _farthest_two(d: Data, count: int) -> int:
    if count < 3:
        return count
    i, j, most = 0, 1, 0.0
    for a in range(count):
        for b in range(a + 1, count):
            apart = sub3(_corner(d, b), _corner(d, a))
            if dot3(apart, apart) > most:
                i, j, most = a, b, dot3(apart, apart)
    _copy_corner(d, i, 0)
    _copy_corner(d, j, 1)
    return 2


@kernel
def quadrilateral_area(a: Vec3, b: Vec3, c: Vec3, e: Vec3) -> float:
    """Area of a quadrilateral with these corners, by its diagonals."""
    x = cross3(sub3(a, c), sub3(b, e))
    return 0.5 * math.sqrt(dot3(x, x))


@kernel
def _largest_quadrilateral(d: Data, n: int) -> int:
    """Keep at most four corners: those found when b, c and e turn forward while the area grows."""
    if n <= 4:
        return n
    b, c, e = 1, 2, 3
    keep = (0, 1, 2, 3)
    area = quadrilateral_area(_corner(d, 0), _corner(d, 1), _corner(d, 2), _corner(d, 3))
    for a in range(n):
        for _ in range(4 * n):
            larger = quadrilateral_area(_corner(d, a), _corner(d, b), _corner(d, c), _corner(d, (e + 1) % n))
            if larger <= area:
                break
            area, e = larger, (e + 1) % n
            for _ in range(n):
                larger = quadrilateral_area(_corner(d, a), _corner(d, b), _corner(d, (c + 1) % n), _corner(d, e))
                if larger <= area:
                    break
                area, c = larger, (c + 1) % n
            for _ in range(n):
                larger = quadrilateral_area(_corner(d, a), _corner(d, (b + 1) % n), _corner(d, c), _corner(d, e))
                if larger <= area:
                    break
                area, b = larger, (b + 1) % n
            keep = (a, b, c, e)
        if b == a:
            b = (b + 1) % n
            if c == b:
                c = (c + 1) % n
                if e == c:
                    e = (e + 1) % n
    for k in range(4):
        _copy_corner(d, keep[k], n + k)
    for k in range(4):
        _copy_corner(d, n + k, k)
    return 4

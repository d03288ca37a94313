"""Depth of two overlapping convex cores: the expanding polytope algorithm.

Van den Bergen, "Proximity queries and penetration depth computation on 3D game objects" (2001). The
polytope grows inside the difference of the cores: its face nearest to the origin is pushed out
until it lies on the surface. Planes keep the orientation of the first tetrahedron, so an origin
outside of the polytope, or on it, needs no special case. Dead faces are used again: a polytope of n
vertices has 2 n - 4 faces.
"""

import math

from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, cross3, dot3, load3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .gjk import is_known
from .support import difference_support

NOWHERE = 1e30  # distance of faces without area: never the nearest
SPOILT = 1e-12  # of the size: by more than this rounding does not move a sound plane


@kernel
def epa(m: Model, d: Data, g1: int, g2: int, count: int, tolerance: float) -> tuple[bool, float, Vec3]:
    """Whether the cores overlap, depth, normal, from a simplex of `count` vertices. Fills ccd_corner.

    `tolerance` is part of the size. How far the difference reaches along the normal of any face is an
    upper bound of the depth, so the least so far is at hand where rounding spoils the polytope: in thin
    triangles a plane is wrong by much more than the last digit.
    """
    count = _tetrahedron(m, d, g1, g2, count)
    if count < 4:
        return False, 0.0, (1.0, 0.0, 0.0)
    size = m.geom_rbound[g1] + m.geom_rbound[g2]
    faces, depth, best, bound = 4, 0.0, (1.0, 0.0, 0.0), NOWHERE
    for _ in range(m.nccdvert):
        nearest = _nearest_face(d, faces)
        normal, dist = load3(d.ccd_plane, nearest), d.ccd_plane[nearest, 3]
        if dist > bound + SPOILT * size:
            break
        w = difference_support(m, d, g1, g2, normal, min(count, m.nccdvert - 1))
        along = dot3(normal, w)
        converged = along - dist <= tolerance * (math.sqrt(dot3(w, w)) + size) or is_known(d, count)
        if along < bound or (converged and along <= bound + SPOILT * size):
            depth, best, bound = dist if along - dist <= SPOILT * size else along, normal, min(along, bound)
            for i in range(3):
                d.ccd_corner[i] = d.ccd_face[nearest, i]
        if converged or count >= m.nccdvert - 1:
            break
        edges = _remove_visible(d, faces, nearest, w, 1e-14 * math.sqrt(dot3(w, w)))
        if edges < 3:
            break
        faces = _close(d, faces, edges, count)
        count += 1
    return -1e-12 * size < depth < NOWHERE, depth, best


@kernel
def _axis(i: int) -> Vec3:
    """Six directions: plus and minus each axis."""
    s = 1.0 if i < 3 else -1.0
    return s if i % 3 == 0 else 0.0, s if i % 3 == 1 else 0.0, s if i % 3 == 2 else 0.0


@kernel
def _height(d: Data, count: int, w: Vec3) -> float:
    """How far, squared, `w` is from the point, line or plane through the first `count` vertices."""
    a = load3(d.ccd_vert[0], 0)
    x = sub3(w, a)
    if count == 1:
        return dot3(x, x)
    ab = sub3(load3(d.ccd_vert[1], 0), a)
    if count == 2:
        n = cross3(ab, x)
        return dot3(n, n) / dot3(ab, ab)
    n = cross3(ab, sub3(load3(d.ccd_vert[2], 0), a))
    square = dot3(n, n)
    return dot3(n, x) ** 2 / square if square > 0.0 else 0.0


@kernel
def _tetrahedron(m: Model, d: Data, g1: int, g2: int, count: int) -> int:
    """Complete the simplex of GJK to a tetrahedron with area, and make its faces."""
    while count < 4:
        best, most = (0.0, 0.0, 0.0), 0.0
        for i in range(8 if count == 3 else 6):
            direction = _axis(i)
            if count == 3 and i >= 6:
                a = load3(d.ccd_vert[0], 0)
                n = cross3(sub3(load3(d.ccd_vert[1], 0), a), sub3(load3(d.ccd_vert[2], 0), a))
                length = math.sqrt(dot3(n, n))
                direction = scale3((1.0 if i == 6 else -1.0) / length, n) if length > 0.0 else _axis(0)
            w = difference_support(m, d, g1, g2, direction, count)
            height = _height(d, count, w)
            if height > most:
                best, most = direction, height
        if most <= 1e-24:
            return count
        difference_support(m, d, g1, g2, best, count)
        count += 1
    a, b, c, e = load3(d.ccd_vert[0], 0), load3(d.ccd_vert[1], 0), load3(d.ccd_vert[2], 0), load3(d.ccd_vert[3], 0)
    volume = dot3(cross3(sub3(b, a), sub3(c, a)), sub3(e, a))
    if volume == 0.0:
        return 3
    for f in range(4):
        i, j, k = (f + 1) % 4, (f + 2) % 4, (f + 3) % 4
        if (volume > 0.0) != (f % 2 == 0):
            j, k = k, j
        _set_face(d, f, i, j, k)
    return 4


@kernel
def _set_face(d: Data, f: int, i: int, j: int, k: int) -> None:
    d.ccd_face[f, 0], d.ccd_face[f, 1], d.ccd_face[f, 2] = i, j, k
    a = load3(d.ccd_vert[i], 0)
    ab, ac = sub3(load3(d.ccd_vert[j], 0), a), sub3(load3(d.ccd_vert[k], 0), a)
    n = cross3(ab, ac)
    length = math.sqrt(dot3(n, n))
    if length <= 1e-14 * math.sqrt(dot3(ab, ab) * dot3(ac, ac)):
        d.ccd_plane[f, 0], d.ccd_plane[f, 1], d.ccd_plane[f, 2], d.ccd_plane[f, 3] = 0.0, 0.0, 0.0, NOWHERE
        return
    n = scale3(1.0 / length, n)
    d.ccd_plane[f, 0], d.ccd_plane[f, 1], d.ccd_plane[f, 2], d.ccd_plane[f, 3] = n[0], n[1], n[2], dot3(n, a)


@kernel
def _nearest_face(d: Data, faces: int) -> int:
    best, least = 0, 1e300
    for f in range(faces):
        if d.ccd_face[f, 0] >= 0 and d.ccd_plane[f, 3] < least:
            best, least = f, d.ccd_plane[f, 3]
    return best


@kernel
def _remove_visible(d: Data, faces: int, nearest: int, w: Vec3, margin: float) -> int:
    """Drop face `nearest` and those around it that `w` lies outside of; list the edges around them, return how many.

    From neighbour to neighbour, so that rounding cannot tear two holes. Faces without area go too.
    """
    edges, e = _drop(d, nearest, 0), 0
    while e < edges:
        a, b, neighbour = d.ccd_edge[e, 0], d.ccd_edge[e, 1], -1
        for f in range(faces):
            if d.ccd_face[f, 0] >= 0 and _has_edge(d, f, b, a):
                neighbour = f
                break
        if neighbour >= 0 and edges + 3 <= len(d.ccd_edge) and _sees(d, neighbour, w, margin):
            edges, e = _drop(d, neighbour, edges), 0
        else:
            e += 1
    return edges


@kernel
def _sees(d: Data, f: int, w: Vec3, margin: float) -> bool:
    dist = d.ccd_plane[f, 3]
    return dist == NOWHERE or dot3(load3(d.ccd_plane, f), w) - dist > margin


@kernel
def _has_edge(d: Data, f: int, a: int, b: int) -> bool:
    i, j, k = d.ccd_face[f, 0], d.ccd_face[f, 1], d.ccd_face[f, 2]
    return (i == a and j == b) or (j == a and k == b) or (k == a and i == b)


@kernel
def _drop(d: Data, f: int, edges: int) -> int:
    """Drop face `f` and put its edges on the list; those that are there the other way round cancel."""
    for i in range(3):
        a, b, found = d.ccd_face[f, i], d.ccd_face[f, (i + 1) % 3], False
        for e in range(edges):
            if d.ccd_edge[e, 0] == b and d.ccd_edge[e, 1] == a:
                edges -= 1
                d.ccd_edge[e, 0], d.ccd_edge[e, 1] = d.ccd_edge[edges, 0], d.ccd_edge[edges, 1]
                found = True
                break
        if not found:
            d.ccd_edge[edges, 0], d.ccd_edge[edges, 1] = a, b
            edges += 1
    d.ccd_face[f, 0] = -1
    return edges


@kernel
def _close(d: Data, faces: int, edges: int, apex: int) -> int:
    """New faces from the collected edges to vertex `apex`; returns how many rows of faces are in use."""
    f = 0
    for e in range(edges):
        while f < faces and d.ccd_face[f, 0] >= 0:
            f += 1
        if f == len(d.ccd_face):
            break
        _set_face(d, f, d.ccd_edge[e, 0], d.ccd_edge[e, 1], apex)
        faces = max(faces, f + 1)
    return faces

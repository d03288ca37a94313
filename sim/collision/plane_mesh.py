"""Contacts of a plane and a mesh, as mjc_PlaneConvex makes them.

The lowest vertex makes the first contact. Of the faces around it, the one that looks most against
the plane's normal gives up to three more: its corners, or the three that span the largest
quadrilateral with the first. Every contact is that of a point.
"""

from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .frame import add_contact, column3
from .manifold import quadrilateral_area
from .motion import point_rate, store_motion, unit_twist
from .support import core_support

ZERO: Vec3 = (0.0, 0.0, 0.0)


@kernel
def collide_plane_mesh(m: Model, d: Data, pair: int) -> None:
    """Append the contacts of a plane and a mesh."""
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    normal, origin = column3(d.geom_xmat, g1, 2), load3(d.geom_xpos, g1)
    reach = m.con_margin[pair] + m.con_gap[pair]
    lowest, vertex = core_support(m, d, g2, scale3(-1.0, normal))
    if not _add_point(d, pair, lowest, origin, normal, reach):
        return
    mesh, pos, rot = m.geom_dataid[g2], load3(d.geom_xpos, g2), load_mat3(d.geom_xmat, g2)
    face = _lowest_face(m, mesh, vertex, mat_t_vec3(rot, normal))
    if face < 0:
        return
    first, count, a = m.mesh_polyvertadr[face], m.mesh_polyvertnum[face], 0
    for i in range(count):
        if m.mesh_polyvert[first + i] == vertex:
            a = i
            break
    b, c, e = (a + 1) % count, (a + 2) % count, (a + 3) % count
    if count > 4:
        b, c, e = _quadrilateral(m, mesh, first, count, a)
    for i in range(1, min(count, 4)):
        corner = b if i == 1 else (c if i == 2 else e)
        p = add3(pos, mat_vec3(rot, _corner(m, mesh, first, count, corner)))
        if dot3(sub3(p, pos), normal) <= 0.0:
            _add_point(d, pair, p, origin, normal, reach)


@kernel
def _add_point(d: Data, pair: int, p: Vec3, origin: Vec3, normal: Vec3, reach: float) -> bool:
    dist = dot3(sub3(p, origin), normal)
    if dist > reach:
        return False
    add_contact(d, pair, dist, sub3(p, scale3(0.5 * dist, normal)), normal)
    return True


@kernel
def _lowest_face(m: Model, mesh: int, vertex: int, normal: Vec3) -> int:
    """Row of the mesh's polygons at `vertex` whose normal is least along `normal`; -1: none."""
    best, least = -1, 1.0
    at = m.mesh_vertadr[mesh] + vertex
    for i in range(m.mesh_polymapnum[at]):
        face = m.mesh_polyadr[mesh] + m.mesh_polymap[m.mesh_polymapadr[at] + i]
        along = dot3(normal, load3(m.mesh_polynormal, face))
        if along < least:
            best, least = face, along
    return best


@kernel
def _corner(m: Model, mesh: int, first: int, count: int, i: int) -> Vec3:
    return load3(m.mesh_vert, m.mesh_vertadr[mesh] + m.mesh_polyvert[first + i % count])


@kernel
def _area(m: Model, mesh: int, first: int, count: int, a: int, b: int, c: int, e: int) -> float:
    return quadrilateral_area(
        _corner(m, mesh, first, count, a),
        _corner(m, mesh, first, count, b),
        _corner(m, mesh, first, count, c),
        _corner(m, mesh, first, count, e),
    )


@kernel
def _quadrilateral(m: Model, mesh: int, first: int, count: int, a: int) -> tuple[int, int, int]:
    """Corners that span a large quadrilateral with corner `a`: they turn forward while it grows."""
    b, c, e = (a + 1) % count, (a + 2) % count, (a + 3) % count
    area = _area(m, mesh, first, count, a, b, c, e)
    for _ in range(4 * count):
        larger = _area(m, mesh, first, count, a, b, c, e + 1)
        if larger <= area:
            break
        area, e = larger, (e + 1) % count
        for _ in range(count):
            larger = _area(m, mesh, first, count, a, b, c + 1, e)
            if larger <= area:
                break
            area, c = larger, (c + 1) % count
        for _ in range(count):
            larger = _area(m, mesh, first, count, a, b + 1, c, e)
            if larger <= area:
                break
            area, b = larger, (b + 1) % count
    return b, c, e


@kernel
def plane_mesh_motion(d: Data, c: int) -> None:
    """Fill con_motion: a point of the mesh above a plane."""
    normal, dist = load3(d.con_frame, c), d.con_dist[c]
    for i in range(6):
        turn, shift = unit_twist(i)
        rate = point_rate(turn, shift, scale3(0.5 * dist, normal))
        by_dist = dot3(normal, rate)
        store_motion(d, i, by_dist, sub3(rate, scale3(0.5 * by_dist, normal)), ZERO)

"""Support points: the point of a convex shape that lies farthest in a direction.

Spheres and capsules are represented by their cores, a point and a segment: their radius is put
around the contact afterwards, which is exact and converges like a polytope. Meshes are their
convex hulls, searched along the edges of the hull, as in mjc_hillclimbSupport; of a height field
there is one prism at a time.
"""

import math

from ..kernels.enums import BOX, CAPSULE, CYLINDER, HFIELD, MESH, SPHERE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, store3, sub3
from ..model.data import Data
from ..model.model import Model
from .prism import prism_support

FEW_VERTICES = 10  # below this, looking at all is as fast as climbing


@kernel
def core_radius(m: Model, g: int) -> float:
    """Radius around the core of geom `g`."""
    return m.geom_size[g, 0] if m.geom_type[g] == SPHERE or m.geom_type[g] == CAPSULE else 0.0


@kernel
def core_support(m: Model, d: Data, g: int, direction: Vec3) -> tuple[Vec3, int]:
    """Point of the core of geom `g` farthest along a unit `direction`, and its vertex number, -1: it has none."""
    return core_support_near(m, d, g, direction, -1)


@kernel
def core_support_near(m: Model, d: Data, g: int, direction: Vec3, side: int) -> tuple[Vec3, int]:
    """The same; a mesh is searched from where the last search for `side` ended, -1: none (`forget_supports`)."""
    kind, pos, rot = m.geom_type[g], load3(d.geom_xpos, g), load_mat3(d.geom_xmat, g)
    if kind == SPHERE:
        return pos, 0
    x, vertex = mat_t_vec3(rot, direction), -1
    a, b, c = m.geom_size[g, 0], m.geom_size[g, 1], m.geom_size[g, 2]
    if kind == MESH:
        vertex = _mesh_vertex(m, d, g, x, side)
        local = load3(m.mesh_vert, m.mesh_vertadr[m.geom_dataid[g]] + vertex)
    elif kind == BOX:
        vertex = (1 if x[0] >= 0.0 else 0) + (2 if x[1] >= 0.0 else 0) + (4 if x[2] >= 0.0 else 0)
        local = (a if x[0] >= 0.0 else -a, b if x[1] >= 0.0 else -b, c if x[2] >= 0.0 else -c)
    elif kind == CAPSULE:
        vertex = 1 if x[2] >= 0.0 else 0
        local = (0.0, 0.0, b if x[2] >= 0.0 else -b)
    elif kind == CYLINDER:
        across = math.sqrt(x[0] * x[0] + x[1] * x[1])
        s = a / across if across > 1e-15 else 0.0
        local = (s * x[0], s * x[1], b if x[2] >= 0.0 else -b)
    elif kind == HFIELD:
        return prism_support(d, direction)
    else:
        y = (a * x[0], b * x[1], c * x[2])
        s = 1.0 / math.sqrt(max(dot3(y, y), 1e-300))
        local = (s * a * y[0], s * b * y[1], s * c * y[2])
    return add3(pos, mat_vec3(rot, local)), vertex


@kernel
def _mesh_vertex(m: Model, d: Data, g: int, x: Vec3, side: int) -> int:
    """Number of the vertex of a mesh farthest along `x` in the geom's frame."""
    mesh = m.geom_dataid[g]
    first, count, graph = m.mesh_vertadr[mesh], m.mesh_vertnum[mesh], m.mesh_graphadr[mesh]
    best, most = 0, -1e300
    if graph < 0 or count < FEW_VERTICES:
        for i in range(count):
            along = dot3(x, load3(m.mesh_vert, first + i))
            if along > most:
                best, most = i, along
        return best
    hull = m.mesh_graph[graph]  # layout: mjModel.mesh_graph
    edges, names = graph + 2, graph + 2 + hull
    neighbours = names + hull
    best = m.mesh_extrema[mesh, 9 * _sign(x[0]) + 3 * _sign(x[1]) + _sign(x[2]) + 13]
    most = dot3(x, load3(m.mesh_vert, first + m.mesh_graph[names + best]))
    if side >= 0 and d.ccd_climb[side] >= 0:
        last = d.ccd_climb[side]
        along = dot3(x, load3(m.mesh_vert, first + m.mesh_graph[names + last]))
        if along > most:
            best, most = last, along
    for _ in range(hull):
        at = best
        i = neighbours + m.mesh_graph[edges + at]
        while m.mesh_graph[i] >= 0:
            along = dot3(x, load3(m.mesh_vert, first + m.mesh_graph[names + m.mesh_graph[i]]))
            if along > most:
                best, most = m.mesh_graph[i], along
            i += 1
        if best == at:
            break
    if side >= 0:
        d.ccd_climb[side] = best
    return m.mesh_graph[names + best]


@kernel
def _sign(x: float) -> int:
    return (1 if x > 0.4 else 0) - (1 if x < -0.4 else 0)


@kernel
def forget_supports(d: Data) -> None:
    """Before the searches for another pair: what is found must not depend on what was found for others."""
    d.ccd_climb[0], d.ccd_climb[1] = -1, -1


@kernel
def difference_support(m: Model, d: Data, g1: int, g2: int, direction: Vec3, row: int) -> Vec3:
    """Store in ccd_vert[row], ccd_id[row] the point of core 1 minus core 2 farthest along `direction`."""
    p1, d.ccd_id[row, 0] = core_support_near(m, d, g1, direction, 0)
    p2, d.ccd_id[row, 1] = core_support_near(m, d, g2, scale3(-1.0, direction), 1)
    w = sub3(p1, p2)
    store3(d.ccd_vert[row], 0, w)
    store3(d.ccd_vert[row], 1, p1)
    store3(d.ccd_vert[row], 2, p2)
    return w

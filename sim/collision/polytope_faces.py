"""Faces and edges of boxes, meshes, cylinders and prisms of height fields that can carry a contact of several points.

A contact of two cores is known by up to three vertices of each (`ccd_feature`). What faces and
edges go through them, in the order of mjc_multicontact, so that the manifold picks the same. The
cap of a cylinder counts as a polygon of 16 sides, the line of its side through the contact as an
edge, and so does that of a capsule.
"""

import math

import numpy as np

from ..kernels.enums import BOX, CAPSULE, CYLINDER, HFIELD, MESH
from ..kernels.jit import kernel
from ..kernels.record import Ints
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, store3, sub3
from ..model.contact_pairs import CAP_SIDES
from ..model.data import Data
from ..model.model import Model
from .curved import EDGE
from .frame import column3, unit_or_x
from .prism import prism_corner, prism_face, prism_faces

ALIGNED = 0.996  # cosine of normals that count as parallel
# corners of the faces +x, -x, +y, ... of a box; bits of a corner: its signs along x, y, z
BOX_FACES = np.array([[7, 3, 1, 5], [2, 6, 4, 0], [2, 3, 7, 6], [4, 5, 1, 0], [6, 7, 5, 4], [3, 2, 0, 1]], np.int32)


@kernel
def vertex_position(m: Model, d: Data, g: int, vertex: int) -> Vec3:
    """Vertex of a box, mesh or prism, in the world."""
    if m.geom_type[g] == HFIELD:
        return prism_corner(d, vertex)
    local = (0.0, 0.0, 0.0)
    if m.geom_type[g] == MESH:
        local = load3(m.mesh_vert, m.mesh_vertadr[m.geom_dataid[g]] + vertex)
    else:
        a, b, c = m.geom_size[g, 0], m.geom_size[g, 1], m.geom_size[g, 2]
        local = (a if vertex & 1 else -a, b if vertex & 2 else -b, c if vertex & 4 else -c)
    return add3(load3(d.geom_xpos, g), mat_vec3(load_mat3(d.geom_xmat, g), local))


@kernel
def face_normals(m: Model, d: Data, g: int, side: int, outward: Vec3) -> int:
    """Fill face_normal[side], face_index[side] with the faces through the contact's vertices; how many."""
    if m.geom_type[g] == BOX:
        return _box_faces(d, g, side, outward)
    if m.geom_type[g] == MESH:
        return _mesh_faces(m, d, g, side)
    if m.geom_type[g] == CYLINDER and d.ccd_feature[side, 0] != EDGE:
        axis = column3(d.geom_xmat, g, 2)
        bottom = 1 if dot3(axis, sub3(load3(d.ccd_point, side), load3(d.geom_xpos, g))) < 0.0 else 0
        store3(d.face_normal[side], 0, scale3(1.0 - 2.0 * bottom, axis))
        d.face_index[side, 0] = bottom
        return 1
    if m.geom_type[g] == HFIELD:
        return prism_faces(d, side)
    return 0


@kernel
def vertices_of_feature(m: Model, d: Data, g: int, side: int) -> int:
    """How many vertices the contact lies between; on the rim or cap of a cylinder it counts as one."""
    if m.geom_type[g] == CYLINDER:
        return 2 if d.ccd_feature[side, 0] == EDGE else 1
    return d.ccd_feature[side, 0]


@kernel
def _box_face(d: Data, g: int, side: int, count: int, index: int) -> None:
    normal = column3(d.geom_xmat, g, index // 2)
    store3(d.face_normal[side], count, normal if index % 2 == 0 else scale3(-1.0, normal))
    d.face_index[side, count] = index


@kernel
def _box_faces(d: Data, g: int, side: int, outward: Vec3) -> int:
    """Faces of a box that hold the nearest feature, or the one that looks `outward`; returns how many."""
    feature, count = d.ccd_feature, 0
    a, b, c = int(feature[side, 1]), int(feature[side, 2]), int(feature[side, 3])
    every, some = a & b & c, a | b | c
    for axis in range(3):
        bit = 1 << axis
        if every & bit or not some & bit:
            _box_face(d, g, side, count, 2 * axis + (0 if every & bit else 1))
            count += 1
    if count == 0 or (feature[side, 0] == 3 and count > 1):
        x = mat_t_vec3(load_mat3(d.geom_xmat, g), outward)
        length, count = math.sqrt(dot3(x, x)), 0
        for axis in range(3):
            if abs(x[axis]) > ALIGNED * length:
                _box_face(d, g, side, 0, 2 * axis + (0 if x[axis] > 0.0 else 1))
                return 1
    return count


@kernel
def _mesh_face(m: Model, d: Data, g: int, side: int, count: int, index: int) -> None:
    normal = load3(m.mesh_polynormal, m.mesh_polyadr[m.geom_dataid[g]] + index)
    store3(d.face_normal[side], count, mat_vec3(load_mat3(d.geom_xmat, g), normal))
    d.face_index[side, count] = index


@kernel
def _at_vertex(m: Model, g: int, vertex: int, face: int) -> bool:
    at = m.mesh_vertadr[m.geom_dataid[g]] + vertex
    for i in range(m.mesh_polymapnum[at]):
        if m.mesh_polymap[m.mesh_polymapadr[at] + i] == face:
            return True
    return False


@kernel
def _mesh_faces(m: Model, d: Data, g: int, side: int) -> int:
    """Faces of a mesh's hull that hold the nearest feature; returns how many."""
    feature, count = d.ccd_feature, 0
    dim = feature[side, 0]
    at = m.mesh_vertadr[m.geom_dataid[g]] + feature[side, 1]
    most = m.mesh_polymapnum[at] if dim == 1 else 3 - dim + 1
    for i in range(m.mesh_polymapnum[at]):
        face = m.mesh_polymap[m.mesh_polymapadr[at] + i]
        if dim > 1 and not _at_vertex(m, g, feature[side, 2], face):
            continue
        if dim > 2 and not _at_vertex(m, g, feature[side, 3], face):
            continue
        if count < most:
            _mesh_face(m, d, g, side, count, face)
            count += 1
    return count


@kernel
def face_polygon(m: Model, d: Data, g: int, index: int, row: int) -> int:
    """Store the corners of a face in polygon[row]; how many."""
    if m.geom_type[g] == BOX:
        for i in range(4):
            store3(d.polygon[row], i, vertex_position(m, d, g, BOX_FACES[index, i]))
        return 4
    if m.geom_type[g] == CYLINDER:
        rot, s = load_mat3(d.geom_xmat, g), 1.0 - 2.0 * index
        for i in range(CAP_SIDES):
            angle = 2.0 * math.pi * i / CAP_SIDES
            x, y = m.geom_size[g, 0] * math.cos(angle), -s * m.geom_size[g, 0] * math.sin(angle)
            local = (x, y, s * m.geom_size[g, 1])
            store3(d.polygon[row], i, add3(load3(d.geom_xpos, g), mat_vec3(rot, local)))
        return CAP_SIDES
    if m.geom_type[g] == HFIELD:
        return prism_face(d, index, row)
    face = m.mesh_polyadr[m.geom_dataid[g]] + index
    first, count = m.mesh_polyvertadr[face], m.mesh_polyvertnum[face]
    for i in range(count):
        store3(d.polygon[row], i, vertex_position(m, d, g, m.mesh_polyvert[first + count - 1 - i]))
    return count


@kernel
def within_face(m: Model, d: Data, g: int, side: int, outward: Vec3, x: Vec3, tolerance: float) -> bool:
    """Whether `x` lies in the polygon of the face that the contact's three vertices belong to; fills polygon[0]."""
    if face_normals(m, d, g, side, outward) == 0:
        return False
    normal, count = load3(d.face_normal[side], 0), face_polygon(m, d, g, d.face_index[side, 0], 0)
    for i in range(count):
        start, end = load3(d.polygon[0], i), load3(d.polygon[0], (i + 1) % count)
        if dot3(sub3(x, start), unit_or_x(cross3(sub3(end, start), normal))[0]) < -tolerance:
            return False
    return True


@kernel
def edges(m: Model, d: Data, g: int, side: int, outward: Vec3, lift: float) -> int:
    """Store in edge_end, edge_start the edges that the contact's vertices may lie on; how many.

    That of a capsule is `lift` off its surface.
    """
    feature, kind = d.ccd_feature, m.geom_type[g]
    if kind == CAPSULE or kind == CYLINDER:
        axis, centre, half = column3(d.geom_xmat, g, 2), load3(d.geom_xpos, g), m.geom_size[g, 1]
        if kind == CAPSULE:
            x = add3(load3(d.ccd_point, side), scale3(lift, outward))
            middle = sub3(x, scale3(dot3(sub3(x, centre), axis), axis))
        else:
            across = unit_or_x(sub3(outward, scale3(dot3(axis, outward), axis)))[0]
            middle = add3(centre, scale3(m.geom_size[g, 0], across))
        store3(d.edge_start, 0, sub3(middle, scale3(half, axis)))
        store3(d.edge_end, 0, add3(middle, scale3(half, axis)))
        return 1
    start, count = vertex_position(m, d, g, feature[side, 1]), 0
    if feature[side, 0] == 2:
        store3(d.edge_start, 0, start)
        store3(d.edge_end, 0, vertex_position(m, d, g, feature[side, 2]))
        return 1
    if kind == BOX:
        count = 3
        for i in range(3):
            store3(d.edge_end, i, vertex_position(m, d, g, feature[side, 1] ^ (1 << i)))
    else:
        at = m.mesh_vertadr[m.geom_dataid[g]] + feature[side, 1]
        count = m.mesh_polymapnum[at]
        for i in range(count):
            face = m.mesh_polyadr[m.geom_dataid[g]] + m.mesh_polymap[m.mesh_polymapadr[at] + i]
            before = _before(m.mesh_polyvert, m.mesh_polyvertadr[face], m.mesh_polyvertnum[face], feature[side, 1])
            store3(d.edge_end, i, vertex_position(m, d, g, before))
    for i in range(count):
        store3(d.edge_start, i, start)
    return count


@kernel
def _before(polygon: Ints, first: int, count: int, vertex: int) -> int:
    """The vertex before `vertex` in a polygon."""
    last = polygon[first + count - 1]
    for i in range(count):
        if polygon[first + i] == vertex:
            return last
        last = polygon[first + i]
    return last

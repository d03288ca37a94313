"""Boxes around geoms, and a hierarchy of those of static geoms, in which a moving body finds its neighbours.

The hierarchy is a binary tree of axis-aligned boxes in depth-first order, halved at the median of
the centres. It is walked without a stack: a node whose box is apart says which node comes next.
"""

from typing import Any

import numpy as np

from ..kernels.enums import CAPSULE, CYLINDER, HFIELD, MESH, PLANE, SPHERE
from ..kernels.record import Floats, Ints
from .contact_groups import STATIC
from .contact_pairs import Pairs
from .source import Source, field_boxes, field_radii

ROUNDING = 1e-9  # m by which boxes are larger than they need be


def geom_boxes(m: Source) -> Floats:
    """Centre and half sizes of every geom's box in its own frame (ngeom, 6) [m]; those of a plane mean nothing.

    From the sizes, which a changed model may have new, where MuJoCo's geom_aabb stays as it was compiled.
    """
    boxes, size, kind = np.zeros((m.ngeom, 6)), m.geom_size, m.geom_type
    half = boxes[:, 3:]
    half[:] = size
    half[kind == SPHERE] = size[kind == SPHERE, :1]
    half[kind == CYLINDER] = size[kind == CYLINDER][:, [0, 0, 1]]
    half[kind == CAPSULE] = size[kind == CAPSULE][:, [0, 0, 1]] + size[kind == CAPSULE][:, [2, 2, 0]] * [0, 0, 1]
    boxes[kind == MESH] = m.geom_aabb[kind == MESH]
    half[kind == PLANE] = 0.0
    if np.any(kind == HFIELD):
        boxes[kind == HFIELD] = field_boxes(m.hfield_size[m.geom_dataid[kind == HFIELD]])
    return boxes


def bounding_radii(m: Source) -> Floats:
    """geom_rbound (ngeom), of height fields from their sizes, which a changed model may have new [m]."""
    radii, fields = m.geom_rbound.copy(), m.geom_type == HFIELD
    if np.any(fields):
        radii[fields] = field_radii(m.hfield_size[m.geom_dataid[fields]])
    return radii


def static_boxes(m: Source, pairs: Pairs, box: Floats, reach: Floats) -> dict[str, Floats]:
    """Static geoms that moving bodies search, and lower and upper corners (nstatic, 3) of their boxes in the world.

    `box` are the geoms' own boxes, `reach` (npair), margin plus gap, is around them.
    """
    static = pairs.place[:, 0] == STATIC
    geom, leaf = np.unique(pairs.place[static, 2], return_inverse=True)
    most = np.zeros(len(geom))
    np.maximum.at(most, leaf, reach[static])
    pos, rot = _static_poses(m)
    body = m.geom_bodyid[geom]
    rot, pos = rot[body] @ _matrices(m.geom_quat[geom]), pos[body] + _turned(rot[body], m.geom_pos[geom])
    centre = pos + _turned(rot, box[geom, :3])
    half = _turned(np.abs(rot), box[geom, 3:]) + most[:, None] + ROUNDING
    return {"static_geom": geom, "static_low": centre - half, "static_high": centre + half}


def _static_poses(m: Source) -> tuple[Floats, Floats]:
    """Positions (nbody, 3) and orientations (nbody, 3, 3) of the bodies that are welded to the world."""
    pos, rot = np.zeros((m.nbody, 3)), np.zeros((m.nbody, 3, 3))
    rot[0] = np.eye(3)
    static, parent = m.body_weldid == 0, m.body_parentid
    placed = np.arange(m.nbody) == 0
    while np.any(level := static & placed[parent] & ~placed):
        above = parent[level]
        pos[level] = pos[above] + _turned(rot[above], m.body_pos[level])
        rot[level] = rot[above] @ _matrices(m.body_quat[level])
        placed |= level
    return pos, rot


def _turned(rot: Floats, vectors: Floats) -> Floats:
    return np.einsum("nij,nj->ni", rot, vectors)


def _matrices(quat: Floats) -> Floats:
    """Rotation matrices (n, 3, 3) of quaternions (n, 4), taken as of unit length."""
    w, v = quat[:, 0, None, None], quat[:, 1:]
    skew = np.zeros((len(quat), 3, 3))
    for i in range(3):
        skew[:, (i + 2) % 3, (i + 1) % 3], skew[:, (i + 1) % 3, (i + 2) % 3] = v[:, i], -v[:, i]
    square = np.einsum("ni,ni->n", quat, quat)[:, None, None]
    return np.eye(3) + 2.0 / square * (w * skew + skew @ skew)


def static_pairs(pairs: Pairs, mover: Ints, geom: Ints) -> dict[str, Any]:
    """Fields of `Model` that tell the pairs of moving bodies (nmover) and static geoms (nstatic)."""
    n, first = len(geom), np.searchsorted(pairs.place[:, 0], STATIC)
    place = pairs.place[pairs.place[:, 0] == STATIC]
    entry = np.searchsorted(mover, place[:, 1]) * n + np.searchsorted(geom, place[:, 2])
    count = len(mover) * n + 1 if n else 0
    return {
        "nstatic": n,
        "nstaticpair": count,
        "static_pairadr": first + np.searchsorted(entry, np.arange(count)),
    }


def static_hierarchy(low: Floats, high: Floats) -> dict[str, Any]:
    """Fields of `Model` for the tree over boxes with these corners (nstatic, 3), all nodes of one depth at once."""
    nodes = max(2 * len(low) - 1, 0)
    boxes, following, leaves = np.zeros((nodes, 6)), np.zeros(nodes, np.int32), np.full(nodes, -1, np.int32)
    members, node, count = np.arange(len(low)), np.zeros(min(len(low), 1), np.int64), np.array([len(low)][: len(low)])
    while len(node):
        begin, owner = np.cumsum(count) - count, np.repeat(np.arange(len(node)), count)
        boxes[node, :3] = np.minimum.reduceat(low[members], begin)
        boxes[node, 3:] = np.maximum.reduceat(high[members], begin)
        following[node] = node + 2 * count - 1
        inner = count > 1
        leaves[node[~inner]] = members[begin[~inner]]
        centre = low[members] + high[members]
        axis = np.argmax(np.maximum.reduceat(centre, begin) - np.minimum.reduceat(centre, begin), axis=1)
        members = members[np.lexsort((centre[np.arange(len(members)), axis[owner]], owner))][inner[owner]]
        node, middle, count = node[inner], count[inner] // 2, count[inner]
        node = np.stack([node + 1, node + 2 * middle], axis=1).ravel()
        count = np.stack([middle, count - middle], axis=1).ravel()
    return {"nstaticnode": nodes, "static_box": boxes, "static_next": following, "static_leaf": leaves}

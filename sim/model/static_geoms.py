"""Boxes around geoms, and a hierarchy of those of static geoms, in which a moving body finds its neighbours.

The hierarchy is a binary tree of axis-aligned boxes in depth-first order, halved at the median of
the centres. It is walked without a stack: a node whose box is apart says which node comes next.
"""

from typing import Any

import numpy as np

from ..kernels.enums import CAPSULE, CYLINDER, MESH, PLANE, SPHERE
from ..kernels.record import Floats, Ints
from .source import Source

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
    return boxes


def static_fields(m: Source, box: Floats, mover: Ints, place: Ints, first: int, reach: Floats) -> dict[str, Any]:
    """Fields of `Model` for pairs (n, 2) of moving body and static geom in order, pair `first` and those after it.

    `box` are the geoms' own boxes, `mover` (nmover) the moving bodies, `reach` (n) is margin plus gap.
    """
    geom, leaf = np.unique(place[:, 1], return_inverse=True)
    n = len(geom)
    if not n:
        return {
            **dict.fromkeys(("nstatic", "nstaticnode", "nstaticpair"), 0),
            "static_box": np.zeros((0, 6)),
            **dict.fromkeys(("static_next", "static_leaf", "static_geom", "static_pairadr"), np.zeros(0, np.int32)),
        }
    most = np.zeros(n)
    np.maximum.at(most, leaf, reach)
    low, high = _world_boxes(m, geom, box[geom], most + ROUNDING)
    entry = np.searchsorted(mover, place[:, 0]) * n + leaf
    return {
        "nstatic": n,
        "nstaticnode": 2 * n - 1,
        "nstaticpair": len(mover) * n + 1,
        "static_geom": geom,
        "static_pairadr": first + np.searchsorted(entry, np.arange(len(mover) * n + 1)),
        **_hierarchy(low, high),
    }


def _world_boxes(m: Source, geom: Ints, box: Floats, around: Floats) -> tuple[Floats, Floats]:
    """Lower and upper corners (n, 3) of the boxes of static geoms, and `around` them."""
    body = m.geom_bodyid[geom]
    xpos, xmat = np.zeros((m.nbody, 3)), np.tile(np.eye(3), (m.nbody, 1, 1))
    static = np.flatnonzero(m.body_weldid == 0)[1:]
    for b, pos, turn in zip(static, m.body_pos[static], _rotations(m.body_quat[static]), strict=True):
        parent = m.body_parentid[b]
        xpos[b], xmat[b] = xpos[parent] + xmat[parent] @ pos, xmat[parent] @ turn
    rot = xmat[body] @ _rotations(m.geom_quat[geom])
    centre = xpos[body] + np.einsum("nij,nj->ni", xmat[body], m.geom_pos[geom])
    centre += np.einsum("nij,nj->ni", rot, box[:, :3])
    half = np.einsum("nij,nj->ni", np.abs(rot), box[:, 3:]) + around[:, None]
    return centre - half, centre + half


def _rotations(quat: Floats) -> Floats:
    """Matrices (n, 3, 3) of quaternions (n, 4) of any length."""
    w, x, y, z = (quat / np.linalg.norm(quat, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def _hierarchy(low: Floats, high: Floats) -> dict[str, Any]:
    n = len(low)
    boxes, following, leaves = np.zeros((2 * n - 1, 6)), np.zeros(2 * n - 1, np.int32), np.full(2 * n - 1, -1, np.int32)
    todo = [(0, np.arange(n))]
    while todo:
        node, members = todo.pop()
        boxes[node] = *low[members].min(axis=0), *high[members].max(axis=0)
        following[node] = node + 2 * len(members) - 1
        if len(members) == 1:
            leaves[node] = members[0]
            continue
        centre = low[members] + high[members]
        by_centre = members[np.argsort(centre[:, np.argmax(np.ptp(centre, axis=0))], kind="stable")]
        middle = len(members) // 2
        todo += [(node + 1, by_centre[:middle]), (node + 2 * middle, by_centre[middle:])]
    return {"static_box": boxes, "static_next": following, "static_leaf": leaves}

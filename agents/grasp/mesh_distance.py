"""Closest points of a triangle mesh: a tree of boxes, walked by compiled loops, and the sign of the distance.

The closest point lies inside a face, inside an edge, or at a vertex; these features and their normals, which give the
sign, are those of `mesh_features.py`. Where a normal is doubtful the winding number gives it, a sum over all triangles
(Van Oosterom and Strackee 1983).
"""

import math
from typing import NamedTuple

import numpy as np

from .compiled import kernel
from .mesh_features import Array, face_normals, features, numbered_edges

WIDTH = 16  # children of a node, triangles of a leaf: with 8, LLVM leaves its vector instructions out
MARGIN = 1e-12  # of the mesh's size: boxes are larger by it, so that rounding never hides a triangle
ON_SURFACE = 1e-9  # of the mesh's size: below, p - c has no direction and the feature's own normal is used


class Surface(NamedTuple):
    """A mesh made ready for queries. A slot is a triangle's place in the order of the tree's leaves.

    Boxes and triangles are stored so that one instruction works on several. Node n has the children 16 n + 1 ...
    16 n + 16; leaves have a block of 16 slots, or none. The last block is filled up with copies of the last triangle.
    """

    boxes: Array  # (nodes, 6, 16) lower and upper corners of each node's children
    blocks: Array  # (B, 18, 16) a, b - a, c - a, gradients of the weights of b and c, 1 / length² of ab, bc, ca
    block: Array  # (leaves,)
    features: Array  # (F, 7) by slot: the face, its edges ab, bc, ca, its vertices a, b, c
    slot: Array  # (F,) of a face
    normals: Array  # (F + E + V, 3) unit, of the features
    tangents: Array  # (F + E + V, 3) unit along an edge, else zero
    curved: Array  # (F + E + V,) bool: an edge or vertex whose faces are not all in one plane
    doubtful: Array  # (F + E + V,) bool: no sign by the normal
    size: float  # diagonal of the bounding box


def surface(vertices: Array, faces: Array) -> Surface:
    """Makes a closed mesh ready: vertices (V, 3), all different; faces (F, 3), counter-clockwise from outside."""
    size = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    corners = vertices[faces]
    boxes, block, face = _tree(corners, MARGIN * size)
    slot = np.empty_like(face)
    slot[face] = np.arange(len(face))
    normals, double_area, flat = face_normals(corners)
    edges, edge_of = numbered_edges(faces)
    units, tangents, curved, doubtful, table = features(vertices, faces, normals, flat, edges, edge_of)
    ab, bc, ca = (corners[:, (k + 1) % 3] - corners[:, k] for k in range(3))
    # Not a number where flat: no point's weights are then found to be inside.
    scale = 1.0 / np.where(flat, math.nan, double_area)[:, None]
    inverses = [1.0 / np.sum(side * side, axis=1, keepdims=True) for side in (ab, bc, ca)]
    by_b, by_c = np.cross(-ca, normals) * scale, np.cross(normals, ab) * scale
    rows = np.concatenate([corners[:, 0], ab, -ca, by_b, by_c, *inverses], axis=1)[face]
    rows = np.concatenate([rows, np.repeat(rows[-1:], -len(rows) % WIDTH, axis=0)])
    blocks = np.ascontiguousarray(rows.reshape(-1, WIDTH, 18).transpose(0, 2, 1))
    return Surface(boxes, blocks, block, table[face], slot, units, tangents, curved, doubtful, size)


def _tree(corners: Array, margin: float) -> tuple[Array, Array, Array]:
    """Boxes of a tree with 16 children a node, the leaves' blocks, and the faces in the order of slots.

    The order is that of a binary tree whose nodes halve their widest side: of B blocks, node j of the 2^L of a level
    has those from B j / 2^L to B (j + 1) / 2^L, rounded down. Four of its levels are one here.
    """
    count = len(corners)
    blocks = -(-count // WIDTH)
    depth = (blocks - 1).bit_length()
    center, order = corners.mean(axis=1), np.arange(count)
    for level in range(depth):
        start = WIDTH * (np.arange(1 << level) * blocks >> level)
        node = np.repeat(np.arange(1 << level), np.diff(start, append=count))
        least, most = np.minimum.reduceat(center[order], start), np.maximum.reduceat(center[order], start)
        order = order[np.lexsort((center[order, np.argmax(most - least, axis=1)[node]], node))]
    first = np.arange(0, count, WIDTH)
    low = np.minimum.reduceat(corners.min(axis=1)[order], first) - margin
    high = np.maximum.reduceat(corners.max(axis=1)[order], first) + margin
    block = np.arange(1 << depth) * blocks >> depth
    empty = np.diff(block, append=blocks) == 0
    # An empty box is infinitely far. Corners are (-low, high), so that the box of several is a maximum.
    level = np.where(empty[:, None], -math.inf, np.concatenate([-low, high], axis=1)[block])
    levels: list[Array] = []
    while len(level) > 1 or not levels:
        padded = np.concatenate([level, np.full((-len(level) % WIDTH, 6), -math.inf)])
        level = padded.reshape(-1, WIDTH, 6)
        levels.insert(0, level)
        level = level.max(axis=1)
    boxes = np.full(((WIDTH ** len(levels) - 1) // (WIDTH - 1), 6, WIDTH), math.inf)
    for k, level in enumerate(levels):
        at = (WIDTH**k - 1) // (WIDTH - 1)
        boxes[at : at + len(level)] = level.transpose(0, 2, 1)
    boxes[:, :3] *= -1.0
    return boxes, block, order


@kernel
def _to_boxes(boxes: Array, n: int, p0: float, p1: float, p2: float, out: Array) -> None:
    """Squared distances (16,) to the boxes of node n, 0 inside."""
    box = boxes[n]
    for k in range(len(out)):
        a0, b0 = box[0, k] - p0, p0 - box[3, k]
        a1, b1 = box[1, k] - p1, p1 - box[4, k]
        a2, b2 = box[2, k] - p2, p2 - box[5, k]
        d0, d1, d2 = a0 if a0 > b0 else b0, a1 if a1 > b1 else b1, a2 if a2 > b2 else b2
        d0, d1, d2 = d0 if d0 > 0.0 else 0.0, d1 if d1 > 0.0 else 0.0, d2 if d2 > 0.0 else 0.0
        out[k] = d0 * d0 + d1 * d1 + d2 * d2


@kernel
def _to_block(blocks: Array, b: int, p0: float, p1: float, p2: float, out: Array) -> None:
    """Squared distances (16,) to the triangles of block b, without branches: to the inside, or to the sides.

    The vector to the inside is made from weights and not along the normal: so it ends in the triangle, however bad
    the normal.
    """
    t = blocks[b]
    for k in range(len(out)):
        d0, d1, d2 = p0 - t[0, k], p1 - t[1, k], p2 - t[2, k]
        b0, b1, b2 = t[3, k], t[4, k], t[5, k]
        c0, c1, c2 = t[6, k], t[7, k], t[8, k]
        v = t[9, k] * d0 + t[10, k] * d1 + t[11, k] * d2
        w = t[12, k] * d0 + t[13, k] * d1 + t[14, k] * d2
        x = (d0 * b0 + d1 * b1 + d2 * b2) * t[15, k]
        y = (d0 * c0 + d1 * c1 + d2 * c2) * t[17, k]
        a0, a1, a2, e0, e1, e2 = d0 - b0, d1 - b1, d2 - b2, c0 - b0, c1 - b1, c2 - b2
        z = (a0 * e0 + a1 * e1 + a2 * e2) * t[16, k]
        x, y, z = x if x > 0.0 else 0.0, y if y > 0.0 else 0.0, z if z > 0.0 else 0.0
        x, y, z = x if x < 1.0 else 1.0, y if y < 1.0 else 1.0, z if z < 1.0 else 1.0
        ab = (d0 - x * b0) ** 2 + (d1 - x * b1) ** 2 + (d2 - x * b2) ** 2
        ca = (d0 - y * c0) ** 2 + (d1 - y * c1) ** 2 + (d2 - y * c2) ** 2
        bc = (a0 - z * e0) ** 2 + (a1 - z * e1) ** 2 + (a2 - z * e2) ** 2
        least = ab if ab < ca else ca
        least = bc if bc < least else least
        inside = (d0 - v * b0 - w * c0) ** 2 + (d1 - v * b1 - w * c1) ** 2 + (d2 - v * b2 - w * c2) ** 2
        margin = v if v < w else w
        margin = margin if margin < 1.0 - v - w else 1.0 - v - w
        out[k] = inside if margin >= 0.0 else least


@kernel
def _to_triangle(t: Array, b: int, k: int, p0: float, p1: float, p2: float) -> tuple[float, float, float, int]:
    """The vector from the closest point of triangle k of block b, and the column of its feature."""
    d0, d1, d2 = p0 - t[b, 0, k], p1 - t[b, 1, k], p2 - t[b, 2, k]
    b0, b1, b2 = t[b, 3, k], t[b, 4, k], t[b, 5, k]
    c0, c1, c2 = t[b, 6, k], t[b, 7, k], t[b, 8, k]
    v = t[b, 9, k] * d0 + t[b, 10, k] * d1 + t[b, 11, k] * d2
    w = t[b, 12, k] * d0 + t[b, 13, k] * d1 + t[b, 14, k] * d2
    if v >= 0.0 and w >= 0.0 and v + w <= 1.0:
        return d0 - v * b0 - w * c0, d1 - v * b1 - w * c1, d2 - v * b2 - w * c2, 0
    ab = _to_side(d0, d1, d2, b0, b1, b2, t[b, 15, k])
    ca = _to_side(d0, d1, d2, c0, c1, c2, t[b, 17, k])
    bc = _to_side(d0 - b0, d1 - b1, d2 - b2, c0 - b0, c1 - b1, c2 - b2, t[b, 16, k])
    if ab[0] <= bc[0] and ab[0] <= ca[0]:
        return ab[1], ab[2], ab[3], 1 if 0.0 < ab[4] < 1.0 else (4 if ab[4] == 0.0 else 5)
    if bc[0] <= ca[0]:
        return bc[1], bc[2], bc[3], 2 if 0.0 < bc[4] < 1.0 else (5 if bc[4] == 0.0 else 6)
    return ca[1], ca[2], ca[3], 3 if 0.0 < ca[4] < 1.0 else (4 if ca[4] == 0.0 else 6)


@kernel
def _to_side(
    d0: float, d1: float, d2: float, e0: float, e1: float, e2: float, by_square: float
) -> tuple[float, float, float, float, float]:
    """Squared distance and vector from the closest point of a side e, which begins at -d, and at what part of it."""
    x = min(max((d0 * e0 + d1 * e1 + d2 * e2) * by_square, 0.0), 1.0)
    r0, r1, r2 = d0 - x * e0, d1 - x * e1, d2 - x * e2
    return r0 * r0 + r1 * r1 + r2 * r2, r0, r1, r2, x


@kernel
def _inside(s: Surface, p0: float, p1: float, p2: float) -> bool:
    """Whether the winding number is above one half: signed solid angles of all triangles."""
    angle = 0.0
    t = s.blocks
    for slot in range(len(s.slot)):
        i, k = slot // WIDTH, slot % WIDTH
        a0, a1, a2 = t[i, 0, k] - p0, t[i, 1, k] - p1, t[i, 2, k] - p2
        b0, b1, b2 = a0 + t[i, 3, k], a1 + t[i, 4, k], a2 + t[i, 5, k]
        c0, c1, c2 = a0 + t[i, 6, k], a1 + t[i, 7, k], a2 + t[i, 8, k]
        a = math.sqrt(a0 * a0 + a1 * a1 + a2 * a2)
        b = math.sqrt(b0 * b0 + b1 * b1 + b2 * b2)
        c = math.sqrt(c0 * c0 + c1 * c1 + c2 * c2)
        volume = a0 * (b1 * c2 - b2 * c1) + a1 * (b2 * c0 - b0 * c2) + a2 * (b0 * c1 - b1 * c0)
        ab, bc, ca = a0 * b0 + a1 * b1 + a2 * b2, b0 * c0 + b1 * c1 + b2 * c2, c0 * a0 + c1 * a1 + c2 * a2
        angle += math.atan2(volume, a * b * c + ab * c + bc * a + ca * b)
    return angle > math.pi  # each solid angle is twice the arc tangent


@kernel
def _bound(s: Surface, face: int, p0: float, p1: float, p2: float, d: Array) -> float:
    """A squared distance that is not exceeded: of the block of a face; of none, of the block that seems nearest."""
    if face >= 0:
        b = s.slot[face] // WIDTH
    else:
        node, inner = 0, len(s.boxes)
        while node < inner:
            _to_boxes(s.boxes, node, p0, p1, p2, d)
            node = WIDTH * node + 1 + int(np.argmin(d))
        b = int(s.block[node - inner])
    _to_block(s.blocks, b, p0, p1, p2, d)
    return d.min() * (1.0 + MARGIN)


@kernel
def _nearest(s: Surface, p0: float, p1: float, p2: float, best: float, waiting: tuple[Array, Array], d: Array) -> int:
    """The slot of the closest triangle, whose squared distance is no more than `best`; the lowest of several.

    `waiting` are stacks of nodes and squared distances of their boxes, d (16,) is for what is computed meanwhile.
    """
    nodes, bounds = waiting
    inner, at, top = len(s.boxes), len(s.slot), 1
    nodes[0], bounds[0] = 0, 0.0
    while top > 0:
        top -= 1
        if bounds[top] > best:
            continue
        node = int(nodes[top])
        if node < inner:
            _to_boxes(s.boxes, node, p0, p1, p2, d)
            for k in range(WIDTH):  # without branches, which could not be foretold
                nodes[top], bounds[top] = WIDTH * node + 1 + k, d[k]
                top += d[k] <= best
            continue
        b = int(s.block[node - inner])
        _to_block(s.blocks, b, p0, p1, p2, d)
        for k in range(WIDTH):
            if d[k] < best or (d[k] == best and WIDTH * b + k < at):
                best, at = d[k], WIDTH * b + k
    return at


@kernel
def closest(s: Surface, points: Array, start: Array, out: Array, face: Array, feature: Array) -> None:
    """Of points (n, 3): signed distance, closest point and normal into out (n, 7), faces and features (n,).

    start (n,) are faces to begin at, -1: none. The result does not depend on them: they give a bound, and no box that
    may hold a triangle within it is left out.
    """
    d = np.empty(WIDTH)
    waiting = np.empty(256, np.int64), np.empty(256)  # 15 a level: enough for 16 levels
    for i in range(len(points)):
        p0, p1, p2 = points[i, 0], points[i, 1], points[i, 2]
        at = _nearest(s, p0, p1, p2, _bound(s, start[i], p0, p1, p2, d), waiting, d)
        r0, r1, r2, column = _to_triangle(s.blocks, at // WIDTH, at % WIDTH, p0, p1, p2)
        f = s.features[at, column]
        n0, n1, n2 = s.normals[f, 0], s.normals[f, 1], s.normals[f, 2]
        outside = not _inside(s, p0, p1, p2) if s.doubtful[f] else n0 * r0 + n1 * r1 + n2 * r2 >= 0.0
        sign, distance = 1.0 if outside else -1.0, math.sqrt(r0 * r0 + r1 * r1 + r2 * r2)
        if (column > 0 or s.doubtful[f]) and distance > ON_SURFACE * s.size:
            n0, n1, n2 = sign * r0 / distance, sign * r1 / distance, sign * r2 / distance
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = sign * distance, p0 - r0, p1 - r1, p2 - r2
        out[i, 4], out[i, 5], out[i, 6] = n0, n1, n2
        face[i], feature[i] = s.features[at, 0], f

"""The faces, edges and vertices of a triangle mesh, of which one is closest to a point: normals, and where they fail.

These *features* are numbered in one row: face f is f, edge e is F + e, vertex v is F + E + v. The sign of a distance
is that of the closest feature's angle-weighted pseudonormal (Baerentzen and Aanaes, "Signed distance computation using
the angle weighted pseudonormal", 2005). Their proof needs a surface without folds; a feature that touches a triangle
too flat to have a normal, a fold, or where surfaces touch, is doubtful: its normal gives no sign.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import kernel

Array = NDArray[Any]

FLAT = 1e-7
"""Height over longest side below which a triangle counts as its edges: its normal would be off by 1e-16 / FLAT."""
LEVEL = 1e-13  # shortness of a mean of unit normals below which they are the same: 1e-6 radians
FOLD = 1e-6  # length of a sum of unit normals below which it has no direction


def face_normals(corners: Array) -> tuple[Array, Array, Array]:
    """Unit normals (F, 3), twice the areas (F,) and whether flat (F,), of triangles (F, 3, 3); flat ones' normal is 0.

    From the two shorter sides: the cross product of long ones would lose a needle's direction.
    """
    sides = np.roll(corners, -1, axis=1) - corners
    lengths = np.linalg.norm(sides, axis=2)
    longest, row = np.argmax(lengths, axis=1), np.arange(len(corners))
    cross = np.cross(sides[row, (longest + 1) % 3], sides[row, (longest + 2) % 3])
    double_area = np.linalg.norm(cross, axis=1)
    flat = double_area <= FLAT * lengths[row, longest] ** 2
    normals = np.where(flat[:, None], 0.0, cross / np.where(flat, 1.0, double_area)[:, None])
    return normals, double_area, flat


def numbered_edges(faces: Array) -> tuple[Array, Array]:
    """Edges (E, 2), lower vertex first, and the numbers (F, 3) of each face's edges ab, bc, ca."""
    pairs = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2).reshape(-1, 2)
    count = int(faces.max()) + 1
    keys, inverse = np.unique(pairs[:, 0] * count + pairs[:, 1], return_inverse=True)
    return np.stack([keys // count, keys % count], axis=1), inverse.reshape(-1, 3)


def features(
    vertices: Array, faces: Array, normals: Array, flat: Array, edges: Array, edge_of: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Normals, tangents, curvature and doubt of all features, and the table (F, 7) of each face's features."""
    f, e, v = len(faces), len(edges), len(vertices)
    corners = vertices[faces]
    ahead, behind = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    angles = np.arctan2(np.linalg.norm(np.cross(ahead, behind), axis=2), np.sum(ahead * behind, axis=2))
    sums, weights = np.zeros((f + e + v, 3)), np.zeros(f + e + v)
    sums[:f], weights[:f] = normals, 1.0
    table = np.concatenate([np.arange(f)[:, None], f + edge_of, f + e + faces], axis=1)
    for k in range(3):
        np.add.at(sums, table[:, 1 + k], normals)
        np.add.at(sums, table[:, 4 + k], angles[:, k, None] * normals)
        np.add.at(weights, table[:, 1 + k], 1.0)
        np.add.at(weights, table[:, 4 + k], angles[:, k])
    length = np.linalg.norm(sums, axis=1)
    curved = length < (1.0 - LEVEL) * weights
    doubtful = length < FOLD
    doubtful[table[flat]] = True
    _, same, times = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True, return_counts=True)
    doubtful[:f] |= times[same.reshape(-1)] > 1  # back to back
    several = np.bincount(edge_of.ravel()) != 2
    doubtful[f : f + e] |= several
    doubtful[f + e + edges[several]] = True
    doubtful[f + e :] |= fans(faces, edge_of) > 1
    # Of use only to a point on a doubtful edge: its ends' normal.
    lost = f + np.flatnonzero(length[f : f + e] < FOLD)
    sums[lost] = sums[f + e + edges[lost - f]].sum(axis=1)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    tangents = np.zeros_like(sums)
    along = vertices[edges[:, 1]] - vertices[edges[:, 0]]
    tangents[f : f + e] = along / np.linalg.norm(along, axis=1, keepdims=True)
    units = np.where(length > 0.0, sums / np.where(length > 0.0, length, 1.0), [0.0, 0.0, 1.0])
    return units, tangents, curved, doubtful, table


def fans(faces: Array, edge_of: Array) -> Array:
    """In how many separate fans of faces, joined by edges of two faces, each vertex (V,) stands."""
    of = edge_of.ravel()
    order, count = np.argsort(of, kind="stable"), np.bincount(of)
    at = (np.cumsum(count) - count)[count == 2]
    first, second = order[at], order[at + 1]  # corners where the edge begins, in its two faces
    first_end, second_end = (3 * (h // 3) + (h + 1) % 3 for h in (first, second))
    joined = np.concatenate([np.stack([first, second_end], axis=1), np.stack([first_end, second], axis=1)])
    return np.bincount(faces.ravel()[np.unique(components(faces.size, joined))], minlength=int(faces.max()) + 1)


@kernel
def components(count: int, pairs: Array) -> Array:
    """A representative (count,) of the set of each item, where pairs (n, 2) of items are in one set."""
    parent = np.arange(count)
    for k in range(len(pairs)):
        i, j = pairs[k, 0], pairs[k, 1]
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        while parent[j] != j:
            parent[j] = parent[parent[j]]
            j = parent[j]
        parent[max(i, j)] = min(i, j)
    for i in range(count):  # parents have lower numbers
        parent[i] = parent[parent[i]]
    return parent

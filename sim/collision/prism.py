"""One prism of a height field: half a cell, from the base of the field up to its surface.

Its corners in the world are in `prism`: three at the base, counterclockwise seen from above, then
those on the surface above them. As a polytope of six vertices it takes part in the general convex
routine (`support.py`, `polytope_faces.py`), in place of the field.
"""

import numpy as np

from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, cross3, dot3, load3, scale3, store3, sub3
from ..model.data import Data
from .frame import unit_or_x

# corners of the faces, clockwise seen from outside: surface, base, sides
FACES = np.array([[5, 4, 3, -1], [0, 1, 2, -1], [3, 4, 1, 0], [4, 5, 2, 1], [5, 3, 0, 2]], np.int32)
MASKS = np.array([sum(1 << corner for corner in face if corner >= 0) for face in FACES.tolist()], np.int32)


@kernel
def prism_support(d: Data, direction: Vec3) -> tuple[Vec3, int]:
    """Corner farthest along a direction, and its number."""
    best, most = 0, dot3(load3(d.prism, 0), direction)
    for i in range(1, 6):
        along = dot3(load3(d.prism, i), direction)
        if along > most:
            best, most = i, along
    return load3(d.prism, best), best


@kernel
def prism_corner(d: Data, corner: int) -> Vec3:
    """Place of a corner."""
    return load3(d.prism, corner)


@kernel
def prism_faces(d: Data, side: int) -> int:
    """Fill face_normal[side], face_index[side] with the faces through the contact's corners; how many."""
    feature, count = d.ccd_feature, 0
    corners = (1 << feature[side, 1]) | (1 << feature[side, 2]) | (1 << feature[side, 3])
    for f in range(5):
        if corners & MASKS[f] == corners:
            a, b, c = load3(d.prism, FACES[f, 0]), load3(d.prism, FACES[f, 1]), load3(d.prism, FACES[f, 2])
            store3(d.face_normal[side], count, scale3(-1.0, unit_or_x(cross3(sub3(b, a), sub3(c, a)))[0]))
            d.face_index[side, count] = f
            count += 1
    return count


@kernel
def prism_face(d: Data, face: int, row: int) -> int:
    """Store the corners of a face in polygon[row]; how many."""
    count = 3 if face < 2 else 4
    for i in range(count):
        store3(d.polygon[row], i, load3(d.prism, FACES[face, i]))
    return count

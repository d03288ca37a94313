"""A solid as a union of convex pieces, which is how physics engines collide what is not convex.

Pieces are those of CoACD (Wei et al., "Approximate Convex Decomposition for 3D Meshes with Collision-Aware Concavity
and Tree Search", SIGGRAPH 2022), the `coacd` package, an optional extra. They are kept in the project's cache folder.
"""

import hashlib
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from ...sim.cache import cache_folder

CONVEX = 0.98  # of its hull's volume a solid fills that collides as its hull
# CoACD's, chosen so that a vessel takes some 5 s: concavity that may stay, the most pieces, and what searches a cut.
_THRESHOLD, _PIECES, _RESOLUTION, _NODES, _ITERATIONS, _DEPTH = 0.05, 24, 500, 10, 30, 2
_VERSION = 1  # of what is cached: to be raised with any change


def convex_pieces(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Corners (k, 3) of each convex piece of a closed mesh, in its frame and unit.

    One piece, the convex hull, for what is nearly convex, and, with a warning, where `coacd` is not installed.

    Args:
        vertices: (V, 3).
        faces: (F, 3) corners, counter-clockwise seen from outside.

    Raises:
        ValueError: the mesh has no volume.
    """
    try:
        hull = ConvexHull(vertices)
    except QhullError:
        raise ValueError("the mesh lies in a plane: it has no volume, and nothing can hold it") from None
    whole = (np.ascontiguousarray(vertices[hull.vertices]),)
    corners = vertices[faces]
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0
    if volume >= CONVEX * hull.volume:
        return whole
    digest = hashlib.sha256(repr((_VERSION, _THRESHOLD, _PIECES, _RESOLUTION, _NODES, _ITERATIONS, _DEPTH)).encode())
    digest.update(np.ascontiguousarray(vertices, np.float64).tobytes())
    digest.update(np.ascontiguousarray(faces, np.int64).tobytes())
    file = cache_folder("convex_pieces") / f"{digest.hexdigest()[:32]}.npz"
    if file.exists():
        with np.load(file, allow_pickle=False) as kept:
            return tuple(kept[f"arr_{i}"] for i in range(len(kept.files)))
    try:
        import coacd
    except ImportError:
        warnings.warn(
            "coacd is not installed, the object collides as its convex hull: pip install 'gradgym[grasp]'",
            stacklevel=2,
        )
        return whole
    coacd.set_log_level("error")
    found = coacd.run_coacd(
        coacd.Mesh(vertices, np.asarray(faces, np.int32)),
        threshold=_THRESHOLD,
        max_convex_hull=_PIECES,
        preprocess_mode="off",
        resolution=_RESOLUTION,
        mcts_nodes=_NODES,
        mcts_iterations=_ITERATIONS,
        mcts_max_depth=_DEPTH,
    )
    pieces = tuple(np.asarray(points, np.float64) for points, _ in found)
    partial = file.with_suffix(f".{id(pieces)}.part")
    with partial.open("wb") as out:
        np.savez(out, *pieces)
    partial.replace(file)  # whole or not at all
    return pieces

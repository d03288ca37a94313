"""Grasps of the unit sphere for tests of the metric."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def random_grasp(seed: int, contacts: int) -> tuple[Array, Array, Array]:
    """Points (N, 3), normals (N, 3) and weights (N,): on the unit sphere, pressed askew and unequally."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(contacts, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    normals = 0.3 * rng.normal(size=points.shape) - points
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return points, normals, rng.uniform(0.3, 1.0, contacts)

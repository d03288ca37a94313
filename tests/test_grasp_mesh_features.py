"""The sign of the distance where surfaces touch in one vertex, against the planes of their faces there."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

trimesh: Any = pytest.importorskip("trimesh")

from gradgym.agents.grasp.mesh_features import components, fans, numbered_edges  # noqa: E402
from gradgym.agents.grasp.object_mesh import ObjectMesh  # noqa: E402

Array = NDArray[Any]


def revolved(rows: list[list[float]], turn: tuple[float, float] = (0.0, 0.0)) -> Any:
    """The solid that rows (radius, z) bound, turned about x and then y, the origin kept exactly."""
    t = trimesh.creation.revolve(np.array(rows), sections=12)
    rotation = trimesh.transformations.euler_matrix(*turn, 0.0)[:3, :3]
    return trimesh.Trimesh(t.vertices @ rotation.T, t.faces, process=False)


def cone(half_angle: float, turn: tuple[float, float] = (0.0, 0.0)) -> Any:
    """Its tip at the origin, its axis z before it is turned."""
    return revolved([[0.0, 0.0], [0.03 * np.tan(half_angle), 0.03], [0.0, 0.03]], turn)


def pitted() -> Any:
    """A disc with a conical pit whose tip is the origin."""
    return revolved([[0.0, -0.03], [0.06, -0.03], [0.06, 0.03], [0.03 * np.tan(0.3), 0.03], [0.0, 0.0]])


def contains(t: Any, points: Array) -> Array:
    """Whether points near the origin are in the solid: behind all planes of its tip, or of its pit behind any."""
    at_tip = np.any(np.all(t.vertices[t.faces] == 0.0, axis=2), axis=1)
    behind = points @ t.face_normals[at_tip].T < 0.0
    pit = np.any(t.vertices @ t.face_normals[at_tip].T > 1e-9)
    return np.any(behind, axis=1) if pit else np.all(behind, axis=1)


# Two surfaces that meet at the origin: tips from opposite sides, side by side, in a pit, and through one another,
# where the mean of the two surfaces' normals points into the solid.
TIPS = {
    "opposite": (cone(0.3), cone(0.3, (np.pi, 0.0))),
    "side by side": (cone(0.4, (0.9, 0.1)), cone(0.2, (-0.9, 0.2))),
    "in a pit": (pitted(), cone(0.1)),
    "through one another": (pitted(), cone(1.2)),
}


@pytest.mark.parametrize("pair", TIPS)
def test_sign_near_a_vertex_where_two_surfaces_touch(pair: str) -> None:
    parts = TIPS[pair]
    mesh = ObjectMesh.from_trimesh(trimesh.util.concatenate(parts))
    assert len(mesh.vertices) == sum(len(ObjectMesh.from_trimesh(t).vertices) for t in parts) - 1
    tip = int(np.flatnonzero(np.all(mesh.vertices == 0.0, axis=1))[0])
    edges, edge_of = numbered_edges(mesh.faces)
    np.testing.assert_array_equal(fans(mesh.faces, edge_of), 1 + (np.arange(len(mesh.vertices)) == tip))
    away = np.random.default_rng(0).normal(size=(3000, 3))
    points = away * np.random.default_rng(1).choice([1e-5, 1e-4, 1e-3], size=(3000, 1))
    found = mesh.closest(points)
    at_tip = found.feature == len(mesh.faces) + len(edges) + tip
    assert np.any(at_tip) == (pair != "opposite")
    # Where they cross, what is near the hidden surface is outside of that one and inside of the other.
    asked = at_tip if pair == "through one another" else np.abs(found.distance) > 1e-8
    inside = contains(parts[0], points) | contains(parts[1], points)
    np.testing.assert_array_equal(found.distance[asked] < 0.0, inside[asked])


def test_fans_count_the_vertex_of_one_surface_once() -> None:
    for t in (cone(0.5), pitted()):
        mesh = ObjectMesh.from_trimesh(t)
        assert np.all(fans(mesh.faces, numbered_edges(mesh.faces)[1]) == 1)


def test_components_are_those_of_scipy() -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(0)
    for n in (20, 45, 200):
        pairs = rng.integers(60, size=(n, 2))
        found = components(60, pairs)
        count, label = connected_components(coo_array((np.ones(n), pairs.T), shape=(60, 60)), directed=False)
        assert len(np.unique(found)) == count == len(np.unique(np.stack([found, label]), axis=1).T)

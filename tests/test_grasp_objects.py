"""Objects for grasping: closed, of a hand's size, the same for the same seed, and formed as their names say."""

import igl
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from gradgym.agents.grasp import objects

FAMILIES = [
    objects.primitive,
    objects.union,
    objects.hull,
    objects.solid_of_revolution,
    objects.vessel,
    objects.mug,
]


def check_closed(mesh: trimesh.Trimesh) -> None:
    """Every edge has two faces that run along it in opposite directions; one component; the outside is outside."""
    faces = np.asarray(mesh.faces)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward = {tuple(map(int, e)) for e in edges}
    assert len(forward) == len(edges)
    assert forward == {(b, a) for a, b in forward}
    assert igl.facet_components(np.array(faces, np.int64))[0] == 1
    assert mesh.volume > 1e-6  # 1 cm³


def winding_number(mesh: trimesh.Trimesh, points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(igl.winding_number(np.array(mesh.vertices), np.array(mesh.faces, np.int64), points), np.float64)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_each_family_makes_closed_bodies_of_hand_size(family: objects.Family) -> None:
    for seed in range(8):
        mesh = objects.object_of(family, np.random.default_rng(seed))
        check_closed(mesh)
        sides = np.ptp(mesh.vertices, axis=0)
        assert 0.04 <= sides.max() <= 0.14
        assert 0.012 <= sides.min() <= 0.08
        assert 200 <= len(mesh.faces) <= 5000
        assert np.abs(mesh.center_mass).max() < 1e-9


def test_the_generalised_winding_number_agrees_with_the_volume() -> None:
    # Overlapping sheets, which an edge count does not see, would count space twice.
    for name, mesh in objects.benchmark_objects().items():
        low, high = mesh.bounds[0] - 0.003, mesh.bounds[1] + 0.003
        points = np.random.default_rng(0).uniform(low, high, size=(3000, 3))
        winding = winding_number(mesh, points)
        assert np.abs(winding - np.round(winding)).max() < 1e-6, name
        assert set(np.unique(np.round(winding))) <= {0.0, 1.0}, name
        share, expected = np.mean(winding > 0.5), mesh.volume / np.prod(high - low)
        assert abs(share - expected) < 5.0 * np.sqrt(expected * (1.0 - expected) / len(points)), name


def test_the_benchmark_is_twenty_different_objects_always_the_same() -> None:
    first, second = objects.benchmark_objects(), objects.benchmark_objects()
    assert len(first) == 20
    assert list(first) == list(second)
    for a, b in zip(first.values(), second.values(), strict=True):
        assert np.array_equal(a.vertices, b.vertices)
        assert np.array_equal(a.faces, b.faces)
    assert len({round(mesh.volume * 1e12) for mesh in first.values()}) == 20
    shaped = [n for n in first if n.startswith(("union", "solid_of_revolution", "vessel", "mug"))]
    assert len(shaped) >= 16
    for mesh in first.values():
        check_closed(mesh)


def test_random_objects_follow_the_generator() -> None:
    rng, again = np.random.default_rng(3), np.random.default_rng(3)
    drawn = [objects.random_object(rng) for _ in range(12)]
    for mesh in drawn:
        check_closed(mesh)
        assert np.array_equal(mesh.vertices, objects.random_object(again).vertices)
    assert len({len(mesh.vertices) for mesh in drawn}) > 6


def test_a_vessel_is_hollow_and_open_at_the_top() -> None:
    for seed in range(6):
        mesh = objects.object_of(objects.vessel, np.random.default_rng(seed))
        assert mesh.volume < 0.7 * ConvexHull(mesh.vertices).volume
        # From above along the axis, the first that is met is the bottom, two walls thick.
        top, bottom = mesh.vertices[:, 2].max(), mesh.vertices[:, 2].min()
        heights = np.linspace(bottom, top, 400)
        axis = np.stack([np.full(400, 1e-5), np.full(400, 2e-5), heights], axis=1)
        inside = winding_number(mesh, axis) > 0.5
        thick = np.ptp(heights[inside])
        assert 0.005 < thick < 0.013
        assert heights[inside].max() < bottom + 0.014
        # From the axis outward at half the height there is one wall.
        reach = np.linspace(0.0, 0.1, 4000)
        level = np.full(4000, (top + bottom) / 2.0 + 1e-5)
        beyond = winding_number(mesh, np.stack([reach, np.full(4000, 1e-5), level], axis=1)) > 0.5
        assert 0.0028 < np.ptp(reach[beyond]) < 0.0062
        assert beyond.sum() == pytest.approx(np.ptp(reach[beyond]) * 40_000, abs=2)


def test_a_mug_has_a_handle() -> None:
    # Closed surfaces with one hole through them: vertices - edges + faces = 2 - 2 * 1.
    for seed in range(4):
        assert objects.object_of(objects.mug, np.random.default_rng(seed)).euler_number == 0


def test_a_family_without_objects_is_one_line() -> None:
    def giant(rng: np.random.Generator) -> trimesh.Trimesh:
        return trimesh.creation.icosphere(3, 1.0)

    with pytest.raises(ValueError, match="the family 'giant' drew no object within the limits"):
        objects.object_of(giant, np.random.default_rng(0))

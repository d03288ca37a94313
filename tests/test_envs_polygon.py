"""Polygons: mass properties and pieces by sampling and by shapely, nearest points by brute force, files, bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from gradgym.envs.polygon import Polygon, placed, polygon_of

L_SHAPE = [[0.0, 0.0], [0.1, 0.0], [0.1, 0.03], [0.03, 0.03], [0.03, 0.09], [0.0, 0.09]]


def star(seed: int, n: int = 12) -> Polygon:
    """Not convex, in general."""
    rng = np.random.default_rng(seed)
    angle, radius = np.sort(rng.uniform(0, 2 * np.pi, n)), rng.uniform(0.03, 0.1, n)
    return Polygon(np.stack([0.3 + radius * np.cos(angle), radius * np.sin(angle) - 0.2], axis=1))


def is_convex(corners: np.ndarray) -> bool:
    a, b = np.roll(corners, -1, axis=0) - corners, np.roll(corners, -2, axis=0) - np.roll(corners, -1, axis=0)
    return bool((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > -1e-12).all())


@pytest.mark.parametrize("seed", range(4))
def test_mass_properties_are_those_of_a_fine_raster(seed: int) -> None:
    polygon = star(seed)
    side = np.linspace(-0.2, 0.2, 801)
    x, y = (a.ravel() for a in np.meshgrid(side, side))
    inside = shapely.contains_xy(polygon.shape, x, y)
    cell = (side[1] - side[0]) ** 2
    assert polygon.area == pytest.approx(cell * inside.sum(), rel=3e-3)
    assert x[inside].mean() == pytest.approx(0.0, abs=1e-4)
    assert y[inside].mean() == pytest.approx(0.0, abs=1e-4)
    assert polygon.inertia == pytest.approx((x[inside] ** 2 + y[inside] ** 2).mean(), rel=3e-3)


def test_inertia_of_a_rectangle() -> None:
    rectangle = Polygon([[0.2, 0.1], [0.2, 0.4], [0.0, 0.4], [0.0, 0.1]])
    assert rectangle.inertia == pytest.approx((0.2**2 + 0.3**2) / 12.0)


@pytest.mark.parametrize("polygon", [star(0), star(1), star(2), star(3), Polygon(L_SHAPE)])
def test_pieces_are_convex_and_cover_the_polygon_once(polygon: Polygon) -> None:
    pieces = polygon.pieces
    assert all(is_convex(piece) for piece in pieces)
    assert sum(shapely.Polygon(piece).area for piece in pieces) == pytest.approx(polygon.area, rel=1e-12)
    union = shapely.union_all([shapely.Polygon(piece) for piece in pieces])
    assert union.symmetric_difference(polygon.shape).area < 1e-12
    assert len(pieces) <= (len(polygon.vertices) - 2) / 2 + 1  # half as many as triangles, or fewer


def test_few_pieces() -> None:
    assert len(Polygon([[0, 0], [1, 0], [1.2, 0.6], [0.5, 1], [-0.2, 0.6]]).pieces) == 1
    assert len(Polygon(L_SHAPE).pieces) == 2


def test_direction_and_frame_do_not_matter() -> None:
    given = np.array(L_SHAPE)
    one, other = Polygon(given), Polygon(given[::-1] + np.array([3.0, -2.0]))
    assert shapely.LinearRing(one.vertices).is_ccw
    assert shapely.LinearRing(other.vertices).is_ccw
    np.testing.assert_allclose(one.vertices[0], other.vertices[1], atol=1e-14)  # what was first stays first
    np.testing.assert_allclose(one.vertices, np.roll(other.vertices, -1, axis=0), atol=1e-14)
    closed = Polygon([*L_SHAPE, L_SHAPE[0]])
    np.testing.assert_array_equal(closed.vertices, one.vertices)


@pytest.mark.parametrize("seed", range(3))
def test_closest_is_the_nearest_of_many_boundary_points(seed: int) -> None:
    polygon, rng = star(seed), np.random.default_rng(seed)
    points = rng.uniform(-0.15, 0.15, (4, 50, 2))
    point, normal = polygon.closest(points)
    a, share = polygon.vertices, np.linspace(0.0, 1.0, 2001)[:, None, None]
    boundary = (a + share * (np.roll(a, -1, axis=0) - a)).reshape(-1, 2)
    distance = np.linalg.norm(points[..., None, :] - boundary, axis=-1).min(axis=-1)
    np.testing.assert_allclose(np.linalg.norm(points - point, axis=-1), distance, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1.0)
    outside, inside = point + 1e-6 * normal, point - 1e-6 * normal
    interior = np.linalg.norm(point[..., None, :] - a, axis=-1).min(axis=-1) > 1e-4  # not at a vertex
    assert interior.sum() > 50
    assert not shapely.contains_xy(polygon.shape, outside[interior]).any()
    assert shapely.contains_xy(polygon.shape, inside[interior]).all()


@pytest.mark.parametrize("seed", range(3))
def test_towards_is_the_farthest_crossing(seed: int) -> None:
    polygon = star(seed)
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, 40)
    ray = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    for direction, point in zip(ray, polygon.towards(ray).point, strict=True):
        crossing = polygon.shape.exterior.intersection(shapely.LineString([[0, 0], direction]))
        far = np.linalg.norm(shapely.get_coordinates(crossing), axis=-1).max()
        np.testing.assert_allclose(point, far * direction, atol=1e-9)


@pytest.mark.parametrize("polygon", [star(1), Polygon(L_SHAPE)])
def test_clear_points_keep_their_distance(polygon: Polygon) -> None:
    rng = np.random.default_rng(0)
    points = polygon.closest(rng.uniform(-0.15, 0.15, (300, 2))).point + 1e-4 * rng.standard_normal((300, 2))
    moved = polygon.clear(points, 0.004)
    distance = shapely.distance(polygon.shape, shapely.points(moved))
    np.testing.assert_allclose(distance, 0.004, atol=1e-7)
    far = np.array([[1.0, 2.0]])
    np.testing.assert_array_equal(polygon.clear(far, 0.004), far)


def test_placed_turns_then_moves() -> None:
    moved = placed(np.array([[1.0, 0.5]]), [2.0, 3.0, np.pi / 2])
    np.testing.assert_allclose(moved, [[1.5, 4.0]], atol=1e-15)
    assert placed(np.array(L_SHAPE), np.zeros((5, 3))).shape == (5, 6, 2)


def test_files(tmp_path: Path) -> None:
    vertices = np.array(L_SHAPE)
    np.save(tmp_path / "a.npy", vertices)
    np.savez(tmp_path / "a.npz", vertices=vertices)
    np.savetxt(tmp_path / "a.csv", vertices, delimiter=",", header="x,y", comments="")
    np.savetxt(tmp_path / "a.txt", vertices)
    (tmp_path / "a.json").write_text(json.dumps({"vertices": L_SHAPE}))
    (tmp_path / "b.json").write_text(json.dumps(L_SHAPE))
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_allclose(polygon_of(path).vertices, Polygon(vertices).vertices, atol=1e-15)
    np.savez(tmp_path / "c.npz", corners=vertices)
    (tmp_path / "c.csv").write_text("1,2\n3,x\n5,6\n")
    for name, message in {
        "c.npz": 'c.npz: it has no entry "vertices"',
        "c.csv": "c.csv: could not convert",
        "none.npy": "none.npy: no such file",
        "a.stl": r"a.stl: unknown ending, choose one of \.npy",
    }.items():
        with pytest.raises(ValueError, match=message):
            Polygon.load(tmp_path / name)


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        ([[0, 0], [1, 1], [1, 0], [0, 1]], r"facets cross or touch \(Self-intersection.*give a simple polygon"),
        ([[0, 0], [1, 0]], "2 vertices, needs at least 3"),
        ([[0, 0], [1, 0], [np.nan, 1]], "vertex 2 is not finite"),
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], r"vertices have shape \(3, 3\), expected \(F, 2\)"),
        ([[0, 0], [1, 0], [2, 0]], "polygon: "),
        ([[0, 0], [1, 0], [1, 0], [0, 1]], "two neighbouring vertices are the same"),
    ],
)
def test_bad_vertices_are_named(vertices: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Polygon(vertices)

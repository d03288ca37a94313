"""Random objects and motions: what they promise, checked by shapely and by hand."""

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from scipy.optimize import linprog

from gradgym.agents.pushing import shapes
from gradgym.agents.pushing.shapes import RADIUS, random_polygon, random_smooth, random_spline, random_superellipse
from gradgym.agents.pushing.trajectories import random_trajectory
from gradgym.envs.polygon import Polygon

Floats = NDArray[np.float64]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("facets", [3, 4, 5, 6, 12])
def test_random_polygons_are_simple_and_have_no_thin_places(facets: int) -> None:
    convex = 0
    for seed in range(12):
        vertices = random_polygon(facets, rng(seed)).vertices
        ring = shapely.LinearRing(vertices)
        assert len(vertices) == facets
        assert ring.is_simple
        assert ring.is_ccw
        assert 0.8 * RADIUS - 1e-9 < np.linalg.norm(vertices, axis=1).max() < RADIUS + 1e-9
        before, after = np.roll(vertices, 1, axis=0) - vertices, np.roll(vertices, -1, axis=0) - vertices
        assert np.linalg.norm(after, axis=1).min() >= 0.015
        cosines = (before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
        assert np.degrees(np.arccos(cosines)).min() >= 30.0
        convex += bool(shapely.Polygon(vertices).convex_hull.area < 1.0001 * shapely.Polygon(vertices).area)
    if facets == 12:
        assert convex == 0


@pytest.mark.parametrize("facets", [6, 12])
def test_facets_that_do_not_meet_are_apart(facets: int) -> None:
    for seed in range(6):
        vertices = random_polygon(facets, rng(seed)).vertices
        for i in range(facets):
            for j in range(i + 2, facets - (i == 0)):
                gap = shapely.LineString(vertices[[i, i + 1]]).distance(
                    shapely.LineString(vertices[[j, (j + 1) % facets]])
                )
                assert gap >= 0.015 - 1e-12


def test_vertices_are_joined_in_random_order_without_crossings() -> None:
    """Joined in the order of their angles, all would be seen from the circle's centre: a star."""
    stars: list[bool] = []
    for seed in range(12):
        a = random_polygon(12, rng(seed)).vertices
        edge = np.roll(a, -1, axis=0) - a
        inward = np.stack([-edge[:, 1], edge[:, 0]], axis=1)
        stars.append(linprog(np.zeros(2), -inward, -(inward * a).sum(1), bounds=(None, None)).status == 0)
        points = rng(seed).standard_normal((9, 2))
        uncrossed = shapes._uncrossed(points, rng(seed))
        assert shapely.LinearRing(uncrossed).is_simple
        np.testing.assert_array_equal(np.sort(uncrossed, axis=0), np.sort(points, axis=0))
    assert not all(stars)


def test_too_few_facets_and_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="num_facets=2"):
        random_polygon(2, rng(0))
    monkeypatch.setattr(shapes, "_TRIES", 50)
    with pytest.raises(ValueError, match="no fit polygon found"):
        random_polygon(6, rng(0), radius=0.005)


def test_smooth_shapes_have_no_corners_and_fit() -> None:
    for seed in range(20):
        vertices = random_smooth(rng(seed)).vertices
        assert len(vertices) == 40
        assert np.linalg.norm(vertices, axis=1).max() <= RADIUS + 1e-9
        edge = np.roll(vertices, -1, axis=0) - vertices
        lengths = np.linalg.norm(edge, axis=1)
        assert lengths.min() > 0.6 * lengths.max()


def test_a_superellipse_is_one() -> None:
    for seed in range(10):
        vertices = random_superellipse(rng(seed), 400).vertices
        a, b = np.abs(vertices).max(axis=0)
        x, y = np.abs(vertices).T / np.array([[a], [b]])
        far = (x > 0.2) & (y > 0.2)
        # The exponent by the point next to the diagonal; the others must then be on the curve.
        on = np.argmin(np.abs(x - y))
        n = np.log(0.5) / np.log((x[on] * y[on]) ** 0.5)
        np.testing.assert_allclose((x**n + y**n)[far], 1.0, atol=0.03)


def test_a_spline_bends_without_jumps() -> None:
    for seed in range(10):
        edge = np.diff(random_spline(rng(seed), 800).vertices, axis=0)
        turn = np.angle(np.exp(1j * np.diff(np.angle(edge[:, 0] + 1j * edge[:, 1]))))
        assert np.abs(turn).max() < 0.3


def heights(polygon: Polygon, r: Floats) -> Floats:
    """Of the lowest vertex, (T,), by complex numbers."""
    z = polygon.vertices[:, 0] + 1j * polygon.vertices[:, 1]
    return np.array([(y + (z * np.exp(1j * angle)).imag).min() for _, y, angle in r])


def test_motions_keep_to_their_law() -> None:
    polygon = random_polygon(6, rng(3))
    slides, tumbles, lifts = 0, 0, 0
    noises: list[Floats] = []
    for seed in range(400):
        r = random_trajectory(polygon, rng(seed))
        low = heights(polygon, r)
        assert low.min() > -1e-12
        turn = np.diff(r[:, 2])
        np.testing.assert_allclose(turn, turn[0], atol=1e-12)
        assert abs(r[-1, 2] - r[0, 2]) <= 0.5
        noises.append(np.diff(r[:, 0], 2))
        if low.max() > 1e-12:
            lifts += 1
        elif abs(turn[0]) > 0.0:
            tumbles += 1
        else:
            slides += 1
            z = (polygon.vertices[:, 0] + 1j * polygon.vertices[:, 1]) * np.exp(1j * r[0, 2])
            under = z.real[z.imag < z.imag.min() + 1e-9]
            assert len(under) == 2
            assert under.min() < 0.0 < under.max()
    # A lift whose ends are on the ground stays there only where all its noise is downward, one in 2^5.
    assert abs(slides - 100) < 40
    assert abs(tumbles - 100) < 40
    assert abs(lifts - 200) < 40
    # Second differences of independent noises have six times their variance.
    assert np.std(noises) == pytest.approx(0.01 * np.sqrt(6.0), rel=0.05)


def test_round_shapes_can_lie_on_their_sides() -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 41)[:-1]
    disc = Polygon(0.08 * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    for seed in range(20):
        assert np.isfinite(random_trajectory(disc, rng(seed), knots=10)).all()
    for seed in range(20):
        # Its centre of mass is near the end of the one facet that it is over.
        assert np.isfinite(random_trajectory(random_smooth(rng(8)), rng(seed))).all()
    with pytest.raises(ValueError, match="knots=2"):
        random_trajectory(disc, rng(0), knots=2)

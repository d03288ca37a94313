"""Objects to push: random polygons, superellipses and closed splines."""

from itertools import combinations

import numpy as np
import shapely
from numpy.typing import NDArray

from ...envs.polygon import Polygon

RADIUS = 0.1  # [m]
_SHORTEST, _THINNEST = 0.015, 0.015  # of a facet, and between facets that do not meet [m]
_SHARPEST = np.radians(30.0)  # of a corner, inside or out
_INNERMOST = 0.35  # of a random vertex, in radii
_SMALLEST = 0.8  # of random polygons, in radii
_TRIES = 20_000

Floats = NDArray[np.float64]


def random_polygon(num_facets: int, rng: np.random.Generator, radius: float = RADIUS) -> Polygon:
    """A simple polygon, convex or not, within a circle of `radius` [m] about its centroid.

    Vertices are drawn on a circle, at least 0.4 of an equal share apart, and moved inwards by up to 65 % of the
    radius, for on the circle itself only a convex polygon is simple. They are joined in random order, and 2-opt moves
    at random take crossings out until none is left (Auer, "RPG: Heuristics for the generation of random polygons",
    1996). The polygon is scaled so that its farthest vertex is at 0.8 to 1 radii. What has a facet under 15 mm, a
    corner under 30 degrees inside or out, or two facets apart that are nearer than 15 mm is drawn again.

    Raises:
        ValueError: fewer than three facets, or so many that none of the draws was fit.
    """
    if num_facets < 3:
        raise ValueError(f"num_facets={num_facets}: a polygon has at least 3")
    for _ in range(_TRIES):
        share = 0.4 + rng.dirichlet(np.ones(num_facets)) * 0.6 * num_facets
        angle = rng.uniform(0.0, 2.0 * np.pi) + 2.0 * np.pi * np.cumsum(share) / num_facets
        distance = radius * rng.uniform(_INNERMOST, 1.0, num_facets)
        points = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points = _uncrossed(points[rng.permutation(num_facets)], rng)
        if _is_fit(points):
            polygon = Polygon(points)
            scaled = polygon.vertices * radius * rng.uniform(_SMALLEST, 1.0) / polygon.radius
            if _is_fit(scaled):
                return Polygon(scaled)
    raise ValueError(f"num_facets={num_facets}, radius={radius}: no fit polygon found, take fewer facets")


def random_superellipse(rng: np.random.Generator, num_vertices: int = 40, radius: float = RADIUS) -> Polygon:
    """|x / a|^n + |y / b|^n = 1: a disc, an ellipse, nearly a box or a rhomb; a, b 0.45 to 1 radii, n 1.5 to 6."""
    a, b = radius * rng.uniform(0.45, 1.0, 2)
    exponent = np.exp(rng.uniform(np.log(1.5), np.log(6.0)))
    angle = np.linspace(0.0, 2.0 * np.pi, 4001)[:-1]
    outline = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    outline = np.array([a, b]) * np.sign(outline) * np.abs(outline) ** (2.0 / exponent)
    return _within(_even(outline, num_vertices), radius)


def random_spline(rng: np.random.Generator, num_vertices: int = 40, radius: float = RADIUS) -> Polygon:
    """A closed uniform cubic B-spline of five to eight control points at 0.5 to 1.3 radii, convex or not."""
    count = int(rng.integers(5, 9))
    angle = 2.0 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count + rng.uniform(0.0, 2.0 * np.pi)
    distance = radius * rng.uniform(0.5, 1.3, count)
    control = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    s = np.linspace(0.0, 1.0, 501)[:-1, None, None]
    weights = ((1.0 - s) ** 3, 3.0 * s**3 - 6.0 * s**2 + 4.0, -3.0 * s**3 + 3.0 * s**2 + 3.0 * s + 1.0, s**3)
    spans = np.sum([weight / 6.0 * np.roll(control, -i, axis=0) for i, weight in enumerate(weights)], axis=0)
    outline = spans.swapaxes(0, 1).reshape(-1, 2)
    return _within(_even(outline, num_vertices), radius)


def random_smooth(rng: np.random.Generator, num_vertices: int = 40, radius: float = RADIUS) -> Polygon:
    """A superellipse or a spline, either as often."""
    return (random_superellipse if rng.random() < 0.5 else random_spline)(rng, num_vertices, radius)


def _uncrossed(points: Floats, rng: np.random.Generator) -> Floats:
    """The same points in an order without crossings: each move shortens the outline, so moves end."""
    while True:
        a, b = points, np.roll(points, -1, axis=0)
        left_of_facet = _side(a[:, None], b[:, None], a[None])  # (facet, vertex)
        splits = left_of_facet != np.roll(left_of_facet, -1, axis=1)
        i, j = np.nonzero(np.triu(splits & splits.T, 2))
        apart = (j - i) % len(points) != len(points) - 1
        if not apart.any():
            return points
        pick = rng.choice(np.nonzero(apart)[0])
        points = np.concatenate([points[: i[pick] + 1], points[i[pick] + 1 : j[pick] + 1][::-1], points[j[pick] + 1 :]])


def _side(a: Floats, b: Floats, c: Floats) -> NDArray[np.bool_]:
    u, v = b - a, c - a
    return u[..., 0] * v[..., 1] > u[..., 1] * v[..., 0]


def _is_fit(points: Floats) -> bool:
    edge = np.roll(points, -1, axis=0) - points
    length = np.linalg.norm(edge, axis=1)
    if length.min() < _SHORTEST:
        return False
    direction = edge / length[:, None]
    if ((-direction * np.roll(direction, 1, axis=0)).sum(axis=1) > np.cos(_SHARPEST)).any():
        return False
    facets = [shapely.LineString(facet) for facet in np.stack([points, points + edge], axis=1)]
    last = len(points) - 1
    apart = [(i, j) for i, j in combinations(range(len(points)), 2) if 1 < j - i < last]
    return all(facets[i].distance(facets[j]) >= _THINNEST for i, j in apart)


def _even(outline: Floats, count: int) -> Floats:
    """Points at equal lengths along a fine closed outline."""
    closed = np.append(outline, outline[:1], axis=0)
    along = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1)))
    at = along[-1] * np.arange(count) / count
    return np.stack([np.interp(at, along, closed[:, k]) for k in range(2)], axis=1)


def _within(outline: Floats, radius: float) -> Polygon:
    polygon = Polygon(outline)
    return Polygon(polygon.vertices * min(1.0, radius / polygon.radius))

"""Parametric watertight objects of a hand's size: what grasp planners are trained and compared on.

Primitives, unions of them, convex hulls of random points, and revolved profiles, solid or hollow. Every object is one
closed body, its largest extent 4 to 14 cm, in 200 to 5,000 faces; its frame's origin is its centre of mass, and the
axis of what is revolved is z. The same generator's state gives the same object.
"""

import math
from collections.abc import Callable

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from trimesh import creation

EXTENT = (0.04, 0.14)  # of the largest side of the axis-aligned box [m]
FACES = (200, 5000)
THICKNESS = (0.012, 0.08)  # of the smallest side [m]
SECTIONS = 40  # of what is round
TRIES = 100

Family = Callable[[np.random.Generator], trimesh.Trimesh]


def random_object(rng: np.random.Generator) -> trimesh.Trimesh:
    """One object [m] of any family: primitive, union, hull, solid or hollow revolved profile, or mug."""
    families = (primitive, union, union, hull, solid_of_revolution, vessel, mug)
    return object_of(families[rng.integers(len(families))], rng)


def benchmark_objects() -> dict[str, trimesh.Trimesh]:
    """The 20 named objects [m] that planners are compared on: unions and revolved shapes mostly, always the same.

    No setting of a planner is to be chosen on them; `random_object` has others.
    """
    counts: dict[Family, int] = {union: 8, solid_of_revolution: 4, vessel: 4, mug: 2, hull: 1, primitive: 1}
    found = {}
    for number, (family, count) in enumerate(counts.items()):
        for i in range(count):
            rng = np.random.default_rng([_BENCHMARK_SEED, number, i])
            found[f"{family.__name__}_{i + 1}"] = object_of(family, rng)
    return found


_BENCHMARK_SEED = 20_201_105


def object_of(family: Family, rng: np.random.Generator) -> trimesh.Trimesh:
    """The first object that the family draws within the limits above; ValueError if there is none in 100 draws."""
    for _ in range(TRIES):
        mesh = family(rng)
        # Booleans leave slivers and loose crumbs now and then; whoever draws again needs no repair.
        if not (mesh.is_volume and mesh.body_count == 1):
            continue
        while len(mesh.faces) < FACES[0]:
            mesh = mesh.subdivide()
        sides = np.sort(mesh.extents)
        if (
            EXTENT[0] <= sides[2] <= EXTENT[1]
            and THICKNESS[0] <= sides[0] <= THICKNESS[1]
            and len(mesh.faces) <= FACES[1]
        ):
            mesh.apply_translation(-mesh.center_mass)
            return mesh
    raise ValueError(f"the family {family.__name__!r} drew no object within the limits in {TRIES} tries: widen them")


def primitive(rng: np.random.Generator) -> trimesh.Trimesh:
    """Box, sphere, cylinder, capsule, cone or torus, its largest extent 4 to 12 cm."""
    return _primitive(rng, rng.uniform(0.04, 0.12))


def _primitive(rng: np.random.Generator, size: float) -> trimesh.Trimesh:
    """One whose largest extent is `size` [m]."""
    slim = rng.uniform(0.3, 1.0)
    width = min(slim * size, 0.08)
    draw = rng.integers(6)
    if draw == 0:
        return creation.box((width, rng.uniform(0.3, 1.0) * size, size))
    if draw == 1:
        return creation.icosphere(3, size / 2)
    if draw == 2:
        return creation.cylinder(width / 2, size, sections=SECTIONS)
    if draw == 3:
        return creation.capsule(size - 0.9 * width, 0.45 * width, count=(16, 24))
    if draw == 4:
        mesh = creation.cone(0.5 * max(width, size / 3), size, sections=SECTIONS)
        return mesh.apply_translation((0, 0, -size / 2))
    minor = rng.uniform(0.14, 0.24) * size / 2
    return creation.torus(size / 2 - minor, minor, major_sections=SECTIONS, minor_sections=16)


def union(rng: np.random.Generator) -> trimesh.Trimesh:
    """Two or three turned primitives, each next one's centre in the box around those before it."""
    whole = _primitive(rng, rng.uniform(0.05, 0.1))
    for _ in range(rng.integers(1, 3)):
        part = _primitive(rng, rng.uniform(0.04, 0.09))
        turn = trimesh.transformations.random_rotation_matrix(rng.uniform(size=3))
        turn[:3, 3] = rng.uniform(*whole.bounds)
        whole = trimesh.boolean.union([whole, part.apply_transform(turn)], engine="manifold")
    return whole


def hull(rng: np.random.Generator) -> trimesh.Trimesh:
    """Convex hull of 8 to 40 points, normally distributed and stretched."""
    points = rng.normal(size=(rng.integers(8, 41), 3)) * rng.uniform(0.5, 1.0, 3)
    mesh = trimesh.convex.convex_hull(points)
    return mesh.apply_scale(rng.uniform(0.05, 0.11) / max(mesh.extents))


def solid_of_revolution(rng: np.random.Generator) -> trimesh.Trimesh:
    """Bottles and skittles: a smooth profile of 4 to 6 random radii, half of them with a neck, filled."""
    height, rows = rng.uniform(0.06, 0.13), int(rng.integers(4, 7))
    radii = rng.uniform(0.015, 0.038, rows)
    if rng.uniform() < 0.5:
        radii[-2:] = rng.uniform(0.009, 0.014)
    return _revolved(_profile(radii, height))


def vessel(rng: np.random.Generator) -> trimesh.Trimesh:
    """Cups, bowls and vases: open at the top, their walls 3 to 6 mm thick."""
    draw = rng.integers(3)
    if draw == 0:
        height, bottom = rng.uniform(0.06, 0.11), rng.uniform(0.022, 0.035)
        radii = bottom * np.linspace(1.0, rng.uniform(1.0, 1.35), 4)
    elif draw == 1:
        height, rim = rng.uniform(0.035, 0.06), rng.uniform(0.045, 0.065)
        radii = rim * np.sqrt(np.linspace(rng.uniform(0.12, 0.3), 1.0, 5))
    else:
        height = rng.uniform(0.08, 0.13)
        radii = rng.uniform(0.018, 0.04, int(rng.integers(4, 6)))
    return _hollowed(_profile(radii, height), rng.uniform(0.003, 0.006))


def mug(rng: np.random.Generator) -> trimesh.Trimesh:
    """A cup with a handle, which is part of a torus."""
    height, radius = rng.uniform(0.07, 0.1), rng.uniform(0.028, 0.04)
    profile = _profile(radius * np.array([0.9, 1.0, 1.0, rng.uniform(1.0, 1.1)]), height)
    minor = rng.uniform(0.004, 0.006)
    ring = creation.torus(rng.uniform(0.26, 0.34) * height, minor, major_sections=SECTIONS, minor_sections=12)
    ring.apply_transform(trimesh.transformations.rotation_matrix(math.pi / 2, (1, 0, 0)))
    ring.apply_translation((radius + 0.3 * minor, 0, height / 2))
    # What of the ring would stick through the wall is cut away at half the wall.
    inner = profile.copy()
    inner[:, 0] -= 0.002
    ring = trimesh.boolean.difference([ring, _revolved(inner)], engine="manifold")
    return trimesh.boolean.union([_hollowed(profile, 0.004), ring], engine="manifold")


def _profile(radii: NDArray[np.float64], height: float) -> NDArray[np.float64]:
    """Rows (radius, z) of a monotone cubic through the radii at equal distances from z = 0 up to `height` [m]."""
    z = np.linspace(0.0, height, 16)
    radius = PchipInterpolator(np.linspace(0.0, height, len(radii)), radii)(z)
    return np.stack([radius, z], axis=1)


def _hollowed(profile: NDArray[np.float64], wall: float) -> trimesh.Trimesh:
    """The profile revolved, `wall` [m] of it left at the side and twice as much at the bottom."""
    inside = profile[profile[:, 1] > 2.0 * wall]
    inside = np.concatenate([[[np.interp(2.0 * wall, profile[:, 1], profile[:, 0]), 2.0 * wall]], inside])
    inside[:, 0] -= wall
    return _revolved(np.concatenate([profile, inside[::-1]]))


def _revolved(rows: NDArray[np.float64]) -> trimesh.Trimesh:
    """The solid that rows (radius, z) bound, joined to the axis at both ends."""
    ends = rows[[0, -1]] * (0.0, 1.0)
    return creation.revolve(np.concatenate([ends[:1], rows, ends[1:]]), sections=SECTIONS)

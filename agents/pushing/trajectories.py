"""Random motions of an object in a vertical plane: the tasks (appendix A of the paper)."""

from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from ...envs.polygon import Polygon, placed

NOISE = 0.01  # standard deviation, of each position [m]
_HALF_WIDTH = 0.15  # of E, about x = 0 [m]
_TURN = 0.5  # to either side [rad]
_HIGHEST = 0.08  # of the lowest vertex above the ground [m]
_KINDS: tuple["Kind", ...] = ("slide", "tumble", "lift")
_MARGIN = 0.1  # of the centre of mass over a facet, in facets
_SHARES = (0.25, 0.25, 0.5)

Floats = NDArray[np.float64]
Kind = Literal["slide", "tumble", "lift"]


def random_trajectory(polygon: Polygon, rng: np.random.Generator, knots: int = 5, noise: float = NOISE) -> Floats:
    """Desired poses (knots, 3) [m, m, rad] from a start to a goal, both uniform in the environment E.

    E: x in [-0.15, 0.15], any angle at the start and up to 0.5 rad another at the goal, and one of three kinds:
    "slide" (1/4): it lies on a facet of its hull over which it is stable, and does not turn; "tumble" (1/4): it stays
    on the ground, at any angle; "lift" (1/2): the lowest vertex is at 0 to 8 cm at either end, each on the ground by
    one half. Between them all goes linearly, with Gaussian noise on the position of each knot (along the ground
    where it stays there), but never under the ground.

    Raises:
        ValueError: fewer than three knots.
    """
    if knots < 3:
        raise ValueError(f"knots={knots}: a trajectory has at least 3")
    kind: Kind = rng.choice(np.array(_KINDS), p=_SHARES)
    start, goal = rng.uniform(-_HALF_WIDTH, _HALF_WIDTH, 2)
    angle, turn = rng.uniform(-np.pi, np.pi), rng.uniform(-_TURN, _TURN)
    heights = _HIGHEST * rng.random(2) * (rng.random(2) < 0.5)
    noises = noise * rng.standard_normal((knots, 2))
    share = np.linspace(0.0, 1.0, knots)
    if kind == "slide":
        resting = _resting_angles(polygon)
        angle, turn = resting[rng.integers(len(resting))], 0.0
    if kind == "lift":
        height = np.maximum(heights[0] + share * (heights[1] - heights[0]) + noises[:, 1], 0.0)
    else:
        height = np.zeros(knots)
    r = np.stack([start + share * (goal - start) + noises[:, 0], np.zeros(knots), angle + share * turn], axis=1)
    r[:, 1] = height - placed(polygon.vertices, r)[..., 1].min(axis=-1)
    return r


def _resting_angles(polygon: Polygon) -> Floats:
    """Angles at which a facet of the convex hull lies on the ground with the centre of mass over it."""
    a = shapely.get_coordinates(polygon.shape.convex_hull)[:-1]
    b = np.roll(a, -1, axis=0)
    if (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() < 0.0:
        a = a[::-1]
    edge = np.roll(a, -1, axis=0) - a
    length = np.linalg.norm(edge, axis=1)
    along = (-a * edge).sum(axis=1) / length**2
    height = (a[:, 0] * edge[:, 1] - a[:, 1] * edge[:, 0]) / length
    rests = np.abs(along - 0.5) < 0.5 - _MARGIN
    rests[height.argmin()] = True  # over the nearest it is stable, if by little: a round shape
    return -np.arctan2(edge[rests, 1], edge[rests, 0])

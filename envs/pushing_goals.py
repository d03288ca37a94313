"""Goals of planar pushing: poses of the object, one every 0.1 s."""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from .polygon import Polygon, placed
from .pushing_scene import WORKSPACE, View

Floats = NDArray[np.float64]

NOISE = 0.01  # standard deviation of a pose's position [m]
_SIDEWAYS, _UP, _TURN = 0.1, 0.1, 0.5  # how far goals are, at most [m], [m], [rad]
_START = 0.1  # starts are within, from the workspace's middle [m]
_UNDER, _MARGIN = 0.002, 0.05  # how far a vertex may be under the ground, and outside the workspace [m]


def random_goal(polygon: Polygon, view: View, knots: int, rng: np.random.Generator) -> Floats:
    """A trajectory (knots, 3) [m, m, rad], of which the first pose is where the object starts.

    From a facet of the convex hull on the ground on which it stands ("top": from anywhere, at any angle) to a goal up
    to 10 cm aside, 10 cm higher (or lower, "top") and 0.5 rad turned; in between linear with 1 cm of noise, as in
    appendix A of Aceituno et al., but never under the ground.
    """
    middle = WORKSPACE.mean(axis=1)
    way = rng.uniform(-1.0, 1.0, 3) * [_SIDEWAYS, _UP, _TURN]
    place, turn = middle + rng.uniform(-_START, _START, 2), rng.uniform(-np.pi, np.pi)
    noise = NOISE * rng.standard_normal((knots, 2))
    noise[0] = 0.0
    if view == "sagittal":
        angles = standing_angles(polygon)
        turn, place[1], way[1] = angles[rng.integers(len(angles))], 0.0, abs(way[1])
    r = np.array([*place, turn]) + np.linspace(0.0, 1.0, knots)[:, None] * way
    r[:, :2] += noise
    if view == "sagittal":
        height = np.maximum(r[:, 1], 0.0)  # of the lowest vertex
        r[:, 1] = height - placed(polygon.vertices, r * [1.0, 0.0, 1.0])[..., 1].min(axis=-1)
    return r


def standing_angles(polygon: Polygon) -> Floats:
    """Angles at which a facet of the convex hull lies on the ground with the centroid above it [rad], (n,), n > 0."""
    hull = shapely.get_coordinates(shapely.orient_polygons(polygon.shape.convex_hull))
    edge = hull[1:] - hull[:-1]
    stands = ((hull[:-1] * edge).sum(1) < 0.0) & ((hull[1:] * edge).sum(1) > 0.0)
    return -np.arctan2(edge[stands, 1], edge[stands, 0])


def checked_trajectory(polygon: Polygon, view: View, poses: ArrayLike, knots: int) -> Floats:
    """A trajectory (knots, 3) as it was given; ValueError where the object would leave the workspace, or the ground."""
    r = np.asarray(poses, np.float64)
    if r.shape != (knots, 3):
        raise ValueError(f"goal has shape {r.shape}, expected ({knots}, 3): x, y [m] and angle [rad] of each knot")
    if not np.isfinite(r).all():
        raise ValueError(f"goal: knot {int(np.argwhere(~np.isfinite(r))[0, 0])} is not finite")
    if (np.abs(r[:, 2]) >= 2.0 * np.pi).any():
        raise ValueError("goal: angles must be within two pi of zero")
    corners = placed(polygon.vertices, r)
    if view == "sagittal":
        _refuse(corners[..., 1].min(axis=-1) < -_UNDER, "is under the ground, y = 0")
    low, high = WORKSPACE.T
    low, high = low - [_MARGIN, np.inf if view == "sagittal" else _MARGIN], high + _MARGIN
    _refuse(((corners < low) | (corners > high)).any(axis=(1, 2)), "is out of reach: x within 0.3 m, y from 0 to 0.6 m")
    return r


def _refuse(bad: Sequence[bool] | NDArray[np.bool_], reason: str) -> None:
    if np.any(bad):
        raise ValueError(f"goal: at knot {int(np.argmax(bad))} the object {reason}")

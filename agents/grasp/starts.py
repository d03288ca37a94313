"""Poses from which grasps are planned: the open hand around the object, its palm towards it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .hand import Hand

_CLEARANCE = (0.002, 0.03)  # between the palm and the surface [m]
_TILT = 0.5  # standard deviation of the palm's direction from the surface's normal [rad]
_BEND = 0.15  # of joints, as a fraction of their range
_MARGIN = 0.02  # of a joint's range, from its ends: there the sigmoid has no slope


def start_poses(
    points: NDArray[np.float64], normals: NDArray[np.float64], hand: Hand, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One start for each point of the object's surface.

    Args:
        points: (n, 3) on the surface, in the frame of the grasps [m].
        normals: (n, 3) there, outward.
        hand: of which the palm shall be above each.
        rng: for turn, tilt, clearance and joints.

    Returns:
        Poses of the hand's root (n, 7) and joints (n, J), as of `Grasps`.
    """
    n = len(points)
    surface = hand.surface
    outward = normals + _TILT * rng.standard_normal((n, 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    rotation = _facing(-outward, hand, rng)
    clearance = rng.uniform(*_CLEARANCE, n)
    centers = points + (clearance - surface.reach)[:, None] * outward
    position = centers - rotation @ surface.center
    joints = hand.middle + _BEND * (hand.upper - hand.lower) * rng.standard_normal((n, len(hand.joint_names)))
    margin = _MARGIN * (hand.upper - hand.lower)
    return np.concatenate([position, quaternions(rotation)], axis=1), joints.clip(
        hand.lower + margin, hand.upper - margin
    )


def trivial_poses(
    center: NDArray[np.float64], radius: float, hand: Hand, n: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Starts that know nothing of the object's shape: the hand's middle on a sphere, the open palm to its centre.

    Args:
        center: of the object's mass, (3,) [m].
        radius: of the sphere [m].
        hand: all its joints straight, at zero or as near to it as their ranges allow.
        n: how many.
        rng: for the places, uniform on the sphere, and the turns about the approach.

    Returns:
        As `start_poses`.
    """
    outward = rng.standard_normal((n, 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    rotation = _facing(-outward, hand, rng)
    position = center + radius * outward - rotation @ hand.surface.center
    margin = _MARGIN * (hand.upper - hand.lower)
    joints = np.zeros((n, len(hand.joint_names))).clip(hand.lower + margin, hand.upper - margin)
    return np.concatenate([position, quaternions(rotation)], axis=1), joints


def _facing(approach: NDArray[np.float64], hand: Hand, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rotations (n, 3, 3) that bring the hand's approach to those, (n, 3); about them it is turned at random."""
    own = _frame(hand.surface.approach[None], np.array([[0.0, 0.0, 1.0]]))
    return _frame(approach, rng.standard_normal(approach.shape)) @ np.swapaxes(own, 1, 2)


def _frame(z: NDArray[np.float64], near: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations (n, 3, 3) whose last column is z (n, 3)."""
    x: NDArray[np.float64] = np.cross(near, z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y: NDArray[np.float64] = np.cross(z, x)
    return np.stack([x, y, z], axis=2)


def quaternions(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4), w first, of rotations (n, 3, 3)."""
    from scipy.spatial.transform import Rotation

    found: Any = Rotation.from_matrix(rotation).as_quat(scalar_first=True)
    return found

"""Where fingers start, and how far a sphere's centre is from the point at which it touches."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...envs.polygon import Polygon
from ...envs.pushing_scene import FINGER_RADIUS, TOUCHING

Floats = NDArray[np.float64]

_ROUNDING = 1e-9  # [m]


class Touch(NamedTuple):
    """Of B worlds, T knots and N fingers."""

    start: Tensor  # (B, N, 2) the spheres' centres at the first knot [m], differentiable by the contacts
    offsets: Tensor  # (B, T, N, 2) from a contact to the sphere's centre, constant [m]


def touch(polygon: Polygon, contacts: Tensor, poses: Tensor) -> Touch:
    """For contacts (B, T, N, 2) on, or near, the object at `poses` (B, T, 3).

    The start is differentiated along the nearest facet; at a corner its derivative is zero.
    """
    rotation = _rotations(poses[..., 2].numpy())[:, :, None]  # to the world
    place = poses[..., None, :2].numpy()
    local = _times(np.swapaxes(rotation, -1, -2), contacts.detach().numpy() - place)
    point, normal = polygon.closest(local)
    offsets = FINGER_RADIUS * _times(rotation, normal)
    first = point[:, 0] + TOUCHING * normal[:, 0]
    centre = polygon.clear(first, TOUCHING)
    along = np.stack([-normal[:, 0, :, 1], normal[:, 0, :, 0]], axis=-1)
    beside = np.abs(((local - point)[:, 0] * along).sum(-1)) > _ROUNDING  # nearest is a corner
    moved = np.abs(centre - first).max(-1) > _ROUNDING
    facet = torch.from_numpy(np.where((beside | moved)[..., None], 0.0, _times(rotation[:, 0], along)))
    given = contacts[:, 0]
    change = ((given - given.detach()) * facet).sum(-1, keepdim=True) * facet
    world = place[:, 0] + _times(rotation[:, 0], centre)
    return Touch(torch.from_numpy(world) + change, torch.from_numpy(offsets))


def _rotations(angle: Floats) -> Floats:
    """(..., 2, 2) of angles (...) [rad]."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)


def _times(matrix: Floats, vector: Floats) -> Floats:
    return (matrix @ vector[..., None])[..., 0]

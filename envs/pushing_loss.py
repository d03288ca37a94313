"""The object-trajectory loss of planar pushing, in the unit of the paper's released code.

Aceituno et al., "A Differentiable Recipe for Learning Visual Non-Prehensile Planar Manipulation", equation 10: there
centimetres, and of an angle 3 cm times its sine, squared.
"""

import torch
from torch import Tensor

_SCALE = 100.0  # [cm/m]
_LEVER = 0.03  # of the angle's sine [m]


def pose_loss(poses: Tensor, desired: Tensor) -> Tensor:
    """Of each pose, the mean over its three coordinates: (..., 3) both [m, m, rad] to (...) [cm^2]."""
    return (_SCALE * (_encoded(poses) - _encoded(desired))).square().mean(-1)


def trajectory_loss(poses: Tensor, desired: Tensor) -> Tensor:
    """Of trajectories (..., T, 3) [m, m, rad], the mean over their knots, (...) [cm^2]."""
    return pose_loss(poses, desired).mean(-1)


def _encoded(poses: Tensor) -> Tensor:
    return torch.cat([poses[..., :2], _LEVER * poses[..., 2:].sin()], dim=-1)

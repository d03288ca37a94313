"""The terms that a grasp is planned by. Liu et al., IV, with the weights of their Table I.

Lengths enter in centimetres, the unit in which the table's numbers make sense for a hand: alpha = 6 / cm halves the
weight of a contact in 1.2 mm.
"""

import torch
from torch import Tensor

CENTIMETRE = 0.01  # [m]


def contact_weights(distance: Tensor, normal: Tensor, hand_normal: Tensor, alpha: float, beta: float) -> Tensor:
    """How far candidates count as contacts, exp(-alpha |d| - beta (1 + n n_g)) of equation 2, (..., N).

    Args:
        distance: (..., N) of the points from the object [m].
        normal: (..., N, 3) outward of the object there.
        hand_normal: (..., N, 3) outward of the hand.
        alpha: [1/cm].
        beta: without unit.
    """
    opposed = 1.0 + (normal * hand_normal).sum(-1)
    return torch.exp(-alpha * distance.abs() / CENTIMETRE - beta * opposed)


def guide(distance: Tensor) -> Tensor:
    """Sum of the squared distances [cm²] of candidates (..., N) [m], L_guide of section IV.E."""
    return (distance / CENTIMETRE).square().sum(-1)


def collision(distance: Tensor) -> Tensor:
    """Mean over samples (..., P) [m] of the squared depth [cm²] in the object.

    The printed exp(-beta min(d, 0)²) falls with the depth and so would reward it; what is meant, one that grows, is
    this to first order, and does not lose its gradient where a finger is deep inside.
    """
    return (distance / CENTIMETRE).clamp(max=0.0).square().mean(-1)

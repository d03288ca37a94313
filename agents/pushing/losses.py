"""What the architectures are trained by on labels: equations 5 and 7 of Aceituno et al., and the loss of its NN.

Equation 10, by the simulator, is `envs.pushing_loss.trajectory_loss`.
"""

from torch import Tensor

from .inverse_dynamics import Solution
from .parameters import Batch, MechanicalParameters

LENGTH = 0.01
"""Positions that differ by so much count 1 [m]; so do forces that move a servo's command by so much."""


def parameter_loss(found: MechanicalParameters, known: MechanicalParameters, scale: Tensor) -> Tensor:
    """Equation 5: mean square of the difference of what `flatten` gives, in units of `scale` (10 + 10 N,)."""
    return ((found.flatten() - known.flatten()) / scale).square().mean()


def solution_loss(found: Solution, known: Batch, slack: float, stiffness: float) -> Tensor:
    """Equation 7, mean over tasks and knots; positions in units of LENGTH, forces of a servo's for LENGTH.

    Args:
        found: by inverse dynamics.
        known: the oracle's.
        slack: q [1/N].
        stiffness: of the fingers' servos [N/m].
    """
    p = (found.p - known.p) / LENGTH
    lam = (found.lam - known.lam) / (stiffness * LENGTH)
    return slack * found.slack.abs().sum(-1).mean() + (p.square() + lam.square()).sum((-2, -1)).mean()


def command_loss(found: Tensor, known: Tensor) -> Tensor:
    """Of NN: squared distance of commands (B, T, N, 2) in units of LENGTH, mean over tasks and knots."""
    return ((found - known) / LENGTH).square().sum((-2, -1)).mean()

"""Gauss-Newton for any torch function: `torch.func.linearize` is the forward program, `torch.func.vjp` the reverse."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .gauss_newton import GaussNewton


class TorchLinearized:
    """A torch function theta (n,) -> r (m,), linearised at theta; loss |r|², no preconditioner (see `Linearized`).

    Raises:
        ValueError: the residual is no vector.
    """

    def __init__(self, residual: Callable[[Tensor], Tensor], theta: Tensor) -> None:
        r, self._forward = torch.func.linearize(residual, theta)
        if r.dim() != 1:
            raise ValueError(f"the residual has shape {tuple(r.shape)}: must be a vector, flatten it")
        self._reverse = torch.func.vjp(residual, theta)[1]
        self.loss = float(r @ r)
        self.gradient: Tensor = self._reverse(r)[0].detach()

    def product(self, v: Tensor) -> Tensor:
        """J^T J v (n,)."""
        return self._reverse(self._forward(v))[0].detach()

    def preconditioner(self, damping: float) -> Callable[[Tensor], Tensor]:
        """The identity."""
        return lambda v: v


@dataclass(frozen=True)
class GaussNewtonResult:
    """Where `gauss_newton` ended."""

    theta: Tensor
    loss: float
    """|r|², twice scipy's cost."""
    gradient_norm: float
    """|J^T r|."""
    steps: int
    reason: str
    """Which rule stopped it: "gradient", "decrease", "rejected" (no try of the last step was better) or "steps"."""


def gauss_newton(
    residual: Callable[[Tensor], Tensor],
    theta0: Tensor,
    solver: GaussNewton | None = None,
    steps: int = 200,
    gradient_tolerance: float = 1e-10,
    decrease_tolerance: float = 1e-14,
) -> GaussNewtonResult:
    """Minimises |residual(theta)|² from theta0.

    Example: the point of a parabola next to (0, 2), from a bad start.

        >>> import torch
        >>> from gradgym.agents.optim.least_squares import gauss_newton
        >>> def residual(theta):
        ...     return torch.stack([theta[0], theta[0] ** 2 - 2.0])
        >>> result = gauss_newton(residual, torch.tensor([5.0], dtype=torch.float64))
        >>> print(f"{result.theta[0]:.6f} {result.loss:.6f}")
        1.224745 1.750000

    Args:
        residual: differentiable torch function (n,) -> (m,) that `torch.func.linearize` can trace.
        theta0: start (n,); float64 is advised.
        solver: how steps are taken, its damping is changed; by default one for small problems: 4 n iterations of
            conjugate gradients (500 at most) to 1e-8, damping from 1e-3 with room down to 1e-12.
        steps: the most steps.
        gradient_tolerance: stops where |J^T r| is at most this.
        decrease_tolerance: stops where an accepted step lowers the loss by at most this part of it.

    Raises:
        ValueError: theta0 or the residual is no vector, or the loss at theta0 is not finite.
    """
    if theta0.dim() != 1:
        raise ValueError(f"theta0 has shape {tuple(theta0.shape)}: must be a vector, flatten it")
    if solver is None:
        solver = GaussNewton(1e-3, 1e-12, 1e12, cg_iterations=max(1, min(4 * len(theta0), 500)), cg_tolerance=1e-8)

    def loss_at(theta: Tensor) -> float:
        with torch.no_grad():
            return float(residual(theta).square().sum())

    theta = theta0.detach()
    linearized = TorchLinearized(residual, theta)
    if not math.isfinite(linearized.loss):
        raise ValueError(f"|residual(theta0)|² is {linearized.loss}: must be finite, start elsewhere")
    taken, reason = 0, ""
    while not reason:
        if float(linearized.gradient.norm()) <= gradient_tolerance:
            reason = "gradient"
        elif taken == steps:
            reason = "steps"
        else:
            step = solver.step(theta, linearized, loss_at)
            taken += 1
            if not step.accepted:
                reason = "rejected"
                break
            if linearized.loss - step.loss <= decrease_tolerance * linearized.loss:
                reason = "decrease"
            theta, linearized = step.theta, TorchLinearized(residual, step.theta)
    return GaussNewtonResult(theta, linearized.loss, float(linearized.gradient.norm()), taken, reason)

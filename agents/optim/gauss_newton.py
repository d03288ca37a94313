"""Matrix-free Gauss-Newton steps with Levenberg-Marquardt damping.

Section III of Ruppel, Hendrich and Zhang, "Learning Dexterous Manipulation with Differentiable Physical
Consistency": the non-linear pass and the linearisers run once a step, then conjugate gradients on linear programs
alone, which together are a product with the Gauss-Newton matrix J' J.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .conjugate_gradients import conjugate_gradients


class Linearized(Protocol):
    """Residuals r linearised at some parameters (n,). The caller may divide all by one and the same number."""

    loss: float  # |r|^2
    gradient: Tensor  # J' r, (n,)

    def product(self, v: Tensor) -> Tensor:
        """J' J v, (n,)."""
        ...

    def preconditioner(self, damping: float) -> Callable[[Tensor], Tensor] | None:
        """An approximate inverse of J' J + damping I, or None."""
        ...


class Step(NamedTuple):
    """What `GaussNewton.step` did."""

    parameters: Tensor  # (n,) the new ones, or the old ones where none was better
    loss: float  # at them
    ratio: float  # of the loss's decrease to what the linear model foresaw, of the last try
    cg_iterations: int  # of the last try
    accepted: bool


class GaussNewton:
    """Takes steps, and adapts the damping to how well the linear model foresees them.

    Args:
        damping: the first one, added to the diagonal of J' J.
        min_damping, max_damping: its bounds.
        cg_iterations, cg_tolerance: see `conjugate_gradients`.
        tries: how often a step that does not decrease the loss is tried again with 8 times the damping.
    """

    def __init__(
        self,
        damping: float = 1.0,
        min_damping: float = 1e-4,
        max_damping: float = 1e6,
        cg_iterations: int = 60,
        cg_tolerance: float = 3e-3,
        tries: int = 5,
    ) -> None:
        if not 0.0 < min_damping <= damping <= max_damping:
            raise ValueError(f"damping={damping}: must be positive, and from min_damping to max_damping")
        if cg_iterations < 1 or tries < 1:
            raise ValueError(f"cg_iterations={cg_iterations}, tries={tries}: must be at least 1")
        self.damping, self.min_damping, self.max_damping = damping, min_damping, max_damping
        self.cg_iterations, self.cg_tolerance, self.tries = cg_iterations, cg_tolerance, tries

    def step(self, parameters: Tensor, linear: Linearized, loss_at: Callable[[Tensor], float]) -> Step:
        """One step from where `linear` was made; `loss_at` is the loss at other parameters, not finite if it fails."""
        if not math.isfinite(linear.loss):
            raise ValueError(f"the loss is {linear.loss} where the step begins: begin elsewhere")
        ratio, count = -math.inf, 0
        for _ in range(self.tries):
            move, count = self._solve(linear)
            foreseen = -2.0 * float(linear.gradient @ move) - float(move @ linear.product(move))
            loss = loss_at(parameters + move)
            ratio = (linear.loss - loss) / max(foreseen, 1e-30) if math.isfinite(loss) else -math.inf
            if ratio > 0.0:
                self._adapt(0.5 if ratio > 0.6 else 3.0 if ratio < 0.3 else 1.0)
                return Step(parameters + move, loss, ratio, count, True)
            self._adapt(8.0)
        return Step(parameters, linear.loss, ratio, count, False)

    def _solve(self, linear: Linearized) -> tuple[Tensor, int]:
        damping = self.damping

        def product(v: Tensor) -> Tensor:
            return linear.product(v) + damping * v

        preconditioner = linear.preconditioner(damping)
        return conjugate_gradients(product, -linear.gradient, preconditioner, self.cg_iterations, self.cg_tolerance)

    def _adapt(self, factor: float) -> None:
        self.damping = min(max(factor * self.damping, self.min_damping), self.max_damping)


class _Residual:
    """A torch function linearised: its forward and its reverse program, each recorded once."""

    def __init__(self, residual: Callable[[Tensor], Tensor], parameters: Tensor) -> None:
        self.value, self._forward = torch.func.linearize(residual, parameters)
        _, self._reverse = torch.func.vjp(residual, parameters)
        self.loss = float(self.value.square().sum())
        (self.gradient,) = self._reverse(self.value)

    def product(self, v: Tensor) -> Tensor:
        (found,) = self._reverse(self._forward(v))
        return found

    def preconditioner(self, damping: float) -> None:
        return None


class Result(NamedTuple):
    """What `gauss_newton` found."""

    parameters: Tensor  # (n,)
    loss: float  # |r|^2
    steps: int
    converged: bool  # by its tolerances, not by the number of steps


def gauss_newton(
    residual: Callable[[Tensor], Tensor],
    parameters: Tensor,
    max_steps: int = 100,
    gradient_tolerance: float = 1e-10,
    loss_tolerance: float = 1e-14,
    solver: GaussNewton | None = None,
) -> Result:
    """Minimises |residual(parameters)|^2 from `parameters` (n,).

    Args:
        residual: a torch function from (n,) to (m,), differentiable in both modes.
        max_steps: at most so many steps.
        gradient_tolerance: ends where no entry of J' r is larger.
        loss_tolerance: ends where a step decreases the loss by less, relative to it.
        solver: with other settings than for small problems.

    >>> import torch
    >>> x = torch.linspace(0.0, 1.0, 20, dtype=torch.float64)
    >>> y = 2.0 * torch.exp(-3.0 * x)
    >>> found = gauss_newton(lambda p: p[0] * torch.exp(p[1] * x) - y, torch.tensor([1.0, -1.0], dtype=torch.float64))
    >>> [round(float(p), 6) for p in found.parameters]
    [2.0, -3.0]
    """
    if parameters.ndim != 1:
        raise ValueError(f"parameters have shape {tuple(parameters.shape)}: must be one vector")
    solver = solver or GaussNewton(1e-3, 1e-12, 1e12, cg_iterations=4 * len(parameters), cg_tolerance=1e-12, tries=12)

    def loss_at(p: Tensor) -> float:
        return float(residual(p).square().sum())

    for count in range(max_steps):
        linear = _Residual(residual, parameters)
        if float(linear.gradient.abs().max()) <= gradient_tolerance:
            return Result(parameters, linear.loss, count, True)
        step = solver.step(parameters, linear, loss_at)
        if not step.accepted or linear.loss - step.loss <= loss_tolerance * linear.loss:
            return Result(step.parameters, step.loss, count + 1, True)
        parameters = step.parameters
    return Result(parameters, loss_at(parameters), max_steps, False)

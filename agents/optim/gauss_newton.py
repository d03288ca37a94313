"""Matrix-free Gauss-Newton steps with Levenberg-Marquardt damping, accepted or rejected by the loss they reach.

As in Ruppel, Hendrich and Zhang, "Learning Dexterous Manipulation with Differentiable Physical Consistency",
section III: once a step the non-linear pass and its linearisation, then conjugate gradients on linear programs alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .conjugate_gradients import conjugate_gradients


class Linearized(Protocol):
    """A residual vector r, linearised with Jacobian J at parameters theta (n,); c below is the caller's normaliser."""

    @property
    def loss(self) -> float:
        """|r|² / c, finite or not."""
        ...

    @property
    def gradient(self) -> Tensor:
        """J^T r / c (n,): half the derivative of `loss`."""
        ...

    def product(self, v: Tensor) -> Tensor:
        """J^T J v / c (n,) for v (n,)."""
        ...

    def preconditioner(self, damping: float) -> Callable[[Tensor], Tensor]:
        """Approximate inverse of J^T J / c + damping I, symmetric positive definite; the identity is allowed."""
        ...


@dataclass(frozen=True)
class GaussNewtonStep:
    """What a step came to: `theta` (n,) and `loss` are the old ones where it was not `accepted`."""

    theta: Tensor
    loss: float
    ratio: float
    """Decrease of the loss over the linearisation's prediction, of the last try; -inf: loss or prediction unusable."""
    cg_iterations: int
    """Products taken by conjugate gradients, all tries together."""
    accepted: bool


class GaussNewton:
    """Takes steps d with (J^T J / c + damping I) d = -J^T r / c, and keeps the damping from step to step.

    A try is accepted where its loss is finite and below the old; else damping grows eightfold and the same
    linearisation is solved again. After an accepted try it is halved where the loss fell by more than 0.6 of the
    prediction, and tripled where by less than 0.3. Not bound to one problem: a trainer may draw a new batch each step.

    Args:
        damping: at the start, in units of J^T J / c.
        min_damping: where halving ends.
        max_damping: where growing ends.
        cg_iterations: the most products of conjugate gradients a try.
        cg_tolerance: their relative tolerance, in the preconditioned residual.
        tries: the most evaluations of the loss a step.

    Raises:
        ValueError: a setting is out of its range.
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
        if not 0.0 < min_damping <= damping <= max_damping < math.inf:
            raise ValueError(f"damping={damping}: needs 0 < {min_damping=} <= it <= {max_damping=}")
        if not 0.0 <= cg_tolerance < 1.0:
            raise ValueError(f"cg_tolerance={cg_tolerance}: must be at least 0 and below 1")
        for name, value in (("cg_iterations", cg_iterations), ("tries", tries)):
            if not (isinstance(value, int) and value > 0):
                raise ValueError(f"{name}={value!r}: must be a positive integer")
        self.damping = damping
        self.min_damping = min_damping
        self.max_damping = max_damping
        self.cg_iterations = cg_iterations
        self.cg_tolerance = cg_tolerance
        self.tries = tries

    def step(self, theta: Tensor, linearized: Linearized, loss_at: Callable[[Tensor], float]) -> GaussNewtonStep:
        """One step from `theta` (n,), where `linearized` was made; `theta` itself is not written to.

        Args:
            theta: parameters (n,).
            linearized: the residual's linearisation there.
            loss_at: the loss at other parameters (n,), of the same batch, normalised as `linearized.loss`.

        Returns:
            The step. Where loss or gradient at `theta` are not finite, or the gradient is zero, nothing is tried:
            `accepted` is false, `cg_iterations` 0, and the damping stays.

        Raises:
            ValueError: theta is no vector, or the gradient's shape is another.
        """
        if theta.dim() != 1:
            raise ValueError(f"theta has shape {tuple(theta.shape)}: must be a vector, flatten it")
        loss, gradient = float(linearized.loss), linearized.gradient
        if gradient.shape != theta.shape:
            raise ValueError(f"the gradient has shape {tuple(gradient.shape)}, theta {tuple(theta.shape)}: must agree")
        size = float(gradient.norm())
        if not math.isfinite(loss) or not math.isfinite(size) or size == 0.0:
            return GaussNewtonStep(theta, loss, -math.inf, 0, False)
        iterations, ratio = 0, -math.inf
        for _ in range(self.tries):
            d, taken = self._solve(linearized, gradient)
            iterations += taken
            predicted = -2.0 * float(gradient @ d) - float(d @ linearized.product(d))
            new = float(loss_at(theta + d))
            ratio = (loss - new) / predicted if math.isfinite(new) and predicted > 0.0 else -math.inf
            if ratio > 0.0:
                self._adapt(ratio)
                return GaussNewtonStep(theta + d, new, ratio, iterations, True)
            self.damping = min(8.0 * self.damping, self.max_damping)
        return GaussNewtonStep(theta, loss, ratio, iterations, False)

    def _solve(self, linearized: Linearized, gradient: Tensor) -> tuple[Tensor, int]:
        damping = self.damping
        return conjugate_gradients(
            lambda v: linearized.product(v) + damping * v,
            -gradient,
            linearized.preconditioner(damping),
            self.cg_iterations,
            self.cg_tolerance,
        )

    def _adapt(self, ratio: float) -> None:
        if ratio > 0.6:
            self.damping = max(self.damping / 2.0, self.min_damping)
        elif ratio < 0.3:
            self.damping = min(3.0 * self.damping, self.max_damping)

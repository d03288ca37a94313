"""Preconditioned conjugate gradients for a symmetric positive definite matrix that is only a product."""

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    b: Tensor,
    preconditioner: Callable[[Tensor], Tensor] | None = None,
    iterations: int = 60,
    tolerance: float = 3e-3,
) -> tuple[Tensor, int]:
    """Solves A x = b from x = 0 (Hestenes and Stiefel, 1952).

    Every iterate is better than the one before in the norm of A, so stopping early leaves a useful step. It stops
    early too where the curvature along a direction is not positive or not finite: rounding has won.

    Args:
        product: v (n,) -> A v (n,), A symmetric positive definite.
        b: right-hand side (n,).
        preconditioner: r (n,) -> M r (n,), M symmetric positive definite, near A's inverse; None is the identity.
        iterations: the most products it may take.
        tolerance: stops where sqrt(r . M r), r = b - A x, has fallen to this part of its start.

    Returns:
        x (n,) and the number of products taken.
    """
    x, r = torch.zeros_like(b), b
    z = r if preconditioner is None else preconditioner(r)
    p, rz = z, float(r @ z)
    target = tolerance**2 * rz
    for taken in range(iterations):
        if not rz > target:  # zero b, nan, or there
            return x, taken
        Ap = product(p)
        curvature = float(p @ Ap)
        if not 0.0 < curvature < float("inf"):
            return x, taken + 1
        length = rz / curvature
        x, r = x + length * p, r - length * Ap
        z = r if preconditioner is None else preconditioner(r)
        rz, before = float(r @ z), rz
        p = z + (rz / before) * p
    return x, iterations

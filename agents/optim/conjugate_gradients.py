"""Preconditioned conjugate gradients for a positive definite system that is given as a product."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


class Solution(NamedTuple):
    """What `conjugate_gradients` found."""

    x: Tensor  # (n,)
    iterations: int


def conjugate_gradients(
    product: Product, b: Tensor, preconditioner: Product | None = None, iterations: int = 100, tolerance: float = 1e-8
) -> Solution:
    """Solves A x = b from x = 0.

    Args:
        product: A times a vector (n,), A symmetric and positive definite.
        b: (n,).
        preconditioner: an approximate inverse of A, symmetric and positive definite; None for the identity.
        iterations: at most so many products.
        tolerance: on the residual's norm in the preconditioner's metric, relative to that of b.
    """
    precondition = preconditioner or _identity
    x, r = torch.zeros_like(b), b.clone()
    z = precondition(r)
    p, size = z.clone(), float(r @ z)
    enough, count = tolerance**2 * size, 0
    while count < iterations and size > enough:
        q = product(p)
        curvature = float(p @ q)
        if not curvature > 0.0:  # rounding has the last word, or A is not what it should be
            break
        x += size / curvature * p
        r -= size / curvature * q
        z = precondition(r)
        before, size = size, float(r @ z)
        p = z + size / before * p
        count += 1
    return Solution(x, count)


def _identity(v: Tensor) -> Tensor:
    return v

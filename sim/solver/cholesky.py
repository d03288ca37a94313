"""Cholesky factors L L' of small full matrices given by their lower triangle, which they replace."""

import math

from ..constraint.row import TINY
from ..kernels.jit import kernel
from ..kernels.record import Floats


@kernel
def cholesky(n: int, a: Floats) -> None:
    """L in the lower triangle of `a`."""
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            a[i, j] = math.sqrt(pivot(total, a[i, i])) if i == j else total / a[j, j]


@kernel
def pivot(left: float, entry: float) -> float:
    """What elimination left of a diagonal entry: below the entry's rounding it is noise, so that stands in."""
    return max(left, TINY, 1e-15 * entry)


@kernel
def cholesky_solve(n: int, a: Floats, x: Floats) -> None:
    """x <- (L L')^-1 x."""
    for i in range(n):
        total = x[i]
        for k in range(i):
            total -= a[i, k] * x[k]
        x[i] = total / a[i, i]
    for i in range(n - 1, -1, -1):
        x[i] /= a[i, i]
        for k in range(i):
            x[k] -= a[i, k] * x[i]

"""Factors of symmetric positive definite matrices given by their lower triangle, which they replace.

The Hessian of an island is factored as L' D L from its last row to its first, as the inertia
matrix is (`crba.py`): a branch of the tree that no constraint couples with another stays apart from
it, and zeros are passed over. A row fills only the envelope from its first column that can be nonzero
to the diagonal (George and Liu, 1981, chapter 4).
"""

import math

from ._jit import kernel
from .constraint_row import TINY
from .data import Data
from .islands import dof_at


@kernel
def cholesky(n: int, a) -> None:  # type: ignore[no-untyped-def]
    """L L' of a small full matrix."""
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            a[i, j] = math.sqrt(_pivot(total, a[i, i])) if i == j else total / a[j, j]


@kernel
def _pivot(left: float, entry: float) -> float:
    """What elimination left of a diagonal entry: below the entry's rounding it is noise, so that stands in."""
    return max(left, TINY, 1e-15 * entry)


@kernel
def cholesky_solve(n: int, a, x) -> None:  # type: ignore[no-untyped-def]
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


@kernel
def factor_envelope(d: Data, begin: int, end: int) -> None:
    """L' D L of rows and columns [begin, end) of qH: L below the diagonal, D on it."""
    a = d.qH
    for i in range(begin, end):
        d.qH_diag[i] = a[i, i]
    for i in range(end - 1, begin - 1, -1):
        first = max(d.qH_first[i], 0)
        a[i, i] = _pivot(a[i, i], d.qH_diag[i])
        inverse = 1.0 / a[i, i]
        for k in range(i - 1, first - 1, -1):
            if a[i, k] != 0.0:
                s = a[i, k] * inverse
                for j in range(first, k + 1):
                    a[k, j] -= s * a[i, j]
                a[i, k] = s


@kernel
def solve_envelope(d: Data, begin: int, end: int, x) -> None:  # type: ignore[no-untyped-def]
    """x <- (L' D L)^-1 x for the rows [begin, end) of qH, x in island order."""
    a = d.qH
    for i in range(end - 1, begin - 1, -1):
        s = x[i]
        for k in range(max(d.qH_first[i], 0), i):
            x[k] -= a[i, k] * s
        x[i] = s / a[i, i]
    for i in range(begin, end):
        total = x[i]
        for k in range(max(d.qH_first[i], 0), i):
            total -= a[i, k] * x[k]
        x[i] = total


@kernel
def solve_envelope_lanes(d: Data, begin: int, end: int, x) -> None:  # type: ignore[no-untyped-def]
    """The same for every column of x (nv, lanes), its rows in the order of the degrees of freedom."""
    a, lanes = d.qH, x.shape[1]
    for i in range(end - 1, begin - 1, -1):
        v = dof_at(d, i)
        for k in range(max(d.qH_first[i], 0), i):
            if a[i, k] != 0.0:
                c, s = dof_at(d, k), a[i, k]
                for e in range(lanes):
                    x[c, e] -= s * x[v, e]
    for i in range(begin, end):
        v, inverse = dof_at(d, i), 1.0 / a[i, i]
        for e in range(lanes):
            x[v, e] *= inverse
        for k in range(max(d.qH_first[i], 0), i):
            if a[i, k] != 0.0:
                c, s = dof_at(d, k), a[i, k]
                for e in range(lanes):
                    x[v, e] -= s * x[c, e]

"""Cholesky factors L L' of symmetric matrices given by their lower triangle, which they replace.

The matrix of an island fills only the envelope between the first column of each row that can be
nonzero and the diagonal, and so does its factor (George and Liu, 1981, chapter 4).
"""

import math

from ._jit import kernel
from .constraint_row import TINY
from .data import Data


@kernel
def cholesky(n: int, a) -> None:  # type: ignore[no-untyped-def]
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            a[i, j] = pivot(total, a[i, i]) if i == j else total / a[j, j]


@kernel
def pivot(total: float, entry: float) -> float:
    """Diagonal of the factor: below the rounding of the matrix's entry it is noise, so that rounding stands in."""
    return math.sqrt(max(total, TINY, 1e-15 * entry))


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
    """Factor rows and columns [begin, end) of qH."""
    a = d.qH
    for i in range(begin, end):
        first = d.qH_first[i]
        for j in range(first, i + 1):
            total = a[i, j]
            for k in range(max(first, d.qH_first[j]), j):
                total -= a[i, k] * a[j, k]
            a[i, j] = pivot(total, a[i, i]) if i == j else total / a[j, j]


@kernel
def solve_envelope(d: Data, begin: int, end: int, x) -> None:  # type: ignore[no-untyped-def]
    """x <- (L L')^-1 x for the rows [begin, end) of qH, x in island order."""
    a = d.qH
    for i in range(begin, end):
        total = x[i]
        for k in range(d.qH_first[i], i):
            total -= a[i, k] * x[k]
        x[i] = total / a[i, i]
    for i in range(end - 1, begin - 1, -1):
        x[i] /= a[i, i]
        for k in range(d.qH_first[i], i):
            x[k] -= a[i, k] * x[i]


@kernel
def solve_envelope_lanes(d: Data, begin: int, end: int, x) -> None:  # type: ignore[no-untyped-def]
    """The same for every column of x (nv, lanes), its rows in the order of the degrees of freedom."""
    a, lanes = d.qH, x.shape[1]
    for i in range(begin, end):
        v, inverse = d.map_idof2dof[i], 1.0 / a[i, i]
        for k in range(d.qH_first[i], i):
            c = d.map_idof2dof[k]
            for e in range(lanes):
                x[v, e] -= a[i, k] * x[c, e]
        for e in range(lanes):
            x[v, e] *= inverse
    for i in range(end - 1, begin - 1, -1):
        v, inverse = d.map_idof2dof[i], 1.0 / a[i, i]
        for e in range(lanes):
            x[v, e] *= inverse
        for k in range(d.qH_first[i], i):
            c = d.map_idof2dof[k]
            for e in range(lanes):
                x[c, e] -= a[i, k] * x[v, e]

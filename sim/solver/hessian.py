"""Hessian M + J' C J of an island, and its factor, in place in the lower triangle of qH.

It is factored as L' D L from its last row to its first, as the inertia matrix is (`crba.py`): a branch
of the tree that no constraint couples with another stays apart from it, and zeros are passed
over. A row fills only the envelope from its first column that can be nonzero to the diagonal (George
and Liu, 1981, "Computer solution of large sparse positive definite systems", chapter 4).
"""

from ..constraint.row import row_width
from ..kernels.enums import CONTACT_ELLIPTIC
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.vector import AT_ONCE, load8, store8
from ..model.data import Data
from ..model.model import Model
from .cholesky import pivot
from .islands import dof_at, dofs_of, row_at, rows_of


@kernel
def curvature_changed(d: Data, k: int) -> bool:
    """Whether rows have switched since `hessian`, or a contact is or was on its cone, which is curved."""
    first_row, end_row = rows_of(d, k)
    for i in range(first_row, end_row):
        r = row_at(d, i)
        if d.efc_slope[r] != d.efc_slope_qH[r]:
            return True
        if d.efc_type[r] == CONTACT_ELLIPTIC and d.cone_on[d.efc_id[r]]:
            return True
    return False


@kernel
def hessian(m: Model, d: Data, k: int) -> None:
    """The factor of M + J' C J in the lower triangle of qH, rows and columns in island order."""
    begin, end = dofs_of(d, k)
    for i in range(begin, end):
        v = dof_at(d, i)
        tree = max(m.tree_dofadr[m.dof_treeid[v]], 0)
        place = max(i - v + tree, 0)
        for j in range(max(d.qH_first[i], 0), place):
            d.qH[i, j] = 0.0
        for j in range(v - tree + 1):
            d.qH[i, place + j] = d.qM[v, tree + j]
    at, last = rows_of(d, k)
    while at < last:
        r, count = row_at(d, at), 1
        while at + count < last and d.efc_type[r + count] == d.efc_type[r] and d.efc_id[r + count] == d.efc_id[r]:
            count += 1
        _add_rows(d, r, count, d.efc_type[r] == CONTACT_ELLIPTIC and d.cone_on[d.efc_id[r]] != 0)
        at += count
    _factor(d, begin, end)


@kernel
def _add_rows(d: Data, r: int, count: int, curved: bool) -> None:
    """Add J' C J of the rows of one constraint, which touch the same, to the lower triangle of qH."""
    c, width, y = d.efc_id[r], row_width(d, r), d.qH_rows
    for first in range(0, count, 4):
        active = curved
        for e in range(first, min(first + 4, count)):
            d.efc_slope_qH[r + e] = -1.0 if curved else d.efc_slope[r + e]  # -1: no row's slope
            active = active or d.efc_slope[r + e] != 0.0
        if not active:
            continue
        for e in range(first, first + 4):
            slope = d.efc_slope[r + e] if e < count else 0.0
            for i in range(width):
                y[e - first, i] = slope * d.efc_J[min(r + e, r + count - 1), i]
            if curved and e < count:
                for j in range(count):
                    for i in range(width):
                        y[e - first, i] += d.cone_hess[c, e, j] * d.efc_J[r + j, i]
        _add_products(d, r + first, r + count - 1)


@kernel
def _add_products(d: Data, r: int, last: int) -> None:
    """Add the products of four rows from `r` (`last` again where there are fewer) and those in qH_rows."""
    a, y = d.qH, d.qH_rows
    n, first, second = max(d.efc_dofnum[r, 0], 0), max(d.efc_idofadr[r, 0], 0), max(d.efc_idofadr[r, 1], 0)
    for i in range(row_width(d, r)):
        x0, x1 = d.efc_J[r, i], d.efc_J[min(r + 1, last), i]
        x2, x3 = d.efc_J[min(r + 2, last), i], d.efc_J[min(r + 3, last), i]
        place = first + i if i < n else second + i - n
        if i < n or first < second:
            for j in range(min(i + 1, n)):
                a[place, first + j] += x0 * y[0, j] + x1 * y[1, j] + x2 * y[2, j] + x3 * y[3, j]
        else:  # the second span's tree stands before the first's
            for j in range(n):
                a[first + j, place] += x0 * y[0, j] + x1 * y[1, j] + x2 * y[2, j] + x3 * y[3, j]
        for j in range(i + 1 - n):
            a[place, second + j] += x0 * y[0, n + j] + x1 * y[1, n + j] + x2 * y[2, n + j] + x3 * y[3, n + j]


@kernel
def _factor(d: Data, begin: int, end: int) -> None:
    """L' D L of rows and columns [begin, end) of qH: L below the diagonal, D on it."""
    a = d.qH
    for i in range(begin, end):
        d.qH_diag[i] = a[i, i]
    for i in range(end - 1, begin - 1, -1):
        first = max(d.qH_first[i], 0)
        a[i, i] = pivot(a[i, i], d.qH_diag[i])
        inverse = 1.0 / a[i, i]
        for k in range(i - 1, first - 1, -1):
            if a[i, k] != 0.0:
                s = a[i, k] * inverse
                for j in range(first, k + 1):
                    a[k, j] -= s * a[i, j]
                a[i, k] = s


@kernel
def solve_hessian(d: Data, begin: int, end: int, x: Floats) -> None:
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
def solve_hessian_lanes(d: Data, begin: int, end: int, x: Floats) -> None:
    """The same for every column of x (nv, lanes), its rows in the order of the degrees of freedom."""
    a = d.qH
    if x.shape[1] == 1:
        for i in range(end - 1, begin - 1, -1):
            own = x[dof_at(d, i), 0]
            for k in range(max(d.qH_first[i], 0), i):
                x[dof_at(d, k), 0] -= a[i, k] * own
        for i in range(begin, end):
            single = x[dof_at(d, i), 0] / a[i, i]
            for k in range(max(d.qH_first[i], 0), i):
                single -= a[i, k] * x[dof_at(d, k), 0]
            x[dof_at(d, i), 0] = single
        return
    for e in range(0, x.shape[1], AT_ONCE):
        for i in range(end - 1, begin - 1, -1):
            eight = load8(x, dof_at(d, i), e)
            for k in range(max(d.qH_first[i], 0), i):
                if a[i, k] != 0.0:
                    store8(x, dof_at(d, k), e, load8(x, dof_at(d, k), e) - a[i, k] * eight)
        for i in range(begin, end):
            total = 1.0 / a[i, i] * load8(x, dof_at(d, i), e)
            for k in range(max(d.qH_first[i], 0), i):
                if a[i, k] != 0.0:
                    total -= a[i, k] * load8(x, dof_at(d, k), e)
            store8(x, dof_at(d, i), e, total)

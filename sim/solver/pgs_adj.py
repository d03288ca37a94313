"""Reverse projected Gauss-Seidel: the adjoint of `pgs.py`, rows from last to first.

Qiao et al. (2021), supplement C, algorithm 1. With the rows that the projection does not hold, the
forces solve (A + C^-1) f = -b, C minus the slope of the force law, and their adjoint z the same
system with J M^-1 g on the right, g the cotangent of M qacc. From z = 0, n sweeps in reverse
order are the exact adjoint of n sweeps from f = 0. As forth, the joint velocities
w = M^-1 (g - J' z) are kept up to date instead of A: they are the multiplier of the equation of
motion, and z = C J w where the sweeps have converged.
"""

from ..constraint.row import row_dof, row_width
from ..dynamics.crba import factor_m, solve_ltdl
from ..kernels.apart import unit
from ..kernels.enums import CONTACT_ELLIPTIC
from ..kernels.jit import kernel
from ..kernels.spatial import lanes_axpy
from ..model.data import Data, Lanes
from ..model.model import Model
from .cholesky import cholesky
from .islands import row_at, rows_of
from .pgs_rows import LOST, spans_of_trees


@unit
def solve_pgs_adj(m: Model, d: Data, w: Lanes) -> None:
    """qfrc_adj <- H^-1 qfrc_adj (see `solve_newton_adj`); efc_z <- minus the cotangent of efc_aref.

    Sweeps over an island until one gains less than the tolerance, relative to what all have gained, in
    every lane, at most as often as the solver may.
    """
    factor_m(m, d, 0.0)
    solve_ltdl(m, d.qLD, w.qfrc_adj)
    _block_inverses(m, d)
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_z[r, k] = 0.0
    for island in range(d.nisland[0]):
        if d.island_nefc[island] > 0:
            _solve_island_adj(m, d, w, island)


@kernel
def _solve_island_adj(m: Model, d: Data, w: Lanes, island: int) -> None:
    for k in range(w.nlane):
        w.sweep_total[k] = 0.0
    for _ in range(m.iterations):
        _reverse_sweep(m, d, w, island)
        converged = True
        for k in range(w.nlane):
            w.sweep_total[k] += w.sweep_gain[k]
            if w.sweep_gain[k] > max(m.tolerance, LOST) * w.sweep_total[k]:
                converged = False
        if converged:
            break


@kernel
def _block_inverses(m: Model, d: Data) -> None:
    """cone_inv = (A + C^-1)^-1 of the contacts that slide on their elliptic cones."""
    for c in range(d.ncon[0]):
        r = d.con_efc[c]
        if r < 0 or d.efc_type[r] != CONTACT_ELLIPTIC or not d.cone_on[c]:
            continue
        dim = m.con_dim[d.con_pair[c]]
        for i in range(dim):
            for j in range(dim):
                d.cone_work[0, i, j] = d.cone_hess[c, i, j]
        block_inverse(d, c, 0, dim)


@kernel
def block_inverse(d: Data, c: int, first: int, n: int) -> None:
    """cone_inv = (A + C^-1)^-1 of `n` rows of contact `c`, from its row `first` on; C in cone_work[0].

    C is singular, since the force stays on the cone: with C = F F' it is F (1 + F' A F)^-1 F'.
    """
    root, middle, half = d.cone_work[0], d.cone_work[1], d.cone_work[2]
    cholesky(n, root)
    for i in range(n):
        for j in range(n):
            half[i, j] = 0.0
            for e in range(j, n):
                half[i, j] += d.cone_A[c, first + i, first + e] * root[e, j]
    for i in range(n):
        for j in range(i + 1):
            middle[i, j] = 1.0 if i == j else 0.0
            for e in range(i, n):
                middle[i, j] += root[e, i] * half[e, j]
    cholesky(n, middle)
    for j in range(n):  # half = middle^-1 root'
        for i in range(n):
            total = root[j, i] if i <= j else 0.0
            for e in range(i):
                total -= middle[i, e] * half[e, j]
            half[i, j] = total / middle[i, i]
    for i in range(n):
        for j in range(n):
            d.cone_inv[c, i, j] = 0.0
            for e in range(n):
                d.cone_inv[c, i, j] += half[e, i] * half[e, j]


@kernel
def _reverse_sweep(m: Model, d: Data, w: Lanes, island: int) -> None:
    """Update every row of efc_z once, from last to first, and qfrc_adj with it; uses efc_y as scratch."""
    for k in range(w.nlane):
        w.sweep_gain[k] = 0.0
    first, end = rows_of(d, island)
    at = end - 1
    while at >= first:
        r = row_at(d, at)
        at -= 1
        if d.efc_slope[r] != 0.0:
            velocity_of_row(d, w, r)
            inverse = 1.0 / d.efc_ARdiag[r]
            for k in range(w.nlane):
                w.sweep_change[k] = inverse * (w.efc_y[r, k] - d.efc_R[r] * w.efc_z[r, k])
            change_row(m, d, w, r)
        elif d.efc_type[r] == CONTACT_ELLIPTIC:
            c = d.efc_id[r]
            dim = m.con_dim[d.con_pair[c]]
            if d.cone_on[c]:
                block_update(m, d, w, d.con_efc[c], c, 0, dim)
            at -= dim - 1


@kernel
def velocity_of_row(d: Data, w: Lanes, r: int) -> None:
    """efc_y[r] = J w of the row, w in qfrc_adj."""
    for k in range(w.nlane):
        w.efc_y[r, k] = 0.0
    for i in range(row_width(d, r)):
        lanes_axpy(w.efc_y, r, d.efc_J[r, i], w.qfrc_adj, row_dof(d, r, i))


@kernel
def change_row(m: Model, d: Data, w: Lanes, r: int) -> None:
    """Add sweep_change to efc_z[r], with what follows for the velocities, and what it gains."""
    spans = spans_of_trees(m, d, r)
    for i in range(spans[1] + spans[3]):
        v, s = spans[0] + i if i < spans[1] else spans[2] + i - spans[1], d.efc_MinvJ[r, i]
        for k in range(w.nlane):
            w.qfrc_adj[v, k] -= s * w.sweep_change[k]
    for k in range(w.nlane):
        w.efc_z[r, k] += w.sweep_change[k]
        w.sweep_gain[k] += d.efc_ARdiag[r] * w.sweep_change[k] * w.sweep_change[k]


@kernel
def block_update(m: Model, d: Data, w: Lanes, r: int, c: int, first: int, n: int) -> None:
    """Update `n` rows of contact `c`, whose rows begin at `r`, from its row `first` on, all at once by cone_inv."""
    r += first
    for i in range(n):
        velocity_of_row(d, w, r + i)
        for j in range(n):
            s = d.cone_A[c, first + i, first + j]
            for k in range(w.nlane):
                w.efc_y[r + i, k] += s * w.efc_z[r + j, k]
    for i in range(n):
        for k in range(w.nlane):
            w.sweep_change[k] = -w.efc_z[r + i, k]
        for j in range(n):
            s = d.cone_inv[c, i, j]
            for k in range(w.nlane):
                w.sweep_change[k] += s * w.efc_y[r + j, k]
        change_row(m, d, w, r + i)


@kernel
def row_change_known(d: Data, w: Lanes, r: int) -> None:
    """In place of `row_change`: the sweeps left it in efc_z."""


@kernel
def contact_row_changes_known(m: Model, d: Data, w: Lanes, c: int) -> None:
    """In place of `contact_row_changes`: the sweeps left them in efc_z."""

"""What the methods on the forces share: how each row moves the degrees of freedom, and the acceleration of forces."""

from ..constraint.row import column, row_axpy, row_dof, row_width
from ..dynamics.crba import solve_ltdl_part
from ..kernels.enums import CONTACT_ELLIPTIC
from ..kernels.jit import kernel
from ..model.data import Data
from ..model.model import Model
from .islands import dof_at, dofs_of, row_at, rows_of
from .pgs_rows import coupling, spans_of_trees


@kernel
def responses(m: Model, d: Data) -> None:
    """Fill efc_MinvJ and cone_A; needs in qLD the factor of qM."""
    for r in range(d.nefc[0]):
        spans = spans_of_trees(m, d, r)
        for i in range(spans[1] + spans[3]):
            d.efc_MinvJ[r, i] = 0.0
        for i in range(row_width(d, r)):
            d.efc_MinvJ[r, column(spans, row_dof(d, r, i))] = d.efc_J[r, i]
        solve_ltdl_part(m, d.qLD, d.efc_MinvJ[r], 0, spans[0], spans[0] + spans[1])
        solve_ltdl_part(m, d.qLD, d.efc_MinvJ[r], spans[1], spans[2], spans[2] + spans[3])
    for c in range(d.ncon[0]):
        r = d.con_efc[c]
        if r >= 0 and d.efc_type[r] == CONTACT_ELLIPTIC:
            dim, spans = m.con_dim[d.con_pair[c]], spans_of_trees(m, d, r)
            for i in range(dim):
                for j in range(i + 1):
                    d.cone_A[c, i, j] = coupling(d, spans, r + i, r + j)
                    d.cone_A[c, j, i] = d.cone_A[c, i, j]


@kernel
def acceleration_of_forces(m: Model, d: Data, k: int) -> None:
    """dual_push = J' efc_force of island `k`, and iacc = the acceleration with it; needs in qLD the factor of qM."""
    begin, end = dofs_of(d, k)
    first_row, end_row = rows_of(d, k)
    for i in range(begin, end):
        d.dual_push[i] = 0.0
    for i in range(first_row, end_row):
        r = row_at(d, i)
        row_axpy(d, r, d.efc_idofadr[r, 0], d.efc_idofadr[r, 1], d.efc_force[r], d.dual_push)
    for i in range(begin, end):
        d.iacc[i] = d.dual_push[i]
    at = begin
    while at < end:
        first = dof_at(d, at)
        size = m.tree_dofnum[m.dof_treeid[first]]
        solve_ltdl_part(m, d.qLD, d.iacc, at, first, first + size)
        at += size
    for i in range(begin, end):
        d.iacc[i] += d.iacc_smooth[i]

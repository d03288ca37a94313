"""What projected Gauss-Seidel knows of one row: its bounds, its place in A = J M^-1 J', what its force moves."""

import math

from ..constraint.row import Spans, column, row_dof, row_dot, row_width, two_spans
from ..kernels.enums import EQUALITY, FRICTION_DOF, FRICTION_TENDON
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..model.data import Data
from ..model.model import Model

LOST = 1e-28  # a sweep that gains less than this share of the forces' energy changes them by their rounding


@kernel
def force_bounds(d: Data, r: int) -> tuple[float, float]:
    """Least and greatest force of a row that is no part of an elliptic cone."""
    kind = d.efc_type[r]
    if kind == EQUALITY:
        return -math.inf, math.inf
    if kind == FRICTION_DOF or kind == FRICTION_TENDON:
        return -d.efc_floss[r], d.efc_floss[r]
    return 0.0, math.inf


@kernel
def spans_of_trees(m: Model, d: Data, r: int) -> Spans:
    """What efc_MinvJ of row `r` has columns for: all of the trees that the row touches."""
    first1, last1 = d.efc_dofadr[r, 0], d.efc_dofadr[r, 0] + d.efc_dofnum[r, 0] - 1
    first1, end1 = m.tree_dofadr[m.dof_treeid[first1]], _end_of_tree(m, last1)
    if d.efc_dofnum[r, 1] == 0:
        return first1, end1 - first1, 0, 0
    first2, last2 = d.efc_dofadr[r, 1], d.efc_dofadr[r, 1] + d.efc_dofnum[r, 1] - 1
    return two_spans(first1, end1, m.tree_dofadr[m.dof_treeid[first2]], _end_of_tree(m, last2))


@kernel
def _end_of_tree(m: Model, v: int) -> int:
    t = m.dof_treeid[v]
    return m.tree_dofadr[t] + m.tree_dofnum[t]


@kernel
def coupling(d: Data, spans: Spans, r: int, s: int) -> float:
    """A of rows that touch the same: J_r M^-1 J_s'."""
    total = 0.0
    for i in range(row_width(d, r)):
        total += d.efc_J[r, i] * d.efc_MinvJ[s, column(spans, row_dof(d, r, i))]
    return total


@kernel
def move(m: Model, d: Data, r: int, change: float) -> None:
    """Acceleration after the force of row `r` changed."""
    spans = spans_of_trees(m, d, r)
    first, n = d.map_dof2idof[spans[0]], spans[1]
    for i in range(n):
        d.iacc[first + i] += d.efc_MinvJ[r, i] * change
    second = d.map_dof2idof[spans[2]]
    for i in range(spans[3]):
        d.iacc[second + i] += d.efc_MinvJ[r, n + i] * change


@kernel
def row_velocity(d: Data, r: int, x: Floats) -> float:
    """J x of row `r`, x in island order."""
    return row_dot(d, r, d.efc_idofadr[r, 0], d.efc_idofadr[r, 1], x)


@kernel
def cost_slope(d: Data, r: int) -> float:
    """Slope of the cost by the force of row `r`."""
    return row_velocity(d, r, d.iacc) - d.efc_aref[r] + d.efc_R[r] * d.efc_force[r]

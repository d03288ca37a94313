"""One constraint row: its kind, what it touches, and MuJoCo's soft-constraint parameters.

MuJoCo documentation, Computation, "Parameters": from solref, solimp and the residual.

A row touches one or two spans of neighbouring degrees of freedom, e.g. those of the two kinematic
trees that meet in a contact, wherever they stand among the other trees. efc_J holds the columns
of the first span, then those of the second, so that what a row costs does not grow with the
number of trees.
"""

from ..dynamics.chain import last_dof
from ..kernels.jit import kernel, sequence
from ..kernels.record import Floats
from ..model.data import Data, Lanes
from ..model.model import Model

TINY = 1e-15

Spans = tuple[int, int, int, int]  # first degree of freedom and number of the one span, and of the other


@kernel
def impedance(p0: float, p1: float, width: float, mid: float, power: float, x: float) -> tuple[float, float]:
    """d(x) of solimp (p0, p1, width, mid, power) and its derivative."""
    low, high = min(max(p0, 1e-4), 0.9999), min(max(p1, 1e-4), 0.9999)
    if width <= TINY or low == high:
        return 0.5 * (low + high), 0.0
    s = abs(x) / width
    if s >= 1.0:
        return high, 0.0
    if s == 0.0:
        return low, 0.0
    mid, power = min(max(mid, 1e-4), 0.9999), max(power, 1.0)
    if power == 1.0:
        y, slope = s, 1.0
    elif s <= mid:
        a = 1.0 / mid ** (power - 1.0)
        y, slope = a * s**power, power * a * s ** (power - 1.0)
    else:
        b = 1.0 / (1.0 - mid) ** (power - 1.0)
        y, slope = 1.0 - b * (1.0 - s) ** power, power * b * (1.0 - s) ** (power - 1.0)
    sign = 1.0 if x > 0.0 else -1.0
    return low + y * (high - low), slope * sign * (high - low) / width


@kernel
def stiffness_damping(ref0: float, ref1: float, p1: float) -> tuple[float, float]:
    high = min(max(p1, 1e-4), 0.9999)
    if ref0 > 0.0:
        return 1.0 / max(TINY, (high * ref0 * ref1) ** 2), 2.0 / max(TINY, high * ref0)
    return -ref0 / max(TINY, high * high), -ref1 / max(TINY, high)


@kernel
def set_row(d: Data, r: int, solref: Floats, solimp: Floats, i: int, pos: float, diag: float) -> None:
    """Stiffness, damping, impedance and regulariser of row `r` with residual `pos`; parameters of element `i`."""
    k, b = stiffness_damping(solref[i, 0], solref[i, 1], solimp[i, 1])
    imp, slope = impedance(solimp[i, 0], solimp[i, 1], solimp[i, 2], solimp[i, 3], solimp[i, 4], pos)
    d.efc_pos[r] = pos
    d.efc_kbip[r, 0], d.efc_kbip[r, 1], d.efc_kbip[r, 2], d.efc_kbip[r, 3] = k, b, imp, slope
    soft = (1.0 - imp) / imp * diag
    d.efc_R[r], d.efc_least[r] = max(TINY, soft), 1 if soft < TINY else 0


@kernel
def stiffening(d: Data, r: int) -> float:
    """Derivative of log D of row `r` by the residual: through the impedance, unless R is the least that it may be."""
    imp, slope = d.efc_kbip[r, 2], d.efc_kbip[r, 3]
    return 0.0 if d.efc_least[r] else slope / (imp * (1.0 - imp))


@kernel
def residual_adj(d: Data, w: Lanes, r: int, k: int) -> float:
    """Cotangent of the residual of row `r`: through aref and through the regulariser."""
    imp, slope = d.efc_kbip[r, 2], d.efc_kbip[r, 3]
    pressure = d.efc_force[r] * stiffening(d, r)
    return w.efc_y[r, k] * pressure - w.efc_z[r, k] * d.efc_kbip[r, 0] * (imp + slope * d.efc_pos[r])


@kernel
def two_spans(first1: int, end1: int, first2: int, end2: int) -> Spans:
    """The spans from first to end in ascending order; one that covers both if they overlap; either may be empty."""
    if first2 >= end2 or first1 >= end1:
        first, end = (first1, end1) if first2 >= end2 else (first2, end2)
        return first, max(end - first, 0), 0, 0
    if end1 <= first2:
        return first1, end1 - first1, first2, end2 - first2
    if end2 <= first1:
        return first2, end2 - first2, first1, end1 - first1
    first, end = min(first1, first2), max(end1, end2)
    return first, end - first, 0, 0


@kernel
def spans_of_bodies(m: Model, b1: int, b2: int) -> Spans:
    """All that can move body `b1` or `b2`."""
    last1, last2 = last_dof(m, b1), last_dof(m, b2)
    if last1 < 0 or last2 < 0:
        return _spans_of_chain(m, max(last1, last2))
    first1, first2 = m.tree_dofadr[m.dof_treeid[last1]], m.tree_dofadr[m.dof_treeid[last2]]
    return two_spans(first1, last1 + 1, first2, last2 + 1)


@kernel
def _spans_of_chain(m: Model, last: int) -> Spans:
    """`last` and what is above it: a leg and the trunk, without the legs between."""
    if last < 0:
        return 0, 0, 0, 0
    first = last
    while m.dof_parentid[first] == first - 1 and first > 0:
        first -= 1
    above = m.dof_parentid[first]
    if above < 0:
        return first, last + 1 - first, 0, 0
    trunk = m.tree_dofadr[m.dof_treeid[last]]
    return trunk, above + 1 - trunk, first, last + 1 - first


@kernel
def column(spans: Spans, v: int) -> int:
    """Where degree of freedom `v` has its column."""
    return v - spans[0] if v < spans[0] + spans[1] else spans[1] + v - spans[2]


@kernel
def new_row(d: Data, kind: int, index: int, spans: Spans) -> int:
    """The next row; its Jacobian is still to be set."""
    r = d.nefc[0]
    d.nefc[0] = r + 1
    d.efc_type[r], d.efc_id[r] = kind, index
    d.efc_dofadr[r, 0], d.efc_dofnum[r, 0], d.efc_dofadr[r, 1], d.efc_dofnum[r, 1] = spans
    return r


@kernel
def clear_row(d: Data, r: int) -> None:
    """Jacobian of row `r` <- 0."""
    for i in range(row_width(d, r)):
        d.efc_J[r, i] = 0.0


@kernel
def row_width(d: Data, r: int) -> int:
    """Number of columns of row `r`."""
    return d.efc_dofnum[r, 0] + d.efc_dofnum[r, 1]


@kernel
def row_dof(d: Data, r: int, i: int) -> int:
    """The degree of freedom of column `i` of row `r`."""
    n = d.efc_dofnum[r, 0]
    return d.efc_dofadr[r, 0] + i if i < n else d.efc_dofadr[r, 1] + i - n


@sequence
def row_dot(d: Data, r: int, first: int, second: int, x: Floats) -> float:
    """J x of row `r`; in `x` its spans begin at `first` and `second`."""
    total, n, first, second = 0.0, max(d.efc_dofnum[r, 0], 0), max(first, 0), max(second, 0)  # max: see islands.py
    for i in range(n):
        total += d.efc_J[r, i] * x[first + i]
    for i in range(d.efc_dofnum[r, 1]):
        total += d.efc_J[r, n + i] * x[second + i]
    return total


@sequence
def row_axpy(d: Data, r: int, first: int, second: int, s: float, x: Floats) -> None:
    """x += s J' of row `r`; in `x` its spans begin at `first` and `second`."""
    n, first, second = max(d.efc_dofnum[r, 0], 0), max(first, 0), max(second, 0)
    for i in range(n):
        x[first + i] += s * d.efc_J[r, i]
    for i in range(d.efc_dofnum[r, 1]):
        x[second + i] += s * d.efc_J[r, n + i]

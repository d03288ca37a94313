"""One constraint row: its kind, and MuJoCo's soft-constraint parameters from solref, solimp and the residual.

MuJoCo documentation, Computation, "Parameters".
"""

from ._jit import kernel
from ._record import Floats
from .data import Data
from .model import Model

# mjtConstraint
EQUALITY, FRICTION_DOF, FRICTION_TENDON, LIMIT, LIMIT_TENDON = 0, 1, 2, 3, 4
CONTACT_FRICTIONLESS, CONTACT_PYRAMIDAL, CONTACT_ELLIPTIC = 5, 6, 7
TINY = 1e-15


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
    d.efc_R[r] = max(TINY, (1.0 - imp) / imp * diag)


@kernel
def last_dof(m: Model, b: int) -> int:
    """The degree of freedom nearest above or in body `b`; -1 if it cannot move."""
    while b > 0 and m.body_dofnum[b] == 0:
        b = m.body_parentid[b]
    return m.body_dofadr[b] + m.body_dofnum[b] - 1 if b > 0 else -1


@kernel
def new_row(m: Model, d: Data, kind: int, index: int) -> int:
    """The next row, its Jacobian zero."""
    r = d.nefc[0]
    d.nefc[0] = r + 1
    d.efc_type[r], d.efc_id[r] = kind, index
    for v in range(m.nv):
        d.efc_J[r, v] = 0.0
    return r

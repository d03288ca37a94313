"""Constraint rows of tendons: friction loss and limits (mj_instantiateFriction, mj_instantiateLimit)."""

from ..dynamics.tendon import last_arm
from ..kernels.enums import FRICTION_TENDON, LIMIT_TENDON
from ..kernels.jit import kernel
from ..model.data import Data
from ..model.model import Model
from .row import Spans, clear_row, column, new_row, set_row


@kernel
def _tendon_row(m: Model, d: Data, kind: int, t: int, sign: float) -> int:
    """A row whose Jacobian is that of the length of tendon `t`, times `sign`."""
    first, end = m.nv, 0
    for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
        first, end = min(first, m.shift_id[k]), max(end, m.shift_id[k] + 1)
    spans: Spans = (first, max(end - first, 0), 0, 0)
    r = new_row(d, kind, t, spans)
    clear_row(d, r)
    for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
        d.efc_J[r, column(spans, m.shift_id[k])] = sign * d.ten_J[k]
    return r


@kernel
def tendon_friction(m: Model, d: Data) -> None:
    """Add the rows of friction loss."""
    for t in range(m.ntendon):
        if m.tendon_frictionloss[t] > 0.0:
            r = _tendon_row(m, d, FRICTION_TENDON, t, 1.0)
            d.efc_floss[r] = m.tendon_frictionloss[t]
            set_row(d, r, m.tendon_solref_fri, m.tendon_solimp_fri, t, 0.0, m.tendon_invweight0[t])
            d.efc_kbip[r, 0] = 0.0


@kernel
def within_margin(m: Model, d: Data, t: int, side: int) -> bool:
    """Whether the length of tendon `t` is near its lower (0) or upper limit (1), or beyond it."""
    return (1.0 - 2.0 * side) * (d.ten_length[t] - m.tendon_range[t, side]) < m.tendon_margin[t]


@kernel
def tendon_limits(m: Model, d: Data) -> None:
    """Add the rows of limits that are violated or within the margin; needs ten_length."""
    for t in range(m.ntendon):
        if not m.tendon_limited[t]:
            continue
        for side in range(2):
            sign = 1.0 - 2.0 * side
            if within_margin(m, d, t, side):
                r = _tendon_row(m, d, LIMIT_TENDON, t, sign)
                pos = sign * (d.ten_length[t] - m.tendon_range[t, side]) - m.tendon_margin[t]
                set_row(d, r, m.tendon_solref_lim, m.tendon_solimp_lim, t, pos, m.tendon_invweight0[t])

"""Adjoint of spatial tendons' share of the constraint force (see `rows_adj.py`): their moment arms move.

What a row's residual and its velocity give the degrees of freedom is added where those of fixed tendons are.
"""

from ..dynamics.spatial_tendon_adj import arms_adj, length_adj, rate_adj
from ..dynamics.tendon import last_arm
from ..kernels.enums import LIMIT_TENDON
from ..kernels.jit import kernel
from ..kernels.spatial import lanes_axpy
from ..model.data import Data, Lanes
from ..model.model import Model
from .row import residual_adj
from .tendon_rows import within_margin


@kernel
def _arms_of_row(m: Model, d: Data, w: Lanes, r: int, t: int, slope: float) -> None:
    """Add f d(J w) - z d(J (a + b v)), J the share of tendon `t` in row `r`: `slope` times its moment arms."""
    arms_adj(m, d, w, t, slope * d.efc_force[r])
    rate_adj(m, d, w, t, -slope, d.qacc_warmstart, w.efc_z, r)
    rate_adj(m, d, w, t, -slope * d.efc_kbip[r, 1], d.qvel, w.efc_z, r)


@kernel
def spatial_row_adj(m: Model, d: Data, w: Lanes, r: int) -> None:
    """Limit or friction loss of a tendon in row `r`."""
    t = d.efc_id[r]
    if not m.tendon_spatial[t]:
        return
    if d.efc_type[r] != LIMIT_TENDON:
        _arms_of_row(m, d, w, r, t, 1.0)
        return
    second = r > 0 and d.efc_type[r - 1] == LIMIT_TENDON and d.efc_id[r - 1] == t
    sign = -1.0 if second or not within_margin(m, d, t, 0) else 1.0
    _arms_of_row(m, d, w, r, t, sign)
    for k in range(w.nlane):
        w.ten_adj[0, k] = residual_adj(d, w, r, k)
    length_adj(m, d, w, t, sign, w.ten_adj, 0, True)


@kernel
def spatial_equality_adj(m: Model, d: Data, w: Lanes, r: int, t: int, slope: float, bend: float, rate: float) -> None:
    """Tendon `t`, whose length times `slope` is a share of the residual of an equality in row `r`.

    With its length the slope falls by `bend`; the row's velocities then change by its own, of which z sees `rate`.
    """
    if not m.tendon_spatial[t]:
        return
    _arms_of_row(m, d, w, r, t, slope)
    length_adj(m, d, w, t, slope, w.efc_pos_adj, r, True)
    if bend != 0.0:
        for k in range(w.nlane):
            w.ten_adj[0, k] = bend * rate * w.efc_z[r, k]
        for s in range(m.ten_J_rowadr[t], last_arm(m, t)):
            lanes_axpy(w.ten_adj, 0, -bend * d.efc_force[r] * d.ten_J[s], w.qfrc_adj, m.shift_id[s])
        length_adj(m, d, w, t, 1.0, w.ten_adj, 0, True)

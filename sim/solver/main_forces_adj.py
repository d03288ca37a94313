"""Adjoint of the main solver's forces: what noslip starts from and leaves alone (`noslip_adj.py`).

Their cotangent x gives the multiplier w and z of H w = -J' C x, y = J w + x, z = C y.
"""

from ..constraint.row import row_dof, row_width
from ..kernels.enums import CONTACT_ELLIPTIC
from ..kernels.jit import kernel
from ..kernels.spatial import lanes_axpy
from ..model.data import Data, Lanes
from ..model.model import Model
from .noslip_adj import row_velocities


@kernel
def main_forces_adj(m: Model, d: Data, w: Lanes) -> None:
    """qfrc_adj = -J' C x, with C of the main solver."""
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_y[r, k] = w.efc_force_adj[r, k]
    _force_changes(m, d, w)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qfrc_adj[v, k] = 0.0
    for r in range(d.nefc[0]):
        for i in range(row_width(d, r)):
            lanes_axpy(w.qfrc_adj, row_dof(d, r, i), -d.efc_J[r, i], w.efc_z, r)


@kernel
def main_rows_adj(m: Model, d: Data, w: Lanes) -> None:
    """efc_y = J w + x, efc_z = C y for the multiplier w in qfrc_adj."""
    row_velocities(d, w)
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_y[r, k] += w.efc_force_adj[r, k]
    _force_changes(m, d, w)


@kernel
def _force_changes(m: Model, d: Data, w: Lanes) -> None:
    """efc_z = C efc_y, with C of the main solver."""
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_z[r, k] = d.efc_slope[r] * w.efc_y[r, k]
    for c in range(d.ncon[0]):
        r = d.con_efc[c]
        if r >= 0 and d.efc_type[r] == CONTACT_ELLIPTIC and d.cone_on[c]:
            dim = m.con_dim[d.con_pair[c]]
            for i in range(dim):
                for j in range(dim):
                    lanes_axpy(w.efc_z, r + i, d.cone_hess[c, i, j], w.efc_y, r + j)

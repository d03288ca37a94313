"""The inertia matrix in place of the articulated-body algorithm, where inertia is not the bodies' alone."""

from ..kernels.jit import kernel
from ..kernels.spatial import lanes_set
from ..model.data import Data, Lanes
from ..model.model import Model
from .crba import crb, factor_m, solve_ltdl, solve_m


@kernel
def matrix_factor(m: Model, d: Data, damping_time: float) -> None:
    """In place of `aba_factor`."""
    crb(m, d)
    factor_m(m, d, damping_time)


@kernel
def matrix_solve(m: Model, d: Data) -> None:
    """In place of `aba_solve`."""
    solve_m(m, d, d.qacc)


@kernel
def matrix_solve_lanes(m: Model, d: Data, w: Lanes) -> None:
    """In place of `aba_solve_lanes`."""
    lanes_set(w.qfrc_adj, w.qacc_adj)
    solve_ltdl(m, d.qLD, w.qfrc_adj)

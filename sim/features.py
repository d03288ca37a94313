"""Parts of a step that a model may lack: what it lacks is replaced by nothing, and so never compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple

import mujoco

from ._jit import kernel
from .contact_adj import cone_change, row_change
from .data import Data, Lanes
from .model import Model
from .solver_newton import solve_newton, solve_newton_adj
from .solver_pgs import solve_pgs
from .solver_pgs_adj import solve_pgs_adj

PGS = int(mujoco.mjtSolver.mjSOL_PGS)


class Feature(NamedTuple):
    """An optional part: whether a model needs it, and what stands in for its kernels where not."""

    needed: Callable[[Model], bool]
    stand_ins: dict[Any, Any]


@kernel
def _known_row_change(d: Data, w: Lanes, r: int) -> None:
    """Nothing: the reverse sweeps of projected Gauss-Seidel left it in efc_z."""


@kernel
def _known_cone_change(d: Data, w: Lanes, c: int, first: int, dim: int) -> None:
    """As `_known_row_change`."""


FEATURES: dict[str, Feature] = {
    "newton": Feature(
        lambda model: model.solver != PGS,
        {
            solve_newton: solve_pgs,
            solve_newton_adj: solve_pgs_adj,
            row_change: _known_row_change,
            cone_change: _known_cone_change,
        },
    ),
}


def missing_features(model: Model) -> tuple[str, ...]:
    """Names of the parts that `model` does without."""
    return tuple(name for name, feature in FEATURES.items() if not feature.needed(model))


def stand_ins(missing: tuple[str, ...]) -> dict[Any, Any]:
    """Replacements, for `specialise`, of the kernels of missing parts."""
    return {kernel: other for name in missing for kernel, other in FEATURES[name].stand_ins.items()}

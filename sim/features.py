"""Parts of a step that a model may lack: what it lacks is replaced by nothing, and so never compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple

import mujoco

from ._jit import kernel
from .collision.box_box import collide_box_box
from .collision.box_box_motion import box_box_motion
from .collision.box_geoms import collide_box
from .collision.box_motion import box_motion
from .collision.contacts import no_contacts, no_motion
from .collision.convex import collide_convex
from .collision.convex_motion import convex_motion
from .collision.rim_geoms import collide_rim
from .collision.rim_motion import rim_motion
from .contact_adj import cone_change, row_change
from .contact_pairs import BOXED, BOXES, CONVEX, RIMMED
from .data import Data, Lanes
from .equality import equality, equality_bias
from .equality_adj import equality_adj
from .model import Model
from .solver_newton import solve_newton, solve_newton_adj
from .solver_pgs import solve_pgs
from .solver_pgs_adj import solve_pgs_adj
from .tendon import tendon, tendon_implicit, tendon_passive, tendon_passive_adj
from .tendon_rows import tendon_friction, tendon_limits

PGS = int(mujoco.mjtSolver.mjSOL_PGS)


class Feature(NamedTuple):
    """An optional part: whether a model needs it, and what stands in for its kernels where not."""

    needed: Callable[[Model], bool]
    stand_ins: dict[Any, Any]


@kernel
def _nothing(m: Model, d: Data) -> None:
    """In place of a part that the model lacks."""


@kernel
def _nothing_adj(m: Model, d: Data, w: Lanes) -> None:
    """The adjoint of `_nothing`."""


def _geometry(family: int, collide: Any, motion: Any) -> Feature:
    return Feature(lambda m: bool((m.con_family == family).any()), {collide: no_contacts, motion: no_motion})


@kernel
def _known_row_change(d: Data, w: Lanes, r: int, at: int) -> None:
    """Nothing: the reverse sweeps of projected Gauss-Seidel left it in efc_z."""


@kernel
def _known_cone_change(d: Data, w: Lanes, c: int, at: int, dim: int) -> None:
    """As `_known_row_change`."""


FEATURES: dict[str, Feature] = {
    "box": _geometry(BOXED, collide_box, box_motion),
    "rims": _geometry(RIMMED, collide_rim, rim_motion),
    "boxes": _geometry(BOXES, collide_box_box, box_box_motion),
    "convex": _geometry(CONVEX, collide_convex, convex_motion),
    "equalities": Feature(
        lambda m: m.ne > 0,
        {equality: _nothing, equality_bias: _nothing, equality_adj: _nothing_adj},
    ),
    "tendons": Feature(
        lambda m: bool(m.tendon_num.any()),
        {
            **dict.fromkeys((tendon, tendon_passive, tendon_implicit, tendon_friction, tendon_limits), _nothing),
            tendon_passive_adj: _nothing_adj,
        },
    ),
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

"""Parts of a step that a model may lack: what it lacks is replaced by nothing, and so never compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ._jit import kernel
from .collision.convex import collide_convex
from .collision.convex_motion import convex_motion
from .data import Data, Lanes
from .equality import equality, equality_bias
from .equality_adj import equality_adj
from .model import Model
from .tendon import tendon, tendon_implicit, tendon_passive, tendon_passive_adj
from .tendon_rows import tendon_friction, tendon_limits


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


@kernel
def _collides_nothing(m: Model, d: Data, pair: int) -> None:
    """Stand-in for the collision of pairs that the model lacks."""


@kernel
def _moves_nothing(m: Model, d: Data, c: int) -> None:
    """Stand-in for the motion of contacts that the model lacks."""


FEATURES: dict[str, Feature] = {
    "convex": Feature(
        lambda model: model.nconvex > 0, {collide_convex: _collides_nothing, convex_motion: _moves_nothing}
    ),
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
}


def missing_features(model: Model) -> tuple[str, ...]:
    """Names of the parts that `model` does without."""
    return tuple(name for name, feature in FEATURES.items() if not feature.needed(model))


def stand_ins(missing: tuple[str, ...]) -> dict[Any, Any]:
    """Replacements, for `specialise`, of the kernels of missing parts."""
    return {kernel: other for name in missing for kernel, other in FEATURES[name].stand_ins.items()}

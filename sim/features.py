"""Parts of a step that a model may lack: what it lacks is replaced by nothing, and so never compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .model import Model


class Feature(NamedTuple):
    """An optional part: whether a model needs it, and what stands in for its kernels where not."""

    needed: Callable[[Model], bool]
    stand_ins: dict[Any, Any]


FEATURES: dict[str, Feature] = {}


def missing_features(model: Model) -> tuple[str, ...]:
    """Names of the parts that `model` does without."""
    return tuple(name for name, feature in FEATURES.items() if not feature.needed(model))


def stand_ins(missing: tuple[str, ...]) -> dict[Any, Any]:
    """Replacements, for `specialise`, of the kernels of missing parts."""
    return {kernel: other for name in missing for kernel, other in FEATURES[name].stand_ins.items()}

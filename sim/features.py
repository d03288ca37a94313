"""Parts of a step that a model may lack: what it lacks is replaced by nothing, and so never compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .collision.box_box import collide_box_box
from .collision.box_box_motion import box_box_motion
from .collision.box_geoms import collide_box
from .collision.box_motion import box_motion
from .collision.contacts import no_contacts, no_motion
from .collision.rim_geoms import collide_rim
from .collision.rim_motion import rim_motion
from .contact_pairs import BOXED, BOXES, RIMMED
from .model import Model


class Feature(NamedTuple):
    """An optional part: whether a model needs it, and what stands in for its kernels where not."""

    needed: Callable[[Model], bool]
    stand_ins: dict[Any, Any]


def _geometry(family: int, collide: Any, motion: Any) -> Feature:
    return Feature(lambda m: bool((m.con_family == family).any()), {collide: no_contacts, motion: no_motion})


FEATURES: dict[str, Feature] = {
    "box": _geometry(BOXED, collide_box, box_motion),
    "rims": _geometry(RIMMED, collide_rim, rim_motion),
    "boxes": _geometry(BOXES, collide_box_box, box_box_motion),
}


def missing_features(model: Model) -> tuple[str, ...]:
    """Names of the parts that `model` does without."""
    return tuple(name for name, feature in FEATURES.items() if not feature.needed(model))


def stand_ins(missing: tuple[str, ...]) -> dict[Any, Any]:
    """Replacements, for `specialise`, of the kernels of missing parts."""
    return {kernel: other for name in missing for kernel, other in FEATURES[name].stand_ins.items()}

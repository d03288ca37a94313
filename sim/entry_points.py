"""The compiled functions that Python calls, made for a model from the parts of a step that it needs."""

from functools import cache
from typing import Any, NamedTuple

import mujoco

from ._jit import instance, specialise
from .batch import forward_world, rollout_adj_worlds, rollout_worlds, steps_adj
from .constrained import CONSTRAINED_STEPS
from .contact_force import cfrc_ext_adj_worlds, cfrc_ext_worlds, forward_contact_force
from .features import missing_features, stand_ins
from .jacobian import jacobian_worlds, step_jacobian_worlds
from .model import Model
from .step import STEPS

RK4 = int(mujoco.mjtIntegrator.mjINT_RK4)


class EntryPoints(NamedTuple):
    """What a model runs."""

    forward: Any
    rollout: Any
    rollout_adj: Any
    jacobian: Any
    cfrc_ext: Any
    cfrc_ext_adj: Any
    step_jacobian: Any  # None: the integrator has no shorter way


def entry_points(model: Model) -> EntryPoints:
    """The compiled functions for `model`; models that need the same parts share them."""
    if "_entry_points" not in model.__dict__:
        key = model.integrator, model.nefcmax > 0, missing_features(model)
        model.__dict__["_entry_points"] = _entry_points(*key)
    return model.__dict__["_entry_points"]


@cache
def _entry_points(integrator: int, constrained: bool, missing: tuple[str, ...]) -> EntryPoints:
    forth, back = (CONSTRAINED_STEPS if constrained else STEPS)[integrator]
    forward = instance(forward_world, "forward_constrained_world", forward=forward_contact_force)
    steps_back = instance(steps_adj, f"steps_{back.__name__}", step=forth, step_adj=back)
    whole = EntryPoints(
        forward if constrained else forward_world,
        instance(rollout_worlds, f"rollout_{forth.__name__}", step=forth),
        instance(rollout_adj_worlds, f"rollout_{back.__name__}", step=forth, steps_adj=steps_back),
        instance(jacobian_worlds, f"jacobian_{back.__name__}", steps_adj=steps_back),
        cfrc_ext_worlds,
        cfrc_ext_adj_worlds,
        instance(step_jacobian_worlds, f"step_jacobian_{back.__name__}", steps_adj=steps_back),
    )
    if missing:
        replacements, tag = stand_ins(missing), "without_" + "_".join(missing)
        whole = EntryPoints(*(specialise(function, replacements, tag) for function in whole))
    return whole._replace(step_jacobian=None) if integrator == RK4 else whole

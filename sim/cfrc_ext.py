"""`cfrc_ext` and `cfrc_ext_vjp`: forces of the contacts on the bodies, and their gradient."""

import math
from typing import Any

import numpy as np

from .kernels.direct import run
from .kernels.record import Floats
from .kernels.threads import for_worlds
from .model.arguments import checked_state, floats_of, for_kernel, is_plain_world
from .model.inputs import Inputs, checked_inputs, input_adjoints, input_gradients, input_rows
from .model.model import Model, State, tangent_size
from .model.workspaces import gradient_workspace, workspace
from .models import AnyModel, Models, addresses, check_count, models_of, one_of
from .pipeline.entry_points import entry_points
from .step import StepGradient


class _Worlds:
    """Checked arguments, batch axes flattened to one."""

    def __init__(self, models: Model | Models, state: State, ctrl: Any, qfrc_applied: Any, xfrc_applied: Any) -> None:
        model = one_of(models)
        if models is model and qfrc_applied is None and xfrc_applied is None and is_plain_world(model, state, ctrl):
            self.batch, self.count, self.inputs = (), 1, Inputs()
            self.rows = input_rows(model, self.inputs, ())
            self.arguments = *(for_kernel(x[None]) for x in (*state[:3], ctrl)), self.rows
            return
        start = checked_state(model, state)
        self.batch = start.qpos.shape[:-1]
        self.count = math.prod(self.batch)
        check_count(models, self.count)
        arrays = [*start[:3], floats_of("ctrl", ctrl, model.nu, self.batch)]
        self.inputs = checked_inputs(model, start, self.batch, qfrc_applied, xfrc_applied)
        self.rows = input_rows(model, self.inputs, self.batch)
        self.arguments = *(for_kernel(x.reshape(self.count, x.shape[-1])) for x in arrays), self.rows


def cfrc_ext(model: AnyModel, state: State, ctrl: Any, *, qfrc_applied: Any = None, xfrc_applied: Any = None) -> Floats:
    """Force (torque, force) of the contacts on each body (..., nbody, 6), of `state` under `ctrl` (..., nu).

    World frame [N m, N], torque about `subtree_com` of the body's root, as MuJoCo's `cfrc_ext`. Applied
    forces as in `forward`.
    """
    models = models_of(model)
    model, worlds = one_of(models), _Worlds(models, state, ctrl, qfrc_applied, xfrc_applied)
    out = np.zeros((worlds.count, model.nbody, 6))

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            run(entry_points(model).cfrc_ext, begin, end, model, addresses(models), data, *worlds.arguments, out)

    if model.nconmax > 0:
        for_worlds(worlds.count, work)
    return out.reshape(*worlds.batch, model.nbody, 6)


def cfrc_ext_vjp(
    model: AnyModel, state: State, ctrl: Any, cotangent: Any, *, qfrc_applied: Any = None, xfrc_applied: Any = None
) -> StepGradient:
    """Gradient of the sum of `cotangent` (..., nbody, 6) times `cfrc_ext`, by state, control and other inputs."""
    models = models_of(model)
    model, worlds = one_of(models), _Worlds(models, state, ctrl, qfrc_applied, xfrc_applied)
    batch, count = worlds.batch, worlds.count
    seed = for_kernel(floats_of("cotangent", cotangent, 6, (*batch, model.nbody)).reshape(count, model.nbody, 6, 1))
    state_adj, ctrl_adj = np.zeros((count, tangent_size(model), 1)), np.zeros((count, model.nu, 1))
    input_adj = input_adjoints(model, worlds.inputs, worlds.rows, 1)

    def work(begin: int, end: int) -> None:
        with workspace(model) as data, gradient_workspace(model) as adjoint:
            arguments = (*worlds.arguments, seed, state_adj, ctrl_adj, input_adj)
            kernel = entry_points(model).cfrc_ext_adj
            run(kernel, begin, end, model, addresses(models), data, adjoint, *arguments)

    if model.nconmax > 0:
        for_worlds(count, work)
    by_inputs = input_gradients(model, worlds.inputs, input_adj, batch)
    by_state, by_ctrl = state_adj.reshape(*batch, state_adj.shape[1]), ctrl_adj.reshape(*batch, model.nu)
    return StepGradient(by_state, by_ctrl, None, *by_inputs)

"""`cfrc_ext`, `cfrc_ext_vjp`, `step_with_cfrc_ext`: forces of the contacts on the bodies, also with a step."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kernels.direct import run
from .kernels.record import Floats
from .kernels.threads import for_worlds
from .model.arguments import at_least_one, checked_state, floats_of, for_kernel
from .model.inputs import checked_inputs, input_adjoints, input_gradients, input_rows
from .model.model import Model, State, tangent_size
from .model.workspaces import adjoint_workspace, workspace
from .models import AnyModel, Models, addresses, check_count, models_of, one_of
from .pipeline.entry_points import entry_points
from .single_world import enter_world
from .step import StepGradient
from .trajectory import one_control


class _Worlds:
    """Checked arguments, batch axes flattened to one."""

    def __init__(self, models: Model | Models, state: State, ctrl: Any, qfrc_applied: Any, xfrc_applied: Any) -> None:
        model = one_of(models)
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
    if type(model) is Model and qfrc_applied is None and xfrc_applied is None:
        world = enter_world(model, state, ctrl)
        if world is not None:
            return world.contact_forces(model)
    models = models_of(model)
    model, worlds = one_of(models), _Worlds(models, state, ctrl, qfrc_applied, xfrc_applied)
    out = np.zeros((worlds.count, model.nbody, 6))

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            run(entry_points(model).cfrc_ext, begin, end, model, addresses(models), data, *worlds.arguments, out)

    if model.nconmax > 0:
        for_worlds(worlds.count, work)
    return out.reshape(*worlds.batch, model.nbody, 6)


def step_with_cfrc_ext(
    model: AnyModel, state: State, ctrl: Any, n_steps: int = 1
) -> tuple[State, NDArray[np.int32], Floats]:
    """`counted_step`, and `cfrc_ext` of the state after it under the same control.

    The numbers are those of the two calls; the thread that steps a world goes on to its forces, so that threads
    are woken once.
    """
    models = models_of(model)
    model, each = one_of(models), addresses(models)
    start = checked_state(model, state)
    batch = start.qpos.shape[:-1]
    controls = floats_of("ctrl", ctrl, model.nu, batch)
    worlds = math.prod(batch)
    check_count(models, worlds)
    inputs = checked_inputs(model, start, batch, None, None)
    paths, arguments, unconverged = one_control(models, start, controls, inputs, at_least_one("n_steps", n_steps))
    after = [np.empty((worlds, path.shape[2])) for path in paths]
    flat, rows = for_kernel(controls.reshape(worlds, model.nu)), input_rows(model, inputs, batch)
    forces, entry = np.zeros((worlds, model.nbody, 6)), entry_points(model)

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            run(entry.rollout, begin, end, model, each, data, *arguments)
            for last, path in zip(after, paths, strict=True):
                last[begin:end] = path[begin:end, 1]
            if model.nconmax > 0:
                run(entry.cfrc_ext, begin, end, model, each, data, *after, flat, rows, forces)

    for_worlds(worlds, work)
    qpos, qvel, act = (last.reshape(*batch, last.shape[1]) for last in after)
    poses = start[3:] if model.nmocap == 0 else (start.mocap_pos.copy(), start.mocap_quat.copy())
    return State(qpos, qvel, act, *poses), unconverged.reshape(batch), forces.reshape(*batch, model.nbody, 6)


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
        with workspace(model) as data, adjoint_workspace(model, 1) as adjoint:
            arguments = (*worlds.arguments, seed, state_adj, ctrl_adj, input_adj)
            kernel = entry_points(model).cfrc_ext_adj
            run(kernel, begin, end, model, addresses(models), data, adjoint, *arguments)

    if model.nconmax > 0:
        for_worlds(count, work)
    by_inputs = input_gradients(model, worlds.inputs, input_adj, batch)
    by_state, by_ctrl = state_adj.reshape(*batch, state_adj.shape[1]), ctrl_adj.reshape(*batch, model.nu)
    return StepGradient(by_state, by_ctrl, None, *by_inputs)

"""`cfrc_ext` and `cfrc_ext_vjp`: forces of the contacts on the bodies, and their gradient."""

import math
from typing import Any

import numpy as np

from .kernels.record import Floats
from .kernels.threads import for_worlds
from .model.arguments import checked_state, floats_of, for_kernel
from .model.model import Model, State, tangent_size
from .model.workspaces import adjoint_workspace, workspace
from .pipeline.entry_points import entry_points
from .step import StepGradient


def _worlds(model: Model, state: State, ctrl: Any) -> tuple[tuple[int, ...], Floats, Floats, Floats, Floats]:
    """Batch axes; qpos, qvel, act, ctrl with one axis of worlds."""
    start = checked_state(model, state)
    batch = start.qpos.shape[:-1]
    worlds = math.prod(batch)
    arrays = [*start, floats_of("ctrl", ctrl, model.nu, batch)]
    flat = [for_kernel(array.reshape(worlds, array.shape[-1])) for array in arrays]
    return batch, flat[0], flat[1], flat[2], flat[3]


def cfrc_ext(model: Model, state: State, ctrl: Any) -> Floats:
    """Force (torque, force) of the contacts on each body (..., nbody, 6), of `state` under `ctrl` (..., nu).

    World frame [N m, N], torque about `subtree_com` of the body's root, as MuJoCo's `cfrc_ext`.
    """
    batch, qpos, qvel, act, controls = _worlds(model, state, ctrl)
    worlds = len(qpos)
    out = np.zeros((worlds, model.nbody, 6))

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            entry_points(model).cfrc_ext(begin, end, model, data, qpos, qvel, act, controls, out)

    if model.nconmax > 0:
        for_worlds(worlds, work)
    return out.reshape(*batch, model.nbody, 6)


def cfrc_ext_vjp(model: Model, state: State, ctrl: Any, cotangent: Any) -> StepGradient:
    """Gradient of the sum of `cotangent` (..., nbody, 6) times `cfrc_ext`, by state and control."""
    batch, qpos, qvel, act, controls = _worlds(model, state, ctrl)
    worlds = len(qpos)
    seed = for_kernel(floats_of("cotangent", cotangent, 6, (*batch, model.nbody)).reshape(worlds, model.nbody, 6, 1))
    state_adj, ctrl_adj = np.zeros((worlds, tangent_size(model), 1)), np.zeros((worlds, model.nu, 1))

    def work(begin: int, end: int) -> None:
        with workspace(model) as data, adjoint_workspace(model, 1) as adjoint:
            arguments = (qpos, qvel, act, controls, seed, state_adj, ctrl_adj)
            entry_points(model).cfrc_ext_adj(begin, end, model, data, adjoint, *arguments)

    if model.nconmax > 0:
        for_worlds(worlds, work)
    return StepGradient(state_adj.reshape(*batch, state_adj.shape[1]), ctrl_adj.reshape(*batch, model.nu), None)

"""Forces of the contacts on the bodies for batches of states: the numpy side of `contact_force.py`."""

from typing import Any

import numpy as np

from ._jit import kernel
from ._record import Floats
from .batch import adjoint_workspace, for_worlds, load_world, workspace
from .check import checked_state, floats_of, for_kernel
from .contact_force import contact_force_adj, forward_contact_force
from .data import Data, Lanes
from .model import Model, State
from .rollout import StepGradient, tangent_size
from .spatial import load6, store6


@kernel
def _load_and_run(m: Model, d: Data, qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats) -> None:
    load_world(m, d, qpos, qvel, act)
    for i in range(m.nu):
        d.ctrl[i] = ctrl[i]
    forward_contact_force(m, d)


@kernel
def _cfrc_ext_worlds(
    begin: int, end: int, m: Model, d: Data, qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats, out: Floats
) -> None:
    """Fill out (worlds, nbody, 6) for the worlds in [begin, end)."""
    for b in range(begin, end):
        _load_and_run(m, d, qpos[b], qvel[b], act[b], ctrl[b])
        for i in range(m.nbody):
            store6(out[b], i, load6(d.cfrc_ext, i))


@kernel
def _cfrc_ext_adj_worlds(
    begin: int,
    end: int,
    m: Model,
    d: Data,
    w: Lanes,
    qpos: Floats,
    qvel: Floats,
    act: Floats,
    ctrl: Floats,
    cotangent: Floats,
    state_adj: Floats,
    ctrl_adj: Floats,
) -> None:
    """From cotangent (worlds, nbody, 6, nlane) fill state_adj (worlds, nx, nlane), ctrl_adj (worlds, nu, nlane)."""
    for b in range(begin, end):
        w.qpos_adj[:] = 0.0
        w.qvel_adj[:] = 0.0
        w.act_adj[:] = 0.0
        w.ctrl_adj[:] = 0.0
        _load_and_run(m, d, qpos[b], qvel[b], act[b], ctrl[b])
        if d.ncon[0] > 0:
            for i in range(m.nbody):
                for r in range(6):
                    for k in range(w.nlane):
                        w.cfrc_ext_adj[i, r, k] = cotangent[b, i, r, k] if i > 0 else 0.0
            contact_force_adj(m, d, w)
        for k in range(w.nlane):
            for i in range(m.nv):
                state_adj[b, i, k] = w.qpos_adj[i, k]
                state_adj[b, m.nv + i, k] = w.qvel_adj[i, k]
            for i in range(m.na):
                state_adj[b, 2 * m.nv + i, k] = w.act_adj[i, k]
            for i in range(m.nu):
                ctrl_adj[b, i, k] = w.ctrl_adj[i, k]


def _worlds(model: Model, state: State, ctrl: Any) -> tuple[tuple[int, ...], list[Floats]]:
    """Batch axes; qpos, qvel, act, ctrl with one axis of worlds."""
    start = checked_state(model, state)
    batch = start.qpos.shape[:-1]
    arrays = [*start, floats_of("ctrl", ctrl, model.nu, batch)]
    return batch, [for_kernel(array.reshape(int(np.prod(batch)), array.shape[-1])) for array in arrays]


def cfrc_ext(model: Model, state: State, ctrl: Any) -> Floats:
    """Force (torque, force) of the contacts on each body (..., nbody, 6), of `state` under `ctrl` (..., nu).

    World frame [N m, N], torque about `subtree_com` of the body's root, as MuJoCo's `cfrc_ext`.
    """
    batch, arrays = _worlds(model, state, ctrl)
    worlds = len(arrays[0])
    out = np.zeros((worlds, model.nbody, 6))

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            _cfrc_ext_worlds(begin, end, model, data, *arrays, out)

    if model.nconmax > 0:
        for_worlds(worlds, work)
    return out.reshape(*batch, model.nbody, 6)


def cfrc_ext_vjp(model: Model, state: State, ctrl: Any, cotangent: Any) -> StepGradient:
    """Gradient of the sum of `cotangent` (..., nbody, 6) times `cfrc_ext`, by state and control."""
    batch, arrays = _worlds(model, state, ctrl)
    worlds = len(arrays[0])
    seed = for_kernel(floats_of("cotangent", cotangent, 6, (*batch, model.nbody)).reshape(worlds, model.nbody, 6, 1))
    state_adj, ctrl_adj = np.zeros((worlds, tangent_size(model), 1)), np.zeros((worlds, model.nu, 1))

    def work(begin: int, end: int) -> None:
        with workspace(model) as data, adjoint_workspace(model, 1) as adjoint:
            _cfrc_ext_adj_worlds(begin, end, model, data, adjoint, *arrays, seed, state_adj, ctrl_adj)

    if model.nconmax > 0:
        for_worlds(worlds, work)
    return StepGradient(state_adj.reshape(*batch, state_adj.shape[1]), ctrl_adj.reshape(*batch, model.nu), None)

"""Second derivatives of a task's reward by tangents, as trajectory optimisers need them.

Poses count with their first derivatives, so it is the generalised Gauss-Newton matrix (Schraudolph 2002): the
Hessian of the reward in coordinates and poses, which torch has, between the Jacobians of both by the tangent.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sim.tangent import gradient_to_tangent
from .gradients import by_tangent, coordinates_of, leaf
from .task import Task
from .task_state import ContactForces, TaskState

Floats = NDArray[np.float64]


class RewardCurvature(NamedTuple):
    """Of N transitions, symmetric; what mixes two of the three arguments is left out."""

    state: Floats  # (N, nx, nx), by the tangent of the state before, nx = 2 nv + na
    action: Floats  # (N, n_act, n_act)
    next_state: Floats  # (N, nx, nx)


def reward_curvature(task: Task, state: TaskState, action: Tensor, next_state: TaskState) -> RewardCurvature:
    """Of N transitions with actions (N, n_act). Contact forces that a reward counts are constants."""
    with torch.no_grad():
        for one in (state, next_state):
            _ = one.kinematics  # so that poses are coordinates, and not computed from others
        if task.pays_for_contact_forces:
            task.contact_forces(next_state, action)
    n_act = action.shape[-1]
    eye = torch.eye(n_act, dtype=action.dtype)[:, None].expand(n_act, *action.shape)
    by_action = _products(
        lambda leaves: task.reward(_repeated(state, n_act), leaves[0], _repeated(next_state, n_act)),
        [leaf(action.expand(n_act, *action.shape))],
        [eye],
    )[0]
    in_action = np.zeros((len(action), n_act, n_act)) if by_action is None else by_action.numpy().swapaxes(0, 1)
    nx = 2 * state.model.nv + state.model.na
    actions = action.expand(nx, *action.shape)
    before = _of_states(state, lambda moved: task.reward(moved, actions, _repeated(next_state, nx)))
    after = _of_states(next_state, lambda moved: task.reward(_repeated(state, nx), actions, moved))
    return RewardCurvature(before, 0.5 * (in_action + in_action.swapaxes(1, 2)), after)


def _of_states(state: TaskState, reward: Callable[[TaskState], Tensor]) -> Floats:
    """Curvature (N, nx, nx) of a function of copies (nx, N) of the states."""
    directions = _directions(state)
    copies = _repeated(state, len(directions[0])).map(leaf)
    if state.known_forces is not None:  # `map` leaves them out
        forces = _repeated_forces(state, len(directions[0]))
        copies = replace(copies, known_forces=forces)
    products = _products(lambda _: reward(copies), coordinates_of(copies), directions)
    found = by_tangent(state, products, len(directions[0]))
    return 0.5 * (found + found.swapaxes(1, 2))


def _products(
    function: Callable[[list[Tensor]], Tensor], leaves: list[Tensor], directions: list[Tensor]
) -> list[Tensor | None]:
    """Products of Hessian and directions, both (K, N, ...) for each leaf; None where there is no curvature."""
    with torch.enable_grad():
        total = function(leaves).sum()
        if not total.requires_grad:
            return [None] * len(leaves)
        slopes = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
        rates = [(g * d).sum() for g, d in zip(slopes, directions, strict=True) if g is not None and g.requires_grad]
        if not rates:
            return [None] * len(leaves)
        return list(torch.autograd.grad(torch.stack(rates).sum(), leaves, allow_unused=True))


def _directions(state: TaskState) -> list[Tensor]:
    """How `coordinates_of` N states move with each entry of the tangent: (nx, N, ...) each."""
    qpos, model = state.qpos.numpy(), state.model
    n, nv, na = len(qpos), model.nv, model.na
    eye = np.broadcast_to(np.eye(model.nq), (n, model.nq, model.nq))
    by_qpos = eye if model.nq == nv else gradient_to_tangent(model, qpos[:, None], eye)  # (N, nq, nv)
    parts: list[Floats] = [np.zeros((2 * nv + na, *x.shape)) for x in (state.qpos, state.qvel, state.act)]
    parts[0][:nv] = by_qpos.transpose(2, 0, 1)
    parts[1][nv : 2 * nv] = np.eye(nv)[:, None]
    parts[2][2 * nv :] = np.eye(na)[:, None]
    for field, rate in zip(state.kinematics, state.pose_rates, strict=True):
        part = np.zeros((2 * nv + na, *field.shape))
        part[:nv] = rate.reshape(n, nv, *field.shape[1:]).swapaxes(0, 1)
        parts.append(part)
    return [torch.from_numpy(part) for part in parts]


def _repeated(state: TaskState, count: int) -> TaskState:
    return state.map(lambda x: x.expand(count, *x.shape))


def _repeated_forces(state: TaskState, count: int) -> ContactForces:
    assert state.known_forces is not None
    ctrl, forces = (x.expand(count, *x.shape) for x in state.known_forces)
    return ContactForces(ctrl, leaf(forces))

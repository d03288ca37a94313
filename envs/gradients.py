"""The gradient contract: derivatives of observation and reward by action and state.

The simulator gives the Jacobians of the next state and of the kinematics, torch the derivatives of
the task's own observation, reward and control, and the chain rule joins them; tasks that take numpy's
arrays do without torch (`forward_gradients.py`). Docs for users: docs/gradients.md.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sim import Linearization, StepGradient
from ..sim.tangent import gradient_to_tangent
from .arrays import Array, as_numpy, as_tensor
from .dual import NoRuleError
from .forward_gradients import forward_gradients
from .task import Task
from .task_state import ContactForces, TaskState

Floats = NDArray[np.float64]
Gradients = Literal["action", "full"]


def check_gradients(gradients: str | None) -> None:
    """Raises ValueError unless the option is None or one of the contract's levels."""
    if gradients is not None and gradients not in get_args(Gradients):
        raise ValueError(f"gradients={gradients!r}: choose None, 'action' or 'full'")


def transition_gradients(
    task: Task, state: TaskState, action: Array, next_state: TaskState, jacobian: Linearization
) -> dict[str, Floats]:
    """The contract's arrays for N transitions, each with leading axis N, or for a single one without.

    `jacobian` is that of `Task.linearize`: with A the arrays are those of gradients "full", without of "action".
    """
    A, B = jacobian.A, jacobian.B
    if task.is_numpy:
        with suppress(NoRuleError):
            return forward_gradients(task, state.arrays(), as_numpy(action), next_state.arrays(), A, B)
    if action.ndim == 1:
        batch = state.batched(), action[None], next_state.batched()
        found = _torch_gradients(task, *batch, None if A is None else A[None], B[None])
        return {name: array[0] for name, array in found.items()}
    return _torch_gradients(task, state, action, next_state, A, B)


def _torch_gradients(
    task: Task, state: TaskState, action: Array, next_state: TaskState, A: Floats | None, B: Floats
) -> dict[str, Floats]:
    """The same for N transitions, from torch's reverse mode."""
    full = A is not None
    state, action, next_state = state.tensors(), as_tensor(action), next_state.tensors()
    own = _task_derivatives(task, state, action, next_state, full)
    by_action = B @ own.control_by_action
    through_action = own.outputs_by_next @ by_action
    result = {
        "dobs_daction": through_action[:, :-1].copy(),
        "dreward_daction": through_action[:, -1] + own.reward_by_action,
    }
    if A is not None:
        through_state = own.outputs_by_next @ A
        result |= {
            "dobs_dstate": through_state[:, :-1].copy(),
            "dreward_dstate": through_state[:, -1] + own.reward_by_state,
            "dstate_dstate": np.array(A),
            "dstate_daction": by_action,
        }
    return result


def observation_gradient(task: Task, state: TaskState) -> Floats:
    """Derivatives of the observation by the state's tangent at N states, (N, n_obs, nx)."""
    with torch.no_grad():
        _ = state.kinematics  # poses in forward mode: nv directions are fewer than entries
    with torch.enable_grad():
        (found,) = _pull_back([_observation_of_copies(task, state)])
    return by_tangent(state, found, task.observation_space.shape[0])


class _TaskDerivatives(NamedTuple):
    """Partial derivatives of what the task itself defines, at N transitions."""

    outputs_by_next: Floats  # (N, n_obs + 1, nx): observation, then reward, by the next state
    reward_by_state: Floats  # (N, nx); zero unless asked for
    reward_by_action: Floats  # (N, n_act)
    control_by_action: Floats  # (N, nu, n_act)


def _task_derivatives(
    task: Task, state: TaskState, action: Tensor, next_state: TaskState, full: bool
) -> _TaskDerivatives:
    """One reverse pass of torch through the task's functions, and the tangent in place of coordinates.

    The reward also depends on contact forces, where they are known in the next state: the simulator
    pulls that gradient back to the next state and the control.
    """
    with torch.enable_grad():
        observation = _observation_of_copies(task, next_state)
        control = _control_of_copies(task, action)
        reward = _reward_of_leaves(task, state, action, next_state, full)
        found = _pull_back([observation, control, reward])
    observation_by_next, (control_rows,), (reward_by_action,), reward_by_next, reward_by_state, reward_by_forces = found
    n_obs, control_by_action = len(observation.output), _numbers(control_rows, control.arguments[0][0]).swapaxes(0, 1)
    stacked = [_stack(o, r, n_obs) for o, r in zip(observation_by_next, reward_by_next, strict=True)]
    outputs_by_next = by_tangent(next_state, stacked, n_obs + 1)
    by_state = np.zeros_like(outputs_by_next[:, 0])
    if full:
        by_state = by_tangent(state, [g if g is None else g[None] for g in reward_by_state], 1)[:, 0]
    result = _TaskDerivatives(outputs_by_next, by_state, _numbers(reward_by_action, action), control_by_action)
    for cotangent in reward_by_forces:
        if cotangent is not None and cotangent.any():
            pulled = _pull_back_forces(task, next_state, cotangent)
            result.outputs_by_next[:, n_obs] += pulled.state
            result.reward_by_action[:] += (pulled.ctrl[:, None] @ control_by_action)[:, 0]
    return result


class _Asked(NamedTuple):
    """What is asked of torch about one output: its cotangent, pulled back to groups of arguments."""

    output: Tensor
    cotangent: Tensor
    arguments: Sequence[Sequence[Tensor]]


def _observation_of_copies(task: Task, next_state: TaskState) -> _Asked:
    """The observation's entries by the next state's `coordinates_of`: gradients (n_obs, N, ...).

    Reverse mode gives one gradient a pass. So each entry has a copy of the states, in front of the
    batch axis, and copy k has the k-th unit cotangent.
    """
    n_obs = task.observation_space.shape[0]
    copies = next_state.map(lambda x: leaf(x.expand(n_obs, *x.shape)))
    # Listed now: poses that the observation still computes are no leaves, but found through qpos.
    coordinates = coordinates_of(copies)
    return _Asked(task.observation(copies), _unit_cotangents(n_obs, len(next_state.qpos)), [coordinates])


def _control_of_copies(task: Task, action: Tensor) -> _Asked:
    """The control's entries by the action, in the same way: a gradient (nu, N, n_act)."""
    nu = task.model.nu
    copies = leaf(action.expand(nu, *action.shape))
    return _Asked(task.control(copies), _unit_cotangents(nu, len(action)), [[copies]])


def _reward_of_leaves(task: Task, state: TaskState, action: Tensor, next_state: TaskState, full: bool) -> _Asked:
    """The reward by action, next state, state and known contact forces: gradients (N, ...).

    The state's group is empty unless `full`, that of the forces where none are known.
    """
    action, after, before = leaf(action), next_state.map(leaf), state.map(leaf) if full else state
    groups = [[action], coordinates_of(after), coordinates_of(before) if full else [], []]
    if next_state.known_forces is not None:
        ctrl, forces = next_state.known_forces
        groups[-1] = [leaf(forces)]
        after = replace(after, known_forces=ContactForces(ctrl, groups[-1][0]))
    reward = task.reward(before, action, after)
    return _Asked(reward, torch.ones_like(reward), groups)


def leaf(x: Tensor) -> Tensor:
    """The same numbers as an argument of their own; times, which are integers, have no derivatives."""
    return x.detach().requires_grad_(x.is_floating_point())


def _pull_back(asked: Sequence[_Asked]) -> list[Sequence[Tensor | None]]:
    """The gradients by all groups of arguments in their order, None where nothing depends on an argument.

    One call for all, though their graphs have nothing in common: it costs more than most of the gradients.
    """
    groups = [group for one in asked for group in one.arguments]
    varying = [one for one in asked if one.output.requires_grad]  # a reward may be constant
    found = torch.autograd.grad(
        [one.output for one in varying],
        [argument for group in groups for argument in group],
        [one.cotangent for one in varying],
        allow_unused=True,
    )
    ends = accumulate(map(len, groups))
    return [found[end - len(group) : end] for group, end in zip(groups, ends, strict=True)]


@lru_cache(maxsize=64)
def _unit_cotangents(n: int, batch: int) -> Tensor:
    """For copy k of N vectors with n entries the k-th unit vector: (n, N, n)."""
    return torch.eye(n, dtype=torch.float64)[:, None].expand(n, batch, n)


def _numbers(gradient: Tensor | None, argument: Tensor) -> Floats:
    """A gradient by an argument, zero where nothing depends on it; fresh."""
    return np.zeros(argument.shape) if gradient is None else gradient.numpy().copy()


def _stack(observation: Tensor | None, reward: Tensor | None, n_obs: int) -> Tensor | None:
    """Gradients by one argument: (n_obs, N, ...) of the observation, and (N, ...) of the reward as the last row."""
    if reward is None:
        return None if observation is None else torch.cat([observation, torch.zeros_like(observation[:1])])
    return torch.cat([reward.new_zeros(n_obs, *reward.shape) if observation is None else observation, reward[None]])


def _pull_back_forces(task: Task, state: TaskState, cotangent: Tensor) -> StepGradient:
    """The known contact forces' cotangent (N, nbody, 6) as gradients (N, ...) by state and control."""
    assert state.known_forces is not None
    ctrl = state.known_forces.ctrl.numpy()
    return task.backend.cfrc_ext_vjp(task.models_at(state), state.numpy(), ctrl, cotangent.numpy())


def coordinates_of(state: TaskState) -> list[Tensor]:
    """What a function of the state can depend on: coordinates, and poses if they were computed."""
    return [state.qpos, state.qvel, state.act, *(state.known_kinematics or ())]


def by_tangent(state: TaskState, gradients: Sequence[Tensor | None], rows: int) -> Floats:
    """Gradients (R, N, ...) by `coordinates_of` at N states as one array (N, R, nx) by the tangent."""
    model, qpos = state.model, state.qpos.numpy()
    nv, batch = model.nv, len(qpos)
    by_qpos, by_qvel, by_act, *by_poses = (None if g is None else g.numpy().swapaxes(0, 1) for g in gradients)
    result = np.zeros((batch, rows, 2 * nv + model.na))
    if by_qpos is not None:
        result[..., :nv] = by_qpos if model.nq == nv else gradient_to_tangent(model, qpos[:, None], by_qpos)
    if by_qvel is not None:
        result[..., nv : 2 * nv] = by_qvel
    if by_act is not None:
        result[..., 2 * nv :] = by_act
    if any(g is not None for g in by_poses):
        for gradient, rate in zip(by_poses, state.pose_rates, strict=True):
            if gradient is not None:
                result[..., :nv] += gradient.reshape(batch, rows, -1) @ rate.reshape(batch, nv, -1).swapaxes(1, 2)
    return result

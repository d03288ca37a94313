"""The gradient contract: derivatives of observation and reward by action and state.

The simulator gives the Jacobian of the next state, torch the derivatives of the task's own
observation and reward, and the chain rule joins them. Docs for users: docs/gradients.md.
"""

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .tangent import qpos_to_tangent
from .task import Task, TaskState

Floats = NDArray[np.float64]
Gradients = Literal["action", "full"]


def check_gradients(gradients: str | None) -> None:
    """Raises ValueError unless the option is None or one of the contract's levels."""
    if gradients is not None and gradients not in get_args(Gradients):
        raise ValueError(f"gradients={gradients!r}: choose None, 'action' or 'full'")


def transition_gradients(
    task: Task, state: TaskState, action: Tensor, next_state: TaskState, gradients: Gradients
) -> dict[str, Floats]:
    """The contract's arrays for N transitions (batch shape (N,)), each with leading axis N."""
    full = gradients == "full"
    A, B = task.backend.step_jacobian(task.model, state.numpy(), task.control(action).numpy(), task.n_substeps)
    by_next, by_state, by_action = _output_derivatives(task, state, action, next_state, full)

    by_ctrl = np.concatenate([by_next @ B, B], axis=1) if full else by_next @ B
    through_action = _pull_through_control(task, action, by_ctrl)
    n_obs = by_next.shape[1] - 1
    result = {
        "dobs_daction": through_action[:, :n_obs].copy(),
        "dreward_daction": through_action[:, n_obs] + by_action,
    }
    if full:
        through_state = by_next @ A
        result |= {
            "dobs_dstate": through_state[:, :n_obs].copy(),
            "dreward_dstate": through_state[:, n_obs] + by_state,
            "dstate_dstate": np.array(A),
            "dstate_daction": through_action[:, n_obs + 1 :].copy(),
        }
    return result


def _output_derivatives(
    task: Task, state: TaskState, action: Tensor, next_state: TaskState, full: bool
) -> tuple[Floats, Floats, Floats]:
    """Partial derivatives of (observation, reward) by the next state, and of reward by state and action.

    One reverse pass for all outputs: the transition is repeated once for each output (axis 0),
    and repetition k is pulled back with the k-th unit cotangent.

    Returns:
        By next state (N, n_obs + 1, nx), reward last; reward by state (N, nx); by action (N, n_act).
    """
    n_obs = task.observation_space.shape[0]
    rows, batch = n_obs + 1, action.shape[0]

    def repeated(x: Tensor) -> Tensor:
        return x.expand(rows, *x.shape)

    def leaf(x: Tensor) -> Tensor:
        return x.repeat(rows, *(1 for _ in x.shape)).requires_grad_()

    after = TaskState(
        task.model, *map(leaf, (next_state.qpos, next_state.qvel, next_state.act)), repeated(next_state.time)
    )
    if full:
        before = TaskState(task.model, *map(leaf, (state.qpos, state.qvel, state.act)), repeated(state.time))
    else:
        before = state.map(repeated)
    actions = leaf(action)

    observation = task.observation(after)
    reward = task.reward(before, actions, after)
    unit = torch.eye(rows, dtype=torch.float64)[:, None, :]
    outputs = [observation, reward]
    cotangents = [unit[..., :n_obs].expand(rows, batch, n_obs), unit[..., n_obs].expand(rows, batch)]
    inputs = [after.qpos, after.qvel, after.act, actions]
    if full:
        inputs += [before.qpos, before.qvel, before.act]
    found = torch.autograd.grad(outputs, inputs, cotangents, allow_unused=True, materialize_grads=True)
    arrays = [x.numpy() for x in found]

    by_next = _tangent(task, next_state, arrays[:3]).swapaxes(0, 1)
    by_state = _tangent(task, state, [x[n_obs] for x in arrays[4:]]) if full else np.empty(0)
    return by_next, by_state, arrays[3][n_obs]


def _tangent(task: Task, state: TaskState, gradients: list[Floats]) -> Floats:
    """Gradients by (qpos, qvel, act) at a state as one array (..., nx)."""
    qpos, qvel, act = gradients
    return np.concatenate([qpos_to_tangent(task.model, state.qpos.numpy(), qpos), qvel, act], axis=-1)


def _pull_through_control(task: Task, action: Tensor, by_ctrl: Floats) -> Floats:
    """Rows of derivatives by ctrl (N, R, nu) to derivatives by the action (N, R, n_act)."""
    rows = by_ctrl.shape[1]
    actions = action[:, None, :].repeat(1, rows, 1).requires_grad_()
    (pulled,) = torch.autograd.grad(task.control(actions), actions, torch.from_numpy(by_ctrl))
    return pulled.numpy()

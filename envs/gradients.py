"""The gradient contract: derivatives of observation and reward by action and state.

The simulator gives the Jacobians of the next state and of the kinematics, torch the derivatives of
the task's own observation, reward and control, and the chain rule joins them. Docs for users:
docs/gradients.md.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sim.tangent import gradient_to_tangent
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
    own = _task_derivatives(task, state, action, next_state, full)
    by_action = B @ own.control_by_action
    through_action = own.outputs_by_next @ by_action
    result = {
        "dobs_daction": through_action[:, :-1].copy(),
        "dreward_daction": through_action[:, -1] + own.reward_by_action,
    }
    if full:
        through_state = own.outputs_by_next @ A
        result |= {
            "dobs_dstate": through_state[:, :-1].copy(),
            "dreward_dstate": through_state[:, -1] + own.reward_by_state,
            "dstate_dstate": np.array(A),
            "dstate_daction": by_action,
        }
    return result


class _TaskDerivatives(NamedTuple):
    """Partial derivatives of what the task itself defines, at N transitions."""

    outputs_by_next: Floats  # (N, n_obs + 1, nx): observation, then reward, by the next state
    reward_by_state: Floats  # (N, nx); zero unless asked for
    reward_by_action: Floats  # (N, n_act)
    control_by_action: Floats  # (N, nu, n_act)


def _task_derivatives(
    task: Task, state: TaskState, action: Tensor, next_state: TaskState, full: bool
) -> _TaskDerivatives:
    """One reverse pass for all outputs.

    The transition is repeated once for each output (axis 0: observation, reward, control), and
    repetition k is pulled back with the k-th unit cotangent.
    """
    n_obs, nu = task.observation_space.shape[0], task.model.nu
    rows, batch = n_obs + 1 + nu, action.shape[0]

    def repeated(x: Tensor) -> Tensor:
        return x.expand(rows, *x.shape)

    def leaf(x: Tensor) -> Tensor:
        return repeated(x).detach().requires_grad_(x.is_floating_point())

    with torch.enable_grad():
        after, actions = next_state.map(leaf), leaf(action)
        before = state.map(leaf if full else repeated)
        # Listed now: poses that the task's functions still compute are no leaves, but found through qpos.
        by_after, by_before = _coordinates(after), _coordinates(before) if full else []
        outputs = (task.observation(after), task.reward(before, actions, after), task.control(actions))
        units = _unit_cotangents(n_obs, nu, batch)
        varying = [i for i, output in enumerate(outputs) if output.requires_grad]  # a reward may be constant
        found = torch.autograd.grad(
            [outputs[i] for i in varying],
            [actions, *by_after, *by_before],
            [units[i] for i in varying],
            allow_unused=True,
        )

    by_action = np.zeros((rows, *action.shape)) if found[0] is None else found[0].numpy()
    end = 1 + len(by_after)
    by_next = _by_tangent(next_state, found[1:end], rows)[:, : n_obs + 1]
    by_state = _by_tangent(state, found[end:], rows)[:, n_obs] if full else np.zeros((batch, by_next.shape[-1]))
    return _TaskDerivatives(by_next, by_state, by_action[n_obs], by_action[n_obs + 1 :].swapaxes(0, 1))


@lru_cache(maxsize=64)
def _unit_cotangents(n_obs: int, nu: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cotangents of observation, reward and control for all repetitions: (R, N, n_obs), (R, N), (R, N, nu)."""
    rows = n_obs + 1 + nu
    unit = torch.eye(rows, dtype=torch.float64)[:, None].expand(rows, batch, rows)
    return unit[..., :n_obs], unit[..., n_obs], unit[..., n_obs + 1 :]


def _coordinates(state: TaskState) -> list[Tensor]:
    """What a function of the state can depend on: coordinates, and poses if they were computed."""
    return [state.qpos, state.qvel, state.act, *(state.known_kinematics or ())]


def _by_tangent(state: TaskState, gradients: Sequence[Tensor | None], rows: int) -> Floats:
    """Gradients (R, N, ...) by `_coordinates` at N states as one array (N, R, nx) by the tangent."""
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

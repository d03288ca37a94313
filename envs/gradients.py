"""The gradient contract: derivatives of observation and reward by action and state.

The simulator gives the Jacobians of the next state and of the kinematics, torch the derivatives of
the task's own observation, reward and control, and the chain rule joins them. Docs for users:
docs/gradients.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sim import StepGradient
from ..sim.tangent import gradient_to_tangent
from .task import ContactForces, Task, TaskState

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

    Observation and control are evaluated on one copy of the transition for each of their entries
    (axis 0), and copy k is pulled back with the k-th unit cotangent. The reward has a copy of its
    own. Contact forces that are known in the next state are a leaf of it, and the simulator pulls
    their cotangent back.
    """
    n_obs, nu, batch = task.observation_space.shape[0], task.model.nu, action.shape[0]

    def leaf(x: Tensor) -> Tensor:
        return x.detach().requires_grad_(x.is_floating_point())

    def leaves(copies: int) -> Callable[[Tensor], Tensor]:
        return lambda x: leaf(x.expand(copies, *x.shape))

    with torch.enable_grad():
        seen, commanded = next_state.map(leaves(n_obs)), leaves(nu)(action)
        before, taken, after = state.map(leaf) if full else state, leaf(action), next_state.map(leaf)
        # Listed now: poses that the task's functions still compute are no leaves, but found through qpos.
        by_seen, by_after, by_before = _coordinates(seen), _coordinates(after), _coordinates(before) if full else []
        known: list[Tensor] = []
        if next_state.known_forces is not None:
            ctrl, forces = next_state.known_forces
            known = [leaf(forces)]
            after = replace(after, known_forces=ContactForces(ctrl, known[0]))
        outputs = (task.observation(seen), task.control(commanded), task.reward(before, taken, after))
        units = _unit_cotangents(n_obs, nu, batch)
        varying = [i for i, output in enumerate(outputs) if output.requires_grad]  # a reward may be constant
        found = iter(
            torch.autograd.grad(
                [outputs[i] for i in varying],
                [commanded, taken, *by_seen, *by_after, *by_before, *known],
                [units[i] for i in varying],
                allow_unused=True,
            )
        )

    control_by_action, reward_by_action = _numbers(next(found), commanded).swapaxes(0, 1), _numbers(next(found), taken)
    seen_by, after_by, before_by = (list(islice(found, len(x))) for x in (by_seen, by_after, by_before))
    by_next = _by_tangent(next_state, list(map(_as_rows, by_seen, seen_by, after_by)), n_obs + 1)
    by_state = np.zeros_like(by_next[:, 0])
    if full:
        by_state = _by_tangent(state, [g if g is None else g[None] for g in before_by], 1)[:, 0]
    for cotangent in found:
        if cotangent is not None and cotangent.any():
            pulled = _pull_back_forces(task, next_state, cotangent)
            by_next[:, n_obs] += pulled.state
            reward_by_action += (pulled.ctrl[:, None] @ control_by_action)[:, 0]
    return _TaskDerivatives(by_next, by_state, reward_by_action, control_by_action)


def _pull_back_forces(task: Task, state: TaskState, cotangent: Tensor) -> StepGradient:
    """The known contact forces' cotangent (N, nbody, 6) as gradients (N, ...) by state and control."""
    assert state.known_forces is not None
    return task.backend.cfrc_ext_vjp(task.model, state.numpy(), state.known_forces.ctrl.numpy(), cotangent.numpy())


def _numbers(gradient: Tensor | None, argument: Tensor) -> Floats:
    """A gradient by an argument, zero where nothing depends on it; fresh."""
    return np.zeros(argument.shape) if gradient is None else gradient.numpy().copy()


@lru_cache(maxsize=64)
def _unit_cotangents(n_obs: int, nu: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cotangents of observation, control and reward for all copies: (n_obs, N, n_obs), (nu, N, nu), (N,)."""
    by_obs, by_ctrl = (torch.eye(n, dtype=torch.float64)[:, None].expand(n, batch, n) for n in (n_obs, nu))
    return by_obs, by_ctrl, torch.ones(batch, dtype=torch.float64)


def _as_rows(argument: Tensor, observation: Tensor | None, reward: Tensor | None) -> Tensor | None:
    """Gradients of observation and reward by one argument (n_obs, N, ...), stacked on axis 0."""
    if reward is None:
        return None if observation is None else torch.cat([observation, torch.zeros_like(argument[:1])])
    return torch.cat([torch.zeros_like(argument) if observation is None else observation, reward[None]])


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

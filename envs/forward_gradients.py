"""The gradient contract in forward mode, for tasks whose functions take numpy's arrays.

The action, and for "full" the state before it, are given unit rates; the simulator's Jacobians carry them to
the next state, and the task's own functions, evaluated on `Dual`s, to observation and reward.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim.tangent import rates_from_tangent
from ..sim.torch_bridge import Kinematics
from .dual import Dual
from .task import Task
from .task_state import ContactForces, TaskState

Floats = NDArray[np.float64]


def forward_gradients(
    task: Task, state: TaskState, action: Floats, next_state: TaskState, A: Floats | None, B: Floats
) -> dict[str, Floats]:
    """The contract's arrays for transitions with batch axes (...); NoRuleError where `Dual` has no rule."""
    batch, n_act = action.shape[:-1], action.shape[-1]
    first = 0 if A is None else A.shape[-1]  # directions: of the state, then of the action
    moving_action = Dual(action, _directions(batch, n_act, first, first + n_act))
    control = task.control(moving_action)
    control_rate = np.zeros((*batch, B.shape[-1], first + n_act)) if _rate(control) is None else control.rate
    rates = B @ control_rate[..., first:]
    after_rate = rates if A is None else np.concatenate([A, rates], axis=-1)
    after = _Moving.along(next_state, after_rate)
    # Of contact forces the next state's alone are accounted for; those before it are left to torch.
    start = state.changed({"known_forces": None}) if state.known_forces is not None else state
    before = _Moving.along(start, _directions(batch, first, 0, first + n_act)) if A is not None else start
    by_next, by_all = _rate(task.observation(after)), _rate(task.reward(before, moving_action, after))
    n_obs = task.observation_space.shape[0]
    dobs = np.zeros((*batch, n_obs, first + n_act)) if by_next is None else by_next
    dreward = np.zeros((*batch, first + n_act)) if by_all is None else by_all
    if next_state.known_forces is not None:
        dreward = dreward + _through_forces(task, state, action, next_state, after_rate, control_rate)
    result = {"dobs_daction": dobs[..., first:].copy(), "dreward_daction": dreward[..., first:].copy()}
    if A is not None:
        result |= {
            "dobs_dstate": dobs[..., :first].copy(),
            "dreward_dstate": dreward[..., :first].copy(),
            "dstate_dstate": np.array(A),
            "dstate_daction": rates,
        }
    return result


class _Moving(TaskState):
    """A state with `Dual`s, whose poses move with it."""

    @classmethod
    def along(cls, state: TaskState, rate: Floats) -> "_Moving":
        """`state` (...), and the rate (..., nx, K) of its tangent."""
        model, nv = state.model, state.model.nv
        tangent = by_qpos = rate[..., :nv, :]
        if model.nq != nv:
            by_qpos = rates_from_tangent(model, state.qpos, tangent)
        moving = {
            "qpos": Dual(state.qpos, by_qpos),
            "qvel": Dual(state.qvel, rate[..., nv : 2 * nv, :]),
            "act": Dual(state.act, rate[..., 2 * nv :, :]),
        }
        return state.changed({**moving, "still": state, "tangent": tangent, "_kept": state.kept_truths()}, cls)

    still: TaskState
    tangent: Floats

    @property
    def kinematics(self) -> Any:
        batch, nv = self.tangent.shape[:-2], self.model.nv
        still = self.still if batch else self.still.batched()
        poses: Any = self.still.kinematics
        moving: list[Any] = []
        for value, rate in zip(poses, still.pose_rates, strict=True):
            lanes = rate.reshape(*batch, nv, math.prod(value.shape[len(batch) :])).swapaxes(-1, -2) @ self.tangent
            moving.append(Dual(value, lanes.reshape(*value.shape, lanes.shape[-1])))
        return Kinematics(*moving)


def _rate(found: Any) -> Floats | None:
    """None where nothing moves."""
    return found.rate if isinstance(found, Dual) else None


@lru_cache(maxsize=64)
def _directions(batch: tuple[int, ...], n: int, first: int, count: int) -> Floats:
    """Unit rates of n numbers in directions from `first` on, of `count`: (*batch, n, count), not to be written to."""
    rates = np.zeros((n, count))
    rates[:, first : first + n] = np.eye(n)
    return np.broadcast_to(rates, (*batch, n, count))


@lru_cache(maxsize=64)
def _force_directions(shape: tuple[int, ...]) -> Floats:
    """Unit rates of forces (..., nbody, 6): (*shape, 6 nbody), not to be written to."""
    n = shape[-2] * shape[-1]
    return np.broadcast_to(np.eye(n).reshape(*shape[-2:], n), (*shape, n))


def _through_forces(
    task: Task, state: TaskState, action: Floats, next_state: TaskState, after_rate: Floats, control_rate: Floats
) -> Floats:
    """Rate (..., K) of the reward by the known contact forces, which answer to the next state and the control."""
    known = next_state.known_forces
    assert known is not None
    shape = known.cfrc_ext.shape
    moving = ContactForces(known.ctrl, Dual(known.cfrc_ext, _force_directions(shape)))
    changes = {"known_forces": moving, "_kept": next_state.kept_truths()}
    by_forces = _rate(task.reward(state, action, next_state.changed(changes)))
    if by_forces is None or not by_forces.any():
        return np.zeros((*shape[:-2], after_rate.shape[-1]))
    pulled = task.backend.cfrc_ext_vjp(
        task.models_at(next_state), next_state.numpy(), known.ctrl, by_forces.reshape(shape)
    )
    by_state, by_control = pulled.state[..., None, :], pulled.ctrl[..., None, :]
    return (by_state @ after_rate + by_control @ control_rate)[..., 0, :]

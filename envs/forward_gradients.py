"""The gradient contract in forward mode, for tasks whose functions take numpy's arrays.

The action, and for "full" the state before it, are given unit rates; the simulator's Jacobians carry them to
the next state, and the task's own functions, evaluated on `Dual`s, to observation and reward.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim import StepJacobian
from ..sim.tangent import velocity_from_tangent
from ..sim.torch_bridge import Kinematics
from .dual import Dual
from .task import ContactForces, Task, TaskState

Floats = NDArray[np.float64]


def forward_gradients(
    task: Task, state: TaskState, action: Floats, next_state: TaskState, jacobian: StepJacobian, full: bool
) -> dict[str, Floats]:
    """The contract's arrays for N transitions, each with leading axis N; NoRuleError where `Dual` has no rule."""
    A, B = jacobian
    batch, n_act = action.shape
    first = A.shape[-1] if full else 0  # directions: of the state, then of the action
    moving_action = Dual(action, _directions(batch, n_act, first, first + n_act))
    control = task.control(moving_action)
    rates = B @ control.rate[..., first:]
    after_rate = np.concatenate([A, rates], axis=-1) if full else rates
    after = _Moving.along(next_state, after_rate)
    # Of contact forces the next state's alone are accounted for; those before it are left to torch.
    start = replace(state, known_forces=None) if state.known_forces is not None else state
    before = _Moving.along(start, _directions(batch, first, 0, first + n_act)) if full else start
    by_next, by_all = _rate(task.observation(after)), _rate(task.reward(before, moving_action, after))
    n_obs = (task.observation_space.shape or ())[0]
    dobs = np.zeros((batch, n_obs, first + n_act)) if by_next is None else by_next
    dreward = np.zeros((batch, first + n_act)) if by_all is None else by_all
    if next_state.known_forces is not None:
        dreward = dreward + _through_forces(task, state, action, next_state, after_rate, control.rate)
    result = {"dobs_daction": dobs[..., first:].copy(), "dreward_daction": dreward[..., first:].copy()}
    if full:
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
        """`state`, N of them, and the rate (N, nx, K) of its tangent."""
        model, nv = state.model, state.model.nv
        by_qpos = rate[:, :nv]
        if model.nq != nv:
            by_qpos = velocity_from_tangent(model, state.qpos[:, None], by_qpos.swapaxes(1, 2)).swapaxes(1, 2)
        moving = object.__new__(cls)
        moving.__dict__.update(state.__dict__)
        moving.__dict__.update(
            qpos=Dual(state.qpos, by_qpos),
            qvel=Dual(state.qvel, rate[:, nv : 2 * nv]),
            act=Dual(state.act, rate[:, 2 * nv :]),
            still=state,
            tangent=rate[:, :nv],
        )
        return moving

    still: TaskState
    tangent: Floats

    @property
    def kinematics(self) -> Any:
        poses, batch, nv = self.still.kinematics, len(self.tangent), self.model.nv
        moving = []
        for value, rate in zip(poses, self.still.pose_rates, strict=True):
            lanes = rate.reshape(batch, nv, -1).swapaxes(1, 2) @ self.tangent
            moving.append(Dual(value, lanes.reshape(*value.shape, lanes.shape[-1])))
        return Kinematics(*moving)


def _rate(found: Any) -> Floats | None:
    """None where nothing moves."""
    return found.rate if isinstance(found, Dual) else None


@lru_cache(maxsize=64)
def _directions(batch: int, n: int, first: int, count: int) -> Floats:
    """Unit rates of n numbers in directions from `first` on, of `count`: (batch, n, count), not to be written to."""
    rates = np.zeros((n, count))
    rates[:, first : first + n] = np.eye(n)
    return np.broadcast_to(rates, (batch, n, count))


def _through_forces(
    task: Task, state: TaskState, action: Floats, next_state: TaskState, after_rate: Floats, control_rate: Floats
) -> Floats:
    """Rate (N, K) of the reward by the known contact forces, which answer to the next state and the control."""
    known = next_state.known_forces
    assert known is not None
    shape = known.cfrc_ext.shape
    n = shape[1] * shape[2]
    moving = Dual(known.cfrc_ext, _directions(shape[0], n, 0, n).reshape(*shape, n))
    by_forces = _rate(task.reward(state, action, replace(next_state, known_forces=ContactForces(known.ctrl, moving))))
    if by_forces is None or not by_forces.any():
        return np.zeros((len(action), after_rate.shape[-1]))
    pulled = task.backend.cfrc_ext_vjp(
        task.models_at(next_state), next_state.numpy(), known.ctrl, by_forces.reshape(shape)
    )
    return (pulled.state[:, None] @ after_rate + pulled.ctrl[:, None] @ control_rate)[:, 0]

"""Trajectories and their gradients, for one step or thousands.

What is kept between forward and backward pass is the state and control of each step, a few
hundred bytes; everything else is computed again, one step at a time (Qiao et al. 2021,
section 4.2: one checkpoint per step). A larger `checkpoint_interval` keeps fewer states, and
simulates from checkpoint to checkpoint once more in the backward pass (supplement B, where the
states before a step are made again for each step, so that time grows with the interval).
"""

import math
import operator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .batch import adjoint_workspace, for_worlds, workspace
from .check import checked_state, floats_of, for_kernel
from .contact_parameters import CONTACT_PARAMETERS, PAIR_FIELDS, model_gradients
from .data import Lanes
from .entry_points import entry_points
from .model import Model, State

Floats = NDArray[np.float64]

_COLLECTED = tuple(
    name.removesuffix("_adj")
    for name in Lanes._fields
    if name.endswith("_adj") and name.removesuffix("_adj") in Model._fields and name != "act_adj"
)
PARAMETERS = (*(name for name in _COLLECTED if name not in PAIR_FIELDS), *CONTACT_PARAMETERS)


class Trajectory(NamedTuple):
    """Checkpoints, and the T controls between them, each of which holds for `n_steps` simulation steps.

    The K + 1 checkpoints are the first state, those after every `checkpoint_interval`-th control,
    and the last state: K is T / checkpoint_interval, rounded up.
    """

    qpos: Floats  # (..., K + 1, nq)
    qvel: Floats  # (..., K + 1, nv)
    act: Floats  # (..., K + 1, na)
    ctrl: Floats  # (..., T, nu)
    n_steps: int = 1
    checkpoint_interval: int = 1
    warmstart: Floats | None = None  # (..., K, nv): the solver's first guess at a checkpoint, where it matters

    def state(self, t: int) -> State:
        """The state after `t` controls (negative: counted from the end), batch axes kept; a checkpoint."""
        steps, interval = self.ctrl.shape[-2], self.checkpoint_interval
        time = range(steps + 1)[t]
        if time % interval != 0 and time != steps:
            raise ValueError(f"the state after {time} controls is not kept: checkpoint_interval is {interval}")
        k = math.ceil(time / interval)
        return State(self.qpos[..., k, :], self.qvel[..., k, :], self.act[..., k, :])


class RolloutGradient(NamedTuple):
    """Gradient of a scalar by the initial state (tangent), the controls, the model's parameters."""

    state0: Floats  # (..., nx)
    ctrls: Floats  # (..., T, nu)
    params: dict[str, Floats] | None  # field name -> (..., *field shape)


class StepGradient(NamedTuple):
    """Vector-Jacobian product of a step."""

    state: Floats  # (..., nx)
    ctrl: Floats  # (..., nu)
    params: dict[str, Floats] | None


class StepJacobian(NamedTuple):
    """Derivative of the next state's tangent by the state's tangent (A) and by the control (B)."""

    A: Floats  # (..., nx, nx)
    B: Floats  # (..., nx, nu)


def tangent_size(model: Model) -> int:
    """nx = 2 nv + na: position, velocity, activation, ordered as in mjd_transitionFD."""
    return 2 * model.nv + model.na


def at_least_one(name: str, value: int) -> int:
    """`value` as an int; TypeError if it is none, ValueError if it is less than 1."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, need an integer") from None
    if count < 1:
        raise ValueError(f"{name} is {count}, need at least 1")
    return count


def rollout(model: Model, state: State, ctrls: Any, n_steps: int = 1, checkpoint_interval: int = 1) -> Trajectory:
    """Simulate under the controls `ctrls` (..., T, nu), each held for `n_steps` time steps.

    Shapes and units as in `State`; a state without batch axes serves every batch of controls. The
    state is kept after every `checkpoint_interval`-th control and at the end; the last stretch is
    shorter if T is not a multiple. Longer intervals take less memory, and `rollout_vjp` the time of
    almost one more simulation; motion and gradients are the same to the last bit.
    """
    start = checked_state(model, state)
    controls = floats_of("ctrls", ctrls, model.nu)
    if controls.ndim < 2:
        raise ValueError(f"ctrls has shape {controls.shape}, expected (..., T, {model.nu})")
    if start.qpos.shape[:-1] not in (controls.shape[:-2], ()):
        raise ValueError(f"state has batch axes {start.qpos.shape[:-1]}, ctrls has {controls.shape[:-2]}")
    return _simulate(model, start, controls, n_steps, checkpoint_interval)


def _simulate(model: Model, start: State, controls: Floats, n_steps: int, checkpoint_interval: int = 1) -> Trajectory:
    """`rollout` of arguments whose arrays have been checked."""
    batch, steps = controls.shape[:-2], controls.shape[-2]
    repeat, interval = at_least_one("n_steps", n_steps), at_least_one("checkpoint_interval", checkpoint_interval)
    worlds, blocks = math.prod(batch), math.ceil(steps / interval)
    arrays = []
    for value in start:
        path = np.empty((worlds, blocks + 1, value.shape[-1]))
        path[:, 0] = value.reshape(math.prod(value.shape[:-1]), value.shape[-1])
        arrays.append(path)
    qpos, qvel, act = arrays
    # A single step between checkpoints starts the solver afresh when it is differentiated: nothing to keep.
    warm = np.empty((worlds, blocks if interval > 1 and model.nefcmax > 0 else 0, model.nv))
    flat = for_kernel(controls.reshape(worlds, steps, model.nu))
    rollout_worlds = entry_points(model).rollout

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            rollout_worlds(begin, end, model, data, qpos, qvel, act, warm, flat, repeat, interval)

    for_worlds(worlds, work)
    shaped = [a.reshape(*batch, *a.shape[1:]) for a in (qpos, qvel, act, warm)]
    warmstart = shaped[3] if warm.shape[1] else None
    return Trajectory(shaped[0], shaped[1], shaped[2], controls, repeat, interval, warmstart)


def _rollout_adj(
    model: Model, trajectory: Trajectory, cotangent: Floats, with_params: bool
) -> tuple[Floats, Floats, dict[str, Floats] | None]:
    """`cotangent` (worlds, K + 1, nx, nlane) to (worlds, nx, nlane), (worlds, T, nu, nlane), params."""
    worlds, lanes = cotangent.shape[0], cotangent.shape[-1]
    steps, interval = trajectory.ctrl.shape[-2], trajectory.checkpoint_interval
    warm = np.empty((worlds, 0, model.nv)) if trajectory.warmstart is None else trajectory.warmstart
    paths = [
        for_kernel(a.reshape(worlds, *a.shape[-2:])) for a in (trajectory.qpos, trajectory.qvel, trajectory.act, warm)
    ]
    ctrl, cotangent = for_kernel(trajectory.ctrl.reshape(worlds, steps, model.nu)), for_kernel(cotangent)
    state_adj = np.empty((worlds, cotangent.shape[2], lanes))
    ctrl_adj = np.empty((worlds, steps, model.nu, lanes))
    params: dict[str, Floats] | None = None
    if with_params:
        params = {name: np.zeros((worlds, *np.shape(getattr(model, name)))) for name in _COLLECTED}

    rollout_adj_worlds = entry_points(model).rollout_adj

    def work(begin: int, end: int) -> None:
        with workspace(model) as data, adjoint_workspace(model, lanes, with_params) as adjoint:
            between = _scratch(model, adjoint, "steps", trajectory.n_steps)
            block = _scratch(model, adjoint, "controls", min(interval, steps))
            arguments = (model, data, adjoint, *between, *block, *paths, ctrl, cotangent, state_adj, ctrl_adj)
            if params is None:
                rollout_adj_worlds(begin, end, *arguments)
                return
            for b in range(begin, end):
                for name in _COLLECTED:
                    getattr(adjoint, name + "_adj")[...] = 0.0
                rollout_adj_worlds(b, b + 1, *arguments)
                for name, value in params.items():
                    value[b] = getattr(adjoint, name + "_adj")

    for_worlds(worlds, work)
    return state_adj, ctrl_adj, None if params is None else model_gradients(model, params)


def rollout_vjp(model: Model, trajectory: Trajectory, cotangents: Any, params: bool = False) -> RolloutGradient:
    """Gradient of sum over k of cotangents[k] . checkpoint[k], by reverse sweep over the trajectory.

    `cotangents` (..., K + 1, nx) are tangent vectors of (qpos, qvel, act) at the checkpoints; with
    an interval of 1 these are all T + 1 states. The gradient has a row for every control. With
    `params`, also by the model's parameters (`sim.PARAMETERS`), per batch entry.
    """
    steps, interval, kept = trajectory.ctrl.shape[-2], trajectory.checkpoint_interval, trajectory.qpos.shape[-2]
    if kept != math.ceil(steps / interval) + 1:
        raise ValueError(f"trajectory has {kept} states, but {steps} controls with checkpoint_interval {interval}")
    shape = (*trajectory.ctrl.shape[:-2], kept)
    return _gradient(model, trajectory, floats_of("cotangents", cotangents, tangent_size(model), shape), params)


def _gradient(model: Model, trajectory: Trajectory, cotangents: Floats, params: bool) -> RolloutGradient:
    """`rollout_vjp` of cotangents that have been checked."""
    batch, steps, nx = trajectory.ctrl.shape[:-2], trajectory.ctrl.shape[-2], cotangents.shape[-1]
    flat = cotangents.reshape(math.prod(batch), cotangents.shape[-2], nx, 1)
    state_adj, ctrl_adj, found = _rollout_adj(model, trajectory, flat, params)
    if found is not None:
        found = {name: value.reshape(*batch, *value.shape[1:]) for name, value in found.items()}
    return RolloutGradient(state_adj.reshape(*batch, nx), ctrl_adj.reshape(*batch, steps, model.nu), found)


def _one_step(model: Model, state: State, ctrl: Any, n_steps: int) -> Trajectory:
    """A trajectory of one control whose end is not computed: what the adjoint of a step needs."""
    start = checked_state(model, state)
    batch = start.qpos.shape[:-1]
    controls = floats_of("ctrl", ctrl, model.nu, batch)
    paths = [np.empty((*batch, 2, value.shape[-1])) for value in start]
    for path, value in zip(paths, start, strict=True):
        path[..., 0, :] = value
    return Trajectory(paths[0], paths[1], paths[2], controls[..., None, :], at_least_one("n_steps", n_steps))


def step(model: Model, state: State, ctrl: Any, n_steps: int = 1) -> State:
    """The state after `n_steps` time steps under constant `ctrl` (..., nu). Batched over leading axes."""
    start = checked_state(model, state)
    controls = floats_of("ctrl", ctrl, model.nu, start.qpos.shape[:-1])
    end = _simulate(model, start, controls[..., None, :], n_steps).state(1)
    # Every other row: what is done with the state next is quicker without the gaps.
    return State(*map(np.ascontiguousarray, end))


def step_vjp(
    model: Model, state: State, ctrl: Any, cotangent: Any, n_steps: int = 1, params: bool = False
) -> StepGradient:
    """Gradient of cotangent . next state by state, control and, on request, parameters.

    `cotangent` (..., nx): tangent of the next state (position, velocity, activation).
    """
    trajectory = _one_step(model, state, ctrl, n_steps)
    batch, nx = trajectory.ctrl.shape[:-2], tangent_size(model)
    seed = np.zeros((*batch, 2, nx))
    seed[..., 1, :] = floats_of("cotangent", cotangent, nx, batch)
    gradient = _gradient(model, trajectory, seed, params)
    return StepGradient(gradient.state0, gradient.ctrls[..., 0, :], gradient.params)


def step_jacobian(model: Model, state: State, ctrl: Any, n_steps: int = 1) -> StepJacobian:
    """Both Jacobians of `step`: the vector-Jacobian product of nx unit cotangents in one sweep."""
    start = checked_state(model, state)
    batch, nx, repeat = start.qpos.shape[:-1], tangent_size(model), at_least_one("n_steps", n_steps)
    controls = floats_of("ctrl", ctrl, model.nu, batch)
    worlds = math.prod(batch)
    flat = [for_kernel(x.reshape(worlds, x.shape[-1])) for x in (*start, controls)]
    a, b = np.empty((worlds, nx, nx)), np.empty((worlds, nx, model.nu))
    entry = entry_points(model)
    jacobian_worlds, lanes = entry.jacobian, nx
    if repeat == 1 and entry.step_jacobian is not None:
        jacobian_worlds, lanes = entry.step_jacobian, model.nv + model.na

    def work(begin: int, end: int) -> None:
        with workspace(model) as data, adjoint_workspace(model, lanes) as adjoint:
            between = _scratch(model, adjoint, "steps", repeat)
            jacobian_worlds(begin, end, model, data, adjoint, *between, *flat, a, b)

    for_worlds(worlds, work)
    return StepJacobian(a.reshape(*batch, nx, nx), b.reshape(*batch, nx, model.nu))


def _scratch(model: Model, lanes: Lanes, use: Literal["steps", "controls"], count: int) -> list[Floats]:
    """Room for `count` states between the steps under one control, or the controls of one block, kept with `lanes`."""
    kept: dict[str, list[Floats]] = lanes.__dict__.setdefault("_scratch", {})
    if use not in kept or len(kept[use][0]) < count:
        kept[use] = [np.empty((count, n)) for n in (model.nq, model.nv, model.na)]
    return kept[use] if len(kept[use][0]) == count else [states[:count] for states in kept[use]]

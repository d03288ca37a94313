"""`step`, `step_vjp` and `step_jacobian`: one control held for some time steps, and its derivatives."""

import math
from typing import Any, NamedTuple

import numpy as np

from .kernels.record import Floats
from .kernels.threads import for_worlds
from .model.arguments import at_least_one, checked_state, floats_of, for_kernel
from .model.model import Model, State, tangent_size
from .model.workspaces import adjoint_workspace, states_between, workspace
from .pipeline.entry_points import entry_points
from .trajectory import Trajectory, gradient_of, simulate
from .unconverged import warn_if_unconverged


class StepGradient(NamedTuple):
    """Vector-Jacobian product of a step."""

    state: Floats  # (..., nx)
    ctrl: Floats  # (..., nu)
    params: dict[str, Floats] | None


class StepJacobian(NamedTuple):
    """Derivative of the next state's tangent by the state's tangent (A) and by the control (B)."""

    A: Floats  # (..., nx, nx)
    B: Floats  # (..., nx, nu)


def step(model: Model, state: State, ctrl: Any, n_steps: int = 1) -> State:
    """The state after `n_steps` time steps under constant `ctrl` (..., nu). Batched over leading axes."""
    start = checked_state(model, state)
    controls = floats_of("ctrl", ctrl, model.nu, start.qpos.shape[:-1])
    end = simulate(model, start, controls[..., None, :], n_steps).state(1)
    # Every other row: what is done with the state next is quicker without the gaps.
    return State(*map(np.ascontiguousarray, end))


def step_vjp(
    model: Model, state: State, ctrl: Any, cotangent: Any, n_steps: int = 1, params: bool = False
) -> StepGradient:
    """Gradient of cotangent . next state by state, control and, on request, parameters.

    `cotangent` (..., nx): tangent of the next state (position, velocity, activation). Unfinished steps: as
    in `step_jacobian`.
    """
    trajectory = _one_step(model, state, ctrl, n_steps)
    batch, nx = trajectory.ctrl.shape[:-2], tangent_size(model)
    seed = np.zeros((*batch, 2, nx))
    seed[..., 1, :] = floats_of("cotangent", cotangent, nx, batch)
    gradient = gradient_of(model, trajectory, seed, params)
    return StepGradient(gradient.state0, gradient.ctrls[..., 0, :], gradient.params)


def step_jacobian(model: Model, state: State, ctrl: Any, n_steps: int = 1) -> StepJacobian:
    """Both Jacobians of `step`: the vector-Jacobian product of nx unit cotangents in one sweep.

    Of a step that Newton's method did not finish within `iterations` they are those of the finished one, and
    `UnconvergedWarning` says so; projected Gauss-Seidel is swept back as often as the solver may sweep.
    """
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
    unconverged: list[int] = []

    def work(begin: int, end: int) -> None:
        with workspace(model) as data, adjoint_workspace(model, lanes) as adjoint:
            between = states_between(model, adjoint, "steps", repeat)
            data.unconverged_steps[0] = 0
            jacobian_worlds(begin, end, model, data, adjoint, between, *flat, a, b)
            unconverged.append(int(data.unconverged_steps[0]))

    for_worlds(worlds, work)
    warn_if_unconverged(model, sum(unconverged), worlds * repeat, stacklevel=2)
    return StepJacobian(a.reshape(*batch, nx, nx), b.reshape(*batch, nx, model.nu))


def _one_step(model: Model, state: State, ctrl: Any, n_steps: int) -> Trajectory:
    """A trajectory of one control whose end is not computed: what the adjoint of a step needs."""
    start = checked_state(model, state)
    batch = start.qpos.shape[:-1]
    controls = floats_of("ctrl", ctrl, model.nu, batch)
    paths = [np.empty((*batch, 2, value.shape[-1])) for value in start]
    for path, value in zip(paths, start, strict=True):
        path[..., 0, :] = value
    return Trajectory(paths[0], paths[1], paths[2], controls[..., None, :], at_least_one("n_steps", n_steps))

"""`linearize` and `step_jacobian`: a step together with its derivatives by state and control."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import placement
from .kernels.direct import run
from .kernels.record import Floats
from .kernels.threads import for_worlds
from .model.arguments import at_least_one, checked_state, floats_of, for_kernel
from .model.inputs import Inputs, checked_inputs, input_rows
from .model.model import Model, State, tangent_size
from .model.workspaces import adjoint_workspace, rates_workspace, workspace
from .models import AnyModel, addresses, check_count, models_of, one_of
from .pipeline.entry_points import entry_points
from .single_world import enter_world
from .unconverged import warn_if_unconverged


class StepJacobian(NamedTuple):
    """Derivative of the next state's tangent by the state's tangent (A) and by the control (B)."""

    A: Floats  # (..., nx, nx)
    B: Floats  # (..., nx, nu)


class Linearization(NamedTuple):
    """A step and its Jacobians, those of `StepJacobian`."""

    state: State  # the next one
    A: Floats | None  # (..., nx, nx); None: not asked for
    B: Floats  # (..., nx, nu)
    unconverged: NDArray[np.int32] | None  # (...) steps stopped before the solver converged; None: not counted


def linearize(
    model: AnyModel,
    state: State,
    ctrl: Any,
    n_steps: int = 1,
    by_state: bool = True,
    *,
    qfrc_applied: Any = None,
    xfrc_applied: Any = None,
    device: Any = None,
) -> Linearization:
    """`step` and `step_jacobian` at once, bit for bit, for the time of the latter.

    Without `by_state` the Jacobian by the control is all that is made, which is quicker over several steps.
    `device` as in `rollout`.
    """
    if type(model) is Model and qfrc_applied is None and xfrc_applied is None and device is None:
        world = enter_world(model, state, ctrl)
        if world is not None:
            found = world.linearize(model, at_least_one("n_steps", n_steps), by_state)
            warn_if_unconverged(model, int(found[3]), n_steps, stacklevel=2)
            return Linearization(*found)
    return _linearized(model, state, ctrl, n_steps, by_state, qfrc_applied, xfrc_applied, device)


def step_jacobian(
    model: AnyModel,
    state: State,
    ctrl: Any,
    n_steps: int = 1,
    *,
    qfrc_applied: Any = None,
    xfrc_applied: Any = None,
    device: Any = None,
) -> StepJacobian:
    """Both Jacobians of `step`: each time step's from nv + na unit cotangents in one sweep, multiplied along the steps.

    Of a step that Newton's method did not finish within `iterations` they are those of the finished one, and
    `UnconvergedWarning` says so; projected Gauss-Seidel is swept back as often as the solver may sweep.
    `device` as in `rollout`; on a GPU nobody warns, `linearize` counts.
    """
    if type(model) is Model and qfrc_applied is None and xfrc_applied is None and device is None:
        world = enter_world(model, state, ctrl)
        if world is not None:
            A, B, unconverged = world.jacobian(model, at_least_one("n_steps", n_steps))
            warn_if_unconverged(model, int(unconverged), n_steps, stacklevel=2)
            return StepJacobian(A, B)
    found = _linearized(model, state, ctrl, n_steps, True, qfrc_applied, xfrc_applied, device)
    return StepJacobian(found.A, found.B)


def _linearized(
    model: AnyModel,
    state: State,
    ctrl: Any,
    n_steps: int,
    by_state: bool,
    qfrc_applied: Any,
    xfrc_applied: Any,
    device: Any,
) -> Linearization:
    repeat = at_least_one("n_steps", n_steps)
    models = models_of(model)
    if (gpu := placement.gpu_of(device, ctrl, getattr(state, "qpos", None))) is not None:
        from .cuda import batched

        forces = Inputs(None, None, qfrc_applied, xfrc_applied)
        return Linearization(*batched.linearize(models, state, ctrl, repeat, by_state, forces, gpu))
    model = one_of(models)
    start = checked_state(model, state)
    batch = start.qpos.shape[:-1]
    controls = floats_of("ctrl", ctrl, model.nu, batch)
    worlds, nx = math.prod(batch), tangent_size(model)
    flat = [for_kernel(x.reshape(worlds, x.shape[-1])) for x in (*start[:3], controls)]
    rows = input_rows(model, checked_inputs(model, start, batch, qfrc_applied, xfrc_applied), batch)
    after = [np.empty_like(x) for x in flat[:3]]
    a, b = np.empty((worlds, nx, nx if by_state else 0)), np.empty((worlds, nx, model.nu))
    unconverged = np.empty(worlds, np.int32)
    directions = a.shape[2] + model.nu

    def work(begin: int, end: int) -> None:
        with (
            workspace(model) as data,
            adjoint_workspace(model, model.nv + model.na) as adjoint,
            rates_workspace(model, directions) as rates,
        ):
            arguments = (model, addresses(models), data, adjoint, rates, *flat, rows, repeat)
            run(entry_points(model).jacobian, begin, end, *arguments, *after, a, b, unconverged)

    check_count(models, worlds)
    for_worlds(worlds, work)
    warn_if_unconverged(model, int(unconverged.sum()), worlds * repeat, stacklevel=3)
    qpos, qvel, act = (x.reshape(*batch, x.shape[1]) for x in after)
    poses = start[3:] if model.nmocap == 0 else (start.mocap_pos.copy(), start.mocap_quat.copy())
    A = a.reshape(*batch, nx, nx) if by_state else None
    return Linearization(State(qpos, qvel, act, *poses), A, b.reshape(*batch, nx, model.nu), unconverged.reshape(batch))

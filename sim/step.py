"""`step` and `step_vjp`: one control held for some time steps, and its gradient."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import placement
from .kernels.record import Floats
from .model.arguments import at_least_one, checked_state, floats_of, no_poses
from .model.inputs import Inputs, checked_inputs
from .model.model import Model, State, tangent_size
from .models import AnyModel, models_of, one_of
from .single_world import enter_world
from .trajectory import Trajectory, gradient_of, simulate_one
from .unconverged import warn_if_unconverged


class StepGradient(NamedTuple):
    """Vector-Jacobian product of a step."""

    state: Floats  # (..., nx)
    ctrl: Floats  # (..., nu)
    params: dict[str, Floats] | None
    mocap_pos: Floats  # (..., nmocap, 3)
    mocap_quat: Floats  # (..., nmocap, 3): tangent in the body frame, as of a free joint's quaternion
    qfrc_applied: Floats | None  # (..., nv); None: not given
    xfrc_applied: Floats | None  # (..., nbody, 6)


def step(
    model: AnyModel,
    state: State,
    ctrl: Any,
    n_steps: int = 1,
    *,
    qfrc_applied: Any = None,
    xfrc_applied: Any = None,
    device: Any = None,
) -> State:
    """The state after `n_steps` time steps under constant `ctrl` (..., nu). Batched over leading axes.

    Constant too are the applied forces, none by default (see `forward`), and the poses of mocap bodies.
    As everywhere here `model` may be a sequence: one for each world of the batch, in the order of its
    entries, all of one structure, as `Model.replace` makes them; ValueError otherwise. `device` as in `rollout`.
    """
    forces = {"qfrc_applied": qfrc_applied, "xfrc_applied": xfrc_applied}
    return counted_step(model, state, ctrl, n_steps, **forces, device=device)[0]


def counted_step(
    model: AnyModel,
    state: State,
    ctrl: Any,
    n_steps: int = 1,
    *,
    qfrc_applied: Any = None,
    xfrc_applied: Any = None,
    device: Any = None,
) -> tuple[State, NDArray[np.int32]]:
    """`step`, and how many of its time steps were stopped before the constraint solver converged (...)."""
    repeat = at_least_one("n_steps", n_steps)
    if type(model) is Model and qfrc_applied is None and xfrc_applied is None and device is None:
        world = enter_world(model, state, ctrl)
        if world is not None:
            return world.step(model, repeat)
    models = models_of(model)
    if (gpu := placement.gpu_of(device, ctrl, getattr(state, "qpos", None))) is not None:
        from .cuda import batched

        found: Any = batched.step(models, state, ctrl, repeat, Inputs(None, None, qfrc_applied, xfrc_applied), gpu)
        return found
    model = one_of(models)
    start = checked_state(model, state)
    batch = start.qpos.shape[:-1]
    controls = floats_of("ctrl", ctrl, model.nu, batch)
    inputs = checked_inputs(model, start, batch, qfrc_applied, xfrc_applied)
    after, unconverged = simulate_one(models, start, controls, inputs, repeat)
    poses = start[3:] if model.nmocap == 0 else (start.mocap_pos.copy(), start.mocap_quat.copy())
    return State(*after, *poses), unconverged


def step_vjp(
    model: AnyModel,
    state: State,
    ctrl: Any,
    cotangent: Any,
    n_steps: int = 1,
    params: bool = False,
    *,
    qfrc_applied: Any = None,
    xfrc_applied: Any = None,
    device: Any = None,
) -> StepGradient:
    """Gradient of cotangent . next state by state, control, other inputs and, on request, parameters.

    `cotangent` (..., nx): tangent of the next state (position, velocity, activation). Applied forces as in
    `step`, and so `device`. Unfinished steps: as in `step_jacobian`.
    """
    given = params or qfrc_applied is not None or xfrc_applied is not None or device is not None
    if type(model) is Model and not given:
        world = enter_world(model, state, ctrl, cotangent)
        if world is not None:
            repeat = at_least_one("n_steps", n_steps)
            by_state, by_ctrl, unconverged = world.pull_back(model, repeat)
            warn_if_unconverged(model, unconverged, repeat, stacklevel=2)
            none, _ = no_poses(model, ())
            return StepGradient(by_state, by_ctrl, None, none, none, None, None)
    models = models_of(model)
    if (gpu := placement.gpu_of(device, ctrl, getattr(state, "qpos", None))) is not None:
        from .cuda import batched

        forces = Inputs(None, None, qfrc_applied, xfrc_applied)
        found = batched.step_vjp(models, state, ctrl, cotangent, n_steps, params, forces, gpu)
        return StepGradient(found.state0, found.ctrls[..., 0, :], *found[2:])
    model = one_of(models)
    trajectory = _one_step(model, state, ctrl, n_steps, qfrc_applied, xfrc_applied)
    batch, nx = trajectory.ctrl.shape[:-2], tangent_size(model)
    seed = np.zeros((*batch, 2, nx))
    seed[..., 1, :] = floats_of("cotangent", cotangent, nx, batch)
    gradient = gradient_of(models, trajectory, seed, params)
    return StepGradient(gradient.state0, gradient.ctrls[..., 0, :], *gradient[2:])


def _one_step(model: Model, state: State, ctrl: Any, n_steps: int, qfrc_applied: Any, xfrc_applied: Any) -> Trajectory:
    """A trajectory of one control whose end is not computed: what the adjoint of a step needs."""
    start = checked_state(model, state)
    batch = start.qpos.shape[:-1]
    controls = floats_of("ctrl", ctrl, model.nu, batch)
    paths = [np.empty((*batch, 2, value.shape[-1])) for value in start[:3]]
    for path, value in zip(paths, start[:3], strict=True):
        path[..., 0, :] = value
    inputs = checked_inputs(model, start, batch, qfrc_applied, xfrc_applied)
    repeat = at_least_one("n_steps", n_steps)
    return Trajectory(paths[0], paths[1], paths[2], controls[..., None, :], repeat, 1, None, *inputs)

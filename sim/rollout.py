"""`rollout` and `rollout_vjp`: simulation under a sequence of controls, and its gradient."""

import math
from typing import Any

from . import placement
from .kernels.record import Floats
from .model.arguments import checked_state, floats_of
from .model.inputs import Inputs, checked_inputs, poses_of
from .model.model import Model, State, tangent_size
from .models import AnyModel, models_of, one_of
from .trajectory import RolloutGradient, Trajectory, gradient_of, simulate


def rollout(
    model: AnyModel,
    state: State,
    ctrls: Any,
    n_steps: int = 1,
    checkpoint_interval: int = 1,
    *,
    mocap_pos: Any = None,
    mocap_quat: Any = None,
    qfrc_applied: Any = None,
    xfrc_applied: Any = None,
    device: Any = None,
) -> Trajectory:
    """Simulate under the controls `ctrls` (..., T, nu), each held for `n_steps` time steps.

    Shapes and units as in `State`; a state without batch axes serves every batch of controls. The
    state is kept after every `checkpoint_interval`-th control and at the end; the last stretch is
    shorter if T is not a multiple. Longer intervals take less memory, and `rollout_vjp` the time of
    almost one more simulation; motion and gradients are the same to the last bit.
    `Trajectory.unconverged` counts the steps whose constraint solver was stopped by `iterations`.

    Mocap bodies keep the poses of the state, unless each control brings its own: `mocap_pos`
    (..., T, nmocap, 3), `mocap_quat` (..., T, nmocap, 4). Applied forces, none by default and with the
    meaning of `forward`, are constant, `qfrc_applied` (..., nv) and `xfrc_applied` (..., nbody, 6), or
    one for each control, (..., T, nv) and (..., T, nbody, 6).

    `device="cuda"`, or tensors in a GPU's memory, simulate there: the trajectory is of tensors, and numbers are
    not checked, so that nothing waits for the GPU (docs/gpu.md).
    """
    models = models_of(model)
    if (gpu := placement.gpu_of(device, ctrls, getattr(state, "qpos", None))) is not None:
        from .cuda import batched

        forces = Inputs(mocap_pos, mocap_quat, qfrc_applied, xfrc_applied)
        return batched.rollout(models, state, ctrls, n_steps, checkpoint_interval, forces, gpu)
    start, controls, inputs = checked_drive(
        one_of(models), state, ctrls, mocap_pos, mocap_quat, qfrc_applied, xfrc_applied
    )
    return simulate(models, start, controls, inputs, n_steps, checkpoint_interval)


def checked_drive(
    model: Model, state: State, ctrls: Any, mocap_pos: Any, mocap_quat: Any, qfrc_applied: Any, xfrc_applied: Any
) -> tuple[State, Floats, Inputs]:
    """Start, controls and other inputs of a rollout as arrays that fit one another; ValueError names what does not."""
    start = checked_state(model, state)
    controls = floats_of("ctrls", ctrls, model.nu)
    if controls.ndim < 2:
        raise ValueError(f"ctrls has shape {controls.shape}, expected (..., T, {model.nu})")
    batch, steps = controls.shape[:-2], controls.shape[-2]
    if start.qpos.shape[:-1] not in (batch, ()):
        raise ValueError(f"state has batch axes {start.qpos.shape[:-1]}, ctrls has {batch}")
    inputs = checked_inputs(model, start, batch, qfrc_applied, xfrc_applied, steps)
    if mocap_pos is not None:
        inputs = inputs._replace(mocap_pos=poses_of("mocap_pos", mocap_pos, (model.nmocap, 3), batch, steps))
    if mocap_quat is not None:
        inputs = inputs._replace(mocap_quat=poses_of("mocap_quat", mocap_quat, (model.nmocap, 4), batch, steps))
    return start, controls, inputs


def rollout_vjp(model: AnyModel, trajectory: Trajectory, cotangents: Any, params: bool = False) -> RolloutGradient:
    """Gradient of sum over k of cotangents[k] . checkpoint[k], by reverse sweep over the trajectory.

    `cotangents` (..., K + 1, nx) are tangent vectors of (qpos, qvel, act) at the checkpoints; with
    an interval of 1 these are all T + 1 states. The gradient has a row for every control, and for other
    inputs the axes that they were given in. With `params`, also by the model's parameters
    (`sim.PARAMETERS`), per batch entry. Unfinished steps: as in `step_jacobian`.
    """
    steps, interval, kept = trajectory.ctrl.shape[-2], trajectory.checkpoint_interval, trajectory.qpos.shape[-2]
    if kept != math.ceil(steps / interval) + 1:
        raise ValueError(f"trajectory has {kept} states, but {steps} controls with checkpoint_interval {interval}")
    shape = (*trajectory.ctrl.shape[:-2], kept)
    models = models_of(model)
    if (gpu := placement.gpu_of(None, trajectory.qpos)) is not None:
        from .cuda import batched

        return batched.rollout_vjp(models, trajectory, cotangents, params, gpu)
    seeds = floats_of("cotangents", cotangents, tangent_size(one_of(models)), shape)
    return gradient_of(models, trajectory, seeds, params)

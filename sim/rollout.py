"""`rollout` and `rollout_vjp`: simulation under a sequence of controls, and its gradient."""

import math
from typing import Any

from .model.arguments import checked_state, floats_of
from .model.model import Model, State, tangent_size
from .trajectory import RolloutGradient, Trajectory, gradient_of, simulate


def rollout(model: Model, state: State, ctrls: Any, n_steps: int = 1, checkpoint_interval: int = 1) -> Trajectory:
    """Simulate under the controls `ctrls` (..., T, nu), each held for `n_steps` time steps.

    Shapes and units as in `State`; a state without batch axes serves every batch of controls. The
    state is kept after every `checkpoint_interval`-th control and at the end; the last stretch is
    shorter if T is not a multiple. Longer intervals take less memory, and `rollout_vjp` the time of
    almost one more simulation; motion and gradients are the same to the last bit.
    `Trajectory.unconverged` counts the steps whose constraint solver was stopped by `iterations`.
    """
    start = checked_state(model, state)
    controls = floats_of("ctrls", ctrls, model.nu)
    if controls.ndim < 2:
        raise ValueError(f"ctrls has shape {controls.shape}, expected (..., T, {model.nu})")
    if start.qpos.shape[:-1] not in (controls.shape[:-2], ()):
        raise ValueError(f"state has batch axes {start.qpos.shape[:-1]}, ctrls has {controls.shape[:-2]}")
    return simulate(model, start, controls, n_steps, checkpoint_interval)


def rollout_vjp(model: Model, trajectory: Trajectory, cotangents: Any, params: bool = False) -> RolloutGradient:
    """Gradient of sum over k of cotangents[k] . checkpoint[k], by reverse sweep over the trajectory.

    `cotangents` (..., K + 1, nx) are tangent vectors of (qpos, qvel, act) at the checkpoints; with
    an interval of 1 these are all T + 1 states. The gradient has a row for every control. With
    `params`, also by the model's parameters (`sim.PARAMETERS`), per batch entry. Unfinished steps: as in
    `step_jacobian`.
    """
    steps, interval, kept = trajectory.ctrl.shape[-2], trajectory.checkpoint_interval, trajectory.qpos.shape[-2]
    if kept != math.ceil(steps / interval) + 1:
        raise ValueError(f"trajectory has {kept} states, but {steps} controls with checkpoint_interval {interval}")
    shape = (*trajectory.ctrl.shape[:-2], kept)
    return gradient_of(model, trajectory, floats_of("cotangents", cotangents, tangent_size(model), shape), params)

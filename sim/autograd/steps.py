"""Steps and rollouts as torch functions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import placement
from ..model.inputs import Inputs
from ..model.model import Model, State
from ..models import AnyModel, Models, models_of, one_of
from ..rollout import rollout as rollout_numpy
from ..tangent import gradient_from_tangent, gradient_to_tangent
from ..trajectory import Trajectory, trajectory_adj
from .folding import (
    ENTRY_AXES,
    FirstDerivative,
    fold,
    gpu,
    input_gradients,
    inputs_of,
    like,
    numpy_of,
    repeated,
    rows_of,
    unfold,
)


class TorchState(NamedTuple):
    """What a step changes of `State`; after `rollout` with an axis of checkpoints before the last."""

    qpos: Tensor
    qvel: Tensor
    act: Tensor


class _RolloutPullBack(FirstDerivative):
    """Checkpoints, inputs and the checkpoints' cotangents to those of the initial state and the inputs."""

    @staticmethod
    def forward(models: Model | Models, n_steps: int, interval: int, *tensors: Tensor) -> Any:
        model = one_of(models)
        if placement.is_on_gpu(tensors[0]):
            return gpu().rollout_pull_back(models, n_steps, interval, tensors)
        qpos, qvel, act, ctrls, *rows = tensors[:8]
        start = numpy_of(qpos), numpy_of(qvel), numpy_of(act), numpy_of(ctrls)
        path = Trajectory(*start, n_steps, interval, numpy_of(tensors[8]), *inputs_of(rows, ctrls.shape[1]))
        by_qpos, by_qvel, by_act = (numpy_of(t) for t in tensors[9:])
        cotangent = np.concatenate([gradient_to_tangent(model, path.qpos, by_qpos), by_qvel, by_act], axis=-1)
        state_adj, ctrl_adj, _, adjoints = trajectory_adj(models, path, cotangent[..., None], False)
        first, nv = state_adj[..., 0], model.nv
        return (
            like(gradient_from_tangent(model, path.qpos[:, 0], first[:, :nv]), qpos),
            like(first[:, nv : 2 * nv], qvel),
            like(first[:, 2 * nv :], act),
            like(ctrl_adj[..., 0], ctrls),
            *input_gradients(rows, [getattr(adjoints, name)[..., 0] for name in adjoints.fields]),
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        models, n_steps, interval, *tensors = args
        folded = fold(info.batch_size, in_dims[3:], tensors)
        settings = repeated(models, info.batch_size), n_steps, interval
        return unfold(info.batch_size, _RolloutPullBack.apply(*settings, *folded))


class _Rollout(torch.autograd.Function):
    """qpos, qvel, act (worlds, n), ctrls (worlds, T, nu), four of `rows_of` to checkpoints and what is kept."""

    @staticmethod
    def forward(*args: Any) -> Any:
        qpos, qvel, act, ctrls = args[:4]
        models, n_steps, interval = args[8:]
        if placement.is_on_gpu(qpos):
            return gpu().rollout(models, args[:8], n_steps, interval)
        steps = ctrls.shape[1]
        given = inputs_of(args[4:8], steps)
        poses_given = (given.mocap_pos, given.mocap_quat)
        held = (None if x is None or x.ndim == 4 else x for x in poses_given)
        state = State(numpy_of(qpos), numpy_of(qvel), numpy_of(act), *held)
        moving = (None if x is None or x.ndim == 3 else x for x in poses_given)
        arguments = dict(zip(Inputs._fields, (*moving, given.qfrc_applied, given.xfrc_applied), strict=True))
        path = rollout_numpy(models, state, numpy_of(ctrls), n_steps, interval, **arguments)
        warmstart = np.empty((len(ctrls), 0, qvel.shape[-1])) if path.warmstart is None else path.warmstart
        assert path.unconverged is not None
        kept = torch.from_numpy(warmstart), torch.from_numpy(path.unconverged)
        return like(path.qpos, qpos), like(path.qvel, qvel), like(path.act, act), *kept

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(*output[3:])
        ctx.save_for_backward(*output[:3], *inputs[3:8], output[3])
        ctx.settings = inputs[8:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return *_RolloutPullBack.apply(*ctx.settings, *ctx.saved_tensors, *gradients[:3]), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        folded = fold(info.batch_size, in_dims[:8], args[:8])
        settings = repeated(args[8], info.batch_size), *args[9:]
        return unfold(info.batch_size, _Rollout.apply(*folded, *settings))


def rollout(
    model: AnyModel,
    qpos: Tensor,
    qvel: Tensor,
    act: Tensor,
    ctrls: Tensor,
    n_steps: int = 1,
    checkpoint_interval: int = 1,
    *,
    mocap_pos: Tensor | None = None,
    mocap_quat: Tensor | None = None,
    qfrc_applied: Tensor | None = None,
    xfrc_applied: Tensor | None = None,
) -> TorchState:
    """Checkpoints (..., K + 1, n) from (..., n) under `ctrls` (..., T, nu), each held for `n_steps` steps.

    With an interval of 1 these are all T + 1 states, else those after every `checkpoint_interval`-th
    control and the last (see `sim.rollout`). Poses of mocap bodies, (..., nmocap, 3) and (..., nmocap, 4),
    are by default the model's, applied forces, (..., nv) and (..., nbody, 6), none; with an axis of T
    after the batch axes they change with the controls. One autograd node; it keeps checkpoints and
    inputs, and recomputes the rest when run backward.
    """
    inputs = mocap_pos, mocap_quat, qfrc_applied, xfrc_applied
    return _counted_rollout(model, qpos, qvel, act, ctrls, n_steps, checkpoint_interval, inputs)[0]


def _counted_rollout(
    model: AnyModel,
    qpos: Tensor,
    qvel: Tensor,
    act: Tensor,
    ctrls: Tensor,
    n_steps: int,
    interval: int,
    inputs: Sequence[Tensor | None],
) -> tuple[TorchState, Tensor]:
    """`rollout`, and `Trajectory.unconverged`."""
    batch = ctrls.shape[:-2]
    flat = [t.expand(*batch, t.shape[-1]).reshape(batch.numel(), t.shape[-1]) for t in (qpos, qvel, act)]
    controls = ctrls.reshape(batch.numel(), *ctrls.shape[-2:])
    rows = (rows_of(value, axes, batch) for value, axes in zip(inputs, ENTRY_AXES, strict=True))
    *found, _, unconverged = _Rollout.apply(*flat, controls, *rows, models_of(model), n_steps, interval)
    return TorchState(*(t.reshape(*batch, *t.shape[-2:]) for t in found)), unconverged.reshape(ctrls.shape[:-1])


def step(
    model: AnyModel,
    qpos: Tensor,
    qvel: Tensor,
    act: Tensor,
    ctrl: Tensor,
    n_steps: int = 1,
    *,
    mocap_pos: Tensor | None = None,
    mocap_quat: Tensor | None = None,
    qfrc_applied: Tensor | None = None,
    xfrc_applied: Tensor | None = None,
) -> TorchState:
    """State after `n_steps` time steps; all arguments (..., n), equal batch axes, other inputs as in `rollout`."""
    inputs = mocap_pos, mocap_quat, qfrc_applied, xfrc_applied
    path, _ = _counted_rollout(model, qpos, qvel, act, ctrl.unsqueeze(-2), n_steps, 1, inputs)
    return TorchState(*(t[..., 1, :] for t in path))


def counted_step(
    model: AnyModel,
    qpos: Tensor,
    qvel: Tensor,
    act: Tensor,
    ctrl: Tensor,
    n_steps: int = 1,
    *,
    mocap_pos: Tensor | None = None,
    mocap_quat: Tensor | None = None,
) -> tuple[TorchState, Tensor]:
    """`step`, and how many of its time steps were stopped before the constraint solver converged (...), int32."""
    inputs = mocap_pos, mocap_quat, None, None
    path, unconverged = _counted_rollout(model, qpos, qvel, act, ctrl.unsqueeze(-2), n_steps, 1, inputs)
    return TorchState(*(t[..., 1, :] for t in path)), unconverged[..., 0]

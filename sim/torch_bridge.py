"""The simulator as differentiable torch functions on batches.

`step`, `rollout` and `cfrc_ext` have reverse mode; `kinematics` also forward mode, so that torch.func.jvp,
vjp and linearize work through it. Gradients are computed in float64 whatever the tensors' type.
Quaternions in `qpos` and `mocap_quat` are raw coordinates here: gradients have their size and no part
along the quaternion, since only its direction matters. Tensors on a GPU stay there (`kinematics` excepted).
"""

import importlib
import sys
import weakref
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import placement, poses
from .model.inputs import Inputs
from .model.model import Model, State
from .models import AnyModel, Models, models_of, one_of
from .rollout import rollout as rollout_numpy
from .tangent import gradient_from_tangent, gradient_to_tangent, quat_gradient_from_tangent
from .trajectory import Trajectory, trajectory_adj

_SIM = sys.modules[__name__.rpartition(".")[0]]  # this package, as a backend


class TorchState(NamedTuple):
    """What a step changes of `State`; after `rollout` with an axis of checkpoints before the last."""

    qpos: Tensor
    qvel: Tensor
    act: Tensor


class Kinematics(NamedTuple):
    """World poses: positions [m], quaternions (w, x, y, z), rotation matrices row by row."""

    xpos: Tensor  # (..., nbody, 3)
    xquat: Tensor  # (..., nbody, 4)
    xipos: Tensor  # (..., nbody, 3)
    geom_xpos: Tensor  # (..., ngeom, 3)
    geom_xmat: Tensor  # (..., ngeom, 9)
    site_xpos: Tensor  # (..., nsite, 3)
    site_xmat: Tensor  # (..., nsite, 9)


def _gpu() -> ModuleType:
    """The same functions on a GPU; what they need is only imported where there is one."""
    return importlib.import_module(".cuda.bridge", __package__)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy()


def _like(array: np.ndarray, reference: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(dtype=reference.dtype, device=reference.device)


def _fold(size: int, dims: Any, tensors: Any) -> list[Tensor]:
    """Tensors with vmap's axis folded into their first, which is a batch axis everywhere here."""
    moved = (t.movedim(d, 0) if d is not None else t.expand(size, *t.shape) for t, d in zip(tensors, dims, strict=True))
    return [t.flatten(0, 1) for t in moved]


def _repeated(models: Model | Models, size: int) -> Model | Models:
    """The models of a folded batch."""
    return models if isinstance(models, Model) else models.repeated(size)


def _unfold(size: int, tensors: Any) -> tuple[Any, Any]:
    found = tuple(t.unflatten(0, (size, -1)) for t in tensors)
    return found, (0,) * len(found)


class _FirstDerivative(torch.autograd.Function):
    """Base of the pull-backs: their own derivative is not known, and never taken for zero."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise NotImplementedError("the simulator has first derivatives only: do not differentiate its gradients")


_ENTRY_AXES = (2, 2, 1, 2)  # of mocap_pos, mocap_quat, qfrc_applied, xfrc_applied, without batch and controls
# In place of an input that is not given.
_NONE = torch.empty(0, dtype=torch.float64)


def _rows(value: Tensor | None, axes: int, batch: torch.Size) -> Tensor:
    """A mocap pose or an applied force, whose entry has `axes` axes, as (worlds, rows, ...).

    A row for each control if it has an axis of controls after the batch axes, else one that is held.
    """
    if value is None:
        return _NONE
    entry = value.shape[value.ndim - axes :]
    if value.ndim == len(batch) + 1 + axes:
        return value.reshape(batch.numel(), value.shape[len(batch)], *entry)
    return value.expand(*batch, *entry).reshape(batch.numel(), 1, *entry)


def _inputs(tensors: Sequence[Tensor], steps: int) -> Inputs:
    """Mocap poses and applied forces of `_rows`."""
    arrays = (None if t is _NONE or t.ndim == 1 else _numpy(t) for t in tensors)
    return Inputs(*(a[:, 0] if a is not None and a.shape[1] == 1 != steps else a for a in arrays))


def _input_gradients(tensors: Sequence[Tensor], gradients: Sequence[np.ndarray | None]) -> list[Tensor]:
    """Gradients (worlds, rows, ...), tangents for quaternions, as those of the tensors of `_rows`."""
    found = []
    for i, (tensor, gradient) in enumerate(zip(tensors, gradients, strict=True)):
        if tensor.ndim == 1 or gradient is None:
            found.append(torch.empty_like(tensor))
            continue
        found.append(_like(quat_gradient_from_tangent(_numpy(tensor), gradient) if i == 1 else gradient, tensor))
    return found


class _RolloutPullBack(_FirstDerivative):
    """Checkpoints, inputs and the checkpoints' cotangents to those of the initial state and the inputs."""

    @staticmethod
    def forward(models: Model | Models, n_steps: int, interval: int, *tensors: Tensor) -> Any:
        model = one_of(models)
        if placement.is_on_gpu(tensors[0]):
            return _gpu().rollout_pull_back(models, n_steps, interval, tensors)
        qpos, qvel, act, ctrls, *rows = tensors[:8]
        start = _numpy(qpos), _numpy(qvel), _numpy(act), _numpy(ctrls)
        path = Trajectory(*start, n_steps, interval, _numpy(tensors[8]), *_inputs(rows, ctrls.shape[1]))
        by_qpos, by_qvel, by_act = (_numpy(t) for t in tensors[9:])
        cotangent = np.concatenate([gradient_to_tangent(model, path.qpos, by_qpos), by_qvel, by_act], axis=-1)
        state_adj, ctrl_adj, _, adjoints = trajectory_adj(models, path, cotangent[..., None], False)
        first, nv = state_adj[..., 0], model.nv
        return (
            _like(gradient_from_tangent(model, path.qpos[:, 0], first[:, :nv]), qpos),
            _like(first[:, nv : 2 * nv], qvel),
            _like(first[:, 2 * nv :], act),
            _like(ctrl_adj[..., 0], ctrls),
            *_input_gradients(rows, [getattr(adjoints, name)[..., 0] for name in adjoints.fields]),
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        models, n_steps, interval, *tensors = args
        folded = _fold(info.batch_size, in_dims[3:], tensors)
        settings = _repeated(models, info.batch_size), n_steps, interval
        return _unfold(info.batch_size, _RolloutPullBack.apply(*settings, *folded))


class _Rollout(torch.autograd.Function):
    """qpos, qvel, act (worlds, n), ctrls (worlds, T, nu), four of `_rows` to checkpoints and what is kept with them."""

    @staticmethod
    def forward(*args: Any) -> Any:
        qpos, qvel, act, ctrls = args[:4]
        models, n_steps, interval = args[8:]
        if placement.is_on_gpu(qpos):
            return _gpu().rollout(models, args[:8], n_steps, interval)
        steps = ctrls.shape[1]
        given = _inputs(args[4:8], steps)
        poses_given = (given.mocap_pos, given.mocap_quat)
        held = (None if x is None or x.ndim == 4 else x for x in poses_given)
        state = State(_numpy(qpos), _numpy(qvel), _numpy(act), *held)
        moving = (None if x is None or x.ndim == 3 else x for x in poses_given)
        arguments = dict(zip(Inputs._fields, (*moving, given.qfrc_applied, given.xfrc_applied), strict=True))
        path = rollout_numpy(models, state, _numpy(ctrls), n_steps, interval, **arguments)
        warmstart = np.empty((len(ctrls), 0, qvel.shape[-1])) if path.warmstart is None else path.warmstart
        assert path.unconverged is not None
        kept = torch.from_numpy(warmstart), torch.from_numpy(path.unconverged)
        return _like(path.qpos, qpos), _like(path.qvel, qvel), _like(path.act, act), *kept

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
        folded = _fold(info.batch_size, in_dims[:8], args[:8])
        settings = _repeated(args[8], info.batch_size), *args[9:]
        return _unfold(info.batch_size, _Rollout.apply(*folded, *settings))


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
    rows = (_rows(value, axes, batch) for value, axes in zip(inputs, _ENTRY_AXES, strict=True))
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


class _ExternalForcePullBack(_FirstDerivative):
    """State, inputs and the forces' cotangent to the gradients by state and inputs."""

    @staticmethod
    def forward(models: Model | Models, backend: ModuleType, *tensors: Tensor) -> Any:
        model = one_of(models)
        if placement.is_on_gpu(tensors[0]) and backend is _SIM:
            return _gpu().cfrc_ext_pull_back(models, tensors)
        (qpos, qvel, act, ctrl), weights = map(_numpy, tensors[:4]), _numpy(tensors[8])
        state, forces = _held(qpos, qvel, act, tensors[4:8])
        by_state, by_ctrl, _, *by_inputs = backend.cfrc_ext_vjp(models, state, ctrl, weights, **forces)
        by_qpos = gradient_from_tangent(model, qpos, by_state[:, : model.nv])
        parts = by_qpos, by_state[:, model.nv : 2 * model.nv], by_state[:, 2 * model.nv :], by_ctrl
        rows = [None if x is None else x[:, None] for x in by_inputs]
        return (
            *(_like(part, t) for part, t in zip(parts, tensors[:4], strict=True)),
            *_input_gradients(tensors[4:8], rows),
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        model, backend, *tensors = args
        folded = _fold(info.batch_size, in_dims[2:], tensors)
        return _unfold(
            info.batch_size, _ExternalForcePullBack.apply(_repeated(model, info.batch_size), backend, *folded)
        )


def _held(
    qpos: np.ndarray, qvel: np.ndarray, act: np.ndarray, rows: Sequence[Tensor]
) -> tuple[State, dict[str, np.ndarray | None]]:
    """The state with its poses, and the applied forces, of `_rows` of one row."""
    pos, quat, qfrc, xfrc = (None if t.ndim == 1 else _numpy(t)[:, 0] for t in rows)
    return State(qpos, qvel, act, pos, quat), {"qfrc_applied": qfrc, "xfrc_applied": xfrc}


class _ExternalForce(torch.autograd.Function):
    """qpos, qvel, act, ctrl (worlds, n) and four of `_rows` to cfrc_ext (worlds, nbody, 6)."""

    @staticmethod
    def forward(*args: Any) -> Any:
        model, backend = args[8:]
        if placement.is_on_gpu(args[0]) and backend is _SIM:
            return _gpu().cfrc_ext(model, args[:8])
        qpos, qvel, act, ctrl = map(_numpy, args[:4])
        state, forces = _held(qpos, qvel, act, args[4:8])
        return _like(backend.cfrc_ext(model, state, ctrl, **forces), args[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:8])
        ctx.model, ctx.backend = inputs[8:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return *_ExternalForcePullBack.apply(ctx.model, ctx.backend, *ctx.saved_tensors, *gradients), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        folded = _fold(info.batch_size, in_dims[:8], args[:8])
        settings = _repeated(args[8], info.batch_size), args[9]
        return _ExternalForce.apply(*folded, *settings).unflatten(0, (info.batch_size, -1)), 0


def cfrc_ext(
    model: AnyModel,
    qpos: Tensor,
    qvel: Tensor,
    act: Tensor,
    ctrl: Tensor,
    backend: ModuleType = _SIM,
    *,
    mocap_pos: Tensor | None = None,
    mocap_quat: Tensor | None = None,
    qfrc_applied: Tensor | None = None,
    xfrc_applied: Tensor | None = None,
) -> Tensor:
    """Forces of the contacts on the bodies (..., nbody, 6), as `sim.cfrc_ext`; equal batch axes.

    `backend` is the module whose `cfrc_ext` and `cfrc_ext_vjp` are used: the simulator's own, or `mujoco_twin`.
    """
    batch = qpos.shape[:-1]
    flat = [t.reshape(batch.numel(), t.shape[-1]) for t in (qpos, qvel, act, ctrl)]
    given = zip((mocap_pos, mocap_quat, qfrc_applied, xfrc_applied), _ENTRY_AXES, strict=True)
    rows = (_rows(value, axes, batch) for value, axes in given)
    models = models_of(model)
    return _ExternalForce.apply(*flat, *rows, models, backend).reshape(*batch, one_of(models).nbody, 6)


# Custom operators take no Python objects: models travel as the key of this table.
_models: "weakref.WeakValueDictionary[int, Model | Models]" = weakref.WeakValueDictionary()


def _given(tensor: Tensor) -> np.ndarray | None:
    """Poses or their rates (worlds, nmocap, n), None for `_NONE`."""
    return None if tensor.ndim == 1 else _numpy(tensor)


@torch.library.custom_op("gradgym::kinematics_rate", mutates_args=())
def _kinematics_rate(
    qpos: Tensor, pos: Tensor, quat: Tensor, rate: Tensor, pos_rate: Tensor, quat_rate: Tensor, key: int
) -> list[Tensor]:
    """Rates of all poses; an operator of its own so that torch.func.linearize can record it."""
    mocap = (_given(t) for t in (pos, quat, pos_rate, quat_rate))
    found = poses.push_forward(_models[key], _numpy(qpos), _numpy(rate), *mocap)
    return [_like(value, qpos) for value in found]


@_kinematics_rate.register_vmap
def _(info: Any, in_dims: Any, *args: Any) -> Any:
    folded, models = _fold(info.batch_size, in_dims[:6], args[:6]), _repeated(_models[args[6]], info.batch_size)
    _models[id(models)] = models
    found = [t.unflatten(0, (info.batch_size, -1)) for t in _kinematics_rate(*folded, id(models))]
    return found, [0] * len(found)


@_kinematics_rate.register_fake
def _(qpos: Tensor, *args: Any) -> list[Tensor]:
    return [qpos.new_empty((qpos.shape[0], *shape)) for shape in poses.pose_shapes(one_of(_models[args[-1]])).values()]


class _KinematicsPullBack(_FirstDerivative):
    """qpos, mocap poses and the cotangents of all poses to the gradients by the former."""

    @staticmethod
    def forward(model: Model | Models, *tensors: Tensor) -> Any:
        (qpos, pos, quat), cotangents = tensors[:3], [_numpy(g) for g in tensors[3:]]
        found = poses.pull_back(model, _numpy(qpos), cotangents, _given(pos), _given(quat))
        return tuple(torch.empty_like(t) if t.ndim == 1 else _like(g, t) for g, t in zip(found, tensors, strict=False))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        model, *tensors = args
        folded = _fold(info.batch_size, in_dims[1:], tensors)
        return _unfold(info.batch_size, _KinematicsPullBack.apply(_repeated(model, info.batch_size), *folded))


class _Kinematics(torch.autograd.Function):
    """qpos (worlds, nq) and mocap poses (worlds, nmocap, n) to the fields of `Kinematics`."""

    @staticmethod
    def forward(qpos: Tensor, pos: Tensor, quat: Tensor, model: Model | Models) -> Any:
        return tuple(_like(value, qpos) for value in poses.evaluate(model, _numpy(qpos), _given(pos), _given(quat)))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.save_for_forward(*inputs[:3])
        ctx.model = inputs[3]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return *_KinematicsPullBack.apply(ctx.model, *ctx.saved_tensors, *gradients), None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        values = ctx.saved_tensors
        rates = (torch.zeros_like(t) if rate is None else rate for rate, t in zip(grad_inputs, values, strict=False))
        _models[id(ctx.model)] = ctx.model
        return tuple(_kinematics_rate(*values, *rates, id(ctx.model)))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        folded = _fold(info.batch_size, in_dims[:3], args[:3])
        return _unfold(info.batch_size, _Kinematics.apply(*folded, _repeated(args[3], info.batch_size)))


def kinematics(
    model: AnyModel, qpos: Tensor, mocap_pos: Tensor | None = None, mocap_quat: Tensor | None = None
) -> Kinematics:
    """Poses of bodies, geoms and sites at `qpos` (..., nq); differentiable both ways.

    Mocap bodies are at `mocap_pos` (..., nmocap, 3), `mocap_quat` (..., nmocap, 4), by default where the model has
    them.
    """
    batch = qpos.shape[:-1]
    mocap = (_rows(value, 2, batch).flatten(0, 1) if value is not None else _NONE for value in (mocap_pos, mocap_quat))
    found = _Kinematics.apply(qpos.reshape(batch.numel(), qpos.shape[-1]), *mocap, models_of(model))
    return Kinematics(*(t.reshape(*batch, *t.shape[1:]) for t in found))

"""The simulator as differentiable torch functions on batches.

`step`, `rollout` and `cfrc_ext` have reverse mode; `kinematics` also forward mode, so that torch.func.jvp,
vjp and linearize work through it. Gradients are computed in float64 whatever the tensors' type.
Quaternions in `qpos` are raw coordinates here: gradients have size nq and no part along the
quaternion, since only its direction matters.
"""

import sys
import weakref
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import poses
from .model.model import Model, State
from .rollout import rollout as rollout_numpy
from .tangent import gradient_from_tangent, gradient_to_tangent
from .trajectory import Trajectory, trajectory_adj

_SIM = sys.modules[__name__.rpartition(".")[0]]  # this package, as a backend


class TorchState(NamedTuple):
    """Tensors of `State`; after `rollout` with an axis of checkpoints before the last."""

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


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy()


def _like(array: np.ndarray, reference: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(dtype=reference.dtype, device=reference.device)


def _fold(size: int, dims: Any, tensors: Any) -> list[Tensor]:
    """Tensors with vmap's axis folded into their first, which is a batch axis everywhere here."""
    moved = (t.movedim(d, 0) if d is not None else t.expand(size, *t.shape) for t, d in zip(tensors, dims, strict=True))
    return [t.flatten(0, 1) for t in moved]


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


class _RolloutPullBack(_FirstDerivative):
    """Checkpoints, controls and the checkpoints' cotangents to those of the initial state and the controls."""

    @staticmethod
    def forward(model: Model, n_steps: int, interval: int, *tensors: Tensor) -> Any:
        qpos, qvel, act, ctrls = tensors[:4]
        path = Trajectory(_numpy(qpos), _numpy(qvel), _numpy(act), _numpy(ctrls), n_steps, interval, _numpy(tensors[4]))
        by_qpos, by_qvel, by_act = (_numpy(t) for t in tensors[5:])
        cotangent = np.concatenate([gradient_to_tangent(model, path.qpos, by_qpos), by_qvel, by_act], axis=-1)
        state_adj, ctrl_adj, _ = trajectory_adj(model, path, cotangent[..., None], False)
        start, nv = state_adj[..., 0], model.nv
        return (
            _like(gradient_from_tangent(model, path.qpos[:, 0], start[:, :nv]), qpos),
            _like(start[:, nv : 2 * nv], qvel),
            _like(start[:, 2 * nv :], act),
            _like(ctrl_adj[..., 0], ctrls),
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        model, n_steps, interval, *tensors = args
        folded = _fold(info.batch_size, in_dims[3:], tensors)
        return _unfold(info.batch_size, _RolloutPullBack.apply(model, n_steps, interval, *folded))


class _Rollout(torch.autograd.Function):
    """qpos, qvel, act (worlds, n) and ctrls (worlds, T, nu) to checkpoints, `warmstart` and `unconverged`."""

    @staticmethod
    def forward(
        qpos: Tensor, qvel: Tensor, act: Tensor, ctrls: Tensor, model: Model, n_steps: int, interval: int
    ) -> Any:
        state = State(_numpy(qpos), _numpy(qvel), _numpy(act))
        path = rollout_numpy(model, state, _numpy(ctrls), n_steps, interval)
        warmstart = np.empty((len(ctrls), 0, model.nv)) if path.warmstart is None else path.warmstart
        assert path.unconverged is not None
        kept = torch.from_numpy(warmstart), torch.from_numpy(path.unconverged)
        return _like(path.qpos, qpos), _like(path.qvel, qvel), _like(path.act, act), *kept

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(*output[3:])
        ctx.save_for_backward(*output[:3], inputs[3], output[3])
        ctx.settings = inputs[4:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return *_RolloutPullBack.apply(*ctx.settings, *ctx.saved_tensors, *gradients[:3]), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        folded = _fold(info.batch_size, in_dims[:4], args[:4])
        return _unfold(info.batch_size, _Rollout.apply(*folded, *args[4:]))


def rollout(
    model: Model,
    qpos: Tensor,
    qvel: Tensor,
    act: Tensor,
    ctrls: Tensor,
    n_steps: int = 1,
    checkpoint_interval: int = 1,
) -> TorchState:
    """Checkpoints (..., K + 1, n) from (..., n) under `ctrls` (..., T, nu), each held for `n_steps` steps.

    With an interval of 1 these are all T + 1 states, else those after every `checkpoint_interval`-th
    control and the last (see `sim.rollout`). One autograd node; it keeps checkpoints and controls,
    and recomputes the rest when run backward.
    """
    return _counted_rollout(model, qpos, qvel, act, ctrls, n_steps, checkpoint_interval)[0]


def _counted_rollout(
    model: Model, qpos: Tensor, qvel: Tensor, act: Tensor, ctrls: Tensor, n_steps: int, interval: int
) -> tuple[TorchState, Tensor]:
    """`rollout`, and `Trajectory.unconverged`."""
    batch = ctrls.shape[:-2]
    flat = [t.expand(*batch, t.shape[-1]).reshape(batch.numel(), t.shape[-1]) for t in (qpos, qvel, act)]
    controls = ctrls.reshape(batch.numel(), *ctrls.shape[-2:])
    *found, _, unconverged = _Rollout.apply(*flat, controls, model, n_steps, interval)
    return TorchState(*(t.reshape(*batch, *t.shape[-2:]) for t in found)), unconverged.reshape(ctrls.shape[:-1])


def step(model: Model, qpos: Tensor, qvel: Tensor, act: Tensor, ctrl: Tensor, n_steps: int = 1) -> TorchState:
    """State after `n_steps` time steps; all arguments (..., n), equal batch axes."""
    return counted_step(model, qpos, qvel, act, ctrl, n_steps)[0]


def counted_step(
    model: Model, qpos: Tensor, qvel: Tensor, act: Tensor, ctrl: Tensor, n_steps: int = 1
) -> tuple[TorchState, Tensor]:
    """`step`, and how many of its time steps were stopped before the constraint solver converged (...), int32."""
    path, unconverged = _counted_rollout(model, qpos, qvel, act, ctrl.unsqueeze(-2), n_steps, 1)
    return TorchState(*(t[..., 1, :] for t in path)), unconverged[..., 0]


class _ExternalForcePullBack(_FirstDerivative):
    """State, control and the forces' cotangent to the gradients by state and control."""

    @staticmethod
    def forward(model: Model, backend: ModuleType, *tensors: Tensor) -> Any:
        qpos, qvel, act, ctrl, weights = (_numpy(t) for t in tensors)
        by_state, by_ctrl, _ = backend.cfrc_ext_vjp(model, State(qpos, qvel, act), ctrl, weights)
        by_qpos = gradient_from_tangent(model, qpos, by_state[:, : model.nv])
        parts = by_qpos, by_state[:, model.nv : 2 * model.nv], by_state[:, 2 * model.nv :], by_ctrl
        return tuple(_like(part, t) for part, t in zip(parts, tensors[:4], strict=True))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        model, backend, *tensors = args
        folded = _fold(info.batch_size, in_dims[2:], tensors)
        return _unfold(info.batch_size, _ExternalForcePullBack.apply(model, backend, *folded))


class _ExternalForce(torch.autograd.Function):
    """qpos, qvel, act, ctrl (worlds, n) to cfrc_ext (worlds, nbody, 6)."""

    @staticmethod
    def forward(qpos: Tensor, qvel: Tensor, act: Tensor, ctrl: Tensor, model: Model, backend: ModuleType) -> Any:
        state = State(_numpy(qpos), _numpy(qvel), _numpy(act))
        return _like(backend.cfrc_ext(model, state, _numpy(ctrl)), qpos)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:4])
        ctx.model, ctx.backend = inputs[4], inputs[5]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return *_ExternalForcePullBack.apply(ctx.model, ctx.backend, *ctx.saved_tensors, *gradients), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        folded = _fold(info.batch_size, in_dims[:4], args[:4])
        return _ExternalForce.apply(*folded, *args[4:]).unflatten(0, (info.batch_size, -1)), 0


def cfrc_ext(model: Model, qpos: Tensor, qvel: Tensor, act: Tensor, ctrl: Tensor, backend: ModuleType = _SIM) -> Tensor:
    """Forces of the contacts on the bodies (..., nbody, 6), as `sim.cfrc_ext`; equal batch axes.

    `backend` is the module whose `cfrc_ext` and `cfrc_ext_vjp` are used: the simulator's own, or `mujoco_twin`.
    """
    batch = qpos.shape[:-1]
    flat = [t.reshape(batch.numel(), t.shape[-1]) for t in (qpos, qvel, act, ctrl)]
    return _ExternalForce.apply(*flat, model, backend).reshape(*batch, model.nbody, 6)


# Custom operators take no Python objects: models travel as the key of this table.
_models: "weakref.WeakValueDictionary[int, Model]" = weakref.WeakValueDictionary()


@torch.library.custom_op("gradgym::kinematics_rate", mutates_args=())
def _kinematics_rate(qpos: Tensor, rate: Tensor, key: int) -> list[Tensor]:
    """Rates of all poses; an operator of its own so that torch.func.linearize can record it."""
    found = poses.push_forward(_models[key], _numpy(qpos), _numpy(rate))
    return [_like(value, qpos) for value in found]


@_kinematics_rate.register_vmap
def _(info: Any, in_dims: Any, qpos: Tensor, rate: Tensor, key: int) -> Any:
    folded = _fold(info.batch_size, in_dims[:2], [qpos, rate])
    found = [t.unflatten(0, (info.batch_size, -1)) for t in _kinematics_rate(*folded, key)]
    return found, [0] * len(found)


@_kinematics_rate.register_fake
def _(qpos: Tensor, rate: Tensor, key: int) -> list[Tensor]:  # noqa: ARG001 (torch passes it)
    return [qpos.new_empty((qpos.shape[0], *shape)) for shape in poses.pose_shapes(_models[key]).values()]


class _KinematicsPullBack(_FirstDerivative):
    """qpos and the poses' cotangents to the gradient by qpos."""

    @staticmethod
    def forward(model: Model, qpos: Tensor, *cotangents: Tensor) -> Any:
        return _like(poses.pull_back(model, _numpy(qpos), [_numpy(g) for g in cotangents]), qpos)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        model, *tensors = args
        folded = _fold(info.batch_size, in_dims[1:], tensors)
        return _KinematicsPullBack.apply(model, *folded).unflatten(0, (info.batch_size, -1)), 0


class _Kinematics(torch.autograd.Function):
    """qpos (worlds, nq) to the fields of `Kinematics`."""

    @staticmethod
    def forward(qpos: Tensor, model: Model) -> Any:
        return tuple(_like(value, qpos) for value in poses.evaluate(model, _numpy(qpos)))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])
        ctx.model = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _KinematicsPullBack.apply(ctx.model, *ctx.saved_tensors, *gradients), None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        (qpos,), rate = ctx.saved_tensors, grad_inputs[0]
        _models[id(ctx.model)] = ctx.model
        return tuple(_kinematics_rate(qpos, rate, id(ctx.model)))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        qpos, model = args
        folded = _fold(info.batch_size, in_dims[:1], [qpos])
        return _unfold(info.batch_size, _Kinematics.apply(*folded, model))


def kinematics(model: Model, qpos: Tensor) -> Kinematics:
    """Poses of bodies, geoms and sites at `qpos` (..., nq); differentiable both ways."""
    batch = qpos.shape[:-1]
    found = _Kinematics.apply(qpos.reshape(batch.numel(), qpos.shape[-1]), model)
    return Kinematics(*(t.reshape(*batch, *t.shape[1:]) for t in found))

"""Forces of contacts on bodies as a torch function."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import placement
from ..model.model import Model, State
from ..models import AnyModel, Models, models_of, one_of
from ..tangent import gradient_from_tangent
from .folding import ENTRY_AXES, FirstDerivative, fold, gpu, input_gradients, like, numpy_of, repeated, rows_of, unfold

_SIM = sys.modules[__name__.rsplit(".", 2)[0]]  # the simulator, as a backend


class _ExternalForcePullBack(FirstDerivative):
    """State, inputs and the forces' cotangent to the gradients by state and inputs."""

    @staticmethod
    def forward(models: Model | Models, backend: ModuleType, *tensors: Tensor) -> Any:
        model = one_of(models)
        if placement.is_on_gpu(tensors[0]) and backend is _SIM:
            return gpu().cfrc_ext_pull_back(models, tensors)
        (qpos, qvel, act, ctrl), weights = map(numpy_of, tensors[:4]), numpy_of(tensors[8])
        state, forces = _held(qpos, qvel, act, tensors[4:8])
        by_state, by_ctrl, _, *by_inputs = backend.cfrc_ext_vjp(models, state, ctrl, weights, **forces)
        by_qpos = gradient_from_tangent(model, qpos, by_state[:, : model.nv])
        parts = by_qpos, by_state[:, model.nv : 2 * model.nv], by_state[:, 2 * model.nv :], by_ctrl
        rows = [None if x is None else x[:, None] for x in by_inputs]
        return (
            *(like(part, t) for part, t in zip(parts, tensors[:4], strict=True)),
            *input_gradients(tensors[4:8], rows),
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        model, backend, *tensors = args
        folded = fold(info.batch_size, in_dims[2:], tensors)
        return unfold(info.batch_size, _ExternalForcePullBack.apply(repeated(model, info.batch_size), backend, *folded))


def _held(
    qpos: np.ndarray, qvel: np.ndarray, act: np.ndarray, rows: Sequence[Tensor]
) -> tuple[State, dict[str, np.ndarray | None]]:
    """The state with its poses, and the applied forces, of `rows_of` of one row."""
    pos, quat, qfrc, xfrc = (None if t.ndim == 1 else numpy_of(t)[:, 0] for t in rows)
    return State(qpos, qvel, act, pos, quat), {"qfrc_applied": qfrc, "xfrc_applied": xfrc}


class _ExternalForce(torch.autograd.Function):
    """qpos, qvel, act, ctrl (worlds, n) and four of `rows_of` to cfrc_ext (worlds, nbody, 6)."""

    @staticmethod
    def forward(*args: Any) -> Any:
        model, backend = args[8:]
        if placement.is_on_gpu(args[0]) and backend is _SIM:
            return gpu().cfrc_ext(model, args[:8])
        qpos, qvel, act, ctrl = map(numpy_of, args[:4])
        state, forces = _held(qpos, qvel, act, args[4:8])
        return like(backend.cfrc_ext(model, state, ctrl, **forces), args[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:8])
        ctx.model, ctx.backend = inputs[8:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return *_ExternalForcePullBack.apply(ctx.model, ctx.backend, *ctx.saved_tensors, *gradients), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        folded = fold(info.batch_size, in_dims[:8], args[:8])
        settings = repeated(args[8], info.batch_size), args[9]
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
    given = zip((mocap_pos, mocap_quat, qfrc_applied, xfrc_applied), ENTRY_AXES, strict=True)
    rows = (rows_of(value, axes, batch) for value, axes in given)
    models = models_of(model)
    return _ExternalForce.apply(*flat, *rows, models, backend).reshape(*batch, one_of(models).nbody, 6)

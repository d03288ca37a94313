"""World poses as a torch function, forward and reverse."""

import weakref
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import poses
from ..model.model import Model
from ..models import AnyModel, Models, models_of, one_of
from .folding import NONE, FirstDerivative, fold, like, numpy_of, repeated, rows_of, unfold


class Kinematics(NamedTuple):
    """World poses: positions [m], quaternions (w, x, y, z), rotation matrices row by row."""

    xpos: Tensor  # (..., nbody, 3)
    xquat: Tensor  # (..., nbody, 4)
    xipos: Tensor  # (..., nbody, 3)
    geom_xpos: Tensor  # (..., ngeom, 3)
    geom_xmat: Tensor  # (..., ngeom, 9)
    site_xpos: Tensor  # (..., nsite, 3)
    site_xmat: Tensor  # (..., nsite, 9)


# Custom operators take no Python objects: models travel as the key of this table.
_models: "weakref.WeakValueDictionary[int, Model | Models]" = weakref.WeakValueDictionary()


def _given(tensor: Tensor) -> np.ndarray | None:
    """Poses or their rates (worlds, nmocap, n), None for `NONE`."""
    return None if tensor.ndim == 1 else numpy_of(tensor)


@torch.library.custom_op("gradgym::kinematics_rate", mutates_args=())
def _kinematics_rate(
    qpos: Tensor, pos: Tensor, quat: Tensor, rate: Tensor, pos_rate: Tensor, quat_rate: Tensor, key: int
) -> list[Tensor]:
    """Rates of all poses; an operator of its own so that torch.func.linearize can record it."""
    mocap = (_given(t) for t in (pos, quat, pos_rate, quat_rate))
    found = poses.push_forward(_models[key], numpy_of(qpos), numpy_of(rate), *mocap)
    return [like(value, qpos) for value in found]


@_kinematics_rate.register_vmap
def _(info: Any, in_dims: Any, *args: Any) -> Any:
    folded, models = fold(info.batch_size, in_dims[:6], args[:6]), repeated(_models[args[6]], info.batch_size)
    _models[id(models)] = models
    found = [t.unflatten(0, (info.batch_size, -1)) for t in _kinematics_rate(*folded, id(models))]
    return found, [0] * len(found)


@_kinematics_rate.register_fake
def _(qpos: Tensor, *args: Any) -> list[Tensor]:
    return [qpos.new_empty((qpos.shape[0], *shape)) for shape in poses.pose_shapes(one_of(_models[args[-1]])).values()]


class _KinematicsPullBack(FirstDerivative):
    """qpos, mocap poses and the cotangents of all poses to the gradients by the former."""

    @staticmethod
    def forward(model: Model | Models, *tensors: Tensor) -> Any:
        (qpos, pos, quat), cotangents = tensors[:3], [numpy_of(g) for g in tensors[3:]]
        found = poses.pull_back(model, numpy_of(qpos), cotangents, _given(pos), _given(quat))
        return tuple(torch.empty_like(t) if t.ndim == 1 else like(g, t) for g, t in zip(found, tensors, strict=False))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        model, *tensors = args
        folded = fold(info.batch_size, in_dims[1:], tensors)
        return unfold(info.batch_size, _KinematicsPullBack.apply(repeated(model, info.batch_size), *folded))


class _Kinematics(torch.autograd.Function):
    """qpos (worlds, nq) and mocap poses (worlds, nmocap, n) to the fields of `Kinematics`."""

    @staticmethod
    def forward(qpos: Tensor, pos: Tensor, quat: Tensor, model: Model | Models) -> Any:
        return tuple(like(value, qpos) for value in poses.evaluate(model, numpy_of(qpos), _given(pos), _given(quat)))

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
        folded = fold(info.batch_size, in_dims[:3], args[:3])
        return unfold(info.batch_size, _Kinematics.apply(*folded, repeated(args[3], info.batch_size)))


def kinematics(
    model: AnyModel, qpos: Tensor, mocap_pos: Tensor | None = None, mocap_quat: Tensor | None = None
) -> Kinematics:
    """Poses of bodies, geoms and sites at `qpos` (..., nq); differentiable both ways.

    Mocap bodies are at `mocap_pos` (..., nmocap, 3), `mocap_quat` (..., nmocap, 4), by default where the model has
    them.
    """
    batch = qpos.shape[:-1]
    mocap = (rows_of(value, 2, batch).flatten(0, 1) if value is not None else NONE for value in (mocap_pos, mocap_quat))
    found = _Kinematics.apply(qpos.reshape(batch.numel(), qpos.shape[-1]), *mocap, models_of(model))
    return Kinematics(*(t.reshape(*batch, *t.shape[1:]) for t in found))

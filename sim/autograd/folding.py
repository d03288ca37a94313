"""Tensors with any batch axes, and vmap's, as the simulator's arrays of one; and back."""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..model.inputs import Inputs
from ..model.model import Model
from ..models import Models
from ..tangent import quat_gradient_from_tangent


def gpu() -> ModuleType:
    """The same functions on a GPU; what they need is only imported where there is one."""
    return importlib.import_module("..cuda.bridge", __package__)


def numpy_of(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy()


def like(array: np.ndarray, reference: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(dtype=reference.dtype, device=reference.device)


def fold(size: int, dims: Any, tensors: Any) -> list[Tensor]:
    """Tensors with vmap's axis folded into their first, which is a batch axis everywhere here."""
    moved = (t.movedim(d, 0) if d is not None else t.expand(size, *t.shape) for t, d in zip(tensors, dims, strict=True))
    return [t.flatten(0, 1) for t in moved]


def repeated(models: Model | Models, size: int) -> Model | Models:
    """The models of a folded batch."""
    return models if isinstance(models, Model) else models.repeated(size)


def unfold(size: int, tensors: Any) -> tuple[Any, Any]:
    found = tuple(t.unflatten(0, (size, -1)) for t in tensors)
    return found, (0,) * len(found)


class FirstDerivative(torch.autograd.Function):
    """Base of the pull-backs: their own derivative is not known, and never taken for zero."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise NotImplementedError("the simulator has first derivatives only: do not differentiate its gradients")


ENTRY_AXES = (2, 2, 1, 2)  # of mocap_pos, mocap_quat, qfrc_applied, xfrc_applied, without batch and controls
# In place of an input that is not given.
NONE = torch.empty(0, dtype=torch.float64)


def rows_of(value: Tensor | None, axes: int, batch: torch.Size) -> Tensor:
    """A mocap pose or an applied force, whose entry has `axes` axes, as (worlds, rows, ...).

    A row for each control if it has an axis of controls after the batch axes, else one that is held.
    """
    if value is None:
        return NONE
    entry = value.shape[value.ndim - axes :]
    if value.ndim == len(batch) + 1 + axes:
        return value.reshape(batch.numel(), value.shape[len(batch)], *entry)
    return value.expand(*batch, *entry).reshape(batch.numel(), 1, *entry)


def inputs_of(tensors: Sequence[Tensor], steps: int) -> Inputs:
    """Mocap poses and applied forces of `rows_of`."""
    arrays = (None if t is NONE or t.ndim == 1 else numpy_of(t) for t in tensors)
    return Inputs(*(a[:, 0] if a is not None and a.shape[1] == 1 != steps else a for a in arrays))


def input_gradients(tensors: Sequence[Tensor], gradients: Sequence[np.ndarray | None]) -> list[Tensor]:
    """Gradients (worlds, rows, ...), tangents for quaternions, as those of the tensors of `rows_of`."""
    found = []
    for i, (tensor, gradient) in enumerate(zip(tensors, gradients, strict=True)):
        if tensor.ndim == 1 or gradient is None:
            found.append(torch.empty_like(tensor))
            continue
        found.append(like(quat_gradient_from_tangent(numpy_of(tensor), gradient) if i == 1 else gradient, tensor))
    return found

"""What `sim/autograd/` does with tensors on a GPU: the same functions without numpy.

Arguments are flattened to one axis of worlds there; rows of mocap poses and applied forces are (worlds, rows, ...),
or a tensor of one axis where there are none.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..model.model import Model
from ..models import Models, one_of
from ..tangent import FACTOR, SIGN, blocks_of
from . import worlds
from .worlds import InputTensors, Path, States


def rollout(
    models: Model | Models, tensors: Sequence[Tensor], n_steps: int, interval: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """From qpos, qvel, act, ctrls and four of rows: the checkpoints, the warm starts, and `unconverged`."""
    start, ctrls = _state(tensors)
    rows = _rows(one_of(models), tensors[4:8], ctrls)
    path, unconverged = worlds.simulate(models, start, ctrls, rows, n_steps, interval)
    qpos, qvel, act = (x.to(t.dtype) for x, t in zip(path[:3], tensors, strict=False))
    return qpos, qvel, act, path.warmstart, unconverged


def rollout_pull_back(
    models: Model | Models, n_steps: int, interval: int, tensors: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """From checkpoints, ctrls, rows, warm starts and cotangents the gradients by start, ctrls and rows."""
    model = one_of(models)
    (qpos, qvel, act), ctrls = _state(tensors)
    rows = _rows(model, tensors[4:8], qpos)
    by_qpos, by_qvel, by_act = (t.double() for t in tensors[9:])
    cotangent = torch.cat([gradient_to_tangent(model, qpos, by_qpos), by_qvel, by_act], -1)
    path = Path(qpos, qvel, act, tensors[8], ctrls, rows, n_steps, interval)
    found = worlds.pull_back(models, path, cotangent)
    state = _by_state(model, qpos[:, 0], found.state0)
    return _typed([*state, found.ctrl], tensors[:4], tensors[4:8], found.inputs)


def cfrc_ext(models: Model | Models, tensors: Sequence[Tensor]) -> Tensor:
    """From qpos, qvel, act, ctrl and four of rows: the forces."""
    state, ctrl = _state(tensors)
    found = worlds.cfrc_ext(models, state, ctrl, _rows(one_of(models), tensors[4:8], ctrl))
    return found.to(tensors[0].dtype)


def cfrc_ext_pull_back(models: Model | Models, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """From the same and the forces' cotangent the gradients by state, ctrl and rows."""
    state, ctrl = _state(tensors)
    rows = _rows(one_of(models), tensors[4:8], ctrl)
    by_state, by_ctrl, by_rows = worlds.cfrc_ext_adj(models, state, ctrl, rows, tensors[8].double())
    parts = [*_by_state(one_of(models), state.qpos, by_state), by_ctrl]
    return _typed(parts, tensors[:4], tensors[4:8], by_rows)


def gradient_to_tangent(model: Model, qpos: Tensor, gradient: Tensor) -> Tensor:
    """As `sim/tangent.py`."""
    blocks = blocks_of(model)
    out = gradient.new_zeros((*gradient.shape[:-1], model.nv))
    out[..., _index(blocks.dof, out)] = gradient[..., _index(blocks.qpos, out)]
    for a, v in blocks.quats:
        matrix = _matrix(_unit(qpos[..., a : a + 4])[0])
        out[..., v : v + 3] = torch.einsum("...ij,...i->...j", matrix, gradient[..., a : a + 4])
    return out


def gradient_from_tangent(model: Model, qpos: Tensor, gradient: Tensor) -> Tensor:
    """As `sim/tangent.py`."""
    blocks = blocks_of(model)
    out = gradient.new_zeros((*gradient.shape[:-1], model.nq))
    out[..., _index(blocks.qpos, out)] = gradient[..., _index(blocks.dof, out)]
    for a, v in blocks.quats:
        out[..., a : a + 4] = _quat_gradient(qpos[..., a : a + 4], gradient[..., v : v + 3])
    return out


def _quat_gradient(quat: Tensor, gradient: Tensor) -> Tensor:
    unit, norm = _unit(quat)
    return 4.0 / norm * torch.einsum("...ij,...j->...i", _matrix(unit), gradient)


def _matrix(quat: Tensor) -> Tensor:
    return torch.from_numpy(SIGN).to(quat.device) * quat[..., _index(FACTOR, quat)]


def _unit(quat: Tensor) -> tuple[Tensor, Tensor]:
    norm = quat.norm(dim=-1, keepdim=True).clamp_min(1e-15)
    return quat / norm, norm


def _index(places: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(places).to(like.device)


def _by_state(model: Model, qpos: Tensor, gradient: Tensor) -> list[Tensor]:
    """Gradients by raw qpos, qvel and act from one by the tangent (worlds, nx)."""
    nv = model.nv
    return [gradient_from_tangent(model, qpos, gradient[:, :nv]), gradient[:, nv : 2 * nv], gradient[:, 2 * nv :]]


def _state(tensors: Sequence[Tensor]) -> tuple[States, Tensor]:
    """The first four: qpos, qvel, act, and the control."""
    qpos, qvel, act, ctrl = (t.detach().double() for t in tensors[:4])
    return States(qpos, qvel, act), ctrl


def _rows(model: Model, tensors: Sequence[Tensor], like: Tensor) -> InputTensors:
    given: list[Any] = [None if t.ndim == 1 else t.detach().double() for t in tensors]
    return worlds.input_tensors(model, len(like), like, *given)


def _typed(
    parts: Sequence[Tensor], of: Sequence[Tensor], rows: Sequence[Tensor], by_rows: InputTensors
) -> tuple[Tensor, ...]:
    """Gradients in the types of what they belong to; of quaternions by their raw coordinates."""
    found = [x.to(t.dtype) for x, t in zip(parts, of, strict=True)]
    for i, (tensor, gradient) in enumerate(zip(rows, by_rows, strict=True)):
        if tensor.ndim == 1:
            found.append(torch.empty_like(tensor))
        else:
            found.append((_quat_gradient(tensor.double(), gradient) if i == 1 else gradient).to(tensor.dtype))
    return tuple(found)

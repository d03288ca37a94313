"""Between `qpos` (size nq, with quaternions) and its tangent space (size nv), on batches.

A tangent vector moves quaternions in the body frame, q <- q exp(s), as mj_integratePos and
mj_differentiatePos do. Raw quaternions need not have unit length: what depends on them depends on
their direction only.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .kernels.enums import BALL, FREE
from .kernels.record import kept_with
from .model.arguments import floats_of
from .model.model import Model

Floats = NDArray[np.float64]


class _Blocks(NamedTuple):
    """Addresses of the coordinates."""

    qpos: NDArray[np.intp]  # of every scalar
    dof: NDArray[np.intp]  # of every scalar, in the same order
    quats: list[tuple[int, int]]  # qpos address and dof address of every quaternion


def blocks_of(model: Model) -> _Blocks:
    """The model's addresses, kept with it."""
    return kept_with(model, "blocks", lambda: _find_blocks(model))


def _find_blocks(model: Model) -> _Blocks:
    scalars, quats = [], []
    for j in range(model.njnt):
        a, v, kind = int(model.jnt_qposadr[j]), int(model.jnt_dofadr[j]), int(model.jnt_type[j])
        if kind == FREE:
            scalars += [(a + i, v + i) for i in range(3)]
            a, v = a + 3, v + 3
        if kind in (FREE, BALL):
            quats.append((a, v))
        else:
            scalars.append((a, v))
    addresses = np.array(scalars, np.intp).reshape(-1, 2)
    return _Blocks(addresses[:, 0], addresses[:, 1], quats)


FACTOR = np.array([[1, 2, 3], [0, 3, 2], [3, 0, 1], [2, 1, 0]])  # which of (w, x, y, z), in `_matrix`
SIGN = 0.5 * np.array([[-1, -1, -1], [1, -1, 1], [1, 1, -1], [-1, 1, 1]])


def _matrix(quat: Floats) -> Floats:
    """(..., 4, 3): derivative of q exp(s) by s at s = 0, for unit quaternions."""
    return SIGN * quat[..., FACTOR]


def _unit(quat: Floats) -> tuple[Floats, Floats]:
    norm = np.maximum(np.linalg.norm(quat, axis=-1, keepdims=True), 1e-15)
    return quat / norm, norm


def quat_gradient_from_tangent(quat: Floats, gradient: Floats) -> Floats:
    """Gradient by the tangent (..., 3) to the gradient by raw quaternions (..., 4), none along them."""
    unit, norm = _unit(quat)
    return 4.0 / norm * np.einsum("...ij,...j->...i", _matrix(unit), gradient)


def quat_rate_to_tangent(quat: Floats, rate: Floats) -> Floats:
    """Direction of change of raw quaternions (..., 4) to the tangent direction (..., 3)."""
    unit, norm = _unit(quat)
    return 4.0 / norm * np.einsum("...ij,...i->...j", _matrix(unit), rate)


def gradient_to_tangent(model: Model, qpos: Floats, gradient: Floats) -> Floats:
    """Gradient by qpos (..., nq) to gradient by its tangent (..., nv)."""
    blocks = blocks_of(model)
    out = np.zeros((*gradient.shape[:-1], model.nv))
    out[..., blocks.dof] = gradient[..., blocks.qpos]
    for a, v in blocks.quats:
        unit, _ = _unit(qpos[..., a : a + 4])
        out[..., v : v + 3] = np.einsum("...ij,...i->...j", _matrix(unit), gradient[..., a : a + 4])
    return out


def gradient_from_tangent(model: Model, qpos: Floats, gradient: Floats) -> Floats:
    """Gradient by the tangent (..., nv) to the gradient by raw qpos (..., nq), none along quaternions."""
    blocks = blocks_of(model)
    out = np.zeros((*gradient.shape[:-1], model.nq))
    out[..., blocks.qpos] = gradient[..., blocks.dof]
    for a, v in blocks.quats:
        out[..., a : a + 4] = quat_gradient_from_tangent(qpos[..., a : a + 4], gradient[..., v : v + 3])
    return out


def velocity_to_tangent(model: Model, qpos: Floats, rate: Floats) -> Floats:
    """Direction of change of raw qpos (..., nq) to the tangent direction (..., nv)."""
    blocks = blocks_of(model)
    out = np.zeros((*rate.shape[:-1], model.nv))
    out[..., blocks.dof] = rate[..., blocks.qpos]
    for a, v in blocks.quats:
        out[..., v : v + 3] = quat_rate_to_tangent(qpos[..., a : a + 4], rate[..., a : a + 4])
    return out


def rates_from_tangent(model: Model, qpos: Floats, rates: Floats) -> Floats:
    """Rates (..., nv, K) of the tangent in K directions to those of qpos (..., nq, K), as of unit quaternions."""
    blocks = blocks_of(model)
    out = np.empty((*rates.shape[:-2], model.nq, rates.shape[-1]))
    out[..., blocks.qpos, :] = rates[..., blocks.dof, :]
    for a, v in blocks.quats:
        unit, _ = _unit(qpos[..., a : a + 4])
        out[..., a : a + 4, :] = _matrix(unit) @ rates[..., v : v + 3, :]
    return out


def integrate_pos(model: Model, qpos: Floats, shift: Floats) -> Floats:
    """qpos (..., nq) moved by the tangent vector `shift` (..., nv), as mj_integratePos."""
    qpos, shift = floats_of("qpos", qpos, model.nq), floats_of("shift", shift, model.nv)
    blocks = blocks_of(model)
    out = np.empty((*np.broadcast_shapes(qpos.shape[:-1], shift.shape[:-1]), model.nq))
    out[..., blocks.qpos] = qpos[..., blocks.qpos] + shift[..., blocks.dof]
    for a, v in blocks.quats:
        w, x, y, z = np.moveaxis(_unit(qpos[..., a : a + 4])[0], -1, 0)
        phi = shift[..., v : v + 3]
        angle = np.linalg.norm(phi, axis=-1)
        half = np.cos(0.5 * angle)
        e = 0.5 * np.sinc(0.5 * angle / np.pi)[..., None] * phi
        i, j, k = np.moveaxis(e, -1, 0)
        out[..., a] = w * half - x * i - y * j - z * k
        out[..., a + 1] = w * i + x * half + y * k - z * j
        out[..., a + 2] = w * j - x * k + y * half + z * i
        out[..., a + 3] = w * k + x * j - y * i + z * half
    return out

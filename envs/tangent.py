"""Derivatives by qpos in tangent coordinates, where a rotation counts three and not four numbers."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..sim import Model

Floats = NDArray[np.float64]

_FREE, _BALL = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)


def qpos_to_tangent(model: Model, qpos: Floats, gradient: Floats) -> Floats:
    """Gradient by qpos (..., nq) at `qpos` (..., nq) to gradient by MuJoCo's tangent (..., nv).

    A quaternion moves as q(w) = q * exp(w/2), w in the body frame (`mj_integratePos`), hence
    dq/dw_i = q * (0, e_i) / 2; every other coordinate is its own tangent.
    """
    if model.nq == model.nv:
        return gradient
    tangent = np.empty((*gradient.shape[:-1], model.nv))
    for kind, q, v in zip(model.jnt_type, model.jnt_qposadr, model.jnt_dofadr, strict=True):
        if int(kind) == _FREE:
            tangent[..., v : v + 3] = gradient[..., q : q + 3]
            q, v = q + 3, v + 3
        if int(kind) in (_FREE, _BALL):
            tangent[..., v : v + 3] = _quaternion_to_tangent(qpos[..., q : q + 4], gradient[..., q : q + 4])
        else:
            tangent[..., v] = gradient[..., q]
    return tangent


def _quaternion_to_tangent(quat: Floats, gradient: Floats) -> Floats:
    w, x, y, z = np.moveaxis(quat, -1, 0)
    columns = np.stack([[-x, w, z, -y], [-y, -z, w, x], [-z, y, -x, w]])  # (3, 4, ...): q * (0, e_i)
    return 0.5 * np.einsum("ij...,...j->...i", columns, gradient)

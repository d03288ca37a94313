"""Poses of a batch of configurations, with their derivatives: the numpy side of `kinematics`."""

import numpy as np
from numpy.typing import NDArray

from .dynamics.pose_derivatives import poses, poses_jvp, poses_vjp
from .kernels.threads import for_worlds
from .model.arguments import for_kernel
from .model.data import Data
from .model.model import Model
from .model.workspaces import workspace
from .tangent import gradient_from_tangent, velocity_to_tangent

Floats = NDArray[np.float64]

POSE_FIELDS = ("xpos", "xquat", "xipos", "geom_xpos", "geom_xmat", "site_xpos", "site_xmat")


def pose_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    sizes = {"nbody": model.nbody, "ngeom": model.ngeom, "nsite": model.nsite}
    shapes = {name: Data.fields[name].shape for name in POSE_FIELDS}
    return {name: tuple(sizes[s] if isinstance(s, str) else s for s in shape) for name, shape in shapes.items()}


def evaluate(model: Model, qpos: Floats) -> list[Floats]:
    """The fields POSE_FIELDS for qpos (worlds, nq)."""
    out = [np.empty((len(qpos), *shape)) for shape in pose_shapes(model).values()]

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            for b in range(begin, end):
                data.qpos[:] = qpos[b]
                poses(model, data)
                for name, value in zip(POSE_FIELDS, out, strict=True):
                    value[b] = getattr(data, name)

    for_worlds(len(qpos), work)
    return out


def push_forward(model: Model, qpos: Floats, rate: Floats) -> list[Floats]:
    """Rates of the fields for rates of raw qpos, both (worlds, nq)."""
    out = [np.empty((len(qpos), *shape)) for shape in pose_shapes(model).values()]
    velocity = velocity_to_tangent(model, qpos, rate)

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            for b in range(begin, end):
                data.qpos[:], data.qvel[:] = qpos[b], velocity[b]
                poses(model, data)
                poses_jvp(model, data, *(value[b] for value in out))

    for_worlds(len(qpos), work)
    return out


def pull_back(model: Model, qpos: Floats, cotangents: list[Floats]) -> Floats:
    """Gradient by raw qpos (worlds, nq) of the fields' cotangents."""
    out, arrays = np.empty((len(qpos), model.nv)), [for_kernel(value) for value in cotangents]

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            for b in range(begin, end):
                data.qpos[:] = qpos[b]
                poses(model, data)
                poses_vjp(model, data, out[b], *(value[b] for value in arrays))

    for_worlds(len(qpos), work)
    return gradient_from_tangent(model, qpos, out)

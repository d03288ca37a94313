"""Poses of a batch of configurations, with their derivatives: the numpy side of `kinematics`."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .dynamics.pose_derivatives import poses, poses_jvp, poses_vjp
from .kernels.threads import for_worlds
from .model.arguments import for_kernel
from .model.data import Data
from .model.model import Model
from .model.workspaces import workspace
from .models import Models, check_count, one_of, spans
from .tangent import (
    gradient_from_tangent,
    quat_gradient_from_tangent,
    quat_rate_to_tangent,
    velocity_to_tangent,
)

Floats = NDArray[np.float64]

POSE_FIELDS = ("xpos", "xquat", "xipos", "geom_xpos", "geom_xmat", "site_xpos", "site_xmat")


def pose_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    sizes = {"nbody": model.nbody, "ngeom": model.ngeom, "nsite": model.nsite}
    shapes = {name: Data.fields[name].shape for name in POSE_FIELDS}
    return {name: tuple(sizes[s] if isinstance(s, str) else s for s in shape) for name, shape in shapes.items()}


class _Worlds:
    """Configurations of some worlds, put into a workspace one by one."""

    def __init__(
        self, models: Model | Models, qpos: Floats, mocap_pos: Floats | None, mocap_quat: Floats | None
    ) -> None:
        model = one_of(models)
        check_count(models, len(qpos))
        own_pos, own_quat = model.mocap_poses
        self.models, self.qpos = models, qpos
        self.mocap_pos = np.broadcast_to(own_pos if mocap_pos is None else mocap_pos, (len(qpos), model.nmocap, 3))
        self.mocap_quat = np.broadcast_to(own_quat if mocap_quat is None else mocap_quat, (len(qpos), model.nmocap, 4))

    def load_each(self, data: Data, begin: int, end: int) -> Iterator[tuple[int, Model]]:
        """Puts each world of range(begin, end) in turn into `data` and yields its index and model."""
        for first, last, own in spans(self.models, begin, end):
            for b in range(first, last):
                self._load(data, b)
                yield b, own

    def _load(self, data: Data, b: int) -> None:
        data.qpos[:] = self.qpos[b]
        if self.mocap_pos.shape[1] > 0:
            data.mocap_pos[:], data.mocap_quat[:] = self.mocap_pos[b], self.mocap_quat[b]


def evaluate(
    models: Model | Models, qpos: Floats, mocap_pos: Floats | None = None, mocap_quat: Floats | None = None
) -> list[Floats]:
    """The fields POSE_FIELDS for qpos (worlds, nq); mocap poses (worlds, nmocap, n), None: those of the model."""
    model = one_of(models)
    out = [np.empty((len(qpos), *shape)) for shape in pose_shapes(model).values()]
    worlds = _Worlds(models, qpos, mocap_pos, mocap_quat)

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            for b, own in worlds.load_each(data, begin, end):
                poses(own, data)
                for name, value in zip(POSE_FIELDS, out, strict=True):
                    value[b] = getattr(data, name)

    for_worlds(len(qpos), work)
    return out


def push_forward(
    models: Model | Models,
    qpos: Floats,
    rate: Floats,
    mocap_pos: Floats | None = None,
    mocap_quat: Floats | None = None,
    pos_rate: Floats | None = None,
    quat_rate: Floats | None = None,
) -> list[Floats]:
    """Rates of the fields for rates of raw qpos, both (worlds, nq), and of mocap poses, None: they are still."""
    model = one_of(models)
    out = [np.empty((len(qpos), *shape)) for shape in pose_shapes(model).values()]
    worlds, velocity = _Worlds(models, qpos, mocap_pos, mocap_quat), velocity_to_tangent(model, qpos, rate)
    mocap_rate = np.zeros((len(qpos), model.nmocap, 6))
    if pos_rate is not None:
        mocap_rate[..., :3] = pos_rate
    if quat_rate is not None:
        mocap_rate[..., 3:] = quat_rate_to_tangent(worlds.mocap_quat, quat_rate)

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            for b, own in worlds.load_each(data, begin, end):
                data.qvel[:] = velocity[b]
                poses(own, data)
                rates: Any = (*(value[b] for value in out), mocap_rate[b])
                poses_jvp(own, data, *rates)

    for_worlds(len(qpos), work)
    return out


class PoseGradient(NamedTuple):
    """Gradients by raw coordinates."""

    qpos: Floats  # (worlds, nq)
    mocap_pos: Floats  # (worlds, nmocap, 3)
    mocap_quat: Floats  # (worlds, nmocap, 4)


def pull_back(
    models: Model | Models,
    qpos: Floats,
    cotangents: list[Floats],
    mocap_pos: Floats | None = None,
    mocap_quat: Floats | None = None,
) -> PoseGradient:
    """Gradients of the fields' cotangents."""
    model = one_of(models)
    out, arrays = np.empty((len(qpos), model.nv)), [for_kernel(value) for value in cotangents]
    worlds, mocap = _Worlds(models, qpos, mocap_pos, mocap_quat), np.empty((len(qpos), model.nmocap, 6))

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            for b, own in worlds.load_each(data, begin, end):
                poses(own, data)
                given: Any = (*(value[b] for value in arrays), mocap[b])
                poses_vjp(own, data, out[b], *given)

    for_worlds(len(qpos), work)
    by_quat = quat_gradient_from_tangent(worlds.mocap_quat, mocap[..., 3:])
    return PoseGradient(gradient_from_tangent(model, qpos, out), mocap[..., :3], by_quat)

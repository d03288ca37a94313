"""Depth images of an object from five cameras around it: what the grasp network sees.

Liu et al., V, render five views of 224 x 224 and do not say from where. Here the cameras look at the object's centre
of mass from `DISTANCE`, one from above, one from below, and three from the side, 120 degrees apart, so that every side
is seen. Drawn by MuJoCo's offscreen renderer, or, where there is no OpenGL, by rays.
"""

import math
from functools import cache

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...envs import opengl
from .object_mesh import ObjectMesh

DISTANCE = 0.5
"""Of each camera from the object's centre of mass [m]."""
HALF_WIDTH = 0.3
"""Tangent of half the angle that a camera sees, in width and in height."""
SEEN = DISTANCE * HALF_WIDTH / math.hypot(1.0, HALF_WIDTH)
"""Greatest radius of an object about its centre of mass that no camera cuts [m]."""
VIEWS = 5

Floats = NDArray[np.float64]


def _axes() -> Floats:
    """Columns right, up, back of each camera."""
    around = 2.0 * np.pi / 3.0 * np.arange(3)
    back = np.array([(0, 0, 1), (0, 0, -1), *((math.cos(a), math.sin(a), 0) for a in around)], float)
    up = np.array([(0, 1, 0), (0, 1, 0), *[(0, 0, 1)] * 3], float)
    return np.stack([np.cross(up, back), up, back], axis=-1)


AXES: Floats = _axes()
"""(5, 3, 3) rotations of the cameras, which look along their -z, x to the right and y up, to the views' frame.

The views' frame has its origin in the object's centre of mass, and the mesh's axes, turned."""


def depth_views(mesh: ObjectMesh, size: int = 224, rotations: Floats | None = None) -> NDArray[np.float32]:
    """Depth of each pixel along its camera's axis [m], 0 where nothing is seen; (R, 5, size, size), rows from above.

    Args:
        mesh: no vertex farther than `SEEN` from its centre of mass.
        size: of an image's side [pixels].
        rotations: (R, 3, 3) by which the object is turned about its centre of mass; by default it is not, R = 1.

    Raises:
        ValueError: the object is too large, or the size is below 8.
    """
    try:
        return rendered_views(mesh, size, rotations)
    except opengl.MISSING:
        return cast_views(mesh, size, rotations)


def rendered_views(mesh: ObjectMesh, size: int = 224, rotations: Floats | None = None) -> NDArray[np.float32]:
    """`depth_views` by OpenGL; one of `opengl.MISSING` is raised if there is none."""
    model = _model(mesh, size)
    data = mujoco.MjData(model)
    far = float(model.vis.map.zfar * model.stat.extent)
    turns = np.eye(3)[None] if rotations is None else rotations
    images = np.zeros((len(turns), VIEWS, size, size), np.float32)
    with opengl.renderer(model, size, size) as renderer:
        renderer.enable_depth_rendering()
        for image, turn in zip(images, turns, strict=True):
            for view, (position, axes) in zip(image, _cameras(mesh, turn), strict=True):
                model.cam_pos[0] = position
                mujoco.mju_mat2Quat(model.cam_quat[0], axes.ravel())
                mujoco.mj_forward(model, data)
                renderer.update_scene(data, camera=0)
                view[:] = renderer.render()
    images[images > 0.999 * far] = 0.0
    return images


def cast_views(mesh: ObjectMesh, size: int = 224, rotations: Floats | None = None) -> NDArray[np.float32]:
    """`depth_views` by a ray through the middle of each pixel."""
    model = _model(mesh, size)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    rays = _rays(size).reshape(-1, 3)
    length = np.linalg.norm(rays, axis=1)
    turns = np.eye(3)[None] if rotations is None else rotations
    images = np.zeros((len(turns), VIEWS, size * size), np.float32)
    geom, distance = np.zeros(len(rays), np.int32), np.zeros(len(rays))
    for image, turn in zip(images, turns, strict=True):
        for view, (position, axes) in zip(image, _cameras(mesh, turn), strict=True):
            directions = (rays / length[:, None]) @ axes.T
            mujoco.mj_multiRay(
                model, data, position, directions.ravel(), None, True, -1, geom, distance, None, len(rays), 1e3
            )
            view[:] = np.where(geom >= 0, distance / length, 0.0)
    return images.reshape(-1, VIEWS, size, size)


def surface_points(views: Tensor) -> Tensor:
    """Points that pixels of depth images (..., 5, S, S) [m] show, in the views' frame, (..., 5, 3, S, S) [m].

    0 where nothing is seen.
    """
    size = views.shape[-1]
    rays = torch.from_numpy(_rays(size)).to(views)
    axes = torch.from_numpy(AXES).to(views)
    points = torch.einsum("vij,hwj,...vhw->...vihw", axes, rays, views) + DISTANCE * axes[:, :, 2, None, None]
    return torch.where(views[..., None, :, :] > 0.0, points, 0.0)


@cache
def _rays(size: int) -> Floats:
    """Through the middle of each pixel to depth 1, in the camera's axes, (size, size, 3)."""
    across = HALF_WIDTH * (2.0 * (np.arange(size) + 0.5) / size - 1.0)
    x, y = np.broadcast_arrays(across[None, :], -across[:, None])
    return np.stack([x, y, -np.ones_like(x)], axis=-1)


def _cameras(mesh: ObjectMesh, turn: Floats) -> list[tuple[Floats, Floats]]:
    """Position and axes of each camera in the mesh's frame, where the object stays and the cameras turn."""
    axes = turn.T @ AXES
    return [(mesh.center_of_mass + DISTANCE * camera[:, 2], camera) for camera in axes]


def _model(mesh: ObjectMesh, size: int) -> mujoco.MjModel:
    """The mesh and one camera."""
    if size < 8:
        raise ValueError(f"size={size}: a depth image has 8 pixels or more on a side")
    if mesh.radius > SEEN:
        raise ValueError(f"{mesh.name}: of radius {mesh.radius:.2f} m, but the cameras see {SEEN:.2f} m: scale it")
    spec = mujoco.MjSpec()
    spec.visual.global_.offwidth = spec.visual.global_.offheight = size
    spec.visual.quality.offsamples = 0  # a depth between object and background is neither's
    # Depths are the more exact the closer both planes are to the object.
    spec.stat.extent, spec.visual.map.znear, spec.visual.map.zfar = 1.0, DISTANCE - 1.05 * SEEN, DISTANCE + 1.05 * SEEN
    spec.add_mesh(name="object", uservert=mesh.vertices.ravel(), userface=mesh.faces.ravel())
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="object", contype=0, conaffinity=0)
    spec.worldbody.add_camera(name="camera", fovy=2.0 * math.degrees(math.atan(HALF_WIDTH)))
    return spec.compile()

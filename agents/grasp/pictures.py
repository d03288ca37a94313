"""Pictures of grasps: a grid of them in one PNG, each seen from where the hand hides the least of the object."""

import math
from pathlib import Path

import imageio.v3 as imageio
import mujoco
import numpy as np

from ...envs import opengl
from .grasps import Grasps
from .scene import JointedHand, Solid

_OBJECT = "pictured object"
_GAP = 4  # between pictures [pixels]
_LOOK = 96  # side of the pictures that views are compared by [pixels]
_AZIMUTHS, _ELEVATIONS = range(0, 360, 45), (-30.0, 5.0)
_COLOR, _HAND = (0.93, 0.42, 0.16, 1.0), (0.33, 0.45, 0.62)


def picture(
    mesh: Solid,
    hand: JointedHand,
    grasps: Grasps,
    file: str | Path,
    *,
    number: int = 16,
    columns: int = 4,
    size: int = 360,
    opacity: float = 1.0,
) -> None:
    """Draws the first grasps into a PNG, row by row, the object upright (z up) in all of them.

    Needs OpenGL, without a display EGL unless MUJOCO_GL names another.

    Args:
        mesh: of the object [m].
        hand: whose grasps they are.
        grasps: in the mesh's frame.
        file: to write.
        number: the most grasps drawn.
        columns: pictures in a row.
        size: of a picture's side [pixels].
        opacity: of the hand, 0 to 1.

    Raises:
        ValueError: there are no grasps, or the hand is another.
    """
    count = min(number, len(grasps))
    if count == 0:
        raise ValueError(f"{str(file)!r}: there are no grasps to draw")
    if grasps.joint_names != hand.joint_names:
        raise ValueError(f"the grasps' joints are {grasps.joint_names}, the hand's {hand.joint_names}: not its grasps")
    model = _model(mesh, hand, max(size, _LOOK), opacity)
    data, geom = mujoco.MjData(model), model.geom(_OBJECT).id
    vertices = np.asarray(mesh.vertices, float)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    camera = mujoco.MjvCamera()
    camera.lookat, camera.distance = (low + high) / 2.0, 0.16 + 1.6 * float(np.linalg.norm(high - low))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (size + _GAP) - _GAP, min(count, columns) * (size + _GAP) - _GAP, 3), 255, np.uint8)
    with opengl.renderer(model, size, size) as renderer, opengl.renderer(model, _LOOK, _LOOK) as small:
        small.enable_segmentation_rendering()
        for i in range(count):
            # The hand's root is the world's first body.
            model.body_pos[1], model.body_quat[1] = grasps.pose[i, :3], grasps.pose[i, 3:]
            data.qpos[:] = hand.qpos(grasps.joints[i])
            mujoco.mj_forward(model, data)
            _turn(camera, small, data, geom)
            renderer.update_scene(data, camera)
            top, left = (size + _GAP) * (i // columns), (size + _GAP) * (i % columns)
            sheet[top : top + size, left : left + size] = renderer.render()
    imageio.imwrite(file, sheet, extension=".png")


def _turn(camera: mujoco.MjvCamera, renderer: mujoco.Renderer, data: mujoco.MjData, geom: int) -> None:
    """Turns the camera to the view with the most of the object's pixels, views from above first."""
    views = [(azimuth, elevation) for elevation in _ELEVATIONS for azimuth in _AZIMUTHS]
    seen: list[int] = []
    for camera.azimuth, camera.elevation in views:
        renderer.update_scene(data, camera)
        seen.append(int((renderer.render()[..., 0] == geom).sum()))
    camera.azimuth, camera.elevation = views[int(np.argmax(seen))]


def _model(mesh: Solid, hand: JointedHand, size: int, opacity: float) -> mujoco.MjModel:
    """The hand and the mesh, which is fixed to the world, before a light background."""
    spec = hand.spec()
    spec.visual.global_.offwidth = spec.visual.global_.offheight = size
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.4] * 3, [0.4] * 3
    spec.visual.headlight.specular = [0.1] * 3
    spec.visual.quality.shadowsize, spec.visual.quality.offsamples = 2048, 8
    spec.stat.extent, spec.visual.map.znear = 0.3, 0.02
    spec.add_texture(
        name="pictured sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.98] * 3,
        rgb2=[0.88, 0.91, 0.95],
        width=64,
        height=64,
    )
    spec.worldbody.add_light(pos=[0.4, -0.3, 1.0], dir=[-0.4, 0.3, -1.0], diffuse=[0.45] * 3, castshadow=False)
    for geom in spec.geoms:
        geom.rgba = [*_HAND, opacity]
    faces = np.asarray(mesh.faces)
    spec.add_mesh(name=_OBJECT, uservert=np.asarray(mesh.vertices, float).ravel(), userface=faces.ravel())
    spec.worldbody.add_geom(
        name=_OBJECT, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=_OBJECT, rgba=_COLOR, contype=0, conaffinity=0
    )
    return spec.compile()

"""Pictures: MuJoCo's renderer, fed with our states."""

import copy
import weakref
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer
from numpy.typing import NDArray

from ..sim import Model
from .floor import endless_floors
from .opengl import choose_backend, has_display

Floats = NDArray[np.float64]

RENDER_MODES = ("human", "rgb_array")
# Named as in Gymnasium's MuJoCo environments.
RENDER_OPTIONS = ("width", "height", "camera_id", "camera_name", "default_camera_config", "max_geom", "visual_options")
_SIZE = 480  # pixels, both ways, unless asked otherwise


class StateRenderer:
    """Draws configurations of a model, off screen ("rgb_array") or in a window ("human").

    `options` are some of `RENDER_OPTIONS`; unless they choose a camera it is the model's first, if
    it has one. Off screen the variable MUJOCO_GL names the OpenGL backend; where it is not set and
    there is no display, EGL is taken.
    """

    def __init__(self, model: Model, render_mode: str, options: Mapping[str, Any]) -> None:
        if render_mode == "human" and not has_display():
            raise RuntimeError("render_mode='human' needs a display and DISPLAY is not set: use 'rgb_array'")
        choose_backend()
        self.render_mode = render_mode
        self._model, self._own_sizes = copy.copy(model.mj_model), model.geom_size
        self._own_poses, self._floors = model.mocap_poses, endless_floors(self._model)
        self._data = mujoco.MjData(self._model)
        self._renderer = MujocoRenderer(self._model, self._data, **self._arguments(options))
        # Also of what is dropped unclosed; when the interpreter ends, OpenGL may already be gone.
        self._free = weakref.finalize(self, _free, self._renderer)
        self._free.atexit = False

    def render(
        self,
        qpos: Floats,
        mocap_pos: Floats | None = None,
        mocap_quat: Floats | None = None,
        model: Model | None = None,
    ) -> NDArray[np.uint8] | None:
        """A frame (height, width, 3) of one configuration, or None when it went to the window.

        `qpos` (nq,); mocap bodies at (nmocap, 3), (nmocap, 4), by default where the model has them.
        Geoms have the sizes of `model`, by default those of the renderer's own.
        """
        self._model.geom_size[:] = self._own_sizes if model is None else model.geom_size
        self._model.geom_size[self._floors, :2] = 0.0
        own_pos, own_quat = self._own_poses
        self._data.qpos[:] = qpos
        self._data.mocap_pos[:] = own_pos if mocap_pos is None else mocap_pos
        self._data.mocap_quat[:] = own_quat if mocap_quat is None else mocap_quat
        mujoco.mj_forward(self._model, self._data)
        viewer: Any = self._renderer.viewer
        if viewer is not None:  # one that is made anew makes its own context current
            viewer.make_context_current()
        if len(self._floors) > 0:
            self._center_floors()
        frame: Any = self._renderer.render(self.render_mode)
        return frame

    def _center_floors(self) -> None:
        """Under the camera: MuJoCo lays endless planes about where it was at the update before, which would show."""
        if self._renderer.viewer is None:
            self._renderer.render(self.render_mode)
        viewer: Any = self._renderer.viewer
        seen = viewer.vopt, viewer.pert, viewer.cam, mujoco.mjtCatBit.mjCAT_ALL, viewer.scn
        mujoco.mjv_updateScene(self._model, self._data, *seen)

    def _arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of `MujocoRenderer`, and room for a frame of their size."""
        arguments: dict[str, Any] = {"width": _SIZE, "height": _SIZE, **options}
        if not arguments.keys() & {"camera_id", "camera_name"}:
            # A free camera is what a configuration is of; before 1.4 Gymnasium did not choose it.
            free = "default_camera_config" in arguments or not self._model.ncam
            arguments["camera_id"] = -1 if free else 0
        if "default_camera_config" in arguments:
            arguments["default_cam_config"] = arguments.pop("default_camera_config")
        frame = self._model.vis.global_
        frame.offwidth = max(frame.offwidth, arguments["width"])
        frame.offheight = max(frame.offheight, arguments["height"])
        return arguments

    def close(self) -> None:
        """Frees what pictures need; those of other renderers, and their windows, stay."""
        self._free()


def _free(renderer: MujocoRenderer) -> None:
    """Not `renderer.close()`, which ends all windows of the process."""
    viewer: Any = renderer.viewer
    if viewer is not None:
        viewer.make_context_current()  # MuJoCo frees objects of whichever context is current
        viewer.con.free()
        viewer.free()


def split_render_options(arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of an environment's arguments that are `RENDER_OPTIONS`, and the others, which are the task's."""
    options = {name: value for name, value in arguments.items() if name in RENDER_OPTIONS}
    return options, {name: value for name, value in arguments.items() if name not in options}


def check_render_mode(render_mode: str | None) -> None:
    """Raises ValueError unless the mode is None or one that can be drawn."""
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode={render_mode!r}: choose None, 'human' or 'rgb_array'")

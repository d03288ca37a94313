"""Pictures: MuJoCo's renderer, fed with our states."""

import os
import sys
from typing import Any

import mujoco
import numpy as np
from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer
from numpy.typing import NDArray

from ..sim import Model

RENDER_MODES = ("human", "rgb_array")
_SIZE = 480  # pixels, both ways


class StateRenderer:
    """Draws configurations of a model, off screen ("rgb_array") or in a window ("human").

    Uses the model's first camera if it has one. Off screen the variable MUJOCO_GL names the
    OpenGL backend; where it is not set and there is no display, EGL is taken.
    """

    def __init__(self, model: Model, render_mode: str) -> None:
        if not _has_display():
            if render_mode == "human":
                raise RuntimeError("render_mode='human' needs a display and DISPLAY is not set: use 'rgb_array'")
            # Without it MuJoCo's default is a window system, and the missing display ends the process.
            os.environ.setdefault("MUJOCO_GL", "egl")
        self.render_mode = render_mode
        self._model = model.mj_model
        self._data = mujoco.MjData(self._model)
        camera = 0 if self._model.ncam else -1
        self._renderer = MujocoRenderer(self._model, self._data, width=_SIZE, height=_SIZE, camera_id=camera)

    def render(self, qpos: NDArray[np.float64]) -> NDArray[np.uint8] | None:
        """A frame (height, width, 3) of one configuration (nq,), or None when it went to the window."""
        self._data.qpos[:] = qpos
        mujoco.mj_forward(self._model, self._data)
        frame: Any = self._renderer.render(self.render_mode)
        return frame

    def close(self) -> None:
        self._renderer.close()


def _has_display() -> bool:
    return not sys.platform.startswith("linux") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def check_render_mode(render_mode: str | None) -> None:
    """Raises ValueError unless the mode is None or one that can be drawn."""
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode={render_mode!r}: choose None, 'human' or 'rgb_array'")

"""The choice of an OpenGL backend for pictures that no window shows."""

import importlib
import os
import sys

import mujoco

MISSING = (mujoco.FatalError, ImportError, AttributeError, RuntimeError)
"""What is raised where there is no OpenGL, by MuJoCo or by the loader of one backend or another."""


def has_display() -> bool:
    return not sys.platform.startswith("linux") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def choose_backend() -> None:
    """Takes EGL where there is no display and the variable MUJOCO_GL names no backend.

    MuJoCo's default is a window system: without a display it fails, and after it every other backend ends the process.
    MuJoCo reads the variable when it is imported, hence the reload.
    """
    if not has_display() and "MUJOCO_GL" not in os.environ:
        os.environ["MUJOCO_GL"] = "egl"
        importlib.reload(sys.modules[mujoco.Renderer.__module__].gl_context)


def renderer(model: mujoco.MjModel, height: int, width: int) -> mujoco.Renderer:
    """MuJoCo's own, height x width [pixels], with a backend that works without a display.

    One of `MISSING` is raised if none does.
    """
    choose_backend()
    return mujoco.Renderer(model, height, width)

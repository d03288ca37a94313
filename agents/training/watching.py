"""Watching a policy in MuJoCo's window."""

import copy
import threading
import time
import warnings
from typing import Any

import gymnasium
import mujoco

from ...envs.floor import endless_floors
from ...envs.opengl import has_display
from .algorithm import Policy
from .evaluation import rewards

_CLOSING = 10.0  # at most [s]


def check_window(env: gymnasium.Env[Any, Any], name: str) -> None:
    """ValueError with why no window can show an environment, of that name."""
    if not has_display():
        raise ValueError("a window needs a display and DISPLAY is not set; film it with --video FILE.mp4")
    if not isinstance(getattr(env.unwrapped, "model", None), mujoco.MjModel):
        raise ValueError(f"{name} has no MuJoCo model to show")
    import glfw  # it and MuJoCo's viewer load a window system, which nothing else needs

    with warnings.catch_warnings(action="ignore"):  # glfw's own word for it
        opened = glfw.init()
    if not opened:  # MuJoCo's viewer, which opens it in a thread of its own, would wait for ever
        raise ValueError("no window can be opened on this display; film it with --video FILE.mp4")


def view(policy: Policy, env: gymnasium.Env[Any, Any], episodes: int, seed: int) -> list[float]:
    """Shows episodes in MuJoCo's window in real time, until there are so many or it is closed; returns of whole ones.

    The environment has `model`, `data` and `dt`, as Gymnasium's `MujocoEnv` has them. Episode k starts from seed + k.
    """
    from mujoco import viewer

    env.reset(seed=seed)
    robot: Any = env.unwrapped
    shown = copy.copy(robot.model)
    floors = endless_floors(shown)
    before = set(threading.enumerate())
    window = viewer.launch_passive(shown, robot.data)
    drawing = set(threading.enumerate()) - before
    returns: list[float] = []

    def is_seen(episode: int) -> bool:
        """Shows an episode; whether the window was open to the end of it."""
        total, due = 0.0, time.perf_counter()
        for reward in rewards(policy, env, episode):
            if not window.is_running():
                return False
            with window.lock():  # an episode may have another object
                shown.geom_size[:] = robot.model.geom_size
                shown.geom_size[floors, :2] = 0.0
            window.sync()
            total += reward
            due = max(due + robot.dt, time.perf_counter())  # what is late is not made up for
            time.sleep(max(0.0, due - time.perf_counter()))
        returns.append(total)
        return True

    try:
        with window:
            if shown.ncam > 0:  # the first one follows the robot, where there is one
                with window.lock():
                    window.cam.type, window.cam.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
            for episode in range(seed, seed + episodes):
                if not is_seen(episode):
                    break
    finally:  # a process that ends while the window is still being closed crashes
        for thread in drawing:
            thread.join(_CLOSING)
    return returns

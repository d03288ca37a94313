"""Watching a policy: a video of it, and MuJoCo's window."""

import copy
import threading
import time
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import imageio
import mujoco
from tqdm import tqdm

from ...envs.floor import endless_floors
from ...envs.opengl import has_display
from .algorithm import Policy
from .evaluation import rewards

_CLOSING = 10.0  # at most [s]


class Film(NamedTuple):
    """What was written."""

    frames: int
    width: int  # [pixels]
    height: int
    seconds: float


def film(policy: Policy, env: gymnasium.Env[Any, Any], seed: int, path: Path, seconds: float | None = None) -> Film:
    """Writes a video of the first episode from a seed, or of as many as fill `seconds`, with a progress bar.

    `env` has the render mode "rgb_array".
    """
    fps = env.metadata["render_fps"]
    limit = None if env.spec is None else env.spec.max_episode_steps
    wanted = None if seconds is None else max(1, round(seconds * fps))
    total = wanted or (None if limit is None else limit + 1)
    shape, frames = (0, 0), 0
    with imageio.get_writer(path, fps=fps, macro_block_size=2) as writer:
        for frame in tqdm(_frames(policy, env, seed, wanted), total=total, desc="video", unit="frame", leave=False):
            writer.append_data(frame)  # pyright: ignore[reportAttributeAccessIssue] (the stub lacks it)
            shape, frames = frame.shape, frames + 1
    return Film(frames, shape[1], shape[0], frames / fps)


def _frames(policy: Policy, env: gymnasium.Env[Any, Any], seed: int, wanted: int | None) -> Iterator[Any]:
    """Pictures of one episode, or as many as are wanted, of episodes one after the other."""
    made = 0
    for episode in count(seed):
        for _ in rewards(policy, env, episode):
            yield env.render()
            made += 1
            if made == wanted:
                return
        if wanted is None:
            return


def check_window(env: gymnasium.Env[Any, Any], name: str) -> None:
    """ValueError with why `--view` cannot show an environment, of that name."""
    if not has_display():
        raise ValueError("--view: needs a display and DISPLAY is not set; film it with --video FILE.mp4")
    if not isinstance(getattr(env.unwrapped, "model", None), mujoco.MjModel):
        raise ValueError(f"--view: {name} has no MuJoCo model to show")
    import glfw  # it and MuJoCo's viewer load a window system, which nothing else needs

    with warnings.catch_warnings(action="ignore"):  # glfw's own word for it
        opened = glfw.init()
    if not opened:  # MuJoCo's viewer, which opens it in a thread of its own, would wait for ever
        raise ValueError("--view: no window can be opened on this display; film it with --video FILE.mp4")


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

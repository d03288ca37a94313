"""Watching a policy: a video of the length asked for, and MuJoCo's window, for which a stand-in is opened."""

import threading
import time
from pathlib import Path
from typing import Any

import glfw
import gymnasium
import imageio
import mujoco
import numpy as np
import pytest

from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.film import film
from gradgym.agents.training.watching import check_window, view

HOPPER = "gradgym/Hopper-v0"
STEPS = 8


class Policy:
    """The same action always."""

    def predict(self, observation: Any, state: Any = None, *, deterministic: bool = False) -> tuple[Any, Any]:
        return np.full(3, 0.4, np.float32), None


class Window:
    """What `mujoco.viewer.launch_passive` returns: it keeps what it was to show, and is closed after some syncs."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, stays: float) -> None:
        self.model, self.data, self.stays = model, data, stays
        self.closed, self.gone = threading.Event(), False
        self.cam, self.lock = mujoco.MjvCamera(), threading.RLock
        self.seen: list[tuple[float, float]] = []  # x of the robot, and when
        self.sizes: list[np.ndarray] = []
        threading.Thread(target=self._draw, daemon=True).start()

    def _draw(self) -> None:
        """As MuJoCo's, which closes the window some time after it was told to."""
        self.closed.wait()
        time.sleep(0.2)
        self.gone = True

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_: Any) -> None:
        self.closed.set()

    def is_running(self) -> bool:
        return len(self.seen) < self.stays

    def sync(self) -> None:
        self.seen.append((float(self.data.qpos[0]), time.perf_counter()))
        self.sizes.append(self.model.geom_size.copy())


class Desktop:
    """In place of the module `mujoco.viewer`: the windows that were opened, and after how many syncs they close."""

    def __init__(self) -> None:
        self.stays = np.inf
        self.windows: list[Window] = []

    def launch_passive(self, model: mujoco.MjModel, data: mujoco.MjData) -> Window:
        self.windows.append(Window(model, data, self.stays))
        return self.windows[-1]


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Desktop:
    made = Desktop()
    monkeypatch.setattr(mujoco, "viewer", made, raising=False)
    return made


def make(backend: str = "sim", **options: Any) -> Any:
    if backend == "gymnasium":
        return gymnasium.make("Hopper-v5", max_episode_steps=STEPS, **options)
    return gymnasium.make(HOPPER, max_episode_steps=STEPS, backend=backend, **options)


@pytest.mark.parametrize("backend", ["sim", "mujoco", "gymnasium"])
def test_a_window_shows_every_state_in_real_time(backend: str, desktop: Desktop) -> None:
    env = make(backend)
    returns = view(Policy(), env, 2, seed=3)
    np.testing.assert_array_equal(returns, evaluate_returns(Policy(), env, 2, seed=3))
    (window,) = desktop.windows
    x, times = np.array(window.seen).T
    assert len(x) == 2 * (1 + STEPS) and window.gone
    for episode in range(2):
        env.reset(seed=3 + episode)
        for shown in x[episode * (1 + STEPS) :][: 1 + STEPS]:
            assert env.unwrapped.data.qpos[0] == shown
            env.step(Policy().predict(None)[0])
    assert times[STEPS] - times[0] > (STEPS - 1) * env.unwrapped.dt
    assert (window.cam.type, window.cam.fixedcamid) == (mujoco.mjtCamera.mjCAMERA_FIXED, 0)
    floor = window.model.geom("floor").id
    assert not window.sizes[-1][floor, :2].any() and env.unwrapped.model.geom_size[floor, 0] == 20.0


@pytest.mark.parametrize(("stays", "whole"), [(4, 0), (STEPS + 3, 1)])
def test_a_window_may_be_closed(stays: int, whole: int, desktop: Desktop) -> None:
    desktop.stays = stays
    env = make()
    assert len(view(Policy(), env, 5, seed=0)) == whole
    assert len(desktop.windows[0].seen) == stays and desktop.windows[0].gone


class Still:
    def predict(self, observation: Any, state: Any = None, *, deterministic: bool = False) -> tuple[Any, Any]:
        return np.zeros(6, np.float32), None


def test_a_window_shows_the_object_of_each_episode(desktop: Desktop) -> None:
    env: Any = gymnasium.make("gradgym/CubeReorient-v0", max_episode_steps=1, randomize={"size": (0.9, 1.1)})
    view(Still(), env, 4, seed=0)
    cube = env.unwrapped.model.geom("object").id
    assert len({sizes[cube, 0] for sizes in desktop.windows[0].sizes}) > 1


def test_why_there_is_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make()
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ValueError, match="a window needs a display and DISPLAY is not set"):
        check_window(env, HOPPER)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(glfw, "init", lambda: False)
    with pytest.raises(ValueError, match="no window can be opened on this display"):
        check_window(env, HOPPER)
    monkeypatch.setattr(glfw, "init", lambda: True)
    check_window(env, HOPPER)
    check_window(make("gymnasium"), "Hopper-v5")
    with pytest.raises(ValueError, match="Pendulum-v1 has no MuJoCo model to show"):
        check_window(gymnasium.make("Pendulum-v1"), "Pendulum-v1")


@pytest.mark.parametrize(("seconds", "frames"), [(None, STEPS + 1), (0.04, 5), (0.16, 20), (1e-9, 1)])
def test_a_film_is_as_long_as_asked_for(seconds: float | None, frames: int, tmp_path: Path) -> None:
    """At 125 frames a second; one that is longer than an episode goes on with the next."""
    env = make(render_mode="rgb_array", width=66, height=48)
    path = tmp_path / "film.mp4"
    made = film(Policy(), env, 0, path, seconds)
    env.close()
    assert made == (frames, 66, 48, frames / 125)
    found = imageio.mimread(path)
    assert len(found) == frames and found[0].shape == (48, 66, 3)

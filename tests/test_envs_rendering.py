"""Pictures: each environment has its own, whatever is made, closed or dropped beside, and of the size asked for."""

import gc
from typing import Any

import glfw
import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from gradgym.envs import rendering
from gradgym.envs.vector import TaskVectorEnv

Frame = NDArray[np.uint8]

ALL = [spec.id for spec in gymnasium.registry.values() if spec.namespace == "gradgym"]
# Models with skies and materials of their own, which a picture must not exchange.
FIRST, SECOND = "gradgym/Ant-v0", "gradgym/BallThrow-v0"


def make(env_id: str) -> Any:
    env = gymnasium.make(env_id, render_mode="rgb_array")
    env.reset(seed=0)
    return env


@pytest.mark.parametrize("env_id", ALL)
def test_every_environment_takes_gymnasiums_options_of_pictures(env_id: str) -> None:
    """None of them is the task's: it also reaches other environments of the same task."""
    options: dict[str, Any] = {"render_mode": "rgb_array", "width": 64, "height": 48, "camera_id": -1}
    env: Any = gymnasium.make(env_id, **options)
    env.reset(seed=0)
    near = env.render()
    assert near.shape == (48, 64, 3) and env.render_mode == "rgb_array"
    env.close()
    envs: Any = gymnasium.make_vec(env_id, 2, **options, default_camera_config={"distance": 20.0})
    envs.reset(seed=0)
    far = envs.render()
    envs.close()
    assert [frame.shape for frame in far] == [(48, 64, 3)] * 2
    assert np.abs(far[0].astype(int) - near).max() > 20
    assert TaskVectorEnv(num_envs=1, **env.unwrapped.task_arguments).task.model.nq == env.unwrapped.task.model.nq


def alone(env_id: str) -> Frame:
    env = make(env_id)
    frame = env.render()
    env.close()
    return frame


def test_each_environment_has_its_own_picture() -> None:
    expected = {name: alone(name) for name in (FIRST, SECOND)}
    assert np.abs(expected[FIRST].astype(int) - expected[SECOND]).mean() > 10.0
    envs = {name: make(name) for name in (FIRST, SECOND)}
    for _ in range(2):
        for name, env in envs.items():
            np.testing.assert_array_equal(env.render(), expected[name])


@pytest.mark.parametrize("how", ["close", "drop"])
@pytest.mark.parametrize("drawn_last", [0, 1])
def test_the_end_of_an_environment_leaves_the_others_pictures(how: str, drawn_last: int) -> None:
    envs = [make(FIRST), make(SECOND), make(FIRST)]
    frames = [env.render() for env in envs]
    envs[drawn_last].render()
    ended = envs.pop(0)
    if how == "close":
        ended.close()
    del ended
    gc.collect()
    for env, frame in zip(envs, frames[1:], strict=True):
        np.testing.assert_array_equal(env.render(), frame)
    for env in envs:
        env.close()


def test_closing_twice_and_drawing_again() -> None:
    env = make(FIRST)
    frame = env.render()
    env.close()
    env.close()
    np.testing.assert_array_equal(env.render(), frame)
    env.close()


def test_closing_a_picture_leaves_windows_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """`glfw.terminate` would destroy those of every environment."""
    ended: list[None] = []
    monkeypatch.setattr(glfw, "terminate", lambda: ended.append(None))
    alone(FIRST)
    assert not ended


@pytest.mark.parametrize("name", ["Ant", "HalfCheetah", "Hopper", "Walker2d", "Racecar"])
def test_the_floor_and_the_camera_are_where_the_robot_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 m away, beyond what the file says that is drawn; in pictures alone, and with the pattern that it had."""
    env = make(f"gradgym/{name}-v0")
    sizes = env.unwrapped.model.geom_size.copy()
    near = env.render().astype(int)
    qpos, qvel = (x[0].copy() for x in env.unwrapped.state.numpy()[:2])
    qpos[0] += 60.0
    env.unwrapped.set_state(qpos, qvel)
    far = env.render().astype(int)
    env.close()
    np.testing.assert_array_equal(env.unwrapped.task.model.mj_model.geom_size, sizes)
    monkeypatch.setattr(rendering, "endless_floors", lambda model: np.empty(0, int))
    plain = make(f"gradgym/{name}-v0")
    as_in_the_file = plain.render()
    plain.unwrapped.set_state(qpos, qvel)
    sky = plain.render()
    plain.close()
    robot, ground = (slice(180, 300), slice(220, 260)), slice(360, 480)
    assert np.abs(near - as_in_the_file)[ground].mean() < 3.0
    assert np.abs(far - near)[robot].mean() < 20.0
    assert far[ground].std(axis=(0, 1)).min() > 2.0 * sky[ground].std(axis=(0, 1)).max()
    assert np.abs(far - sky)[ground].mean() > 20.0

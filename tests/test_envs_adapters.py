"""The adapters: Gymnasium's and SB3's contracts, autoreset, errors, divergence, pickling, processes."""

import pickle
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import SubprocVecEnv
from torch import Tensor
from vector_info import assert_equal_info

from gradgym import envs as envs_package
from gradgym.envs.single import TaskEnv
from gradgym.envs.task import Task
from gradgym.envs.task_state import TaskState
from gradgym.envs.vector import TaskVectorEnv
from gradgym.sim import Linearization, Model

PENDULUM = "gradgym/NLinkPendulum-v0"
HOPPER = "gradgym/Hopper-v0"  # whose starts are random
ALL = [spec.id for spec in gymnasium.registry.values() if spec.namespace == "gradgym"]


def make(**options: Any) -> Any:
    return gymnasium.make(PENDULUM, **options)


def make_vec(**options: Any) -> Any:
    return gymnasium.make_vec(PENDULUM, **options)


@pytest.mark.parametrize("backend", ["sim", "mujoco"])
@pytest.mark.parametrize("gradients", [None, "action", "full"])
@pytest.mark.parametrize("env_id", ALL)
# Positions and velocities have no bounds, as in Gymnasium's own MuJoCo environments.
@pytest.mark.filterwarnings("ignore:.*A Box observation space (min|max)imum value is -?infinity")
@pytest.mark.filterwarnings("error")
def test_checkers_pass(env_id: str, gradients: str, backend: str) -> None:
    env = gymnasium.make(env_id, gradients=gradients, backend=backend)
    check_env(env.unwrapped, skip_render_check=True)  # "human" needs a display; frames have their own test
    sb3_check_env(env)


@pytest.mark.parametrize("env_id", ALL)
def test_equal_seeds_and_actions_give_equal_episodes(env_id: str) -> None:
    def episode() -> list:
        env = gymnasium.make(env_id, gradients="full")
        env.action_space.seed(3)
        steps = [env.reset(seed=5)[0]]
        for _ in range(30):
            obs, reward, *_, info = env.step(env.action_space.sample())
            steps += [obs, reward, *info["gradients"].values()]
        return steps

    for a, b in zip(episode(), episode(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_make_vec_is_native() -> None:
    envs = make_vec(num_envs=3, n_links=2)
    assert isinstance(envs.unwrapped, TaskVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert envs.action_space.shape == (3, 2)
    assert envs.max_return == pytest.approx(2.0)


@pytest.mark.parametrize("limit", [100, 37])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_native_vector_environment_equals_gymnasiums(mode: AutoresetMode, limit: int) -> None:
    """Observations, rewards, flags and infos of `SyncVectorEnv` around single environments."""
    native = TaskVectorEnv(
        "gradgym.envs.tasks.pendulum:NLinkPendulum", 3, n_links=2, max_episode_steps=limit, autoreset_mode=mode
    )
    reference = SyncVectorEnv([lambda: make(n_links=2, max_episode_steps=limit)] * 3, autoreset_mode=mode)
    obs, info = native.reset(seed=4)
    expected_obs, expected_info = reference.reset(seed=4)
    np.testing.assert_array_equal(obs, expected_obs)
    assert_equal_info(info, expected_info)
    rng = np.random.default_rng(0)
    for _ in range(2 * limit + 5):
        actions = rng.uniform(-1, 1, (3, 2))
        found, expected = native.step(actions), reference.step(actions)
        for a, b in zip(found[:4], expected[:4], strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert_equal_info(found[4], expected[4])


class OneFails:
    """Replaces a task's transition with Jacobians: some rows of every step come out as NaN."""

    def __init__(self, task: Task, rows: Any) -> None:
        self.linearize, self.rows = task.linearize, rows

    def __call__(self, state: TaskState, action: Tensor, by_state: bool) -> tuple[TaskState, Linearization]:
        following, jacobian = self.linearize(state, action, by_state)
        following.qvel[self.rows] = torch.nan
        return following, jacobian


@pytest.mark.parametrize("backend", ["sim", "mujoco"])
def test_divergence_ends_the_episode_without_nan(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file in the current directory
    env = make(n_links=5, gradients="full", backend=backend).unwrapped
    env.reset(seed=0)
    env.step(np.zeros(5))
    env.state.qvel[:] = torch.tensor([3e9, -2e9, 1e9, 3e9, 2e9])
    obs, reward, terminated, truncated, info = env.step(np.ones(5))
    assert terminated
    assert info["diverged"]
    assert not truncated
    assert np.isfinite(obs).all()
    assert np.isfinite(reward)
    for array in info["gradients"].values():
        np.testing.assert_array_equal(array, 0.0)
    env.reset()
    *_, info = env.step(np.zeros(5))
    assert not info["diverged"]
    assert info["gradients"]["dobs_daction"].any()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_one_divergence_leaves_the_other_environments_alone(mode: AutoresetMode) -> None:
    envs = make_vec(num_envs=3, n_links=2, gradients="action", autoreset_mode=mode)
    other = make_vec(num_envs=3, n_links=2, gradients="action", autoreset_mode=mode)
    envs.reset(seed=0)
    other.reset(seed=0)
    actions = np.full((3, 2), 0.5)
    envs.step(actions)
    other.step(actions)
    task = envs.unwrapped.task
    task.linearize = OneFails(task, [1])
    obs, reward, terminated, _, info = envs.step(actions)
    expected = other.step(actions)
    np.testing.assert_array_equal(terminated, [False, True, False])
    record = info["final_info"] if mode is AutoresetMode.SAME_STEP else info
    assert record["diverged"][1]
    assert not info["diverged"][[0, 2]].any()
    np.testing.assert_array_equal(info["gradients"]["dobs_daction"][1], 0.0)
    np.testing.assert_array_equal(obs[[0, 2]], expected[0][[0, 2]])
    np.testing.assert_array_equal(reward[[0, 2]], expected[1][[0, 2]])
    for key in ("dobs_daction", "dreward_daction"):
        np.testing.assert_allclose(info["gradients"][key][[0, 2]], expected[4]["gradients"][key][[0, 2]], rtol=1e-12)
    del task.linearize
    obs = envs.step(actions)[0]
    assert np.isfinite(obs).all()


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.array([0.0, np.nan]), r"NLinkPendulum: action is not finite at index \(1,\): nan"),
        (np.array([np.inf, 0.0]), r"NLinkPendulum: action is not finite at index \(0,\): inf"),
        (np.zeros(3), r"NLinkPendulum: action has shape \(3,\), expected \(2,\)"),
        (np.zeros((1, 2)), r"NLinkPendulum: action has shape \(1, 2\), expected \(2,\)"),
    ],
)
def test_bad_actions_are_named(action: Tensor, message: str) -> None:
    env = make(n_links=2, disable_env_checker=True)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_bad_vector_actions_are_named() -> None:
    envs = make_vec(num_envs=2, n_links=2)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"action has shape \(2,\), expected \(2, 2\)"):
        envs.step(np.zeros(2))
    with pytest.raises(ValueError, match=r"not finite at index \(1, 0\)"):
        envs.step(np.array([[0.0, 0.0], [np.nan, 0.0]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "bullet"}, "backend='bullet': choose one of 'sim', 'mujoco'"),
        ({"render_mode": "ascii"}, "render_mode='ascii': choose None, 'human' or 'rgb_array'"),
    ],
)
def test_bad_options_are_named(arguments: dict[str, Any], message: str) -> None:
    for adapter in (TaskEnv, TaskVectorEnv):
        with pytest.raises(ValueError, match=message):
            adapter("gradgym.envs.tasks.pendulum:NLinkPendulum", **arguments)


def test_stepping_before_reset_is_refused() -> None:
    for env in (TaskEnv("gradgym.envs.tasks.pendulum:NLinkPendulum"), make_vec(num_envs=1)):
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(np.zeros(env.action_space.shape or ()))


def test_a_pickled_environment_continues_where_it_was() -> None:
    env = make(n_links=3, gradients="full")
    env.reset(seed=0)
    for _ in range(10):
        env.step(np.full(3, 0.3))
    copy = pickle.loads(pickle.dumps(env))
    for _ in range(5):
        a, b = env.step(np.full(3, -0.2)), copy.step(np.full(3, -0.2))
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[4]["gradients"]["dobs_dstate"], b[4]["gradients"]["dobs_dstate"])


@pytest.mark.parametrize("env_id", ALL)
def test_infos_are_arrays_and_numpys_scalars(env_id: str) -> None:
    """Which have a shape and a type, as Gymnasium's own infos and as readers of infos expect."""
    env = gymnasium.make(env_id, gradients="action")
    _, start = env.reset(seed=0)
    *_, info = env.step(env.action_space.sample())
    gradients = info.pop("gradients")
    envs = gymnasium.make_vec(env_id, num_envs=2)
    envs.reset(seed=0)
    *_, expected = envs.step(envs.action_space.sample())
    assert info.keys() == {name for name in expected if not name.startswith("_")}
    for name, value in {**start, **info, **gradients}.items():
        assert isinstance(value, np.ndarray | np.generic)
        if name in info:
            assert value.dtype == expected[name].dtype and value.shape == expected[name].shape[1:]
    # Gymnasium makes arrays of objects of numpy's booleans, but not of arrays.
    sync = gymnasium.make_vec(env_id, num_envs=2, vectorization_mode="sync")
    sync.reset(seed=0)
    *_, found = sync.step(sync.action_space.sample())
    assert {name: found[name].dtype for name in info} == {name: expected[name].dtype for name in info}


@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize("env_id", ALL)
def test_an_unknown_argument_is_refused_in_pythons_words(env_id: str, vectorised: bool) -> None:
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'colour'"):
        gymnasium.make_vec(env_id, 2, colour=3) if vectorised else gymnasium.make(env_id, colour=3)


def make_pendulum() -> Any:
    return gymnasium.make("gradgym:" + PENDULUM, n_links=2, gradients="action")


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_subprocesses_return_what_one_process_does(start_method: str) -> None:
    single = make_pendulum()
    expected_obs, _ = single.reset(seed=0)
    single.step(np.zeros(2))  # numba and torch are in use before the fork
    single.reset(seed=0)
    envs: Any = SubprocVecEnv([make_pendulum, make_pendulum], start_method=start_method)
    try:
        envs.seed(0)
        np.testing.assert_array_equal(envs.reset()[0], expected_obs)
        steps = []
        for t in range(100):
            action = np.full(2, np.sin(t), np.float32)
            steps.append((envs.step(np.tile(action, (2, 1))), single.step(action)))
        for (obs, rewards, dones, infos), expected in steps:
            assert rewards[0] == pytest.approx(expected[1], rel=1e-6)
            # To rounding: kernels just compiled and the same from the cache may differ in the last digit.
            gradient = infos[1]["gradients"]["dobs_daction"]
            np.testing.assert_allclose(gradient, expected[4]["gradients"]["dobs_daction"], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(obs[0], expected_obs if dones[0] else expected[0], rtol=1e-6, atol=1e-6)
        (_, _, dones, infos), expected = steps[-1]
        assert dones.all()
        assert infos[0]["TimeLimit.truncated"]
        np.testing.assert_allclose(infos[0]["terminal_observation"], expected[0], rtol=1e-6, atol=1e-6)
    finally:
        envs.close()


def test_frames_show_the_state() -> None:
    env = make(n_links=2, render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    assert first.shape == (480, 480, 3)
    assert first.dtype == np.uint8
    for _ in range(20):
        env.step(np.zeros(2))
    assert np.abs(env.render().astype(int) - first).sum() > 1000
    env.close()
    envs = make_vec(num_envs=2, n_links=2, render_mode="rgb_array")
    envs.reset(seed=0)
    frames = envs.render()
    assert len(frames) == 2
    np.testing.assert_allclose(frames[1].astype(int), first, atol=3)
    envs.close()


def test_a_window_without_a_display_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    env = make(render_mode="human")
    with pytest.raises(RuntimeError, match="needs a display"):
        env.reset(seed=0)


class Slider(Task):
    """Two actuators, the second without limits, and neither spaces nor constants of its own."""

    def __init__(self, backend: str = "sim") -> None:
        model = """<mujoco><worldbody><body><joint name="j" type="slide"/><geom size="0.1" mass="1"/></body></worldbody>
        <actuator><motor joint="j" ctrlrange="-2 3"/><motor joint="j"/></actuator></mujoco>"""
        super().__init__(Model.from_xml_string(model), backend=backend)

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        return torch.cat([state.qpos, state.qvel, state.qvel.square()], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        return {"push": action[..., 0]}


@pytest.mark.parametrize("given", [Slider, f"{__name__}:Slider"])
def test_registered_task_needs_no_more_than_its_definition(given: Any) -> None:
    envs_package.register("Slider-v0", given, 7)
    try:
        env: Any = gymnasium.make("Slider-v0", gradients="action")
        envs: Any = gymnasium.make_vec("Slider-v0", num_envs=2)
    finally:
        del gymnasium.registry["Slider-v0"]
    assert env.spec.max_episode_steps == envs.max_episode_steps == 7
    assert env.observation_space == Box(-np.inf, np.inf, (3,), np.float32)
    assert env.action_space == Box(np.array([-2, -np.inf], np.float32), np.array([3, np.inf], np.float32))
    env.reset(seed=0)
    _, reward, _, _, info = env.step([4.0, -50.0])  # clipped, and not
    assert reward == 4.0
    dt = env.unwrapped.task.seconds_per_step
    np.testing.assert_allclose(info["gradients"]["dobs_daction"][:2], [[0.0, dt * dt], [0.0, dt]], rtol=1e-9)


def test_a_task_that_cannot_be_imported_is_refused() -> None:
    class Inside(Slider):
        pass

    with pytest.raises(ValueError, match="Inside is defined inside another scope"):
        envs_package.register("Inside-v0", Inside)

"""Native vector environments in Stable-Baselines3: equal to its own vector of single, monitored ones."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import NormalizeObservation
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecNormalize

from gradgym.agents import SHAC
from gradgym.agents.training.native_vec_env import NativeVecEnv, native

HOPPER, LIMIT = "gradgym/Hopper-v0", 25


def pair(num_envs: int) -> Any:
    """The same hoppers twice, native and as SB3 does it; episodes end by time or by a fall."""
    single = gymnasium.make(HOPPER, max_episode_steps=LIMIT)
    dummy = DummyVecEnv([lambda: Monitor(gymnasium.make(HOPPER, max_episode_steps=LIMIT)) for _ in range(num_envs)])
    return native(single, num_envs), dummy


def test_trajectories_and_infos_are_those_of_single_environments() -> None:
    found, expected = pair(3)
    for envs in (found, expected):
        envs.seed(5)
    first = found.reset(), expected.reset()
    assert first[0].dtype == np.float32
    np.testing.assert_array_equal(*first)
    rng, ends = np.random.default_rng(0), []
    for _ in range(70):
        actions = rng.uniform(-1, 1, (3, 3)).astype(np.float32)
        (obs, reward, dones, infos), (obs_, reward_, dones_, infos_) = found.step(actions), expected.step(actions)
        np.testing.assert_array_equal(dones, dones_)
        np.testing.assert_allclose(obs, obs_, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(reward, reward_, rtol=1e-6)
        for done, info, info_ in zip(dones, infos, infos_, strict=True):
            if not done:
                assert "terminal_observation" not in info and "episode" not in info
                continue
            np.testing.assert_allclose(
                info["terminal_observation"], info_["terminal_observation"], rtol=1e-6, atol=1e-6
            )
            assert info["terminal_observation"].dtype == np.float32
            assert info["TimeLimit.truncated"] is info_["TimeLimit.truncated"]
            assert info["episode"]["l"] == info_["episode"]["l"]
            assert info["episode"]["r"] == pytest.approx(info_["episode"]["r"], abs=1e-6)  # Monitor rounds
            ends.append(info["TimeLimit.truncated"])
    assert True in ends and False in ends


def test_what_make_vec_env_made_becomes_native() -> None:
    made = make_vec_env(HOPPER, n_envs=3, seed=5, env_kwargs={"max_episode_steps": LIMIT, "healthy_reward": 2.0})
    envs = native(made, 7)
    assert envs.num_envs == 3 and envs.envs.max_episode_steps == LIMIT
    assert envs.envs.task_arguments["healthy_reward"] == 2.0
    np.testing.assert_array_equal(envs.reset(), made.reset())
    algorithm = SHAC("MlpPolicy", made, horizon=4, seed=0).learn(24)
    assert algorithm.num_timesteps == 24 and algorithm.n_envs == 3


@pytest.mark.parametrize(
    ("env", "part"),
    [
        (lambda: VecNormalize(make_vec_env(HOPPER)), "wrapped in VecNormalize, .*SHAC and BPTT normalise observations"),
        (lambda: NormalizeObservation(gymnasium.make(HOPPER)), "NormalizeObservation, .*SHAC and BPTT normalise"),
        (lambda: VecFrameStack(make_vec_env(HOPPER), 2), "wrapped in VecFrameStack, which .*: pass it bare$"),
        (lambda: make_vec_env("CartPole-v1"), "no environment of gradgym's"),
        (lambda: make_vec_env(HOPPER, wrapper_class=NormalizeObservation), "wrapped in NormalizeObservation"),
        (lambda: DummyVecEnv([lambda: gymnasium.make(HOPPER), other_hopper]), "different arguments"),
    ],
)
def test_vectors_that_cannot_become_native(env: Any, part: str) -> None:
    with pytest.raises(TypeError, match=part):
        SHAC("MlpPolicy", env())


def other_hopper() -> Any:
    return gymnasium.make(HOPPER, healthy_reward=2.0)


def test_a_monitor_with_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="leave its filename out"):
        native(Monitor(gymnasium.make(HOPPER), str(tmp_path / "a")), 2)
    with pytest.raises(TypeError, match="leave its filename out"):
        native(make_vec_env(HOPPER, monitor_dir=str(tmp_path)), 2)


def test_environments_in_other_processes_are_refused() -> None:
    envs = make_vec_env(f"gradgym:{HOPPER}", n_envs=2, vec_env_cls=SubprocVecEnv)
    try:
        with pytest.raises(TypeError, match="SubprocVecEnv, whose environments are in other processes: pass the id"):
            native(envs, 2)
    finally:
        envs.close()


def test_what_a_step_returned_is_not_changed_by_the_next() -> None:
    envs, _ = pair(2)
    envs.seed(0)
    envs.reset()
    results = [envs.step(np.full((2, 3), 0.5, np.float32)) for _ in range(LIMIT + 2)]
    copies = [[np.copy(x) for x in result[:3]] for result in results]
    envs.step(np.zeros((2, 3), np.float32))
    for result, copy in zip(results, copies, strict=True):
        for a, b in zip(result[:3], copy, strict=True):
            np.testing.assert_array_equal(a, b)


def test_seeds_count_once_and_a_reset_forgets_the_running_episodes() -> None:
    envs, _ = pair(2)
    envs.seed(3)
    first = envs.reset()
    envs.step(np.zeros((2, 3), np.float32))
    second = envs.reset()
    assert not np.array_equal(first, second)
    assert (envs.returns == 0).all() and (envs.lengths == 0).all()
    envs.seed(3)
    np.testing.assert_array_equal(envs.reset(), first)


def test_sb3_learns_the_same_on_both() -> None:
    """PPO over a few episodes; rewards differ by rounding, which SB3's own vector rounds to float32."""
    found = []
    for envs in pair(3):
        settings: dict[str, Any] = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "policy_kwargs": {"net_arch": [16]}}
        algorithm = PPO("MlpPolicy", envs, seed=1, device="cpu", **settings)
        before = torch.nn.utils.parameters_to_vector(algorithm.policy.parameters()).clone()
        algorithm.learn(192)
        assert algorithm.ep_info_buffer is not None and len(algorithm.ep_info_buffer) >= 3
        after = torch.nn.utils.parameters_to_vector(algorithm.policy.parameters()).detach()
        assert (after - before).abs().max() > 1e-3
        found.append((after, [info["r"] for info in algorithm.ep_info_buffer]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4)


def test_what_is_native_already_stays() -> None:
    envs: Any = gymnasium.make_vec(HOPPER, 2, autoreset_mode=AutoresetMode.SAME_STEP)
    first = native(envs, num_envs=7)
    assert first.envs is envs and first.num_envs == 2
    assert native(first, num_envs=7) is first


def test_environments_that_restart_a_step_later_are_made_anew() -> None:
    envs: Any = gymnasium.make_vec(HOPPER, 2, max_episode_steps=LIMIT, healthy_reward=3.0)
    made = native(envs, num_envs=7).envs
    assert made is not envs and made.autoreset_mode is AutoresetMode.SAME_STEP
    assert (made.num_envs, made.max_episode_steps, made.task.constants.healthy_reward) == (2, LIMIT, 3.0)
    with pytest.raises(ValueError, match="autoreset_mode='SameStep'"):
        NativeVecEnv(envs)


def test_attributes_and_methods() -> None:
    envs, _ = pair(2)
    assert envs.get_attr("max_episode_steps") == [LIMIT, LIMIT]
    assert envs.get_attr("render_mode", indices=1) == [None]
    assert envs.env_is_wrapped(Monitor) == [False, False]
    with pytest.raises(NotImplementedError, match="share their attributes"):
        envs.set_attr("max_episode_steps", 3)
    with pytest.raises(NotImplementedError, match="one object"):
        envs.env_method("reset")


def test_frames_are_sb3s_images() -> None:
    single: Any = gymnasium.make(HOPPER, render_mode="rgb_array")
    envs = native(gymnasium.make_vec(HOPPER, 2, autoreset_mode=AutoresetMode.SAME_STEP, render_mode="rgb_array"), 2)
    envs.reset()
    images = envs.get_images()
    single.reset()
    assert len(images) == 2 and images[0] is not None and images[0].shape == single.render().shape
    envs.close()

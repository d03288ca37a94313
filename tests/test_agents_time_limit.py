"""Trainers keep the limit of time that their environment was made with, shorter or longer than the registered one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecMonitor

from gradgym import evaluate, train
from gradgym.agents import BPTT, MBPO, SHAC
from gradgym.agents.mbpo.model_rollouts import episode_limit
from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.native_vec_env import native

PENDULUM, CHEETAH = "gradgym/NLinkPendulum-v0", "gradgym/HalfCheetah-v0"
LIMITS = pytest.mark.parametrize("limit", [37, 150])  # registered is 100
SMALL: dict[str, Any] = {"net_arch": [8], "critic_arch": [8]}


def single(limit: int) -> Any:
    return gymnasium.make(PENDULUM, n_links=1, max_episode_steps=limit)


@LIMITS
def test_native_environments_from_whatever_was_made(limit: int) -> None:
    vector = [
        gymnasium.make_vec(PENDULUM, 2, n_links=1, max_episode_steps=limit, autoreset_mode=mode)
        for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
    ]
    for made in (single(limit), *vector):
        envs = native(made, 2)
        envs.reset()
        ends = [envs.step(np.zeros((2, 1), np.float32))[2].all() for _ in range(2 * limit)]
        np.testing.assert_array_equal(np.flatnonzero(ends) + 1, [limit, 2 * limit])


def test_native_environments_without_a_limit() -> None:
    assert native(PENDULUM, 2).envs.max_episode_steps == 100
    for made in (single(-1), gymnasium.make_vec(PENDULUM, 2, max_episode_steps=-1)):
        assert native(made, 2).envs.max_episode_steps is None


class Lengths(BaseCallback):
    """Of the episodes that end during a training."""

    def _on_training_start(self) -> None:
        self.found: list[int] = []

    def _on_step(self) -> bool:
        self.found += [info["episode"]["l"] for info in self.locals["infos"] if "episode" in info]
        return True


@LIMITS
def test_whole_episodes_of_bptt_and_its_line_search(limit: int) -> None:
    lengths = Lengths()
    algorithm = BPTT("MlpPolicy", single(limit), n_envs=2, line_search=3, policy_kwargs=SMALL, seed=0)
    algorithm.learn(1, callback=lengths)
    assert lengths.found == [limit] * 2
    # One update: a window of both environments, and an episode for each of the three lengths of its step.
    assert algorithm.num_timesteps == (2 + 3) * limit


def test_whole_episodes_need_a_limit() -> None:
    with pytest.raises(ValueError, match="horizon=None is an episode that time ends: make env with max_episode_steps"):
        BPTT("MlpPolicy", single(-1), policy_kwargs=SMALL)
    algorithm = BPTT("MlpPolicy", single(-1), n_envs=2, horizon=4, policy_kwargs=SMALL).learn(8)
    assert algorithm.num_timesteps == 8


@LIMITS
def test_windows_of_shac(limit: int) -> None:
    lengths = Lengths()
    algorithm = SHAC("MlpPolicy", single(limit), n_envs=2, horizon=4, policy_kwargs=SMALL, seed=0)
    algorithm.learn(8)
    assert algorithm.env is not None
    # The second environment is two steps before the end: it ends in the middle of the next window.
    algorithm.env.envs.state = replace(algorithm.env.envs.state, time=torch.tensor([0, limit - 2]))
    algorithm.env.lengths[:] = [0, limit - 2]
    algorithm.learn(8, callback=lengths, reset_num_timesteps=False)
    assert lengths.found == [limit]
    assert algorithm.env.envs.state.time.tolist() == [4, 2]


class Truncations(BaseCallback):
    """Numbers of the steps that time cut off."""

    def _on_training_start(self) -> None:
        self.found: list[int] = []

    def _on_step(self) -> bool:
        if self.locals["infos"][0].get("TimeLimit.truncated", False):
            self.found.append(self.num_timesteps)
        return True


@LIMITS
@pytest.mark.parametrize("kind", ["single", "native", "wrapped"])
def test_mbpo_stores_bootstraps_and_predicts_by_the_limit(limit: int, kind: str) -> None:
    """With the end of time as a true end, predictions end where the last step of an episode is predicted."""
    env = single(limit) if kind == "single" else native(single(limit), 1)
    ended = []
    for handle in (True, False):
        algorithm = MBPO(
            "MlpPolicy",
            VecMonitor(env) if kind == "wrapped" and not isinstance(env, gymnasium.Env) else env,
            learning_starts=10,
            train_freq=limit - 1,
            gradient_steps=1,
            model_train_freq=limit - 1,
            model_kwargs={"members": 2, "elites": 1, "net_arch": (8,)},
            model_fit_kwargs={"max_epochs": 1},
            rollout_batch_size=2000,
            replay_buffer_kwargs={"handle_timeout_termination": handle},
            policy_kwargs={"net_arch": [8]},
            seed=0,
        )
        algorithm.learn(limit - 1)
        assert not algorithm.predicted.fields.dones.any()
        algorithm.learn(limit - 1, reset_num_timesteps=False)
        buffer = algorithm.replay_buffer
        assert np.flatnonzero(buffer.dones[: buffer.size(), 0]).tolist() == [limit - 1]
        assert np.flatnonzero(buffer.timeouts[: buffer.size(), 0]).tolist() == ([limit - 1] if handle else [])
        assert buffer.steps_before[: buffer.size()].max() == limit - 1
        ended.append(bool(algorithm.predicted.fields.dones.any()))
    assert ended == [False, True]


# (7, 9) in another process is left out: of that only the outermost limit is known.
@pytest.mark.parametrize(
    ("vectorised", "inner", "outer", "expected"),
    [(DummyVecEnv, 7, 9, 7)]
    + [(kind, *limits) for kind in (DummyVecEnv, SubprocVecEnv) for limits in ((9, 7, 7), (-1, 7, 7), (7, None, 7))],
)
def test_the_shortest_of_several_limits_holds(vectorised: Any, inner: int, outer: int | None, expected: int) -> None:
    def make() -> Any:
        return single(inner) if outer is None else gymnasium.wrappers.TimeLimit(single(inner), outer)

    assert native(make(), 1).envs.max_episode_steps == expected
    envs = vectorised([make])
    try:
        assert episode_limit(VecMonitor(envs)) == expected
    finally:
        envs.close()


@LIMITS
def test_ppo_on_native_environments(limit: int) -> None:
    truncations = Truncations()
    PPO("MlpPolicy", native(single(limit), 1), n_steps=200, batch_size=100, device="cpu").learn(200, truncations)
    assert truncations.found == list(range(limit, 201, limit))


def count_steps(algorithm: Any, env: Any, episodes: int, seed: int) -> Any:
    """In place of returns, the lengths of episodes under no action."""
    env.reset(seed=seed)
    action, length, ended = np.zeros(env.action_space.shape, np.float32), 0, False
    while not ended:
        _, _, terminated, truncated, _ = env.step(action)
        length, ended = length + 1, terminated or truncated
    return np.array([float(length)])


@pytest.mark.parametrize("limit", [40, 1100])  # registered is 1000
def test_both_commands_on_all_backends(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = ["--env", CHEETAH, "--env-kwargs", f"max_episode_steps:{limit}", "frame_skip:1"]
    settings = ["n_envs:2", "horizon:2", "eval_episodes:1", "train_env_kwargs.max_episode_steps:30"]
    command = ["--algo", "shac", *environment, "--total-timesteps", "4", "--hyperparams", *settings]
    assert train.main([*command, "--run-dir", str(tmp_path)]) == 0
    trained = load_checkpoint(tmp_path / "checkpoint.pkl").algorithm
    assert isinstance(trained, SHAC) and trained.env is not None and trained.env.envs.max_episode_steps == 30
    monkeypatch.setattr(evaluate, "evaluate_returns", count_steps)
    capsys.readouterr()
    assert evaluate.main([str(tmp_path), "--backend", "sim", "mujoco", "gymnasium", "--episodes", "1"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "+-" in line]
    assert [(words[0], float(words[2])) for words in lines] == [(b, limit) for b in ("sim", "mujoco", "gymnasium")]

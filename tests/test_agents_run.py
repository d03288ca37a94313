"""Runs of an algorithm that is none of Stable-Baselines3's, through the same commands, and how runs make the others."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import point_mass as point_mass  # registers its environment
import pytest
import torch
from gain_search import CONFIG, GainSearch
from stable_baselines3.sac.policies import SACPolicy

from gradgym import evaluate, train
from gradgym.agents import ALGORITHMS, MBPO, PPO, SAC, BatchedSACPolicy
from gradgym.agents.training import checkpoint
from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import read_evaluations
from gradgym.agents.training.native_vec_env import NativeVecEnv
from gradgym.agents.training.run import Run, load_best

COMMAND = """
import sys
from gain_search import GainSearch
from stable_baselines3.sac.policies import SACPolicy
from gradgym import train
from gradgym.agents import ALGORITHMS, MBPO, PPO, SAC, BatchedSACPolicy
from gradgym.agents.training import checkpoint
ALGORITHMS["gain_search"] = GainSearch
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.fixture
def gain_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "gain_search", GainSearch)


def state(run_dir: Path) -> tuple[list[float], int, Any]:
    found = load_checkpoint(run_dir / "checkpoint.pkl").algorithm
    assert isinstance(found, GainSearch)
    return found.gains.tolist(), found.num_timesteps, found.rng.bit_generator.state


def evaluations(run_dir: Path) -> list[tuple[float, float]]:
    return [(e["timesteps"], e["mean"]) for e in read_evaluations(run_dir)]


@pytest.mark.usefixtures("gain_search")
def test_another_algorithm_is_trained_killed_resumed_and_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    CONFIG.write(whole)
    assert train.main(["--resume", str(whole)]) == 0
    CONFIG.write(killed)
    child = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--resume", str(killed)],
        cwd=Path(__file__).parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (killed / "checkpoint.pkl").exists() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (killed / "final_policy.safetensors").exists(), "killed too late to show anything"
    assert 0 < state(killed)[1] < CONFIG.total_timesteps
    assert train.main(["--resume", str(killed)]) == 0
    assert state(whole) == state(killed)
    assert evaluations(whole) == evaluations(killed)
    assert [steps for steps, _ in evaluations(whole)] == list(range(500, 4001, 500))
    means = [mean for _, mean in evaluations(whole)]
    # Doing nothing has -9.4, the best gains -0.79.
    assert max(means) > -1.2

    capsys.readouterr()
    assert evaluate.main([str(killed), "--backend", "sim", "--episodes", "3", "--seed", "10005"]) == 0
    words = capsys.readouterr().out.split()
    assert words[:2] == ["sim", "return"] and float(words[2]) == pytest.approx(max(means), abs=1e-4)


@pytest.mark.usefixtures("gain_search")
def test_a_run_hands_its_settings_on(tmp_path: Path) -> None:
    """Minutes and seconds to the clock, further arguments to the training's environment alone, its own seeds."""
    config = replace(CONFIG, max_minutes=2.0, eval_seconds=7.0, train_env_kwargs={"backend": "mujoco"})
    run = Run(config, tmp_path)
    assert run.time_limit.limit == 120.0
    found = run.evaluation
    assert (found.freq, found.period, found.episodes, found.seed) == (500, 7.0, 3, 10_005)
    assert isinstance(run.algorithm, GainSearch) and run.algorithm.env is not None
    tasks: list[Any] = [env.get_wrapper_attr("task") for env in (run.algorithm.env, run.eval_env)]
    assert [task.backend_name for task in tasks] == ["mujoco", "sim"]
    assert run.algorithm.spread == 0.3


@pytest.mark.usefixtures("gain_search")
def test_a_longer_training_goes_on_from_a_shorter_one(tmp_path: Path) -> None:
    short = replace(CONFIG, total_timesteps=400)
    first = Run(short, tmp_path)
    first.train()
    assert first.algorithm.num_timesteps == 400
    again = Run(short, tmp_path)
    again.train()
    assert again.algorithm.num_timesteps == 400
    assert again.clock.seconds == pytest.approx(first.clock.seconds, abs=0.05)
    assert [steps for steps, _ in evaluations(tmp_path)] == [400]
    longer = Run(replace(CONFIG, total_timesteps=600), tmp_path)
    longer.train()
    assert longer.algorithm.num_timesteps == 600
    assert longer.clock.seconds > first.clock.seconds


@pytest.mark.usefixtures("gain_search")
def test_a_checkpoint_has_its_evaluation_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def save(algorithm: Any, path: Path, seconds: float) -> None:
        seen.append((algorithm.num_timesteps, evaluations(tmp_path)[-1][0]))

    monkeypatch.setattr(checkpoint, "save_checkpoint", save)
    Run(replace(CONFIG, total_timesteps=600, eval_freq=200, checkpoint_freq=200), tmp_path).train()
    assert seen == [(200, 200), (400, 400), (600, 600)]


@pytest.mark.usefixtures("gain_search")
def test_a_run_that_was_never_evaluated_has_no_best_policy(tmp_path: Path) -> None:
    CONFIG.write(tmp_path)
    with pytest.raises(ValueError, match=r"best_policy\.safetensors is missing"):
        load_best(tmp_path)


def sb3_config(algo: str, env: str = "PointMass-v0", **hyperparams: Any) -> RunConfig:
    return replace(CONFIG, algo=algo, env=env, hyperparams=hyperparams)


@pytest.mark.parametrize(
    ("settings", "gradients"),
    [
        ({}, None),
        ({"enhancement": "sample"}, "action"),
        ({"enhancement": "policy"}, "action"),
        ({"enhancement": "policy", "gradient_horizon": "episode", "model": False}, "full"),
    ],
)
def test_mbpo_asks_its_environment_for_the_gradients_it_needs(settings: dict[str, Any], gradients: str | None) -> None:
    algorithm = MBPO.from_config(sb3_config("mbpo", **settings))
    assert algorithm.env is not None
    assert algorithm.env.get_attr("gradients") == [gradients]
    assert algorithm.enhancement == settings.get("enhancement")


def test_the_seed_and_the_policys_name_are_the_configurations() -> None:
    found = [SAC.from_config(replace(sb3_config("sac", policy="BatchedSACPolicy"), seed=seed)) for seed in (5, 5, 6)]
    assert all(type(algorithm.policy) is BatchedSACPolicy for algorithm in found)
    first, same, other = (torch.nn.utils.parameters_to_vector(a.policy.parameters()) for a in found)
    assert torch.equal(first, same) and not torch.equal(first, other)
    plain = SAC.from_config(sb3_config("sac", learning_rate="lin_1e-2"))
    assert type(plain.policy) is SACPolicy and plain.lr_schedule(0.5) == pytest.approx(5e-3)


def test_ppo_steps_many_environments_natively() -> None:
    many = PPO.from_config(sb3_config("ppo", "Slide-v0", n_envs=3, n_steps=8, batch_size=8))
    assert isinstance(many.env, NativeVecEnv) and many.n_envs == 3
    one = PPO.from_config(sb3_config("ppo", "Slide-v0", n_steps=8, batch_size=8))
    assert not isinstance(one.env, NativeVecEnv) and one.n_envs == 1


@pytest.mark.parametrize(("algo", "name"), [("sac", "enhancement"), ("mbpo", "learning_rat"), ("shac", "line_search")])
def test_a_setting_that_an_algorithm_has_not_is_named(algo: str, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}=1: --algo {algo} has no such setting, see agents/presets/{algo}"):
        ALGORITHMS[algo].from_config(sb3_config(algo, "Slide-v0", **{name: 1}))

"""Runs of an algorithm that is none of Stable-Baselines3's, through the same commands, and how runs make the others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from gain_search import GainSearch

from gradgym import evaluate, train
from gradgym.agents import ALGORITHMS
from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import read_evaluations

CONFIG = RunConfig(
    algo="gain_search",
    env="Slide-v0",
    seed=5,
    total_timesteps=4000,
    eval_freq=500,
    eval_episodes=3,
    checkpoint_freq=600,
    hyperparams={"spread": 0.3},
)
COMMAND = """
import sys
from gain_search import GainSearch
from gradgym import train
from gradgym.agents import ALGORITHMS
ALGORITHMS["gain_search"] = GainSearch
sys.exit(train.main(sys.argv[1:]))
"""


def state(run_dir: Path) -> tuple[list[float], int, Any]:
    found = load_checkpoint(run_dir / "checkpoint.pkl").algorithm
    assert isinstance(found, GainSearch)
    return found.gains.tolist(), found.num_timesteps, found.rng.bit_generator.state


def evaluations(run_dir: Path) -> list[tuple[float, float]]:
    return [(e["timesteps"], e["mean"]) for e in read_evaluations(run_dir)]


def test_another_algorithm_is_trained_killed_resumed_and_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(ALGORITHMS, "gain_search", GainSearch)
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
    assert not (killed / "final_model.zip").exists(), "killed too late to show anything"
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

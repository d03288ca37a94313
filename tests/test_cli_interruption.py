"""Trainings that are interrupted, or that the disk has no room for: one line, and they go on where they were."""

import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from short_runs import ENHANCED, FEW_UPDATES, TRAIN, evaluations, weights

from gradgym import train
from gradgym.agents.training import run as run_module
from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.evaluation import read_evaluations

LEARN = [*ENHANCED, "--total-timesteps", "2500", "--hyperparams", *FEW_UPDATES[:-1], "checkpoint_freq:1000000"]


def started(run_dir: Path) -> subprocess.Popen[str]:
    """A process that trains there; what starts it may ignore interrupts, it does not."""
    child = subprocess.Popen(
        [sys.executable, "-m", "gradgym.train", *LEARN, "--run-dir", str(run_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 200
    while not read_evaluations(run_dir) and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.02)
    return child


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    child = started(stopped)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=100)
    assert child.returncode == 130 and "Traceback" not in error
    assert error.splitlines()[-1] == f"gradgym-train: interrupted; go on with --resume {stopped}"
    assert not (stopped / "final_policy.safetensors").exists() and not list(stopped.glob("*.tmp"))
    assert 0 < load_checkpoint(stopped / "checkpoint.pkl").algorithm.num_timesteps < 2500
    assert train.main([*LEARN, "--run-dir", str(whole)]) == 0
    assert train.main(["--resume", str(stopped)]) == 0
    assert torch.equal(weights(whole), weights(stopped))
    assert evaluations(whole) == evaluations(stopped)


class Interrupting:
    """Of a run: its training, to which a Ctrl-C comes."""

    def __init__(self, interrupts: int) -> None:
        self.interrupts = interrupts

    def __call__(self, *callbacks: object) -> None:
        for _ in range(self.interrupts):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("python_handler")
def test_a_second_interrupt_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_module.Run, "train", Interrupting(2))
    assert train.main([*LEARN, "--run-dir", str(tmp_path)]) == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not (tmp_path / "checkpoint.pkl").exists()
    capsys.readouterr()
    # What cannot go on says so, and does not begin again in silence.
    monkeypatch.undo()
    monkeypatch.setattr(run_module.Run, "train", Interrupting(2))
    assert train.main(["--resume", str(tmp_path)]) == 130
    assert f"{tmp_path}: has no checkpoint, so the training starts again from step 0" in capsys.readouterr().err


@contextmanager
def largest_file(size: int) -> Generator[None]:
    """Writing more than `size` bytes to a file fails, as it does where the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_and_leaves_whole_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shac = [*TRAIN, "--algo", "shac", "--total-timesteps", "320", "--run-dir", str(tmp_path)]
    settings = ["--hyperparams", "n_envs:4", "horizon:20", "eval_freq:80", "checkpoint_freq:80"]
    with largest_file(5000):
        assert train.main([*shac, *settings]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    line = rf"gradgym-train: error: .*File too large: .*best_policy.safetensors.; go on with --resume {tmp_path}"
    assert re.fullmatch(line, error)
    names = {path.name for path in tmp_path.iterdir()}
    assert {name for name in names if "events" not in name} == {"config.yaml", "evaluations.jsonl", "monitor.csv"}
    assert train.main(["--resume", str(tmp_path)]) == 0
    best, checkpoint = ((tmp_path / name).read_bytes() for name in ("best_policy.safetensors", "checkpoint.pkl"))
    with largest_file(5000):
        assert train.main(["--resume", str(tmp_path), "--total-timesteps", "640"]) == 1
    assert not list(tmp_path.glob("*.tmp"))
    assert (tmp_path / "best_policy.safetensors").read_bytes() == best
    assert (tmp_path / "checkpoint.pkl").read_bytes() == checkpoint

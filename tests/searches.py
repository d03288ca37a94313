"""Short searches from the command line, on the smallest task."""

import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from gradgym.agents.tuning.storage import open_storage

SPACE = """
learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true, format: "lin_{:.3g}"}
horizon: {choices: [5, 10]}
"""
# Of its own folder: processes of trials import it from there.
TASK = (Path(__file__).parent / "slide.py").read_text().replace("Slide-v0", "Searched-v0")


def search_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of a search in a working folder with a task of its own and a space."""
    (path / "searched.py").write_text(TASK)
    (path / "space.yaml").write_text(SPACE)
    monkeypatch.chdir(path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(path)])
    own = ["n_envs:4", "eval_freq:80", "eval_episodes:2", "checkpoint_freq:80", "policy_kwargs.net_arch:[8]"]
    command = ["--optimize", "--algo", "bptt", "--env", "searched:Searched-v0", "--total-timesteps", "480"]
    return [*command, "--hyperparams", *own, "--search-space", "space.yaml", "--run-dir", "search"]


def trials(folder: Path) -> list[Any]:
    """Of the study of such a search."""
    storage = open_storage(str(folder / "search" / "study.journal"))
    return optuna.load_study(study_name="search", storage=storage).trials

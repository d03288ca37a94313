"""`gradgym-train --callback`: callbacks by import path, from the working folder, with arguments, for all algorithms."""

import json
import sys
from pathlib import Path

import pytest
import slide as slide  # registers its environment
from gain_search import GainSearch

from gradgym import train
from gradgym.agents import ALGORITHMS
from gradgym.agents.training.configuration import RunConfig

MODULE = """
import json
from pathlib import Path
from stable_baselines3.common.callbacks import BaseCallback

class Counts(BaseCallback):
    def __init__(self, name: str = "counts.json", stop: int = 10**9) -> None:
        super().__init__()
        self.name, self.stop, self.calls = name, stop, {"rollouts": 0, "steps": 0}

    def _on_rollout_start(self) -> None:
        self.calls["rollouts"] += 1

    def _on_step(self) -> bool:
        self.calls["steps"] += 1
        return self.num_timesteps < self.stop

    def _on_training_end(self) -> None:
        Path(self.name).write_text(json.dumps({**self.calls, "timesteps": self.num_timesteps}))

class NoCallback:
    pass
"""
COMMANDS = {
    "shac": ["n_envs:4", "horizon:10"],
    "ppo": ["n_steps:40", "batch_size:40"],
    "gain_search": ["spread:0.3"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a module, which installed commands do not look in of themselves."""
    (tmp_path / "my_callbacks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != ""])
    monkeypatch.delitem(sys.modules, "my_callbacks", raising=False)
    monkeypatch.setitem(ALGORITHMS, "gain_search", GainSearch)
    return tmp_path


def trained(algo: str, *callbacks: str) -> list[str]:
    own = ["total_timesteps:160", "eval_freq:1000", "eval_episodes:1", "checkpoint_freq:1000"]
    return ["--algo", algo, "--env", "Slide-v0", "--callback", *callbacks, "--hyperparams", *COMMANDS[algo], *own]


@pytest.mark.parametrize("algo", ["shac", "ppo"])
def test_callbacks_are_called_beside_the_runs_own(algo: str, folder: Path) -> None:
    other = "my_callbacks:Counts:{name: other.json, stop: 80}"
    assert train.main([*trained(algo, "my_callbacks:Counts", other), "--run-dir", "run"]) == 0
    first, second = (json.loads((folder / name).read_text()) for name in ("counts.json", "other.json"))
    assert first == second and first["timesteps"] == 80  # a callback ends the training for all
    assert RunConfig.read(Path("run")).callbacks == ["my_callbacks:Counts", other]
    # Where the run goes on, they do.
    (folder / "counts.json").unlink()
    assert train.main(["--resume", "run", "--total-timesteps", "240"]) == 0
    assert (
        json.loads((folder / "counts.json").read_text())["steps"] == first["steps"] / 80 * {"shac": 4, "ppo": 1}[algo]
    )


def test_an_algorithm_that_is_none_of_sb3s_has_the_same_hook(folder: Path) -> None:
    config = RunConfig("gain_search", "Slide-v0", 5, 160, 1000, 1, 1000, hyperparams={"spread": 0.3})
    config.callbacks = ["my_callbacks:Counts"]
    config.write(folder / "run")
    assert train.main(["--resume", "run"]) == 0
    assert json.loads((folder / "counts.json").read_text()) == {"rollouts": 8, "steps": 160, "timesteps": 160}


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("my_callbacks", "write module:Class"),
        (":Counts", "write module:Class"),
        ("no_such_module:Counts", "no_such_module: cannot be imported"),
        ("my_callbacks:Count", "my_callbacks has no callback Count, a subclass of SB3's BaseCallback"),
        ("my_callbacks:NoCallback", "my_callbacks has no callback NoCallback"),
        ("my_callbacks:json", "my_callbacks has no callback json"),
        ("my_callbacks:Counts:{freq: 3}", "unexpected keyword argument 'freq'"),
        ("my_callbacks:Counts:3", "arguments are written as {argument: value}"),
        ("my_callbacks:Counts:{", "--callback my_callbacks:Counts:{: "),
    ],
)
def test_wrong_ones_are_one_line(word: str, part: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([*trained("shac", word), "--run-dir", "run"]) == 2
    error = capsys.readouterr().err.strip()
    assert part in error and error.count("\n") == 0 and not (folder / "run").exists()


def test_trainings_on_data_sets_have_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--algo", "grasp", "--callback", "my_callbacks:Counts"]) == 2
    line = "--callback my_callbacks:Counts: --algo grasp trains on a data set, not an environment"
    assert line in capsys.readouterr().err

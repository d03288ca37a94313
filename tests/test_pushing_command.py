"""`gradgym-train --algo pushing` and `gradgym-evaluate`, from data sets to losses and pictures."""

import json
import signal
from pathlib import Path

import imageio.v3 as imageio
import pushing_table1
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradgym import evaluate, train
from gradgym.agents.pushing.architectures import Actions
from gradgym.agents.pushing.dataset import Dataset
from gradgym.agents.pushing.execution import Execution
from gradgym.agents.pushing.generation import PAPER_SETS, TaskSet, TaskSettings, generate
from gradgym.agents.pushing.refinement import refine
from gradgym.agents.pushing.tasks import SmoothShapes
from gradgym.agents.pushing.trainer import PushingTrainer
from gradgym.agents.training.configuration import DatasetConfig, load_dataset_preset

SHORT = "iterations:{command: 2, parameter: 2, solution: 2, simulation: 1}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four sets, of two tasks each, and a task with a smooth shape."""
    path = tmp_path_factory.mktemp("data")
    sets = {name: TaskSet(2, shapes) for name, (_, shapes) in PAPER_SETS.items()}
    generate(path, {**sets, "smooth": TaskSet(1, SmoothShapes())}, progress=False)
    return path


def arguments(folder: Path, run_dir: Path, arch: str) -> list[str]:
    settings = ["--hyperparams", f"folder:{folder}", SHORT, "batch:2"]
    return ["--algo", "pushing", "--arch", arch, "--run-dir", str(run_dir), *settings]


@pytest.mark.parametrize("arch", ["nnm", "dlm"])
def test_the_commands_train_and_evaluate(
    arch: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    assert train.main(arguments(folder, run_dir, arch)) == 0
    found = json.loads((run_dir / "losses.json").read_text())
    assert found["arch"] == arch and set(found["losses"]) == {*PAPER_SETS, "smooth"}
    # Steps of both simulators agree to 1e-14; chattering contacts may magnify that.
    assert found["losses"]["test"]["mujoco"] == pytest.approx(found["losses"]["test"]["loss"], rel=1e-3)
    assert found["losses"]["test"]["oracle"] < 0.5 < found["losses"]["test"]["held"]
    assert imageio.imread(run_dir / "strips.png").shape == (2 * 120, 5 * 120, 3)
    events = EventAccumulator(str(run_dir)).Reload()
    assert "motions" in events.Tags()["images"]  # pyright: ignore[reportOperatorIssue]
    capsys.readouterr()
    (run_dir / "losses.json").unlink()
    assert evaluate.main([str(run_dir)]) == 0
    shown = capsys.readouterr().out
    assert "family" in shown and "smooth" in shown
    for option in (["--backend", "mujoco"], ["--episodes", "3"], ["--seed", "1"]):
        assert evaluate.main([str(run_dir), *option]) == 2
        error = capsys.readouterr().err
        assert f"{' '.join(option)}: --algo pushing has no environment" in error and error.count("\n") == 1
    again = json.loads((run_dir / "losses.json").read_text())
    assert again["losses"]["family"] == pytest.approx(found["losses"]["family"], rel=1e-6)
    assert train.main(["--resume", str(run_dir)]) == 0


@pytest.mark.usefixtures("python_handler")
def test_ctrl_c_ends_with_a_checkpoint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step, run_dir, begun = PushingTrainer._step, tmp_path / "run", []

    def interrupted(self: PushingTrainer) -> dict[str, float]:
        begun.append(self.iteration)
        if self.iteration == 0:
            signal.raise_signal(signal.SIGINT)
        return step(self)

    monkeypatch.setattr(PushingTrainer, "_step", interrupted)
    assert train.main(arguments(folder, run_dir, "nn")) == 130
    assert capsys.readouterr().err.strip().endswith(f"interrupted; go on with --resume {run_dir}")
    assert not (run_dir / "losses.json").exists()
    # The step was finished; without the interruption there is a checkpoint only at the stage's end, after two.
    assert train.main(["--resume", str(run_dir)]) == 0
    assert begun == [0, 1]


def test_errors_are_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(arguments(folder, tmp_path / "run", "cnn")) == 2
    assert "arch='cnn': must be one of nn, nnm, mdr, cvx, dlm" in capsys.readouterr().err
    (tmp_path / "bad").mkdir()
    for name in PAPER_SETS:
        (tmp_path / "bad" / f"{name}.npz").write_text("nothing")
    assert train.main(arguments(tmp_path / "bad", tmp_path / "run", "nn")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is no data set of pushing tasks" in error
    assert not (tmp_path / "run").exists()


def test_the_simulators_gradient_alone_improves_actions(folder: Path) -> None:
    data = Dataset.load(folder / "family.npz")
    soft, hard, known = Execution(data, 0.005), Execution(data), data.batch
    noise = 0.004 * torch.randn(known.p.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    start = Actions(known.p + known.lam / 500.0 + noise, known.p)
    before = hard.outcome(start).losses
    after = hard.outcome(refine(soft, start, iterations=15, learning_rate=2e-3, trial=hard)).losses
    assert (after <= before).all() and after.sum() < 0.6 * before.sum()


def test_what_was_not_trained_is_not_tried(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DatasetConfig("pushing", 0, load_dataset_preset("pushing", {"folder": str(folder), "arch": "nn"})).write(tmp_path)
    assert evaluate.main([str(tmp_path)]) == 2
    assert "nothing was trained here yet" in capsys.readouterr().err


def test_three_fingers_follow_from_the_data(tmp_path: Path) -> None:
    sets = {name: TaskSet(2, shapes) for name, (_, shapes) in PAPER_SETS.items()}
    generate(tmp_path / "data", sets, TaskSettings(num_fingers=3), progress=False)
    assert train.main(arguments(tmp_path / "data", tmp_path / "run", "cvx")) == 0


@pytest.mark.parametrize("setting", ["evaluate_every:0", "batch:-1", "decay:0", "iterations.simulation:0"])
def test_settings_are_checked(setting: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([*arguments(folder, tmp_path / "run", "nn")[:-1], setting]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_table_1_can_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results.json"
    assert pushing_table1.main(["--quick", "--jobs", "1", "--work-dir", str(tmp_path), "--results", str(results)]) == 0
    assert pushing_table1.main(["--table", "--results", str(results)]) == 0
    assert "| DLM |" in capsys.readouterr().out
    pushing_table1.BENCHMARK.plot(pushing_table1.BENCHMARK.rows(results), tmp_path / "plot.png")  # pyright: ignore[reportOptionalCall]
    assert (tmp_path / "plot.png").stat().st_size > 5000

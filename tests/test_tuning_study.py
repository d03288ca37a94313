"""Studies with trials in this process: what is counted, pruned, started again and written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import slide as slide  # registers its environment
import yaml
from optuna.trial import FrozenTrial, TrialState

from gradgym import train
from gradgym.agents.launchers.launcher import Job
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import read_evaluations
from gradgym.agents.tuning.study import Search, Study
from gradgym.agents.tuning.trial import TrialOrder, run_trial

SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True, "format": "lin_{:.3g}"},
    "horizon": {"choices": [5, 10]},
}


def config(total_timesteps: int = 240) -> RunConfig:
    own = ["n_envs:4", "eval_freq:40", "eval_episodes:2", "checkpoint_freq:40", "policy_kwargs.net_arch:[8]"]
    command = ["--algo", "bptt", "--env", "Slide-v0", "--seed", "3", "--hyperparams", *own]
    found = train.configuration([*command, "--total-timesteps", str(total_timesteps)])
    assert isinstance(found, RunConfig)
    return found


class InThisProcess:
    """Runs a trial when it is started; `before` may kill it by returning False."""

    def __init__(self, before: Callable[[TrialOrder], bool] = lambda order: True) -> None:
        self.before, self.started, self.over = before, list[int](), dict[int, str]()

    def start(self, number: int, job: Job) -> None:
        (order,) = job.args
        assert job.func is run_trial and order.number == number
        self.started.append(number)
        if self.before(order):
            job()
        self.over[number] = ""

    def ended(self, timeout: float | None = None) -> dict[int, str]:
        found, self.over = self.over, {}
        return found

    def finish(self) -> None:
        pass


def study(folder: Path, storage: str | None = None) -> Study:
    return Study(config(), SPACE, folder, "study", storage, Search(pruner="none"))


def test_the_best_settings_train_the_same_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = study(tmp_path / "study")
    found.run(3, 2, InThisProcess())
    assert found.best is not None
    values = {trial.number: trial.value for trial in found.study.trials}
    assert list(values) == [0, 1, 2] and found.best.value == max(v for v in values.values() if v is not None)
    assert {trial.params["horizon"] for trial in found.study.trials} <= {"5", "10"}
    for number, value in values.items():
        run_dir = tmp_path / "study" / f"trial-{number}"
        assert value == max(e["mean"] for e in read_evaluations(run_dir))
        hyperparams = RunConfig.read(run_dir).hyperparams
        assert hyperparams["learning_rate"].startswith("lin_") and hyperparams["policy_kwargs"]["net_arch"] == [8]
    best = tmp_path / "study" / "best.yaml"
    assert best.read_text().startswith(f"# Trial {found.best.number} of the study study: return {found.best.value:.4f}")
    command = ["--algo", "bptt", "--env", "Slide-v0", "--seed", "3", "--config", str(best)]
    assert train.main([*command, "--run-dir", str(tmp_path / "again")]) == 0
    assert max(e["mean"] for e in read_evaluations(tmp_path / "again")) == found.best.value


def test_a_study_goes_on_to_as_many_trials_as_are_asked_for(tmp_path: Path) -> None:
    study(tmp_path / "whole").run(2, 1, InThisProcess())
    study(tmp_path).run(1, 1, InThisProcess())
    launcher = InThisProcess()
    found = study(tmp_path)
    found.run(2, 1, launcher)
    assert launcher.started == [1]
    drawn, expected = (one.study.trials for one in (found, study(tmp_path / "whole")))
    assert [trial.params for trial in drawn] == [trial.params for trial in expected]
    assert drawn[0].params != drawn[1].params
    study(tmp_path).run(2, 1, launcher)
    assert launcher.started == [1]
    with pytest.raises(ValueError, match="is of a study with other settings: choose another --study-name"):
        Study(config(total_timesteps=400), SPACE, tmp_path, "study")


class PrunesLater(optuna.pruners.BasePruner):
    """All but the first trial, at their second evaluation."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return trial.number > 0 and trial.last_step == 2


def test_pruned_trials_end_after_the_evaluation(tmp_path: Path) -> None:
    found = study(tmp_path)
    found.pruner = PrunesLater()
    found.run(2, 1, InThisProcess())
    first, second = found.study.trials
    assert (first.state, second.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    numbers = list(first.intermediate_values)
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 5
    assert list(second.intermediate_values) == [1, 2]
    assert read_evaluations(tmp_path / "trial-1")[-1]["timesteps"] < 240
    assert first.intermediate_values[2] == read_evaluations(tmp_path / "trial-0")[1]["mean"]
    best = yaml.safe_load((tmp_path / "best.yaml").read_text())["Slide-v0"]
    assert best["horizon"] == RunConfig.read(tmp_path / "trial-0").hyperparams["horizon"]


def test_settings_that_do_not_fit_fail_and_the_study_goes_on(tmp_path: Path) -> None:
    space = {"adjoint_limit": {"choices": [10.0]}, "horizon": {"choices": [-1]}}
    found = Study(config(), space, tmp_path, "study")
    found.run(2, 1, InThisProcess())
    assert found.errors() == dict.fromkeys((0, 1), "horizon=-1: must be at least 1")
    assert found.best is None and not (tmp_path / "best.yaml").exists()


def test_a_killed_trial_is_started_once_again(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill(order: TrialOrder) -> bool:
        killed.append(order.number)
        return killed.count(order.number) > {0: 1, 1: 2}.get(order.number, 0)

    found, launcher = study(tmp_path), InThisProcess(kill)
    found.run(3, 1, launcher)
    assert launcher.started == [0, 0, 1, 1, 2]
    states = [trial.state for trial in found.study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert found.errors() == {1: "was killed twice"}


def test_trials_of_a_study_that_was_killed_are_gone_on_with(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(order: TrialOrder) -> bool:
        raise Killed

    with pytest.raises(Killed):
        study(tmp_path).run(1, 1, InThisProcess(kill))
    found, launcher = study(tmp_path), InThisProcess()
    found.run(1, 1, launcher)
    assert launcher.started == [0] and [t.state for t in found.study.trials] == [TrialState.COMPLETE]


def test_two_processes_do_not_run_one_study(tmp_path: Path) -> None:
    other = study(tmp_path)

    def run_too(order: TrialOrder) -> bool:
        with pytest.raises(ValueError, match="another process runs this study"):
            other.run(1, 1, InThisProcess())
        return True

    study(tmp_path).run(1, 1, InThisProcess(run_too))


def test_samplers_pruners_and_a_data_base(tmp_path: Path) -> None:
    kinds = [type(Search(pruner=name).make_pruner(30)).__name__ for name in ("median", "halving", "none")]
    assert kinds == ["MedianPruner", "SuccessiveHalvingPruner", "NopPruner"]
    names = [type(Search(sampler=name).make_sampler(0)).__name__ for name in ("tpe", "random")]
    assert names == ["TPESampler", "RandomSampler"]
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study(tmp_path, storage=storage).run(1, 1, InThisProcess())
    assert optuna.load_study(study_name="study", storage=storage).best_value < 0.0
    with pytest.raises(ValueError, match="--storage nothing://a: "):
        study(tmp_path, storage="nothing://a")

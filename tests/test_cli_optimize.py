"""`gradgym-train --optimize`: trials in processes of their own, kills, and going on."""

import os
import signal
import sys
from pathlib import Path

import pytest
from children import only_job, started, wait_for_a_checkpoint
from optuna.trial import TrialState
from searches import search_folder, trials

from gradgym import train


def test_trials_run_beside_each_other_and_the_printed_command_trains_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = search_folder(tmp_path, monkeypatch)
    assert train.main([*command, "--n-trials", "2", "--n-jobs", "2"]) == 0
    first, second = trials(tmp_path)
    assert {first.state, second.state} == {TrialState.COMPLETE}
    assert first.datetime_start < second.datetime_complete and second.datetime_start < first.datetime_complete
    lines = capsys.readouterr().out.splitlines()
    best = max(first.value, second.value)
    assert lines[0] == "Study: search" and f"return {best:.4f}" in lines[1]
    words = lines[-1].split()
    assert words[0] == "gradgym-train"
    assert train.main([*words[1:], "--run-dir", "again"]) == 0
    assert f"best {best:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--n-trials", "5"], "--n-trials 5: is of a search: add --optimize"),
        (["--ray-address", "auto"], "--ray-address auto: is of a search"),
        (["--optimize", "--n-jobs", "0"], "--n-jobs 0: must be at least 1"),
        (["--optimize", "--algo", "grasp"], "--algo grasp trains on a data set, it has no return to search by"),
        (["--optimize", "--resume", "run"], "--resume run: the command that began a study goes on with it"),
        (["--optimize", "--search-space", "nowhere.yaml"], "nowhere.yaml"),
        (["--optimize", "--num-threads", "0"], "--num-threads 0"),
        (["--optimize", "--env", "gradgym/Nothing-v0"], "Nothing"),
        (["--optimize", "--hyperparams", "learning_rat:1"], "learning_rat=1: --algo mbpo has no such setting"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(
    arguments: list[str],
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert part in error and error.count("\n") == 0 and not (tmp_path / "runs").exists()


def test_without_optuna_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    for name in [name for name in sys.modules if name.startswith("gradgym.agents.tuning.")]:
        if not name.endswith("command_line"):
            monkeypatch.delitem(sys.modules, name)
    assert train.main(["--optimize"]) == 2
    error = capsys.readouterr().err.strip()
    assert "pip install 'gradgym[optimize]'" in error and error.count("\n") == 0


@pytest.mark.slow
def test_a_study_survives_kills_of_a_trial_and_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial is killed, then the whole search, then Ctrl-C comes; the study ends as one that was left alone."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        folder.mkdir()
    command = [*search_folder(killed, monkeypatch), "--n-trials", "3", "--total-timesteps", "2000"]
    run_dir = killed / "search"
    child = started(command, killed)
    wait_for_a_checkpoint(child, run_dir / "trial-0")
    only_job(child).kill()
    wait_for_a_checkpoint(child, run_dir / "trial-1")
    assert trials(killed)[0].state is TrialState.COMPLETE
    orphan = only_job(child)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    orphan.wait(20)  # it ends with the search
    assert trials(killed)[1].state is TrialState.RUNNING
    child = started(command, killed)
    wait_for_a_checkpoint(child, run_dir / "trial-2")
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=100)
    assert child.returncode == 130
    assert error.strip().splitlines()[-1] == "gradgym-train: interrupted; the same command goes on"
    assert train.main(command) == 0
    whole_command = [*search_folder(whole, monkeypatch), "--n-trials", "3", "--total-timesteps", "2000"]
    assert train.main(whole_command) == 0
    assert [t.state for t in trials(killed)] == [TrialState.COMPLETE] * 3
    for found, expected in zip(trials(killed), trials(whole), strict=True):
        assert (found.params, found.value) == (expected.params, expected.value)
        assert found.intermediate_values == expected.intermediate_values

"""`gradgym-train --seeds` and `--sweep`: trainings in processes of their own, kills, and going on."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from children import only_job, started, wait_for_a_checkpoint
from searches import search_folder
from sweeps import returns

from gradgym import train

FILE = """
short: {horizon: 5}
long: {horizon: 10, env_kwargs: {max_episode_steps: {choices: [15, 20]}}}
"""


def sweep_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of a training in a working folder with a task of its own."""
    command = search_folder(path, monkeypatch)[1:]
    return command[: command.index("--search-space")]


def same(one: Path, other: Path) -> bool:
    files = [folder / "final_policy.safetensors" for folder in (one, other)]
    return files[0].read_bytes() == files[1].read_bytes() and returns(one) == returns(other)


def test_seeds_are_trained_as_each_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = sweep_folder(tmp_path, monkeypatch)
    assert train.main([*command, "--seeds", "5", "7", "--n-jobs", "2"]) == 0
    shown, folder = capsys.readouterr().out.splitlines(), tmp_path / "runs" / "sweep-bptt-searched-Searched-v0"
    assert shown[0] == f"Sweep: {folder.relative_to(tmp_path)}" and "5: " in shown[-1] and ", 7: " in shown[-1]
    assert train.main([*command, "--seed", "7", "--run-dir", "alone"]) == 0
    assert same(folder / "seed-7", tmp_path / "alone") and not same(folder / "seed-5", tmp_path / "alone")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--seeds", "0", "1", "0"], "--seeds: 0 is given twice"),
        (["--seeds", "0", "--seed", "1"], "--seed 1: --seeds are given too"),
        (["--seeds", "-1"], "--seed -1: must be from 0"),
        (["--seeds", "0", "--optimize"], "--seeds: a search has one --seed and its own --search-space"),
        (["--seeds", "0", "--resume", "run"], "--resume run: the command that began a sweep goes on with it"),
        (["--seeds", "0", "--n-jobs", "0"], "--n-jobs 0: must be at least 1"),
        (["--seeds", "0", "--num-threads", "0"], "--num-threads 0"),
        (["--seeds", "0", "--algo", "grasp"], "--algo grasp trains on a data set, it has no return"),
        (["--seeds", "0", "--hyperparams", "learning_rat:1"], "learning_rat=1: --algo mbpo has no such setting"),
        (["--sweep", "nowhere.yaml"], "nowhere.yaml"),
        (["--sweep", "own.yaml"], "own.yaml: wrong: learning_rat=1: --algo mbpo has no such setting"),
        (["--sweep", "algo.yaml"], "algo.yaml: wrong: algo='nothing': is none of bptt"),
        (["--sweep", "steps.yaml"], "steps.yaml: wrong: total_timesteps='many': must be a positive integer"),
        (["--n-jobs", "2"], "--n-jobs 2: is of a search or a sweep: add --optimize, --seeds or --sweep"),
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
    for name, setting in (("own", "learning_rat: 1"), ("algo", "algo: nothing"), ("steps", "total_timesteps: many")):
        (tmp_path / f"{name}.yaml").write_text(f"wrong: {{{setting}}}")
    assert train.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert part in error and error.count("\n") == 0 and not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_sweep_survives_kills_of_a_run_and_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run is killed, then the whole sweep, then Ctrl-C comes; it ends as the commands of the single runs."""
    own = [*sweep_folder(tmp_path, monkeypatch), "--total-timesteps", "2000"]
    (tmp_path / "sweep.yaml").write_text(FILE)
    command = [*own, "--sweep", "sweep.yaml", "--seeds", "3"]
    runs = [tmp_path / "runs" / "sweep-sweep" / name / "seed-3" for name in ("short", "long,max_episode_steps=15")]
    child = started(command, tmp_path)
    wait_for_a_checkpoint(child, runs[0])
    only_job(child).kill()
    wait_for_a_checkpoint(child, runs[1])
    assert (runs[0] / "final_policy.safetensors").exists()
    orphan = only_job(child)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    psutil.wait_procs([orphan], timeout=20)
    assert not orphan.is_running()  # it ends with the sweep
    child = started(command, tmp_path)
    runs.append(runs[1].parent.with_name("long,max_episode_steps=20") / "seed-3")
    wait_for_a_checkpoint(child, runs[2])
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=100)
    assert child.returncode == 130
    assert error.strip().splitlines()[-1] == "gradgym-train: interrupted; the same command goes on"
    assert not (runs[2] / "final_policy.safetensors").exists()
    capsys.readouterr()
    assert train.main(command) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[3:]] == [run.parent.name for run in runs]
    place = own.index("--hyperparams") + 1
    changes = (("horizon:5", []), ("horizon:10", ["max_episode_steps:15"]), ("horizon:10", ["max_episode_steps:20"]))
    for number, (run, (horizon, steps)) in enumerate(zip(runs, changes, strict=True)):
        alone = tmp_path / f"alone-{number}"
        settings = [*own[:place], horizon, *own[place:], *(["--env-kwargs", *steps] if steps else [])]
        assert train.main([*settings, "--seed", "3", "--run-dir", str(alone)]) == 0
        assert same(run, alone)

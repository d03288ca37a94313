"""Sweeps with runs in this process: what is trained, gone on with, started again, and told of."""

import csv
from functools import partial
from pathlib import Path

import pytest
from sweeps import COMMAND, InThisProcess, config, returns

from gradgym import train
from gradgym.agents.launchers.launcher import run_jobs
from gradgym.agents.sweeps.run import train_in
from gradgym.agents.sweeps.sweep import Sweep
from gradgym.agents.sweeps.table import table


def test_each_run_is_that_of_the_single_command(tmp_path: Path) -> None:
    found = Sweep(tmp_path / "sweep", [("", config(seed)) for seed in (3, 4)])
    launcher = InThisProcess()
    found.run(launcher, 1)
    assert launcher.started == [0, 1] and found.errors() == {}
    best: list[float] = []
    for seed in (3, 4):
        assert train.main([*COMMAND, "--seed", str(seed), "--run-dir", str(tmp_path / f"alone-{seed}")]) == 0
        folders = tmp_path / "sweep" / f"seed-{seed}", tmp_path / f"alone-{seed}"
        one, other = ((folder / "final_policy.safetensors").read_bytes() for folder in folders)
        assert one == other and returns(folders[0]) == returns(folders[1])
        best.append(max(mean for _, mean, _ in returns(folders[0])))
    assert returns(tmp_path / "alone-3") != returns(tmp_path / "alone-4")
    mean, deviation = sum(best) / 2, abs(best[0] - best[1]) / 2
    row = table(found.runs).splitlines()[-1]
    assert f"{mean:.4f} ± {deviation:.4f} (2)" in row and f"3: {best[0]:.4f}, 4: {best[1]:.4f}" in row
    with (tmp_path / "sweep" / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["seed"], float(line["best"]), line["run_dir"]) for line in lines] == [
        ("3", best[0], "seed-3"),
        ("4", best[1], "seed-4"),
    ]


def test_more_seeds_go_on_and_other_settings_do_not(tmp_path: Path) -> None:
    Sweep(tmp_path, [("a", config(0))]).run(InThisProcess(), 1)
    launcher = InThisProcess()
    Sweep(tmp_path, [("a", config(0)), ("a", config(1)), ("b", config(0))]).run(launcher, None)
    assert launcher.started == [1, 2]
    with pytest.raises(ValueError, match="a/seed-0: holds a run of other settings: choose another folder"):
        Sweep(tmp_path, [("a", config(0, "--env-kwargs", "max_episode_steps:10"))])


def test_a_killed_run_goes_on_as_long_as_it_comes_further(tmp_path: Path) -> None:
    found = Sweep(tmp_path, [("", config(seed)) for seed in (0, 1)])

    def kill(number: int) -> str:
        """The first run dies in three places, of which the last is before any checkpoint; the second always."""
        checkpoint = found.runs[0].run_dir / "checkpoint.pkl"
        deaths = launcher.started.count(0)
        if number == 0 and deaths <= 3:
            checkpoint.unlink(missing_ok=True)
            if deaths < 3:
                checkpoint.write_bytes(b"further")
        return "killed by SIGKILL" if number == 1 or deaths <= 3 else ""

    launcher = InThisProcess(kill)
    found.run(launcher, 1)
    assert launcher.started == [0, 0, 0, 0, 1, 1]  # the first has a new checkpoint each time, the second none
    assert found.errors() == {found.runs[1].run_dir: "ended twice without a step: killed by SIGKILL"}
    row = table(found.runs).splitlines()[-1]
    assert "(1)" in row and "1: - " in row


def test_an_error_ends_its_run_alone_and_is_tried_again(tmp_path: Path) -> None:
    broken = config(0, "--callback", "sweeps:NotThere")
    found = Sweep(tmp_path, [("broken", broken), ("whole", config(0))])
    found.run(InThisProcess(), 1)
    ((run_dir, error),) = found.errors().items()
    assert run_dir == tmp_path / "broken" / "seed-0" and error.startswith("ValueError: ") and "NotThere" in error
    assert "Traceback" in (run_dir / "error.txt").read_text()
    assert found.runs[1].complete and table(found.runs).splitlines()[-2].endswith("| 0: -              |")
    launcher = InThisProcess()
    again = Sweep(tmp_path, [("broken", broken), ("whole", config(0))])
    again.run(launcher, 1)
    assert launcher.started == [0]


def test_two_processes_do_not_run_one_sweep(tmp_path: Path) -> None:
    other = Sweep(tmp_path, [("", config(0))])
    tried: list[int] = []

    def run_too(number: int) -> str:
        with pytest.raises(ValueError, match="another process runs this sweep, wait for it or end it"):
            other.run(InThisProcess(), 1)
        tried.append(number)
        return ""

    Sweep(tmp_path, [("", config(0))]).run(InThisProcess(run_too), 1)
    assert tried == [0]


def test_a_folder_that_a_node_does_not_see_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: no run folder, config\.yaml is missing"):
        train_in(tmp_path / "nowhere", 1)
    assert not (tmp_path / "nowhere").exists()


def test_no_more_than_so_many_at_once_and_an_interrupt_reaches_all() -> None:
    class Counting(InThisProcess):
        most = 0

        def start(self, number: int, job: object) -> None:
            self.started.append(number)
            self.over[number] = ""
            self.most = max(self.most, len(self.over))

    jobs = {number: partial(print) for number in range(5)}
    for at_once, most in ((2, 2), (None, 5)):
        launcher = Counting()
        run_jobs(jobs, launcher, at_once, lambda number, how: False, lambda: None)
        assert launcher.started == list(range(5)) and launcher.most == most and not launcher.finished

    def interrupt() -> None:
        if len(launcher.started) >= 2:
            raise KeyboardInterrupt

    launcher = Counting()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, launcher, 2, lambda number, how: False, interrupt)
    assert launcher.started == [0, 1] and launcher.finished

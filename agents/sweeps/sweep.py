"""A sweep in a folder: its runs, so many at once, until all are complete; new, or gone on with.

[<row>/]seed-<n>/   the run folder of each training
results.csv         a line for each complete run
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NoReturn

import yaml
from tqdm import tqdm

from ..launchers.folder_lock import locked
from ..launchers.launcher import Launcher, run_jobs
from ..training.configuration import RunConfig
from .run import SweepRun, forget_error, train_in
from .table import write_csv


class Sweep:
    """Trainings beside each other.

    Args:
        folder: for all of them.
        configs: with the name of the row of the table that each belongs to, "" where there is only one.
        num_threads: torch's, of a training.

    Raises:
        ValueError: the folder holds runs of other settings.
    """

    def __init__(self, folder: Path, configs: list[tuple[str, RunConfig]], num_threads: int = 1) -> None:
        self.folder, self.num_threads = folder, num_threads
        self.runs = [SweepRun(row, config, folder.absolute() / row / f"seed-{config.seed}") for row, config in configs]
        for run in self.runs:
            _check_same(run)
        self._ended_at: dict[int, int | None] = {}
        self._lost: dict[int, str] = {}
        self._written = -1

    def run(self, launcher: Launcher, at_once: int | None) -> None:
        """Trains what is not complete, `at_once` at the same time, None for all.

        A run that was interrupted or killed goes on from its checkpoint; one whose process is killed here too, as long
        as it comes further each time. One that an error ended before is tried again.

        ValueError: another process runs the sweep.
        KeyboardInterrupt: Ctrl-C, after checkpoints of the runs.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder, "sweep"), self._bar() as bar:
            left = {number: run for number, run in enumerate(self.runs) if not run.complete}
            for run in left.values():
                run.config.write(run.run_dir)
                forget_error(run.run_dir)
            jobs = {number: partial(train_in, run.run_dir, self.num_threads) for number, run in left.items()}
            run_jobs(jobs, launcher, at_once, self._again, lambda: self._watch(bar))

    def _bar(self) -> "tqdm[NoReturn]":
        return tqdm(total=sum(run.config.total_timesteps for run in self.runs), unit="step", mininterval=0.5)

    def _watch(self, bar: "tqdm[NoReturn]") -> None:
        """Steps as of the last evaluations; a complete run counts as all that were planned, though time may end it."""
        complete = [run.complete for run in self.runs]
        steps = [
            run.config.total_timesteps if done else min(run.steps, run.config.total_timesteps)
            for run, done in zip(self.runs, complete, strict=True)
        ]
        failed = len(self.errors())
        state = f"{sum(complete)} of {len(self.runs)} runs" + (f", {failed} failed" if failed else "")
        bar.set_description(state, refresh=False)
        bar.update(sum(steps) - bar.n)
        if sum(complete) != self._written:
            write_csv(self.folder / "results.csv", self.runs)
            self._written = sum(complete)

    def _again(self, number: int, how: str) -> bool:
        """Whether a run whose process has ended goes on: it was killed, and further than where it was before."""
        run = self.runs[number]
        if run.complete or run.error is not None:
            return False
        if number in self._ended_at and self._ended_at[number] == run.checkpoint:
            self._lost[number] = how
            return False
        self._ended_at[number] = run.checkpoint
        return True

    def errors(self) -> dict[Path, str]:
        """Of runs that are not complete: what ended them."""
        found = {run.run_dir: run.error for run in self.runs if not run.complete}
        lost = {self.runs[number].run_dir: f"ended twice without a step: {how}" for number, how in self._lost.items()}
        return {run_dir: error for run_dir, error in found.items() if error is not None} | lost


def _check_same(run: SweepRun) -> None:
    if not (run.run_dir / "config.yaml").exists():
        return
    if RunConfig.read(run.run_dir) != RunConfig(**yaml.safe_load(yaml.safe_dump(asdict(run.config)))):
        raise ValueError(f"{run.run_dir}: holds a run of other settings: choose another folder with --run-dir")

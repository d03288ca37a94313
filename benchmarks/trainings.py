"""What benchmarks that train share: runs that are stored one by one, and the command line.

A finished run is stored at once; a benchmark that was killed goes on with the others, and so does
one that finds stored results (delete that file and the work folder to make all of them again). A
run that was killed starts again, because its seconds are measured. With `--ray-address` runs are
tasks of a Ray cluster, one processor each; the work folder is then one that all nodes share.
"""

import argparse
import json
import os
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from gradgym.agents.launchers.command_line import make_launcher
from gradgym.agents.launchers.launcher import run_jobs
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.provenance import machine, versions
from gradgym.agents.training.run import Run
from gradgym.agents.training.whole_file import written_beside

Row = dict[str, Any]
_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of trainings.

    Args:
        name: of its script and of its results.
        key: entries that tell its rows apart; the arguments of `train` in the same order.
        train: makes the row of one run; further arguments `quick` and `work_dir`.
        table: the rows as markdown.
        plot: draws the rows into a file, where a table does not say it all.
    """

    name: str
    key: tuple[str, ...]
    train: Callable[..., Row]
    table: Callable[[list[Row]], str]
    plot: Callable[[list[Row], Path], None] | None = None

    @property
    def results(self) -> Path:
        return _RESULTS / f"{self.name}.json"

    def rows(self, path: Path | None = None) -> list[Row]:
        """The stored rows; none if the file is missing."""
        path = path or self.results
        return json.loads(path.read_text())["rows"] if path.exists() else []

    def identity(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.key)

    def parser(self, doc: str | None) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
        parser.add_argument("--quick", action="store_true", help="a few steps and one seed, to try the script")
        parser.add_argument(
            "--jobs", type=int, help="runs at once, one core each; default: 2, on a cluster as many as it has cores"
        )
        parser.add_argument("--ray-address", metavar="auto|HOST:PORT", help="runs are tasks of this cluster")
        parser.add_argument("--work-dir", type=Path, default=Path("runs") / self.name)
        parser.add_argument("--results", type=Path, default=self.results)
        parser.add_argument("--table", action="store_true", help="print the stored results as markdown")
        if self.plot is not None:
            parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the stored results")
        return parser

    def main(self, arguments: argparse.Namespace, jobs: Sequence[tuple[Any, ...]]) -> int:
        """Shows what is stored, or runs the jobs that are not."""
        file = None if self.plot is None else arguments.plot
        if arguments.table:
            print(self.table(self.rows(arguments.results)))
        if self.plot is not None and file is not None:
            self.plot(self.rows(arguments.results), file)
        return 0 if arguments.table or file is not None else self._run(arguments, jobs)

    def _run(self, arguments: argparse.Namespace, jobs: Sequence[tuple[Any, ...]]) -> int:
        """Makes the rows that are not stored; returns the exit code."""
        work_dir: Path = arguments.work_dir.absolute()
        store = work_dir / f"{self.name}-rows"  # benchmarks may share a folder
        store.mkdir(parents=True, exist_ok=True)
        stored = self.rows(arguments.results)
        found = [*stored, *map(_read, sorted(store.glob("*.json")))]
        rows = {self.identity(row): row for row in found}
        if len(rows) > len(stored):  # a benchmark was killed before it took them over
            self._write(arguments.results, list(rows.values()))
        missing = [job for job in jobs if job not in rows]
        files = [store / f"{_file_name(job)}.json" for job in missing]
        for file in files:
            file.with_suffix(".error").unlink(missing_ok=True)
        errors: dict[tuple[Any, ...], str] = {}
        killed: set[int] = set()

        def again(number: int, how: str) -> bool:
            """Takes the row that was made; what made none and said no error was killed, and is tried once more."""
            file, error = files[number], files[number].with_suffix(".error")
            if file.exists():
                row = _read(file)
                rows[self.identity(row)] = row
                self._write(arguments.results, list(rows.values()))
                bar.update()
            elif error.exists() or number in killed:
                errors[missing[number]] = error.read_text() if error.exists() else f"ended twice: {how}"
            else:
                killed.add(number)
                return True
            return False

        os.environ["OMP_NUM_THREADS"] = os.environ["GRADGYM_NUM_THREADS"] = "1"  # inherited by the workers
        at_once = arguments.jobs or (2 if arguments.ray_address is None else None)
        launcher = make_launcher(arguments.ray_address, at_once or 1, modules=(Path(__file__).parent,))
        train = partial(self.train, quick=arguments.quick, work_dir=work_dir)
        work = {
            number: partial(_store, file, train, job)
            for number, (file, job) in enumerate(zip(files, missing, strict=True))
        }
        with tqdm(total=len(missing), unit="run") as bar:
            run_jobs(work, launcher, at_once, again, bar.refresh)
        for job, error in errors.items():
            print(f"{self.name} {' '.join(map(str, job))}: {error}", file=sys.stderr)
        return 1 if errors else 0

    def _write(self, path: Path, rows: list[Row]) -> None:
        content = {
            "command": f"python benchmarks/{self.name}.py",
            "versions": versions(),
            "machine": machine(),
            "rows": sorted(rows, key=self.identity),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        first = f'{{"{self.key[0]}":'
        with written_beside(path) as temporary:
            temporary.write_text(json.dumps(content, separators=(",", ":")).replace(first, "\n" + first) + "\n")


def _file_name(job: tuple[Any, ...]) -> str:
    return re.sub(r"[^\w.+-]+", "-", "-".join(map(str, job)))


def _store(file: Path, train: Callable[..., Row], job: tuple[Any, ...]) -> None:
    """In a worker: makes a row and writes it to a file, or beside it what went wrong."""
    try:
        row = train(*job)
    except Exception:  # the others go on
        file.with_suffix(".error").write_text(traceback.format_exc())
        return
    with written_beside(file) as temporary:
        temporary.write_text(json.dumps({"row": row, "machine": machine()}))


def _read(file: Path) -> Row:
    """The row of a worker; where that was another machine than this one, with what it was."""
    found = json.loads(file.read_text())
    return found["row"] if found["machine"] == machine() else {**found["row"], "machine": found["machine"]}


def train_run(config: RunConfig, run_dir: Path, *callbacks: BaseCallback) -> tuple[Run, Row]:
    """One training from its start, and what every row says of it."""
    torch.set_num_threads(1)
    shutil.rmtree(run_dir, ignore_errors=True)
    wall, cpu = time.perf_counter(), time.process_time()
    run = Run(config, run_dir)
    config.write(run_dir)
    run.train(*callbacks)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    row = {
        "env_steps": run.algorithm.num_timesteps,
        "updates": run.algorithm._n_updates,  # noqa: SLF001 # pyright: ignore[reportAttributeAccessIssue]
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "curve": [[e["timesteps"], round(e["mean"], 4)] for e in run.evaluation.evaluations],
    }
    return run, row


def table_line(cells: Sequence[Any]) -> str:
    """One line of a markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"

"""What benchmarks that train share: runs that are stored one by one, and the command line.

A finished run is stored at once; a benchmark that was killed goes on with the others, and so does
one that finds stored results (delete the file to make all of them again).
"""

import argparse
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.provenance import machine, versions
from gradgym.agents.training.run import Run

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
        parser.add_argument("--jobs", type=int, default=2, help="processes, one core each")
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
        if not arguments.table and file is None:
            self._run(arguments, jobs)
        return 0

    def _run(self, arguments: argparse.Namespace, jobs: Sequence[tuple[Any, ...]]) -> None:
        work_dir: Path = arguments.work_dir
        work_dir.mkdir(parents=True, exist_ok=True)
        store = work_dir / f"{self.name}.jsonl"  # benchmarks may share a folder
        found = self.rows(arguments.results)
        found += [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
        rows = {self.identity(row): row for row in found}
        missing = [job for job in jobs if job not in rows]
        os.environ["OMP_NUM_THREADS"] = os.environ["GRADGYM_NUM_THREADS"] = "1"  # inherited by the workers
        with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
            train = partial(self.train, quick=arguments.quick, work_dir=work_dir)
            futures = [pool.submit(train, *job) for job in missing]
            for future in tqdm(as_completed(futures), total=len(futures), unit="run"):
                row = future.result()
                rows[self.identity(row)] = row
                with store.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                self._write(arguments.results, list(rows.values()))

    def _write(self, path: Path, rows: list[Row]) -> None:
        content = {
            "command": f"python benchmarks/{self.name}.py",
            "versions": versions(),
            "machine": machine(),
            "rows": sorted(rows, key=self.identity),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        first = f'{{"{self.key[0]}":'
        temporary.write_text(json.dumps(content, separators=(",", ":")).replace(first, "\n" + first) + "\n")
        os.replace(temporary, path)


def _end_with_parent() -> None:
    """In a worker: a benchmark that was killed leaves nobody behind who goes on with its jobs."""

    def wait() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


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

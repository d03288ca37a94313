"""What came of a sweep: a line for each run in a file, and a table of means over the seeds."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..training.evaluation import read_evaluations
from ..training.whole_file import written_beside
from .run import SweepRun

_COLUMNS = ("row", "seed", "best", "final", "timesteps", "seconds", "run_dir")


def _results(runs: Sequence[SweepRun]) -> list[tuple[SweepRun, float, float, int, float]]:
    """Of each complete run: greatest and last mean return of its evaluations, steps, seconds of training."""
    found = [(run, read_evaluations(run.run_dir)) for run in runs if run.complete]
    return [
        (run, max(e["mean"] for e in evaluations), last["mean"], int(last["timesteps"]), last["seconds"])
        for run, evaluations in found
        for last in evaluations[-1:]
    ]


def write_csv(path: Path, runs: Sequence[SweepRun]) -> None:
    """The complete runs; folders are relative to the file's."""
    with written_beside(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for run, best, final, timesteps, seconds in _results(runs):
            where = run.run_dir.relative_to(path.absolute().parent)
            writer.writerow([run.row, run.config.seed, best, final, timesteps, seconds, where])


def table(runs: Sequence[SweepRun]) -> str:
    """Markdown: mean and standard deviation over the seeds, and the best of each."""
    found = {(run.row, run.config.seed): (best, final) for run, best, final, *_ in _results(runs)}
    lines = [["", "best", "final", "best of each seed"]]
    for row in dict.fromkeys(run.row for run in runs):
        seeds = [run.config.seed for run in runs if run.row == row]
        returns = [found[row, seed] for seed in seeds if (row, seed) in found]
        means = [_mean([pair[column] for pair in returns]) for column in (0, 1)]
        each = ", ".join(f"{s}: {found[row, s][0]:.4f}" if (row, s) in found else f"{s}: -" for s in seeds)
        lines.append([row or "return", *means, each])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f} ± {np.std(values):.4f} ({len(values)})" if values else "-"

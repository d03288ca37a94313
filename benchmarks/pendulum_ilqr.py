"""iLQR on the n-link pendulum: how soon it swings up chains of 5 to 20 links, and whether MuJoCo agrees.

    python benchmarks/pendulum_ilqr.py              # runs what is missing, writes results/pendulum_ilqr.json
    python benchmarks/pendulum_ilqr.py --table      # prints the stored results as markdown

It goes on from what is stored (see `trainings.py`). Returns and seconds as in `pendulum_bptt.py`; settings were chosen
on seeds from 100, and the seeds of the runs are below 100.
"""

import sys
from pathlib import Path

import pendulum_bptt
from trainings import Benchmark, Row

GOALS = {**pendulum_bptt.GOALS, 20: 198.0}


def train(n_links: int, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training and its row."""
    return pendulum_bptt.train(n_links, seed, quick, work_dir, "ilqr", GOALS)


def table(rows: list[Row]) -> str:
    """As that of `pendulum_bptt.py`."""
    return pendulum_bptt.table(rows, GOALS)


BENCHMARK = Benchmark("pendulum_ilqr", ("n", "seed"), train, table)


def main(argv: list[str] | None = None) -> int:
    return pendulum_bptt.run(BENCHMARK, GOALS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())

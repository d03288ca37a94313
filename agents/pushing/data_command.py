"""Makes the data sets of planar pushing.

gradgym-pushing-data pushing/data --seed 0
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ...envs.polygon import Polygon
from .dataset import Dataset
from .generation import PAPER_SETS, TaskSet, TaskSettings, generate
from .tasks import OwnPolygons, SmoothShapes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradgym-pushing-data", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the data; what is there already is not made again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-fingers", type=int, default=2)
    parser.add_argument("--knots", type=int, default=5, help="of a motion, 0.1 s apart")
    for name in ("training", "finetuning"):
        count = PAPER_SETS[name].tasks
        parser.add_argument(f"--{name}", type=int, default=count, metavar="TASKS", help=f"of this set; default {count}")
    parser.add_argument("--smooth", type=int, default=0, metavar="TASKS", help="a fifth set, of smooth shapes")
    parser.add_argument("--polygons", type=Path, nargs="+", default=(), metavar="FILE", help="a set of own objects")
    parser.add_argument("--own", type=int, default=40, metavar="TASKS", help="of the set of own objects")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    return parser


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        counts = {"training": arguments.training, "finetuning": arguments.finetuning}
        sets = {name: TaskSet(counts.get(name, count), shapes) for name, (count, shapes) in PAPER_SETS.items()}
        if arguments.smooth > 0:
            sets["smooth"] = TaskSet(arguments.smooth, SmoothShapes())
        if arguments.polygons:
            for file in arguments.polygons:
                Polygon.load(file)
            sets["own"] = TaskSet(arguments.own, OwnPolygons(tuple(map(str, arguments.polygons))))
        settings = TaskSettings(arguments.seed, arguments.num_fingers, arguments.knots)
        seconds = generate(arguments.folder, sets, settings, arguments.jobs)
        Console().print(_table(arguments.folder, sets, seconds))
    except (ValueError, ImportError, OSError) as error:
        print(f"gradgym-pushing-data: {error}", file=sys.stderr)
        return 2
    return 0


def _table(folder: Path, sets: Mapping[str, TaskSet], seconds: Mapping[str, float]) -> Table:
    title = "object-trajectory losses, cm^2; draws not kept: out of reach, infeasible, failed in simulation"
    columns = ("set", "tasks", "plans, worst", "in MuJoCo", "median", "held", "absent", "not kept", "oracle, ms")
    table = Table(*columns, title=title)
    for name in sets:
        tasks = Dataset.load(folder / f"{name}.npz").tasks
        plan, mujoco, held, absent = np.array([task.losses for task in tasks]).T
        shown = (plan.max(), mujoco.max(), np.median(plan), held.mean(), absent.mean())
        not_kept = ", ".join(map(str, np.sum([task.rejected for task in tasks], axis=0)))
        numbers = [f"{x:.2f}" for x in shown] + [not_kept, f"{1e3 * seconds[name]:.0f}"]
        table.add_row(name, str(len(tasks)), *numbers)
    return table


if __name__ == "__main__":
    sys.exit(main())

"""The options of a sweep, and what `gradgym-train` does with them."""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium

from ..launchers.command_line import make_launcher
from ..training.algorithm import ALGORITHMS
from ..training.configuration import DatasetConfig, RunConfig
from ..training.dataset_training import DATASET_TRAININGS
from .settings import Row, applied, load_rows
from .sweep import Sweep
from .table import table


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of sweeps, to the training command."""
    group = parser.add_argument_group(
        "sweep",
        "Several trainings, each in its folder and its process, and a table of them. The same command goes on where "
        "it was interrupted or killed.",
    )
    group.add_argument("--seeds", type=int, nargs="+", help="of the trainings, in place of --seed")
    group.add_argument("--sweep", type=Path, metavar="FILE.yaml", help="settings: a block for each row of the table")


def is_sweep(arguments: argparse.Namespace) -> bool:
    """Whether the options ask for one."""
    return arguments.seeds is not None or arguments.sweep is not None


def check_options(arguments: argparse.Namespace) -> None:
    """ValueError for options that do not fit."""
    if not is_sweep(arguments):
        return
    option = "--sweep" if arguments.seeds is None else "--seeds"
    if arguments.optimize:
        raise ValueError(f"{option}: a search has one --seed and its own --search-space, leave out {option}")
    if arguments.resume is not None:
        raise ValueError(f"--resume {arguments.resume}: the command that began a sweep goes on with it, leave it out")
    if arguments.seeds is not None and arguments.seed is not None:
        raise ValueError(f"--seed {arguments.seed}: --seeds are given too, leave one of them out")
    seeds: list[int] = arguments.seeds or []
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise ValueError(f"--seeds: {seed} is given twice")


def configurations(
    arguments: argparse.Namespace, new_config: Callable[[argparse.Namespace], RunConfig | DatasetConfig]
) -> list[tuple[str, RunConfig]]:
    """Those of all runs, each with the name of its row; `new_config` makes one from a command's arguments.

    ValueError: one that cannot be trained.
    """
    rows = [Row("", {})] if arguments.sweep is None else load_rows(arguments.sweep)
    found: list[tuple[str, RunConfig]] = []
    for row in rows:
        try:
            found += [(row.name, config) for config in _row_configs(applied(row, arguments), new_config)]
        except (ValueError, TypeError, gymnasium.error.Error) as error:
            where = "" if arguments.sweep is None else f"{arguments.sweep}: {row.name}: "
            raise ValueError(f"{where}{str(error).strip()}") from error
    return found


def _row_configs(
    arguments: argparse.Namespace, new_config: Callable[[argparse.Namespace], RunConfig | DatasetConfig]
) -> Iterator[RunConfig]:
    """One for each seed."""
    known = {*ALGORITHMS, *DATASET_TRAININGS}
    if arguments.algo is not None and arguments.algo not in known:
        raise ValueError(f"algo={arguments.algo!r}: is none of {', '.join(sorted(known))}")
    seeds = [arguments.seed] if arguments.seeds is None else arguments.seeds
    for seed in seeds:
        config = new_config(argparse.Namespace(**{**vars(arguments), "seed": seed}))
        if not isinstance(config, RunConfig):
            raise ValueError(f"--algo {config.algo} trains on a data set, it has no return for the table of a sweep")
        if seed == seeds[0]:
            ALGORITHMS[config.algo].from_config(config)  # refuses now what each run would fail with
        yield config


def sweep(found: Sweep, arguments: argparse.Namespace) -> int:
    """Runs it to its end and prints the table; returns the exit code.

    ValueError: another process runs the sweep, or there is no cluster.
    """
    at_once = arguments.n_jobs or (1 if arguments.ray_address is None else None)
    gpu = any(str(run.config.hyperparams.get("device", "")).startswith("cuda") for run in found.runs)
    found.run(make_launcher(arguments.ray_address, at_once or 1, gpu), at_once)
    print(table(found.runs))
    errors = found.errors()
    for run_dir, error in errors.items():
        print(f"{run_dir}: {error}", file=sys.stderr)
    return 1 if errors else 0

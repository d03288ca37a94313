"""The options of `gradgym-train --optimize`, and what it does."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..launchers.command_line import make_launcher
from ..training.configuration import RunConfig

if TYPE_CHECKING:
    from .study import Study

_DEFAULTS: dict[str, Any] = {
    "n_trials": 50,
    "sampler": "tpe",
    "pruner": "median",
    "n_startup_trials": 10,
    "study_name": None,
    "storage": None,
    "search_space": None,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of the search, to the training command."""
    group = parser.add_argument_group(
        "search for hyper-parameters",
        "The same command goes on with a study; the other options are those of each trial, and what --hyperparams "
        "gives is not searched. Needs the extra `optimize`.",
    )
    group.add_argument("--optimize", action="store_true", help="search, in place of one training")
    group.add_argument("--n-trials", type=int, help="of the study in all, pruned ones too; default: 50")
    group.add_argument("--sampler", choices=["tpe", "random"], help="default: tpe")
    group.add_argument("--pruner", choices=["median", "halving", "none"], help="default: median")
    group.add_argument("--n-startup-trials", type=int, help="before sampler and pruner begin; default: 10")
    group.add_argument("--study-name", help="default: that of its folder, runs/optimize-<algo>-<env>-<seed>")
    group.add_argument("--storage", help="a file for Optuna's journal, or a data base's URL; default: in the folder")
    group.add_argument("--search-space", type=Path, metavar="FILE.yaml", help="in place of the algorithm's own")


def check_options(arguments: argparse.Namespace) -> None:
    """Puts in what is not given; ValueError for options that do not fit."""
    for name, default in _DEFAULTS.items():
        value = getattr(arguments, name)
        if value is not None and not arguments.optimize:
            raise ValueError(f"--{name.replace('_', '-')} {value}: is of a search: add --optimize, or leave it out")
        setattr(arguments, name, default if value is None else value)
    for name, least in (("n_trials", 1), ("n_startup_trials", 0)):
        if getattr(arguments, name) < least:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(arguments, name)}: must be at least {least}")


def prepared(config: RunConfig, changes: dict[str, Any], arguments: argparse.Namespace, folder: Path) -> "Study":
    """The study in its folder, new or continued; `changes` are the settings that stay fixed.

    ValueError: Optuna is missing, or as `Study`.
    """
    try:
        from .space import load_space
        from .storage import quiet
        from .study import Search, Study
    except ImportError as error:
        raise ValueError(f"--optimize: {error}: pip install 'gradgym[optimize]'") from error
    quiet()
    search = Search(arguments.sampler, arguments.pruner, arguments.n_startup_trials, config.seed)
    space = load_space(config.algo, arguments.search_space, changes)
    storage, threads = arguments.storage, arguments.num_threads
    return Study(config, space, folder, arguments.study_name or folder.name, storage, search, threads)


def optimize(study: "Study", arguments: argparse.Namespace, same: list[str]) -> int:
    """Runs it to its end and prints what is best, with the command `same` that trains it; returns the exit code.

    ValueError: another process runs the study, or there is no cluster.
    """
    at_once = arguments.n_jobs or 1
    gpu = str(study.config.hyperparams.get("device", "")).startswith("cuda")
    study.run(arguments.n_trials, at_once, make_launcher(arguments.ray_address, at_once, gpu))
    for number, error in study.errors().items():
        print(f"trial {number} failed: {error}", file=sys.stderr)
    best = study.best
    if best is None:
        print("gradgym-train: error: no trial was trained to its end", file=sys.stderr)
        return 1
    print(f"Best: trial {best.number}, return {best.value:.4f}")
    for name, value in best.params.items():
        print(f"  {name}: {value}")
    print(f"gradgym-train {shlex.join([*same, '--config', str(study.folder / 'best.yaml')])}")
    return 0

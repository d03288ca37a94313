"""Trains an algorithm on an environment, or on a data set, in a folder from which the training can be resumed.

gradgym-train --algo mbpo --enhancement policy --env gradgym/NLinkPendulum-v0 --env-kwargs n_links:5 --seed 0
gradgym-train --algo shac --env gradgym/Hopper-v0 --seeds 0 1 2 --n-jobs 3
gradgym-train --optimize --algo shac --env gradgym/Hopper-v0 --n-trials 50 --n-jobs 4
"""

import argparse
import os
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import torch

# Absolute, because this file also runs as a script, which belongs to no package.
from gradgym.agents import ALGORITHMS, DATASET_TRAININGS
from gradgym.agents.launchers import command_line as launching
from gradgym.agents.sweeps import command_line as sweeping
from gradgym.agents.sweeps.sweep import Sweep
from gradgym.agents.training.configuration import (
    DatasetConfig,
    RunConfig,
    full_id,
    load_changes,
    load_dataset_preset,
    load_preset,
    merged,
    parse_settings,
    read_config,
)
from gradgym.agents.training.dataset_training import DatasetTraining
from gradgym.agents.training.interruption import interruptible
from gradgym.agents.training.progress_bar import ProgressBar
from gradgym.agents.training.run import Run
from gradgym.agents.tuning.command_line import add_options, check_options, optimize, prepared

if TYPE_CHECKING:
    from gradgym.agents.tuning.study import Study

_ALGO, _ENV = "mbpo", "gradgym/NLinkPendulum-v0"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradgym-train", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--algo", choices=sorted([*ALGORITHMS, *DATASET_TRAININGS]), help=f"default: {_ALGO}")
    parser.add_argument(
        "--enhancement", help="sample or policy: how mbpo uses the simulator's gradients; one of its hyperparams"
    )
    parser.add_argument("--arch", help="nn, nnm, mdr, cvx or dlm: what pushing trains; one of its hyperparams")
    parser.add_argument(
        "--env", help=f"environment id, or module:id, whose module may be in the working folder; default: {_ENV}"
    )
    parser.add_argument("--env-kwargs", nargs="+", default=[], metavar="KEY:VALUE")
    parser.add_argument("--seed", type=int, help="default: 0")
    parser.add_argument("--total-timesteps", type=int, help="environment steps; default: the preset's")
    parser.add_argument(
        "--hyperparams", nargs="+", default=[], metavar="KEY:VALUE", help="changes in the preset, see agents/presets"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE.yaml",
        help="changes in the preset from a file of its form: a block for each environment id, or one named default",
    )
    parser.add_argument(
        "--callback",
        nargs="+",
        default=[],
        metavar="MODULE:CLASS",
        help="callbacks of SB3's kind, by import path; with arguments: 'MODULE:CLASS:{argument: value}'",
    )
    parser.add_argument("--run-dir", type=Path, help="default: runs/<algo>-<env>-<seed>, or runs/<algo>-<seed>")
    parser.add_argument(
        "--resume", type=Path, metavar="RUN_DIR", help="go on with a run, to more --total-timesteps if given"
    )
    parser.add_argument("--device", help="cpu, or cuda for a GPU: where networks and, for shac, environments are")
    parser.add_argument(
        "--num-threads", type=int, default=1, help="torch's threads; small networks are fastest with the default, 1"
    )
    sweeping.add_options(parser)
    add_options(parser)
    launching.add_options(parser)
    return parser


def _changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line changes in the preset; before its file."""
    changes = parse_settings(arguments.hyperparams)
    changes |= {
        name: value for name in ("arch", "enhancement", "device") if (value := getattr(arguments, name)) is not None
    }
    if arguments.config is None:
        return changes
    block = "default" if arguments.algo in DATASET_TRAININGS else full_id(arguments.env or _ENV)
    given = {**parse_settings(arguments.env_kwargs), **changes}
    return merged(load_changes(arguments.config, block, given), changes)


def _new_config(arguments: argparse.Namespace) -> RunConfig | DatasetConfig:
    algo, seed = arguments.algo or _ALGO, arguments.seed or 0
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed {seed}: must be from 0 to {2**32 - 1}")
    changes, env_kwargs = _changes(arguments), parse_settings(arguments.env_kwargs)
    if algo in DATASET_TRAININGS:
        for name in ("env", "env_kwargs", "total_timesteps", "callback"):
            if value := getattr(arguments, name):
                raise ValueError(
                    f"{_option(name)} {_words(value)}: --algo {algo} trains on a data set, not an environment"
                )
        return DatasetConfig(algo, seed, load_dataset_preset(algo, changes))
    env = full_id(_ENV if arguments.env is None else arguments.env)
    settings = load_preset(algo, env, changes, env_kwargs)
    if arguments.total_timesteps is not None:
        settings["total_timesteps"] = arguments.total_timesteps
    return RunConfig.from_settings(
        settings, algo=algo, env=env, seed=seed, env_kwargs=env_kwargs, callbacks=arguments.callback
    )


def configuration(argv: list[str]) -> RunConfig | DatasetConfig:
    """What the command with these arguments trains, if it does not resume a run; ValueError for what cannot be."""
    return _new_config(_parser().parse_args(argv))


def _resumed_config(arguments: argparse.Namespace) -> RunConfig | DatasetConfig:
    """The run's own, with more steps where they are asked for."""
    for name in (
        "algo",
        "enhancement",
        "arch",
        "env",
        "env_kwargs",
        "seed",
        "hyperparams",
        "config",
        "callback",
        "device",
        "run_dir",
    ):
        if (value := getattr(arguments, name)) not in (None, []):
            raise ValueError(
                f"{_option(name)} {_words(value)}: --resume goes on with a run's own settings, leave it out"
            )
    config, steps = read_config(arguments.resume), arguments.total_timesteps
    if steps is None:
        return config
    if not isinstance(config, RunConfig):
        raise ValueError(f"--total-timesteps {steps}: --algo {config.algo} trains on a data set")
    if steps <= config.total_timesteps:
        raise ValueError(f"--total-timesteps {steps}: the run has {config.total_timesteps} already, ask for more")
    return replace(config, total_timesteps=steps)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _name(config: RunConfig | DatasetConfig) -> str:
    env = [config.env.replace("/", "-").replace(":", "-")] if isinstance(config, RunConfig) else []
    return "-".join([config.algo, *env, str(config.seed)])


def _new_folder(config: RunConfig | DatasetConfig, chosen: Path | None) -> Path:
    run_dir = chosen or _unused(Path("runs") / _name(config))
    _check_folder(run_dir)
    if (run_dir / "config.yaml").exists():
        raise ValueError(f"{run_dir}: holds a run already; go on with --resume {run_dir}, or choose another folder")
    return run_dir


def _check_folder(run_dir: Path) -> None:
    """ValueError if it can be neither written to nor made."""
    there = next(path for path in (run_dir, *run_dir.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"{run_dir}: {there} is a file, choose another folder with --run-dir")
    if not os.access(there, os.W_OK):
        raise ValueError(f"{run_dir}: {there} cannot be written to, choose another folder with --run-dir")


def _unused(path: Path) -> Path:
    """The path itself, or with the first free number behind it."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _result(run: Run) -> str:
    final, best = run.evaluation.evaluations[-1]["mean"], run.evaluation.best
    maximum = "" if run.max_return is None else f" (maximum {run.max_return:.4f})"
    return f"Return: best {best:.4f}, final {final:.4f}{maximum}"


def _check_threads(num_threads: int) -> None:
    if num_threads < 1:
        raise ValueError(f"--num-threads {num_threads}: must be at least 1")


def _prepared(arguments: argparse.Namespace) -> tuple[Run | DatasetTraining, Path]:
    """The training, and its folder with its configuration."""
    _check_threads(arguments.num_threads)
    torch.set_num_threads(arguments.num_threads)
    if arguments.resume is not None:
        config, run_dir = _resumed_config(arguments), arguments.resume
        if isinstance(config, RunConfig):
            full_id(config.env)  # its module may be in the working folder
    else:
        config = _new_config(arguments)
        run_dir = _new_folder(config, arguments.run_dir)
    if not isinstance(config, RunConfig):
        training = DATASET_TRAININGS[config.algo](config, run_dir)
    else:
        training = Run(config, run_dir)
        if arguments.resume is not None and not training.resumed:
            print(f"{run_dir}: has no checkpoint, so the training starts again from step 0", file=sys.stderr)
        if arguments.total_timesteps is not None and training.time_limit.reached:
            raise ValueError(f"{run_dir}: the max_minutes={config.max_minutes} of the run are over, no step is left")
    config.write(run_dir)
    return training, run_dir


def _prepared_study(arguments: argparse.Namespace) -> tuple["Study", list[str]]:
    """The study, new or continued, and the arguments that train one of its configurations, but for what is best."""
    if arguments.resume is not None:
        raise ValueError(f"--resume {arguments.resume}: the command that began a study goes on with it, leave it out")
    _check_threads(arguments.num_threads)
    config = _new_config(arguments)
    if not isinstance(config, RunConfig):
        raise ValueError(f"--optimize: --algo {config.algo} trains on a data set, it has no return to search by")
    ALGORITHMS[config.algo].from_config(config)  # refuses now what each trial would fail with
    folder = arguments.run_dir or Path("runs") / (arguments.study_name or f"optimize-{_name(config)}")
    _check_folder(folder)
    same = ["--algo", config.algo, "--env", config.env]
    for option in ("env_kwargs", "callback"):
        same += [_option(option), *getattr(arguments, option)] if getattr(arguments, option) else []
    return prepared(config, _changes(arguments), arguments, folder), [*same, "--seed", str(config.seed)]


def _optimize(arguments: argparse.Namespace) -> int:
    try:
        study, same = _prepared_study(arguments)
        print(f"Study: {study.folder}")
        return optimize(study, arguments, same)
    except KeyboardInterrupt:
        print("gradgym-train: interrupted; the same command goes on", file=sys.stderr)
        return 130


def _prepared_sweep(arguments: argparse.Namespace) -> Sweep:
    """The sweep, new or gone on with."""
    _check_threads(arguments.num_threads)
    configs = sweeping.configurations(arguments, _new_config)
    name = _name(configs[0][1]).rpartition("-")[0] if arguments.sweep is None else arguments.sweep.stem
    folder = arguments.run_dir or Path("runs") / f"sweep-{name}"
    _check_folder(folder)
    return Sweep(folder, configs, arguments.num_threads)


def _sweep(arguments: argparse.Namespace) -> int:
    try:
        found = _prepared_sweep(arguments)
        print(f"Sweep: {found.folder}")
        return sweeping.sweep(found, arguments)
    except KeyboardInterrupt:
        print("gradgym-train: interrupted; the same command goes on", file=sys.stderr)
        return 130


def _train(training: Run | DatasetTraining) -> None:
    if not isinstance(training, Run):
        training.train()
        return
    with interruptible(training.checkpoints), closing(ProgressBar(training)) as bar:
        training.train(bar)
    print(_result(training))


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        launching.check_options(arguments, arguments.optimize or sweeping.is_sweep(arguments))
        check_options(arguments)
        sweeping.check_options(arguments)
        if arguments.optimize:
            return _optimize(arguments)
        if sweeping.is_sweep(arguments):
            return _sweep(arguments)
        training, run_dir = _prepared(arguments)
    except (ValueError, TypeError, ImportError, OSError, gymnasium.error.Error) as error:
        print(f"gradgym-train: error: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gradgym-train: interrupted before it began", file=sys.stderr)
        return 130
    print(f"Run folder: {run_dir}")
    try:
        _train(training)
    except KeyboardInterrupt:
        print(f"gradgym-train: interrupted; go on with --resume {run_dir}", file=sys.stderr)
        return 130
    except (OSError, ArithmeticError) as error:  # the disk is full, say, or a loss is not finite
        print(f"gradgym-train: error: {error}; go on with --resume {run_dir}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

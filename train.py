"""Trains an algorithm on an environment, or on a data set, in a folder from which the training can be resumed.

gradgym-train --algo mbpo --enhancement policy --env gradgym/NLinkPendulum-v0 --env-kwargs n_links:5 --seed 0
"""

import argparse
import sys
from pathlib import Path

import gymnasium
import torch
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

# Absolute, because this file also runs as a script, which belongs to no package.
from gradgym.agents import ALGORITHMS, DATASET_TRAININGS
from gradgym.agents.training.configuration import (
    DatasetConfig,
    RunConfig,
    load_dataset_preset,
    load_preset,
    parse_settings,
    read_config,
)
from gradgym.agents.training.run import Run

_ENV = "gradgym/NLinkPendulum-v0"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradgym-train", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--algo", choices=sorted([*ALGORITHMS, *DATASET_TRAININGS]), default="mbpo")
    parser.add_argument(
        "--enhancement", help="sample or policy: how mbpo uses the simulator's gradients; one of its hyperparams"
    )
    parser.add_argument("--env", help=f"environment id; default: {_ENV}")
    parser.add_argument("--env-kwargs", nargs="+", default=[], metavar="KEY:VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--total-timesteps", type=int, help="environment steps; default: the preset's")
    parser.add_argument(
        "--hyperparams", nargs="+", default=[], metavar="KEY:VALUE", help="changes in the preset, see agents/presets"
    )
    parser.add_argument("--run-dir", type=Path, help="default: runs/<algo>-<env>-<seed>, or runs/<algo>-<seed>")
    parser.add_argument("--resume", type=Path, metavar="RUN_DIR", help="go on with a run; other settings are its own")
    parser.add_argument(
        "--num-threads", type=int, default=1, help="torch's threads; small networks are fastest with the default, 1"
    )
    return parser


class _ProgressBar(BaseCallback):
    """Environment steps, with the latest and best evaluation."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def _on_training_start(self) -> None:
        self.bar = tqdm(total=self.run.config.total_timesteps, initial=self.num_timesteps, unit="step", mininterval=0.5)

    def _on_step(self) -> bool:
        self.bar.update(self.num_timesteps - int(self.bar.n))
        return True

    def _on_rollout_start(self) -> None:
        if self.run.evaluation.evaluations:
            last, best = self.run.evaluation.evaluations[-1]["mean"], self.run.evaluation.best
            self.bar.set_description(f"return {last:.3f}, best {best:.3f}")

    def _on_training_end(self) -> None:
        self.bar.close()


def _new_config(arguments: argparse.Namespace) -> RunConfig | DatasetConfig:
    changes = parse_settings(arguments.hyperparams)
    if arguments.algo in DATASET_TRAININGS:
        for name in ("enhancement", "env", "env_kwargs", "total_timesteps"):
            if value := getattr(arguments, name):
                option = "--" + name.replace("_", "-")
                raise ValueError(f"{option} {value}: --algo {arguments.algo} trains on a data set, not an environment")
        return DatasetConfig(arguments.algo, arguments.seed, load_dataset_preset(arguments.algo, changes))
    if arguments.enhancement is not None:
        changes["enhancement"] = arguments.enhancement
    env = _ENV if arguments.env is None else arguments.env
    settings = load_preset(arguments.algo, env, changes)
    if arguments.total_timesteps is not None:
        settings["total_timesteps"] = arguments.total_timesteps
    env_kwargs = parse_settings(arguments.env_kwargs)
    return RunConfig.from_settings(settings, algo=arguments.algo, env=env, seed=arguments.seed, env_kwargs=env_kwargs)


def _new_folder(config: RunConfig | DatasetConfig, chosen: Path | None) -> Path:
    env = [config.env.replace("/", "-")] if isinstance(config, RunConfig) else []
    run_dir = chosen or _unused(Path("runs") / "-".join([config.algo, *env, str(config.seed)]))
    if (run_dir / "config.yaml").exists():
        raise ValueError(f"{run_dir}: holds a run already; go on with --resume {run_dir}, or choose another folder")
    return run_dir


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


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.num_threads)
    try:
        if arguments.resume is not None:
            config, run_dir = read_config(arguments.resume), arguments.resume
        else:
            config = _new_config(arguments)
            run_dir = _new_folder(config, arguments.run_dir)
        if isinstance(config, RunConfig):
            training = Run(config, run_dir)
        else:
            training = DATASET_TRAININGS[config.algo](config, run_dir)
        config.write(run_dir)
    except (ValueError, TypeError, ImportError, OSError, gymnasium.error.Error) as error:
        first_line = str(error).strip().splitlines()[0]
        print(f"gradgym-train: error: {first_line}", file=sys.stderr)
        return 2
    print(f"Run folder: {run_dir}")
    if isinstance(training, Run):
        training.train(_ProgressBar(training))
        print(_result(training))
    else:
        training.train()
    return 0


if __name__ == "__main__":
    sys.exit(main())

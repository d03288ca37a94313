"""Returns of a run's best policy on one or several backends, the gaps between them, and a video of it.

Of a training on a data set: how it does on what it did not see.

gradgym-evaluate RUN_DIR --backend sim mujoco gymnasium --episodes 20 --video out.mp4
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import gymnasium
import imageio
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

# Absolute, because this file also runs as a script, which belongs to no package.
from gradgym.agents import DATASET_TRAININGS
from gradgym.agents.training.algorithm import Policy
from gradgym.agents.training.configuration import DatasetConfig, RunConfig, full_id, read_config
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.run import load_best

_VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradgym-evaluate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument(
        "--backend",
        nargs="+",
        choices=["sim", "mujoco", "gymnasium"],
        help="gymnasium: the environment of Gymnasium's own that is the same task; gaps are to the first; "
        "default: sim mujoco",
    )
    parser.add_argument("--episodes", type=int, help="on each backend, from the same seeds; default: 20")
    parser.add_argument("--seed", type=int, help="of the first episode; default: 0")
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="of one episode on the first backend")
    return parser


def _make_env(config: RunConfig, backend: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """The run's environment on a backend."""
    if backend != "gymnasium":
        return config.make_env(backend=backend, **kwargs)
    env = config.make_env()
    counterpart = getattr(env.unwrapped, "counterpart", None)
    if counterpart is None:
        raise ValueError(f"--backend gymnasium: Gymnasium has no environment that is {config.env}")
    env_id, arguments = counterpart
    limit = None if env.spec is None else env.spec.max_episode_steps
    return gymnasium.make(env_id, max_episode_steps=limit or -1, **{**arguments, **kwargs})


def _returns(
    policy: Policy, env: gymnasium.Env[Any, Any], episodes: int, seed: int, backend: str
) -> NDArray[np.float64]:
    """Those of `evaluate_returns`, with a progress bar."""
    bar = tqdm(range(seed, seed + episodes), desc=backend, unit="episode", leave=False)
    return np.concatenate([evaluate_returns(policy, env, 1, one) for one in bar])


def _gap(mean: float, reference: float, name: str) -> str:
    """How far a mean return is from another, absolute and relative."""
    percent = f" ({100 * (mean - reference) / abs(reference):+.3f} %)" if reference else ""
    return f", gap to {name} {mean - reference:+.4f}{percent}"


def _record(policy: Policy, env: gymnasium.Env[Any, Any], seed: int, path: Path) -> None:
    """Films one episode."""
    with imageio.get_writer(path, fps=env.metadata["render_fps"]) as writer, tqdm(unit="frame") as bar:

        def keep(frame: Any) -> None:
            writer.append_data(frame)  # pyright: ignore[reportAttributeAccessIssue] (the stub lacks it)
            bar.update()

        evaluate_returns(policy, env, 1, seed, on_frame=keep)


def _refuse_all(arguments: argparse.Namespace, config: DatasetConfig) -> None:
    """ValueError if there are options of episodes, which a training on a data set has not."""
    for name in ("backend", "episodes", "seed", "video"):
        if (value := getattr(arguments, name)) is not None:
            shown = " ".join(value) if isinstance(value, list) else value
            why = f"--algo {config.algo} has no environment, all it was not trained on is tried"
            raise ValueError(f"--{name} {shown}: {why}: leave it out")


def _check(arguments: argparse.Namespace) -> None:
    """Puts in what is not given; ValueError for what would fail only after the evaluation."""
    for name, default in (("backend", ["sim", "mujoco"]), ("episodes", 20), ("seed", 0)):
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    if arguments.episodes < 1:
        raise ValueError(f"--episodes {arguments.episodes}: must be at least 1")
    if arguments.seed < 0:
        raise ValueError(f"--seed {arguments.seed}: must not be negative")
    video: Path | None = arguments.video
    if video is not None:
        if video.suffix not in _VIDEO_SUFFIXES:
            raise ValueError(f"--video {video}: give the file one of the suffixes {', '.join(_VIDEO_SUFFIXES)}")
        if video.is_dir() or not os.access(video if video.exists() else video.absolute().parent, os.W_OK):
            raise ValueError(f"--video {video}: cannot be written there, choose a file in a folder that exists")


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(1)
    try:
        config = read_config(arguments.run_dir)
        if isinstance(config, DatasetConfig):
            _refuse_all(arguments, config)
            DATASET_TRAININGS[config.algo](config, arguments.run_dir).evaluate()
            return 0
        _check(arguments)
        full_id(config.env)  # its module may be in the working folder
        policy = load_best(arguments.run_dir)
        envs = {backend: _make_env(config, backend) for backend in arguments.backend}
    except (ValueError, TypeError, ImportError, OSError, gymnasium.error.Error) as error:
        print(f"gradgym-evaluate: error: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 2
    first = arguments.backend[0]
    maximum = getattr(envs[first].unwrapped, "max_return", None)
    means: dict[str, float] = {}
    for backend, env in envs.items():
        returns = _returns(policy, env, arguments.episodes, arguments.seed, backend)
        means[backend] = float(returns.mean())
        beside = "" if maximum is None else f" (maximum {maximum:.4f})"
        beside += "" if backend == first else _gap(means[backend], means[first], first)
        print(f"{backend:9s} return {means[backend]:.4f} +- {returns.std():.4f} over {len(returns)} episodes{beside}")
    if arguments.video is not None:
        env = _make_env(config, first, render_mode="rgb_array")
        _record(policy, env, arguments.seed, arguments.video)
        print(f"Video: {arguments.video}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

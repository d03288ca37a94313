"""Returns of a run's best policy on one or several backends, the gaps between them, and a video of it.

Of a training on a data set: how it does on what it did not see.

gradgym-evaluate RUN_DIR --backend sim mujoco gymnasium --episodes 20 --video out.mp4
gradgym-evaluate RUN_DIR --view
"""

import argparse
import math
import os
import re
import sys
from pathlib import Path
from typing import Any

import gymnasium
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
from gradgym.agents.training.watching import check_window, film, view

_VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi")
_SMALLEST, _LARGEST = 16, 4096  # a video's width and height


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradgym-evaluate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument(
        "--backend",
        nargs="+",
        choices=["sim", "mujoco", "gymnasium"],
        default=["sim", "mujoco"],
        help="gymnasium: the environment of Gymnasium's own that is the same task; gaps are to the first",
    )
    parser.add_argument("--episodes", type=int, default=20, help="on each backend, from the same seeds")
    parser.add_argument("--seed", type=int, default=0, help="of the first episode")
    parser.add_argument(
        "--view", action="store_true", help="show the episodes on the first backend in MuJoCo's window, in real time"
    )
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="of one episode on the first backend")
    parser.add_argument("--video-seconds", type=float, metavar="S", help="its length, of several episodes if need be")
    parser.add_argument("--video-size", metavar="WIDTHxHEIGHT", help="its pixels; default: 480x480")
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


def _video_size(arguments: argparse.Namespace) -> dict[str, int]:
    """As arguments of the environment; ValueError for what no video has."""
    given: str | None = arguments.video_size
    if given is None:
        return {}
    found = re.fullmatch(r"(\d+)x(\d+)", given)
    width, height = map(int, found.groups()) if found else (0, 0)
    if not all(_SMALLEST <= size <= _LARGEST and size % 2 == 0 for size in (width, height)):
        raise ValueError(f"--video-size {given}: write WIDTHxHEIGHT, both even, from {_SMALLEST} to {_LARGEST}")
    return {"width": width, "height": height}


def _line(backend: str, returns: NDArray[np.float64], maximum: float | None = None) -> str:
    beside = "" if maximum is None else f" (maximum {maximum:.4f})"
    return f"{backend:9s} return {returns.mean():.4f} +- {returns.std():.4f} over {len(returns)} episodes{beside}"


def _evaluate(policy: Policy, envs: dict[str, gymnasium.Env[Any, Any]], arguments: argparse.Namespace) -> None:
    """Prints a line for each backend, with the gap to the first."""
    first = arguments.backend[0]
    maximum = getattr(envs[first].unwrapped, "max_return", None)
    reference: float | None = None
    for backend, env in envs.items():
        returns = _returns(policy, env, arguments.episodes, arguments.seed, backend)
        gap = "" if reference is None else _gap(float(returns.mean()), reference, first)
        print(_line(backend, returns, maximum) + gap)
        reference = float(returns.mean()) if reference is None else reference


def _check(arguments: argparse.Namespace) -> None:
    """ValueError for what would fail only after the evaluation."""
    if arguments.episodes < 1:
        raise ValueError(f"--episodes {arguments.episodes}: must be at least 1")
    if arguments.seed < 0:
        raise ValueError(f"--seed {arguments.seed}: must not be negative")
    video: Path | None = arguments.video
    for name in ("video_seconds", "video_size"):
        if video is None and (value := getattr(arguments, name)) is not None:
            raise ValueError(f"--{name.replace('_', '-')} {value}: is of a video, name its file with --video")
    if arguments.video_seconds is not None and not 0.0 < arguments.video_seconds < math.inf:
        raise ValueError(f"--video-seconds {arguments.video_seconds}: must be finite and more than 0")
    _video_size(arguments)
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
        _check(arguments)
        config = read_config(arguments.run_dir)
        if isinstance(config, DatasetConfig):
            for option, given in (("--video", arguments.video), ("--view", arguments.view)):
                if given:
                    raise ValueError(f"{option}: --algo {config.algo} has no environment to watch")
            DATASET_TRAININGS[config.algo](config, arguments.run_dir).evaluate()
            return 0
        full_id(config.env)  # its module may be in the working folder
        policy = load_best(arguments.run_dir)
        first = arguments.backend[0]
        envs = {name: _make_env(config, name) for name in arguments.backend}
        if arguments.view:
            check_window(envs[first], config.env)
    except (ValueError, TypeError, ImportError, OSError, gymnasium.error.Error) as error:
        print(f"gradgym-evaluate: error: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 2
    if arguments.view:
        returns = view(policy, envs[first], arguments.episodes, arguments.seed)
        print(_line(first, np.array(returns)) if returns else "Window closed before an episode had ended")
    else:
        _evaluate(policy, envs, arguments)
    if arguments.video is not None:
        env = _make_env(config, first, render_mode="rgb_array", **_video_size(arguments))
        made = film(policy, env, arguments.seed, arguments.video, arguments.video_seconds)
        size = f"{made.width}x{made.height}, {made.frames} frames, {made.seconds:.1f} s"
        print(f"Video: {arguments.video} ({size})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

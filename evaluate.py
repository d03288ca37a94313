"""Returns of a trained policy on one or several backends, the gaps between them, and a video of it.

Of a training on a data set: how it does on what it did not see. Nothing that a folder or file holds is executed.

gradgym-evaluate RUN_DIR --backend sim mujoco gymnasium --episodes 20 --video out.mp4
gradgym-evaluate RUN_DIR --view
gradgym-evaluate --pretrained gradgym/Ant-v0
"""

import argparse
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
from gradgym.agents.pretrained import pretrained
from gradgym.agents.training.algorithm import Policy
from gradgym.agents.training.configuration import DatasetConfig, parse_settings, read_config
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.film import check_film, film, size_of
from gradgym.agents.training.policy_file import TrainedPolicy, load_policy
from gradgym.agents.training.run import load_best
from gradgym.agents.training.tensor_file import SUFFIX
from gradgym.agents.training.watching import check_window, view


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradgym-evaluate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "path", type=Path, nargs="?", metavar="RUN", help="a run folder, or a policy file, .safetensors"
    )
    parser.add_argument("--pretrained", metavar="ENV", help="in place of RUN: the policy that comes with gradgym")
    parser.add_argument(
        "--env-kwargs", nargs="+", default=[], metavar="KEY:VALUE", help="which of several policies, with --pretrained"
    )
    parser.add_argument(
        "--backend",
        nargs="+",
        choices=["sim", "mujoco", "gymnasium"],
        help="gymnasium: the environment of Gymnasium's own that is the same task; gaps are to the first; "
        "default: sim mujoco",
    )
    parser.add_argument("--episodes", type=int, help="on each backend, from the same seeds; default: 20")
    parser.add_argument("--seed", type=int, help="of the first episode; default: 0")
    parser.add_argument(
        "--view", action="store_true", help="show the episodes on the first backend in MuJoCo's window, in real time"
    )
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="of one episode on the first backend")
    parser.add_argument("--video-seconds", type=float, metavar="S", help="its length, of several episodes if need be")
    parser.add_argument("--video-size", metavar="WIDTHxHEIGHT", help="its pixels; default: 480x480")
    return parser


def _make_env(policy: TrainedPolicy, backend: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """The policy's environment on a backend."""
    if backend != "gymnasium":
        return policy.make_env(backend=backend, **kwargs)
    env = policy.make_env()
    counterpart = getattr(env.unwrapped, "counterpart", None)
    if counterpart is None:
        raise ValueError(f"--backend gymnasium: Gymnasium has no environment that is {policy.header.env}")
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


def _refuse_all(arguments: argparse.Namespace, config: DatasetConfig) -> None:
    """ValueError if there are options of episodes, which a training on a data set has not."""
    for name in ("backend", "episodes", "seed", "view", "video"):
        if value := getattr(arguments, name):
            shown = "" if value is True else " ".join(["", *map(str, value if isinstance(value, list) else [value])])
            why = f"--algo {config.algo} has no environment, all it was not trained on is tried"
            raise ValueError(f"--{name}{shown}: {why}: leave it out")


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


def _check_which(arguments: argparse.Namespace) -> None:
    """ValueError unless one policy is named."""
    if (arguments.path is None) == (arguments.pretrained is None):
        raise ValueError("give a run folder, a policy file, or --pretrained ENV: one of them")
    if arguments.env_kwargs and arguments.pretrained is None:
        raise ValueError(f"--env-kwargs {arguments.env_kwargs[0]}: a file has its own, they go with --pretrained")


def _check(arguments: argparse.Namespace) -> None:
    """Puts in what is not given; ValueError for what would fail only after the evaluation."""
    for name, default in (("backend", ["sim", "mujoco"]), ("episodes", 20), ("seed", 0)):
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    if arguments.episodes < 1:
        raise ValueError(f"--episodes {arguments.episodes}: must be at least 1")
    if arguments.seed < 0:
        raise ValueError(f"--seed {arguments.seed}: must not be negative")
    if arguments.video is not None:
        check_film(arguments.video, arguments.video_seconds, arguments.video_size)
        return
    for name in ("video_seconds", "video_size"):
        if (value := getattr(arguments, name)) is not None:
            raise ValueError(f"--{name.replace('_', '-')} {value}: is of a video, name its file with --video")


def _evaluated_on_data(arguments: argparse.Namespace) -> bool:
    """Whether the folder's training was on a data set; then its evaluation is printed."""
    if arguments.path is None or arguments.path.suffix == SUFFIX:
        return False
    config = read_config(arguments.path)
    if not isinstance(config, DatasetConfig):
        return False
    _refuse_all(arguments, config)
    DATASET_TRAININGS[config.algo](config, arguments.path).evaluate()
    return True


def _policy(arguments: argparse.Namespace) -> TrainedPolicy:
    if arguments.path is None:
        return pretrained(arguments.pretrained, **parse_settings(arguments.env_kwargs))
    return load_policy(arguments.path) if arguments.path.suffix == SUFFIX else load_best(arguments.path)


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(1)
    try:
        _check_which(arguments)
        if _evaluated_on_data(arguments):
            return 0
        _check(arguments)
        policy, first = _policy(arguments), arguments.backend[0]
        envs = {backend: _make_env(policy, backend) for backend in arguments.backend}
        if arguments.view:
            check_window(envs[first], policy.header.env)
    except (ValueError, TypeError, ImportError, OSError, gymnasium.error.Error) as error:
        print(f"gradgym-evaluate: error: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 2
    if arguments.view:
        returns = view(policy, envs[first], arguments.episodes, arguments.seed)
        print(_line(first, np.array(returns)) if returns else "Window closed before an episode had ended")
    else:
        _evaluate(policy, envs, arguments)
    if arguments.video is not None:
        env = _make_env(policy, first, render_mode="rgb_array", **size_of(arguments.video_size))
        made = film(policy, env, arguments.seed, arguments.video, arguments.video_seconds)
        print(f"Video: {arguments.video} ({made})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

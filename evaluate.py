"""Returns of a run's best policy on one or several backends, and a video of it.

gradgym-evaluate RUN_DIR --backend sim mujoco --episodes 20 --video out.mp4
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import gymnasium
import imageio
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from tqdm import tqdm

from .agents.evaluation import evaluate_returns
from .agents.runs import RunConfig, load_best


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradgym-evaluate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument("--backend", nargs="+", choices=["sim", "mujoco"], default=["sim", "mujoco"])
    parser.add_argument("--episodes", type=int, default=20, help="on each backend, from the same seeds")
    parser.add_argument("--seed", type=int, default=0, help="of the first episode")
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="of one episode on the first backend")
    return parser


def _record(algorithm: BaseAlgorithm, env: gymnasium.Env[Any, Any], seed: int, path: Path) -> None:
    """Films one episode."""
    with imageio.get_writer(path, fps=env.metadata["render_fps"]) as writer, tqdm(unit="frame") as bar:

        def keep(frame: Any) -> None:
            writer.append_data(frame)  # pyright: ignore[reportAttributeAccessIssue] (the stub lacks it)
            bar.update()

        evaluate_returns(algorithm, env, 1, seed, on_frame=keep)


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(1)
    try:
        if arguments.episodes < 1:
            raise ValueError(f"--episodes {arguments.episodes}: must be at least 1")
        config = RunConfig.read(arguments.run_dir)
        algorithm = load_best(arguments.run_dir)
        envs = {backend: config.make_env(backend=backend) for backend in arguments.backend}
    except (ValueError, TypeError, gymnasium.error.Error) as error:
        print(f"gradgym-evaluate: error: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 2
    maximum = getattr(envs[arguments.backend[0]].unwrapped, "max_return", None)
    for backend, env in envs.items():
        returns = evaluate_returns(algorithm, env, arguments.episodes, arguments.seed)
        beside = "" if maximum is None else f" (maximum {maximum:.4f})"
        print(f"{backend:8s} return {returns.mean():.4f} +- {returns.std():.4f} over {len(returns)} episodes{beside}")
    if arguments.video is not None:
        env = config.make_env(backend=arguments.backend[0], render_mode="rgb_array")
        _record(algorithm, env, arguments.seed, arguments.video)
        print(f"Video: {arguments.video}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

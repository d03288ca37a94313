"""Videos of a policy's episodes."""

import os
from pathlib import Path
from typing import Any

import gymnasium
import imageio
from tqdm import tqdm

from .algorithm import Policy
from .evaluation import evaluate_returns

_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi")


def check_film(path: Path) -> None:
    """ValueError if no video can be written there."""
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"--video {path}: give the file one of the suffixes {', '.join(_SUFFIXES)}")
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ValueError(f"--video {path}: cannot be written there, choose a file in a folder that exists")


def film(policy: Policy, env: gymnasium.Env[Any, Any], seed: int, path: Path) -> float:
    """Films one episode of an environment with `render_mode="rgb_array"`; its return."""
    with imageio.get_writer(path, fps=env.metadata["render_fps"]) as writer, tqdm(unit="frame") as bar:

        def keep(frame: Any) -> None:
            writer.append_data(frame)  # pyright: ignore[reportAttributeAccessIssue] (the stub lacks it)
            bar.update()

        return float(evaluate_returns(policy, env, 1, seed, on_frame=keep)[0])

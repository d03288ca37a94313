"""Videos of a policy's episodes."""

import math
import os
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import imageio
from tqdm import tqdm

from .algorithm import Policy
from .evaluation import rewards

_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi")
_SMALLEST, _LARGEST = 16, 4096  # width and height


class Film(NamedTuple):
    """What was written."""

    frames: int
    width: int  # [pixels]
    height: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, {self.frames} frames, {self.seconds:.1f} s"


def check_film(path: Path, seconds: float | None = None, size: str | None = None) -> None:
    """ValueError if no video can be written there, or none of that length and size."""
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"--video {path}: give the file one of the suffixes {', '.join(_SUFFIXES)}")
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ValueError(f"--video {path}: cannot be written there, choose a file in a folder that exists")
    if seconds is not None and not 0.0 < seconds < math.inf:
        raise ValueError(f"--video-seconds {seconds}: must be finite and more than 0")
    size_of(size)


def size_of(given: str | None) -> dict[str, int]:
    """WIDTHxHEIGHT as arguments of an environment; ValueError for what no video has."""
    if given is None:
        return {}
    found = re.fullmatch(r"(\d+)x(\d+)", given)
    width, height = map(int, found.groups()) if found else (0, 0)
    if not all(_SMALLEST <= size <= _LARGEST and size % 2 == 0 for size in (width, height)):
        raise ValueError(f"--video-size {given}: write WIDTHxHEIGHT, both even, from {_SMALLEST} to {_LARGEST}")
    return {"width": width, "height": height}


def film(policy: Policy, env: gymnasium.Env[Any, Any], seed: int, path: Path, seconds: float | None = None) -> Film:
    """Writes a video of the first episode from a seed, or of as many as fill `seconds`, with a progress bar.

    `env` has the render mode "rgb_array".
    """
    fps = env.metadata["render_fps"]
    limit = None if env.spec is None else env.spec.max_episode_steps
    wanted = None if seconds is None else max(1, round(seconds * fps))
    total = wanted or (None if limit is None else limit + 1)
    shape, frames = (0, 0), 0
    with imageio.get_writer(path, fps=fps, macro_block_size=2) as writer:
        for frame in tqdm(_frames(policy, env, seed, wanted), total=total, desc="video", unit="frame", leave=False):
            writer.append_data(frame)  # pyright: ignore[reportAttributeAccessIssue] (the stub lacks it)
            shape, frames = frame.shape, frames + 1
    return Film(frames, shape[1], shape[0], frames / fps)


def _frames(policy: Policy, env: gymnasium.Env[Any, Any], seed: int, wanted: int | None) -> Iterator[Any]:
    """Pictures of one episode, or as many as are wanted, of episodes one after the other."""
    made = 0
    for episode in count(seed):
        for _ in rewards(policy, env, episode):
            yield env.render()
            made += 1
            if made == wanted:
                return
        if wanted is None:
            return

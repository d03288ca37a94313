"""Checkpoints from which a training goes on exactly as if it had not been interrupted.

Unlike SB3's `save`, which keeps what `predict` and a new `learn` need, a checkpoint holds the whole
algorithm: replay memory, optimizers, the environment in the middle of its episode, and the state of
all random generators; and how long it has trained. It is a pickle: load only those you wrote.
"""

import pickle
import random
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from .clock import TrainingClock
from .whole_file import written_beside


class Checkpoint(NamedTuple):
    """What `load_checkpoint` finds."""

    algorithm: Any  # as it was saved, without a logger
    seconds: float  # spent in training


class _Pickler(cloudpickle.Pickler):
    """Leaves out loggers, which hold open files."""

    def persistent_id(self, obj: Any) -> str | None:
        return "logger" if isinstance(obj, Logger) else None


class _Unpickler(pickle.Unpickler):
    """Puts None in their places."""

    def persistent_load(self, pid: str) -> None:
        return None


def save_checkpoint(algorithm: Any, path: Path, seconds: float) -> None:
    """Writes beside `path` and then renames, so that a complete checkpoint exists at any time."""
    content = {
        "algorithm": algorithm,
        "seconds": seconds,
        "random": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 (SB3 draws from the global generator)
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }
    with written_beside(path) as temporary, temporary.open("wb") as file:
        _Pickler(file).dump(content)


def load_checkpoint(path: Path) -> Checkpoint:
    """The algorithm and its time; sets the global random generators too.

    ValueError: the file is damaged, or was written by another version.
    """
    with path.open("rb") as file:
        try:
            content: dict[str, Any] = _Unpickler(file).load()
            found = Checkpoint(content["algorithm"], content["seconds"])
        except Exception as error:  # a damaged pickle may raise anything
            kind = type(error).__name__
            raise ValueError(f"{path}: damaged, or written by another version ({kind}: {error})") from error
    random.setstate(content["random"])
    np.random.set_state(content["numpy"])  # noqa: NPY002
    torch.set_rng_state(content["torch"])
    on_gpus = content.get("cuda", [])
    if len(on_gpus) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(on_gpus)
    return found


class CheckpointCallback(BaseCallback):
    """Saves a checkpoint every `freq` environment steps, and at the end.

    Where `interrupted` is set, it does so before the next rollout, and raises KeyboardInterrupt.
    """

    def __init__(self, path: Path, freq: int, clock: TrainingClock) -> None:
        super().__init__()
        self.path, self.freq, self.clock = path, freq, clock
        self.interrupted = False

    def _init_callback(self) -> None:
        self._last = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        """Between two rollouts nothing is pending: all updates for the steps taken have been made."""
        if self.interrupted or self.model.num_timesteps - self._last >= self.freq:
            self._last = self.model.num_timesteps
            save_checkpoint(self.model, self.path, self.clock.seconds)
        if self.interrupted:
            raise KeyboardInterrupt

    def _on_training_end(self) -> None:
        save_checkpoint(self.model, self.path, self.clock.seconds)

    def _on_step(self) -> bool:
        return True

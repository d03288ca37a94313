"""One run of a sweep: its folder, what has become of it, and its training in a process of its own."""

import traceback
from pathlib import Path
from typing import NamedTuple

import torch

from ..launchers.launcher import one_line
from ..training.configuration import RunConfig, full_id
from ..training.evaluation import read_evaluations
from ..training.interruption import interruptible
from ..training.run import FINAL, Run

_ERROR = "error.txt"


class SweepRun(NamedTuple):
    """A run of a sweep.

    Attributes:
        row: of the table that it belongs to.
        config: of the training.
        run_dir: its folder.
    """

    row: str
    config: RunConfig
    run_dir: Path

    @property
    def complete(self) -> bool:
        return (self.run_dir / FINAL).exists()

    @property
    def error(self) -> str | None:
        """What ended it before its time, in a line."""
        path = self.run_dir / _ERROR
        return path.read_text().splitlines()[0] if path.exists() else None

    @property
    def steps(self) -> int:
        """Environment steps at the last evaluation."""
        evaluations = read_evaluations(self.run_dir)
        return int(evaluations[-1]["timesteps"]) if evaluations else 0

    @property
    def checkpoint(self) -> int | None:
        """When the last one was written; None before the first."""
        path = self.run_dir / "checkpoint.pkl"
        return path.stat().st_mtime_ns if path.exists() else None


def train_in(run_dir: Path, num_threads: int) -> None:
    """Trains what the folder's configuration says, or goes on; what ends it is kept in the folder.

    Args:
        run_dir: with config.yaml, and a checkpoint if the run was interrupted.
        num_threads: torch's.

    Raises:
        ValueError: the folder is not there, or has no configuration.
        KeyboardInterrupt: Ctrl-C, after a checkpoint.
    """
    torch.set_num_threads(num_threads)
    config = RunConfig.read(run_dir)
    try:
        full_id(config.env)  # its module may be in the working folder
        run = Run(config, run_dir)
        with interruptible(run.checkpoints):
            run.train()
    except Exception as error:  # settings that do not fit or diverge, or a callback's: the others go on
        (run_dir / _ERROR).write_text(f"{one_line(error)}\n\n{traceback.format_exc()}")


def forget_error(run_dir: Path) -> None:
    """Before a run is tried again."""
    (run_dir / _ERROR).unlink(missing_ok=True)

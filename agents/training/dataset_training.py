"""Trainings on a data set: what `gradgym-train` asks of them, and the table of those that it knows.

They have no environment, hence no returns, evaluations and steps to count; a folder, a configuration, and that
they go on where they were killed, they have as a `Run` does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from .configuration import DatasetConfig


class DatasetTraining(Protocol):
    """A training in a folder; new, or continued from the checkpoint that it finds there."""

    def train(self) -> None:
        """Trains to the end, with TensorBoard and a checkpoint now and then in the folder; prints what came of it.

        KeyboardInterrupt: Ctrl-C; with `interruption.interruptible` the checkpoint then is of this moment.
        """
        ...

    def evaluate(self) -> None:
        """Tries what the folder's checkpoint holds on what no training saw, and prints what came of it."""
        ...


DATASET_TRAININGS: dict[str, Callable[[DatasetConfig, Path], DatasetTraining]] = {}
"""Of the command line's names, what makes the training in a run folder; ValueError, in one line, if it cannot.

`gradgym.agents` fills in its own; others can be added. The name has a preset `agents/presets/<name>.yaml`, whose
block "default" are the hyperparams.
"""

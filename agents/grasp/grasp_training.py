"""A training of the grasp network from its data to the trial on unseen objects, as both commands start it."""

from pathlib import Path
from typing import Self

from rich.console import Console
from rich.table import Table

from ..training.configuration import DatasetConfig
from ..training.interruption import interruptible
from .dataset import load_dataset
from .grasp_trainer import GraspTrainer, TrainSettings
from .hand import Hand
from .network_evaluation import Evaluation, evaluate, summary
from .network_losses import TABLE_I
from .resnet import ResNetConfig


class GraspTraining:
    """Trains on some objects of a folder, and tries the network on the others.

    Args:
        folder: of the data, as `dataset.generate` makes it.
        hand: that grasps.
        settings: of the training.
        run_dir: checkpoint and TensorBoard; the training goes on if there are.
        unseen: part of the objects that is kept for the trial.
        weights: a file of the network's first weights; None for random ones.
        device: torch's, of the network.

    Raises:
        ValueError: as `load_dataset` and `GraspTrainer`, or `unseen` leaves no object for one of the two.
    """

    def __init__(
        self,
        folder: Path,
        hand: Hand,
        settings: TrainSettings,
        run_dir: Path,
        unseen: float = 0.2,
        weights: Path | None = None,
        device: str = "cpu",
    ) -> None:
        objects = load_dataset(folder, hand)
        count = round(unseen * len(objects))
        if not 0 < count < len(objects):
            raise ValueError(f"unseen={unseen}: of {len(objects)} objects leaves {count} for the trial")
        self.hand, self.unseen, self.weights = hand, objects[-count:], weights
        self.trainer = GraspTrainer(objects[:-count], hand, settings, run_dir, weights, device)

    @classmethod
    def from_config(cls, config: DatasetConfig, run_dir: Path) -> Self:
        """From the settings of `agents/presets/grasp.yaml`; ValueError as the constructor."""
        s = dict(config.hyperparams)
        folder, path, weights = Path(s.pop("folder")), s.pop("hand"), s.pop("weights")
        hand = Hand.shadow() if path == "shadow" else Hand.from_xml_path(path)
        unseen, device, resnet = s.pop("unseen"), s.pop("device"), s.pop("resnet")
        settings = TrainSettings(
            resnet=ResNetConfig(tuple(resnet["blocks"]), resnet["bottleneck"], resnet["width"]),
            epochs=tuple(s.pop("epochs")),
            objective=TABLE_I if s.pop("differentiable") else None,
            seed=config.seed,
            **s,
        )
        return cls(folder, hand, settings, run_dir, unseen, None if weights is None else Path(weights), device)

    def train(self) -> None:
        """Trains to the end of both phases and prints the trial's table.

        KeyboardInterrupt: Ctrl-C, after a checkpoint.
        """
        print(f"First weights: {'random' if self.weights is None else self.weights}")
        with interruptible(self.trainer):
            self.trainer.train()
        self.evaluate()

    def evaluate(self) -> None:
        """Tries the network on the objects that were kept, and prints the table."""
        Console().print(_table(evaluate(self.trainer.network, self.unseen, self.hand)))


_COLUMNS = (  # title, key of `summary`, factor, format
    ("Q1", "q1", 1.0, ".3f"),
    ("inside object, mm", "penetration", 1e3, ".1f"),
    ("inside itself, mm", "self_penetration", 1e3, ".1f"),
    ("held, %", "held", 1e2, ".0f"),
)


def _table(evaluations: list[Evaluation]) -> Table:
    """A line for each object, means over its rotations, and one for all."""
    table = Table("object", *(column[0] for column in _COLUMNS), title="unseen objects")
    for name, part in [*((one.name, [one]) for one in evaluations), ("all", evaluations)]:
        found = summary(part)
        table.add_row(name, *(format(factor * found[key], form) for _, key, factor, form in _COLUMNS))
    return table

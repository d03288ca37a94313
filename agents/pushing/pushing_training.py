"""A training of one architecture from its data sets to the table of its losses, as `gradgym-train` starts it."""

import json
from pathlib import Path
from typing import Any, Self

import imageio.v3 as imageio
from rich.console import Console
from rich.table import Table

from ..training.configuration import DatasetConfig
from ..training.interruption import interruptible
from .architectures import STAGES, Architecture, check
from .dataset import Dataset
from .execution import Execution
from .generation import PAPER_SETS, generate
from .trainer import PushingTrainer, TrainSettings

_TRIED = ("training", "finetuning", "test", "family")
_TRIED_IF_THERE = ("smooth", "own")  # see `data_command`
_SHOWN = "test"


class PushingTraining:
    """Trains on the training and the fine-tuning set, and tries the networks on all four.

    Where the folder also holds sets of smooth shapes or of own objects, they are tried on these too.

    The run folder holds, beside what `PushingTrainer` writes, losses.json and strips.png: goals and motions.

    Args:
        arch: of the architecture.
        settings: of the training; its seed is that of the first weights too.
        folder: of the data sets; those that are missing are made.
        run_dir: the training goes on from its checkpoint if there is one.
        dropout: of the networks.
        contact_softness: of the simulator that L_sim is differentiated through [m]; trials are without.

    Raises:
        ValueError: as `Dataset.load` and `PushingTrainer`.
    """

    def __init__(
        self,
        arch: str,
        settings: TrainSettings,
        folder: Path,
        run_dir: Path,
        dropout: float = 0.2,
        contact_softness: float = 0.0,
    ) -> None:
        check(arch)
        missing = {name: tasks for name, tasks in PAPER_SETS.items() if not (folder / f"{name}.npz").exists()}
        if missing:
            print(f"Data sets: {', '.join(missing)} are made in {folder}")
            generate(folder, missing)
        tried = [*_TRIED, *(name for name in _TRIED_IF_THERE if (folder / f"{name}.npz").exists())]
        sets = {name: Dataset.load(folder / f"{name}.npz") for name in tried}
        self.run_dir = run_dir
        task = sets["training"].tasks[0]
        architecture = Architecture(arch, task.plan.p.shape[1], task.stiffness, dropout, seed=settings.seed)
        self.trials = {name: Execution(data) for name, data in sets.items()}
        self.trainer = PushingTrainer(
            architecture,
            settings,
            sets["training"].batch,
            run_dir,
            sets["finetuning"].batch,
            Execution(sets["finetuning"], contact_softness).simulate,
            {name: trial.loss for name, trial in self.trials.items()},
            lambda network: self.trials[_SHOWN].strips(self.trials[_SHOWN].act(network)),
        )

    @classmethod
    def from_config(cls, config: DatasetConfig, run_dir: Path) -> Self:
        """From the settings of `agents/presets/pushing.yaml`; ValueError as the constructor."""
        s: dict[str, Any] = dict(config.hyperparams)
        arch, folder = s.pop("arch"), Path(s.pop("folder"))
        dropout, softness = s.pop("dropout"), s.pop("contact_softness")
        return cls(arch, TrainSettings(seed=config.seed, **s), folder, run_dir, dropout, softness)

    def train(self) -> None:
        """Trains to the end of all stages and prints the losses; KeyboardInterrupt: Ctrl-C, after a checkpoint."""
        with interruptible(self.trainer):
            self.trainer.train()
        self.evaluate()

    def evaluate(self) -> None:
        """Tries the networks on all sets, in the simulator and in MuJoCo: a table, and files in the run folder.

        ValueError: nothing was trained yet.
        """
        if self.trainer.iteration == 0:
            raise ValueError(f"{self.trainer.checkpoint}: no such file, nothing was trained here yet")
        network = self.trainer.architecture
        table = Table(
            "set", "tasks", "loss", "in MuJoCo", "oracle", "fingers held", title="object-trajectory loss, cm^2"
        )
        rows: dict[str, dict[str, float]] = {}
        for name, trial in self.trials.items():
            actions, tasks = trial.act(network), trial.data.tasks
            twin = Execution(trial.data, backend="mujoco")
            rows[name] = {
                "loss": float(trial.outcome(actions).losses.mean()),
                "mujoco": float(twin.outcome(actions).losses.mean()),
                "oracle": sum(task.losses.plan for task in tasks) / len(tasks),
                "held": sum(task.losses.held for task in tasks) / len(tasks),
            }
            table.add_row(name, str(len(tasks)), *(f"{value:.2f}" for value in rows[name].values()))
        content = {"arch": network.name, "stages": STAGES[network.name], "losses": rows}
        (self.run_dir / "losses.json").write_text(json.dumps(content, indent=1) + "\n")
        shown = self.trials[_SHOWN]
        imageio.imwrite(self.run_dir / "strips.png", shown.strips(shown.act(network)))
        console = Console()
        console.print(table)
        console.print(f"goals and motions: {self.run_dir / 'strips.png'}", highlight=False)

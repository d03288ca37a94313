"""Trains the grasp network: first on known grasps, then with the differentiable loss too. Liu et al., V and VI.B.

A run folder holds

checkpoint.safetensors  from which the training goes on; no pickle, so that a stranger's can be evaluated
events.out.tfevents.*   TensorBoard: losses of each epoch, and pictures of grasps
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ...envs import opengl
from ..training.network_checkpoint import read_checkpoint, write_checkpoint
from .dataset import ObjectData
from .grasp_samples import Samples
from .hand import Hand
from .network import GraspNetwork, Prediction
from .network_evaluation import predict
from .network_losses import TABLE_I, DifferentiableLoss, chamfer
from .objective import PlanSettings
from .pictures import picture
from .resnet import ResNetConfig

_PICTURED = 4  # objects


@dataclass(frozen=True)
class TrainSettings:
    """Of `GraspTrainer`; the defaults are the paper's.

    Attributes:
        resnet: of the network.
        epochs: of the first phase, by the data alone, and of the second.
        batch: samples of a step.
        learning_rate: of Adam, at first.
        decay, decay_epochs: the rate is multiplied by `decay` after every so many epochs.
        data: c_data, weight of the data loss in both phases.
        objective: weights of the differentiable loss, those at the end of a descent; None leaves it out.
        lower: whether Q1 is its lower bound, equation 4, in place of the upper.
        picture_epochs: between pictures in TensorBoard; 0: none.
        seed: of first weights and of the samples' order.
    """

    resnet: ResNetConfig = field(default_factory=ResNetConfig)
    epochs: tuple[int, int] = (35, 71)
    batch: int = 16
    learning_rate: float = 1e-4
    decay: float = 0.9
    decay_epochs: int = 20
    data: float = 1.0
    objective: PlanSettings | None = TABLE_I
    lower: bool = False
    picture_epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        counts = {"batch": self.batch, "decay_epochs": self.decay_epochs, "picture_epochs": self.picture_epochs + 1}
        if wrong := [name for name, count in counts.items() if count < 1]:
            raise ValueError(f"{wrong[0]}={getattr(self, wrong[0])}: must be positive")
        if len(self.epochs) != 2 or min(self.epochs) < 0:
            raise ValueError(f"epochs={self.epochs}: must be two, of the first phase and of the second, not negative")
        for name in ("learning_rate", "decay"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name}={getattr(self, name)}: must be positive and finite")


class GraspTrainer:
    """A training in a folder; new, or continued from its checkpoint if there is one.

    Each epoch's order of samples follows from seed and epoch alone, so that a run that was killed and went on ends
    as one that was not. Where `interrupted` is set, it saves a checkpoint before the next step, amid an epoch, and
    raises KeyboardInterrupt. A checkpoint may also be continued by other settings of the losses or more epochs, only
    not by another network.

    Args:
        data: objects to train on.
        hand: that grasps.
        settings: see there.
        run_dir: the folder.
        weights: a file of first weights of the residual network, see `resnet.ResNet.load_weights`.
        device: torch's, of the network; the differentiable loss is computed on the CPU.

    Raises:
        ValueError: the checkpoint is of another network or cannot be read, or the weights do not fit.
    """

    def __init__(
        self,
        data: Sequence[ObjectData],
        hand: Hand,
        settings: TrainSettings,
        run_dir: Path,
        weights: Path | None = None,
        device: str = "cpu",
    ) -> None:
        self.hand, self.settings, self.run_dir, self.device = hand, settings, run_dir, device
        self.data, self.samples = data, Samples(data, hand)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = GraspNetwork(hand, settings.resnet, weights).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.differentiable: DifferentiableLoss | None = None
        if settings.objective is not None:
            self.differentiable = DifferentiableLoss(self.samples.meshes, hand, settings.objective, settings.lower)
        self.epoch = 0
        self.seen, self.sums = 0, np.zeros(2)  # of this epoch: samples, and the sums of their losses
        self.interrupted = False
        if self.checkpoint.exists():
            self._load()

    @property
    def checkpoint(self) -> Path:
        return self.run_dir / "checkpoint.safetensors"

    def losses(self, which: Sequence[int], second: bool) -> tuple[Tensor, Tensor]:
        """Data loss and differentiable loss of samples, means; the latter 0 in the first phase."""
        prediction = Prediction(*(x.cpu() for x in self.network(self.samples.views(which).to(self.device))))
        data = chamfer(prediction, self.samples.known(which)).mean()
        if self.differentiable is None or not second:
            return data, torch.zeros(())
        links = self.samples.in_meshes(which, prediction).links(self.hand)
        return data, self.differentiable(links, self.samples.objects[list(which)].tolist()).mean()

    def train(self, progress: bool = True, after_epoch: Callable[[dict[str, float]], None] | None = None) -> None:
        """Trains to the end of both phases; a checkpoint is written after each epoch.

        `after_epoch` is given the epoch's number and its mean losses.
        """
        total = sum(self.settings.epochs)
        if self.epoch >= total:
            return
        with (
            SummaryWriter(str(self.run_dir)) as writer,
            tqdm(total=total, initial=self.epoch, desc="training", unit="epoch", disable=not progress) as bar,
        ):
            while self.epoch < total:
                found = self._one_epoch()
                self.epoch += 1
                for name, value in found.items():
                    writer.add_scalar(f"train/{name}", value, self.epoch)
                if self.settings.picture_epochs and self.epoch % self.settings.picture_epochs == 0:
                    self._add_pictures(writer)
                self._save()
                bar.set_postfix({name: f"{value:.3f}" for name, value in found.items()})
                bar.update()
                if after_epoch is not None:
                    after_epoch({"epoch": self.epoch, **found})

    def _one_epoch(self) -> dict[str, float]:
        """Mean losses."""
        s = self.settings
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = s.learning_rate * s.decay ** (self.epoch // s.decay_epochs)
        order = np.random.default_rng([s.seed, self.epoch]).permutation(len(self.samples))
        while self.seen < len(order):
            if self.interrupted:
                self._save()
                raise KeyboardInterrupt
            which = order[self.seen : self.seen + s.batch].tolist()
            data, differentiable = self.losses(which, second=self.epoch >= s.epochs[0])
            self.optimizer.zero_grad()
            (s.data * data + differentiable).backward()
            self.optimizer.step()
            self.sums += len(which) * np.array([data.item(), differentiable.item()])
            self.seen += len(which)
        means = self.sums / len(order)
        self.seen, self.sums = 0, np.zeros(2)
        return {"data": float(means[0]), "differentiable": float(means[1])}

    def _add_pictures(self, writer: SummaryWriter) -> None:
        """Grasps of the first objects; none where there is no OpenGL."""
        file = self.run_dir / "grasps.png"
        for data in self.data[:_PICTURED]:
            grasps = predict(self.network, data, self.hand)
            try:
                picture(data.mesh, self.hand, grasps, file, number=4)
            except opengl.MISSING:
                return
            writer.add_image(f"grasps/{data.name}", imageio.imread(file), self.epoch, dataformats="HWC")

    def _save(self) -> None:
        content = {"epoch": self.epoch, "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        content |= {"seen": self.seen, "sums": self.sums.tolist(), "resnet": asdict(self.settings.resnet)}
        write_checkpoint(self.checkpoint, content)

    def _load(self) -> None:
        try:
            content: dict[str, Any] = read_checkpoint(self.checkpoint)
            content["resnet"]["blocks"] = tuple(content["resnet"]["blocks"])  # JSON has lists
            known = asdict(self.settings.resnet)
            if content["resnet"] != known:
                raise ValueError(f"is of another network, {content['resnet']}")
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.epoch, self.seen, self.sums = content["epoch"], content["seen"], np.array(content["sums"])
        except Exception as error:
            reason = str(error).strip().splitlines()[0].removeprefix(f"{self.checkpoint}: ")
            raise ValueError(f"{self.checkpoint}: {reason}: choose another folder, or delete this one") from None

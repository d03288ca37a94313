"""Trains the architectures of planar pushing from video, one loss after the other. Aceituno et al., section 5.

A run folder holds

checkpoint.safetensors  from which the training goes on; no pickle, so that a stranger's can be evaluated
events.out.tfevents.*   TensorBoard: the loss of each stage, what is evaluated, and pictures
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ...envs.pushing_loss import trajectory_loss
from ..training.network_checkpoint import read_checkpoint, write_checkpoint
from .adjoints import cut
from .architectures import Actions, Architecture, Loss
from .augmentation import Symmetries
from .parameters import Batch

Simulate = Callable[[Actions, Tensor], Tensor]
"""Actions of B tasks of the fine-tuning set and their numbers (B,) there, to the object's poses (B, T, 3)."""
Evaluate = Callable[[Architecture], float]
Picture = Callable[[Architecture], NDArray[np.uint8]]


_LOOK_EVERY = 10
_LEAST_LOSS = 1e-6  # [cm^2]: the root's derivative ends there


def _each(value: Any) -> Any:
    return field(default_factory=lambda: dict.fromkeys(("command", "parameter", "solution", "simulation"), value))


@dataclass(frozen=True)
class TrainSettings:
    """Of `PushingTrainer`; the defaults are the paper's.

    Attributes:
        iterations: steps of the stage of each loss.
        learning_rate: of Adam, in the stage of each loss.
        decay: the learning rate at a stage's end, in shares of that at its start; it falls exponentially.
        batch: tasks of a step; 0: all.
        mirror: whether half of the tasks are seen in a mirror.
        columns: tasks are moved by up to so many pixels to either side.
        supervision: weight that the loss of the stage before keeps, on the training set, in the stage of L_sim.
        evaluate_every: iterations between evaluations, and at the end of each stage.
        checkpoint_every: iterations between checkpoints, and at the end of each stage.
        seed: of dropout, batches and symmetries.
    """

    iterations: Mapping[Loss, int] = _each(100)
    learning_rate: Mapping[Loss, float] = _each(1e-4)
    decay: float = 1.0
    batch: int = 0
    mirror: bool = False
    columns: int = 0
    supervision: float = 0.0
    evaluate_every: int = 25
    checkpoint_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("evaluate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        for name in ("batch", "columns", "supervision"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: must not be negative")
        for loss, number in self.iterations.items():
            if number < 1:
                raise ValueError(f"iterations of {loss} are {number}: must be at least 1")
        for loss, rate in self.learning_rate.items():
            if not rate > 0.0:
                raise ValueError(f"learning_rate of {loss} is {rate}: must be positive")
        if not 0.0 < self.decay <= 1.0:
            raise ValueError(f"decay={self.decay}: must be above 0 and at most 1")


class PushingTrainer:
    """A training in a folder; new, or continued from its checkpoint if there is one.

    What an iteration draws follows from the seed and its number, so that a run that was killed and went on ends as
    one that was not. Each stage begins with a new optimizer. That of L_sim ends with those of its networks, looked at
    before the first and after each tenth iteration, whose L_sim was least on all fine-tuning tasks as they are. Where
    `interrupted` is set, it saves a checkpoint after the iteration and raises KeyboardInterrupt.

    Args:
        architecture: new; its scales are set by the training set.
        settings: see there.
        training: the labelled tasks of all losses but L_sim.
        run_dir: the folder, made if it is not there.
        fine_tuning: the tasks of L_sim, whose labels are not used. NNM and DLM need it.
        simulate: what the actions do there, differentiable; with it.
        evaluate: numbers that go to TensorBoard by their names, of the architecture in evaluation mode.
        picture: (H, W, 3), goes there at the end of each stage.

    Raises:
        ValueError: the checkpoint is of another architecture or cannot be read, settings or data do not fit.
    """

    def __init__(
        self,
        architecture: Architecture,
        settings: TrainSettings,
        training: Batch,
        run_dir: Path,
        fine_tuning: Batch | None = None,
        simulate: Simulate | None = None,
        evaluate: Mapping[str, Evaluate] | None = None,
        picture: Picture | None = None,
    ) -> None:
        for loss in architecture.stages:
            if loss not in settings.iterations or loss not in settings.learning_rate:
                raise ValueError(f"settings lack iterations or learning_rate of the loss {loss!r}: give both")
        if "simulation" in architecture.stages and (fine_tuning is None or simulate is None):
            raise ValueError(f"{architecture.name} needs a fine-tuning set and a simulator")
        self.architecture, self.settings, self.run_dir = architecture, settings, run_dir
        self.training, self.fine_tuning = training.ordered(), fine_tuning
        self.simulate, self.evaluations, self.picture = simulate, dict(evaluate or {}), picture
        self.ends = np.cumsum([settings.iterations[loss] for loss in architecture.stages]).tolist()
        self.iteration = 0
        self.interrupted = False
        self.least, self.best = math.inf, architecture.state_dict()  # of the stage of L_sim
        architecture.fit_scales(self.training)
        self.optimizer = torch.optim.Adam(architecture.parameters())
        run_dir.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._load()

    @property
    def tuned_from(self) -> float:
        """The iteration after which L_sim is minimised."""
        stages = self.architecture.stages
        return self.ends[stages.index("simulation") - 1] if "simulation" in stages else math.inf

    @property
    def checkpoint(self) -> Path:
        return self.run_dir / "checkpoint.safetensors"

    def train(self, progress: bool = True, after_iteration: Callable[[dict[str, float]], None] | None = None) -> None:
        """Trains to the end of all stages. `after_iteration` is given the iteration's number and its losses."""
        s, total = self.settings, self.ends[-1]
        if self.iteration >= total:
            return
        with (
            SummaryWriter(str(self.run_dir), purge_step=self.iteration + 1) as writer,
            tqdm(total=total, initial=self.iteration, desc="training", unit="step", disable=not progress) as bar,
        ):
            while self.iteration < total:
                found = self._step()
                self.iteration += 1
                ended = self.iteration in self.ends
                if self.iteration > self.tuned_from:
                    self._keep_best(ended)
                if ended or self.iteration % s.evaluate_every == 0:
                    found |= self._evaluate()
                for name, value in found.items():
                    writer.add_scalar(name, value, self.iteration)
                if ended and self.picture is not None:
                    writer.add_image("motions", self.picture(self.architecture), self.iteration, dataformats="HWC")
                if ended or self.interrupted or self.iteration % s.checkpoint_every == 0:
                    self._save()
                if self.interrupted:
                    raise KeyboardInterrupt
                bar.set_postfix({name.split("/")[-1]: f"{value:.3f}" for name, value in found.items()})
                bar.update()
                if after_iteration is not None:
                    after_iteration({"iteration": self.iteration, **found})

    def loss(self, stage: int, generator: torch.Generator) -> Tensor:
        """Of the tasks that the generator draws, in the stage of that number."""
        loss = self.architecture.stages[stage]
        if loss != "simulation":
            known = self.training[self._draw(len(self.training), generator)]
            return self.architecture.label_loss(loss, self._symmetries(known.video, generator)(known))
        simulated = self._simulation_loss(generator)
        if self.settings.supervision == 0.0:
            return simulated
        return simulated + self.settings.supervision * self.loss(stage - 1, generator)

    def _simulation_loss(self, generator: torch.Generator) -> Tensor:
        """Equation 10. Seen by a symmetry, acted without it: the simulator has the tasks as they are.

        Here networks are those of trials, without dropout: the simulator is too steep for the noise. Of tasks whose
        adjoint is longer than half of them have, it is cut to that length, or a few that slipped would decide.
        """
        assert self.fine_tuning is not None and self.simulate is not None
        which = self._draw(len(self.fine_tuning), generator)
        tasks = self.fine_tuning[which]
        symmetries = self._symmetries(tasks.video, generator)
        mode = self.architecture.training
        seen = self.architecture.eval().act(symmetries(tasks).video)
        self.architecture.train(mode)
        actions = Actions(symmetries.back(seen.commands), symmetries.back(seen.contacts))
        for points in actions:
            if points.requires_grad:
                points.register_hook(cut)
        losses = trajectory_loss(self.simulate(actions, which), tasks.parameters.r)
        return (losses + _LEAST_LOSS).sqrt().mean()

    @torch.no_grad()
    def _keep_best(self, ended: bool) -> None:
        """Remembers the networks if they are the best so far; at the end goes back to the best."""
        assert self.fine_tuning is not None and self.simulate is not None
        if ended or (self.iteration - self.tuned_from) % _LOOK_EVERY == 0:
            actions = self.architecture.eval().act(self.fine_tuning.video)
            poses = self.simulate(actions, torch.arange(len(self.fine_tuning)))
            loss = float(trajectory_loss(poses, self.fine_tuning.parameters.r).sqrt().mean())
            if loss < self.least:
                self.least = loss
                self.best = {name: value.clone() for name, value in self.architecture.state_dict().items()}
        if ended:
            self.architecture.load_state_dict(self.best)

    def _draw(self, number: int, generator: torch.Generator) -> Tensor:
        size = self.settings.batch or number
        return torch.randperm(number, generator=generator)[:size]

    def _symmetries(self, video: Tensor, generator: torch.Generator) -> Symmetries:
        s = self.settings
        return Symmetries.draw(video, generator, mirror=s.mirror, columns=s.columns)

    def _step(self) -> dict[str, float]:
        s = self.settings
        stage = int(np.searchsorted(self.ends, self.iteration, side="right"))
        loss_name = self.architecture.stages[stage]
        number = self.iteration - (self.ends[stage - 1] if stage else 0)
        if number == 0:
            self.optimizer = torch.optim.Adam(self.architecture.parameters())
            if loss_name == "simulation":
                self._keep_best(ended=False)
        for group in self.optimizer.param_groups:
            group["lr"] = s.learning_rate[loss_name] * s.decay ** (number / s.iterations[loss_name])
        seed = int(np.random.SeedSequence([s.seed, self.iteration]).generate_state(1)[0])
        self.architecture.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of dropout
            loss = self.loss(stage, torch.Generator().manual_seed(seed))
        if not math.isfinite(loss.item()):
            raise FloatingPointError(
                f"the loss {loss_name!r} is {loss.item()} at iteration {self.iteration}: lower its rate"
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {f"train/{loss_name}": loss.item()}

    def _evaluate(self) -> dict[str, float]:
        self.architecture.eval()
        with torch.no_grad():
            return {f"evaluation/{name}": evaluate(self.architecture) for name, evaluate in self.evaluations.items()}

    def _save(self) -> None:
        content = {
            "arch": self.architecture.name,
            "iteration": self.iteration,
            "networks": self.architecture.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "least": self.least,
        }
        write_checkpoint(self.checkpoint, content)

    def _load(self) -> None:
        try:
            content: dict[str, Any] = read_checkpoint(self.checkpoint)
            if content["arch"] != self.architecture.name:
                raise ValueError(f"is of arch={content['arch']!r}, not {self.architecture.name!r}")
            self.architecture.load_state_dict(content["networks"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.iteration, self.best, self.least = content["iteration"], content["best"], content["least"]
        except Exception as error:
            reason = str(error).strip().splitlines()[0].removeprefix(f"{self.checkpoint}: ")
            raise ValueError(f"{self.checkpoint}: {reason}: choose another folder, or delete this one") from None

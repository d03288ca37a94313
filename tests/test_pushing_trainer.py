"""Trainings of the five architectures fall, go on after an interruption as if there had been none, and are recorded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pushing_tasks import pushed_squares
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from gradgym.agents.pushing.architectures import STAGES, Actions, Architecture, Loss
from gradgym.agents.pushing.parameters import Batch
from gradgym.agents.pushing.trainer import PushingTrainer, TrainSettings

LOSSES: tuple[Loss, ...] = ("command", "parameter", "solution", "simulation")
QUICK = TrainSettings(
    iterations=dict.fromkeys(LOSSES, 10),
    learning_rate=dict.fromkeys(LOSSES, 1e-3),
    evaluate_every=5,
    checkpoint_every=3,
)


@pytest.fixture(scope="module")
def training() -> Batch:
    return pushed_squares(8, 0)


@pytest.fixture(scope="module")
def fine_tuning() -> Batch:
    return pushed_squares(6, 1)


class Follows:
    """An object that moves with the mean of the fingers, as far as they are from the oracle's."""

    def __init__(self, tasks: Batch) -> None:
        self.tasks = tasks

    def __call__(self, actions: Actions, which: Tensor) -> Tensor:
        tasks = self.tasks[which]
        moved = (actions.commands - tasks.p - tasks.lam / 500.0).mean(2)
        return tasks.parameters.r + torch.nn.functional.pad(moved, (0, 1))


def trainer(arch: str, settings: TrainSettings, data: tuple[Batch, Batch], folder: Path) -> PushingTrainer:
    training, fine_tuning = data
    names = {"error": lambda net: float((net.commands(training.video) - training.p).norm(dim=-1).mean())}
    architecture = Architecture(arch, seed=3)
    return PushingTrainer(architecture, settings, training, folder, fine_tuning, Follows(fine_tuning), names)


@pytest.mark.parametrize("arch", STAGES)
def test_losses_fall_stage_by_stage(arch: str, training: Batch, fine_tuning: Batch, tmp_path: Path) -> None:
    trained = trainer(arch, QUICK, (training, fine_tuning), tmp_path)
    trained.train(progress=False)
    events = EventAccumulator(str(tmp_path)).Reload()
    for number, loss in enumerate(STAGES[arch]):
        scalars = events.Scalars(f"train/{loss}")
        assert [event.step for event in scalars] == list(range(10 * number + 1, 10 * number + 11))
        assert sum(e.value for e in scalars[-3:]) < 0.9 * sum(e.value for e in scalars[:3]), loss
    assert len(events.Scalars("evaluation/error")) == 2 * len(STAGES[arch])
    names: Any = events.Tags()["scalars"]
    assert set(names) == {f"train/{loss}" for loss in STAGES[arch]} | {"evaluation/error"}


DRAWN = replace(QUICK, iterations=dict.fromkeys(LOSSES, 8), batch=5, mirror=True, columns=3, supervision=0.1, decay=0.3)


@pytest.fixture(scope="module")
def whole(training: Batch, fine_tuning: Batch, tmp_path_factory: pytest.TempPathFactory) -> PushingTrainer:
    found = trainer("dlm", DRAWN, (training, fine_tuning), tmp_path_factory.mktemp("whole"))
    found.train(progress=False)
    return found


@pytest.mark.parametrize(("stop", "saved"), [(2, 0), (11, 9), (20, 18)])
def test_an_interrupted_training_ends_as_one_that_was_not(
    stop: int, saved: int, whole: PushingTrainer, training: Batch, fine_tuning: Batch, tmp_path: Path
) -> None:
    data = training, fine_tuning

    def interrupt(found: dict[str, float]) -> None:
        if found["iteration"] == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer("dlm", DRAWN, data, tmp_path).train(progress=False, after_iteration=interrupt)
    rest = trainer("dlm", DRAWN, data, tmp_path)
    assert rest.iteration == saved
    torch.manual_seed(stop)  # what is drawn does not hang on the process
    rest.train(progress=False)
    for (name, a), b in zip(
        whole.architecture.state_dict().items(), rest.architecture.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    again = trainer("dlm", DRAWN, data, tmp_path)
    again.train(progress=False)
    assert again.iteration == 24


class Sees(Architecture):
    """Puts both fingers where the object is seen."""

    def act(self, video: Tensor) -> Actions:
        dark = 255.0 - video.double().sum(-1) / 3.0  # (B, T, H, W)
        columns = dark.sum(-2) @ (0.012 * (torch.arange(50) + 0.5) - 0.3).double()
        rows = dark.sum(-1) @ (0.6 - 0.012 * (torch.arange(50) + 0.5)).double()
        middle = torch.stack([columns, rows], dim=-1) / dark.sum((-2, -1))[..., None]
        return Actions(middle[:, :, None].expand(-1, -1, 2, -1), middle[:, :, None].expand(-1, -1, 2, -1))


def test_the_simulator_has_the_tasks_as_they_are(training: Batch, fine_tuning: Batch, tmp_path: Path) -> None:
    """What is seen mirrored and moved is acted where the object is, with the task's own goal."""
    seen: list[tuple[Actions, Tensor]] = []

    def simulate(actions: Actions, which: Tensor) -> Tensor:
        seen.append((actions, which))
        tasks = fine_tuning[which]
        middle = actions.commands.mean(2)
        return torch.cat([middle, tasks.parameters.r[..., 2:]], dim=-1)

    settings = replace(QUICK, mirror=True, columns=8)
    one = PushingTrainer(Sees("nnm"), settings, training, tmp_path, fine_tuning, simulate)
    loss = one.loss(1, torch.Generator().manual_seed(0))
    assert 0.0 < loss.item() < 0.07  # [cm], of pictures with pixels of 12 mm
    actions, which = seen[0]
    expected = fine_tuning[which].parameters.r[:, :, None, :2].expand(-1, -1, 2, -1)
    for found in actions:
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=0.0)
    straight = PushingTrainer(Sees("nnm"), QUICK, training, tmp_path / "straight", fine_tuning, simulate)
    torch.testing.assert_close(straight.loss(1, torch.Generator().manual_seed(0)), loss, atol=1e-2, rtol=0.0)


def test_supervision_adds_the_loss_of_the_stage_before(training: Batch, fine_tuning: Batch, tmp_path: Path) -> None:
    one = trainer("dlm", QUICK, (training, fine_tuning), tmp_path)
    one.architecture.eval()
    plain, labels = (one.loss(stage, torch.Generator()).item() for stage in (2, 1))
    one.settings = replace(QUICK, supervision=0.5)
    assert one.loss(2, torch.Generator()).item() == pytest.approx(plain + 0.5 * labels, rel=1e-9)


def test_rates_and_optimizers_are_of_their_stages(training: Batch, fine_tuning: Batch, tmp_path: Path) -> None:
    rates: dict[Loss, float] = {"parameter": 1e-3, "solution": 2e-3}
    settings = replace(QUICK, iterations=dict.fromkeys(LOSSES, 4), learning_rate=rates, decay=0.25)
    found: list[float] = []
    steps: list[float] = []
    one = trainer("cvx", settings, (training, fine_tuning), tmp_path)

    def look(_: dict[str, float]) -> None:
        found.append(one.optimizer.param_groups[0]["lr"])
        steps.append(float(next(iter(one.optimizer.state.values()))["step"]))

    one.train(progress=False, after_iteration=look)
    half = [0.25 ** (i / 4) for i in range(4)]
    assert found == pytest.approx([1e-3 * x for x in half] + [2e-3 * x for x in half])
    assert steps == [1.0, 2.0, 3.0, 4.0] * 2


def test_bad_runs_end_in_one_line(training: Batch, fine_tuning: Batch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dlm needs a fine-tuning set and a simulator"):
        PushingTrainer(Architecture("dlm"), QUICK, training, tmp_path)
    with pytest.raises(ValueError, match="settings lack iterations or learning_rate of the loss 'parameter'"):
        PushingTrainer(Architecture("mdr"), replace(QUICK, iterations={"solution": 3}), training, tmp_path)
    few = replace(QUICK, iterations=dict.fromkeys(LOSSES, 1))
    trainer("nn", few, (training, fine_tuning), tmp_path).train(progress=False)
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors: is of arch='nn', not 'mdr': choose another folder"):
        trainer("mdr", few, (training, fine_tuning), tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors: .*: choose another folder, or delete this one"):
        trainer("nn", few, (training, fine_tuning), tmp_path)
    broken = PushingTrainer(
        Architecture("nnm"),
        few,
        training,
        tmp_path / "broken",
        fine_tuning,
        lambda actions, _: actions.commands.mean(2)[..., [0, 1, 1]] * torch.nan,
    )
    with pytest.raises(FloatingPointError, match="the loss 'simulation' is nan at iteration 1"):
        broken.train(progress=False)


def test_fine_tuning_ends_with_its_best_networks(training: Batch, fine_tuning: Batch, tmp_path: Path) -> None:
    """Steps that are far too long: what was before them is what remains."""
    wild = replace(QUICK, learning_rate={**QUICK.learning_rate, "simulation": 10.0})
    one = trainer("nnm", wild, (training, fine_tuning), tmp_path)
    before: list[Tensor] = []

    def keep(found: dict[str, float]) -> None:
        if found["iteration"] == 10:
            before.extend(parameter.clone() for parameter in one.architecture.parameters())

    one.train(progress=False, after_iteration=keep)
    assert all(torch.equal(old, new) for old, new in zip(before, one.architecture.parameters(), strict=True))

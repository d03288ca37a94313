"""Data sets that go on where they stopped, and trainings that end as if they had not been."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradgym.agents.grasp import command_line, dataset, grasp_training, network_evaluation
from gradgym.agents.grasp.dataset import ObjectData, Source, eight_rotations, generate, load_dataset
from gradgym.agents.grasp.depth_views import depth_views
from gradgym.agents.grasp.grasp_samples import Samples
from gradgym.agents.grasp.grasp_trainer import GraspTrainer, TrainSettings
from gradgym.agents.grasp.grasps import Grasps
from gradgym.agents.grasp.hand import Hand
from gradgym.agents.grasp.judge import Report
from gradgym.agents.grasp.network import Prediction
from gradgym.agents.grasp.network_evaluation import evaluate, predict, summary
from gradgym.agents.grasp.network_losses import TABLE_I, chamfer
from gradgym.agents.grasp.object_mesh import ObjectMesh
from gradgym.agents.grasp.objective import PlanSettings
from gradgym.agents.grasp.resnet import ResNetConfig

Floats = NDArray[np.float64]
SMALL = TrainSettings(
    resnet=ResNetConfig((1, 1), False, 4),
    epochs=(2, 2),
    batch=4,
    learning_rate=1e-2,
    objective=replace(TABLE_I, samples=30),
    picture_epochs=0,
)
FEW = PlanSettings(starts=2, iterations=2, samples=20)


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand.shadow()


def some_grasps(hand: Hand, n: int, seed: int) -> Grasps:
    rng = np.random.default_rng(seed)
    rotation = torch.from_numpy(Rotation.random(n, rng=rng).as_matrix())
    joints = hand.middle.clip(hand.lower + 0.1, hand.upper - 0.1) + 0.05 * rng.standard_normal(
        (n, len(hand.joint_names))
    )
    center = torch.from_numpy(0.02 * rng.standard_normal((n, 3)))
    pose = Prediction(center, rotation, torch.from_numpy(joints)).pose(hand)
    zeros = {name: np.zeros(n) for name in ("q1", "penetration", "self_penetration")}
    return Grasps(pose=pose, joints=joints, joint_names=hand.joint_names, **zeros)


def an_object(hand: Hand, number: int, grasps: int, rotations: Floats | None = None) -> ObjectData:
    sides = np.random.default_rng(number).uniform(0.03, 0.07, 3)
    mesh = ObjectMesh.from_trimesh(trimesh.creation.box(sides).apply_translation((0.01, 0.0, 0.02 * number)))
    turns = np.eye(3)[None] if rotations is None else rotations
    views = depth_views(mesh, 24, turns)
    return ObjectData(f"object_{number:05d}", mesh, turns, views, some_grasps(hand, grasps, number))


@pytest.fixture(scope="module")
def data(hand: Hand) -> list[ObjectData]:
    return [an_object(hand, number, 2 + number, eight_rotations()[:3]) for number in range(3)]


def test_eight_rotations_are_of_third_order_about_different_axes() -> None:
    turns = eight_rotations()
    np.testing.assert_array_equal(turns[0], np.eye(3))
    assert turns.shape == (9, 3, 3) and len({tuple(turn.round(6).ravel()) for turn in turns}) == 9
    np.testing.assert_allclose(turns @ turns @ turns, np.tile(np.eye(3), (9, 1, 1)), atol=1e-12)
    uprights = {tuple(turn[:, 2].round(6) + 0.0) for turn in turns[1:]}
    assert uprights == {(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)}


def test_a_data_set_is_made_once_and_goes_on(tmp_path: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(*arguments: object, seed: int, **others: object) -> Grasps:
        made.append(seed)
        return some_grasps(hand, 2, seed)

    monkeypatch.setattr(dataset, "plan", counted)
    arguments = (hand, Source.random(3, 5), 2, 16)
    generate(tmp_path, *arguments, settings=FEW, progress=False)
    assert made == [0, 1, 2]
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.npz")}
    (tmp_path / "object_00001.npz").unlink()
    (tmp_path / "object_00002.npz.part").write_bytes(b"killed here")
    generate(tmp_path, *arguments, settings=FEW, progress=False)
    assert made == [0, 1, 2, 1]
    first, again = (dict(np.load(f)) for f in (tmp_path / "object_00001.npz", tmp_path / "object_00001.npz"))
    assert first.keys() == again.keys() and len(before) == 3
    with pytest.raises(ValueError, match="was made with other settings: choose another folder"):
        generate(tmp_path, hand, Source.random(3, 5), 3, 16, settings=FEW, progress=False)
    objects = load_dataset(tmp_path, hand)
    assert [one.name for one in objects] == ["object_00000", "object_00001", "object_00002"]
    assert objects[0].views.shape == (9, 5, 16, 16) and objects[0].mesh.name == "random 0"
    assert json.loads((tmp_path / "dataset.json").read_text())["source"] == "random, seed 5"


def test_an_object_is_written_whole_or_not_at_all(tmp_path: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(file: Any, **arrays: Any) -> None:
        file.write(b"a part of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", killed)
    with pytest.raises(KeyboardInterrupt):
        an_object(hand, 0, 1).save(tmp_path / "object_00000.npz")
    assert not (tmp_path / "object_00000.npz").exists()


def test_data_come_from_the_planner_and_return_from_the_file(tmp_path: Path, hand: Hand) -> None:
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    trimesh.creation.box((40.0, 50.0, 60.0)).export(meshes / "brick.stl")
    generate(tmp_path / "data", hand, Source.folder(meshes, 1e-3), 2, 16, False, FEW, progress=False)
    (found,) = load_dataset(tmp_path / "data", hand)
    assert found.mesh.volume == pytest.approx(0.04 * 0.05 * 0.06)
    assert found.views.shape == (1, 5, 16, 16) and len(found.grasps) == 2
    found.save(tmp_path / "copy.npz")
    copy = ObjectData.load(tmp_path / "copy.npz")
    np.testing.assert_array_equal(copy.grasps.pose, found.grasps.pose)
    np.testing.assert_array_equal(copy.views, found.views)
    assert (copy.grasps.joint_names, copy.mesh.name) == (hand.joint_names, found.mesh.name)
    assert not list((tmp_path / "data").glob("*.part"))


def test_what_is_no_data_is_refused(tmp_path: Path, hand: Hand) -> None:
    with pytest.raises(ValueError, match="holds no objects, make them with `gradgym-grasp data`"):
        load_dataset(tmp_path, hand)
    (tmp_path / "object_00000.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no object of a data set"):
        load_dataset(tmp_path, hand)
    with pytest.raises(ValueError, match="holds no mesh"):
        Source.folder(tmp_path)
    trimesh.creation.box((0.2, 0.2, 0.3)).export(tmp_path / "crate.stl")
    with pytest.raises(ValueError, match=r"crate.stl: of radius 0.21 m, but the cameras see 0.14 m: scale it"):
        Source.folder(tmp_path)


def test_known_grasps_turn_with_the_views(data: list[ObjectData], hand: Hand) -> None:
    """Predicting exactly what is known gives no loss, and it comes back as the file has it."""
    samples = Samples(data, hand)
    assert len(samples) == 9 and samples.objects.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    which = [1, 5, 6]
    for number in range(2):  # of the grasp; object 0 has two
        known = samples.known(which)
        found = Prediction(*(x[:, number] for x in known))
        np.testing.assert_allclose(chamfer(found, known), 0.0, atol=1e-20)
        pose = samples.in_meshes(which, found).pose(hand)
        for row, sample in zip(pose, which, strict=True):
            expected = data[samples.objects[sample]].grasps.pose[number]
            np.testing.assert_allclose(row[:3], expected[:3], atol=1e-12)
            assert abs(row[3:] @ expected[3:]) == pytest.approx(1.0)
    # The repeated grasps of the object that has fewer are its own.
    known = samples.known([0])
    np.testing.assert_array_equal(known.center[0, 2], known.center[0, 0])


def test_one_object_is_learned_by_heart(tmp_path: Path, hand: Hand) -> None:
    settings = replace(SMALL, epochs=(150, 0), objective=None)
    data = [an_object(hand, 0, 3)]
    trainer = GraspTrainer(data, hand, settings, tmp_path)
    begin = trainer.losses([0], second=False)[0].item()
    trainer.train(progress=False)
    assert trainer.losses([0], second=False)[0].item() < 0.002 * begin
    found = predict(trainer.network, data[0], hand)
    nearest = np.linalg.norm(found.pose[0, :3] - data[0].grasps.pose[:, :3], axis=1).min()
    assert nearest < 0.01


def test_the_second_phase_lowers_the_differentiable_loss(tmp_path: Path, data: list[ObjectData], hand: Hand) -> None:
    settings = replace(SMALL, epochs=(0, 12), data=0.0)
    rows: list[dict[str, float]] = []
    GraspTrainer(data, hand, settings, tmp_path).train(progress=False, after_epoch=rows.append)
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert rows[-1]["differentiable"] < 0.7 * rows[0]["differentiable"]


def test_a_training_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, data: list[ObjectData], hand: Hand
) -> None:
    """Stopped in the first phase, in the middle of writing a checkpoint in the second, and by other random numbers."""
    whole = GraspTrainer(data, hand, SMALL, tmp_path / "whole")
    whole.train(progress=False)

    class Killed(BaseException):
        pass

    def kill(row: dict[str, float]) -> None:
        if row["epoch"] in (1, 3):
            raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            GraspTrainer(data, hand, SMALL, tmp_path / "parts").train(progress=False, after_epoch=kill)
        (tmp_path / "parts" / "checkpoint.part").write_bytes(b"killed here")
        torch.manual_seed(99)
    parts = GraspTrainer(data, hand, SMALL, tmp_path / "parts")
    assert parts.epoch == 3
    parts.train(progress=False)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, parts.network.state_dict()[name]), name
    weights = [
        GraspTrainer(data, hand, replace(SMALL, seed=s), tmp_path / "none").network.last.weight for s in (0, 1, 0)
    ]
    assert torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[1])


def test_losses_have_their_weights(tmp_path: Path, data: list[ObjectData], hand: Hand) -> None:
    """Without weight nothing moves; the differentiable loss does not act in the first phase."""
    for name, epochs, moved in (("first", (1, 0), False), ("second", (0, 1), True)):
        trainer = GraspTrainer(data[:1], hand, replace(SMALL, epochs=epochs, data=0.0), tmp_path / name)
        before = trainer.network.last.weight.clone()
        trainer.train(progress=False)
        assert (not torch.equal(trainer.network.last.weight, before)) == moved


def test_the_rate_falls_by_a_tenth_after_its_epochs(tmp_path: Path, data: list[ObjectData], hand: Hand) -> None:
    trainer = GraspTrainer(data[:1], hand, replace(SMALL, epochs=(5, 0), decay_epochs=2), tmp_path)
    rates: list[float] = []
    trainer.train(progress=False, after_epoch=lambda row: rates.append(trainer.optimizer.param_groups[0]["lr"]))
    np.testing.assert_allclose(rates, [1e-2, 1e-2, 0.9e-2, 0.9e-2, 0.81e-2])


def test_checkpoints_of_another_network_are_refused(tmp_path: Path, data: list[ObjectData], hand: Hand) -> None:
    GraspTrainer(data[:1], hand, replace(SMALL, epochs=(1, 0)), tmp_path).train(progress=False)
    other = replace(SMALL, resnet=ResNetConfig((1,), False, 4))
    with pytest.raises(
        ValueError, match=r"^[^\n]*checkpoint[.]safetensors: is of another network, [^\n]*: choose another folder"
    ):
        GraspTrainer(data[:1], hand, other, tmp_path)


def test_scalars_and_pictures_are_in_tensorboard(tmp_path: Path, data: list[ObjectData], hand: Hand) -> None:
    GraspTrainer(data[:1], hand, replace(SMALL, epochs=(1, 1), picture_epochs=2), tmp_path).train(progress=False)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("train/differentiable")] == [1, 2]
    assert events.Scalars("train/differentiable")[0].value == 0.0 < events.Scalars("train/differentiable")[1].value
    if (tmp_path / "grasps.png").exists():  # no OpenGL, no picture
        assert events.Tags()["images"] == ["grasps/object_00000"]


def test_evaluation_counts_each_grasp_once(
    tmp_path: Path, data: list[ObjectData], hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(mesh: ObjectMesh, hand: Hand, grasps: Grasps) -> Report:
        held, n = np.arange(len(grasps)) == 0, len(grasps)
        return Report(held=held, reasons=("",) * n, displacement=np.zeros((n, 6)), angle=np.zeros((n, 6)))

    monkeypatch.setattr(network_evaluation, "validate", judged)
    network = GraspTrainer(data, hand, SMALL, tmp_path).network
    objects = [data[0], an_object(hand, 7, 1)]
    found = evaluate(network, objects, hand)
    assert [len(one.grasps) for one in found] == [3, 1]
    means, q1 = summary(found), np.concatenate([one.grasps.q1 for one in found])
    assert means["held"] == 0.5 and means["q1"] == pytest.approx(q1.mean())
    assert means["closed"] == pytest.approx((q1 > 0.0).mean())
    assert means["penetration"] == pytest.approx(np.concatenate([one.grasps.penetration for one in found]).mean())
    # The grasp of the second rotation is the answer to its views, turned back.
    answer = network(torch.from_numpy(data[0].views[1:2]))
    turn, center = torch.from_numpy(data[0].rotations[1:2]), torch.from_numpy(data[0].mesh.center_of_mass)[None]
    np.testing.assert_allclose(found[0].grasps.pose[1, :3], answer.in_mesh(turn, center).pose(hand)[0, :3], atol=1e-6)
    assert not network.training  # batch norms by what was learned, not by these objects


def test_the_command_makes_data_and_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = Hand.shadow()
    monkeypatch.setattr(dataset, "plan", lambda *arguments, seed, **others: some_grasps(hand, 2, seed))
    monkeypatch.setattr(grasp_training, "evaluate", lambda network, objects, hand: [])
    monkeypatch.setattr(grasp_training, "_table", lambda evaluations: "the table")
    made_of: list[Any] = []
    folder, run = str(tmp_path / "data"), str(tmp_path / "run")
    made = ["data", folder, "--objects", "3", "--num-grasps", "2", "--size", "16", "--as-it-stands"]
    assert command_line.main(made) == 0
    train = [
        "train",
        folder,
        "--run-dir",
        run,
        "--unseen",
        "0.4",
        "--epochs",
        "1",
        "0",
        "--blocks",
        "1",
        "--width",
        "4",
    ]
    with monkeypatch.context() as patched:
        patched.setattr(grasp_training, "GraspTrainer", lambda *arguments: made_of.append(arguments))
        for words in (["--lower", "--seed", "3"], ["--data-alone"]):
            with pytest.raises(AttributeError):  # what stands in for the trainer cannot train
                command_line.main([*train, *words])
    assert made_of[1][2].objective is None
    objects, _, settings, *_ = made_of[0]
    assert [one.name for one in objects] == ["object_00000", "object_00001"]
    network = ResNetConfig((1,), True, 4)
    assert settings == TrainSettings(resnet=network, epochs=(1, 0), lower=True, seed=3)
    assert command_line.main([*train, "--plain-blocks", "--data-alone"]) == 0
    output = capsys.readouterr().out
    assert "First weights: random" in output and "the table" in output
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()
    assert command_line.main([*train, "--unseen", "0.1"]) == 2
    assert "unseen=0.1: of 3 objects leaves 0 for the trial" in capsys.readouterr().err

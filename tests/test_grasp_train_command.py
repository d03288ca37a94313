"""The grasp network's training as `gradgym-train --algo grasp` starts it: errors, a kill, and going on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
import yaml

from gradgym import evaluate, train
from gradgym.agents import DATASET_TRAININGS
from gradgym.agents.grasp import Hand, ObjectMesh
from gradgym.agents.grasp.dataset import ObjectData
from gradgym.agents.grasp.depth_views import depth_views
from gradgym.agents.grasp.grasp_trainer import GraspTrainer
from gradgym.agents.grasp.grasps import Grasps
from gradgym.agents.training.configuration import DatasetConfig, load_dataset_preset, read_config
from gradgym.agents.training.network_checkpoint import read_checkpoint

SMALL = ["resnet.blocks:[1]", "resnet.bottleneck:false", "resnet.width:4", "epochs:[30, 1]", "picture_epochs:0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of three boxes, with hands that are just anywhere."""
    found, hand = tmp_path_factory.mktemp("data"), Hand.shadow()
    rng = np.random.default_rng(0)
    for i in range(3):
        mesh = ObjectMesh.from_trimesh(trimesh.creation.box(rng.uniform(0.03, 0.07, 3)))
        pose = np.concatenate([0.05 * rng.standard_normal((2, 3)), rng.standard_normal((2, 4))], axis=1)
        pose[:, 3:] /= np.linalg.norm(pose[:, 3:], axis=1, keepdims=True)
        zeros = {name: np.zeros(2) for name in ("q1", "penetration", "self_penetration")}
        joints = np.tile(hand.middle.clip(hand.lower + 0.1, hand.upper - 0.1), (2, 1))
        grasps = Grasps(pose=pose, joints=joints, joint_names=hand.joint_names, **zeros)
        turns = np.eye(3)[None]
        data = ObjectData(f"object_{i:05d}", mesh, turns, depth_views(mesh, 16, turns), grasps)
        data.save(found / f"object_{i:05d}.npz")
    return found


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run_dir / "checkpoint.safetensors")["network"]


def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--algo", "grasp", "--seed", "3", "--hyperparams", f"folder:{folder}", "unseen:0.4", *SMALL]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train.main([*command, "--run-dir", str(whole)]) == 0
    printed = capsys.readouterr().out
    assert f"Run folder: {whole}" in printed and "First weights: random" in printed and "unseen objects" in printed
    assert {path.name.split(".")[0] for path in whole.iterdir()} == {"config", "checkpoint", "events"}
    config = read_config(whole)
    assert isinstance(config, DatasetConfig) and (config.algo, config.seed) == ("grasp", 3)
    assert config.hyperparams["resnet"] == {"blocks": [1], "bottleneck": False, "width": 4}
    assert (
        config.hyperparams["batch"] == 16 and "torch" in yaml.safe_load((whole / "config.yaml").read_text())["versions"]
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "gradgym.train", *command, "--run-dir", str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (killed / "checkpoint.safetensors").exists() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    epoch = read_checkpoint(killed / "checkpoint.safetensors")["epoch"]
    assert 0 < epoch < 31, "killed too late to show anything"
    assert train.main(["--resume", str(killed)]) == 0
    ends = weights(whole), weights(killed)
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    assert train.main([*command, "--run-dir", str(whole)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert evaluate.main([str(whole)]) == 0
    assert "unseen objects" in capsys.readouterr().out
    for option in (["--video", str(tmp_path / "a.mp4")], ["--backend", "sim", "mujoco"], ["--episodes", "20"]):
        assert evaluate.main([str(whole), *option]) == 2
        assert f"error: {' '.join(option)}: --algo grasp has no environment, " in capsys.readouterr().err


@pytest.mark.usefixtures("python_handler")
def test_ctrl_c_amid_an_epoch_ends_with_a_checkpoint_of_that_moment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"folder:{folder}", "unseen:0.4", *SMALL[:-2], "epochs:[3, 0]", "picture_epochs:0", "batch:1"]
    command = ["--algo", "grasp", "--hyperparams", *settings, "--run-dir"]
    assert train.main([*command, str(tmp_path / "whole")]) == 0
    losses, calls = GraspTrainer.losses, 0

    def interrupted(self: GraspTrainer, which: Any, second: bool) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:  # two samples an epoch
            signal.raise_signal(signal.SIGINT)
        return losses(self, which, second)

    monkeypatch.setattr(GraspTrainer, "losses", interrupted)
    assert train.main([*command, str(tmp_path / "stopped")]) == 130
    assert capsys.readouterr().err.strip().endswith(f"interrupted; go on with --resume {tmp_path / 'stopped'}")
    assert calls == 3
    assert train.main(["--resume", str(tmp_path / "stopped")]) == 0
    assert calls == 6  # no sample again
    ends = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--env", "gradgym/Ant-v0"], "--env gradgym/Ant-v0: --algo grasp trains on a data set, not an environment"),
        (["--env-kwargs", "n:1"], "--env-kwargs"),
        (["--total-timesteps", "5"], "--total-timesteps 5"),
        (["--enhancement", "policy"], "enhancement='policy': --algo grasp has no such setting"),
        (["--hyperparams", "batches:3"], "batches=3: --algo grasp has no such setting, see agents/presets/grasp.yaml"),
        (["--hyperparams", "resnet.depth:3"], "depth=3: --algo grasp has no such setting"),
        (["--hyperparams", "batch:many"], "batch='many': must be like the preset's, 16"),
        (["--hyperparams", "lower:1"], "lower=1: must be like"),
        (["--hyperparams", "epochs:[1, 2.5]"], "epochs=[1, 2.5]: must be like"),
        (["--hyperparams", "epochs:[1]"], "epochs=(1,): must be two"),
        (["--hyperparams", "batch:0"], "batch=0: must be positive"),
        (["--hyperparams", "hand:none.xml"], "cannot read the MJCF 'none.xml'"),
        (["--hyperparams", "unseen:0.1"], "unseen=0.1: of 3 objects leaves 0 for the trial"),
        (["--hyperparams", "folder:nowhere"], "nowhere: holds no objects, make them with `gradgym-grasp data`"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(
    arguments: list[str], part: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--hyperparams" in arguments and "folder:nowhere" not in arguments:
        arguments = [*arguments, f"folder:{folder}"]
    assert train.main(["--algo", "grasp", *arguments, "--run-dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip()
    assert part in error and error.count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_another_training_on_data_registers_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[DatasetConfig, Path]] = []

    class Recorded:
        def __init__(self, config: DatasetConfig, run_dir: Path) -> None:
            self.made = config, run_dir

        def train(self) -> None:
            trained.append(self.made)

    monkeypatch.setitem(DATASET_TRAININGS, "grasp", Recorded)
    assert train.main(["--algo", "grasp", "--hyperparams", "lower:true", "--run-dir", str(tmp_path)]) == 0
    assert train.main(["--resume", str(tmp_path)]) == 0
    expected = DatasetConfig("grasp", 0, load_dataset_preset("grasp", {"lower": True}))
    assert trained == [(expected, tmp_path)] * 2 and expected.hyperparams["lower"]

"""Benchmarks run, and compare the same work."""

import json
from pathlib import Path
from typing import Any

import control_figure6
import gymnasium
import manipulation_speed
import numpy as np
import pytest
import updates_per_second
import vector_throughput

import gradgym


def test_throughput_is_measured_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results.json"
    assert vector_throughput.main(["--quick", "--threads", "2", "--results", str(results)]) == 0
    for row in json.loads(results.read_text())["rows"]:
        assert row["steps_per_second"].keys() == set(vector_throughput.CONTESTANTS)
        assert min(row["steps_per_second"].values()) > 0
    capsys.readouterr()
    assert vector_throughput.main(["--table", "--results", str(results)]) == 0
    _, _, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("| 1 |")
    assert second.startswith("| 8 |")


def test_updates_of_two_versions_are_measured_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    for before in (None, str(Path(gradgym.__file__).parent.parent)):
        if before is not None:
            monkeypatch.setenv("BEFORE", before)
        assert updates_per_second.MEASUREMENT.main(["--quick", "--results", str(results)]) == 0
        (row,) = json.loads(results.read_text())["rows"]
        assert min(row["milliseconds"].values()) > 0
        assert (row["before / now"] is None) == (before is None) == ("before" not in row["milliseconds"])
        header, _, line = capsys.readouterr().out.splitlines()[-3:]
        assert line.startswith("| MBPO |") and line.count("|") == header.count("|")


def test_mujocos_rollout_makes_the_steps_that_ours_made() -> None:
    envs: Any = gymnasium.make_vec("gradgym/Ant-v0", num_envs=3)
    ours = vector_throughput.SteppingOurs(envs, steps=10, settling_steps=0)
    ours()
    theirs = vector_throughput.RollingOut(ours, 2)
    theirs()
    last = np.concatenate([envs.unwrapped.state.qpos, envs.unwrapped.state.qvel], axis=1)
    # MuJoCo's solver stops at its tolerance, and the first contacts are there: within 1e-5 of velocities of about 5
    np.testing.assert_allclose(theirs.found[:, -1, 1:], last, atol=1e-5)
    theirs.threads.close()


def test_motion_control_descends_from_no_torque(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results.json"
    assert control_figure6.MEASUREMENT.main(["--quick", "--results", str(results)]) == 0
    header, _, *lines = capsys.readouterr().out.splitlines()[-6:]
    assert len(lines) == 4
    assert all(line.count("|") == header.count("|") for line in lines)
    for row in json.loads(results.read_text())["rows"]:
        task = control_figure6.PROBLEMS[row["problem"]].task(target=row["target"])
        untouched = task.distance(control_figure6.final_state(task, control_figure6.zero_torques(task))).item()
        losses = [point[3] for point in row["curve"]]
        np.testing.assert_allclose(losses[0], untouched, rtol=1e-3)
        assert losses == sorted(losses, reverse=True)
        assert row["loss"] < 0.9 * untouched


@pytest.mark.slow  # compiles four scenes
def test_speed_of_manipulation_is_measured_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results.json"
    assert manipulation_speed.MEASUREMENT.main(["--quick", "--results", str(results)]) == 0
    rows = json.loads(results.read_text())["rows"]
    assert len(rows) == len(manipulation_speed.SCENES) * len(manipulation_speed.BACKENDS)
    assert min(row[key] for row in rows for key in ("single", "together")) > 0
    _, _, *lines = capsys.readouterr().out.splitlines()[-6:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == list(manipulation_speed.SCENES)

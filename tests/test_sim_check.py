"""`gradgym-check`: what it says of a model that works, of one that does not, and of faults that it is to find."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradgym import sim
from gradgym.sim import check

SLED = """<mujoco><option timestep="0.004"/><worldbody><geom type="plane" size="5 5 1"/>
  <body pos="0 0 0.1"><freejoint/><geom size="0.1"/>
    <body pos="0.15 0 0"><joint name="j" axis="0 1 0" damping="0.1"/><geom size="0.05" pos="0.1 0 0"/></body></body>
  </worldbody><actuator><motor joint="j"/></actuator></mujoco>"""


def run(path: Path, text: str, *options: str) -> int:
    path.write_text(text)
    return check.main([str(path), "--states", "6", *options])


def test_a_model_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "sled.xml", SLED) == 0
    out = capsys.readouterr().out
    for text in ("sled.xml", "nv 7", "step is mj_step's", "yes, off by", "6 states", "mj_step", "6 of 6"):
        assert text in out, out
    assert "NO" not in out


def test_a_solver_that_is_stopped_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "mjx.xml", SLED.replace('"0.004"', '"0.004" iterations="1" cone="elliptic"')) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "6 of 6" not in out and "iterations=100" in out


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        (SLED.replace("<joint", '<joint springyield="0.1" stiffness="1"'), 1, "joint 'j': springyield"),
        (SLED.replace("<joint", "<jiont"), 2, "jiont"),
    ],
)
def test_models_that_do_not_load(
    text: str, status: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "robot.xml", text) == status
    captured = capsys.readouterr()
    assert captured.out == "" and says in captured.err and captured.err.startswith("gradgym-check: ")


def test_flags_are_set_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SLED.replace('"0.004"/>', '"0.004"><flag sleep="enable"/></option>')
    assert run(tmp_path / "sled.xml", text) == 0  # what has an actuator may not fall asleep
    text = text.replace('<actuator><motor joint="j"/></actuator>', "")
    assert run(tmp_path / "sled.xml", text) == 1
    assert 'flags={"sleep": "disable"}' in capsys.readouterr().err
    assert run(tmp_path / "sled.xml", text, "--flag", "sleep=disable") == 0
    capsys.readouterr()
    assert run(tmp_path / "sled.xml", text, "--flag", "sleep") == 2
    assert "expected 'enable' or 'disable'" in capsys.readouterr().err


def test_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(tmp_path / "none.xml")]) == 2
    assert capsys.readouterr().err == f"gradgym-check: no model file at {str(tmp_path / 'none.xml')!r}\n"


def test_wrong_steps_and_gradients_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right_step, right_jacobian = check.step, check.step_jacobian

    def wrong_step(model: sim.Model, state: sim.State, *rest: Any) -> sim.State:
        after = right_step(model, state, *rest)
        return after._replace(qvel=after.qvel + 1e-5 * (after.qvel - state.qvel))

    def wrong_jacobian(*arguments: Any) -> sim.StepJacobian:
        found = right_jacobian(*arguments)
        return found._replace(A=found.A + 1e-4 * np.eye(len(found.A[0])))

    monkeypatch.setattr(check, "step", wrong_step)
    assert run(tmp_path / "sled.xml", SLED) == 1
    assert "NO, off by 1e-05" in capsys.readouterr().out
    monkeypatch.setattr(check, "step", right_step)
    monkeypatch.setattr(check, "step_jacobian", wrong_jacobian)
    assert run(tmp_path / "sled.xml", SLED) == 1
    assert "NO, off by" in capsys.readouterr().out


def test_threads_are_as_before(tmp_path: Path) -> None:
    before = sim.get_num_threads()
    sim.set_num_threads(2)
    try:
        run(tmp_path / "sled.xml", SLED)
        assert sim.get_num_threads() == 2
    finally:
        sim.set_num_threads(before)

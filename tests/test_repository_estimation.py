"""The estimations of the benchmarks: what the sides are told, and what is stored of them."""

from pathlib import Path
from typing import Any

import estimation_figure7
import identification
import numpy as np
import pytest


def test_the_car_is_stopped_within_ten_updates() -> None:
    rows = estimation_figure7.MEASUREMENT.rows()
    curves = {row["method"]: row["curve"] for row in rows if "method" in row}
    reached = estimation_figure7.reached(curves["gradient descent"], estimation_figure7.CLOSE)
    assert reached is not None and reached[0] <= 11  # one before the first update
    # v^2 / (2 mu g) = 0.8 m; the tyres' give takes the rest.
    for curve in curves.values():
        _, _, friction, miss = min(curve, key=lambda point: abs(point[-1]))
        assert abs(miss) < estimation_figure7.CLOSE
        assert abs(friction * 2 * 9.81 * (0.8 + miss) - 1.0) < 0.01


def test_the_slope_of_the_miss_is_that_of_a_difference() -> None:
    car, h = estimation_figure7.Braking(3), 1e-5
    _, slope = car.miss_and_slope(0.1)
    by_difference = (car.miss(0.1 + h) - car.miss(0.1 - h)) / (2 * h)
    np.testing.assert_allclose(slope, by_difference, rtol=1e-5)


def test_figure_7_is_measured_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    assert estimation_figure7.MEASUREMENT.main(["--quick", "--results", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(estimation_figure7.METHODS)
    assert "0.8000" in lines[3]  # Gauss-Newton needs no more than the six simulations


def test_all_sides_of_the_identification_are_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of the loss: from our adjoint, and from differences of both simulators' predictions."""
    arm, told = identification.arm, []
    # Only differences know how the softness of constraints, set here, follows the masses.
    monkeypatch.setattr(arm.mujoco, "mj_setConst", lambda *_: None)
    recording = arm.record(0.0)
    recording = arm.Recording(
        arm.sim.State(*(x[:100:10] for x in recording.start[:3])), recording.ctrl[:100:10], recording.states[:100:10]
    )

    for side in identification.SIDES.values():

        def keep(*arguments: Any, side: Any = side) -> Any:
            told.append(side(*arguments))
            return told[-1]

        next(run := arm.estimate(recording, 1, keep))
        next(run, None)
    ours, *others = told
    for other in others:
        # Differences of 1e-6, through contact, of solvers that end at their tolerance.
        np.testing.assert_allclose(ours.gradient, other.gradient, atol=1e-3 * np.abs(ours.gradient).max())


def test_all_parameters_are_found() -> None:
    for row in identification._sides(identification.MEASUREMENT.rows()):
        assert min(error for _, error in row["curve"]) < identification.GOALS[-1]

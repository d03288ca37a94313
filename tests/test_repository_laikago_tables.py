"""The tables about one Laikago: all sides simulate the same robot, and what they answer is shown."""

import json
from pathlib import Path
from typing import Any

import laikago_tables
import numpy as np
import pytest
from sides import Side


def test_ours_and_mujocos_are_the_same_robot_and_the_table_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert laikago_tables.MEASUREMENT.main(["--quick", "--results", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    ours, mujocos = rows
    assert mujocos["position_difference"] < 1e-12  # both solvers end at rounding: the robot stands still
    assert mujocos["gradient_difference"] < 1e-4  # differences of 1e-6
    for row in rows:
        assert row["height"] == pytest.approx(0.423, abs=1e-3)
        for size in ("50", "100"):
            assert row["memory"][size] is not None and min(row["forward"][size], row["backward"][size]) > 0.0
    assert ours["backward"]["100"] < mujocos["backward"]["100"]
    table, summary = laikago_tables.table(rows), laikago_tables.summary(rows)
    for row in rows:
        assert table.count(f"| {row['side']} |") == 3
        assert summary.count(f"| {row['side']} |") == 1
        assert f"| {row['side']} |" in laikago_tables.notes(rows)


def test_what_could_not_be_measured_is_shown_as_such() -> None:
    rows: list[dict[str, Any]] = [
        {
            "side": "first",
            "missing": None,
            "about": "whole",
            "compile": 30.2,
            "height": 0.4,
            "position_difference": 0.0,
            "memory": {"50": 0.01234, "100": None},
            "forward": {"50": 0.5, "100": None},
            "backward": {"50": 123.4, "100": None},
            "failure": "MemoryError",
            "blocks": {"50": 9, "100": 0},
            "workspace": 0.123,
        },
        {"side": "absent", "missing": "no module", "memory": {}, "forward": {}, "backward": {}, "blocks": {}},
    ]
    table = laikago_tables.table(rows)
    for line in ("| first | 0.012 | - |", "| first | 0.5 | - |", "| first | 123 | - |", "| absent |  |  |"):
        assert line in table
    assert "| paper: CppAD | 16 | 26 |" in table
    notes = laikago_tables.notes(rows)
    assert "| 0.123 |" in notes and "50 steps first" in notes
    assert "compiles 30 s" in notes and "MemoryError" in notes and "not measured here: no module" in notes


# Position [m, rad] and relative gradient: one pass of Gauss-Seidel leaves a thousandth; penalty contacts are other
# physics, whose gradient the side does not give in these coordinates
NEAR = {
    "gradgym, PGS": (1e-6, 1e-2),
    "PyTorch autograd, Newton, feet": (1e-12, 1e-10),
    "PyTorch autograd, PGS, feet": (1e-6, 1e-2),
    "gradgym, Newton, feet": (1e-12, 1e-10),
    "MJX, feet": (1e-12, 1e-6),
    "MJX, feet, a checkpoint every 50 steps": (1e-12, 1e-6),
    "Newton (Warp) tape, feet": (1e-2, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("contestant", laikago_tables.CONTESTANTS[2:], ids=lambda c: c.label)
def test_rivals_are_where_ours_is(contestant: Any) -> None:
    with Side("ours") as ours, Side(contestant.script) as rival:
        if rival.missing is not None:
            pytest.skip(rival.missing)
        ours.ask("load")
        rival.ask("load", **contestant.choices)
        ends = [side.ask("end", steps=50) for side in (ours, rival)]
    near, gradient_near = NEAR[contestant.label]
    np.testing.assert_allclose(ends[1]["qpos"], ends[0]["qpos"], rtol=0, atol=near)
    if gradient_near is not None:
        wanted = np.array(ends[0]["gradient"])
        assert np.linalg.norm(ends[1]["gradient"] - wanted) <= gradient_near * np.linalg.norm(wanted)

"""The scene of several robots that benchmarks measure, and the benchmarks about it."""

import json
from pathlib import Path
from typing import Any

import checkpoint_figure8
import mujoco
import numpy as np
import pytest
import robots_figure3
from quadrupeds import quadrupeds


def test_robots_of_a_scene_move_as_one_alone() -> None:
    alone, scene = quadrupeds(1), quadrupeds(6)
    ends = []
    for each in (alone, scene):
        d = mujoco.MjData(each.model)
        d.qpos[:], d.qvel[:], d.ctrl[:] = each.state.qpos, each.state.qvel, each.ctrl
        d.ctrl[:] += np.tile(np.linspace(-0.05, 0.05, 12), len(d.ctrl) // 12)
        mujoco.mj_step(each.model, d, nstep=20)
        assert d.ncon == 4 * len(d.ctrl) // 12  # each on its feet, and none touches another
        ends.append((d.qpos.reshape(-1, 19) - each.state.qpos.reshape(-1, 19), d.qvel.reshape(-1, 18)))
    for one, many in zip(*ends, strict=True):
        assert np.abs(one).max() > 1e-3
        # places differ by metres, and so rounding does; MuJoCo's solver stops at 1e-8
        np.testing.assert_allclose(many, np.tile(one, (6, 1)), rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", [checkpoint_figure8, robots_figure3], ids=lambda b: b.MEASUREMENT.name)
def test_benchmarks_measure_and_show(benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    assert benchmark.MEASUREMENT.main(["--quick", "--results", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert all(row["forward_us"] > 0.0 and row["backward_us"] > 0.0 for row in rows)
    assert "| " in capsys.readouterr().out and benchmark.notes(rows)
    benchmark.plot(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000

"""The benchmarks of grasps in their quick mode, and the commands of the network, as files and without stand-ins."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trimesh

from gradgym.agents.grasp import command_line

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def benchmark(name: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_planning_runs_and_completes_what_is_missing(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    places = ["--work-dir", str(tmp_path / "work"), "--results", str(results)]
    benchmark("grasp_planning", *places, "--quick", "--jobs", "1")
    shown = benchmark("grasp_planning", *places, "--table")
    assert all(label in shown for label in ("descent of", "half the starts", "on a sphere", "annealing"))
    benchmark("grasp_planning", *places, "--picture", str(tmp_path / "best.png"))
    assert (tmp_path / "best.png").stat().st_size > 5_000
    content = json.loads(results.read_text())
    (row,) = content["rows"]
    trivial, descent = row["methods"].pop("trivial"), row["methods"]["descent"]
    results.write_text(json.dumps(content))
    assert "on a sphere" not in benchmark("grasp_planning", *places, "--table")
    benchmark("grasp_planning", *places, "--complete")
    completed = json.loads(results.read_text())
    assert completed["rows"][0]["methods"]["descent"] == descent
    assert completed["rows"][0]["methods"]["trivial"].keys() == trivial.keys()
    assert {**completed, "rows": 0} == {**content, "rows": 0}
    assert "on a sphere" in benchmark("grasp_planning", *places, "--table")


def test_network_runs(tmp_path: Path) -> None:
    places = ["--work-dir", str(tmp_path / "work"), "--results", str(tmp_path / "results.json")]
    benchmark("grasp_network", *places, "--quick", "--jobs", "1")
    assert len(benchmark("grasp_network", *places, "--table").splitlines()) > 3


def test_data_and_training_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meshes, data = tmp_path / "meshes", tmp_path / "data"
    meshes.mkdir()
    for i in range(2):
        trimesh.creation.box((0.04, 0.05, 0.05 + 0.01 * i)).export(meshes / f"box_{i}.stl")
    size = ["--num-grasps", "2", "--size", "24", "--as-it-stands"]
    assert command_line.main(["data", str(data), "--meshes", str(meshes), *size]) == 0
    small = ["--blocks", "1", "--width", "4", "--plain-blocks", "--epochs", "1", "1", "--unseen", "0.5"]
    for _ in range(2):  # the second finds it done, and tries it again
        assert command_line.main(["train", str(data), "--run-dir", str(tmp_path / "run"), *small]) == 0
        assert "unseen objects" in capsys.readouterr().out

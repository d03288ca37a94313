"""What benchmarks that train share: rows of processes, those that fail or are killed, and going on."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import trainings
from sweeps import InThisProcess
from trainings import Benchmark, Row


def train(name: str, number: int, quick: bool, work_dir: Path) -> Row:
    if name == "fails":
        raise ValueError("no such thing")
    return {"name": name, "number": number, "quick": quick, "process": os.getpid()}


def table(rows: list[Row]) -> str:
    return ", ".join(row["name"] for row in rows)


BENCHMARK = Benchmark("stand_in", ("name", "number"), train, table)


def run(folder: Path, *jobs: tuple[Any, ...], more: tuple[str, ...] = ()) -> tuple[int, list[Row]]:
    """The exit code and the stored rows."""
    places = ["--work-dir", str(folder), "--results", str(folder / "results.json"), "--jobs", "1", *more]
    code = BENCHMARK.main(BENCHMARK.parser("Stands in.").parse_args(places), jobs)
    return code, BENCHMARK.rows(folder / "results.json")


def test_rows_are_kept_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [("fails", 1), ("killed once", 2), ("killed twice", 3), ("whole", 4)]
    times = {1: 1, 2: 2}

    def kill(number: int) -> str:
        return "killed by SIGKILL" if launcher.started.count(number) <= times.get(number, 0) else ""

    launcher = InThisProcess(kill)
    monkeypatch.setattr(trainings, "make_launcher", lambda *_, **__: launcher)
    code, rows = run(tmp_path, *jobs)
    assert code == 1 and [row["name"] for row in rows] == ["killed once", "whole"]
    assert launcher.started == [0, 1, 1, 2, 2, 3]
    error = capsys.readouterr().err
    assert "stand_in killed twice 3: ended twice: killed by SIGKILL" in error
    assert "stand_in fails 1: Traceback" in error and "ValueError: no such thing" in error
    # What a worker has written counts, though the benchmark was killed before it took it over.
    (tmp_path / "results.json").unlink()
    launcher = InThisProcess()
    code, rows = run(tmp_path, ("whole", 4), ("more", 5))
    assert code == 0 and [row["name"] for row in rows] == ["killed once", "more", "whole"]
    assert launcher.started == [0] and not list(tmp_path.glob("stand_in-rows/*.tmp"))


def test_rows_come_from_processes(tmp_path: Path) -> None:
    code, (row,) = run(tmp_path, ("whole, or not", 4))
    assert code == 0 and row["process"] != os.getpid() and row["quick"] is False


def test_a_row_of_another_machine_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = trainings.machine()
    monkeypatch.setattr(trainings, "make_launcher", lambda *_, **__: InThisProcess())
    _, (row,) = run(tmp_path, ("near", 1))
    assert "machine" not in row and json.loads((tmp_path / "results.json").read_text())["machine"] == here
    monkeypatch.setattr(trainings, "machine", lambda: {**here, "processor": "another"})
    _, (row,) = run(tmp_path / "again", ("near", 1))
    assert "machine" not in row
    (tmp_path / "results.json").unlink()
    _, (row,) = run(tmp_path)
    assert row["machine"] == here


def test_what_is_stored_is_shown_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "whole", "number": 4}]
    (tmp_path / "results.json").write_text(json.dumps({"rows": rows}))
    assert run(tmp_path, ("more", 5), more=("--table",)) == (0, rows)
    assert capsys.readouterr().out == "whole\n" and not (tmp_path / "stand_in-rows").exists()

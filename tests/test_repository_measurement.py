"""The frame of the benchmarks that measure: stored results make tables and pages."""

import json
from pathlib import Path
from typing import Any, Never

import pytest
from measurement import Measurement, cell
from pages import MEASUREMENTS


def _table(rows: Any) -> str:
    return "\n".join(f"| {row['steps']} | {cell(row['rival'])} |" for row in rows)


FALLS = Measurement(
    name="falls",
    title="Falls",
    shows="how far it falls.",
    leaves_out="what it falls on.",
    measure=lambda quick: [{"steps": 5 if quick else 500, "rival": None}],
    table=_table,
    notes=lambda rows: f"It fell {rows[0]['steps']} steps.",
    rivals=("numpy", "no-such-distribution"),
)


def test_quick_results_are_stored_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "falls.json"
    assert FALLS.main(["--quick", "--results", str(path)]) == 0
    stored = json.loads(path.read_text())
    assert stored["rows"] == [{"steps": 5, "rival": None}]
    assert stored["command"] == "python benchmarks/falls.py"
    assert "numpy" in stored["versions"] and "no-such-distribution" not in stored["versions"]
    assert list(path.parent.iterdir()) == [path]
    capsys.readouterr()
    assert FALLS.main(["--table", "--results", str(path)]) == 0
    assert capsys.readouterr().out == "| 5 |  |\n"


def test_results_stay_where_a_measurement_fails(tmp_path: Path) -> None:
    path = tmp_path / "falls.json"
    FALLS.main(["--quick", "--results", str(path)])
    before = path.read_text()

    def fail(quick: bool) -> Never:
        raise RuntimeError("no ground")

    broken = Measurement("falls", "Falls", "", "", fail, _table)
    with pytest.raises(RuntimeError, match="no ground"):
        broken.main(["--results", str(path)])
    assert path.read_text() == before


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda m: m.name)
def test_a_page_says_what_it_shows_and_what_it_does_not(measurement: Measurement) -> None:
    page = measurement.page()
    assert measurement.page_path.read_text() == page
    assert measurement.command in page
    for sentence in (measurement.shows, measurement.leaves_out):
        assert sentence in page and sentence.endswith(".") and "\n" not in sentence

"""README's tables are the stored results."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import pendulum_table4  # noqa: E402  # pyright: ignore[reportMissingImports]
import readme  # noqa: E402  # pyright: ignore[reportMissingImports]


def test_readme_holds_what_the_results_say():
    assert readme.main(["--check"]) == 0


@pytest.mark.parametrize("path", sorted((BENCHMARKS / "results").glob("*.json")), ids=lambda path: path.name)
def test_every_result_says_where_it_comes_from(path: Path):
    stored = json.loads(path.read_text())
    assert {"command", "versions", "machine", "rows"} <= stored.keys()
    assert stored["rows"]


def test_stored_curves_and_greatest_returns_agree():
    for row in pendulum_table4.BENCHMARK.rows():
        assert max(value for _, value in row["curve"]) == pytest.approx(row["max_return"], abs=1e-3)
        assert row["max_return"] <= 0.5 * row["n"] ** 2 + 1e-9
        assert row["env_steps"] <= 10_000 * row["n"]

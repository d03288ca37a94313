"""Sides of a comparison: processes that answer, fail, end, or are not installed."""

import sys
from pathlib import Path

import pytest
import sides

SCRIPTS = {
    "counter": """
import os
from sides import peak_growth, serve

def prepare():
    print("what a library prints")
    counted = []

    def count(upto):
        counted.append(upto)
        return {"sum": sum(range(upto)), "asked": len(counted)}

    def fall():
        raise ValueError("no ground\\nsecond line")

    return {
        "count": count,
        "fall": fall,
        "not_json": lambda: object(),
        "end": lambda: os._exit(3),
        "imported": lambda: __import__("ground").HEIGHT,
        "threads": lambda: os.environ["OMP_NUM_THREADS"],
        "grow": lambda megabytes: peak_growth(lambda: bytearray(b"1" * (megabytes * 10**6))),
    }

serve(prepare)
""",
    "uninstalled": """
from sides import serve

def prepare():
    import no_such_simulator
    return {}

serve(prepare)
""",
    "crashed": "import os; os._exit(4)",
}


@pytest.fixture(autouse=True)
def rivals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in SCRIPTS.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(sides, "_RIVALS", tmp_path)


def test_a_side_answers_in_a_process_that_stays() -> None:
    with sides.Side("counter") as side, sides.Side("counter") as other:
        assert side.missing is None
        assert side.ask("count", upto=4) == {"sum": 6, "asked": 1}
        assert other.ask("count", upto=3) == {"sum": 3, "asked": 1}
        assert side.ask("count", upto=1)["asked"] == 2
        assert side.ask("threads") == "1"


def test_what_a_side_raises_is_heard_and_it_goes_on() -> None:
    with sides.Side("counter") as side:
        for function, message in (
            ("fall", "ValueError: no ground$"),
            ("not_json", "TypeError"),
            ("jump", "count, fall"),
        ):
            with pytest.raises(sides.SideError, match=message):
                side.ask(function)
        assert side.ask("count", upto=2)["sum"] == 1


def test_a_side_that_ends_is_reported_each_time() -> None:
    with sides.Side("counter") as side:
        for _ in range(2):
            with pytest.raises(sides.SideError, match="counter ended with code 3"):
                side.ask("end")


@pytest.mark.parametrize(
    ("name", "reason"), [("uninstalled", "no_such_simulator"), ("crashed", "code 4"), ("nowhere", "code 2")]
)
def test_a_missing_side_says_why(name: str, reason: str) -> None:
    with sides.Side(name) as side:
        assert side.missing is not None and reason in side.missing
        with pytest.raises(sides.SideError, match=f"{name} is missing.*{reason}"):
            side.ask("count", upto=1)


def test_another_interpreter_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTER_PYTHON", sys.executable)
    with sides.Side("counter") as side:
        assert side.ask("count", upto=2)["sum"] == 1
    monkeypatch.setenv("COUNTER_PYTHON", "/no/such/python")
    with sides.Side("counter") as side:
        assert side.missing is not None and "/no/such/python" in side.missing


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's record of peak memory")
def test_memory_that_is_taken_and_given_back_is_measured_each_time() -> None:
    with sides.Side("counter") as side:
        for megabytes in (20, 40, 20):
            # The bytes and their copy; resident memory is counted to a fraction of a megabyte
            assert side.ask("grow", megabytes=megabytes) == pytest.approx(2 * megabytes, abs=2.0)


def test_time_is_of_one_run() -> None:
    runs = []
    seconds = sides.processor_seconds(lambda: runs.append(sum(range(10000))), at_least=0.01)
    assert len(runs) > 1
    assert 0.01 / len(runs) <= seconds < 0.1 / len(runs)


def test_a_side_imports_from_the_folder_that_it_is_given(tmp_path: Path) -> None:
    for height in (3, 4):
        (tmp_path / str(height)).mkdir()
        (tmp_path / str(height) / "ground.py").write_text(f"HEIGHT = {height}")
        with sides.Side("counter", package=str(tmp_path / str(height))) as side:
            assert side.ask("imported") == height

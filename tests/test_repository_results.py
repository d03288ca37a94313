"""The tables of README and docs are the stored results."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import ant_figure5
import ant_table5
import control_figure6
import numpy as np
import pages
import pendulum_bptt
import pendulum_ilqr
import pendulum_table4
import pytest
import target_trainings

from gradgym import train
from gradgym.agents.training.configuration import RunConfig

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def test_tables_hold_what_the_results_say() -> None:
    assert pages.main(["--check"]) == 0


@pytest.mark.parametrize("change", ["a number", "no place", "two places", "an unknown name"])
def test_a_table_that_is_not_the_results_is_found(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "docs" / "results"
    shutil.copytree(pages.ROOT / "docs" / "results", copy)
    shutil.copy(pages.README, tmp_path)
    page = copy / "simulator.md"
    text = page.read_text()
    block = text[text.index("<!-- contact: generated -->") : text.index("<!-- throughput: generated -->")]
    page.write_text(
        {
            "a number": text.replace("| Ant, Euler | 4 |", "| Ant, Euler | 5 |"),
            "no place": text.replace(block, ""),
            "two places": text + block,
            "an unknown name": text.replace("contact: generated", "contacts: generated"),
        }[change]
    )
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "README", tmp_path / "README.md")
    if change == "a number":
        assert pages.main(["--check"]) == 1
    else:
        with pytest.raises(ValueError, match=r"no place for contact|no table is called 'contact"):
            pages.main(["--check"])


@pytest.mark.parametrize("path", sorted((BENCHMARKS / "results").glob("*.json")), ids=lambda path: path.name)
def test_every_result_says_where_it_comes_from(path: Path) -> None:
    stored = json.loads(path.read_text())
    assert {"command", "versions", "machine", "rows"} <= stored.keys()
    assert stored["rows"]


def test_stored_curves_and_greatest_returns_agree() -> None:
    for row in pendulum_table4.BENCHMARK.rows():
        assert max(value for _, value in row["curve"]) == pytest.approx(row["max_return"], abs=1e-3)
        assert row["max_return"] <= 0.5 * row["n"] ** 2 + 1e-9
        assert row["env_steps"] <= 10_000 * row["n"]


def test_table_4_is_of_the_commands_below_it() -> None:
    """Of each stored row the settings are those of the command that is printed, and it took as many steps."""
    pages = [BENCHMARKS.parent / "README.md", *(BENCHMARKS.parent / "docs").rglob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    printed = re.findall(r"^    gradgym-train (.*n_links:N --seed SEED)$", text, re.MULTILINE)
    assert len(printed) == len(pendulum_table4.METHODS)
    commands = dict(zip(pendulum_table4.METHODS, printed, strict=True))
    for row in pendulum_table4.BENCHMARK.rows():
        words = commands[row["method"]].replace("n_links:N", f"n_links:{row['n']}").replace("SEED", str(row["seed"]))
        config = train.configuration(words.split())
        assert isinstance(config, RunConfig)
        assert config == pendulum_table4.run_config(row["n"], row["method"], row["seed"], quick=False)
        assert config.total_timesteps == row["env_steps"]


@pytest.mark.parametrize("script", [pendulum_bptt, pendulum_ilqr])
def test_goals_of_the_pendulum_were_reached_where_the_curve_says_so(script: Any) -> None:
    for row in script.BENCHMARK.rows():
        goal = script.GOALS[row["n"]]
        # Curves are stored to four digits.
        reached = [step for step, value in row["curve"] if value >= goal + 1e-4]
        assert (row["steps_to_goal"] is None) == (row["max_return"] < goal)
        assert not reached or row["steps_to_goal"] <= reached[0]
        assert row["max_return"] <= 0.5 * row["n"] ** 2 + 1e-9


def test_ilqr_reaches_its_goals_in_both_engines() -> None:
    for row in pendulum_ilqr.BENCHMARK.rows():
        assert min(row["max_return"], row["max_return_in_mujoco"]) >= pendulum_ilqr.GOALS[row["n"]]


def test_curves_of_the_ant_had_equal_steps_and_updates() -> None:
    rows = ant_figure5.BENCHMARK.rows()
    assert len({row["env_steps"] for row in rows}) == 1
    assert len({row["updates"] for row in rows if row["method"] != "ppo"}) == 1
    for row in rows:
        assert ant_figure5.area(np.array(row["curve"])) == pytest.approx(row["area"], abs=1e-2)


def test_policies_of_the_ant_transfer() -> None:
    rows = ant_table5.BENCHMARK.rows()
    assert all(row["episodes"] == ant_table5.EPISODES and abs(row["gap"]) < 0.05 for row in rows)


def test_descent_ended_nearer_than_evolution_on_every_target() -> None:
    rows = control_figure6.MEASUREMENT.rows()
    for name, problem in control_figure6.PROBLEMS.items():
        for target in problem.targets:
            found = {r["method"]: r for r in rows if r["problem"] == name and tuple(r["target"]) == target}
            assert found["gradient"]["iterations"] == problem.descent
            assert found["cma"]["iterations"] == problem.evolution
            assert found["gradient"]["loss"] < found["cma"]["loss"]


def test_balls_and_cars_end_where_mujoco_takes_them_too() -> None:
    rows = target_trainings.BENCHMARK.rows()
    assert {(row["env"], row["seed"]) for row in rows} == {
        (env, seed) for env in target_trainings.ENVS for seed in target_trainings.SEEDS
    }
    for row in rows:
        # Engines agree to solver tolerance; over an episode in contact feedback keeps that within a millimetre.
        assert row["mujoco"]["return"] == pytest.approx(row["sim"]["return"], abs=1e-3)
        assert row["mujoco"]["distance"] == pytest.approx(row["sim"]["distance"], abs=1e-3)
        if row["max_return"] is not None:
            assert row["sim"]["return"] + row["sim"]["distance"] == pytest.approx(row["max_return"], abs=1e-5)

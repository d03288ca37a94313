"""Analytic policy gradients on the n-link pendulum: how soon BPTT swings up chains of 5 to 20 links.

    python benchmarks/pendulum_bptt.py              # runs what is missing, writes results/pendulum_bptt.json
    python benchmarks/pendulum_bptt.py --table      # prints the stored results as markdown

It goes on from what is stored (see `trainings.py`). Returns are those of the deterministic policy;
seconds are of the training's wall-clock, evaluations left out. Settings were chosen on seeds from
100; the seeds of the runs are below 100.
"""

import sys
from pathlib import Path
from typing import Any

from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents.training.configuration import RunConfig, load_preset
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.run import load_best

ENV = "gradgym/NLinkPendulum-v0"
SEEDS = range(3)
GOALS = {5: 12.4, 7: 24.45, 12: 71.5, 20: 195.0}
# What long chains change in the preset. The faster links turn, the more a step magnifies what is before
# it, a thousand billion times over an episode of 20 links that whip; so steps are small at first, and
# none is taken that loses.
LONG: dict[int, dict[str, Any]] = {
    12: {
        "total_timesteps": 80_000,
        "learning_rate": 5e-4,
        "line_search": 16,
        "policy_kwargs": {"log_std_init": -4.0},
    },
    20: {
        "total_timesteps": 10**8,
        "max_minutes": 5,
        "eval_seconds": 5.0,
        "learning_rate": 3e-3,
        "line_search": 64,
        "search_spread": 4.0,
        "policy_kwargs": {"log_std_init": -3.0},
    },
}
QUICK = {"total_timesteps": 600, "eval_freq": 300, "max_minutes": None}


def run_config(n_links: int, seed: int, quick: bool) -> RunConfig:
    settings = load_preset("bptt", ENV, LONG.get(n_links, {}) | {"checkpoint_freq": 10**9})
    settings |= QUICK if quick else {}
    return RunConfig.from_settings(settings, algo="bptt", env=ENV, seed=seed, env_kwargs={"n_links": n_links})


def train(n_links: int, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training and its row."""
    config = run_config(n_links, seed, quick)
    run_dir = work_dir / f"{n_links}-{seed}"
    run, measured = train_run(config, run_dir)
    found = run.evaluation.evaluations
    reached = next((e for e in found if e["mean"] >= GOALS[n_links]), None)
    mujoco = evaluate_returns(load_best(run_dir), config.make_env(backend="mujoco"), 1, seed=0)
    return {
        "n": n_links,
        "seed": seed,
        "max_return": run.evaluation.best,
        "max_return_in_mujoco": float(mujoco[0]),
        "steps_to_goal": None if reached is None else reached["timesteps"],
        "seconds_to_goal": None if reached is None else round(reached["seconds"], 1),
        "training_seconds": round(found[-1]["seconds"], 1),
        **measured,
    }


def table(rows: list[Row]) -> str:
    """Markdown: a line for each n, in its cells the seeds."""
    names = ["n", "maximum", "goal", "best return", "in MuJoCo", "steps to the goal", "seconds to it", "of", "seconds"]
    lines = [table_line(names), "|---|" + "---|" * (len(names) - 1)]
    for n, goal in GOALS.items():
        group = [row for row in rows if row["n"] == n]
        if group:
            cells = [n, f"{0.5 * n * n:g}", f"{goal:g}"]
            cells += [_each(group, "max_return", ".2f"), _each(group, "max_return_in_mujoco", ".2f")]
            cells += [_each(group, "steps_to_goal", "d"), _each(group, "seconds_to_goal", ".0f")]
            cells += [group[0]["env_steps"], _each(group, "training_seconds", ".0f")]
            lines.append(table_line(cells))
    return "\n".join(lines)


def _each(group: list[Row], name: str, form: str) -> str:
    return ", ".join("-" if row[name] is None else format(row[name], form) for row in group)


BENCHMARK = Benchmark("pendulum_bptt", ("n", "seed"), train, table)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--links", nargs="+", type=int, choices=list(GOALS), default=list(GOALS))
    arguments = parser.parse_args(argv)
    jobs = [(5, 0)] if arguments.quick else [(n, seed) for n in arguments.links for seed in SEEDS]
    return BENCHMARK.main(arguments, jobs)


if __name__ == "__main__":
    sys.exit(main())

"""Analytic policy gradients on the n-link pendulum: how soon BPTT swings up chains of 5 to 20 links.

    python benchmarks/pendulum_bptt.py              # runs what is missing, writes results/pendulum_bptt.json
    python benchmarks/pendulum_bptt.py --table      # prints the stored results as markdown

It goes on from what is stored (see `trainings.py`). Returns are those of the deterministic policy;
seconds are of the training's wall-clock, evaluations left out. Settings were chosen on seeds from
100; the seeds of the runs are below 100.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.run import load_best
from gradgym.train import configuration

ENV = "gradgym/NLinkPendulum-v0"
SEEDS = range(3)
GOALS = {5: 12.4, 7: 24.45, 12: 71.5, 20: 195.0}


def run_config(n_links: int, seed: int, quick: bool, algo: str = "bptt") -> RunConfig:
    """As the command has it: what differs between the numbers of links is in the preset."""
    command = ["--algo", algo, "--env", ENV, "--env-kwargs", f"n_links:{n_links}", "--seed", str(seed)]
    few = ["--total-timesteps", "600", "--hyperparams", "eval_freq:300"] if quick else []
    config = configuration([*command, *few])
    assert isinstance(config, RunConfig)
    return config


def train(
    n_links: int,
    seed: int,
    quick: bool,
    work_dir: Path,
    algo: str = "bptt",
    goals: Mapping[int, float] = MappingProxyType(GOALS),
) -> Row:
    """One training and its row."""
    config = run_config(n_links, seed, quick, algo)
    run_dir = work_dir / f"{n_links}-{seed}"
    run, measured = train_run(config, run_dir)
    found = run.evaluation.evaluations
    reached = next((e for e in found if e["mean"] >= goals[n_links]), None)
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


def table(rows: list[Row], goals: Mapping[int, float] = MappingProxyType(GOALS)) -> str:
    """Markdown: a line for each n, in its cells the seeds."""
    names = ["n", "maximum", "goal", "best return", "in MuJoCo", "steps to the goal", "seconds to it", "of", "seconds"]
    lines = [table_line(names), "|---|" + "---|" * (len(names) - 1)]
    for n, goal in goals.items():
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


def run(benchmark: Benchmark, goals: Mapping[int, float], doc: str | None, argv: list[str] | None) -> int:
    """The command line of a benchmark of pendulums of some numbers of links."""
    parser = benchmark.parser(doc)
    parser.add_argument("--links", nargs="+", type=int, choices=list(goals), default=list(goals))
    arguments = parser.parse_args(argv)
    jobs = [(5, 0)] if arguments.quick else [(n, seed) for n in arguments.links for seed in SEEDS]
    return benchmark.main(arguments, jobs)


def main(argv: list[str] | None = None) -> int:
    return run(BENCHMARK, GOALS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())

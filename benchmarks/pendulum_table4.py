"""Table 4 of Qiao et al. 2021: greatest return on the n-link pendulum, n = 1..7.

    python benchmarks/pendulum_table4.py              # runs what is missing, writes results/pendulum_table4.json
    python benchmarks/pendulum_table4.py --table      # prints the stored results as markdown
    python benchmarks/pendulum_table4.py --plot FILE  # draws the learning curves

It goes on from what is stored (see `trainings.py`). All methods of a row have the same networks,
batch size, environment steps and evaluations.
"""

import sys
from pathlib import Path

import numpy as np
from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.run import load_best
from gradgym.train import configuration

ENV = "gradgym/NLinkPendulum-v0"
PAPER = {
    "paper, policy enhancement": [0.49, 1.93, 4.28, 7.81, 12.31, 17.78, 24.34],
    "paper, MBPO": [0.49, 1.90, 4.28, 7.50, 11.13, 15.02, 19.97],
}
# What `gradgym-train` is told for each; all else is in agents/presets/mbpo.yaml, by the number of links.
METHODS: dict[str, list[str]] = {
    # Gradients carried through the stored episode; no learned model, as in the paper's released runs.
    "policy": ["--enhancement", "policy"],
    "mbpo": [],
    # The same class without its model: SAC, with the faster update.
    "sac": ["--hyperparams", "model:false"],
    # Equation 13 as printed: one step, then the critic.
    "policy, one step": ["--enhancement", "policy", "--hyperparams", "gradient_horizon:step"],
}
SEEDS = {"policy": 3, "mbpo": 3, "sac": 3, "policy, one step": 1}
LABELS = {
    "policy": "policy enhancement, whole episode",
    "policy, one step": "policy enhancement, one step",
    "mbpo": "MBPO",
    "sac": "SAC",
}


def command(n_links: int | str, method: str, seed: int | str) -> list[str]:
    """The arguments of `gradgym-train` that make the same run."""
    return ["--algo", "mbpo", *METHODS[method], "--env", ENV, "--env-kwargs", f"n_links:{n_links}", "--seed", str(seed)]


def run_config(n_links: int, method: str, seed: int, quick: bool) -> RunConfig:
    few = ["--total-timesteps", "600"] if quick else []
    config = configuration([*command(n_links, method, seed), *few])
    assert isinstance(config, RunConfig)
    return config


def train(n_links: int, method: str, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training and its row."""
    config = run_config(n_links, method, seed, quick)
    run_dir = work_dir / f"{n_links}-{method.replace(', ', '-').replace(' ', '-')}-{seed}"
    run, measured = train_run(config, run_dir)
    goal = PAPER["paper, policy enhancement"][n_links - 1]
    mujoco = evaluate_returns(load_best(run_dir), config.make_env(backend="mujoco"), 1, seed=0)
    return {
        "n": n_links,
        "method": method,
        "seed": seed,
        "max_return": run.evaluation.best,
        "max_return_in_mujoco": float(mujoco[0]),
        "steps_to_paper": next((e["timesteps"] for e in run.evaluation.evaluations if e["mean"] >= goal), None),
        **measured,
    }


def planned(quick: bool, methods: list[str]) -> list[tuple[int, str, int]]:
    """(n, method, seed) of all runs: first the enhanced ones, then the others seed by seed."""
    if quick:
        return [(1, method, 0) for method in methods]
    jobs = []
    for method in methods:
        for n in range(1, 8):
            jobs += [(n, method, seed) for seed in range(SEEDS[method])]
    return sorted(jobs, key=lambda job: (job[1] != "policy", job[2], job[0]))


def table(rows: list[Row]) -> str:
    """Markdown: mean and deviation of the greatest return over the seeds, and the commands that train the same."""
    lengths = sorted({row["n"] for row in rows})
    lines = [table_line(["n", *lengths]), "|---|" + "---|" * len(lengths)]
    for method in (m for m in METHODS if any(row["method"] == m for row in rows)):
        per_length = [[row for row in rows if row["method"] == method and row["n"] == n] for n in lengths]
        returns = [np.array([row["max_return"] for row in group]) for group in per_length]
        cells = [f"{r.mean():.2f} ± {r.std():.2f} ({len(r)})" if len(r) else "" for r in returns]
        lines.append(table_line([LABELS[method], *cells]))
        if method == "policy":
            lines += _details(per_length)
    lines += [table_line([name, *(f"{values[n - 1]:.2f}" for n in lengths)]) for name, values in PAPER.items()]
    lines.append(table_line(["maximum", *(f"{0.5 * n * n:g}" for n in lengths)]))
    lines += ["", *(f"    gradgym-train {' '.join(command('N', method, 'SEED'))}" for method in METHODS)]
    return "\n".join(lines)


def _details(per_length: list[list[Row]]) -> list[str]:
    """Rows about the enhanced runs: in MuJoCo, steps to the paper's return, seconds."""
    mujoco = [f"{np.mean([r['max_return_in_mujoco'] for r in g]):.2f}" if g else "" for g in per_length]
    steps = [", ".join(str(r["steps_to_paper"] or "-") for r in g) for g in per_length]
    seconds = [f"{np.mean([r['cpu_seconds'] for r in g]):.0f}" if g else "" for g in per_length]
    taken = [str(g[0]["env_steps"]) if g else "" for g in per_length]
    return [
        table_line(["the same policies in MuJoCo", *mujoco]),
        table_line(["steps to the paper's return, each seed", *steps]),
        table_line(["steps of every run", *taken]),
        table_line(["processor seconds", *seconds]),
    ]


def plot(rows: list[Row], path: Path) -> None:
    """Best return so far against environment steps, one panel for each n, one line for each seed."""
    import matplotlib.pyplot as plt

    lengths = sorted({row["n"] for row in rows})
    figure, axes = plt.subplots(2, 4, figsize=(15, 6.5), squeeze=False)
    for axis, n in zip(axes.flat, lengths, strict=False):
        for color, method in enumerate(METHODS):
            for index, row in enumerate(r for r in rows if r["n"] == n and r["method"] == method):
                steps, returns = np.array(row["curve"]).T
                label = LABELS[method] if index == 0 else None
                axis.plot(steps, np.maximum.accumulate(returns), color=f"C{color}", alpha=0.7, lw=1.2, label=label)
        axis.axhline(PAPER["paper, policy enhancement"][n - 1], color="k", ls=":", lw=1, label="paper")
        axis.set_title(f"n = {n}, maximum {0.5 * n * n:g}")
        axis.set_ylim(-0.5 * n * n, 0.55 * n * n)
        axis.set_xlabel("environment steps")
    for axis in axes.flat[len(lengths) :]:
        axis.axis("off")
    axes[0, 0].set_ylabel("best return so far")
    axes[1, 0].set_ylabel("best return so far")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower right", bbox_to_anchor=(0.98, 0.15))
    figure.tight_layout()
    figure.savefig(path, dpi=110)


BENCHMARK = Benchmark("pendulum_table4", ("n", "method", "seed"), train, table, plot)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    arguments = parser.parse_args(argv)
    return BENCHMARK.main(arguments, planned(arguments.quick, arguments.methods))


if __name__ == "__main__":
    sys.exit(main())

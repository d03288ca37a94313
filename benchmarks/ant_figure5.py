"""Figure 5 of Qiao et al. 2021: learning curves on the Ant, MBPO with and without sample enhancement.

    python benchmarks/ant_figure5.py              # runs what is missing, writes results/ant_figure5.json
    python benchmarks/ant_figure5.py --table      # prints the stored results as markdown
    python benchmarks/ant_figure5.py --plot FILE  # draws the learning curves

It goes on from what is stored (see `trainings.py`). All runs have the same networks, environment
steps and evaluations, and all but PPO's, which is on-policy, the same updates. Presets were chosen
on seeds from 100; the seeds of the runs are below 100.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents.training.configuration import RunConfig, load_preset

ENV = "gradgym/Ant-v0"
SEEDS = range(3)
WALKS = 2000.0  # twice what standing still for an episode pays
LAST = 5  # evaluations, of which the final return is the mean
QUICK = {"total_timesteps": 300, "eval_freq": 100, "eval_episodes": 1}
QUICK_OFF_POLICY = {"learning_starts": 100, "gradient_steps": 2, "rollout_batch_size": 100}
# Of each method: algorithm, enhancement, what it changes in the preset, label, the method that it is compared with.
METHODS: dict[str, tuple[str, str | None, dict[str, Any], str, str]] = {
    "sample": ("mbpo", "sample", {}, "MBPO, sample enhancement", "mbpo"),
    "mbpo": ("mbpo", None, {}, "MBPO", "sac"),
    # The same class without its model: SAC, with the faster update.
    "sac, sample": ("mbpo", "sample", {"model": False}, "SAC, sample enhancement", "sac"),
    "sac": ("mbpo", None, {"model": False}, "SAC", "sac"),
    "ppo": ("ppo", None, {}, "PPO", "sac"),
}


def run_config(method: str, seed: int, quick: bool) -> RunConfig:
    algo, enhancement, changes, *_ = METHODS[method]
    chosen = {} if enhancement is None else {"enhancement": enhancement}
    settings = load_preset(algo, ENV, changes | chosen | {"checkpoint_freq": 10**9})
    if quick:
        settings |= QUICK | ({"n_steps": 100, "batch_size": 50} if algo == "ppo" else QUICK_OFF_POLICY)
    return RunConfig.from_settings(settings, algo=algo, env=ENV, seed=seed)


def run_name(method: str, seed: int) -> str:
    """Of the run's folder."""
    return f"{method.replace(', ', '-').replace(' ', '-')}-{seed}"


def train(method: str, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training and its row."""
    config = run_config(method, seed, quick)
    run, measured = train_run(config, work_dir / run_name(method, seed))
    curve = np.array(measured["curve"])
    return {
        "method": method,
        "seed": seed,
        "area": round(area(curve), 3),
        "max_return": run.evaluation.best,
        "final_return": round(float(curve[-LAST:, 1].mean()), 3),
        **measured,
    }


def area(curve: np.ndarray) -> float:
    """Area under a curve of (step, return), divided by its steps: the mean return while learning."""
    steps, returns = curve.T
    return float(np.trapezoid(returns, steps) / (steps[-1] - steps[0]))


def steps_to(curve: np.ndarray, level: float) -> float:
    """Environment steps after which a curve of (step, return) first is at the level, or nan if it never is."""
    reached = np.flatnonzero(curve[:, 1] >= level)
    return float(curve[reached[0], 0]) if len(reached) else np.nan


def mean_curve(rows: list[Row]) -> np.ndarray:
    """Of (step, return), over the seeds."""
    return np.mean([row["curve"] for row in rows], axis=0)


def table(rows: list[Row]) -> str:
    """Markdown: mean and deviation over the seeds; areas, and steps to a return, in units of another method's."""
    groups = {method: [row for row in rows if row["method"] == method] for method in METHODS}
    names = ["", "seeds", "area under the curve / steps", "mean of the last five returns", "best"]
    names += [
        f"steps to {WALKS:.0f}",
        "beside",
        "area / its",
        "steps to its last / its own",
        "steps",
        "updates",
        "cpu s",
    ]
    lines = [table_line(names), "|---|" + "---|" * (len(names) - 1)]
    for method, group in groups.items():
        if group:
            cells = [METHODS[method][3], len(group)]
            cells += [_spread([row[name] for row in group]) for name in ("area", "final_return", "max_return")]
            cells += [_steps(steps_to(mean_curve(group), WALKS)), *_beside(group, METHODS[method][4], groups)]
            cells += [group[0]["env_steps"], group[0]["updates"]]
            lines.append(table_line([*cells, f"{np.mean([row['cpu_seconds'] for row in group]):.0f}"]))
    return "\n".join(lines)


def _beside(group: list[Row], other: str, groups: dict[str, list[Row]]) -> list[str]:
    """Label of the other method; area, and steps to the other's last return, in units of the other's; or nothing."""
    reference = groups[other]
    if not reference or group is reference:
        return ["", "", ""]
    areas = [float(np.mean([row["area"] for row in rows])) for rows in (group, reference)]
    level = float(np.mean([row["final_return"] for row in reference]))
    mine, its = (steps_to(mean_curve(rows), level) for rows in (group, reference))
    return [METHODS[other][3], f"{areas[0] / areas[1]:.2f}", "not reached" if np.isnan(mine) else f"{mine / its:.2f}"]


def _steps(count: float) -> str:
    return "not reached" if np.isnan(count) else f"{count:.0f}"


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.0f} ± {np.std(values):.0f}"


def plot(rows: list[Row], path: Path) -> None:
    """Return against environment steps: mean over the seeds, and their range."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7.5, 4.5))
    for method in METHODS:
        curves = [np.array(row["curve"]) for row in rows if row["method"] == method]
        if curves:
            steps, returns = curves[0][:, 0], np.array([curve[:, 1] for curve in curves])
            (line,) = axis.plot(steps, returns.mean(0), label=METHODS[method][3])
            axis.fill_between(steps, returns.min(0), returns.max(0), color=line.get_color(), alpha=0.15, lw=0)
    axis.set_xlabel("environment steps")
    axis.set_ylabel("return")
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


BENCHMARK = Benchmark("ant_figure5", ("method", "seed"), train, table, plot)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    arguments = parser.parse_args(argv)
    seeds = [0] if arguments.quick else SEEDS
    return BENCHMARK.main(arguments, [(method, seed) for seed in seeds for method in arguments.methods])


if __name__ == "__main__":
    sys.exit(main())

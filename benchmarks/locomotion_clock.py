"""Return against wall-clock and environment steps: SHAC, PPO and SAC on the Ant and the half cheetah.

    python benchmarks/locomotion_clock.py              # runs what is missing, writes results/locomotion_clock.json
    python benchmarks/locomotion_clock.py --table      # prints the stored results as markdown
    python benchmarks/locomotion_clock.py --plot FILE  # draws the learning curves

It goes on from what is stored (see `trainings.py`). Each run has one core and the same minutes, in
which evaluations do not count. All evaluations are in the environment as Gymnasium defines it; on
the Ant all three train on Euler in place of RK4 and without the (nearly constant) cost of contacts,
so that each has more steps for its minutes.
At the end the policy of the best evaluation is judged in Gymnasium's own environment, for 20 other
episodes. Presets were chosen on seeds from 100, the seeds of the runs are below 100; but an earlier
preset of the half cheetah, on soft contacts, was given up after a run of seed 0.
"""

import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents.training.configuration import RunConfig, load_preset, merged
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.run import load_best

ENVS = {"Ant": "gradgym/Ant-v0", "HalfCheetah": "gradgym/HalfCheetah-v0"}
SEEDS = range(3)
MINUTES = 3.0
TIMES = (0.5, 1.0, 2.0, 3.0)  # [min], of the table
EPISODES = 20
# Of each method: label, algorithm, what it changes in the preset.
_QUICKER = {"train_env_kwargs": {"integrator": "Euler", "contact_cost_weight": 0.0}}
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "shac": ("SHAC", "shac", {}),
    "ppo": (
        "PPO",
        "ppo",
        {
            "n_envs": 64,
            "n_steps": 64,
            "batch_size": 1024,
            "n_epochs": 5,
            "gamma": 0.99,
            "gae_lambda": 0.95,
            "learning_rate": 3.0e-4,
            "policy_kwargs": {"net_arch": [128, 128], "log_std_init": -1.0},
        },
    ),
    "sac": (
        "SAC",
        "mbpo",  # without its model, the same as SB3's SAC with a quicker update
        {
            "model": False,
            "n_envs": 1,
            "gamma": 0.99,
            "learning_starts": 2000,
            "train_freq": 16,
            "gradient_steps": 16,
            "batch_size": 256,
            "learning_rate": 1.0e-3,
            "tau": 0.01,
            "ent_coef": "auto_0.1",
            "target_entropy": "auto",
            "policy_kwargs": {"net_arch": [128, 128], "log_std_init": -1.0},
        },
    ),
}
QUICK = {"max_minutes": 0.1, "eval_seconds": 2.0, "eval_episodes": 1}


def run_config(env: str, method: str, seed: int, quick: bool) -> RunConfig:
    changes = merged(METHODS[method][2], {"max_minutes": MINUTES, "eval_seconds": 15.0, "checkpoint_freq": 10**9})
    if method != "shac":
        changes |= {"total_timesteps": 10**9}
        changes |= _QUICKER if env == "Ant" else {}
    settings = load_preset(METHODS[method][1], ENVS[env], changes | (QUICK if quick else {}))
    return RunConfig.from_settings(settings, algo=METHODS[method][1], env=ENVS[env], seed=seed)


def train(env: str, method: str, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training, and its best policy in Gymnasium's own environment."""
    run_dir = work_dir / f"{env}-{method}-{seed}"
    run, measured = train_run(run_config(env, method, seed, quick), run_dir)
    counterpart = run.eval_env.get_wrapper_attr("counterpart")
    judge = gymnasium.make(counterpart[0], **counterpart[1])
    judged = evaluate_returns(load_best(run_dir), judge, 1 if quick else EPISODES, seed=20_000)
    curve = [[e["timesteps"], round(e["seconds"], 1), round(e["mean"], 2)] for e in run.evaluation.evaluations]
    return {
        "env": env,
        "method": method,
        "seed": seed,
        "max_return": run.evaluation.best,
        "gymnasium_mean": round(float(judged.mean()), 2),
        "gymnasium_std": round(float(judged.std()), 2),
        **measured,
        "curve": curve,
    }


def at_minutes(row: Row, minutes: float) -> float:
    """The return after so much training, between evaluations linearly; a run that ended keeps its last."""
    _, seconds, returns = np.array(row["curve"]).T
    return float(np.interp(60.0 * minutes, seconds, returns))


def table(rows: list[Row]) -> str:
    """Markdown: mean over the seeds at some times, and SHAC's multiples of the better of the others."""
    names = ["", "seeds", *(f"{t:g} min" for t in TIMES), "best policy in Gymnasium's own", "steps"]
    lines = [table_line(names), "|---|" + "---|" * (len(names) - 1)]
    for env in ENVS:
        means: dict[str, list[float]] = {}
        for method, (label, *_) in METHODS.items():
            group = [row for row in rows if (row["env"], row["method"]) == (env, method)]
            if not group:
                continue
            means[method] = [float(np.mean([at_minutes(row, t) for row in group])) for t in TIMES]
            judged = ", ".join(f"{row['gymnasium_mean']:.0f} ± {row['gymnasium_std']:.0f}" for row in group)
            steps = f"{np.mean([row['env_steps'] for row in group]):.2g}".replace("e+0", "e")
            lines.append(
                table_line([f"{env}, {label}", len(group), *(f"{x:.0f}" for x in means[method]), judged, steps])
            )
        if len(means) == len(METHODS):
            others = [max(means["ppo"][i], means["sac"][i]) for i in range(len(TIMES))]
            cells = [f"{mine / b:.1f}" if b > 0 else "" for mine, b in zip(means["shac"], others, strict=True)]
            lines.append(table_line(["SHAC / the better of PPO and SAC", "", *cells, "", ""]))
    return "\n".join(lines)


def plot(rows: list[Row], path: Path) -> None:
    """Return against minutes and steps: mean over the seeds, and each seed."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(ENVS), 2, figsize=(10, 7), sharey="row")
    for (env, pair), column in ((x, c) for x in zip(ENVS, axes, strict=True) for c in (0, 1)):
        axis = pair[column]
        for method, (label, *_) in METHODS.items():
            curves = [np.array(row["curve"]) for row in rows if (row["env"], row["method"]) == (env, method)]
            color = f"C{list(METHODS).index(method)}"
            for i, curve in enumerate(curves):
                x = curve[:, 0] if column else curve[:, 1] / 60.0
                axis.plot(x, curve[:, 2], color=color, alpha=0.8, lw=1.2, label=label if i == 0 else None)
        axis.set_xlabel("environment steps" if column else "minutes of training on one core")
        axis.set_title(env)
        if column:
            axis.set_xscale("symlog", linthresh=1e4)
        else:
            axis.set_ylabel("return")
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


BENCHMARK = Benchmark("locomotion_clock", ("env", "method", "seed"), train, table, plot)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--envs", nargs="+", choices=list(ENVS), default=list(ENVS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    arguments = parser.parse_args(argv)
    seeds = [0] if arguments.quick else SEEDS
    jobs = [(env, method, seed) for seed in seeds for env in arguments.envs for method in arguments.methods]
    return BENCHMARK.main(arguments, jobs)


if __name__ == "__main__":
    sys.exit(main())

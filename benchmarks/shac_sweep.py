"""SHAC's horizon and the softness of contacts: short trainings on the Ant and the half cheetah.

    python benchmarks/shac_sweep.py              # runs what is missing, writes results/shac_sweep.json
    python benchmarks/shac_sweep.py --table      # prints the stored results as markdown

Each setting has the same steps and the same number of updates: n_envs falls as the horizon grows.
Training is with the setting's softness, evaluation without any; the last policy is also judged as it
was trained. Seeds from 100, as for every choice
of a preset.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from ant_figure5 import area
from stable_baselines3.common.callbacks import BaseCallback
from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents.training.configuration import RunConfig, load_preset
from gradgym.agents.training.evaluation import evaluate_returns

ENVS = {"Ant": "gradgym/Ant-v0", "HalfCheetah": "gradgym/HalfCheetah-v0"}
SEEDS = (100, 101)
STEPS = 150_000
STEPS_OF_UPDATE = 256
HORIZONS, SOFTNESSES = (2, 3, 4, 8, 16), (0.0, 0.01, 0.03, 0.1)
BASE_HORIZON, BASE_SOFTNESS = 3, 0.0
SETTINGS = [(h, BASE_SOFTNESS) for h in HORIZONS] + [(BASE_HORIZON, s) for s in SOFTNESSES if s != BASE_SOFTNESS]


class GradientNorms(BaseCallback):
    """Norms of the policy's gradient before clipping, of all updates."""

    def _on_training_start(self) -> None:
        self.norms: list[float] = []

    def _on_rollout_start(self) -> None:
        if self.model._n_updates:  # noqa: SLF001 # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
            self.norms.append(self.model.actor_gradient_norm)  # pyright: ignore[reportAttributeAccessIssue]

    def _on_step(self) -> bool:
        return True


def run_config(env: str, horizon: int, softness: float, seed: int, quick: bool) -> RunConfig:
    changes: dict[str, Any] = {
        "horizon": horizon,
        "n_envs": STEPS_OF_UPDATE // horizon,
        "train_env_kwargs": {"contact_softness": softness},
        "total_timesteps": 2048 if quick else STEPS,
        "eval_freq": 1024 if quick else 15_000,
        "eval_episodes": 1 if quick else 3,
        "checkpoint_freq": 10**9,
    }
    settings = load_preset("shac", ENVS[env], changes)
    return RunConfig.from_settings(settings, algo="shac", env=ENVS[env], seed=seed)


def train(env: str, horizon: int, softness: float, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training and its row."""
    gradients = GradientNorms()
    run, measured = train_run(
        run_config(env, horizon, softness, seed, quick), work_dir / f"{env}-{horizon}-{softness}-{seed}", gradients
    )
    curve = np.array(measured["curve"])
    as_trained = run.config.make_env(**run.config.train_env_kwargs)
    soft_returns = evaluate_returns(run.algorithm, as_trained, run.config.eval_episodes, seed=run.evaluation.seed)
    return {
        "env": env,
        "horizon": horizon,
        "softness": softness,
        "seed": seed,
        "area": round(area(curve), 2),
        "max_return": run.evaluation.best,
        "final_return": float(curve[-1, 1]),
        "final_return_as_trained": round(float(soft_returns.mean()), 4),
        "gradient_norms": [round(float(x), 3) for x in np.quantile(gradients.norms, (0.1, 0.5, 0.9, 0.99))],
        **measured,
    }


def table(rows: list[Row]) -> str:
    """Markdown: mean over the seeds."""
    names = [
        "",
        "horizon",
        "contact_softness [m]",
        "seeds",
        "area under the curve / steps",
        "final return",
        "the same as trained",
    ]
    lines = [table_line([*names, "gradient norm: median, 99 %"]), "|---|" + "---|" * len(names)]
    for env in ENVS:
        for horizon, softness in SETTINGS:
            group = [r for r in rows if (r["env"], r["horizon"], r["softness"]) == (env, horizon, softness)]
            if group:
                norms = np.mean([row["gradient_norms"] for row in group], axis=0)
                cells = [env, horizon, softness, len(group), f"{np.mean([row['area'] for row in group]):.0f}"]
                for key in ("final_return", "final_return_as_trained"):
                    cells.append(", ".join(f"{row[key]:.0f}" for row in group))
                lines.append(table_line([*cells, f"{norms[1]:.1f}, {norms[3]:.0f}"]))
    return "\n".join(lines)


BENCHMARK = Benchmark("shac_sweep", ("env", "horizon", "softness", "seed"), train, table)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--envs", nargs="+", choices=list(ENVS), default=list(ENVS))
    arguments = parser.parse_args(argv)
    settings = SETTINGS[:1] if arguments.quick else SETTINGS
    seeds = SEEDS[:1] if arguments.quick else SEEDS
    return BENCHMARK.main(
        arguments, [(env, *setting, seed) for seed in seeds for env in arguments.envs for setting in settings]
    )


if __name__ == "__main__":
    sys.exit(main())

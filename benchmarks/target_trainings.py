"""Feedback policies that bring a ball, or a car, to its target, by the gradient of the return through the simulator.

    python benchmarks/target_trainings.py              # runs what is missing, writes results/target_trainings.json
    python benchmarks/target_trainings.py --table      # prints the stored results as markdown

It goes on from what is stored (see `trainings.py`). Trained with the presets, as `gradgym-train --algo bptt`
does; the policy of the best evaluation is judged in both backends. Presets were chosen on seeds from
100; the seeds of the runs are below 100. A ball's episodes all start from one state, the car's from
others, and its policy is judged in 20 episodes that it did not see.
"""

import math
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents.training.configuration import RunConfig, load_preset
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.run import load_best

# Of each: label, and how many episodes judge it.
ENVS = {"BallThrow": ("a throw", 1), "Golf": ("golf", 1), "Racecar": ("the car", 20)}
ALGO = "bptt"
SEEDS = range(3)
BACKENDS = ("sim", "mujoco")
QUICK = {"total_timesteps": 1, "eval_episodes": 1}


class LastDistance(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Notes how far from the target each episode ended, `distances` [m]."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.distances: list[float] = []

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            self.distances.append(self._distance(info))
        return obs, reward, terminated, truncated, info

    def _distance(self, info: dict[str, Any]) -> float:
        if "ball_distance" in info:
            return float(info["ball_distance"])
        # `target_distance` is smooth at the target, and never below a centimetre.
        target = self.get_wrapper_attr("task").constants.target
        return math.dist((info["x_position"], info["y_position"]), target)


def run_config(env: str, seed: int, quick: bool) -> RunConfig:
    env_id = f"gradgym/{env}-v0"
    settings = load_preset(ALGO, env_id, {"checkpoint_freq": 10**9} | (QUICK if quick else {}))
    return RunConfig.from_settings(settings, algo=ALGO, env=env_id, seed=seed)


def train(env: str, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training and its row: means over episodes, and the greatest distance."""
    config = run_config(env, seed, quick)
    run_dir = work_dir / f"{env}-{seed}"
    run, measured = train_run(config, run_dir)
    row: Row = {"env": env, "seed": seed, "algo": ALGO, "episodes": 1 if quick else ENVS[env][1]}
    for backend in BACKENDS:
        judged = LastDistance(config.make_env(backend=backend))
        returns = evaluate_returns(load_best(run_dir), judged, row["episodes"], seed=0)
        row[backend] = {
            "return": float(returns.mean()),
            "distance": float(np.mean(judged.distances)),
            "max_distance": max(judged.distances),
        }
    seconds = run.evaluation.evaluations[-1]["seconds"]
    return {**row, "max_return": run.max_return, "training_seconds": seconds, **measured}


def table(rows: list[Row]) -> str:
    """Markdown: a line for each run."""
    names = ["", "seed", "steps", "seconds", "return", "in MuJoCo", "final distance [mm]", "in MuJoCo"]
    lines = [table_line(names), "|---|" + "---|" * (len(names) - 1)]
    for env, (label, _) in ENVS.items():
        for row in (row for row in rows if row["env"] == env):
            cells = [label, row["seed"], f"{row['env_steps']:,}", f"{row['training_seconds']:.0f}"]
            cells += [f"{row[backend]['return']:.4f}" for backend in BACKENDS]
            cells += [_millimetres(row[backend], row["episodes"]) for backend in BACKENDS]
            lines.append(table_line(cells))
    return "\n".join(lines)


def _millimetres(found: dict[str, float], episodes: int) -> str:
    mean, greatest = (f"{1000 * found[name]:.1f}" for name in ("distance", "max_distance"))
    return mean if episodes == 1 else f"{mean} (at most {greatest})"


BENCHMARK = Benchmark("target_trainings", ("env", "seed"), train, table)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--envs", nargs="+", choices=list(ENVS), default=list(ENVS))
    arguments = parser.parse_args(argv)
    jobs = [("Golf", 0)] if arguments.quick else [(env, seed) for env in arguments.envs for seed in SEEDS]
    return BENCHMARK.main(arguments, jobs)


if __name__ == "__main__":
    sys.exit(main())

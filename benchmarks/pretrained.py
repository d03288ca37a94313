"""The policies that come with the package: trained by preset, and judged in this simulator, in MuJoCo and in Gymnasium.

    python benchmarks/pretrained.py              # trains what is missing, writes agents/policies/ and the results
    python benchmarks/pretrained.py --table      # prints the stored results as markdown

It goes on from what is stored (see `trainings.py`). Each is trained as `gradgym-train --algo ALGO --env ENV` does it,
with as many seeds as are asked for; of these the one whose training saw the best evaluation goes into the package.
Returns are means over episodes that no training saw. A policy is not left out for being poor: the table says how it is.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents.pretrained import FOLDER
from gradgym.agents.training.configuration import RunConfig, load_preset
from gradgym.agents.training.evaluation import evaluate_returns, read_evaluations
from gradgym.agents.training.policy_file import TrainedPolicy
from gradgym.agents.training.run import BEST, FINAL, load_best
from gradgym.agents.training.tensor_file import SUFFIX

# Algorithm, environment and its arguments of each policy. Of those of one environment the first in the alphabet is
# what `pretrained(env)` gives.
POLICIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Ant": ("shac", "gradgym/Ant-v0", {}),
    "BallThrow": ("bptt", "gradgym/BallThrow-v0", {}),
    "CubeReorient": ("consistency", "gradgym/CubeReorient-v0", {}),
    "Golf": ("bptt", "gradgym/Golf-v0", {}),
    "HalfCheetah": ("shac", "gradgym/HalfCheetah-v0", {}),
    "Hopper": ("shac", "gradgym/Hopper-v0", {}),
    "NLinkPendulum-3": ("bptt", "gradgym/NLinkPendulum-v0", {"n_links": 3}),
    "Racecar": ("bptt", "gradgym/Racecar-v0", {}),
    "Walker2d": ("shac", "gradgym/Walker2d-v0", {}),
}
EPISODES = 10
UNSEEN = 20_000  # seed of the first
QUICK = {"total_timesteps": 1, "eval_episodes": 1}


class LastSuccess(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Notes of each episode of a task that has a goal whether it ended there."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.successes: list[bool] = []

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        if (terminated or truncated) and "is_success" in info:
            self.successes.append(bool(info["is_success"]))
        return obs, reward, terminated, truncated, info


def judged(policy: TrainedPolicy, env: gymnasium.Env[Any, Any], episodes: int) -> dict[str, float]:
    """Mean and deviation of the returns, and the share of success of a task that has one."""
    seen = LastSuccess(env)
    returns = evaluate_returns(policy, seen, episodes, UNSEEN)
    found = {"mean": round(float(returns.mean()), 4), "std": round(float(returns.std()), 4)}
    return found | ({"success": float(np.mean(seen.successes))} if seen.successes else {})


def train(policy: str, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training, unless its folder holds it already, and what its best policy does."""
    torch.set_num_threads(1)
    algo, env_id, kwargs = POLICIES[policy]
    settings = load_preset(algo, env_id, QUICK if quick else {})
    config = RunConfig.from_settings(settings, algo=algo, env=env_id, seed=seed, env_kwargs=kwargs)
    run_dir = work_dir / f"{policy}-{seed}"
    if not (run_dir / FINAL).exists():
        train_run(config, run_dir)
    evaluations = read_evaluations(run_dir)
    best = load_best(run_dir)
    envs = {"sim": best.make_env(), "mujoco": best.make_env(backend="mujoco")}
    counterpart = envs["sim"].get_wrapper_attr("counterpart")
    if counterpart is not None:
        envs["gymnasium"] = gymnasium.make(counterpart[0], **counterpart[1])
    episodes = 1 if quick else EPISODES
    return {
        "policy": policy,
        "seed": seed,
        "algo": algo,
        "env": env_id,
        "env_kwargs": kwargs,
        "env_steps": evaluations[-1]["timesteps"],
        "steps_of_best": best.header.num_timesteps,
        "best_evaluation": round(max(e["mean"] for e in evaluations), 4),
        "max_return": envs["sim"].get_wrapper_attr("max_return"),
        "episodes": episodes,
        "returns": {name: judged(best, env, episodes) for name, env in envs.items()},
    }


def chosen(rows: list[Row]) -> dict[str, Row]:
    """Of each policy the training with the best evaluation."""
    seeds: dict[str, list[Row]] = {}
    for row in rows:
        seeds.setdefault(row["policy"], []).append(row)
    return {name: max(group, key=lambda row: row["best_evaluation"]) for name, group in sorted(seeds.items())}


def install(rows: list[Row], work_dir: Path, folder: Path) -> None:
    """Puts the chosen policies into the package; what was trained elsewhere stays as it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, row in chosen(rows).items():
        source = work_dir / f"{name}-{row['seed']}" / BEST
        if source.exists():
            shutil.copyfile(source, folder / f"{name}{SUFFIX}")


def table(rows: list[Row]) -> str:
    """Markdown: a line for each policy of the package."""
    names = [
        "environment",
        "algorithm",
        "steps",
        "seeds",
        "return",
        "in MuJoCo",
        "in Gymnasium's own",
        "greatest",
        "success",
    ]
    lines = [table_line(names), "|---|" + "---|" * (len(names) - 1)]
    for name, row in chosen(rows).items():
        words = " ".join([f"`{row['env']}`", *(f"`{k}:{v}`" for k, v in row["env_kwargs"].items())])
        returns = [_return(row["returns"].get(backend)) for backend in ("sim", "mujoco", "gymnasium")]
        greatest = "" if row["max_return"] is None else f"{row['max_return']:.4g}"
        success = row["returns"]["mujoco"].get("success")
        count = sum(other["policy"] == name for other in rows)
        share = "" if success is None else f"{100 * success:.0f} %"
        lines.append(table_line([words, row["algo"], f"{row['env_steps']:,}", count, *returns, greatest, share]))
    return "\n".join(lines)


def _return(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    digits = 0 if abs(found["mean"]) >= 100 else 3
    return f"{found['mean']:,.{digits}f}" + (f" ± {found['std']:,.{digits}f}" if found["std"] else "")


BENCHMARK = Benchmark("pretrained", ("policy", "seed"), train, table)


def main(argv: list[str] | None = None) -> int:
    parser: argparse.ArgumentParser = BENCHMARK.parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(POLICIES), default=list(POLICIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the chosen policies go")
    arguments = parser.parse_args(argv)
    BENCHMARK.main(arguments, [(name, seed) for seed in arguments.seeds for name in arguments.only])
    if not arguments.table:
        install(BENCHMARK.rows(arguments.results), arguments.work_dir, arguments.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

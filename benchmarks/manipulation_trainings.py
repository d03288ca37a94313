"""Success of manipulation policies in real contact against minutes of training on one core.

    python benchmarks/manipulation_trainings.py              # runs what is missing, writes results/...json
    python benchmarks/manipulation_trainings.py --table      # prints the stored results as markdown
    python benchmarks/manipulation_trainings.py --plot docs/manipulation_trainings.png  # success against seconds
    python benchmarks/manipulation_trainings.py --strips docs/manipulation_strips.png   # frames, from the runs' folders

It goes on from what is stored (see `trainings.py`). Trained with the presets of `gradgym-train`. Policies of the end
of the training are judged in 100 episodes that no training saw, in both backends; those of the curve, taken on the
way and judged afterwards, in 30 of MuJoCo. A grasp counts if the cube was lifted throughout the last 2 s.
"""

import sys
from copy import deepcopy
from pathlib import Path
from time import perf_counter
from typing import Any

import gymnasium
import imageio.v3 as imageio
import matplotlib.pyplot as plt
import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents.training.algorithm import Policy
from gradgym.agents.training.configuration import RunConfig, load_preset
from gradgym.agents.training.evaluation import rewards
from gradgym.agents.training.policy_file import load_policy
from gradgym.agents.training.run import FINAL

# Of each: label, environment, arguments, steps at the end of which success must have lasted, minutes. In its minute
# the algorithm of gradients makes fewer steps with two fingers than its preset has for all cubes.
TASKS: dict[str, tuple[str, str, dict[str, Any], int, float]] = {
    "two_fingers": ("two fingers", "CubeReorient", {}, 1, 1.0),
    "grasp": ("grasp", "ShadowHandGrasp", {}, 40, 5.0),
    "wheel": ("wheel", "WheelTurn", {}, 1, 5.0),
    **{
        f"flip_{axis}": (f"flip about {axis}", "CubeReorient", {"hand": "shadow", "axis": axis}, 1, 5.0)
        for axis in ("x", "y", "z")
    },
}
# Of each: label, algorithm, changes of its preset.
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "consistency": ("consistency in real contact", "consistency", {}),
    "minute": ("the same in 60 s", "consistency", {"max_minutes": 1.0, "total_timesteps": 18_000}),
    "pose_alone": ("pose errors alone", "consistency", {"train_env_kwargs": {"weights": {"reach": 0.0}}}),
    "pose_soft": (
        "the same, contacts from 2 cm",
        "consistency",
        {"train_env_kwargs": {"weights": {"reach": 0.0}, "contact_softness": 0.02}},
    ),
    "relaxed": ("relaxed contact, Gauss-Newton", "relaxed_consistency", {}),
    "adam": ("relaxed contact, Adam", "relaxed_consistency", {"optimizer": "adam"}),
    "shac": ("SHAC", "shac", {}),
    "ppo": ("PPO", "ppo", {}),
}
SEEDS = range(3)
BACKENDS = ("sim", "mujoco")
UNSEEN = 10_000_000
STARTS, CURVE_STARTS = 100, 30


class Snapshots(BaseCallback):
    """Keeps the policy's weights with the seconds of training that they took."""

    def __init__(self, period: float) -> None:
        super().__init__()
        self.period, self.begun = period, 0.0
        self.policies: list[tuple[float, Any]] = []

    def _on_training_start(self) -> None:
        self.begun = perf_counter()

    def _on_rollout_start(self) -> None:
        seconds = perf_counter() - self.begun
        if seconds >= self.period * len(self.policies):
            self.policies.append((round(seconds, 1), deepcopy(self.model.policy.state_dict())))

    def _on_step(self) -> bool:
        return True


def success_rate(policy: Policy, env_id: str, kwargs: dict[str, Any], starts: int, lasting: int, backend: str) -> float:
    """Share of episodes that are success throughout their last steps, so many as `lasting`."""
    envs = gymnasium.make_vec(env_id, starts, "vector_entry_point", backend=backend, **kwargs)
    obs, _ = envs.reset(seed=UNSEEN)
    memory, row, ended = None, np.zeros(starts, np.int64), np.zeros(starts, bool)
    while not ended.all():
        action, memory = policy.predict(obs, state=memory, deterministic=True)
        obs, _, terminated, truncated, info = envs.step(action)
        ended = terminated | truncated
        row = np.where(info["is_success"], row + 1, 0)
    envs.close()
    return float((row >= lasting).mean())


def train(task: str, method: str, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training and its row."""
    _, name, kwargs, lasting, minutes = TASKS[task]
    _, algo, changes = METHODS[method]
    env_id = f"gradgym/{name}-v0"
    steps = {"total_timesteps": 54_000} if (task, algo) == ("two_fingers", "consistency") else {}
    limits = {"max_minutes": 0.02 if quick else minutes, "eval_freq": 10**9, "checkpoint_freq": 10**9}
    settings = load_preset(algo, env_id, {**steps, **limits, "eval_episodes": 1, **({} if quick else changes)})
    config = RunConfig.from_settings(settings, algo=algo, env=env_id, seed=seed, env_kwargs=kwargs)
    snapshots = Snapshots(1.0 if quick else 5.0 * minutes)
    run, measured = train_run(config, work_dir / f"{task}-{method}-{seed}", snapshots)
    del measured["curve"]
    starts, curve_starts = (2, 1) if quick else (STARTS, CURVE_STARTS)
    row: Row = {"task": task, "method": method, "seed": seed, "seconds": round(run.clock.seconds, 1), **measured}
    row |= {b: success_rate(run.algorithm, env_id, kwargs, starts, lasting, b) for b in BACKENDS}
    row["gradient_norm"] = getattr(run.algorithm, "actor_gradient_norm", None)
    row["curve"] = []
    for seconds, weights in snapshots.policies:
        snapshots.model.policy.load_state_dict(weights)
        row["curve"].append([seconds, success_rate(run.algorithm, env_id, kwargs, curve_starts, lasting, "mujoco")])
    return row


def table(rows: list[Row]) -> str:
    """Markdown: a line for each task and method; mean over seeds and what each seed reached, in percent."""
    lines = [table_line(["task", "method", "seconds", "success", "in MuJoCo"]), "|---|" + "---|" * 4]
    for task, (label, *_) in TASKS.items():
        for method, (by, *_) in METHODS.items():
            found = [row for row in rows if (row["task"], row["method"]) == (task, method)]
            if found:
                seconds = f"{np.mean([row['seconds'] for row in found]):.0f}"
                lines.append(table_line([label, by, seconds, *(_percent(found, b) for b in BACKENDS)]))
    return "\n".join(lines)


def _percent(rows: list[Row], backend: str) -> str:
    values = [100.0 * row[backend] for row in rows]
    return f"{np.mean(values):.0f} ({', '.join(f'{v:.0f}' for v in values)})"


def plot(rows: list[Row], file: Path) -> None:
    """Success in MuJoCo against seconds of training; thin lines are single seeds."""
    tasks = [task for task in TASKS if any(row["task"] == task for row in rows)]
    figure, axes = plt.subplots(1, len(tasks), figsize=(3.2 * len(tasks), 3.0), sharey=True, squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        for color, (method, (label, *_)) in enumerate(METHODS.items()):
            found = [row for row in rows if (row["task"], row["method"]) == (task, method)]
            for i, row in enumerate(found):
                seconds, success = zip(*row["curve"], (row["seconds"], row["mujoco"]), strict=True)
                axis.plot(seconds, success, color=f"C{color}", linewidth=1.0, label=label if i == 0 else None)
        axis.set(title=TASKS[task][0], xlabel="seconds of training", ylim=(-0.02, 1.02))
    axes[0, 0].set_ylabel("success in MuJoCo")
    handles = {label: line for axis in axes[0] for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)
    figure.subplots_adjust(bottom=0.34)
    figure.savefig(file, dpi=110)


def strips(work_dir: Path, file: Path, frames: int = 7) -> None:
    """One row for each task that was trained: an episode in MuJoCo that no training saw."""
    rows = []
    for task, (_, name, kwargs, *_) in TASKS.items():
        run_dir = work_dir / f"{task}-consistency-0"
        if not run_dir.exists():
            continue
        policy = load_policy(run_dir / FINAL)
        env = gymnasium.make(f"gradgym/{name}-v0", render_mode="rgb_array", backend="mujoco", **kwargs)
        seen: list[Any] = [env.render() for _ in rewards(policy, env, UNSEEN)]
        env.close()
        chosen = np.linspace(0, len(seen) - 1, frames).round().astype(int)
        rows.append(np.concatenate([np.asarray(seen[i])[::2, ::2] for i in chosen], axis=1))
    imageio.imwrite(file, np.concatenate(rows, axis=0))


BENCHMARK = Benchmark("manipulation_trainings", ("task", "method", "seed"), train, table, plot)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--strips", type=Path, metavar="FILE", help="draw an episode of each task that was trained")
    arguments = parser.parse_args(argv)
    if arguments.strips is not None:
        strips(arguments.work_dir, arguments.strips)
        return 0
    jobs = [
        (task, method, seed) for task in arguments.tasks for method in arguments.methods for seed in arguments.seeds
    ]
    return BENCHMARK.main(arguments, [("two_fingers", "consistency", 0)] if arguments.quick else jobs)


if __name__ == "__main__":
    sys.exit(main())

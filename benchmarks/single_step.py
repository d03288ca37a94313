"""What a step of one environment costs from Python, beside Gymnasium's own environment of the same task.

    python benchmarks/single_step.py

All as `gymnasium.make` gives them, one thread, the same random actions, episodes begun anew where they
end (not timed). Blocks of steps in turn, medians of processor time.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from measurement import Measurement, Row

from gradgym import sim

TASKS = ("Ant", "HalfCheetah", "Hopper", "Walker2d")
# Ours do not observe the contacts' forces; Gymnasium's is asked not to either.
OWN_ARGUMENTS: dict[str, dict[str, Any]] = {"Ant": {"include_cfrc_ext_in_observation": False}}
LEVELS: dict[str, str | None] = {"plain": None, "action": "action", "full": "full"}
BLOCKS, STEPS = 25, 100
SETTLING_STEPS = 50  # on the ground, where contacts cost


def environments(task: str) -> dict[str, gymnasium.Env]:
    own = gymnasium.make(f"{task}-v5", **OWN_ARGUMENTS.get(task, {}))
    ours = {name: gymnasium.make(f"gradgym/{task}-v0", gradients=level) for name, level in LEVELS.items()}
    return {"gymnasium": own, **ours}


def stepping(env: gymnasium.Env, actions: np.ndarray) -> Callable[[], float]:
    """Runs all actions and returns microseconds for each; every block has the same actions."""

    def block() -> float:
        spent = 0.0
        begin = time.process_time()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                spent += time.process_time() - begin
                env.reset()
                begin = time.process_time()
        return 1e6 * (spent + time.process_time() - begin) / len(actions)

    return block


def measured(task: str, blocks: int, steps: int) -> Row:
    envs = environments(task)
    shape = (SETTLING_STEPS + steps, *(envs["plain"].action_space.shape or ()))
    actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    for env in envs.values():
        env.reset(seed=0)
        stepping(env, actions[:SETTLING_STEPS])()  # compiles
    contestants = {name: stepping(env, actions[SETTLING_STEPS:]) for name, env in envs.items()}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(blocks):
        for name, block in contestants.items():
            times[name].append(block())
    for env in envs.values():
        env.close()
    ratios = {
        name: statistics.median(x / y for x, y in zip(times[name], times["gymnasium"], strict=True)) for name in LEVELS
    }
    return {
        "task": task,
        "microseconds": {name: round(statistics.median(values), 1) for name, values in times.items()},
        "by gymnasium": {name: round(ratio, 2) for name, ratio in ratios.items()},
    }


def measure(quick: bool) -> list[Row]:
    before = sim.get_num_threads()
    sim.set_num_threads(1)
    rows = []
    try:
        for task in ("HalfCheetah",) if quick else TASKS:
            rows.append(measured(task, *((2, 5) if quick else (BLOCKS, STEPS))))
            print(rows[-1], flush=True)
    finally:
        sim.set_num_threads(before)
    return rows


def table(rows: list[Row]) -> str:
    lines = [
        '| a step [µs] | Gymnasium | gradgym | `gradients="action"` | `gradients="full"` | '
        "gradgym / Gymnasium | action / Gymnasium | full / Gymnasium |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        times = " | ".join(f"{row['microseconds'][name]:.0f}" for name in ("gymnasium", *LEVELS))
        ratios = " | ".join(f"{row['by gymnasium'][name]:.2f}" for name in LEVELS)
        lines.append(f"| {row['task']} | {times} | {ratios} |")
    return "\n".join(lines)


MEASUREMENT = Measurement(
    name="single_step",
    title="A step of one environment",
    shows="what `env.step` costs in processor time, plain and with gradients, beside a plain step of Gymnasium's own.",
    leaves_out="many environments at once (see the throughput of vector environments), or more threads.",
    measure=measure,
    table=table,
    rivals=("mujoco",),
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())

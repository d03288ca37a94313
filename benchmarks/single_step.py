"""What a step of one environment costs from Python, beside Gymnasium's own, and a call for one world beside a batch.

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
from mechanisms import chain

from gradgym import sim

TASKS = ("Ant", "HalfCheetah", "Hopper", "Walker2d")
# Ours do not observe the contacts' forces; Gymnasium's is asked not to either.
OWN_ARGUMENTS: dict[str, dict[str, Any]] = {"Ant": {"include_cfrc_ext_in_observation": False}}
LEVELS: dict[str, str | None] = {"plain": None, "action": "action", "full": "full"}
BLOCKS, STEPS = 25, 100
SETTLING_STEPS = 50  # on the ground, where contacts cost
LINKS = (1, 7)
BATCH, REPEATS = 64, 640


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


def calls(links: int) -> dict[str, dict[str, Callable[[], Any]]]:
    """The simulator's functions for one pendulum of so many links, and for a batch of them."""
    model, rng = sim.Model.from_mujoco(chain(links)), np.random.default_rng(0)
    state = sim.State(rng.normal(size=links), rng.normal(size=links), np.empty(0))
    ctrl, cotangent = rng.normal(size=links), rng.normal(size=2 * links)
    one = state, ctrl, cotangent
    many = sim.State(*(np.tile(x, (BATCH, 1)) for x in state[:3])), *(np.tile(x, (BATCH, 1)) for x in one[1:])
    return {
        name: {"one": lambda f=f: f(model, *one), "batch": lambda f=f: f(model, *many)}
        for name, f in {
            "step": lambda m, s, u, _: sim.step(m, s, u),
            "step_jacobian": lambda m, s, u, _: sim.step_jacobian(m, s, u),
            "step_vjp": lambda m, s, u, v: sim.step_vjp(m, s, u, v),
        }.items()
    }


def timed(call: Callable[[], Any], repeats: int) -> float:
    """Microseconds of processor time for each call."""
    begin = time.process_time()
    for _ in range(repeats):
        call()
    return 1e6 * (time.process_time() - begin) / repeats


def measured_calls(links: int, blocks: int, repeats: int) -> Row:
    contestants, times = calls(links), {}
    for name, sides in contestants.items():
        for side, call in sides.items():
            call()  # compiles
            times[name, side] = []
    for _ in range(blocks):
        for name, sides in contestants.items():
            times[name, "one"].append(timed(sides["one"], repeats))
            times[name, "batch"].append(timed(sides["batch"], max(1, repeats // BATCH)) / BATCH)
    return {
        "links": links,
        "calls": {
            name: {side: round(statistics.median(times[name, side]), 2) for side in sides}
            for name, sides in contestants.items()
        },
    }


def measure(quick: bool) -> list[Row]:
    before = sim.get_num_threads()
    sim.set_num_threads(1)
    rows = []
    try:
        for task in ("HalfCheetah",) if quick else TASKS:
            rows.append(measured(task, *((2, 5) if quick else (BLOCKS, STEPS))))
            print(rows[-1], flush=True)
        for links in (1,) if quick else LINKS:
            rows.append(measured_calls(links, *((2, 5) if quick else (BLOCKS, REPEATS))))
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
    for row in (row for row in rows if "task" in row):
        times = " | ".join(f"{row['microseconds'][name]:.0f}" for name in ("gymnasium", *LEVELS))
        ratios = " | ".join(f"{row['by gymnasium'][name]:.2f}" for name in LEVELS)
        lines.append(f"| {row['task']} | {times} | {ratios} |")
    found = [row for row in rows if "calls" in row]
    names = [name for row in found[:1] for name in row["calls"]]
    heads = " | ".join(f"`{name}` | in a batch of {BATCH} | more" for name in names)
    lines += ["", f"| a call for one chain [µs] | {heads} |", "|---" * (3 * len(names) + 1) + "|"]
    for row in found:
        cells = " | ".join(
            f"{x['one']:.1f} | {x['batch']:.1f} | {x['one'] - x['batch']:.1f}" for x in row["calls"].values()
        )
        lines.append(f"| {row['links']} {'link' if row['links'] == 1 else 'links'} | {cells} |")
    return "\n".join(lines)


MEASUREMENT = Measurement(
    name="single_step",
    title="A step of one environment",
    shows="what `env.step` costs in processor time, plain and with gradients, beside a plain step of Gymnasium's own; "
    "and what the simulator's functions cost for one world beside what a world in a batch costs.",
    leaves_out="many environments at once (see the throughput of vector environments), or more threads.",
    measure=measure,
    table=table,
    rivals=("mujoco",),
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())

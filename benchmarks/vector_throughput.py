"""Environment steps per second of many Ants at once, beside Gymnasium and MuJoCo's threaded rollout.

    python benchmarks/vector_throughput.py            # measures, writes results/vector_throughput.json
    python benchmarks/vector_throughput.py --quick    # a few steps of a few Ants
    python benchmarks/vector_throughput.py --table    # prints the stored results as markdown

All in one process and one run, in alternating blocks, by wall-clock, with uniformly random actions
that are drawn beforehand. A step is one of every Ant: five time steps of RK4, observation, reward,
info, and the resets that are due. What is compared:

gradgym   `make_vec("gradgym/Ant-v0")`, the native vector environment
sync      `make_vec("Ant-v5")`, one environment after the other, without external forces in
          observations and without the checker that `make_vec` puts around each environment
async     the same, a process for each environment
rollout   `mujoco.rollout` with as many threads as gradgym: physics alone, no observation, reward or
          reset. It starts from the very states, and gets the actions, that gradgym had in the block
          before.
"""

import argparse
import copy
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import VectorEnv
from mujoco.rollout import Rollout

from gradgym import sim
from gradgym.agents.training.provenance import machine, versions

RESULTS = Path(__file__).parent / "results" / "vector_throughput.json"
NUM_ENVS = (1, 16, 64, 256)
BLOCKS = 9
CONTESTANTS = ("gradgym", "sync", "async", "rollout")
# Before the first block: random actions need some steps until Ants of all ages live side by side.
SETTLING_STEPS = 100

Block = Callable[[], float]  # runs one, returns its seconds


def gymnasiums(num_envs: int, mode: str) -> VectorEnv:
    """Gymnasium's own Ant, the task that `gradgym/Ant-v0` is."""
    spec = copy.deepcopy(gymnasium.spec("Ant-v5"))
    spec.disable_env_checker = True
    return gymnasium.make_vec(spec, num_envs, mode, include_cfrc_ext_in_observation=False)


class Stepping:
    """Blocks of `steps` steps of a vector environment, under the same actions each."""

    def __init__(self, envs: VectorEnv, steps: int, settling_steps: int) -> None:
        self.envs = envs
        shape = (steps, *(envs.action_space.shape or ()))
        self.actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        envs.reset(seed=0)
        for t in range(settling_steps):
            envs.step(self.actions[t % steps])

    def __call__(self) -> float:
        begin = time.perf_counter()
        for action in self.actions:
            self.envs.step(action)
        return time.perf_counter() - begin


class SteppingOurs(Stepping):
    """Also keeps the states from which the last block's steps started, which is not timed."""

    def __call__(self) -> float:
        envs: Any = self.envs.unwrapped
        self.states, seconds = [], 0.0
        for action in self.actions:
            self.states.append(envs.state)
            begin = time.perf_counter()
            envs.step(action)
            seconds += time.perf_counter() - begin
        return seconds


class RollingOut:
    """MuJoCo's physics of the steps that `ours` made last, arrays and threads kept from call to call."""

    def __init__(self, ours: SteppingOurs, threads: int) -> None:
        self.ours = ours
        envs: Any = ours.envs.unwrapped
        self.model, self.substeps = envs.task.model.mj_model, envs.task.n_substeps
        self.models = [self.model] * envs.num_envs
        self.threads = Rollout(nthread=threads)
        self.data = [mujoco.MjData(self.model) for _ in range(threads)]
        self.size = mujoco.mj_stateSize(self.model, int(mujoco.mjtState.mjSTATE_FULLPHYSICS))
        self.found = np.empty((envs.num_envs, self.substeps, self.size))
        self.sensors = np.empty((envs.num_envs, self.substeps, self.model.nsensordata))

    def __call__(self) -> float:
        starts, ctrls = [], []
        for state, action in zip(self.ours.states, self.ours.actions, strict=True):
            start = np.zeros((len(action), self.size))
            start[:, 1 : 1 + self.model.nq + self.model.nv] = np.concatenate([state.qpos, state.qvel], axis=1)
            starts.append(start)
            ctrls.append(np.repeat(action[:, None].astype(float), self.substeps, axis=1))
        options: dict[str, Any] = {"nstep": self.substeps, "skip_checks": True}
        options |= {"state": self.found, "sensordata": self.sensors}
        begin = time.perf_counter()
        for start, ctrl in zip(starts, ctrls, strict=True):
            self.threads.rollout(self.models, self.data, start, ctrl, **options)
        return time.perf_counter() - begin


def measure(num_envs: int, steps: int, blocks: int, settling_steps: int) -> dict[str, Any]:
    """Steps per second, medians over alternating blocks, and the ratios that matter."""
    theirs = {mode: Stepping(gymnasiums(num_envs, mode), steps, settling_steps) for mode in ("async", "sync")}
    ours = SteppingOurs(gymnasium.make_vec("gradgym/Ant-v0", num_envs), steps, settling_steps)
    rollout = RollingOut(ours, sim.get_num_threads())
    contestants: dict[str, Block] = {"gradgym": ours, **theirs, "rollout": rollout}
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    try:
        for _ in range(blocks):
            for name in CONTESTANTS:
                seconds[name].append(contestants[name]())
    finally:
        rollout.threads.close()
        for stepping in (ours, *theirs.values()):
            stepping.envs.close()

    def ratio(other: str) -> float:
        pairs = zip(seconds[other], seconds["gradgym"], strict=True)
        return round(statistics.median(x / y for x, y in pairs), 2)

    return {
        "num_envs": num_envs,
        "steps_per_second": {name: round(num_envs * steps / statistics.median(s)) for name, s in seconds.items()},
        "gradgym / sync": ratio("sync"),
        "gradgym / async": ratio("async"),
        "gradgym / rollout": ratio("rollout"),
        "blocks": blocks,
        "steps_per_block": steps,
    }


def table(content: dict[str, Any]) -> str:
    lines = [
        "| Ants | gradgym | Gymnasium, sync | Gymnasium, async | `mujoco.rollout`, physics alone | "
        "gradgym / async | gradgym / rollout |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        speeds = " | ".join(f"{row['steps_per_second'][name]:,}" for name in CONTESTANTS)
        lines.append(
            f"| {row['num_envs']} | {speeds} | {row['gradgym / async']:.1f} | {row['gradgym / rollout']:.2f} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two short blocks of 1 and 8 Ants")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of gradgym and of mujoco.rollout")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the stored results as markdown")
    arguments = parser.parse_args(argv)
    if arguments.table:
        print(table(json.loads(arguments.results.read_text())))
        return 0
    before = sim.get_num_threads()
    sim.set_num_threads(arguments.threads)
    rows = []
    for num_envs in (1, 8) if arguments.quick else NUM_ENVS:
        if arguments.quick:
            rows.append(measure(num_envs, steps=5, blocks=2, settling_steps=5))
        else:
            rows.append(measure(num_envs, max(20, 2000 // num_envs), BLOCKS, SETTLING_STEPS))
        print(json.dumps(rows[-1]), flush=True)
    sim.set_num_threads(before)
    content = {
        "command": "python benchmarks/vector_throughput.py",
        "versions": versions(),
        "machine": machine(),
        "threads": arguments.threads,
        "rows": rows,
    }
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

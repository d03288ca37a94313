"""Environment steps per second of the manipulation tasks, one at a time and 64 at once, in both backends.

    python benchmarks/manipulation_speed.py            # measures, writes results/manipulation_speed.json
    python benchmarks/manipulation_speed.py --quick    # a few steps
    python benchmarks/manipulation_speed.py --table    # prints the stored results as markdown

On one thread of the simulator and of torch, under uniformly random actions that are drawn beforehand. A step is ten
time steps of 5 ms, observation, reward, info, and the reset where an episode ends.
"""

import os
import statistics
import sys
import time
from typing import Any

import gymnasium
import mujoco
import numpy as np
import torch
from measurement import Measurement, Row

from gradgym import sim

SCENES: dict[str, tuple[str, dict[str, Any]]] = {
    "cube between two fingers": ("gradgym/CubeReorient-v0", {}),
    "cube in the Shadow hand": ("gradgym/CubeReorient-v0", {"hand": "shadow"}),
    "grasp, hand on an arm": ("gradgym/ShadowHandGrasp-v0", {}),
    "wheel, hand on an arm": ("gradgym/WheelTurn-v0", {}),
}
BACKENDS = ("sim", "mujoco")
ENVS = 64


def single(env_id: str, steps: int, blocks: int, **arguments: Any) -> tuple[float, float]:
    """Steps per second, the median of blocks, and contacts in the states between, on average."""
    env = gymnasium.make(env_id, **arguments)
    inner: Any = env.unwrapped
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, *(env.action_space.shape or ()))).astype(np.float32)
    env.reset(seed=0)
    env.step(actions[0])
    env.reset(seed=0)
    seconds: list[float] = []
    contacts: list[int] = []
    for _ in range(blocks):
        states = []
        begin = time.perf_counter()
        for action in actions:
            *_, terminated, truncated, _ = env.step(action)
            states.append(inner.state)
            if terminated or truncated:
                env.reset()
        seconds.append(time.perf_counter() - begin)
        contacts += [_contacts(inner.task.model, state) for state in states]
    env.close()
    return steps / statistics.median(seconds), statistics.mean(contacts)


def vector(env_id: str, steps: int, blocks: int, num_envs: int, **arguments: Any) -> float:
    """Steps per second of all together, the median of blocks; ages are mixed by the resets."""
    envs = gymnasium.make_vec(env_id, num_envs, **arguments)
    shape = (steps, *(envs.action_space.shape or ()))
    actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    envs.reset(seed=0)
    envs.step(actions[0])
    seconds = []
    for _ in range(blocks):
        begin = time.perf_counter()
        for action in actions:
            envs.step(action)
        seconds.append(time.perf_counter() - begin)
    envs.close()
    return num_envs * steps / statistics.median(seconds)


def _contacts(model: sim.Model, state: Any) -> int:
    data = mujoco.MjData(model.mj_model)
    one = state.numpy()
    data.qpos[:] = one.qpos[0]
    if one.mocap_pos is not None:
        data.mocap_pos[:], data.mocap_quat[:] = one.mocap_pos[0], one.mocap_quat[0]
    mujoco.mj_fwdPosition(model.mj_model, data)
    return int(data.ncon)


def measure(quick: bool) -> list[Row]:
    """The rows; both backends of a scene follow each other."""
    before = sim.get_num_threads(), torch.get_num_threads()
    sim.set_num_threads(1)
    torch.set_num_threads(1)
    steps, blocks, num_envs = (3, 1, 2) if quick else (120, 3, ENVS)
    rows: list[Row] = []
    for scene, (env_id, arguments) in SCENES.items():
        for backend in BACKENDS:
            alone, contacts = single(env_id, steps, blocks, backend=backend, **arguments)
            load = os.getloadavg()[0]
            together = vector(env_id, max(2, steps // 10), blocks, num_envs, backend=backend, **arguments)
            rows.append(
                {
                    "scene": scene,
                    "backend": backend,
                    "single": round(alone, 1),
                    "num_envs": num_envs,
                    "together": round(together, 1),
                    "contacts": round(contacts, 1),
                    "load": round(load, 1),
                }
            )
            print(rows[-1], flush=True)
    sim.set_num_threads(before[0])
    torch.set_num_threads(before[1])
    return rows


def table(rows: list[Row]) -> str:
    """One line a scene, backends side by side."""
    lines = [
        "| Scene | contacts | gradgym, single | MuJoCo, single | gradgym, 64 at once | MuJoCo, 64 at once |",
        "|---|---|---|---|---|---|",
    ]
    for scene in SCENES:
        ours, theirs = (next(r for r in rows if (r["scene"], r["backend"]) == (scene, b)) for b in BACKENDS)
        speeds = " | ".join(f"{row[key]:,.0f}" for key in ("single", "together") for row in (ours, theirs))
        lines.append(f"| {scene} | {ours['contacts']:.1f} | {speeds} |")
    return "\n".join(lines)


def notes(rows: list[Row]) -> str:
    """How busy the machine was."""
    load = max(row["load"] for row in rows)
    return f"The load of the machine was up to {load:.1f} while this was measured, other programs included" + (
        ": figures are noisy, and lower than on an idle one." if load > 1.5 else "."
    )


MEASUREMENT = Measurement(
    name="manipulation_speed",
    title="Steps a second in manipulation",
    shows="environment steps (50 ms each) per second on one thread, under random actions.",
    leaves_out="how fast several threads are, and a hand that holds the object: random actions seldom do.",
    measure=measure,
    table=table,
    notes=notes,
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())

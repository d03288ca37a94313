"""Figure 8 of Qiao et al. 2021: memory and time of the backward pass against the interval between checkpoints.

    python benchmarks/checkpoint_figure8.py

Ten Laikagos in one scene. Blocks of measurement take all intervals in turn; medians of processor time on one
thread. Memory is how far a rollout and its gradient raise the peak of the process; the workspace of a step, which
exists before, comes on top.
"""

import statistics
import sys
from pathlib import Path

import numpy as np
from measurement import Measurement, Row
from quadrupeds import Scene, quadrupeds
from sides import peak_growth, processor_seconds

from gradgym import sim

INTERVALS = (1, 2, 5, 10, 20, 50)
ROBOTS, STEPS, TIMED_STEPS, BLOCKS = 10, 5000, 1000, 5


def cotangents(model: sim.Model, steps: int, interval: int) -> np.ndarray:
    """Of the last state only."""
    found = np.zeros((steps // interval + 1, 2 * model.nv))
    found[-1] = np.random.default_rng(0).normal(size=2 * model.nv)
    return found


def both_passes(scene: Scene, model: sim.Model, steps: int, interval: int) -> sim.RolloutGradient:
    path = sim.rollout(model, scene.state, np.tile(scene.ctrl, (steps, 1)), checkpoint_interval=interval)
    return sim.rollout_vjp(model, path, cotangents(model, steps, interval))


def timed(scene: Scene, model: sim.Model, steps: int, interval: int) -> tuple[float, float]:
    """Of the forward and the backward pass [us a step]."""
    ctrls, weights = np.tile(scene.ctrl, (steps, 1)), cotangents(model, steps, interval)
    path = sim.rollout(model, scene.state, ctrls, checkpoint_interval=interval)
    passes = (
        lambda: sim.rollout(model, scene.state, ctrls, checkpoint_interval=interval),
        lambda: sim.rollout_vjp(model, path, weights),
    )
    forward, backward = (1e6 * processor_seconds(run) / steps for run in passes)
    return forward, backward


def measure(quick: bool) -> list[Row]:
    robots, steps, timed_steps, blocks = (2, 100, 50, 1) if quick else (ROBOTS, STEPS, TIMED_STEPS, BLOCKS)
    intervals = INTERVALS[::5] if quick else INTERVALS
    sim.set_num_threads(1)
    scene = quadrupeds(robots)
    both_passes(scene, sim.Model.from_mujoco(scene.model), 2, 2)  # compiles
    model = sim.Model.from_mujoco(scene.model)
    workspace = peak_growth(lambda: both_passes(scene, model, 2, 2))
    times: dict[int, list[tuple[float, float]]] = {interval: [] for interval in intervals}
    for _ in range(blocks):
        for interval, found in times.items():
            found.append(timed(scene, model, timed_steps, interval))
    rows = []
    for interval, found in times.items():
        path = sim.rollout(model, scene.state, scene.ctrl[None], checkpoint_interval=interval)
        kept = [x[1:] for x in path[:3]] + [x for x in (path.warmstart,) if x is not None]
        forward, backward = (round(statistics.median(x), 2) for x in zip(*found, strict=True))
        rows.append({
            "robots": robots,
            "steps": steps,
            "interval": interval,
            "memory_mb": round(peak_growth(lambda k=interval: both_passes(scene, model, steps, k)), 3),
            "workspace_mb": round(workspace, 3),
            "checkpoint_bytes": sum(x.nbytes for x in kept),
            "forward_us": forward,
            "backward_us": backward,
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def predicted_time(rows: list[Row], interval: int) -> float:
    """Equation 17: (k + 1) / 2 steps forward and one backward [us]; fits at an interval of 1."""
    return rows[0]["backward_us"] + (interval - 1) / 2 * rows[0]["forward_us"]


def predicted_memory(rows: list[Row], row: Row) -> float:
    """Equation 18: n / k checkpoints, and what does not depend on k [MB]; fits at an interval of 1."""
    of_checkpoints = [x["steps"] / x["interval"] * x["checkpoint_bytes"] / 1e6 for x in (rows[0], row)]
    return rows[0]["memory_mb"] - of_checkpoints[0] + of_checkpoints[1]


def table(rows: list[Row]) -> str:
    lines = [
        "| interval k | peak memory [MB] | equation 18 [MB] | forward [µs a step] | backward [µs a step] | "
        "equation 17, quadratic recomputation [µs a step] |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['interval']} | {row['memory_mb']:.1f} | {predicted_memory(rows, row):.1f} | "
            f"{row['forward_us']:.0f} | {row['backward_us']:.0f} | {predicted_time(rows, row['interval']):.0f} |"
        )
    return "\n".join(lines)


def notes(rows: list[Row]) -> str:
    first, last = rows[0], rows[-1]
    most = max(row["backward_us"] - first["backward_us"] for row in rows)
    block = last["interval"] * last["checkpoint_bytes"] / 1e6
    return (
        f"{first['robots']} Laikagos, {first['steps']} steps. The paper makes the states before a step again for each "
        "step of a block, (k + 1) k / 2 steps for k of them, and so finds a backward time that grows with k (equation "
        "17, with our times of a step). Ours keeps the block's states while it goes back over it and makes them once: "
        "(k - 1) / k of a forward pass is added; the measured time grows by at most "
        f"{most / first['forward_us']:.2f} of one. Memory (MB are 10^6 bytes) follows the paper's equation 18: "
        f"{first['checkpoint_bytes'] / 1e3:.1f} kB a checkpoint (from k = 2 on "
        f"{last['checkpoint_bytes'] / 1e3:.1f} kB: the solver's first guess is kept too), and a rest that does not "
        "depend on k. Here the rest is controls and their gradient, which the paper leaves out. The states of the "
        f"block that the backward pass is in are not in the equation, {block:.2f} MB at k = {last['interval']}. Left "
        "out of the table is the workspace of one step and its adjoint, the paper's m_simulation, which exists before: "
        f"{first['workspace_mb']:.0f} MB for all k. The rest is fitted at "
        "k = 1, as is the time of one step backward. The loss is one of the last state; one of all checkpoints has a "
        "cotangent for each. Gradients are the same to the last bit for all k."
    )


def plot(rows: list[Row], path: Path) -> None:
    import matplotlib.pyplot as plt

    intervals = [row["interval"] for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    left.plot(intervals, [row["memory_mb"] for row in rows], "o-", label="measured")
    left.plot(intervals, [predicted_memory(rows, row) for row in rows], "k:", label="equation 18")
    left.set_ylabel("peak memory [MB]")
    right.plot(intervals, [row["backward_us"] for row in rows], "o-", label="backward, measured")
    right.plot(intervals, [row["forward_us"] for row in rows], "s-", label="forward, measured")
    right.plot(intervals, [predicted_time(rows, k) for k in intervals], "k:", label="equation 17, backward")
    right.set_ylabel("processor time [µs a step]")
    right.set_yscale("log")
    for axis in (left, right):
        axis.set_xlabel("steps from checkpoint to checkpoint")
        axis.legend()
    left.set_ylim(bottom=0)
    figure.suptitle(f"{rows[0]['robots']} Laikagos, {rows[0]['steps']} steps")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


MEASUREMENT = Measurement(
    name="checkpoint_figure8",
    title="Checkpoints: memory and time against their interval",
    shows="what longer intervals between checkpoints save in memory, and cost in time, on ten Laikagos in one scene.",
    leaves_out="other ways to place checkpoints, such as a binomial schedule, or many threads.",
    measure=measure,
    table=table,
    notes=notes,
    plot=plot,
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())

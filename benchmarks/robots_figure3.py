"""Figure 3 of Qiao et al. 2021, ten robots for thousands of steps; and time against the number of robots and of links.

    python benchmarks/robots_figure3.py

Ours (Newton's method and projected Gauss-Seidel) and MuJoCo in one process and one thread, in alternating blocks;
medians of processor time. Memory is how far both passes raise the peak of the process; workspaces of a step exist
before, and are measured when they are made.
"""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np
from measurement import Measurement, Row, cell
from mechanisms import chain
from mujoco.rollout import Rollout
from quadrupeds import Scene, quadrupeds
from sides import peak_growth, processor_seconds

from gradgym import sim

Floats = np.ndarray[Any, np.dtype[np.float64]]
ROBOTS = 10
STEPS = (1000, 2000, 3000, 4000, 5000)
ROBOT_COUNTS = (1, 2, 5, 10, 20)
LINK_COUNTS = (1, 2, 5, 10, 20, 50, 100)
SCALING_STEPS = 200
BLOCKS = 3
DIFFERENCED = 2  # states at which MuJoCo's backward pass is timed
EPSILON = 1e-6
SIDES = {"newton": "ours, Newton", "pgs": "ours, Gauss-Seidel", "mujoco": "MuJoCo"}
PANELS = {"steps": "steps of ten robots", "robots": "robots", "links": "links of a chain"}


class Passes(NamedTuple):
    """One side on one scene: `forward(steps)` gives what `backward` needs, which goes `backward_steps(steps)` back."""

    forward: Callable[[int], Any]
    backward: Callable[[Any], Any]
    backward_steps: Callable[[int], int]


def ours(scene: Scene, model: sim.Model) -> Passes:
    def forward(steps: int) -> sim.Trajectory:
        return sim.rollout(model, scene.state, np.tile(scene.ctrl, (steps, 1)))

    def backward(path: sim.Trajectory) -> sim.RolloutGradient:
        cotangents = np.zeros((len(path.qpos), 2 * model.nv))
        cotangents[-1] = 1.0
        return sim.rollout_vjp(model, path, cotangents)

    return Passes(forward, backward, lambda steps: steps)


def mujocos(scene: Scene) -> Passes:
    """`mujoco.rollout`; backward, products with the Jacobians of `mjd_transitionFD`, at the last few states only."""
    m, threads = scene.model, Rollout(nthread=0)
    d, kept = mujoco.MjData(m), int(mujoco.mjtState.mjSTATE_FULLPHYSICS)
    d.qpos[:], d.qvel[:], d.ctrl[:] = scene.state.qpos, scene.state.qvel, scene.ctrl
    initial = np.empty((1, mujoco.mj_stateSize(m, kept)))
    mujoco.mj_getState(m, d, initial[0], kept)
    mujoco.mj_forward(m, d)
    a, b = np.empty((2 * m.nv, 2 * m.nv)), np.empty((2 * m.nv, m.nu))

    def forward(steps: int) -> Floats:
        states, _ = threads.rollout(m, d, initial, np.tile(scene.ctrl, (1, steps, 1)))
        return np.asarray(states)[0]

    def backward(states: Floats) -> Floats:
        state_adj, ctrl_adj = np.ones(2 * m.nv), np.full((len(states), m.nu), np.nan)
        d.ctrl[:] = scene.ctrl
        for t in range(len(states) - 1, len(states) - 1 - DIFFERENCED, -1):
            mujoco.mj_setState(m, d, states[t], kept)
            mujoco.mjd_transitionFD(m, d, EPSILON, False, a, b, None, None)
            ctrl_adj[t], state_adj = state_adj @ b, state_adj @ a
        return ctrl_adj

    return Passes(forward, backward, lambda steps: DIFFERENCED)


def sides_of(scene: Scene) -> dict[str, Callable[[], Passes]]:
    """What makes each, by name; a chain has nothing that solvers could differ in."""
    solvers = {"newton": mujoco.mjtSolver.mjSOL_NEWTON, "pgs": mujoco.mjtSolver.mjSOL_PGS}
    found: dict[str, Callable[[], Passes]] = {}
    for name, solver in solvers.items():
        chosen = scene.model.__copy__()
        chosen.opt.solver = int(solver)
        if name == "newton" or sim.Model.from_mujoco(chosen).nefcmax > 0:
            found[name] = lambda m=chosen: ours(scene, sim.Model.from_mujoco(m))
    return {**found, "mujoco": lambda: mujocos(scene)}


def warm(make: Callable[[], Passes]) -> Passes:
    """With workspaces, which the first passes make."""
    passes = make()
    passes.backward(passes.forward(DIFFERENCED))
    return passes


def memory(passes: Passes, steps: int) -> float:
    """[MB]"""
    return round(peak_growth(lambda: passes.backward(passes.forward(steps))), 3)


def timed(passes: Passes, steps: int) -> tuple[float, float]:
    """Of the forward and the backward pass [us a step]."""
    states = passes.forward(steps)
    return (
        1e6 * processor_seconds(lambda: passes.forward(steps)) / steps,
        1e6 * processor_seconds(lambda: passes.backward(states)) / passes.backward_steps(steps),
    )


def rows_of(panel: str, scene: Scene, size: int, counts: tuple[int, ...], blocks: int) -> list[Row]:
    """A row for each side and number of steps; `size` is that of the mechanism."""
    makers = sides_of(scene)
    passes = {name: warm(make) for name, make in makers.items()}  # compiles
    workspaces = {name: round(peak_growth(lambda make=make: warm(make)), 3) for name, make in makers.items()}
    times: dict[tuple[str, int], list[tuple[float, float]]] = {(n, steps): [] for n in passes for steps in counts}
    for _ in range(blocks):
        for (name, steps), found in times.items():
            found.append(timed(passes[name], steps))
    rows = []
    for (name, steps), found in times.items():
        forward, backward = (round(statistics.median(x), 2) for x in zip(*found, strict=True))
        rows.append({
            "panel": panel,
            "side": name,
            "size": size,
            "steps": steps,
            "forward_us": forward,
            "backward_us": backward,
            "memory_mb": memory(passes[name], steps) if panel == "steps" else None,
            "workspace_mb": workspaces[name],
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def hanging(links: int) -> Scene:
    """A chain that swings without contact, its motors at rest."""
    m, rng = chain(links), np.random.default_rng(0)
    return Scene(m, sim.State(rng.normal(scale=0.1, size=links), np.zeros(links), np.empty(0)), np.zeros(links))


def measure(quick: bool) -> list[Row]:
    sim.set_num_threads(1)
    robots, steps, blocks = (2, (20, 40), 1) if quick else (ROBOTS, STEPS, BLOCKS)
    robot_counts, link_counts = ((1, 2), (1, 5)) if quick else (ROBOT_COUNTS, LINK_COUNTS)
    scaling_steps = 20 if quick else SCALING_STEPS
    rows = rows_of("steps", quadrupeds(robots), robots, steps, blocks)
    for count in robot_counts:
        rows += rows_of("robots", quadrupeds(count), count, (scaling_steps,), blocks)
    for count in link_counts:
        rows += rows_of("links", hanging(count), count, (scaling_steps,), blocks)
    return rows


def _found(rows: list[Row], panel: str, side: str) -> list[Row]:
    return [row for row in rows if (row["panel"], row["side"]) == (panel, side)]


def _x(row: Row) -> int:
    return row["steps"] if row["panel"] == "steps" else row["size"]


def table(rows: list[Row]) -> str:
    columns = " | ".join(f"{name}: forward [µs a step] | backward [µs a step] | memory [MB]" for name in SIDES.values())
    lines = [
        f"| | {columns} |",
        "|---" * (3 * len(SIDES) + 1) + "|",
    ]
    for panel, label in PANELS.items():
        for x in sorted({_x(row) for row in rows if row["panel"] == panel}):
            cells = [f"{label}: {x:,}"]
            for side in SIDES:
                row = next((row for row in _found(rows, panel, side) if _x(row) == x), None)
                cells += (
                    ["", "", ""]
                    if row is None
                    else [
                        cell(row["forward_us"], ",.0f" if row["forward_us"] >= 100.0 else ".3g"),
                        cell(row["backward_us"], ",.0f" if row["backward_us"] >= 100.0 else ".3g"),
                        cell(row["memory_mb"], ".1f"),
                    ]
                )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def growth(rows: list[Row], panel: str, side: str, what: str) -> float:
    """Slope of log time over log size between the last two sizes: 1 is linear."""
    (a, b), (x, y) = ([(_x(row), row[what]) for row in _found(rows, panel, side)][i] for i in (-2, -1))
    return float(np.log(y / b) / np.log(x / a))


def notes(rows: list[Row]) -> str:
    slopes = "; ".join(
        f"{SIDES[side]} {growth(rows, panel, side, 'forward_us'):.2f} forward, "
        f"{growth(rows, panel, side, 'backward_us'):.2f} backward, for {PANELS[panel]}"
        for panel in ("robots", "links")
        for side in SIDES
        if _found(rows, panel, side)
    )
    parts = [
        "Time is per step. The robots are Laikagos that stand on one floor, too far apart to touch; a chain has no "
        "contact, so that there is no solver to choose. Steps of ours in a rollout start the solver from the step "
        "before, as MuJoCo's do; the backward pass computes each step once more, without that first guess, and pulls "
        "one cotangent back; through Gauss-Seidel by its sweeps in reverse, hence the longer time. "
        "MuJoCo has no such pass: its column is the product with one step's Jacobian by forward "
        f"differences (`mjd_transitionFD`), timed at the last {DIFFERENCED} states of each path. These differences are "
        "one step for each component of state and control, each of a scene that grows. Memory (MB are 10^6 "
        "bytes) is what grows with the path: states, controls and their gradients. Left out is what each side has "
        f"before, model and workspace of one step, {_workspaces(rows)}; MuJoCo's holds one Jacobian.",
        f"Exponent of the growth over the two largest sizes, 1 is linear: {slopes}. Without contact ours needs no "
        "inertia matrix (articulated-body algorithm); MuJoCo factorises it, and that of a chain is full.",
    ]
    for what, does in (("forward_us", "steps"), ("backward_us", "goes back")):
        for side in ("newton", "pgs"):
            if wins := _wins(rows, side, what):
                parts.append(f"MuJoCo {does} faster than {SIDES[side]}, in these fractions of our time: {wins}.")
    if _wins([row for row in rows if row["panel"] != "links"], "newton", "forward_us"):
        parts.append("Both Newton solvers solve each robot of a scene by itself, so that the work is the same.")
    return "\n\n".join(parts)


def _workspaces(rows: list[Row]) -> str:
    """Of the scene whose memory is measured."""
    found = {row["side"]: row["workspace_mb"] for row in rows if row["panel"] == "steps"}
    return ", ".join(f"{SIDES[side]} {size:.3g} MB" for side, size in found.items())


def _wins(rows: list[Row], side: str, what: str) -> str:
    """Where MuJoCo is the faster, and its time over this side's."""
    times = {(row["panel"], _x(row)): row[what] for row in rows if row["side"] == "mujoco"}
    found = [(row, times[row["panel"], _x(row)] / row[what]) for row in rows if row["side"] == side]
    return "; ".join(f"{PANELS[row['panel']]}: {_x(row):,} ({ratio:.2f})" for row, ratio in found if ratio < 1.0)


def plot(rows: list[Row], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
    for i, (side, label) in enumerate(SIDES.items()):
        found = _found(rows, "steps", side)
        axes[0][0].plot([_x(r) for r in found], [r["memory_mb"] for r in found], "o-", color=f"C{i}", label=label)
        for panel, axis in zip(PANELS, (axes[0][1], axes[1][0], axes[1][1]), strict=True):
            found = _found(rows, panel, side)
            sizes = [_x(row) for row in found]
            axis.plot(sizes, [row["forward_us"] for row in found], "o-", color=f"C{i}", label=f"{label}, forward")
            axis.plot(sizes, [row["backward_us"] for row in found], "s--", color=f"C{i}", label=f"{label}, backward")
    axes[0][0].set(xlabel=PANELS["steps"], ylabel="peak memory [MB]", ylim=(0, None))
    for panel, axis in zip(PANELS, (axes[0][1], axes[1][0], axes[1][1]), strict=True):
        axis.set(xlabel=PANELS[panel], ylabel="processor time [µs a step]", yscale="log")
        if panel != "steps":
            sizes = [_x(row) for row in _found(rows, panel, "newton")]
            first = _found(rows, panel, "newton")[0]["forward_us"]
            axis.plot(sizes, [first * n / sizes[0] for n in sizes], "k:", label="linear")
            axis.set_xscale("log")
    axes[0][0].legend()
    lines, labels = axes[1][0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=110)
    plt.close(figure)


MEASUREMENT = Measurement(
    name="robots_figure3",
    title="Ten robots, and how time grows with robots and links",
    shows="memory and time of thousands of steps of ten robots, and how a step's time grows with robots and links.",
    leaves_out="robots that touch each other, whose equations must be solved together; many threads; MuJoCo's backward "
    f"pass through a whole path, which is timed at {DIFFERENCED} states of it; a rival with automatic differentiation, "
    "where the paper has CppAD.",
    measure=measure,
    table=table,
    notes=notes,
    plot=plot,
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())

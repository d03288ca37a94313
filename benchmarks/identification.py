"""Thirteen parameters of an arm from a recording: derivatives by our adjoint and by differences.

python benchmarks/identification.py            # measures
python benchmarks/identification.py --table    # prints the stored results

The robot, the recording and the method are those of `examples/system_identification.py`; only what
the method is told of the loss differs: one backward pass, or a prediction for each parameter.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
from measurement import ROOT, Measurement, Row, cell
from mujoco import rollout as mujoco_rollout

from gradgym import sim

sys.path.insert(0, str(ROOT / "examples"))

import system_identification as arm  # pyright: ignore[reportMissingImports]

STEP = 1e-6  # of the differences, relative
GOALS = (0.01, 0.001)
ROUNDS, ITERATIONS = 5, 25


def _differences(predictions: Callable[..., np.ndarray]) -> Callable[..., arm.Fit]:
    """Derivatives from `predictions(models, recording)`, (models, N, W, 6): one for each parameter, and one more."""

    def derivatives(values, recording, found, trajectory, weight) -> arm.Fit:
        steps = STEP * np.maximum(np.abs(values), 0.1)
        models = [arm.make_model(values), *(arm.make_model(changed) for changed in values + np.diag(steps))]
        base, *changed = predictions(models, recording)
        columns = [(y - base) / (step * arm.NOISE) for y, step in zip(changed, steps, strict=True)]
        jacobian = np.sqrt(weight) * np.array(columns)
        flat = jacobian.reshape(len(values), -1)
        return arm.Fit(flat @ (np.sqrt(weight) * found).ravel(), flat @ flat.T)

    return derivatives


def _by_mujoco(models: list[mujoco.MjModel], recording: arm.Recording) -> np.ndarray:
    """All models and windows in one call, which runs in C."""
    start, n = recording.start, len(recording.ctrl)
    first = np.concatenate([np.zeros((n, 1)), start.qpos, start.qvel], axis=1)  # time, angles, velocities
    every = [model for model in models for _ in range(n)]
    many = np.tile(first, (len(models), 1)), np.tile(recording.ctrl, (len(models), 1, 1))
    states, _ = mujoco_rollout.rollout(every, mujoco.MjData(models[0]), *many)
    return states[..., 1:].reshape(len(models), *recording.states.shape)


def _by_ours(models: list[mujoco.MjModel], recording: arm.Recording) -> np.ndarray:
    paths = [sim.rollout(sim.Model.from_mujoco(m), recording.start, recording.ctrl) for m in models]
    return np.array([np.concatenate([path.qpos, path.qvel], axis=-1)[:, 1:] for path in paths])


SIDES: dict[str, Callable[..., arm.Fit]] = {
    "adjoint, two draws of signs": arm.by_adjoints,
    "differences of MuJoCo": _differences(_by_mujoco),
    "differences of ours": _differences(_by_ours),
}


def measure(quick: bool) -> list[Row]:
    """A row a side: the median of its runs by total time. Deviations are of the noise-free recording."""
    iterations, rounds = (2, 1) if quick else (ITERATIONS, ROUNDS)
    recording = arm.record(0.0)
    for side in SIDES.values():
        _run(recording, side, 1)  # compiles
    runs: dict[str, list[Row]] = {name: [] for name in SIDES}
    for _ in range(rounds):
        for name, side in SIDES.items():
            runs[name].append({"side": name, **_run(recording, side, iterations)})
    return [sorted(found, key=lambda row: row["derivatives"])[len(found) // 2] for found in runs.values()]


def _run(recording: arm.Recording, side: Callable[..., arm.Fit], iterations: int) -> Row:
    """Processor seconds of one derivative, and of the whole with the largest relative error, by iteration."""
    each: list[float] = []

    def timed(*arguments) -> arm.Fit:
        begin = time.process_time()
        fit = side(*arguments)
        each.append(time.process_time() - begin)
        return fit

    true, begin = arm.true_values(), time.process_time()
    curve = [
        [time.process_time() - begin, float(np.abs(values / true - 1.0).max())]
        for values, _ in arm.estimate(recording, iterations, timed)
    ]
    return {"curve": curve, "derivatives": float(np.median(each))}


def table(rows: list[Row]) -> str:
    lines = [
        "| | derivatives [ms] | iterations to 1 % | seconds | iterations to 0.1 % | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [cell(1e3 * row["derivatives"], ".0f")]
        for goal in GOALS:
            first = next((i for i, (_, error) in enumerate(row["curve"]) if error < goal), None)
            cells += ["-", "-"] if first is None else [str(first), cell(row["curve"][first][0], ".2f")]
        lines.append(f"| {row['side']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def notes(rows: list[Row]) -> str:
    return (
        "All sides minimise the same loss by the same method from the same guess, with predictions by our simulator;"
        " the differences give the whole Gauss-Newton matrix, the adjoint a sample of it, so that its iterations are"
        " more. A pass of the adjoint costs what it costs for any number of parameters; with differences thirteen cost"
        " fourteen predictions, of 4,000 steps each. MuJoCo's run in one call in C (`mujoco.rollout`), on one thread."
    )


def plot(rows: list[Row], path: Path) -> None:
    """The largest error by iteration and by second."""
    import matplotlib.pyplot as plt

    figure, (by_count, by_time) = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for row in rows:
        curve = np.array(row["curve"])
        by_count.plot(curve[:, 1], "-o", ms=2.5, lw=1.2, label=row["side"])
        by_time.plot(*curve.T, "-o", ms=2.5, lw=1.2)
    by_count.set(xlabel="iteration", ylabel="largest error of a parameter", yscale="log")
    by_time.set(xlabel="processor seconds")
    by_count.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


MEASUREMENT = Measurement(
    name="identification",
    title="System identification: masses, damping and friction of an arm",
    shows="how soon 13 parameters of an arm in contact are found from a recording, by our adjoint and by differences.",
    leaves_out="noise, parameters that cannot be told apart, or a model that is wrong in more than its parameters.",
    measure=measure,
    table=table,
    notes=notes,
    plot=plot,
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())

"""Thirteen parameters of an arm from a recording: derivatives by our adjoint and by differences.

python benchmarks/identification.py            # measures
python benchmarks/identification.py --table    # prints the stored results

The robot, the recording and the method are those of `examples/system_identification.py`; only what
the method is told of the loss differs: one call of our adjoint with three cotangents, the residuals and two
draws of random signs, or a prediction for each parameter.
"""

import sys
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from measurement import ROOT, Measurement, Row, cell
from mujoco import rollout as mujoco_rollout

from gradgym import sim


def _example(name: str) -> Any:
    """A script of `examples/` as a module: no path leads from here to that folder."""
    spec = spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


arm = _example("system_identification")
STEP = 1e-6  # of the differences, relative
GOALS = (0.01, 0.001)
ROUNDS, ITERATIONS = 5, 25
NOISES, RECORDINGS = (1.0, 3.0, 10.0), 7  # in units of the example's


def _differences(predictions: Callable[..., np.ndarray]) -> Callable[..., Any]:
    """Derivatives from `predictions(values, recording, trajectory)`, (14, N, W, 6), for rows of parameters.

    The first row is that of `trajectory`, which our simulator has predicted already.
    """

    def derivatives(
        values: np.ndarray, recording: Any, found: np.ndarray, trajectory: sim.Trajectory, weight: np.ndarray, _: Any
    ) -> Any:
        steps = STEP * np.maximum(np.abs(values), 0.1)
        base, *changed = predictions(np.vstack([values, values + np.diag(steps)]), recording, trajectory)
        columns = [(y - base) / (step * arm.deviations()) for y, step in zip(changed, steps, strict=True)]
        jacobian = np.sqrt(weight) * np.array(columns)
        flat = jacobian.reshape(len(values), -1)
        return arm.Fit(flat @ (np.sqrt(weight) * found).ravel(), flat @ flat.T)

    return derivatives


def _by_mujoco(values: np.ndarray, recording: Any, trajectory: sim.Trajectory) -> np.ndarray:
    """All models and windows in one call, which runs in C."""
    models = [arm.make_model(row) for row in values]
    start, n = recording.start, len(recording.ctrl)
    first = np.concatenate([np.zeros((n, 1)), start.qpos, start.qvel], axis=1)  # time, angles, velocities
    every = [model for model in models for _ in range(n)]
    many = np.tile(first, (len(models), 1)), np.tile(recording.ctrl, (len(models), 1, 1))
    states, _ = mujoco_rollout.rollout(every, mujoco.MjData(models[0]), *many)
    return states[..., 1:].reshape(len(models), *recording.states.shape)


def _by_ours(values: np.ndarray, recording: Any, trajectory: sim.Trajectory) -> np.ndarray:
    models = [sim.Model.from_mujoco(arm.make_model(row)) for row in values[1:]]
    paths = [trajectory, *(sim.rollout(model, recording.start, recording.ctrl) for model in models)]
    return np.array([np.concatenate([path.qpos, path.qvel], axis=-1)[:, 1:] for path in paths])


SIDES: dict[str, Callable[..., Any]] = {
    "adjoint, two draws of signs": arm.by_adjoints,
    "differences of MuJoCo": _differences(_by_mujoco),
    "differences of ours": _differences(_by_ours),
}


def measure(quick: bool) -> list[Row]:
    """A row a side: the run in the middle by its time to the finer goal, each with other signs, without noise.

    Then a row a level of noise: the largest error that the adjoint's estimate has in the end, of several recordings.
    """
    sim.set_num_threads(1)
    iterations, rounds = (2, 1) if quick else (ITERATIONS, ROUNDS)
    recording = arm.record(0.0)
    for side in SIDES.values():
        _run(recording, side, 1, 0)  # compiles
    runs: dict[str, list[Row]] = {name: [] for name in SIDES}
    for seed in range(rounds):
        for name, side in SIDES.items():
            runs[name].append({"side": name, **_run(recording, side, iterations, seed)})
    rows = [sorted(found, key=_seconds_to_goal)[len(found) // 2] for found in runs.values()]
    for noise in NOISES:
        seeds = range(1 if quick else RECORDINGS)
        rows.append({"noise": noise, "errors": [_error_with_noise(noise, seed, iterations) for seed in seeds]})
    return rows


def _error_with_noise(noise: float, seed: int, iterations: int) -> float:
    *_, (values, _) = arm.estimate(arm.record(noise, seed), iterations)
    return float(np.abs(values / arm.true_values() - 1.0).max())


def _sides(rows: list[Row]) -> list[Row]:
    return [row for row in rows if "side" in row]


def _iterations(row: Row, goal: float) -> int | None:
    """Until the largest error was less than `goal`."""
    return next((i for i, (_, error) in enumerate(row["curve"]) if error < goal), None)


def _seconds_to_goal(row: Row) -> float:
    return next((seconds for seconds, error in row["curve"] if error < GOALS[-1]), np.inf)


def _run(recording: Any, side: Callable[..., Any], iterations: int, seed: int) -> Row:
    """Processor seconds of one derivative, and of the whole with the largest relative error, by iteration."""
    each: list[float] = []

    def timed(*arguments: Any) -> Any:
        begin = time.thread_time()
        fit = side(*arguments)
        each.append(time.thread_time() - begin)
        return fit

    true, begin = arm.true_values(), time.thread_time()
    curve = [
        [time.thread_time() - begin, float(np.abs(values / true - 1.0).max())]
        for values, _ in arm.estimate(recording, iterations, timed, seed)
    ]
    return {"curve": curve, "derivatives": float(np.median(each))}


def table(rows: list[Row]) -> str:
    lines = [
        "| | derivatives [ms] | iterations to 1 % | seconds | iterations to 0.1 % | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for row in _sides(rows):
        cells = [cell(1e3 * row["derivatives"], ".0f")]
        for goal in GOALS:
            first = _iterations(row, goal)
            cells += ["-", "-"] if first is None else [str(first), cell(row["curve"][first][0], ".2f")]
        lines.append(f"| {row['side']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def notes(rows: list[Row]) -> str:
    noisy = [row for row in rows if "noise" in row]
    errors = [f"{row['noise']:g}: {100 * min(row['errors']):.1f} to {100 * max(row['errors']):.1f} %" for row in noisy]
    out_of_reach = [f"{row['noise']:g}" for row in noisy if min(row["errors"]) >= GOALS[-1]]
    counts = [f"{row['side']}: {_iterations(row, GOALS[-1]) or 'not reached'}" for row in _sides(rows)]
    angle, velocity = arm.NOISE[0], arm.NOISE[-1]
    return (
        "The table is of a recording without noise. All sides minimise the same loss by the same method from the same"
        " guess, with predictions by our simulator, on one thread. The differences give the whole Gauss-Newton matrix,"
        f" the adjoint a sample of it; iterations to {100 * GOALS[-1]:g} %: {'; '.join(counts)}. Derivatives by the"
        " adjoint are one call that pulls three cotangents back, the residuals and two draws of random signs, and costs"
        " what it costs for any number of parameters. With differences thirteen cost thirteen predictions of 4,000"
        " steps each, MuJoCo's fourteen, because what is subtracted must be its own; they run in one call in C"
        " (`mujoco.rollout`). Making the models is part of the time."
        "\n\nMuJoCo scales the softness of constraints by the inertia that they see. Only differences know that, and it"
        f" follows the estimate on both sides.\n\nWith noise of {angle:g} rad and {velocity:g} rad/s, times a factor,"
        " the largest error of a parameter in the end (the adjoint's estimate, least to greatest of"
        f" {len(noisy[0]['errors'])} recordings) is, with a factor of {'; '.join(errors)}."
        + (
            f" So the {100 * GOALS[-1]:g} % of the table is out of reach with factors of {', '.join(out_of_reach)}."
            if out_of_reach
            else ""
        )
        + " Windows begin where the sensors say, which with more noise no longer is where the arm was."
    )


def plot(rows: list[Row], path: Path) -> None:
    """The largest error by iteration and by second."""
    import matplotlib.pyplot as plt

    figure, (by_count, by_time) = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for row in _sides(rows):
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
    shows="how soon 13 parameters of an arm in contact are found from a recording without noise, by our "
    "adjoint and by differences.",
    leaves_out="how soon they are found with noise (the error that it leaves is below the plot), parameters that "
    "cannot be told apart, or a model that is wrong in more than its parameters.",
    measure=measure,
    table=table,
    notes=notes,
    plot=plot,
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())

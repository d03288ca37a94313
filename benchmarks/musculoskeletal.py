"""Steps and Jacobians of MyoSuite's hand, legs and whole body, driven by muscles, beside MuJoCo's.

    pip install myo_sim --no-deps          # the models; it asks for an older MuJoCo than it needs
    python benchmarks/musculoskeletal.py

Both sides in one process and one thread, from states that MuJoCo comes by under random excitations, in
alternating blocks; medians of processor time.
"""

import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import contact_speed
import mujoco
import numpy as np
from measurement import Measurement, Row
from numpy.typing import NDArray

from gradgym import sim

Floats = NDArray[np.float64]
EPSILON = 1e-6  # of centred differences
KINK = 1e-4  # between both sides, relative to the largest entry
ALL_COLUMNS = 1000  # most columns of a Jacobian that are compared, spread evenly
LARGE = 100  # degrees of freedom: there one state is enough for Jacobians, of a second each
FLEXORS = ("FDS", "FDP", "FPL", "OP")


class Case(NamedTuple):
    """A model, how it starts, and the excitation of its muscles (nu,) for a tenth of a second."""

    model: mujoco.MjModel
    start: Callable[[mujoco.MjData], None]
    excitation: Callable[[np.random.Generator], Floats]


def _models() -> Any:
    """The package that has the models. ImportError, in one line, if it is missing."""
    try:
        return import_module("myo_sim")
    except ImportError:
        raise ImportError(
            "benchmarks/musculoskeletal.py: no module 'myo_sim', which has the models; pip install myo_sim --no-deps"
        ) from None


def hand() -> Case:
    """The hand alone: it moves at random, some joints at their limits."""
    m = _models().load_model("myohand_r")
    return Case(m, lambda d: None, lambda rng: rng.uniform(size=m.nu) ** 3)


def hand_with_ball() -> Case:
    """Palm up, a ball on it, the fingers closing."""
    spec, radius = _models().load_spec("myohand_r"), 0.025
    ball = spec.worldbody.add_body(name="ball")
    ball.add_freejoint()
    ball.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[radius, 0, 0], mass=0.05, contype=1, conaffinity=1)
    m = spec.compile()
    flexes = np.array([m.actuator(i).name.startswith(FLEXORS) for i in range(m.nu)])

    def start(d: mujoco.MjData) -> None:
        d.joint("pro_sup_r").qpos[0] = -1.5
        mujoco.mj_kinematics(m, d)
        fingers = 0.5 * (d.geom("proxph3_coll_r").xpos + d.geom("proxph4_coll_r").xpos)
        d.qpos[-7:-4] = fingers + np.array([0.0, 0.02, radius + 0.012])

    return Case(m, start, lambda rng: np.where(flexes, 0.3, 0.02) * rng.uniform(0.8, 1.2, m.nu))


def standing(name: str) -> Case:
    """From the posture of its keyframe, feet on the floor, on its way down."""
    m = _models().load_model(name)
    return Case(m, lambda d: mujoco.mj_resetDataKeyframe(m, d, 0), lambda rng: rng.uniform(size=m.nu) ** 3)


CASES: dict[str, Callable[[], Case]] = {
    "MyoHand": hand,
    "MyoHand, ball": hand_with_ball,
    "MyoLegs": lambda: standing("myolegs"),
    "MyoFullBody": lambda: standing("myofullbody"),
}


def starts(case: Case) -> contact_speed.Starts:
    """States after 0.1 to 0.45 s, and a new excitation: activations are not yet there, where their rate has a kink."""
    m, states, ctrls = case.model, [], []
    for i in range(contact_speed.STATES):
        d, rng = mujoco.MjData(m), np.random.default_rng(i)
        case.start(d)
        for k in range(2 + i):
            if k % 2 == 0:
                d.ctrl[:] = case.excitation(rng)
            mujoco.mj_step(m, d, nstep=round(0.05 / m.opt.timestep))
        states.append(sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()))
        ctrls.append(case.excitation(rng))
    return contact_speed.Starts(states, ctrls)


def step_difference(case: Case, model: sim.Model, at: contact_speed.Starts) -> float:
    """Largest difference of qvel after a step from MuJoCo's, relative to the largest change."""
    d, worst = mujoco.MjData(case.model), 0.0
    for state, ctrl in zip(at.states, at.ctrls, strict=True):
        contact_speed.load(d, state, ctrl)
        mujoco.mj_step(case.model, d)
        ours = sim.step(model, state, ctrl)
        worst = max(worst, float(np.abs(ours.qvel - d.qvel).max() / np.abs(d.qvel - state.qvel).max()))
    return worst


class Differences:
    """Next states from one state, nudged along its tangent or the control: MuJoCo's, solved to rounding, and ours."""

    def __init__(self, case: Case, model: sim.Model, state: sim.State, ctrl: Floats) -> None:
        self._m, self._d, self._model, self._at = case.model.__copy__(), mujoco.MjData(case.model), model, (state, ctrl)
        self._m.opt.tolerance, self._m.opt.iterations, self._m.opt.ls_iterations = 1e-16, 200, 100
        self._warm = np.zeros(model.nv)
        self.rows = self._step(state, ctrl)
        self._warm, self._middle = self._d.qacc_warmstart.copy(), self._d.qpos.copy()

    def _step(self, state: sim.State, ctrl: Floats) -> bytes:
        """MuJoCo's; which constraint rows there are, and push."""
        contact_speed.load(self._d, state, ctrl, warmstart=self._warm)
        mujoco.mj_step(self._m, self._d)
        return self._d.efc_state.tobytes() + self._d.efc_id.tobytes()

    def _tangent(self, qpos: Floats, qvel: Floats, act: Floats) -> Floats:
        moved = np.empty(self._model.nv)
        mujoco.mj_differentiatePos(self._m, moved, 1.0, self._middle, qpos)
        return np.concatenate([moved, qvel, act])

    def nudged(self, i: int, size: float) -> tuple[Floats, Floats, bytes]:
        """The next state (nx,) of MuJoCo, ours, and the rows."""
        (state, ctrl), nv, nx = self._at, self._model.nv, 2 * self._model.nv + self._model.na
        nudge, qpos = np.zeros(nx + self._model.nu), state.qpos.copy()
        nudge[i] = size
        mujoco.mj_integratePos(self._m, qpos, nudge[:nv], 1.0)
        start = sim.State(qpos, state.qvel + nudge[nv : 2 * nv], state.act + nudge[2 * nv : nx])
        rows, ours, d = self._step(start, ctrl + nudge[nx:]), sim.step(self._model, start, ctrl + nudge[nx:]), self._d
        return self._tangent(d.qpos, d.qvel, d.act), self._tangent(ours.qpos, ours.qvel, ours.act), rows


def jacobian_differences(case: Case, model: sim.Model, at: contact_speed.Starts) -> tuple[float, float, int, int]:
    """Largest difference of a step's Jacobians from centred differences of MuJoCo and of ours, by the largest entry.

    Of the first state; also how many columns are compared, and how many left out since rows switch there, or
    muscles, whose activation rises at another rate than it falls.
    """
    differences = Differences(case, model, at.states[0], at.ctrls[0])
    a, b = sim.step_jacobian(model, at.states[0], at.ctrls[0])
    exact = np.concatenate([a, b], axis=1)
    worst, compared, switched, middle = np.zeros(2), 0, 0, np.array(differences.nudged(0, 0.0)[:2])
    for i in range(0, exact.shape[1], 1 + exact.shape[1] // ALL_COLUMNS):
        (*plus, rows), (*minus, other_rows) = (differences.nudged(i, size) for size in (EPSILON, -EPSILON))
        if not rows == other_rows == differences.rows:
            switched += 1
            continue
        slopes, ahead = (np.array(plus) - np.array(minus)) / (2.0 * EPSILON), (np.array(plus) - middle) / EPSILON
        if np.abs(slopes - ahead).max() > KINK * np.abs(exact).max():
            switched += 1
            continue
        compared += 1
        worst = np.maximum(worst, np.abs(slopes - exact[:, i]).max(axis=1))
    theirs, ours = (worst / np.abs(exact).max()).tolist()
    return theirs, ours, compared, switched


def measured(name: str, blocks: int) -> Row:
    """Medians over alternating blocks [us], ratios of the same blocks, and how equal the results are."""
    sim.set_num_threads(1)
    case = CASES[name]()
    model, at = sim.Model.from_mujoco(case.model), starts(case)
    functions = contact_speed.measured_functions(
        contact_speed.Case(case.model, mujoco.MjData(case.model), 10), model, at
    )
    del functions["vjp"]
    times: dict[str, list[float]] = {key: [] for key in functions}
    for block in range(-1, blocks):
        for key, (run, count) in functions.items():
            one = count == 1 and model.nv >= LARGE
            calls = [0] if one else [i for i in range(contact_speed.STATES) for _ in range(1 if count > 1 else 5)]
            begin = time.thread_time()
            for i in calls:
                run(i)
            if block >= 0:
                times[key].append(1e6 * (time.thread_time() - begin) / (len(calls) * count))
    found = [sim.forward(model, *start) for start in zip(at.states, at.ctrls, strict=True)]

    def ratio(top: str, bottom: str) -> float:
        return round(statistics.median(x / y for x, y in zip(times[top], times[bottom], strict=True)), 3)

    theirs, ours, compared, switched = jacobian_differences(case, model, at)
    return {
        "case": name,
        "nv": model.nv,
        "muscles": model.na,
        "contacts": [len(one.contact.dist) for one in found],
        "rows": [int(np.count_nonzero(one.efc_force)) for one in found],
        "microseconds": {key: round(statistics.median(values), 2) for key, values in times.items()},
        "step / mj_step": ratio("step", "mj_step"),
        "differences / jacobian": ratio("mj_jacobian", "jacobian"),
        "difference of a step": step_difference(case, model, at),
        "from differences of MuJoCo": theirs,
        "from differences of ours": ours,
        "columns": [compared, switched],
    }


def measure(quick: bool) -> list[Row]:
    rows = []
    for name in ["MyoHand"] if quick else list(CASES):
        rows.append(measured(name, 2 if quick else 11))
        print(rows[-1], flush=True)
    return rows


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def table(rows: list[Row]) -> str:
    lines = [
        "| | nv | muscles | contacts | rows | step [µs] | step / mj_step | Jacobian [µs] | differences / Jacobian |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        us = row["microseconds"]
        lines.append(
            f"| {row['case']} | {row['nv']} | {row['muscles']} | {_span(row['contacts'])} | {_span(row['rows'])} | "
            f"{us['step']:.1f} | {row['step / mj_step']:.2f} | {us['jacobian']:.0f} | "
            f"{row['differences / jacobian']:.1f} |"
        )
    return "\n".join(lines)


def notes(rows: list[Row]) -> str:
    equal = [
        f"{row['case']} {row['difference of a step']:.0e}, {row['from differences of MuJoCo']:.0e} and "
        f"{row['from differences of ours']:.0e} ({row['columns'][0]} columns, {row['columns'][1]} left out)"
        for row in rows
    ]
    return (
        f"A step is one of a rollout of {contact_speed.STEPS} under constant excitation, from "
        f"{contact_speed.STATES} states that MuJoCo comes by; contacts, and rows of constraints that push, are "
        "those of these states. The hand alone touches nothing, but joints are at their limits; a ball lies on its "
        "palm, the fingers closing. Legs and body start standing and fall. A Jacobian is one call for both, by state "
        "and by control; differences are `mjd_transitionFD`, forward, and the step that its solver starts from.\n\n"
        "Largest difference of a step's change of velocity from MuJoCo's; of the Jacobians from centred differences "
        f"({EPSILON:.0e}) of MuJoCo's step, and of ours, relative to the largest entry, but for columns where rows "
        f"or a muscle's curve switch: {'; '.join(equal)}. Where a tendon passes through a geom, as in the hand, MuJoCo "
        "finds the point to 1e-6 of an angle only; its solver stops at the models' own tolerance, which shows in the "
        "step of the whole body."
    )


MEASUREMENT = Measurement(
    name="musculoskeletal",
    title="Bodies driven by muscles",
    shows="what a step and its Jacobians cost on MyoSuite's models, whose tendons wrap around bones, beside MuJoCo.",
    leaves_out="environments and trainings on these models, or other engines.",
    measure=measure,
    table=table,
    summary=table,
    notes=notes,
    rivals=("myo_sim",),
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())

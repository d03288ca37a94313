"""How wrong gradients are: ours, MuJoCo's finite differences, MJX's, against references more exact than all.

    python benchmarks/gradient_accuracy.py

Both for the Jacobian of a step and for the gradient of a functional of the state after `STEPS` steps by the
first state and the control, which is held. `gradient_references` says what is true.
"""

import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import contact_speed
import mujoco
import numpy as np
import one_step_jacobian
from extrapolation import Floats
from gradient_references import TIGHT, Case, reference, relative
from measurement import Measurement, Row
from rivals import standing
from sides import Side

from gradgym import sim

STEPS = 50
EPSILONS = tuple(10.0**-k for k in range(3, 10))
WAYS = {
    "forward": "forward",
    "centred": "centred",
    "tight forward": "forward, tolerance 1e-15",
    "tight centred": "centred, tolerance 1e-15",
}


def _first(at: one_step_jacobian.States, **flags: bool) -> Case:
    return Case(at.model, at.states[0], at.ctrls[0], **flags)


def ant(cone: mujoco.mjtCone, speed: float = 0.0, mjx: bool = False) -> Case:
    """Standing, or thrown forwards so that its feet slide [m/s]."""
    case = _first(one_step_jacobian.resting(contact_speed.ant(mujoco.mjtIntegrator.mjINT_EULER)), mjx=mjx)
    case.model.opt.cone = int(cone)
    case.state.qvel[0] += speed
    return case


def laikago(feet_only: bool) -> Case:
    start = standing.start()
    state = sim.State(start.qpos, start.qvel, np.empty(0))
    return Case(standing.robot(feet_only).compile(), state, start.ctrl, mjx=feet_only)


def box() -> Case:
    """A box that turns over an edge of 30 cm, which slides."""
    m = mujoco.MjModel.from_xml_string("""<mujoco><worldbody><geom type="plane" size="5 5 1"/>
        <body><freejoint/><geom type="box" size="0.1 0.15 0.05"/></body></worldbody></mujoco>""")
    tilt, depth = 0.4, 3e-4
    height = 0.1 * np.sin(tilt) + 0.05 * np.cos(tilt) - depth
    qpos = np.array([0.0, 0.0, height, np.cos(tilt / 2.0), 0.0, np.sin(tilt / 2.0), 0.0])
    return Case(m, sim.State(qpos, np.array([0.3, 0.1, 0.0, 0.0, 0.2, 0.0]), np.empty(0)), np.empty(0))


PYRAMIDAL, ELLIPTIC = mujoco.mjtCone.mjCONE_PYRAMIDAL, mujoco.mjtCone.mjCONE_ELLIPTIC
CASES: dict[str, Callable[[], Case]] = {
    "chain of 7, swinging": lambda: _first(one_step_jacobian.chain_states(7), mjx=True, chain=True),
    "Ant in the air": lambda: _first(one_step_jacobian.ant_in_the_air()),
    "Ant standing": lambda: ant(PYRAMIDAL, mjx=True),
    "Ant standing, elliptic": lambda: ant(ELLIPTIC, mjx=True),
    "Ant sliding": lambda: ant(PYRAMIDAL, speed=1.5),
    "Laikago standing": lambda: laikago(False),
    "Laikago, only its feet": lambda: laikago(True),
    "box over an edge": box,
}


def path(case: Case, tolerance: float | None = None) -> tuple[mujoco.MjModel, list[sim.State], list[Floats]]:
    """MuJoCo's rollout of STEPS: states at the steps' beginnings, and the solver's warm starts there."""
    m = case.model.__copy__()
    m.opt.tolerance = m.opt.tolerance if tolerance is None else tolerance
    d, states, warmstarts = mujoco.MjData(m), [], []
    d.qpos[:], d.qvel[:], d.ctrl[:] = case.state.qpos, case.state.qvel, case.ctrl
    mujoco.mj_step(m, d)
    d.qpos[:], d.qvel[:], d.time = case.state.qpos, case.state.qvel, 0.0
    for _ in range(STEPS):
        states.append(sim.State(d.qpos.copy(), d.qvel.copy(), np.empty(0)))
        warmstarts.append(d.qacc_warmstart.copy())
        mujoco.mj_step(m, d)
    return m, states, warmstarts


def chained(jacobians: list[Floats], functional: Floats) -> Floats:
    """Gradient (1, nx + nu) of the functional of the last state from each step's Jacobian (nx, nx + nu)."""
    back, nx = functional.copy(), functional.shape[1]
    by_ctrl = np.zeros((1, jacobians[0].shape[1] - nx))
    for jacobian in reversed(jacobians):
        by_ctrl += back @ jacobian[:, nx:]
        back = back @ jacobian[:, :nx]
    return np.hstack([back, by_ctrl])


def by_differences(case: Case, eps: float, centred: bool, tolerance: float | None) -> list[Floats]:
    """`mjd_transitionFD` along MuJoCo's rollout, warm-started."""
    m, states, warmstarts = path(case, tolerance)
    d, nx, found = mujoco.MjData(m), 2 * m.nv, []
    for state, warmstart in zip(states, warmstarts, strict=True):
        d.qpos[:], d.qvel[:], d.ctrl[:], d.qacc_warmstart[:] = state.qpos, state.qvel, case.ctrl, warmstart
        a, b = np.empty((nx, nx)), np.empty((nx, m.nu))
        mujoco.mjd_transitionFD(m, d, eps, centred, a, b if m.nu else None, None, None)
        found.append(np.hstack([a, b]))
    return found


def by_ours(case: Case, functional: Floats) -> tuple[Floats, Floats]:
    """Jacobian of the first step, gradient of the functional after STEPS."""
    model = sim.Model.from_mujoco(case.model)
    jacobian = sim.step_jacobian(model, case.state, case.ctrl)
    cotangents = np.zeros((STEPS + 1, 2 * model.nv))
    cotangents[-1] = functional[0]
    rollout = sim.rollout(model, case.state, np.repeat(case.ctrl[None], STEPS, axis=0))
    gradient = sim.rollout_vjp(model, rollout, cotangents)
    return np.hstack([jacobian.A, jacobian.B]), np.hstack([gradient.state0, gradient.ctrls.sum(axis=0)])[None]


class FromMjx(NamedTuple):
    """What MJX says: each step's Jacobian by forward mode, the gradient by reverse mode, and how its step compares.

    `gradients` are by where the solver of the first step starts.
    `step_difference` is the largest difference of the next velocity to MuJoCo's, relative to the largest of the
    step's changes; `own_error` the error of the first Jacobian against differences of MJX's own step.
    """

    jacobians: list[Floats]
    gradients: dict[str, Floats]
    step_difference: float
    own_error: float | None


def by_mjx(side: Side, case: Case, functional: Floats) -> FromMjx:
    m, (_, states, warmstarts) = case.model, path(case)
    ctrl, lists = case.ctrl.tolist(), [[state.qpos.tolist(), state.qvel.tolist()] for state in states]
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "model.mjb")
        mujoco.mj_saveModel(m, file, None)
        side.ask("load", path=file)
    found = side.ask("jacobians", states=lists, ctrl=ctrl)
    begin, cotangent = {"MuJoCo's warm start": warmstarts[0], "zeros": np.zeros(m.nv)}, functional[0].tolist()
    gradients = {
        key: np.array(side.ask("gradient", start=[*lists[0], x.tolist()], ctrl=ctrl, steps=STEPS, cotangent=cotangent))[
            None
        ]
        for key, x in begin.items()
    }
    jacobians = [np.array(jacobian) for jacobian, _ in found]
    before, after = states[0].qvel, states[1].qvel
    difference = np.max(np.abs(np.array(found[0][1]) - after)) / np.max(np.abs(after - before))
    own = None
    if np.isfinite(jacobians[0]).all():
        differences = (np.array(side.ask("differences", state=lists[0], ctrl=ctrl, eps=eps)) for eps in (1e-4, 1e-5))
        own = min(relative(jacobians[0] - x, x, m.nv) for x in differences)
    return FromMjx(jacobians, gradients, float(difference), own)


def measured(name: str, case: Case, functional: Floats, mjx: "Future[FromMjx] | None") -> list[Row]:
    nv = case.model.nv
    references = (reference(case, 1, np.eye(2 * nv)), reference(case, STEPS, functional))
    rows: list[Row] = [
        {"case": name, "quantity": quantity, "uncertainty": known.uncertainty, "differences": {}}
        for quantity, known in zip(("Jacobian of a step", f"gradient of {STEPS} steps"), references, strict=True)
    ]

    def store(key: str, jacobian: Floats | None, gradient: Floats) -> None:
        for row, known, found in zip(rows, references, (jacobian, gradient), strict=True):
            if found is not None:
                row[key] = known.error(found, nv)

    store("ours", *by_ours(case, functional))
    for way in WAYS:
        tolerance = TIGHT if "tight" in way else None
        found = [by_differences(case, eps, "centred" in way, tolerance) for eps in EPSILONS]
        rows[0]["differences"][way] = [references[0].error(jacobians[0], nv) for jacobians in found]
        rows[1]["differences"][way] = [references[1].error(chained(jacobians, functional), nv) for jacobians in found]
    if mjx is not None:
        answer = mjx.result()
        store("MJX, forward", answer.jacobians[0], chained(answer.jacobians, functional))
        errors = {key: references[1].error(gradient, nv) for key, gradient in answer.gradients.items()}
        best = min((error for error in errors.values() if error is not None), default=None)
        rows[1] |= {"MJX, reverse": best, "MJX, reverse from": errors}
        rows[0] |= {"MJX, step": answer.step_difference, "MJX, own": answer.own_error}
    return rows


def measure(quick: bool) -> list[Row]:
    names = list(CASES)[:1] if quick else list(CASES)
    cases = {name: CASES[name]() for name in names}
    functionals = {name: np.random.default_rng(0).normal(size=(1, 2 * case.model.nv)) for name, case in cases.items()}
    rows: list[Row] = []
    # MJX compiles for minutes, in a process of its own: the rest goes on beside it.
    with ThreadPoolExecutor(1) as beside, Side("mjx_gradients") as side:
        waiting: dict[str, Future[FromMjx]] = {}
        if side.missing is None and not quick:
            waiting = {
                name: beside.submit(by_mjx, side, case, functionals[name]) for name, case in cases.items() if case.mjx
            }
        for name in sorted(names, key=lambda name: name in waiting):
            rows += measured(name, cases[name], functionals[name], waiting.get(name))
            print(rows[-2:], flush=True)
    return sorted(rows, key=lambda row: names.index(row["case"]))


def shown(error: float | None, uncertainty: float) -> str:
    if error is None:
        return "not finite"
    return f"< {uncertainty:.0e}" if error < uncertainty else f"{error:.0e}"


def _best(row: Row, way: str) -> str:
    errors = [(error, eps) for error, eps in zip(row["differences"][way], EPSILONS, strict=True) if error is not None]
    if not errors:
        return "not finite"
    error, eps = min(errors)
    return f"{shown(error, row['uncertainty'])} ({eps:.0e})"


def table(rows: list[Row]) -> str:
    usual = EPSILONS.index(1e-6)
    lines = [
        "| | reference | ours | MuJoCo, forward, 1e-6 | forward, best | centred, best | "
        "centred, best, tolerance 1e-15 | MJX, forward mode | MJX, reverse mode |",
        "|---" * 9 + "|",
    ]
    for row in rows:
        known = row["uncertainty"]
        cells = [
            f"{row['case']}: {row['quantity']}",
            f"± {known:.0e}",
            shown(row["ours"], known),
            shown(row["differences"]["forward"][usual], known),
            *(_best(row, way) for way in ("forward", "centred", "tight centred")),
            *(shown(row[key], known) if key in row else "" for key in ("MJX, forward", "MJX, reverse")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """The gradients through several steps alone."""
    return table([row for row in rows if row["quantity"].startswith("gradient")])


def notes(rows: list[Row]) -> str:
    parts = [
        "Errors are relative, by Frobenius' norm, of the block (by position, velocity or control, of the next position "
        "or velocity) where they are largest. One below the reference's uncertainty is shown as `<`. In brackets the "
        f"eps that was best of {len(EPSILONS)}, which nobody knows beforehand. Ours and MuJoCo have the models' own "
        "settings, the solver's tolerance of 1e-8 among them, but for the column that names another.",
        "The reference of the chain is its equations of motion in extended precision, differentiated by the complex "
        "step. Elsewhere it is Ridders' extrapolation of central differences of `mj_step` with tolerance 1e-15; its "
        "uncertainty is the larger of the extrapolation's own estimate and of the difference to the same extrapolation "
        "of our step.",
        f"The gradient is that of a random linear functional of the state after {STEPS} steps; MuJoCo's differences, "
        "and MJX's forward mode, are multiplied along MuJoCo's rollout.",
    ]
    compared = [row for row in rows if "MJX, step" in row]
    return "\n\n".join([*parts, *(_about_mjx(rows, compared) if compared else [])])


# Errors beyond these are explained: of MJX's step, and of its gradients.
SAME_STEP, RIGHT = 1e-6, 1e-3


def _about_mjx(rows: list[Row], compared: list[Row]) -> list[str]:
    names = [row["case"] for row in compared]
    finite = [row for row in compared if row["MJX, own"] is not None]
    reverse = {row["case"]: row["MJX, reverse"] for row in rows if "MJX, reverse" in row}
    parts = [
        f"MJX computes in double precision. It compiles for long, and is asked for {len(compared)} of the "
        f"{len({row['case'] for row in rows})} models only. Its forward mode goes through as many iterations as the "
        "model asks for, from zeros; MuJoCo's own warm starts could end its solver before the first iteration, and "
        "with it the derivative. Its reverse mode cannot pass the solver's loop and has the one iteration that it "
        "allows. Each step of its path warm-starts the next. The first starts from MuJoCo's warm start and, in a "
        "second try, from zeros; the better of the two is shown.",
        "Its step is not always MuJoCo's: of the largest change of a velocity the two differ by "
        + ", ".join(f"{row['MJX, step']:.0e} ({row['case']})" for row in compared)
        + ". With central differences of its own step its Jacobians agree to "
        + ", ".join(f"{row['MJX, own']:.0e} ({row['case']})" for row in finite)
        + ", as far as differences can tell.",
    ]
    other = [row["case"] for row in finite if row["MJX, step"] > SAME_STEP and (row["MJX, forward"] or 0.0) > RIGHT]
    if other:
        parts.append(
            f"Where the step differs so much ({', '.join(other)}), the error of its forward mode is that of another "
            "step: it turns the friction pyramids of the Ant's capsules otherwise."
        )
    undefined = [row["case"] for row in compared if row["MJX, forward"] is None]
    if undefined:
        same = [name for name in undefined if compared[names.index(name)]["MJX, step"] < SAME_STEP]
        parts.append(
            f"Its derivatives are not finite for {', '.join(undefined)}"
            + (f"; its step agrees with MuJoCo's there ({', '.join(same)})" if same else "")
            + ". We have not looked for the cause."
        )
    right = [name for name, error in reverse.items() if error is not None and error < RIGHT]
    wrong = [name for name, error in reverse.items() if error is not None and error >= RIGHT]
    if right:
        parts.append(f"One iteration a step gives reverse mode an error below {RIGHT:.0e} for {', '.join(right)}.")
    if wrong:
        parts.append(
            f"It is larger for {', '.join(wrong)}, where that one iteration is differentiated and not the solution. In "
            "how many of the steps it does not converge is not measured."
        )
    starts = [
        f"{row['case']}: "
        + ", ".join(f"{shown(error, row['uncertainty'])} from {key}" for key, error in row["MJX, reverse from"].items())
        for row in rows
        if "MJX, reverse from" in row and len(set(row["MJX, reverse from"].values())) > 1
    ]
    if starts:
        parts.append(f"Errors of reverse mode by the first start of its solver: {'; '.join(starts)}.")
    return parts


def plot(rows: list[Row], path: Path) -> None:
    """Error against eps; ours, and MJX's, as lines; the reference's uncertainty as a band."""
    import matplotlib.pyplot as plt

    columns = 4
    names = list(dict.fromkeys(row["case"] for row in rows))
    figure, axes = plt.subplots(2 * -(-len(names) // columns), columns, figsize=(15, 14), squeeze=False, sharex=True)
    for i, row in enumerate(rows):
        case, second = names.index(row["case"]), i % 2
        axis = axes[2 * (case // columns) + second][case % columns]
        for way, label in WAYS.items():
            errors = [np.nan if error is None else error for error in row["differences"][way]]
            color, style = ("C0" if "forward" in way else "C1"), ("--" if "tight" in way else "-")
            axis.loglog(EPSILONS, errors, style, color=color, marker=".", label=f"MuJoCo, {label}")
        lines = {"ours": ("C3", "-"), "MJX, forward": ("C2", "-"), "MJX, reverse": ("C2", ":")}
        for key, (color, style) in lines.items():
            if row.get(key) is not None:
                axis.axhline(row[key], color=color, ls=style, label=f"{key} mode" if "MJX" in key else key)
        axis.axhspan(1e-19, row["uncertainty"], color="0.9", label="uncertainty of the reference")
        axis.set_ylim(1e-17, 1e6)
        axis.set_title(f"{row['case']}\n{row['quantity']}", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("eps")
    for axis in axes[:, 0]:
        axis.set_ylabel("relative error")
    handles = {
        label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=4)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=90)
    plt.close(figure)


MEASUREMENT = Measurement(
    name="gradient_accuracy",
    title="Accuracy of gradients",
    shows="how far the gradients of ours, of MuJoCo's finite differences and of MJX are from the true ones.",
    leaves_out="what they cost (see the Jacobians of one step), or whether true gradients lead an optimiser anywhere.",
    measure=measure,
    table=table,
    summary=summary,
    notes=notes,
    plot=plot,
    rivals=("mujoco-mjx", "jax"),
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())

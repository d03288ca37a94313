"""The time of one step's Jacobians, by state and by control, of ours and of those who also give them.

    python benchmarks/one_step_jacobian.py
    NIMBLE_PYTHON=.../bin/python python benchmarks/one_step_jacobian.py    # nimblephysics needs numpy 1

The same states for all, one thread, blocks of measurement in turn, medians of processor time.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import contact_speed
import mujoco
import numpy as np
from measurement import Measurement, Row, cell
from mechanisms import Floats, chain, describe
from sides import Side

from gradgym import sim

BATCH = 64
EPSILON = 1e-6
BLOCK_SECONDS = 0.03
# Pinocchio and nimble must accelerate as MuJoCo does: to rounding, which 20 links amplify.
AGREEMENT = 1e-10


class States(NamedTuple):
    model: mujoco.MjModel
    states: list[sim.State]
    ctrls: list[Floats]
    described: bool = True  # to the engines that know the tree and its contacts only


def chain_states(n: int) -> States:
    m, rng = chain(n), np.random.default_rng(0)
    states = [
        sim.State(rng.normal(scale=0.5, size=n), rng.normal(scale=0.5, size=n), np.empty(0))
        for _ in range(contact_speed.STATES)
    ]
    return States(m, states, [rng.normal(scale=0.1, size=n) for _ in states])


def resting(case: contact_speed.Case, described: bool = True) -> States:
    at = contact_speed.starts(case)
    return States(case.model, at.states, at.ctrls, described)


def ant_in_the_air() -> States:
    """Two metres up, its ankles bent as in Gymnasium's first state, where no joint is at a limit."""
    m, rng = contact_speed.ant(mujoco.mjtIntegrator.mjINT_EULER).model, np.random.default_rng(0)
    qpos = np.array([0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0, 1.0])
    states = [
        sim.State(qpos.copy(), rng.normal(scale=0.5, size=m.nv), np.empty(0)) for _ in range(contact_speed.STATES)
    ]
    return States(m, states, [rng.normal(scale=0.1, size=m.nu) for _ in states])


CASES: dict[str, Callable[[], States]] = {
    "chain of 1": lambda: chain_states(1),
    "chain of 7": lambda: chain_states(7),
    "chain of 20": lambda: chain_states(20),
    "Ant in the air": ant_in_the_air,
    "Ant standing": lambda: resting(contact_speed.ant(mujoco.mjtIntegrator.mjINT_EULER)),
    "Laikago standing": lambda: resting(contact_speed.laikago(mujoco.mjtCone.mjCONE_PYRAMIDAL)),
    "Shadow hand, block": lambda: resting(contact_speed.hand(), described=False),
}

Block = Callable[[int], float]  # repeats -> microseconds of one Jacobian


def _timed(count: int, run: Callable[[int], Any]) -> Block:
    def block(repeats: int) -> float:
        begin = time.thread_time()
        for i in range(count):
            for _ in range(repeats):
                run(i)
        return 1e6 * (time.thread_time() - begin) / (count * repeats)

    return block


def our_blocks(at: States, model: sim.Model) -> dict[str, Block]:
    count, nx = len(at.states), 2 * model.nv + model.na
    columns = *zip(*(state[:3] for state in at.states), strict=True), at.ctrls
    many = [np.resize(np.stack(x), (BATCH, x[0].size)) for x in columns]
    batch = sim.State(*many[:3])
    cotangent = np.random.default_rng(1).normal(size=nx)
    whole = _timed(1, lambda _: sim.step_jacobian(model, batch, many[3]))
    return {
        "ours": _timed(count, lambda i: sim.step_jacobian(model, at.states[i], at.ctrls[i])),
        "ours, batch": lambda repeats: whole(repeats) / BATCH,
        "ours, VJP": _timed(count, lambda i: sim.step_vjp(model, at.states[i], at.ctrls[i], cotangent)),
    }


def difference_jacobian(m: mujoco.MjModel, eps: float, centred: bool) -> Callable[[sim.State, Floats], Any]:
    """`mjd_transitionFD` at a state. All its steps start the solver from `qacc_warmstart`: here a step made before."""
    d, nx = mujoco.MjData(m), 2 * m.nv + m.na
    a, b = np.empty((nx, nx)), np.empty((nx, m.nu))

    def jacobian(state: sim.State, ctrl: Floats) -> tuple[Floats, Floats]:
        contact_speed.load(d, state, ctrl)
        mujoco.mj_step(m, d)
        contact_speed.load(d, state, ctrl, warmstart=d.qacc_warmstart)
        mujoco.mjd_transitionFD(m, d, eps, centred, a, b, None, None)
        return a, b

    return jacobian


def mujoco_blocks(at: States) -> dict[str, Block]:
    found = {}
    for name, centred in (("MuJoCo, forward", False), ("MuJoCo, centred", True)):
        run = difference_jacobian(at.model, EPSILON, centred)
        found[name] = _timed(len(at.states), lambda i, run=run: run(at.states[i], at.ctrls[i]))
    return found


def pinocchio_blocks(name: str, at: States, side: Side) -> dict[str, Block]:
    """Its kernels, after a check that it moves the same mechanism."""
    described = describe(at.model, at.states, at.ctrls)
    deviation = side.ask("load", name=name, case=described)
    if not deviation < AGREEMENT:
        raise ValueError(f"{name}: accelerations of Pinocchio and MuJoCo differ by {deviation:.1e}")
    kernels = {"Pinocchio, dynamics": "dynamics", "Pinocchio, step": "step"}
    if described["contacts"]:
        kernels["Pinocchio, contacts"] = "constraints"
    return {
        key: lambda repeats, kernel=kernel: side.ask("block", name=name, kernel=kernel, repeats=repeats)
        for key, kernel in kernels.items()
    }


def nimble_blocks(name: str, at: States, side: Side) -> dict[str, Block]:
    """Steps with Jacobians, after the same check where it can be made: it damps explicitly, and knows no armature."""
    explicit = at.model.__copy__()
    explicit.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)
    described = describe(explicit, at.states, at.ctrls)
    found = side.ask("load", name=name, case=described)
    if not found["finite"]:
        raise ValueError(f"{name}: nimble's Jacobians are not finite")
    if found["contacts"] != len(described["contacts"]):
        raise ValueError(f"{name}: nimble has {found['contacts']} contacts, MuJoCo {len(described['contacts'])}")
    hinges_alone = at.model.nq == at.model.nv and not at.model.dof_armature.any()
    if hinges_alone and not found["deviation"] < AGREEMENT:
        raise ValueError(f"{name}: velocities of nimble and MuJoCo differ by {found['deviation']:.1e}")
    return {"nimble": lambda repeats: side.ask("block", name=name, repeats=repeats)}


def measured(name: str, sides: dict[str, Side], blocks: int) -> Row:
    at = CASES[name]()
    model = sim.Model.from_mujoco(at.model)
    sim.set_num_threads(1)
    found = {**our_blocks(at, model), **mujoco_blocks(at)}
    for rival, make in (("pin", pinocchio_blocks), ("nimble", nimble_blocks)):
        if at.described and sides[rival].missing is None:
            found |= make(name, at, sides[rival])
    repeats = {}
    for key, block in found.items():
        block(1)  # compiles
        repeats[key] = 1 + int(BLOCK_SECONDS * 1e6 / (block(2) * len(at.states)))
    times: dict[str, list[float]] = {key: [] for key in found}
    for _ in range(blocks):
        for key, block in found.items():
            times[key].append(block(repeats[key]))
    return {
        "case": name,
        "nimblephysics": None if sides["nimble"].missing is not None else sides["nimble"].ask("version"),
        "nv": model.nv,
        "contacts": len(sim.forward(model, at.states[0], at.ctrls[0]).contact.dist),
        "microseconds": {key: round(statistics.median(values), 2) for key, values in times.items()},
    }


def measure(quick: bool) -> list[Row]:
    names, blocks = (["chain of 7"], 2) if quick else (list(CASES), 15)
    rows = []
    with Side("pin") as pin, Side("nimble") as nimble:
        for side in (pin, nimble):
            if side.missing is not None:
                print(f"{side.name} is left out: {side.missing}", flush=True)
        for name in names:
            rows.append(measured(name, {"pin": pin, "nimble": nimble}, blocks))
            print(rows[-1], flush=True)
    return rows


COLUMNS = {
    "ours": "ours",
    "ours, batch": f"ours, in a batch of {BATCH}",
    "ours, VJP": "ours, one cotangent",
    "MuJoCo, forward": "MuJoCo, forward differences",
    "MuJoCo, centred": "MuJoCo, centred",
    "nimble": "nimblephysics",
    "Pinocchio, step": "Pinocchio without contact, put together in numpy",
    "Pinocchio, dynamics": "Pinocchio, kernel without contact",
    "Pinocchio, contacts": "Pinocchio, kernel with contacts given",
}


def table(rows: list[Row]) -> str:
    lines = [
        f"| [µs] | contacts | {' | '.join(COLUMNS.values())} | MuJoCo, forward / ours |",
        "|---" * (len(COLUMNS) + 3) + "|",
    ]
    for row in rows:
        found = row["microseconds"]
        cells = " | ".join(cell(found.get(key), ".0f" if found.get(key, 0.0) >= 100.0 else ".3g") for key in COLUMNS)
        ratio = found["MuJoCo, forward"] / found["ours"]
        lines.append(f"| {row['case']}, nv {row['nv']} | {row['contacts']} | {cells} | {ratio:.1f} |")
    return "\n".join(lines)


WHOLE_STEPS = ("MuJoCo, forward", "MuJoCo, centred", "nimble")


def notes(rows: list[Row]) -> str:
    parts = [
        "A step is MuJoCo's Euler step at the models' own settings. Ours, nimblephysics and MuJoCo make the whole step "
        "with collision and solver, and give A and B. MuJoCo's differences have an eps of 1e-6 and are not exact; "
        "their solver starts from the solution of a step that is made first, and timed with them. "
        "One cotangent is a gradient of a scalar by state and control (`step_vjp`).",
        "Pinocchio's columns are kernels, not steps: the derivatives of the acceleration (`computeABADerivatives`), "
        "the same put together to A and B of an Euler step in its own coordinates, and "
        "`constraintDynamics` with `computeConstraintDynamicsDerivatives` for the points that touch. These points are "
        "given to it, and held both ways: it finds no contact, and knows no friction and no inequality here. They do "
        "less than a step: no collision, solver, actuator or integration. "
        "Before timing, its accelerations without contact must equal MuJoCo's (the same numbers make its model).",
        "nimblephysics gets the same links, states and places of contact, the latter as spheres on a floor, rigid "
        "there; before timing it must find as many contacts as MuJoCo. It knows no armature, so its Ant is lighter in "
        "the joints. The Shadow hand goes to MuJoCo only.",
        *_where_others_win(rows),
    ]
    versions = {row["nimblephysics"] for row in rows} - {None}
    if versions:
        parts.append(f"nimblephysics {', '.join(sorted(versions))}, in an interpreter of its own.")
    return "\n\n".join(parts)


def _where_others_win(rows: list[Row]) -> list[str]:
    parts, found = [], {row["case"]: row["microseconds"] for row in rows}
    slower = {
        case: [COLUMNS[key] for key in WHOLE_STEPS if times.get(key, np.inf) < times["ours"]]
        for case, times in found.items()
    }
    lost = [
        f"{case}: {', '.join(names)}; ours takes {found[case]['ours']:.3g} µs, "
        f"{found[case]['ours, batch']:.3g} of them in a batch"
        for case, names in slower.items()
        if names
    ]
    if lost:
        parts.append(
            f"Whole steps that are quicker than ours ({'. '.join(lost)}). What a batch saves is the call from Python."
        )
    costly = [case for case, times in found.items() if times["ours, VJP"] > times["ours"]]
    if costly:
        parts.append(
            f"One cotangent costs more than A and B together for {', '.join(costly)}: the call from Python costs more "
            "than the lanes that it saves."
        )
    kernels = [times["Pinocchio, dynamics"] for times in found.values() if "Pinocchio, dynamics" in times]
    if kernels:
        parts.append(
            "All are called from Python. For Pinocchio's kernels this costs less than the "
            f"{min(kernels):.1f} µs of the smallest of them."
        )
    quicker = {
        COLUMNS[key]: [case for case, times in found.items() if times.get(key, np.inf) < times["ours"]]
        for key in COLUMNS
        if key.startswith("Pinocchio")
    }
    if any(quicker.values()):
        faster = "; ".join(f"{name}: {', '.join(cases)}" for name, cases in quicker.items() if cases)
        parts.append(f"Pinocchio's columns that are below our step's: {faster}.")
    return parts


MEASUREMENT = Measurement(
    name="one_step_jacobian",
    title="Jacobians of one step",
    shows="what the exact Jacobians of a step by state and control cost, beside differences and other engines.",
    leaves_out="how exact each is (see the accuracy of gradients), many threads, or gradients through many steps.",
    measure=measure,
    table=table,
    notes=notes,
    rivals=("pin", "mujoco"),
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())

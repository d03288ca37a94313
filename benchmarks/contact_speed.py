"""Speed and memory of steps in contact, and of their derivatives, beside MuJoCo.

    python benchmarks/contact_speed.py              # measures, writes results/contact_speed.json
    python benchmarks/contact_speed.py --table      # prints the stored results as markdown
    python benchmarks/contact_speed.py --profile    # prints where a forward step spends its time

Both sides in one process and one thread, on the same states, in alternating blocks; medians of
processor time. A step is one of a rollout of `STEPS` under a constant control, from a robot that
stands (or a hand that holds its block) and is pushed a little; the Jacobian is one call.
"""

import argparse
import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import gymnasium_robotics
import mujoco
import numpy as np

from gradgym import sim
from gradgym.agents.training.provenance import machine, versions
from gradgym.envs import ASSETS

RESULTS = Path(__file__).parent / "results" / "contact_speed.json"
GYMNASIUM_ASSETS = Path(str(gymnasium.__file__)).parent / "envs/mujoco/assets"
HAND_ASSETS = Path(str(gymnasium_robotics.__file__)).parent / "envs/assets/hand"
STEPS = 50
STATES = 8
MEMORY_STEPS = 5000


class Case(NamedTuple):
    """A model in a resting state with contacts, and a control that keeps it there."""

    model: mujoco.MjModel
    state: mujoco.MjData
    jacobian_goal: float


def _compiled(path: Path, **options: Any) -> mujoco.MjModel:
    spec = mujoco.MjSpec.from_file(str(path))
    for name, value in options.items():
        setattr(spec.option, name, int(value))
    return spec.compile()


def _settle(m: mujoco.MjModel, seconds: float, control: Callable[[mujoco.MjData], Any], key: int = -1) -> mujoco.MjData:
    d = mujoco.MjData(m)
    if key >= 0:
        mujoco.mj_resetDataKeyframe(m, d, key)
    for _ in range(round(seconds / m.opt.timestep)):
        d.ctrl[:] = control(d)
        mujoco.mj_step(m, d)
    return d


def ant(integrator: mujoco.mjtIntegrator) -> Case:
    m = _compiled(GYMNASIUM_ASSETS / "ant.xml", integrator=integrator)
    return Case(m, _settle(m, 2.0, lambda d: np.zeros(m.nu)), 5.0)


def laikago(cone: mujoco.mjtCone) -> Case:
    m = _compiled(ASSETS / "laikago.xml", cone=cone)
    stand = m.key_qpos[0, 7:]

    def hold(d: mujoco.MjData) -> Any:
        return 200.0 * (stand - d.qpos[7:]) - 4.0 * d.qvel[6:]

    return Case(m, _settle(m, 2.0, hold, key=0), 8.0)


def hand() -> Case:
    """The Shadow hand, its palm up, with the block lying in the half closed fingers."""
    m = _compiled(HAND_ASSETS / "manipulate_block.xml")
    curl = m.actuator_ctrlrange @ [0.6, 0.4]
    return Case(m, _settle(m, 1.0, lambda d: curl), 10.0)


CASES: dict[str, Callable[[], Case]] = {
    "Ant, Euler": lambda: ant(mujoco.mjtIntegrator.mjINT_EULER),
    "Ant, RK4": lambda: ant(mujoco.mjtIntegrator.mjINT_RK4),
    "Laikago, pyramidal": lambda: laikago(mujoco.mjtCone.mjCONE_PYRAMIDAL),
    "Laikago, elliptic": lambda: laikago(mujoco.mjtCone.mjCONE_ELLIPTIC),
    "Shadow hand, block": hand,
}


class Starts(NamedTuple):
    """States to measure from, with their controls."""

    states: list[sim.State]
    ctrls: list[np.ndarray]


def starts(case: Case, seed: int = 0) -> Starts:
    m, d, rng = case.model, case.state, np.random.default_rng(seed)
    states, ctrls = [], []
    for _ in range(STATES):
        states.append(sim.State(d.qpos.copy(), d.qvel + rng.normal(scale=1e-3, size=m.nv), d.act.copy()))
        ctrls.append(d.ctrl + rng.normal(scale=1e-2, size=m.nu))
    return Starts(states, ctrls)


def load(d: mujoco.MjData, state: sim.State, ctrl: np.ndarray, warmstart: float | np.ndarray = 0.0) -> None:
    d.qpos[:], d.qvel[:], d.act[:], d.ctrl[:] = *state[:3], ctrl
    d.qacc_warmstart[:] = warmstart


def _difference_jacobian(m: mujoco.MjModel, d: mujoco.MjData) -> None:
    """Forward differences of mj_step, column by column: what is left where mjd_transitionFD refuses."""
    spec = int(mujoco.mjtState.mjSTATE_PHYSICS)
    start, end, eps = np.empty(mujoco.mj_stateSize(m, spec)), np.empty(m.nq), 1e-6
    mujoco.mj_getState(m, d, start, spec)
    warmstart, ctrl = d.qacc_warmstart.copy(), d.ctrl.copy()
    jacobian, tangent = np.empty((2 * m.nv, 2 * m.nv + m.nu)), np.zeros(m.nv)
    mujoco.mj_step(m, d)
    qpos, qvel = d.qpos.copy(), d.qvel.copy()
    for i in range(2 * m.nv + m.nu):
        mujoco.mj_setState(m, d, start, spec)
        d.qacc_warmstart[:], d.ctrl[:] = warmstart, ctrl
        if i < m.nv:
            tangent[:] = 0.0
            tangent[i] = eps
            end[:] = d.qpos
            mujoco.mj_integratePos(m, end, tangent, 1.0)
            d.qpos[:] = end
        elif i < 2 * m.nv:
            d.qvel[i - m.nv] += eps
        else:
            d.ctrl[i - 2 * m.nv] += eps
        mujoco.mj_step(m, d)
        mujoco.mj_differentiatePos(m, tangent, eps, qpos, d.qpos)
        jacobian[: m.nv, i] = tangent
        jacobian[m.nv :, i] = (d.qvel - qvel) / eps
    mujoco.mj_setState(m, d, start, spec)


def measured_functions(case: Case, model: sim.Model, at: Starts) -> dict[str, tuple[Callable[[int], None], int]]:
    """By name: what runs on start i, and how many steps (or Jacobians) that makes."""
    m, d = case.model, mujoco.MjData(case.model)
    nx, rk4 = 2 * model.nv + model.na, int(m.opt.integrator) == int(mujoco.mjtIntegrator.mjINT_RK4)
    ctrls = [np.repeat(ctrl[None], STEPS, axis=0) for ctrl in at.ctrls]
    paths = [sim.rollout(model, s, c) for s, c in zip(at.states, ctrls, strict=True)]
    cotangents = np.random.default_rng(1).normal(size=(STEPS + 1, nx)) / STEPS
    a, b = np.zeros((nx, nx)), np.zeros((nx, model.nu))

    def mj_steps(i: int) -> None:
        load(d, at.states[i], at.ctrls[i])
        mujoco.mj_step(m, d, nstep=STEPS)

    def mj_jacobian(i: int) -> None:
        """All its steps start the solver from the solution of a step made before."""
        load(d, at.states[i], at.ctrls[i])
        mujoco.mj_step(m, d)
        load(d, at.states[i], at.ctrls[i], warmstart=d.qacc_warmstart)
        if rk4:
            _difference_jacobian(m, d)
        else:
            mujoco.mjd_transitionFD(m, d, 1e-6, False, a, b, None, None)

    return {
        "mj_step": (mj_steps, STEPS),
        "step": (lambda i: _ignore(sim.rollout(model, at.states[i], ctrls[i])), STEPS),
        "vjp": (lambda i: _ignore(sim.rollout_vjp(model, paths[i], cotangents)), STEPS),
        "mj_jacobian": (mj_jacobian, 1),
        "jacobian": (lambda i: _ignore(sim.step_jacobian(model, at.states[i], at.ctrls[i])), 1),
    }


def _ignore(value: Any) -> None:
    del value


def measure(name: str, blocks: int) -> dict[str, Any]:
    """Medians over alternating blocks [us], and the ratios that matter."""
    sim.set_num_threads(1)
    case = CASES[name]()
    model, at = sim.Model.from_mujoco(case.model), starts(case)
    functions = measured_functions(case, model, at)
    times: dict[str, list[float]] = {key: [] for key in functions}
    for block in range(-1, blocks):
        for key, (run, count) in functions.items():
            repeats = 1 if count > 1 else 5
            begin = time.thread_time()
            for i in range(STATES):
                for _ in range(repeats):
                    run(i)
            if block >= 0:
                times[key].append(1e6 * (time.thread_time() - begin) / (STATES * repeats * count))
    found = sim.forward(model, at.states[0], at.ctrls[0])

    def ratio(top: str, bottom: str) -> float:
        return round(statistics.median(x / y for x, y in zip(times[top], times[bottom], strict=True)), 3)

    return {
        "case": name,
        "nv": model.nv,
        "contacts": len(found.contact.dist),
        "active_forces": int(np.count_nonzero(found.efc_force)),
        "microseconds": {key: round(statistics.median(values), 2) for key, values in times.items()},
        "step / mj_step": ratio("step", "mj_step"),
        "vjp / step": ratio("vjp", "step"),
        "differences / jacobian": ratio("mj_jacobian", "jacobian"),
        "goal of differences / jacobian": case.jacobian_goal,
    }


def peak_memory() -> float:
    """Peak of everything that a rollout of Laikago and its gradient allocate, inputs and workspaces included [MB]."""
    case = CASES["Laikago, pyramidal"]()
    at = starts(case)

    def forward_and_back(model: sim.Model, steps: int) -> None:
        ctrls = np.repeat(at.ctrls[0][None], steps, axis=0)
        cotangents = np.zeros((steps + 1, 2 * model.nv))
        cotangents[-1, : model.nv] = 1.0
        sim.rollout_vjp(model, sim.rollout(model, at.states[0], ctrls), cotangents)

    forward_and_back(sim.Model.from_mujoco(case.model), 2)  # compiles
    model = sim.Model.from_mujoco(case.model)
    tracemalloc.start()
    forward_and_back(model, MEMORY_STEPS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 2**20, 2)


def table(content: dict[str, Any]) -> str:
    lines = [
        "| | contacts | step [µs] | step / mj_step | VJP / step | Jacobian [µs] | differences / Jacobian (goal) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        lines.append(
            f"| {row['case']} | {row['contacts']} | {row['microseconds']['step']:.1f} | {row['step / mj_step']:.2f} | "
            f"{row['vjp / step']:.2f} | {row['microseconds']['jacobian']:.0f} | "
            f"{row['differences / jacobian']:.1f} ({row['goal of differences / jacobian']:.0f}) |"
        )
    memory = content["peak_memory_mb"]
    lines += [
        "",
        f"{MEMORY_STEPS} steps of Laikago, forward and back: at most {memory} MB at once, inputs included (goal 5).",
    ]
    return "\n".join(lines)


def profile(name: str) -> None:
    """Time of the stages of a forward step, one kernel after the other [us]."""
    from gradgym.sim.collision.contacts import collide
    from gradgym.sim.constraint.rows import make_constraints
    from gradgym.sim.dynamics.crba import crb, factor_m, solve_m
    from gradgym.sim.dynamics.kinematics import geom_site_poses
    from gradgym.sim.model.data import Data
    from gradgym.sim.pipeline.step import forward_smooth
    from gradgym.sim.solver.islands import enter_islands
    from gradgym.sim.solver.newton import solve_newton

    case = CASES[name]()
    model, at = sim.Model.from_mujoco(case.model), starts(case)
    d = Data.for_model(model)
    d.qpos[:], d.qvel[:], d.act[:], d.ctrl[:] = *at.states[0], at.ctrls[0]
    stages: dict[str, Callable[[], Any]] = {
        "smooth forces": lambda: forward_smooth(model, d),
        "geom poses": lambda: geom_site_poses(model, d),
        "collision": lambda: collide(model, d),
        "inertia matrix": lambda: crb(model, d),
        "its factor": lambda: factor_m(model, d, 0.0),
        "smooth acceleration": lambda: solve_m(model, d, d.qacc),
        "constraint rows": lambda: make_constraints(model, d),
        "islands": lambda: enter_islands(model, d),
        "Newton, from rest": lambda: solve_newton(model, d),
    }
    for label, run in stages.items():
        run()
        if label == "smooth acceleration":
            d.qacc_smooth[:] = d.qacc
        begin = time.thread_time()
        for _ in range(300):
            run()
        print(f"{label:24s} {1e6 * (time.thread_time() - begin) / 300:8.2f}")
    d.solver_niter[0] = 0
    stages["Newton, from rest"]()
    print(f"{d.nefc[0]} rows, {d.ncon[0]} contacts, {d.solver_niter[0]} iterations")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two blocks of the first case")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the stored results as markdown")
    parser.add_argument("--profile", action="store_true", help="time the stages of a forward step")
    arguments = parser.parse_args(argv)
    if arguments.table:
        print(table(json.loads(arguments.results.read_text())))
        return 0
    if arguments.profile:
        for name in arguments.cases:
            print(name)
            profile(name)
        return 0
    names = arguments.cases[:1] if arguments.quick else arguments.cases
    rows = []
    for name in names:
        rows.append(measure(name, 2 if arguments.quick else 25))
        print(json.dumps(rows[-1]), flush=True)
    content = {
        "command": "python benchmarks/contact_speed.py",
        "versions": versions(),
        "machine": machine(),
        "rows": rows,
        "peak_memory_mb": peak_memory(),
    }
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

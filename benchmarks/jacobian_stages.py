"""Where the time of one step's Jacobians goes, or that of one cotangent: the stages of the adjoint.

    python benchmarks/jacobian_stages.py    # prints microseconds, of Euler steps in contact
    python benchmarks/jacobian_stages.py --cases "Ant, Euler" --one-cotangent

Each stage is called again and again in the state that the stages before it left; the least of many medians,
less what an empty kernel takes.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import contact_speed

from gradgym import sim
from gradgym.sim.constraint.rows_adj import begin_rows_adj, end_rows_adj, rows_adj
from gradgym.sim.dynamics.actuation import actuation_adj
from gradgym.sim.dynamics.crba import solve_ltdl_lanes
from gradgym.sim.dynamics.damping_adj import implicit_damping_adj
from gradgym.sim.dynamics.passive import passive_adj
from gradgym.sim.dynamics.rnea import rne, rne_adj
from gradgym.sim.kernels.binding import specialise
from gradgym.sim.kernels.jit import kernel
from gradgym.sim.kernels.spatial import lanes_set
from gradgym.sim.kernels.vector import round_up
from gradgym.sim.model.data import Data, Lanes
from gradgym.sim.model.model import Model
from gradgym.sim.pipeline.parts import jacobian_parts_of, parts_of
from gradgym.sim.pipeline.step import advance_adj, euler_acceleration, multiplier

CASES = ("Ant, Euler", "Laikago, pyramidal", "Laikago, elliptic", "Shadow hand, block")
CALLS, BLOCKS = 200, 30


@kernel
def _nothing(m: Model, d: Data, w: Lanes) -> None:
    """What a call costs."""


@kernel
def _forward(m: Model, d: Data, w: Lanes) -> None:
    for v in range(m.nv):
        d.qacc_warmstart[v] = 0.0
    euler_acceleration(m, d)


@kernel
def _cotangents(m: Model, d: Data, w: Lanes) -> None:
    w.qpos_adj[:] = 0.0
    w.qvel_adj[:] = 0.0
    w.ctrl_adj[:] = 0.0
    for v in range(min(m.nv, w.nlane)):
        w.qvel_adj[v, v] = 1.0


@kernel
def _integration(m: Model, d: Data, w: Lanes) -> None:
    advance_adj(m, d, w)


@kernel
def _smooth_multiplier(m: Model, d: Data, w: Lanes) -> None:
    lanes_set(w.qfrc_adj, w.qacc_adj)
    solve_ltdl_lanes(m, d.qLD, w.qfrc_adj)


@kernel
def _implicit_damping(m: Model, d: Data, w: Lanes) -> None:
    implicit_damping_adj(m, d, w, m.timestep)


@kernel
def _multiplier(m: Model, d: Data, w: Lanes) -> None:
    multiplier(m, d, w)


@kernel
def _accelerations(m: Model, d: Data, w: Lanes) -> None:
    rne(m, d)


@kernel
def _inverse_dynamics(m: Model, d: Data, w: Lanes) -> None:
    rne_adj(m, d, w)


@kernel
def _forces(m: Model, d: Data, w: Lanes) -> None:
    passive_adj(m, d, w)
    actuation_adj(m, d, w, 0.0)


@kernel
def _rows_begin(m: Model, d: Data, w: Lanes) -> None:
    begin_rows_adj(m, d, w)


@kernel
def _rows(m: Model, d: Data, w: Lanes) -> None:
    rows_adj(m, d, w)


@kernel
def _rows_end(m: Model, d: Data, w: Lanes) -> None:
    end_rows_adj(m, d, w)


STAGES: dict[str, Any] = {
    "forward, from rest": _forward,
    "cotangents": _cotangents,
    "integration": _integration,
    "multiplier of (M + hD)": _smooth_multiplier,
    "implicit damping": _implicit_damping,
    "multiplier of H": _multiplier,
    "accelerations": _accelerations,
    "inverse dynamics": _inverse_dynamics,
    "passive and actuators": _forces,
    "rows: products, sums to 0": _rows_begin,
    "rows: limits, contacts": _rows,
    "rows: up the trees": _rows_end,
}


def _least(run: Callable[[], Any]) -> float:
    """Microseconds of a call."""
    times = []
    for _ in range(BLOCKS):
        begin = time.thread_time_ns()
        for _ in range(CALLS):
            run()
        times.append((time.thread_time_ns() - begin) / (1e3 * CALLS))
    return min(statistics.median(times[i::5]) for i in range(5))


def stages(name: str, one_cotangent: bool) -> dict[str, float]:
    """Microseconds by stage."""
    case = contact_speed.CASES[name]()
    model, at = sim.Model.from_mujoco(case.model), contact_speed.starts(case)
    parts = parts_of(model) if one_cotangent else jacobian_parts_of(model)
    lanes = 1 if one_cotangent else round_up(model.nv + model.na)
    d, w = Data.for_model(model), Lanes.for_model(model, lanes)
    d.qpos[:], d.qvel[:], d.act[:], d.ctrl[:] = *at.states[0][:3], at.ctrls[0]
    empty, found = 0.0, {}
    for label, stage in {"": _nothing, **STAGES}.items():
        bound: Any = specialise(stage, parts)
        bound(model, d, w)
        (compiled,) = bound.overloads.values()
        found[label] = _least(lambda call=compiled.entry_point: call(model, d, w)) - empty
        empty = empty or found.pop("")
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--one-cotangent", action="store_true", help="the stages of a vector-Jacobian product")
    arguments = parser.parse_args(argv)
    for name in arguments.cases:
        found = stages(name, arguments.one_cotangent)
        print(name)
        for label, value in {**found, "sum": sum(found.values())}.items():
            print(f"  {label:26s} {value:7.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

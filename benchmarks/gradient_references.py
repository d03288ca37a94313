"""References for gradients: a mechanism in a state, and how the state after some steps answers to it and the control.

Where a chain swings, from extended precision; elsewhere extrapolated differences of the steps of two engines,
which must agree.
"""

from collections.abc import Callable
from typing import NamedTuple

import mujoco
import numpy as np
from extended_precision import Derivative, chain_derivative
from extrapolation import Floats, extrapolated

from gradgym import sim

TIGHT = 1e-15  # a solver's tolerance


class Case(NamedTuple):
    model: mujoco.MjModel
    state: sim.State
    ctrl: Floats
    mjx: bool = False
    chain: bool = False


Move = Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]  # qpos, qvel, ctrl -> the last qpos, qvel; batches


def moved_by_mujoco(m: mujoco.MjModel, steps: int) -> Move:
    d = mujoco.MjData(m)

    def move(qpos: Floats, qvel: Floats, ctrl: Floats) -> tuple[Floats, Floats]:
        qpos, qvel = qpos.copy(), qvel.copy()
        for q, v, u in zip(qpos, qvel, ctrl, strict=True):
            d.qpos[:], d.qvel[:], d.ctrl[:], d.qacc_warmstart[:] = q, v, u, 0.0
            mujoco.mj_step(m, d, nstep=steps)
            q[:], v[:] = d.qpos, d.qvel
        return qpos, qvel

    return move


def moved_by_ours(m: mujoco.MjModel, steps: int) -> Move:
    model = sim.Model.from_mujoco(m)

    def move(qpos: Floats, qvel: Floats, ctrl: Floats) -> tuple[Floats, Floats]:
        state = sim.State(qpos, qvel, np.empty((len(qpos), 0)))
        path = sim.rollout(model, state, np.repeat(ctrl[:, None], steps, axis=1))
        return path.qpos[:, -1], path.qvel[:, -1]

    return move


def displacement(case: Case, move: Move) -> Callable[[Floats], Floats]:
    """Displacements of the first state and the control (batch, nx + nu) to those of the last state (batch, nx)."""
    m, nv = case.model, case.model.nv
    qpos, qvel = (x[0] for x in move(case.state.qpos[None], case.state.qvel[None], case.ctrl[None]))

    def function(moves: Floats) -> Floats:
        starts = np.repeat(case.state.qpos[None], len(moves), axis=0)
        for start, by in zip(starts, np.ascontiguousarray(moves[:, :nv]), strict=True):
            mujoco.mj_integratePos(m, start, by, 1.0)
        last_qpos, last_qvel = move(starts, case.state.qvel + moves[:, nv : 2 * nv], case.ctrl + moves[:, 2 * nv :])
        shifts = np.empty((len(moves), nv))
        for shift, last in zip(shifts, last_qpos, strict=True):
            mujoco.mj_differentiatePos(m, shift, 1.0, qpos, last)
        return np.hstack([shifts, last_qvel - qvel])

    return function


def blocks(matrix: Floats, nv: int) -> list[Floats]:
    """By position, velocity and control; of a Jacobian, for the next position and velocity each."""
    rows = [matrix] if len(matrix) == 1 else [matrix[:nv], matrix[nv:]]
    return [block for row in rows for block in np.split(row, [nv, 2 * nv], axis=1) if block.size]


def relative(deviation: Floats, value: Floats, nv: int) -> float:
    """The largest of the blocks' relative errors, by Frobenius' norm; NaN or infinite if any is."""
    pairs = zip(blocks(deviation, nv), blocks(value, nv), strict=True)
    return float(np.max([np.linalg.norm(d) / np.linalg.norm(v) for d, v in pairs if np.any(v)]))


class Reference(NamedTuple):
    value: Floats
    uncertainty: float

    def error(self, found: Floats, nv: int) -> float | None:
        """None stands for what is not finite, which JSON has no number for."""
        error = relative(found - self.value, self.value, nv)
        return error if np.isfinite(error) else None


def reference(case: Case, steps: int, functional: Floats) -> Reference:
    """Of `functional` (rows, nx) times the displacement of the last state.

    The engines are MuJoCo, whose derivative it is, and ours; the uncertainty is the larger of the estimate and the
    difference of the two.
    """
    nv = case.model.nv
    if case.chain:
        exact = chain_derivative(case.model, case.state.qpos, case.state.qvel, case.ctrl, steps)
        own = Derivative(functional @ exact.value, np.abs(functional) @ exact.uncertainty)
        return Reference(own.value, relative(own.uncertainty, own.value, nv))
    tight = case.model.__copy__()
    tight.opt.tolerance = TIGHT
    found = []
    for moved in (moved_by_mujoco, moved_by_ours):
        function = displacement(case, moved(tight, steps))
        parts = (nv, nv) if len(functional) > 1 else (1,)
        found.append(extrapolated(lambda x, f=function: f(x) @ functional.T, 2 * nv + len(case.ctrl), parts))
    one, two = found
    estimate = relative(one.uncertainty, one.value, nv)
    return Reference(one.value, max(estimate, relative(two.value - one.value, one.value, nv)))

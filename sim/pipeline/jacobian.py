"""The steps under one control, and with them the Jacobians of the state that they lead to."""

from ..kernels.jit import kernel
from ..kernels.record import Floats, Ints, struct_at
from ..model.data import Data, Lanes, Rates
from ..model.inputs import InputRows
from ..model.model import Model
from .rates import step_with_rates, unit_rates
from .worlds import load_ctrl, load_inputs, load_world, store_world


@kernel
def jacobian_worlds(
    begin: int, end: int, m: Model, models: Ints, d: Data, w: Lanes, r: Rates,
    qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats, inputs: InputRows, n_steps: int,
    next_qpos: Floats, next_qvel: Floats, next_act: Floats, A: Floats, B: Floats, unconverged: Ints,
) -> None:  # fmt: skip
    """Fill the states (worlds, ...) after `n_steps` steps, as `rollout_worlds` does, and their Jacobians.

    A (worlds, nx, nx) is that by the first state, B (worlds, nx, nu) that by the control. `w` has nv + na lanes,
    `r` nx + nu directions, or nu: A is left alone then. unconverged[b] gets the number of steps in which the solver
    was stopped before it converged.
    """
    for b in range(begin, end):
        m = struct_at(m, models, b)
        load_world(m, d, qpos[b], qvel[b], act[b])
        load_ctrl(m, d, ctrl[b])
        load_inputs(m, d, inputs, b, 0)
        unit_rates(m, r)
        unconverged[b] = 0
        for s in range(n_steps):
            d.unconverged[0] = 0
            step_with_rates(m, d, w, r, s == 0)
            unconverged[b] += min(d.unconverged[0], 1)
        store_world(m, d, next_qpos[b], next_qvel[b], next_act[b])
        states = r.ndirection - m.nu
        for row in range(B.shape[1]):
            rates = r.pos[row] if row < m.nv else (r.vel[row - m.nv] if row < 2 * m.nv else r.act[row - 2 * m.nv])
            for k in range(states):
                A[b, row, k] = rates[k]
            for k in range(m.nu):
                B[b, row, k] = rates[states + k]

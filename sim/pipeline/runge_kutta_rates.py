"""The Runge-Kutta step with the rates of change of its state: those of `runge_kutta.py`, stage by stage.

Each stage's acceleration has its Jacobian from a reverse sweep right where the stage is evaluated.
"""

from ..dynamics.integrate import advance_activations, integrate_pos
from ..kernels.enums import BALL, FREE
from ..kernels.jit import kernel, sequence
from ..kernels.rotation import (
    Vec3,
    dot3,
    right_jacobian_inv,
    right_jacobian_inv_adj,
    shortest_rotation,
    shortest_rotation_adj,
)
from ..model.data import Data, Lanes, Rates
from ..model.model import Model
from .rates import advance_activations_rates, integrate_pos_rates, push_rates
from .runge_kutta import STAGE, WEIGHT, combine, enter_stage, keep_stage, keep_start, load_stage
from .step import forward, forward_adj
from .worlds import clear_cotangent, clear_input_cotangents


@sequence
def rk4_with_rates(m: Model, d: Data, w: Lanes, r: Rates, first: bool) -> None:
    """`rk4`, which takes the rates along."""
    keep_start(m, d)
    _keep_start_rates(m, r)
    for s in range(4):
        if s > 0:
            enter_stage(m, d, s, m.timestep * STAGE[s])
            _enter_stage_rates(m, d, r, s, m.timestep * STAGE[s])
        forward(m, d)
        keep_stage(m, d, s)
        clear_cotangent(w)
        clear_input_cotangents(m, d, w)
        _unit_accelerations(m, w)
        forward_adj(m, d, w, 0.0)
        push_rates(m, w, r, first and s == 0)
        _add_stage_rates(m, d, r, s)
    combine(m, d)
    load_stage(m, d, 0)
    _final_rates(m, d, r)
    for v in range(m.nv):
        d.qvel[v] += m.timestep * d.qacc[v]
    integrate_pos(m, d.qpos, d.rk_qpos[0], d.shift_sum, 1.0)
    advance_activations(m, d)


@kernel
def _unit_accelerations(m: Model, w: Lanes) -> None:
    w.qacc_adj[:], w.actdot_adj[:] = 0.0, 0.0
    for v in range(m.nv):
        w.qacc_adj[v, v] = 1.0
    for a in range(m.na):
        w.actdot_adj[a, m.nv + a] = 1.0


@kernel
def _keep_start_rates(m: Model, r: Rates) -> None:
    for k in range(r.ndirection):
        for v in range(m.nv):
            r.rk_pos[v, k], r.rk_vel[v, k], r.rk_shift_sum[v, k] = r.pos[v, k], r.vel[v, k], 0.0
        for a in range(m.na):
            r.rk_act[a, k] = r.act[a, k]
        for i in range(m.nv + m.na):
            r.rk_found_sum[i, k] = 0.0
    r.rk_shift[:] = 0.0


@kernel
def _enter_stage_rates(m: Model, d: Data, r: Rates, s: int, time: float) -> None:
    for v in range(m.nv):
        for k in range(r.ndirection):
            r.rk_shift[v, k] = time * r.rk_rate[v, k]
            r.pos[v, k] = r.rk_pos[v, k]
            r.vel[v, k] = r.rk_vel[v, k] + time * r.found[v, k]
    for a in range(m.na):
        for k in range(r.ndirection):
            r.act[a, k] = r.rk_act[a, k] + time * r.found[m.nv + a, k]
    integrate_pos_rates(m, r.pos, r.rk_shift, d.rk_shift[s], 1.0)


@kernel
def _add_stage_rates(m: Model, d: Data, r: Rates, s: int) -> None:
    """Rates of the stage's velocity, pulled back, and the stage's share in the sums."""
    n = r.ndirection
    for v in range(m.nv):
        for k in range(n):
            r.rk_rate[v, k] = r.vel[v, k]
    for j in range(m.njnt):
        kind = m.jnt_type[j]
        if kind == FREE or kind == BALL:
            v = m.jnt_dofadr[j] + (3 if kind == FREE else 0)
            raw: Vec3 = (d.rk_shift[s, v], d.rk_shift[s, v + 1], d.rk_shift[s, v + 2])
            vel: Vec3 = (d.rk_qvel[s, v], d.rk_qvel[s, v + 1], d.rk_qvel[s, v + 2])
            phi = shortest_rotation(raw)[0]
            by_x = shortest_rotation_adj(raw, right_jacobian_inv_adj(phi, vel, (1.0, 0.0, 0.0)))
            by_y = shortest_rotation_adj(raw, right_jacobian_inv_adj(phi, vel, (0.0, 1.0, 0.0)))
            by_z = shortest_rotation_adj(raw, right_jacobian_inv_adj(phi, vel, (0.0, 0.0, 1.0)))
            for k in range(n):
                shift: Vec3 = (r.rk_shift[v, k], r.rk_shift[v + 1, k], r.rk_shift[v + 2, k])
                moved = right_jacobian_inv(phi, (r.vel[v, k], r.vel[v + 1, k], r.vel[v + 2, k]))
                r.rk_rate[v, k] = moved[0] + dot3(by_x, shift)
                r.rk_rate[v + 1, k] = moved[1] + dot3(by_y, shift)
                r.rk_rate[v + 2, k] = moved[2] + dot3(by_z, shift)
    for v in range(m.nv):
        for k in range(n):
            r.rk_shift_sum[v, k] += m.timestep * WEIGHT[s] * r.rk_rate[v, k]
    for i in range(m.nv + m.na):
        for k in range(n):
            r.rk_found_sum[i, k] += WEIGHT[s] * r.found[i, k]


@kernel
def _final_rates(m: Model, d: Data, r: Rates) -> None:
    """Those of the next state, from the sums; `d` is at the step's start."""
    for v in range(m.nv):
        for k in range(r.ndirection):
            r.pos[v, k] = r.rk_pos[v, k]
            r.vel[v, k] = r.rk_vel[v, k] + m.timestep * r.rk_found_sum[v, k]
    for a in range(m.na):
        for k in range(r.ndirection):
            r.act[a, k] = r.rk_act[a, k]
    integrate_pos_rates(m, r.pos, r.rk_shift_sum, d.shift_sum, 1.0)
    advance_activations_rates(m, d, r.act, r.rk_found_sum, m.nv)

"""Fourth-order Runge-Kutta step (mj_RungeKutta) and its adjoint.

Positions are integrated in the tangent space of the start (Munthe-Kaas): stage s sits at
qpos + shift_s, and its velocity counts with the inverse right Jacobian of that shift, so that
orientations too converge with fourth order, as in MuJoCo since 4.0.
"""

from ..dynamics.integrate import (
    advance_activations,
    advance_activations_adj,
    integrate_pos,
    integrate_pos_adj,
)
from ..kernels.apart import unit
from ..kernels.enums import BALL, FREE
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import (
    right_jacobian_inv,
    right_jacobian_inv_adj,
    right_jacobian_inv_t,
    shortest_rotation,
    shortest_rotation_adj,
)
from ..model.data import Data, Lanes
from ..model.model import Model
from .step import forward, forward_adj

STAGE = (0.0, 0.5, 0.5, 1.0)  # stage s starts from stage s - 1 with this share of the step
WEIGHT = (1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0)


@kernel
def _pull_back(m: Model, rate: Floats, shift: Floats, qvel: Floats) -> None:
    """rate: time derivative of the shift, for velocity `qvel` at the shifted configuration."""
    for v in range(m.nv):
        rate[v] = qvel[v]
    for j in range(m.njnt):
        kind = m.jnt_type[j]
        if kind == FREE or kind == BALL:
            v = m.jnt_dofadr[j] + (3 if kind == FREE else 0)
            phi = shortest_rotation((shift[v], shift[v + 1], shift[v + 2]))[0]
            rate[v], rate[v + 1], rate[v + 2] = right_jacobian_inv(phi, (qvel[v], qvel[v + 1], qvel[v + 2]))


@kernel
def _pull_back_adj(
    m: Model, rate_adj: Floats, shift: Floats, qvel: Floats, shift_adj: Floats, qvel_adj: Floats
) -> None:
    """Add the cotangent `rate_adj` of `_pull_back` to those of its inputs."""
    n = rate_adj.shape[1]
    for j in range(m.njnt):
        kind, v = m.jnt_type[j], m.jnt_dofadr[j]
        plain = 3 if kind == FREE else (0 if kind == BALL else 1)
        for i in range(v, v + plain):
            for k in range(n):
                qvel_adj[i, k] += rate_adj[i, k]
        if kind == FREE or kind == BALL:
            v += plain
            raw, vel = (shift[v], shift[v + 1], shift[v + 2]), (qvel[v], qvel[v + 1], qvel[v + 2])
            phi = shortest_rotation(raw)[0]
            for k in range(n):
                g = (rate_adj[v, k], rate_adj[v + 1, k], rate_adj[v + 2, k])
                by_vel = right_jacobian_inv_t(phi, g)
                by_phi = shortest_rotation_adj(raw, right_jacobian_inv_adj(phi, vel, g))
                for i in range(3):
                    qvel_adj[v + i, k] += by_vel[i]
                    shift_adj[v + i, k] += by_phi[i]


@kernel
def _stages(m: Model, d: Data) -> None:
    """Run the four stages from the state in `d`; leaves stage quantities in rk_*, d at stage 3."""
    keep_start(m, d)
    for s in range(4):
        if s > 0:
            enter_stage(m, d, s, m.timestep * STAGE[s])
        forward(m, d)
        keep_stage(m, d, s)


@kernel
def keep_start(m: Model, d: Data) -> None:
    """The state in `d` as that of stage 0."""
    for i in range(m.nq):
        d.rk_qpos[0, i] = d.qpos[i]
    for v in range(m.nv):
        d.rk_qvel[0, v] = d.qvel[v]
        d.rk_shift[0, v] = 0.0
    for a in range(m.na):
        d.rk_act[0, a] = d.act[a]


@kernel
def keep_stage(m: Model, d: Data, s: int) -> None:
    """What stage `s`, evaluated in `d`, adds to the step."""
    _pull_back(m, d.rk_rate[s], d.rk_shift[s], d.qvel)
    for v in range(m.nv):
        d.rk_qacc[s, v] = d.qacc[v]
    for a in range(m.na):
        d.rk_actdot[s, a] = d.act_dot[a]


@kernel
def enter_stage(m: Model, d: Data, s: int, time: float) -> None:
    """The state of stage `s` from what stage s - 1 found, into rk_* and `d`."""
    for v in range(m.nv):
        d.rk_shift[s, v] = time * d.rk_rate[s - 1, v]
        d.rk_qvel[s, v] = d.rk_qvel[0, v] + time * d.rk_qacc[s - 1, v]
    for a in range(m.na):
        d.rk_act[s, a] = d.rk_act[0, a] + time * d.rk_actdot[s - 1, a]
    integrate_pos(m, d.rk_qpos[s], d.rk_qpos[0], d.rk_shift[s], 1.0)
    load_stage(m, d, s)


@kernel
def load_stage(m: Model, d: Data, s: int) -> None:
    """The state of stage `s` into `d`."""
    for i in range(m.nq):
        d.qpos[i] = d.rk_qpos[s, i]
    for v in range(m.nv):
        d.qvel[v] = d.rk_qvel[s, v]
    for a in range(m.na):
        d.act[a] = d.rk_act[s, a]


@kernel
def combine(m: Model, d: Data) -> None:
    """Weighted rates of the four stages: shift to shift_sum, qacc, act_dot."""
    for v in range(m.nv):
        d.shift_sum[v] = 0.0
        d.qacc[v] = 0.0
        for s in range(4):
            d.shift_sum[v] += m.timestep * WEIGHT[s] * d.rk_rate[s, v]
            d.qacc[v] += WEIGHT[s] * d.rk_qacc[s, v]
    for a in range(m.na):
        d.act_dot[a] = 0.0
        for s in range(4):
            d.act_dot[a] += WEIGHT[s] * d.rk_actdot[s, a]


@unit
def rk4(m: Model, d: Data) -> None:
    """Advance the state in `d` by one step."""
    _stages(m, d)
    combine(m, d)
    load_stage(m, d, 0)
    for v in range(m.nv):
        d.qvel[v] += m.timestep * d.qacc[v]
    integrate_pos(m, d.qpos, d.rk_qpos[0], d.shift_sum, 1.0)
    advance_activations(m, d)


@unit
def rk4_adj(m: Model, d: Data, w: Lanes) -> None:
    """Turn the cotangent of the next state into that of the state in `d`; adds to ctrl_adj."""
    _stages(m, d)
    combine(m, d)
    _final_adj(m, d, w)
    for s in range(3, -1, -1):
        if s < 3:
            load_stage(m, d, s)
        _stage_adj(m, d, w, s)
    load_stage(m, d, 0)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qpos_adj[v, k] = w.rk_qpos_adj[v, k]
            w.qvel_adj[v, k] = w.rk_qvel_adj[v, k]
    for a in range(m.na):
        for k in range(w.nlane):
            w.act_adj[a, k] = w.rk_act_adj[a, k]


@kernel
def _final_adj(m: Model, d: Data, w: Lanes) -> None:
    """Adjoint of the last combination: start accumulators rk_*_adj and the stages' cotangents."""
    h = m.timestep
    for v in range(m.nv):
        for k in range(w.nlane):
            w.rk_shift_adj[v, k] = 0.0
    integrate_pos_adj(m, w.qpos_adj, w.rk_shift_adj, d.shift_sum, 1.0)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.rk_qpos_adj[v, k] = w.qpos_adj[v, k]
            w.rk_qvel_adj[v, k] = w.qvel_adj[v, k]
            for s in range(4):
                w.rk_rate_adj[s, v, k] = h * WEIGHT[s] * w.rk_shift_adj[v, k]
                w.rk_qacc_adj[s, v, k] = h * WEIGHT[s] * w.qvel_adj[v, k]
    advance_activations_adj(m, d, w, d.rk_act[0], d.act_dot)
    for a in range(m.na):
        for k in range(w.nlane):
            w.rk_act_adj[a, k] = w.act_adj[a, k]
            for s in range(4):
                w.rk_actdot_adj[s, a, k] = WEIGHT[s] * w.actdot_adj[a, k]


@kernel
def _stage_adj(m: Model, d: Data, w: Lanes, s: int) -> None:
    """Adjoint of stage `s`, whose state is in `d`: adds to stage s - 1 and to the accumulators."""
    n = w.nlane
    for v in range(m.nv):
        d.qacc[v], d.qacc_warmstart[v] = d.rk_qacc[s, v], d.rk_qacc[s, v]
    for a in range(m.na):
        d.act_dot[a] = d.rk_actdot[s, a]
    if s < 3:  # everything else in `d` is still the last stage's
        forward(m, d)
    for v in range(m.nv):
        for k in range(n):
            w.qacc_adj[v, k] = w.rk_qacc_adj[s, v, k]
            w.qpos_adj[v, k] = 0.0
            w.qvel_adj[v, k] = 0.0
    for a in range(m.na):
        for k in range(n):
            w.actdot_adj[a, k] = w.rk_actdot_adj[s, a, k]
            w.act_adj[a, k] = 0.0
    forward_adj(m, d, w, 0.0)
    shift_adj = w.rk_shift_adj
    for v in range(m.nv):
        for k in range(n):
            shift_adj[v, k] = 0.0
    _pull_back_adj(m, w.rk_rate_adj[s], d.rk_shift[s], d.rk_qvel[s], shift_adj, w.qvel_adj)
    integrate_pos_adj(m, w.qpos_adj, shift_adj, d.rk_shift[s], 1.0)
    time = m.timestep * STAGE[s]
    for v in range(m.nv):
        for k in range(n):
            w.rk_qpos_adj[v, k] += w.qpos_adj[v, k]
            w.rk_qvel_adj[v, k] += w.qvel_adj[v, k]
            if s > 0:
                w.rk_rate_adj[s - 1, v, k] += time * shift_adj[v, k]
                w.rk_qacc_adj[s - 1, v, k] += time * w.qvel_adj[v, k]
    for a in range(m.na):
        for k in range(n):
            w.rk_act_adj[a, k] += w.act_adj[a, k]
            if s > 0:
                w.rk_actdot_adj[s - 1, a, k] += time * w.act_adj[a, k]

"""Rates of change of a state, pushed along a step while it is made.

A step's own Jacobian comes from a reverse sweep with a lane for each entry of what the physics gives: the next
velocity, or under Runge-Kutta the acceleration of a stage, and the activations. Positions follow from velocities
and need no lanes. The product of that Jacobian and the rates of the state before are those of the state after:
nothing is simulated twice, and what is asked for by the control alone has a few columns.
"""

from ..dynamics.activation import activation_step
from ..dynamics.integrate import advance_activations, integrate_pos
from ..kernels.binding import hook
from ..kernels.enums import BALL, FREE
from ..kernels.jit import kernel, sequence
from ..kernels.record import Floats
from ..kernels.rotation import mat_t_vec3, quat_exp, quat_to_mat, right_jacobian_t, scale3
from ..model.data import Data, Lanes, Rates
from ..model.model import Model
from .step import step_adj
from .worlds import clear_cotangent, clear_input_cotangents


@hook
def step_with_rates(m: Model, d: Data, w: Lanes, r: Rates, first: bool) -> None:
    """`step`, which takes the rates in `r` along; `first`: they are those of `unit_rates`. `w` has nv + na lanes.

    An integrator's: `semi_implicit_with_rates`, or `rk4_with_rates` of `runge_kutta_rates.py`.
    """


@sequence
def semi_implicit_with_rates(m: Model, d: Data, w: Lanes, r: Rates, first: bool) -> None:
    """Of `euler` and `implicitfast`, which move the position by the next velocity."""
    clear_cotangent(w)
    clear_input_cotangents(m, d, w)
    for v in range(m.nv):
        w.qvel_adj[v, v] = 1.0
    for a in range(m.na):
        w.act_adj[a, m.nv + a] = 1.0
    step_adj(m, d, w)
    push_rates(m, w, r, first)
    for v in range(m.nv):
        d.qvel[v] = d.shift_sum[v]
        for k in range(r.ndirection):
            r.vel[v, k] = r.found[v, k]
    for a in range(m.na):
        for k in range(r.ndirection):
            r.act[a, k] = r.found[m.nv + a, k]
    integrate_pos_rates(m, r.pos, r.vel, d.shift_sum, m.timestep)
    integrate_pos(m, d.qpos, d.qpos, d.qvel, m.timestep)
    advance_activations(m, d)


@kernel
def unit_rates(m: Model, r: Rates) -> None:
    """The rates of a state in its own directions, where there are any, and the control's."""
    r.pos[:], r.vel[:], r.act[:] = 0.0, 0.0, 0.0
    if r.ndirection > m.nu:
        for v in range(m.nv):
            r.pos[v, v], r.vel[v, m.nv + v] = 1.0, 1.0
        for a in range(m.na):
            r.act[a, 2 * m.nv + a] = 1.0


@kernel
def push_rates(m: Model, w: Lanes, r: Rates, first: bool) -> None:
    """`found` <- the rates of what the lanes of `w` are the gradients of; `first`: the state's are `unit_rates`."""
    n, states = r.ndirection, r.ndirection - m.nu
    for row in range(w.nlane):
        out = r.found[row]
        if not first:
            for k in range(n):
                out[k] = 0.0
            for v in range(m.nv):
                by_pos, by_vel = w.qpos_adj[v, row], w.qvel_adj[v, row]
                if by_pos != 0.0 or by_vel != 0.0:
                    pos, vel = r.pos[v], r.vel[v]
                    for k in range(n):
                        out[k] += by_pos * pos[k] + by_vel * vel[k]
            for a in range(m.na):
                by_act = w.act_adj[a, row]
                for k in range(n):
                    out[k] += by_act * r.act[a, k]
            for i in range(m.nu):
                out[states + i] += w.ctrl_adj[i, row]
        else:
            for v in range(m.nv if states > 0 else 0):
                out[v], out[m.nv + v] = w.qpos_adj[v, row], w.qvel_adj[v, row]
            for a in range(m.na if states > 0 else 0):
                out[2 * m.nv + a] = w.act_adj[a, row]
            for i in range(m.nu):
                out[states + i] = w.ctrl_adj[i, row]


@kernel
def integrate_pos_rates(m: Model, pos: Floats, by: Floats, shift: Floats, scale: float) -> None:
    """pos <- rates of the position that `integrate_pos` moves by scale * shift, whose rates are in `by`.

    exp(phi) moved by d at the start is moved by exp(phi)' d at the end, and by Jr(phi) for a change of phi.
    """
    n = pos.shape[1]
    for j in range(m.njnt):
        v, kind = m.jnt_dofadr[j], m.jnt_type[j]
        plain = 3 if kind == FREE else (0 if kind == BALL else 1)
        for i in range(v, v + plain):
            for k in range(n):
                pos[i, k] += scale * by[i, k]
        if kind == FREE or kind == BALL:
            v += plain
            phi = scale3(scale, (shift[v], shift[v + 1], shift[v + 2]))
            turn, back = quat_to_mat(quat_exp(phi)), scale3(-1.0, phi)
            for k in range(n):
                start = mat_t_vec3(turn, (pos[v, k], pos[v + 1, k], pos[v + 2, k]))
                moved = right_jacobian_t(back, (by[v, k], by[v + 1, k], by[v + 2, k]))  # Jr(phi) is Jr(-phi)'
                for i in range(3):
                    pos[v + i, k] = start[i] + scale * moved[i]


@kernel
def advance_activations_rates(m: Model, d: Data, act: Floats, by: Floats, first: int) -> None:
    """act <- rates of the activations that `advance_activations` makes of those in `d`.

    Those of act_dot are the rows of `by` from `first` on.
    """
    for i in range(m.nu):
        a = m.actuator_actadr[i]
        if a >= 0:
            step = activation_step(m, i)
            value = d.act[a] + step * d.act_dot[a]
            free = not m.actuator_actlimited[i] or (m.actuator_actrange[i, 0] <= value <= m.actuator_actrange[i, 1])
            for k in range(act.shape[1]):
                act[a, k] = act[a, k] + step * by[first + a, k] if free else 0.0

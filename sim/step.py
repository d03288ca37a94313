"""Where the physics happens: one time step and, mirrored below it, its adjoint.

`forward.py` gives forces and acceleration; this file integrates them (Euler, implicitfast; the
four stages of RK4 are in `runge_kutta.py`).
"""

from ._jit import kernel
from .aba import aba_factor, aba_solve
from .actuation import actuation_adj
from .crba import crb
from .data import Data, Lanes
from .forward import forward_adj, forward_smooth
from .implicit import gyroscopic_adj, implicit_factor, implicit_solve
from .integrate import (
    advance_activations,
    advance_activations_adj,
    integrate_pos,
    integrate_pos_adj,
)
from .model import Model
from .parameters import gyroscopic_parameters_adj, parameters_adj
from .passive import passive_adj
from .rnea import rne, rne_adj
from .runge_kutta import rk4, rk4_adj

RK4, IMPLICITFAST = 1, 3


@kernel
def step_acceleration(m: Model, d: Data) -> None:
    """Acceleration by which Euler and implicitfast move the velocity."""
    forward_smooth(m, d)
    if m.integrator == IMPLICITFAST:
        crb(m, d)
        implicit_factor(m, d)
        for v in range(m.nv):
            d.column[v, 0] = d.qacc[v]
        implicit_solve(m, d, d.column, False)
        for v in range(m.nv):
            d.qacc[v] = d.column[v, 0]
    else:
        aba_factor(m, d, m.timestep if m.eulerdamp else 0.0)
        aba_solve(m, d)


@kernel
def step_acceleration_adj(m: Model, d: Data, w: Lanes) -> None:
    """Adjoint of `step_acceleration`, after it has run."""
    if m.integrator == IMPLICITFAST:
        for v in range(m.nv):
            for k in range(w.nlane):
                w.qfrc_adj[v, k] = w.qacc_adj[v, k]
        implicit_solve(m, d, w.qfrc_adj, True)
        rne(m, d)
        rne_adj(m, d, w)
        gyroscopic_adj(m, d, w)
        passive_adj(m, d, w)
        actuation_adj(m, d, w, m.timestep)
        if w.with_params:
            parameters_adj(m, d, w, m.timestep, m.timestep)
            gyroscopic_parameters_adj(m, d, w)
    else:
        forward_adj(m, d, w, m.timestep if m.eulerdamp else 0.0)


@kernel
def step(m: Model, d: Data) -> None:
    """Advance qpos, qvel, act in `d` by one time step."""
    if m.integrator == RK4:
        rk4(m, d)
        return
    step_acceleration(m, d)
    for v in range(m.nv):
        d.qvel[v] += m.timestep * d.qacc[v]
    integrate_pos(m, d.qpos, d.qpos, d.qvel, m.timestep)
    advance_activations(m, d)


@kernel
def step_adj(m: Model, d: Data, w: Lanes) -> None:
    """Turn the cotangent of the next state into that of the state in `d`; add to ctrl_adj.

    `d` holds the state before the step; its qpos, qvel, act, ctrl are kept.
    """
    if m.integrator == RK4:
        rk4_adj(m, d, w)
        return
    step_acceleration(m, d)
    for v in range(m.nv):
        d.rk_rate[0, v] = d.qvel[v] + m.timestep * d.qacc[v]
    integrate_pos_adj(m, w.qpos_adj, w.qvel_adj, d.rk_rate[0], m.timestep)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qacc_adj[v, k] = m.timestep * w.qvel_adj[v, k]
    advance_activations_adj(m, d, w, d.act, d.act_dot)
    step_acceleration_adj(m, d, w)

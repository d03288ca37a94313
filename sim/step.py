"""Where the physics happens: one time step and, mirrored below it, its adjoint.

`forward.py` gives forces and acceleration; this file integrates them (MuJoCo documentation,
Computation, "Integrators"). The adjoint of a step turns the cotangent of the next state, in
`w.qpos_adj`, `w.qvel_adj`, `w.act_adj`, into that of the state in `d`, and adds to `w.ctrl_adj`;
it keeps the state and control in `d`.
"""

import mujoco

from ._jit import kernel, sequence
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


@sequence
def euler(m: Model, d: Data) -> None:
    """Semi-implicit Euler; joint damping implicit unless the model says otherwise."""
    _euler_acceleration(m, d)
    _advance(m, d)


@sequence
def euler_adj(m: Model, d: Data, w: Lanes) -> None:
    """Adjoint of `euler`."""
    _euler_acceleration(m, d)
    _advance_adj(m, d, w)
    # without dampers the implicit part is no change, but the damping still has its derivative
    forward_adj(m, d, w, m.timestep if m.eulerdamp and (m.damped or w.with_params) else 0.0)


@sequence
def implicitfast(m: Model, d: Data) -> None:
    """Euler with the velocity slope of dampers and actuators taken implicitly."""
    _implicit_acceleration(m, d)
    _advance(m, d)


@sequence
def implicitfast_adj(m: Model, d: Data, w: Lanes) -> None:
    """Adjoint of `implicitfast`."""
    _implicit_acceleration(m, d)
    _advance_adj(m, d, w)
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
    constraint_force_adj(m, d, w)


@kernel
def constraint_force_adj(m: Model, d: Data, w: Lanes) -> None:
    """Nothing here: `constrained.py` binds its own."""


@sequence
def _euler_acceleration(m: Model, d: Data) -> None:
    forward_smooth(m, d)
    aba_factor(m, d, m.timestep if m.eulerdamp else 0.0)
    aba_solve(m, d)


@sequence
def _implicit_acceleration(m: Model, d: Data) -> None:
    forward_smooth(m, d)
    crb(m, d)
    implicit_factor(m, d)
    for v in range(m.nv):
        d.column[v, 0] = d.qacc[v]
    implicit_solve(m, d, d.column, False)
    for v in range(m.nv):
        d.qacc[v] = d.column[v, 0]


@sequence
def _advance(m: Model, d: Data) -> None:
    """Move the state in `d` by the acceleration `qacc`: new velocity first, position with it."""
    for v in range(m.nv):
        d.qvel[v] += m.timestep * d.qacc[v]
    integrate_pos(m, d.qpos, d.qpos, d.qvel, m.timestep)
    advance_activations(m, d)


@sequence
def _advance_adj(m: Model, d: Data, w: Lanes) -> None:
    """Adjoint of `_advance`, `d` before it: sets qacc_adj, actdot_adj, pulls the rest back."""
    for v in range(m.nv):
        d.shift_sum[v] = d.qvel[v] + m.timestep * d.qacc[v]
    integrate_pos_adj(m, w.qpos_adj, w.qvel_adj, d.shift_sum, m.timestep)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qacc_adj[v, k] = m.timestep * w.qvel_adj[v, k]
    advance_activations_adj(m, d, w, d.act, d.act_dot)


# by mjtIntegrator: the step and its adjoint
STEPS = {
    int(mujoco.mjtIntegrator.mjINT_EULER): (euler, euler_adj),
    int(mujoco.mjtIntegrator.mjINT_RK4): (rk4, rk4_adj),
    int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST): (implicitfast, implicitfast_adj),
}

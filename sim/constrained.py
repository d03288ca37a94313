"""Forward dynamics and steps with constraints; the same integrators around another acceleration.

The acceleration a solves M a + c - tau - J' f(J a - aref) = 0. With H the derivative of this by a,
which Newton's method has factorised, the multiplier of the equation is H^-1 times the cotangent of
a; the rest is the reverse sweep of `forward.py`, and that of the constraint force. For models
that ask for projected Gauss-Seidel, `features.py` puts that solver and its adjoint in Newton's place.
"""

import mujoco

from . import runge_kutta
from ._jit import instance, sequence
from .actuation import actuation_adj
from .collision.contacts import collide
from .constraint import make_constraints
from .constraint_adj import constraint_adj
from .crba import crb, factor_m, mul_m_lanes, solve_ltdl, solve_m
from .damping_adj import implicit_damping_adj
from .data import Data, Lanes
from .forward import forward_smooth
from .implicit import implicit_factor, implicit_solve
from .islands import enter_islands, leave_islands
from .kinematics import geom_site_poses
from .model import Model
from .parameters import parameters_adj
from .passive import passive_adj
from .rnea import rne, rne_adj, virtual_velocities
from .solver_newton import solve_newton, solve_newton_adj
from .step import euler, euler_adj, implicitfast, implicitfast_adj


@sequence
def forward_constrained(m: Model, d: Data) -> None:
    """Acceleration `qacc`, also kept in qacc_warmstart, and constraint forces."""
    forward_smooth(m, d)
    geom_site_poses(m, d)
    collide(m, d)
    crb(m, d)
    factor_m(m, d, 0.0)
    solve_m(m, d, d.qacc)
    make_constraints(m, d)
    for v in range(m.nv):
        d.qacc_smooth[v] = d.qacc[v]
    if d.nefc[0] > 0:
        enter_islands(m, d)
        solve_newton(m, d)
        leave_islands(m, d)
    for v in range(m.nv):
        d.qacc_warmstart[v] = d.qacc[v]


@sequence
def forward_constrained_adj(m: Model, d: Data, w: Lanes, damping_time: float) -> None:
    """From qacc_adj, actdot_adj: add to qpos_adj, qvel_adj, act_adj, ctrl_adj.

    Needs `qacc` and the factor of M + damping_time * diag(dof_damping) that gave it.
    """
    active = d.nefc[0] > 0
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qfrc_adj[v, k] = w.qacc_adj[v, k]
    if not active or damping_time > 0.0:
        solve_ltdl(m, d.qLD, w.qfrc_adj)
    if active:
        if damping_time > 0.0:
            implicit_damping_adj(m, d, w, damping_time)
        solve_newton_adj(m, d, w)
        for v in range(m.nv):
            d.qacc[v] = d.qacc_warmstart[v]
    rne(m, d)
    rne_adj(m, d, w)
    passive_adj(m, d, w)
    actuation_adj(m, d, w, 0.0)
    if w.with_params:
        parameters_adj(m, d, w, 0.0 if active else damping_time, 0.0)
    if active:
        constraint_adj(m, d, w)


@sequence
def _euler_acceleration(m: Model, d: Data) -> None:
    forward_constrained(m, d)
    if m.eulerdamp and m.damped:
        for v in range(m.nv):
            d.qacc[v] = d.qfrc_smooth[v] + d.qfrc_constraint[v]
        factor_m(m, d, m.timestep)
        solve_m(m, d, d.qacc)


@sequence
def _implicit_acceleration(m: Model, d: Data) -> None:
    forward_constrained(m, d)
    implicit_factor(m, d)
    for v in range(m.nv):
        d.column[v, 0] = d.qfrc_smooth[v] + d.qfrc_constraint[v]
    implicit_solve(m, d, d.column, False)
    for v in range(m.nv):
        d.qacc[v] = d.column[v, 0]


@sequence
def _constraint_force_adj(m: Model, d: Data, w: Lanes) -> None:
    """Of qfrc_adj . qfrc_constraint as a function of the state: add the derivative.

    The force acts back on the acceleration it comes from, so the equation of motion gets a
    multiplier of its own, and the force the sum of both.
    """
    if d.nefc[0] == 0:
        return
    for v in range(m.nv):
        d.qacc[v] = d.qacc_warmstart[v]
        for k in range(w.nlane):
            w.qacc_adj[v, k] = w.qfrc_adj[v, k]
    mul_m_lanes(m, d, w.qfrc_adj, w.qacc_adj)
    solve_newton_adj(m, d, w)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qfrc_adj[v, k] -= w.qacc_adj[v, k]
            w.qacc_adj[v, k] += w.qfrc_adj[v, k]
    for a in range(m.na):
        for k in range(w.nlane):
            w.actdot_adj[a, k] = 0.0  # activations have had their share
    rne(m, d)
    rne_adj(m, d, w)
    passive_adj(m, d, w)
    actuation_adj(m, d, w, 0.0)
    if w.with_params:
        parameters_adj(m, d, w, 0.0, 0.0)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qfrc_adj[v, k] = w.qacc_adj[v, k]
    virtual_velocities(m, d, w)
    constraint_adj(m, d, w)


_stages = instance(runge_kutta._stages, "stages_constrained", forward=forward_constrained)
_stage_adj = instance(
    runge_kutta._stage_adj,
    "stage_constrained_adj",
    forward=forward_constrained,
    forward_adj=forward_constrained_adj,
)

# by mjtIntegrator: the step and its adjoint
CONSTRAINED_STEPS = {
    int(mujoco.mjtIntegrator.mjINT_EULER): (
        instance(euler, "euler_constrained", _euler_acceleration=_euler_acceleration),
        instance(
            euler_adj,
            "euler_constrained_adj",
            _euler_acceleration=_euler_acceleration,
            forward_adj=forward_constrained_adj,
        ),
    ),
    int(mujoco.mjtIntegrator.mjINT_RK4): (
        instance(runge_kutta.rk4, "rk4_constrained", _stages=_stages),
        instance(runge_kutta.rk4_adj, "rk4_constrained_adj", _stages=_stages, _stage_adj=_stage_adj),
    ),
    int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST): (
        instance(implicitfast, "implicitfast_constrained", _implicit_acceleration=_implicit_acceleration),
        instance(
            implicitfast_adj,
            "implicitfast_constrained_adj",
            _implicit_acceleration=_implicit_acceleration,
            constraint_force_adj=_constraint_force_adj,
        ),
    ),
}

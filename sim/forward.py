"""Forward dynamics: state and control to acceleration, in MuJoCo's order; mirrored below, its adjoint.

At the acceleration a the equation of motion F(a; q, v, u) = M a + c - tau = 0 holds, so a cotangent
of a becomes the multiplier w = M^-1 cotangent, and every input x gets -d(w . F)/dx with a held
fixed (Qiao et al. 2021, section 4.1, equation 2).
"""

from ._jit import kernel
from .aba import aba_factor, aba_solve, aba_solve_lanes
from .actuation import actuation, actuation_adj
from .collision.contacts import collide
from .constraint import make_constraints
from .constraint_adj import constraint_adj
from .crba import crb, mul_m_lanes
from .damping_adj import implicit_damping_adj
from .data import Data, Lanes
from .inertia import com_pos
from .kinematics import geom_site_poses, kinematics
from .model import Model
from .parameters import parameters_adj
from .passive import passive, passive_adj
from .rnea import rne, rne_adj, rne_bias
from .solver_newton import cholesky_solve_lanes, solve_newton
from .velocity import com_vel


@kernel
def forward_smooth(m: Model, d: Data) -> None:
    """Everything up to the smooth forces."""
    kinematics(m, d)
    com_pos(m, d)
    if m.npair > 0:
        geom_site_poses(m, d)
        collide(m, d)
    com_vel(m, d)
    passive(m, d)
    actuation(m, d)
    rne_bias(m, d)
    for v in range(m.nv):
        d.qfrc_smooth[v] = d.qfrc_passive[v] + d.qfrc_actuator[v] - d.qfrc_bias[v]
        d.qacc[v] = d.qfrc_smooth[v]


@kernel
def forward(m: Model, d: Data) -> None:
    """Acceleration `qacc` of the state and control in `d`."""
    forward_smooth(m, d)
    aba_factor(m, d, 0.0)
    aba_solve(m, d)
    for v in range(m.nv):
        d.qacc_smooth[v] = d.qacc[v]
        d.qfrc_constraint[v] = 0.0
    if m.nefcmax > 0:
        crb(m, d)
        make_constraints(m, d)
        if d.nefc[0] > 0:
            solve_newton(m, d)
        for v in range(m.nv):
            d.qacc_warmstart[v] = d.qacc[v]


@kernel
def forward_adj(m: Model, d: Data, w: Lanes, damping_time: float) -> None:
    """From qacc_adj, actdot_adj: add to qpos_adj, qvel_adj, act_adj, ctrl_adj.

    Needs `qacc` and the factor of M + damping_time * diag(dof_damping) that gave it.
    """
    constrained = m.nefcmax > 0 and d.nefc[0] > 0
    if constrained and damping_time == 0.0:
        for v in range(m.nv):
            for k in range(w.nlane):
                w.qfrc_adj[v, k] = w.qacc_adj[v, k]
    else:
        aba_solve_lanes(m, d, w)
    if constrained:
        if damping_time > 0.0:
            # qacc solved (M + hD) qacc = M a, with a the constrained acceleration
            implicit_damping_adj(m, d, w, damping_time)
        cholesky_solve_lanes(m.nv, d.qH, w.qfrc_adj)
        for v in range(m.nv):
            d.qacc[v] = d.qacc_warmstart[v]
    rne(m, d)
    rne_adj(m, d, w)
    passive_adj(m, d, w)
    actuation_adj(m, d, w, 0.0)
    if w.with_params:
        parameters_adj(m, d, w, 0.0 if constrained else damping_time, 0.0)
    if constrained:
        constraint_adj(m, d, w)


@kernel
def constraint_force_adj(m: Model, d: Data, w: Lanes) -> None:
    """Of qfrc_adj . qfrc_constraint as a function of the state: add the derivative.

    The force acts back on the acceleration a it comes from, M a + c - tau - J' f = 0, so the
    equation of motion gets a multiplier of its own, and the force the sum of both.
    """
    for v in range(m.nv):
        d.qacc[v] = d.qacc_warmstart[v]
        for k in range(w.nlane):
            w.qacc_adj[v, k] = w.qfrc_adj[v, k]
    mul_m_lanes(m, d, w.qfrc_adj, w.qacc_adj)
    cholesky_solve_lanes(m.nv, d.qH, w.qfrc_adj)
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
    constraint_adj(m, d, w)

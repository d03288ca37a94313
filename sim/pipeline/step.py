"""Where the physics happens: one time step from top to bottom and, mirrored below it, its adjoint.

The order is that of MuJoCo's documentation, Computation: poses, velocities and smooth forces,
collision, constraint rows, solver, integration. Models without constraints take a shorter form of
some stages, the articulated-body algorithm in place of inertia matrix, rows and solver; the two
forms stand side by side, and `parts.py` binds the one that a model needs. Where actuators pull at
contacts, `adhesion` finds these before the forces.

At the acceleration a the equation of motion F(a; q, v, u) = M a + c - tau - J' f(J a - aref) = 0
holds. With H = dF/da, which is M without constraints and else what Newton's method factorises, a
cotangent of a becomes the multiplier w = H^-1 cotangent, and every input x gets -d(w . F)/dx with
a held fixed (Qiao et al. 2021, section 4.1, equation 2).

An adjoint step turns the cotangent of the next state, in `w.qpos_adj`, `w.qvel_adj`, `w.act_adj`,
into that of the state in `d`, and adds to `w.ctrl_adj` and to the adjoints of mocap poses and applied
forces; it keeps the state and the inputs in `d`.
"""

from ..constraint.adhesion import adhesion, contacts
from ..constraint.adhesion_adj import adhesion_adj
from ..constraint.adhesive_contact import adhesive_pull
from ..constraint.rows import make_constraints
from ..constraint.rows_adj import constraint_adj
from ..dynamics.aba import aba_factor, aba_solve, aba_solve_lanes
from ..dynamics.actuation import actuation, actuation_adj
from ..dynamics.actuator_gravcomp_adj import actuator_gravcomp_adj
from ..dynamics.applied import applied_adj, applied_force
from ..dynamics.crba import crb, factor_m, mul_m_lanes, solve_ltdl_lanes, solve_m
from ..dynamics.damping_adj import implicit_damping_adj
from ..dynamics.fluid_implicit import fluid_ahead, fluid_ahead_adj
from ..dynamics.implicit import gyroscopic_adj, implicit_factor, implicit_solve
from ..dynamics.implicit_full import bias_ahead_adj
from ..dynamics.inertia import com_pos
from ..dynamics.integrate import (
    advance_activations,
    advance_activations_adj,
    integrate_pos,
    integrate_pos_adj,
)
from ..dynamics.kinematics import kinematics
from ..dynamics.parameters_adj import gyroscopic_parameters_adj, parameters_adj
from ..dynamics.passive import passive, passive_adj
from ..dynamics.rnea import rne, rne_adj, rne_bias, virtual_velocities
from ..dynamics.spatial_tendon import spatial_tendon
from ..dynamics.spatial_tendon_adj import spatial_tendon_adj
from ..dynamics.tendon import tendon, tendon_implicit_adj
from ..dynamics.tendon_armature import tendon_bias
from ..dynamics.tendon_armature_adj import tendon_armature_adj
from ..dynamics.transmission import transmission, transmission_adj
from ..dynamics.velocity import com_vel
from ..kernels.apart import unit
from ..kernels.binding import hook
from ..kernels.jit import kernel, sequence
from ..kernels.spatial import lanes_set
from ..model.data import Data, Lanes
from ..model.model import Model
from ..solver.islands import enter_islands, leave_islands
from ..solver.main_forces_adj import main_forces_adj, main_rows_adj
from ..solver.noslip import noslip
from ..solver.noslip_adj import set_jar_of


@hook
def step(m: Model, d: Data) -> None:
    """Advance the state in `d`: `euler`, `implicitfast`, or `rk4` of `runge_kutta.py`."""


@unit
def euler(m: Model, d: Data) -> None:
    """Semi-implicit Euler; joint damping implicit unless the model says otherwise."""
    euler_acceleration(m, d)
    advance(m, d)


@unit
def implicitfast(m: Model, d: Data) -> None:
    """Euler with the velocity slope of forces taken implicitly; `implicit` is the same with a fuller matrix."""
    implicit_acceleration(m, d)
    advance(m, d)


@unit
def forward_smooth(m: Model, d: Data) -> None:
    """Poses, velocities and the smooth forces, those without constraints."""
    kinematics(m, d)
    com_pos(m, d)
    com_vel(m, d)
    adhesion(m, d)
    tendon(m, d)
    spatial_tendon(m, d)
    passive(m, d)
    transmission(m, d)
    actuation(m, d)
    rne_bias(m, d)
    tendon_bias(m, d)
    for v in range(m.nv):
        d.qfrc_smooth[v] = d.qfrc_passive[v] + d.qfrc_actuator[v] - d.qfrc_bias[v]
    applied_force(m, d)
    for v in range(m.nv):
        d.qacc[v] = d.qfrc_smooth[v]
        d.qfrc_constraint[v] = 0.0
    d.solver_niter[0] = 0
    d.solver_residual[0] = 0.0


@unit
def forward(m: Model, d: Data) -> None:
    """Acceleration `qacc` of the state and control in `d`."""
    forward_smooth(m, d)
    aba_factor(m, d, 0.0)
    aba_solve(m, d)


@unit
def forward_constrained(m: Model, d: Data) -> None:
    """The same with constraints; `qacc` also kept in qacc_warmstart, and the constraint forces."""
    forward_smooth(m, d)
    contacts(m, d)
    adhesive_pull(m, d)
    crb(m, d)
    factor_m(m, d, 0.0)
    solve_m(m, d, d.qacc)
    make_constraints(m, d)
    for v in range(m.nv):
        d.qacc_smooth[v] = d.qacc[v]
    if d.nefc[0] > 0:
        enter_islands(m, d)
        solve_constraints(m, d)
        noslip(m, d)
        leave_islands(m, d)
    for v in range(m.nv):
        d.qacc_warmstart[v] = d.qacc[v]


@hook
def solve_constraints(m: Model, d: Data) -> None:
    """Fill iacc, efc_force, ifrc_constraint, efc_slope, cone_on, cone_hess; report iterations and residual.

    A solver's: `solve_newton` or `solve_pgs`. Needs in iacc the smooth acceleration, qM and its
    factor qLD, the rows efc_*.
    """


@sequence
def euler_acceleration(m: Model, d: Data) -> None:
    """qacc of (M + h D) qacc = M a, a the acceleration of `forward`, D the joint damping."""
    forward_smooth(m, d)
    aba_factor(m, d, m.timestep if m.eulerdamp else 0.0)
    aba_solve(m, d)


@sequence
def euler_acceleration_constrained(m: Model, d: Data) -> None:
    """The same with constraints."""
    forward_constrained(m, d)
    if m.eulerdamp and m.damped:
        for v in range(m.nv):
            d.qacc[v] = d.qfrc_smooth[v] + d.qfrc_constraint[v]
        factor_m(m, d, m.timestep)
        solve_m(m, d, d.qacc)


@sequence
def implicit_acceleration(m: Model, d: Data) -> None:
    """qacc of (M - h dforce/dqvel) qacc = force."""
    forward_smooth(m, d)
    crb(m, d)
    implicit_factor(m, d)
    for v in range(m.nv):
        d.column[v, 0] = d.qacc[v]
    implicit_solve(m, d, d.column, False)
    for v in range(m.nv):
        d.qacc[v] = d.column[v, 0]


@sequence
def implicit_acceleration_constrained(m: Model, d: Data) -> None:
    """The same with constraints."""
    forward_constrained(m, d)
    implicit_factor(m, d)
    for v in range(m.nv):
        d.column[v, 0] = d.qfrc_smooth[v] + d.qfrc_constraint[v]
    implicit_solve(m, d, d.column, False)
    for v in range(m.nv):
        d.qacc[v] = d.column[v, 0]


@sequence
def advance(m: Model, d: Data) -> None:
    """Move the state in `d` by the acceleration `qacc`: new velocity first, position with it."""
    for v in range(m.nv):
        d.qvel[v] += m.timestep * d.qacc[v]
    integrate_pos(m, d.qpos, d.qpos, d.qvel, m.timestep)
    advance_activations(m, d)


@hook
def step_adj(m: Model, d: Data, w: Lanes) -> None:
    """Adjoint of `step`."""


@unit
def euler_adj(m: Model, d: Data, w: Lanes) -> None:
    """Adjoint of `euler`."""
    euler_acceleration(m, d)
    advance_adj(m, d, w)
    # without dampers the implicit part is no change, but the damping still has its derivative
    forward_adj(m, d, w, m.timestep if m.eulerdamp and (m.damped or w.with_params) else 0.0)


@unit
def implicitfast_adj(m: Model, d: Data, w: Lanes) -> None:
    """Adjoint of `implicitfast`."""
    implicit_acceleration(m, d)
    advance_adj(m, d, w)
    implicit_acceleration_adj(m, d, w)


@unit
def forward_smooth_adj(m: Model, d: Data, w: Lanes, damping_time: float) -> None:
    """Adjoint of the smooth forces: from the multiplier qfrc_adj and actdot_adj, at the acceleration `qacc`."""
    rne(m, d)
    rne_adj(m, d, w)
    applied_adj(m, d, w)
    passive_adj(m, d, w)
    spatial_tendon_adj(m, d, w, 0.0)
    tendon_armature_adj(m, d, w)
    transmission_adj(m, d, w, 0.0)
    adhesion_adj(m, d, w, 0.0)
    actuation_adj(m, d, w, 0.0)
    actuator_gravcomp_adj(m, d, w)
    if w.with_params:
        parameters_adj(m, d, w, damping_time, 0.0)


@unit
def forward_adj(m: Model, d: Data, w: Lanes, damping_time: float) -> None:
    """From qacc_adj, actdot_adj: add to qpos_adj, qvel_adj, act_adj, ctrl_adj.

    Needs `qacc` and the factor of M + damping_time * diag(dof_damping) that gave it.
    """
    aba_solve_lanes(m, d, w)
    forward_smooth_adj(m, d, w, damping_time)


@unit
def forward_constrained_adj(m: Model, d: Data, w: Lanes, damping_time: float) -> None:
    """The same with constraints; qacc_warmstart is the acceleration before damping."""
    active = d.nefc[0] > 0
    lanes_set(w.qfrc_adj, w.qacc_adj)
    if not active or damping_time > 0.0:
        solve_ltdl_lanes(m, d.qLD, w.qfrc_adj)
    if active:
        if damping_time > 0.0:
            implicit_damping_adj(m, d, w, damping_time)
        multiplier(m, d, w)
        for v in range(m.nv):
            d.qacc[v] = d.qacc_warmstart[v]
    forward_smooth_adj(m, d, w, 0.0 if active else damping_time)
    if active:
        constraint_adj(m, d, w)
        main_solution_adj(m, d, w)


@sequence
def multiplier(m: Model, d: Data, w: Lanes) -> None:
    """qfrc_adj: from the cotangent of M qacc to the multiplier of the equation of motion; noslip has its own."""
    solve_constraints_adj(m, d, w)


@hook
def solve_constraints_adj(m: Model, d: Data, w: Lanes) -> None:
    """qfrc_adj <- H^-1 qfrc_adj: from the cotangent of M qacc to the multiplier; after `solve_constraints`.

    A solver's: `solve_newton_adj` or `solve_pgs_adj`.
    """


@sequence
def implicit_acceleration_adj(m: Model, d: Data, w: Lanes) -> None:
    """From qacc_adj, actdot_adj: add to qpos_adj, qvel_adj, act_adj, ctrl_adj."""
    implicit_smooth_adj(m, d, w)


@sequence
def implicit_acceleration_constrained_adj(m: Model, d: Data, w: Lanes) -> None:
    """The same with constraints."""
    implicit_smooth_adj(m, d, w)
    if d.nefc[0] > 0:
        constraint_force_adj(m, d, w)


@sequence
def implicit_smooth_adj(m: Model, d: Data, w: Lanes) -> None:
    """The same with the constraint force held fixed; leaves the multiplier in qfrc_adj."""
    lanes_set(w.qfrc_adj, w.qacc_adj)
    implicit_solve(m, d, w.qfrc_adj, True)
    fluid_ahead(m, d)
    rne(m, d)
    rne_adj(m, d, w)
    applied_adj(m, d, w)
    gyroscopic_adj(m, d, w)
    passive_adj(m, d, w)
    spatial_tendon_adj(m, d, w, m.timestep)
    tendon_armature_adj(m, d, w)
    tendon_implicit_adj(m, d, w)
    transmission_adj(m, d, w, m.timestep)
    adhesion_adj(m, d, w, m.timestep)
    actuation_adj(m, d, w, m.timestep)
    actuator_gravcomp_adj(m, d, w)
    if w.with_params:
        parameters_adj(m, d, w, m.timestep, m.timestep)
        gyroscopic_parameters_adj(m, d, w)
    fluid_ahead_adj(m, d, w)
    bias_ahead_adj(m, d, w)


@sequence
def constraint_force_adj(m: Model, d: Data, w: Lanes) -> None:
    """Of qfrc_adj . qfrc_constraint as a function of the state: add the derivative.

    The force acts back on the acceleration it comes from, so the equation of motion gets a
    multiplier of its own, and the force the sum of both.
    """
    for v in range(m.nv):
        d.qacc[v] = d.qacc_warmstart[v]
    lanes_set(w.qacc_adj, w.qfrc_adj)
    mul_m_lanes(m, d, w.qfrc_adj, w.qacc_adj)
    multiplier(m, d, w)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qfrc_adj[v, k] -= w.qacc_adj[v, k]
            w.qacc_adj[v, k] += w.qfrc_adj[v, k]
    for a in range(m.na):
        for k in range(w.nlane):
            w.actdot_adj[a, k] = 0.0  # activations have had their share
    forward_smooth_adj(m, d, w, 0.0)
    lanes_set(w.qfrc_adj, w.qacc_adj)
    virtual_velocities(m, d, w)
    constraint_adj(m, d, w)
    main_solution_adj(m, d, w)


@unit
def main_solution_adj(m: Model, d: Data, w: Lanes) -> None:
    """Of the forces that noslip starts from, whose cotangent is efc_force_adj: add the derivative by the state.

    They belong to another acceleration, the main solver's, whose equation of motion has a multiplier of its own.
    """
    for v in range(m.nv):
        i = d.map_dof2idof[v]
        d.qacc[v] = d.main_acc[i]
        d.main_acc[i] = d.qacc_warmstart[v]  # kept for the next step's solver
        d.qacc_warmstart[v] = d.qacc[v]
    for r in range(d.nefc[0]):
        d.efc_force[r] = d.main_force[r]
    set_jar_of(d, d.qacc)
    main_forces_adj(m, d, w)
    solve_constraints_adj(m, d, w)
    main_rows_adj(m, d, w)
    for a in range(m.na):
        for k in range(w.nlane):
            w.actdot_adj[a, k] = 0.0  # activations have had their share
    forward_smooth_adj(m, d, w, 0.0)
    constraint_adj(m, d, w)
    for v in range(m.nv):
        d.qacc_warmstart[v] = d.main_acc[d.map_dof2idof[v]]


@kernel
def pull_positions(m: Model, d: Data, w: Lanes) -> None:
    """Adjoint of the positions' step along shift_sum; nothing to do where positions have no cotangent (`parts.py`)."""
    integrate_pos_adj(m, w.qpos_adj, w.qvel_adj, d.shift_sum, m.timestep)


@sequence
def advance_adj(m: Model, d: Data, w: Lanes) -> None:
    """Adjoint of `advance`, `d` before it: sets qacc_adj, actdot_adj, pulls the rest back."""
    for v in range(m.nv):
        d.shift_sum[v] = d.qvel[v] + m.timestep * d.qacc[v]
    pull_positions(m, d, w)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qacc_adj[v, k] = m.timestep * w.qvel_adj[v, k]
    advance_activations_adj(m, d, w, d.act, d.act_dot)

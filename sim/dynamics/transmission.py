"""Transmissions whose moment arms move with the pose (mj_transmission), and the adjoint of what they pass on.

With the moment arms A of an actuator, its length l and its control or activation u, the joint forces are

    tau = A(q)' force(l(q), A(q) qvel, u).

A kind of transmission is two kernels. Forward, of actuator i: its length, and in actuator_moment its
arms on the degrees of freedom that the model's table moment_* lists for it (`moment_fields` of
`couplings.py`, where moment_moves says that they move). Adjoint: given cotangents, of the length
in length_adj[0] and of the arm of entry moment_rowadr[i] + k in moment_adj[k], add the derivative of
length_adj[0] l + sum moment_adj[k] A[k] to qpos_adj and mocap_adj, and with parameters to actuator_gear_adj
and body_pos_adj. That derivative of the arms is d(A x)/dq at a fixed x, lane by lane. A length need not
be the integral of its arms: MuJoCo's between two sites is not.
"""

from ..kernels.enums import TRN_BODY, TRN_JOINTINPARENT, TRN_TENDON
from ..kernels.jit import kernel
from ..kernels.spatial import lanes_axpy
from ..model.data import Data, Lanes
from ..model.model import Model
from .activation import activation_adj, actuator_input, ctrl_is_clamped
from .actuation import arms_move, coupled_sum, dof_is_clamped, force_is_clamped, force_passes
from .actuator_law import actuator_gain, force_slopes, gain_rate, slope_changes
from .joint_in_parent import joint_in_parent, joint_in_parent_adj
from .spatial_tendon import spatial_transmission
from .spatial_tendon_adj import spatial_transmission_adj
from .tendon import moves_with
from .two_sites import two_sites
from .two_sites_adj import two_sites_adj


@kernel
def transmission(m: Model, d: Data) -> None:
    """Fill actuator_length, actuator_moment, actuator_velocity of actuators whose arms move, those on bodies apart."""
    for i in range(m.nu):
        if arms_move(m, i) and m.actuator_trntype[i] != TRN_BODY:
            if m.actuator_trntype[i] == TRN_JOINTINPARENT:
                joint_in_parent(m, d, i)
            elif m.actuator_trntype[i] == TRN_TENDON:
                spatial_transmission(m, d, i)
            else:
                two_sites(m, d, i)
            velocity = 0.0
            for k in range(m.moment_rowadr[i], m.moment_rowadr[i] + m.moment_rownnz[i]):
                velocity += d.actuator_moment[k] * d.qvel[m.moment_colind[k]]
            d.actuator_velocity[i] = velocity


@kernel
def transmission_adj(m: Model, d: Data, w: Lanes, implicit_time: float) -> None:
    """Add the derivative of qfrc_adj . (joint forces through moment arms that move); before `actuation_adj`."""
    for i in range(m.nu):
        if m.actuator_enabled[i] and arms_move(m, i) and m.actuator_trntype[i] != TRN_BODY:
            actuator_adj(m, d, w, i, implicit_time)
            if m.actuator_trntype[i] == TRN_JOINTINPARENT:
                joint_in_parent_adj(m, d, w, i)
            elif m.actuator_trntype[i] == TRN_TENDON:
                spatial_transmission_adj(m, d, w, i)
            else:
                two_sites_adj(m, d, w, i)


@kernel
def actuator_adj(m: Model, d: Data, w: Lanes, i: int, implicit_time: float) -> None:
    """Set length_adj, moment_adj; add to qvel_adj, act_adj, ctrl_adj."""
    gain, gain_slope, by_length, by_velocity, bends = 0.0, 0.0, 0.0, 0.0, (0.0, 0.0)
    value, share = actuator_input(m, d, i), force_passes(m, d, i)
    if share != 0.0:
        gain = share * actuator_gain(m, i, d.actuator_length[i], d.actuator_velocity[i])
        by_length, by_velocity = force_slopes(m, d, i, value)
    if force_is_clamped(m, d, i):
        implicit_time = 0.0  # implicitfast takes nothing ahead
    else:
        gain_slope, bends = gain_rate(m, d, i), slope_changes(m, d, i, value)
    _force_cotangents(m, d, w, i, implicit_time)
    for k in range(w.nlane):
        w.length_adj[0, k] = share * by_length * w.force_adj[0, k] + bends[0] * w.force_adj[1, k]
        w.velocity_adj[0, k] = share * by_velocity * w.force_adj[0, k] + bends[1] * w.force_adj[1, k]
    _moment_cotangents(m, d, w, i, implicit_time * by_velocity)
    for e in range(m.moment_rowadr[i], m.moment_rowadr[i] + m.moment_rownnz[i]):
        lanes_axpy(w.qvel_adj, m.moment_colind[e], d.actuator_moment[e], w.velocity_adj, 0)
    if m.actuator_actadr[i] >= 0:
        activation_adj(m, d, w, i, gain, w.force_adj, 0)
        activation_adj(m, d, w, i, gain_slope, w.force_adj, 1)
    elif not ctrl_is_clamped(m, d, i):
        lanes_axpy(w.ctrl_adj, i, gain, w.force_adj, 0)
        lanes_axpy(w.ctrl_adj, i, gain_slope, w.force_adj, 1)


@kernel
def _force_cotangents(m: Model, d: Data, w: Lanes, i: int, implicit_time: float) -> None:
    """force_adj: of the force, through the joints that pass it on; of its slope by velocity, times implicit_time."""
    for k in range(w.nlane):
        w.force_adj[0, k], w.force_adj[1, k] = 0.0, 0.0
    for e in range(m.moment_rowadr[i], m.moment_rowadr[i] + m.moment_rownnz[i]):
        v, arm = m.moment_colind[e], d.actuator_moment[e]
        if not dof_is_clamped(m, d, v):
            lanes_axpy(w.force_adj, 0, arm, w.qfrc_adj, v)
        if implicit_time > 0.0:
            rate = coupled_sum(m, d, i, e, d.qacc[:, None], 0)
            lanes_axpy(w.force_adj, 1, implicit_time * arm * rate, w.qfrc_adj, v)


@kernel
def _moment_cotangents(m: Model, d: Data, w: Lanes, i: int, ahead: float) -> None:
    """moment_adj: through the joint force, the velocity, and the product of arms that implicitfast takes ahead."""
    first, end = m.moment_rowadr[i], m.moment_rowadr[i] + m.moment_rownnz[i]
    for e in range(first, end):
        v = m.moment_colind[e]
        push = 0.0 if dof_is_clamped(m, d, v) else d.actuator_force[i]
        if ahead != 0.0:
            push += ahead * coupled_sum(m, d, i, e, d.qacc[:, None], 0)
        for k in range(w.nlane):
            w.moment_adj[e - first, k] = push * w.qfrc_adj[v, k] + d.qvel[v] * w.velocity_adj[0, k]
        for c in range(first, end if ahead != 0.0 else first):
            u = m.moment_colind[c]
            if moves_with(m, v, u) or moves_with(m, u, v):
                lanes_axpy(w.moment_adj, e - first, ahead * d.actuator_moment[c] * d.qacc[v], w.qfrc_adj, u)

"""Adjoint of the equalities' share of the constraint force (see `rows_adj.py`).

With y = J w and z = C y, and r the residual, an equality adds to Phi

    f . J w - z . (r'' + b r') + residual's own share,

r' = J v, and r'' = J a + J' v its second derivative under the velocity and the acceleration, since
aref takes J' v off. All three are motions of the two bodies held together. A shift of coordinate
j carries what is behind it along its axis S_j; to an observer carried along, the bodies before j
move instead (`rnea.py`): velocities change by S' = v_before x S_j, the acceleration of body b by
S'' - v_b x S' with S'' = a_before x S_j + v_before x S', the virtual velocity by W_before x S_j.
The world axes, along which the rows of points act, turn the other way for this observer. Of the
velocity, the acceleration has the slope S' + S* - v_b x S_j with S* = v_after x S_j. Gravity in
the accelerations does no harm: it changes no residual.
"""

from ..dynamics.mocap import has_own_position, mocap_axis
from ..kernels.enums import CONNECT, TENDON, WELD
from ..kernels.jit import kernel
from ..kernels.rotation import (
    Quat,
    Vec3,
    add3,
    cross3,
    load3,
    load_mat3,
    mat_t_vec3,
    mat_vec3,
    quat_to_mat,
    scale3,
    sub3,
)
from ..kernels.spatial import (
    Vec6,
    add6,
    cross_force,
    cross_motion,
    dot6,
    lanes_axpy,
    lanes_sub_dot,
    load6,
    point_acceleration,
    velocity_at,
)
from ..model.data import Data, Lanes
from ..model.model import Model
from .equality import (
    TORQUESCALE,
    arm_to,
    object_arm,
    object_count,
    object_dof,
    object_shift,
    orientation,
    polynomial,
    relative_rates,
    row_count,
    second_frame,
    turned,
)
from .row import last_dof, row_dof, row_width, stiffening
from .tendon_rows_adj import spatial_equality_adj

# rows of Data.eq_share: coefficients, for one coordinate, of efc_z by the pose and by the velocity,
# of the virtual velocity before the coordinate and of those of both bodies
BY_POSE, BY_VELOCITY, BEFORE, FIRST, SECOND = 0, 1, 2, 3, 4


@kernel
def equality_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add to qpos_adj, qvel_adj, mocap_adj, body_pos_adj.

    Needs `rne` and `rne_adj` at the constrained acceleration, efc_y, efc_z, and virtual velocities.
    """
    r = 0
    for e in range(m.neq):
        if m.eq_active0[e]:
            count = row_count(m, e)
            _residual_adj(d, w, r, count)
            if m.eq_type[e] == CONNECT or m.eq_type[e] == WELD:
                for side in range(2):
                    _side_adj(m, d, w, e, r, side)
                    if m.body_mocapid[m.body_rootid[m.eq_bodyid[e, side]]] >= 0:
                        _mocap_adj(m, d, w, e, r, side)
            else:
                _couple_adj(m, d, w, e, r)
            r += count


@kernel
def _residual_adj(d: Data, w: Lanes, first: int, count: int) -> None:
    """efc_pos_adj: through aref row by row, through the impedance by the norm that the rows share."""
    total = 0.0
    for r in range(first, first + count):
        total += d.efc_pos[r] * d.efc_pos[r]
    stiffness, imp, slope = d.efc_kbip[first, 0], d.efc_kbip[first, 2], d.efc_kbip[first, 3]
    norm = total**0.5 if total > 0.0 else 1.0
    by_norm = slope / norm
    for k in range(w.nlane):
        common = 0.0
        for r in range(first, first + count):
            common += w.efc_y[r, k] * d.efc_force[r] * stiffening(d, r) / norm
            common -= w.efc_z[r, k] * stiffness * d.efc_pos[r] * by_norm
        for r in range(first, first + count):
            w.efc_pos_adj[r, k] = common * d.efc_pos[r] - stiffness * imp * w.efc_z[r, k]
    for r in range(first, first + count):
        for i in range(row_width(d, r)):
            lanes_axpy(w.qpos_adj, row_dof(d, r, i), d.efc_J[r, i], w.efc_pos_adj, r)


@kernel
def _couple_adj(m: Model, d: Data, w: Lanes, e: int, r: int) -> None:
    """Joint or tendon equality: the polynomial's slope in the Jacobian moves with the second object."""
    t = m.eq_obj2id[e]
    _, slope, bend = polynomial(m, e, object_shift(m, d, e, t))
    rate = 0.0
    for k in range(object_count(m, e, t)):
        v = object_dof(m, e, t, k)
        rate += object_arm(m, d, e, t, k) * (d.qacc_warmstart[v] + d.efc_kbip[r, 1] * d.qvel[v])
    for k in range(object_count(m, e, t)):
        v, s = object_dof(m, e, t, k), bend * object_arm(m, d, e, t, k)
        lanes_axpy(w.qpos_adj, v, s * rate, w.efc_z, r)
        for c in range(object_count(m, e, t)):
            push = s * object_arm(m, d, e, t, c) * d.efc_force[r]
            lanes_axpy(w.qpos_adj, v, -push, w.qfrc_adj, object_dof(m, e, t, c))
    if m.eq_type[e] == TENDON:
        spatial_equality_adj(m, d, w, r, m.eq_obj1id[e], 1.0, 0.0, 0.0)
        if t >= 0:
            spatial_equality_adj(m, d, w, r, t, -slope, bend, rate)


@kernel
def _side_adj(m: Model, d: Data, w: Lanes, e: int, first: int, side: int) -> None:
    """What the coordinates above one of the two bodies of a connect or weld do."""
    b, count, shares = m.eq_bodyid[e, side], row_count(m, e), d.eq_share
    v = last_dof(m, b)
    while v >= 0:
        axis, rate = load6(d.cdof, v), load6(d.cdof_dot, v)
        _shares(m, d, e, first, side, axis, rate, load6(w.axis_ddot, v), load6(w.axis_rate, v))
        for i in range(count):
            lanes_axpy(w.qpos_adj, v, -shares[BY_POSE, i], w.efc_z, first + i)
            lanes_axpy(w.qvel_adj, v, -shares[BY_VELOCITY, i], w.efc_z, first + i)
        lanes_sub_dot(w.qpos_adj, v, load6(shares, BEFORE), w.wvel, m.dof_beforeid[v])
        lanes_sub_dot(w.qpos_adj, v, load6(shares, FIRST), w.wvel, m.eq_bodyid[e, 0])
        lanes_sub_dot(w.qpos_adj, v, load6(shares, SECOND), w.wvel, m.eq_bodyid[e, 1])
        v = m.dof_parentid[v]
    if w.with_params:
        while b > 0:
            _body_pos_adj(m, d, w, e, first, side, b)
            b = m.body_parentid[b]


@kernel
def _shares(m: Model, d: Data, e: int, first: int, side: int, axis: Vec6, rate: Vec6, ddot: Vec6, slope: Vec6) -> None:
    """Fill eq_share for a coordinate: its axis S, S', S'' and S' + S*."""
    for row in range(5):
        for i in range(6):
            d.eq_share[row, i] = 0.0
    sign, b, arm = 1.0 - 2.0 * side, m.eq_bodyid[e, side], arm_to(m, d, e, side)
    damping, turn, sigma = d.efc_kbip[first, 1], (axis[0], axis[1], axis[2]), (rate[0], rate[1], rate[2])
    velocity = velocity_at(load6(d.cvel, b), arm)
    acceleration = point_acceleration(load6(d.cacc, b), load6(d.cvel, b), arm)
    by_pose = add3(velocity_at(ddot, arm), scale3(2.0, cross3(sigma, velocity)))
    by_pose = add3(by_pose, cross3(turn, add3(acceleration, scale3(damping, velocity))))
    by_pose = add3(by_pose, scale3(damping, velocity_at(rate, arm)))
    by_velocity = add3(velocity_at(slope, arm), scale3(2.0, cross3(turn, velocity)))
    force = (d.efc_force[first], d.efc_force[first + 1], d.efc_force[first + 2])
    torque, carried = cross3(arm, force), cross3(force, turn)
    moment = cross3(arm, carried)
    if m.eq_type[e] == WELD:
        torque = add3(torque, _turn_shares(m, d, e, first, sign, turn, sigma, ddot, slope))
    before = cross_force(axis, (torque[0], torque[1], torque[2], force[0], force[1], force[2]))
    for i in range(3):
        d.eq_share[BY_POSE, i] = sign * by_pose[i]
        d.eq_share[BY_VELOCITY, i] = sign * by_velocity[i]
        d.eq_share[FIRST + side, i] -= sign * moment[i]
        d.eq_share[FIRST + side, 3 + i] -= sign * carried[i]
    for i in range(6):
        d.eq_share[BEFORE, i] = -sign * before[i]


@kernel
def _imaginary(a: Quat, b: Quat) -> Vec3:
    return a[1] + b[1], a[2] + b[2], a[3] + b[3]


@kernel
def _pulled(f: Vec3, q: Quat) -> Vec3:
    """Cotangent of u for the cotangent f of the imaginary part of T(u, q)."""
    return scale3(0.5, add3(scale3(q[0], f), cross3((q[1], q[2], q[3]), f)))


@kernel
def _turn_shares(
    m: Model, d: Data, e: int, first: int, sign: float, turn: Vec3, sigma: Vec3, ddot: Vec6, slope: Vec6
) -> Vec3:
    """The share of a weld's rotation; returns the torque that its force is on the first body."""
    b1, b2, scale = m.eq_bodyid[e, 0], m.eq_bodyid[e, 1], m.eq_data[e, TORQUESCALE]
    r2, q, damping = quat_to_mat(second_frame(m, d, e)), orientation(m, d, e), d.efc_kbip[first, 1]
    w1, w2, alpha = load3(d.cvel, b1), load3(d.cvel, b2), load3(d.cacc, b1)
    u, change = relative_rates(m, d, e, load6(d.cacc, b1), load6(d.cacc, b2))
    both = add3(w1, w2)
    carried = cross3(turn, w1)
    by_u = scale3(sign, mat_t_vec3(r2, add3(sigma, carried)))
    by_change = sub3((ddot[0], ddot[1], ddot[2]), cross3(both, sigma))
    by_change = add3(by_change, sub3(cross3(turn, alpha), cross3(w2, carried)))
    by_change = scale3(sign, mat_t_vec3(r2, by_change))
    eta = scale3(sign, mat_t_vec3(r2, turn))
    steeper = scale3(sign, mat_t_vec3(r2, sub3((slope[0], slope[1], slope[2]), cross3(both, turn))))
    q_dot, dq = turned(u, q), turned(eta, q)
    one, two = turned(by_u, q), turned(u, dq)
    dq_dot = (one[0] + two[0], one[1] + two[1], one[2] + two[2], one[3] + two[3])
    by_pose = add3(_imaginary(turned(by_change, q), turned(change, dq)), scale3(damping, _imaginary(one, two)))
    by_pose = add3(by_pose, _imaginary(turned(by_u, q_dot), turned(u, dq_dot)))
    bend = turned(u, dq)
    by_velocity = add3(_imaginary(turned(steeper, q), turned(eta, q_dot)), (bend[1], bend[2], bend[3]))
    force = scale3(scale, (d.efc_force[first + 3], d.efc_force[first + 4], d.efc_force[first + 5]))
    torque, moved = mat_vec3(r2, _pulled(force, q)), mat_vec3(r2, _pulled(force, dq))
    twist = scale3(sign, cross3(torque, turn))
    for i in range(3):
        d.eq_share[BY_POSE, 3 + i] = scale * by_pose[i]
        d.eq_share[BY_VELOCITY, 3 + i] = scale * by_velocity[i]
        d.eq_share[FIRST, i] -= twist[i] + moved[i]
        d.eq_share[SECOND, i] += moved[i]
    return torque


@kernel
def _mocap_adj(m: Model, d: Data, w: Lanes, e: int, first: int, side: int) -> None:
    """Pose of the mocap body that one of the two bodies is, or is on: coordinates at rest, behind the world."""
    root, count, sign, shares = m.body_rootid[m.eq_bodyid[e, side]], row_count(m, e), 1.0 - 2.0 * side, d.eq_share
    scale, q, r2 = m.eq_data[e, TORQUESCALE], orientation(m, d, e), quat_to_mat(second_frame(m, d, e))
    rest: Vec6 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    out, arm = w.mocap_adj[m.body_mocapid[root]], arm_to(m, d, e, side)
    for i in range(6):
        axis = mocap_axis(d, root, i)
        _shares(m, d, e, first, side, axis, rest, cross_motion(load6(d.cacc, 0), axis), rest)
        lanes_sub_dot(out, i, load6(shares, FIRST), w.wvel, m.eq_bodyid[e, 0])
        lanes_sub_dot(out, i, load6(shares, SECOND), w.wvel, m.eq_bodyid[e, 1])
        point, turn = velocity_at(axis, arm), turned(mat_t_vec3(r2, (axis[0], axis[1], axis[2])), q)
        for r in range(count):
            lanes_axpy(out, i, -shares[BY_POSE, r], w.efc_z, first + r)
            slope = sign * (point[r] if r < 3 else scale * turn[r - 2])
            lanes_axpy(out, i, slope, w.efc_pos_adj, first + r)


@kernel
def _body_pos_adj(m: Model, d: Data, w: Lanes, e: int, first: int, side: int, c: int) -> None:
    """Position of body `c`, which moves what is behind like a slide joint in front of it, at rest."""
    if has_own_position(m, c):
        return
    p, sign, shares = m.body_parentid[c], 1.0 - 2.0 * side, d.eq_share
    r, v, a = load_mat3(d.xmat, p), load6(d.cvel, p), load6(d.cacc, p)
    for i in range(3):
        axis: Vec6 = (0.0, 0.0, 0.0, r[i], r[3 + i], r[6 + i])
        rate = cross_motion(v, axis)
        ddot = add6(cross_motion(a, axis), cross_motion(v, rate))
        _shares(m, d, e, first, side, axis, rate, ddot, rate)
        total = dot6(load6(shares, BEFORE), _lane6(w, p)) + dot6(load6(shares, FIRST), _lane6(w, m.eq_bodyid[e, 0]))
        total += dot6(load6(shares, SECOND), _lane6(w, m.eq_bodyid[e, 1]))
        for k in range(row_count(m, e)):
            total += shares[BY_POSE, k] * w.efc_z[first + k, 0]
        for k in range(3):
            total -= sign * axis[3 + k] * w.efc_pos_adj[first + k, 0]
        w.body_pos_adj[c, i] -= total


@kernel
def _lane6(w: Lanes, b: int) -> Vec6:
    """Virtual velocity of body `b`, of the only lane."""
    x = w.wvel
    return x[b, 0, 0], x[b, 1, 0], x[b, 2, 0], x[b, 3, 0], x[b, 4, 0], x[b, 5, 0]

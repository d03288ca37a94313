"""Adjoint of the constraint force with the acceleration held fixed.

For the multiplier w let Phi = w . J' f(J a - aref). With y = J w and z = C y, C = -df/d(J a),

    dPhi = f . d(J w) - z . d(J a) + z . d(aref) + (y . f) dD / D,

so a row acts through three velocities, those that the joint velocities w, a and qvel give its
point, and through its residual. Each is a force between two bodies, and how it changes with the
pose is that of `rnea.py`, to which come the motion of the contact's point, frame and distance.
"""

from ._jit import kernel
from ._record import Floats
from .collision.contacts import collide_adj
from .constraint import CONTACT_ELLIPTIC, CONTACT_PYRAMIDAL, LIMIT, ball_limit
from .data import Data, Lanes
from .kinematics import BALL, FREE
from .model import Model
from .rnea import virtual_velocities
from .rotation import Vec3, add3, cross3, load3, load_mat3, right_jacobian_inv_t, scale3, sub3
from .spatial import (
    Vec6,
    add6,
    axpy6,
    cross_force,
    cross_motion,
    dot6,
    load6,
    store6,
)
from .velocity import dofs_moving_together


@kernel
def constraint_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add to qpos_adj, qvel_adj, for the multiplier qfrc_adj; the acceleration is d.qacc_warmstart."""
    virtual_velocities(m, d, w)
    _row_velocities(m, d, w)
    force_changes(m, d, w)
    _damping_forces(m, d, w)
    _velocity_field(m, d)
    for b in range(m.nbody):
        store6(d.cfrc, b, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        for r in range(6):
            for k in range(w.nlane):
                w.wcor[b, r, k], w.wmom[b, r, k], w.wpush[b, r, k] = 0.0, 0.0, 0.0
    for r in range(d.nefc[0]):
        if d.efc_type[r] == LIMIT:
            _limit_adj(m, d, w, r)
    for c in range(d.ncon[0]):
        if d.con_efc[c] >= 0:
            _contact_adj(m, d, w, c)
    _gather(m, d, w)


@kernel
def _row_velocities(m: Model, d: Data, w: Lanes) -> None:
    """efc_y = J w."""
    n, lanes = d.nefc[0], w.nlane
    for r in range(n):
        for k in range(lanes):
            w.efc_y[r, k] = 0.0
        for v in range(m.nv):
            s = d.efc_J[r, v]
            if s != 0.0:
                for k in range(lanes):
                    w.efc_y[r, k] += s * w.qfrc_adj[v, k]


@kernel
def force_changes(m: Model, d: Data, w: Lanes) -> None:
    """efc_z = C y."""
    n, lanes = d.nefc[0], w.nlane
    for r in range(n):
        s = d.efc_slope[r]
        for k in range(lanes):
            w.efc_z[r, k] = s * w.efc_y[r, k]
    for c in range(d.ncon[0]):
        first = d.con_efc[c]
        if first >= 0 and d.efc_type[first] == CONTACT_ELLIPTIC and d.cone_on[c]:
            dim = m.con_dim[d.con_pair[c]]
            for i in range(dim):
                for j in range(dim):
                    s = d.cone_hess[c, i, j]
                    for k in range(lanes):
                        w.efc_z[first + i, k] += s * w.efc_y[first + j, k]


@kernel
def _damping_forces(m: Model, d: Data, w: Lanes) -> None:
    """Velocity's share of aref."""
    n, lanes = d.nefc[0], w.nlane
    for r in range(n):
        for v in range(m.nv):
            s = d.efc_J[r, v] * d.efc_kbip[r, 1]
            if s != 0.0:
                for k in range(lanes):
                    w.qvel_adj[v, k] -= s * w.efc_z[r, k]


@kernel
def _residual_adj(d: Data, w: Lanes, first: int, count: int, k: int) -> float:
    """Cotangent of the residual shared by `count` rows: through aref and through the regulariser."""
    total = 0.0
    imp, slope = d.efc_kbip[first, 2], d.efc_kbip[first, 3]
    softening = slope / (imp * (1.0 - imp))
    for r in range(first, first + count):
        total -= w.efc_z[r, k] * d.efc_kbip[r, 0] * (d.efc_kbip[r, 2] + d.efc_kbip[r, 3] * d.efc_pos[r])
        total += w.efc_y[r, k] * d.efc_force[r] * softening
    return total


@kernel
def _velocity_field(m: Model, d: Data) -> None:
    """cacc = velocity of the bodies if qacc were the joint velocity."""
    store6(d.cacc, 0, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    for b in range(1, m.nbody):
        a = load6(d.cacc, m.body_parentid[b])
        for v in range(m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]):
            a = axpy6(d.qacc_warmstart[v], load6(d.cdof, v), a)
        store6(d.cacc, b, a)


@kernel
def _limit_adj(m: Model, d: Data, w: Lanes, r: int) -> None:
    j = d.efc_id[r]
    v, a = m.jnt_dofadr[j], m.jnt_qposadr[j]
    for k in range(w.nlane):
        by_pos = _residual_adj(d, w, r, 1, k)
        if m.jnt_type[j] != BALL:
            w.qpos_adj[v, k] += d.efc_J[r, v] * by_pos
            continue
        axis, angle = ball_limit(d, a)
        phi = scale3(angle, axis)
        z, b = w.efc_z[r, k], d.efc_kbip[r, 1]
        x: Vec3 = (
            d.efc_force[r] * w.qfrc_adj[v, k] - z * d.qacc_warmstart[v] - z * b * d.qvel[v],
            d.efc_force[r] * w.qfrc_adj[v + 1, k] - z * d.qacc_warmstart[v + 1] - z * b * d.qvel[v + 1],
            d.efc_force[r] * w.qfrc_adj[v + 2, k] - z * d.qacc_warmstart[v + 2] - z * b * d.qvel[v + 2],
        )
        along = axis[0] * x[0] + axis[1] * x[1] + axis[2] * x[2]
        phi_adj = add3(scale3(-1.0 / angle, sub3(x, scale3(along, axis))), scale3(-by_pos, axis))
        g = right_jacobian_inv_t(phi, phi_adj)
        for i in range(3):
            w.qpos_adj[v + i, k] += g[i]


@kernel
def _frame_force(m: Model, d: Data, c: int, coefficients: Floats, k: int, scale_by_damping: bool) -> Vec6:
    """Contact-frame force and torque sum_r coefficient_r E_r of the contact's rows."""
    first, p = d.con_efc[c], d.con_pair[c]
    dim = m.con_dim[p]
    g0, g1, g2, g3, g4, g5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    count = 2 * (dim - 1) if d.efc_type[first] == CONTACT_PYRAMIDAL else dim
    for e in range(count):
        s = coefficients[first + e, k]
        if scale_by_damping:
            s *= d.efc_kbip[first + e, 1]
        axis = e
        if d.efc_type[first] == CONTACT_PYRAMIDAL:
            g0 += s
            axis = 1 + e // 2
            s *= m.con_friction[p, axis - 1] * (1.0 - 2.0 * (e % 2))
        if axis == 0:
            g0 += s
        elif axis == 1:
            g1 += s
        elif axis == 2:
            g2 += s
        elif axis == 3:
            g3 += s
        elif axis == 4:
            g4 += s
        else:
            g5 += s
    return g0, g1, g2, g3, g4, g5


@kernel
def _to_world(d: Data, c: int, x: float, y: float, z: float) -> Vec3:
    f = d.con_frame
    return (
        f[c, 0] * x + f[c, 3] * y + f[c, 6] * z,
        f[c, 1] * x + f[c, 4] * y + f[c, 7] * z,
        f[c, 2] * x + f[c, 5] * y + f[c, 8] * z,
    )


@kernel
def _wrench(m: Model, d: Data, c: int, b: int, force: Vec3, torque: Vec3) -> Vec6:
    arm = sub3(load3(d.con_pos, c), load3(d.subtree_com, m.body_rootid[b]))
    moment = add3(torque, cross3(arm, force))
    return moment[0], moment[1], moment[2], force[0], force[1], force[2]


@kernel
def _at_contact(m: Model, d: Data, c: int, b: int, v: Vec6) -> Vec3:
    arm = sub3(load3(d.con_pos, c), load3(d.subtree_com, m.body_rootid[b]))
    return add3((v[3], v[4], v[5]), cross3((v[0], v[1], v[2]), arm))


@kernel
def _lane6(a: Floats, b: int, k: int) -> Vec6:
    return a[b, 0, k], a[b, 1, k], a[b, 2, k], a[b, 3, k], a[b, 4, k], a[b, 5, k]


@kernel
def _add_lane6(a: Floats, b: int, k: int, s: float, x: Vec6) -> None:
    for i in range(6):
        a[b, i, k] += s * x[i]


@kernel
def _contact_adj(m: Model, d: Data, w: Lanes, c: int) -> None:
    p, first = d.con_pair[c], d.con_efc[c]
    b1, b2 = m.geom_bodyid[m.con_geom[p, 0]], m.geom_bodyid[m.con_geom[p, 1]]
    dim = m.con_dim[p]
    count = 2 * (dim - 1) if d.efc_type[first] == CONTACT_PYRAMIDAL else dim
    g = _frame_force(m, d, c, d.efc_force.reshape((d.efc_force.shape[0], 1)), 0, False)
    force, torque = _to_world(d, c, g[0], g[1], g[2]), _to_world(d, c, g[3], g[4], g[5])
    store6(d.cfrc, b1, axpy6(-1.0, _wrench(m, d, c, b1, force, torque), load6(d.cfrc, b1)))
    store6(d.cfrc, b2, axpy6(1.0, _wrench(m, d, c, b2, force, torque), load6(d.cfrc, b2)))
    for k in range(w.nlane):
        x_adj: Vec3 = (0.0, 0.0, 0.0)
        y_adj, z_adj, pos_adj = x_adj, x_adj, x_adj
        for field in range(3):
            if field == 0:
                h, f, t = g, force, torque
                v1, v2 = _lane6(w.wvel, b1, k), _lane6(w.wvel, b2, k)
            else:
                h = _frame_force(m, d, c, w.efc_z, k, field == 2)
                h = (-h[0], -h[1], -h[2], -h[3], -h[4], -h[5])
                f, t = _to_world(d, c, h[0], h[1], h[2]), _to_world(d, c, h[3], h[4], h[5])
                v1 = load6(d.cacc, b1) if field == 1 else load6(d.cvel, b1)
                v2 = load6(d.cacc, b2) if field == 1 else load6(d.cvel, b2)
            f1, f2 = _wrench(m, d, c, b1, f, t), _wrench(m, d, c, b2, f, t)
            _add_lane6(w.wcor, b1, k, -1.0, cross_force(v1, f1))
            _add_lane6(w.wcor, b2, k, 1.0, cross_force(v2, f2))
            if field == 1:
                _add_lane6(w.wmom, b1, k, -1.0, f1)
                _add_lane6(w.wmom, b2, k, 1.0, f2)
            elif field == 2:
                _add_lane6(w.wpush, b1, k, -1.0, f1)
                _add_lane6(w.wpush, b2, k, 1.0, f2)
            linear = sub3(_at_contact(m, d, c, b2, v2), _at_contact(m, d, c, b1, v1))
            angular = (v2[0] - v1[0], v2[1] - v1[1], v2[2] - v1[2])
            pos_adj = add3(pos_adj, cross3(f, angular))
            x_adj = add3(x_adj, add3(scale3(h[0], linear), scale3(h[3], angular)))
            y_adj = add3(y_adj, add3(scale3(h[1], linear), scale3(h[4], angular)))
            z_adj = add3(z_adj, add3(scale3(h[2], linear), scale3(h[5], angular)))
        dist_adj = _residual_adj(d, w, first, count, k)
        collide_adj(m, d, w, c, k, dist_adj, pos_adj, x_adj, y_adj, z_adj)


@kernel
def _gather(m: Model, d: Data, w: Lanes) -> None:
    """Carry the pushes up the trees and give every degree of freedom its share."""
    n = w.nlane
    for b in range(m.nbody - 1, 0, -1):
        p = m.body_parentid[b]
        if p > 0:
            store6(d.cfrc, p, add6(load6(d.cfrc, p), load6(d.cfrc, b)))
            for r in range(6):
                for k in range(n):
                    w.wcor[p, r, k] += w.wcor[b, r, k]
                    w.wmom[p, r, k] += w.wmom[b, r, k]
                    w.wpush[p, r, k] += w.wpush[b, r, k]
    for b in range(1, m.nbody):
        if w.with_params:
            _body_pos_adj(m, d, w, b)
        before = load6(d.cacc, m.body_parentid[b])
        force = load6(d.cfrc, b)
        v, end = m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]
        while v < end:
            size = dofs_moving_together(m, v)
            after = before
            for i in range(v, v + size):
                axis, rate = load6(d.cdof, i), load6(d.cdof_dot, i)
                turned, moved = cross_force(axis, force), cross_motion(before, axis)
                after = axpy6(d.qacc_warmstart[i], axis, after)
                for r in range(6):
                    for k in range(n):
                        w.qpos_adj[i, k] += axis[r] * w.wcor[b, r, k] + turned[r] * w.wvel_joint[i, r, k]
                        w.qpos_adj[i, k] += moved[r] * w.wmom[b, r, k] + rate[r] * w.wpush[b, r, k]
            before = after
            v += size


@kernel
def _body_pos_adj(m: Model, d: Data, w: Lanes, b: int) -> None:
    """Share of the body position, which moves the subtree like a slide joint in front of it."""
    if m.body_jntnum[b] > 0 and m.jnt_type[m.body_jntadr[b]] == FREE:
        return
    p = m.body_parentid[b]
    r, virtual = load_mat3(d.xmat, p), _lane6(w.wvel, p, 0)
    for i in range(3):
        axis: Vec6 = (0.0, 0.0, 0.0, r[i], r[3 + i], r[6 + i])
        w.body_pos_adj[b, i] += dot6(axis, _lane6(w.wcor, b, 0)) + dot6(cross_force(axis, load6(d.cfrc, b)), virtual)
        w.body_pos_adj[b, i] += dot6(cross_motion(load6(d.cacc, p), axis), _lane6(w.wmom, b, 0))
        w.body_pos_adj[b, i] += dot6(cross_motion(load6(d.cvel, p), axis), _lane6(w.wpush, b, 0))

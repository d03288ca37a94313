"""Recursive Newton-Euler: inverse dynamics, and its reverse sweep.

Forward: Featherstone (2008), table 5.1, in one common frame, so that bodies exchange forces and
accelerations without transformations.

Adjoint. For a multiplier w of the equation of motion let W_b be the velocity that body b would
have if w were the joint velocity. Then E = w . tau = sum_b W_b . f_b, with f_b = I a + v x* I v
the force on body b. A shift of coordinate j moves everything behind it rigidly by its axis S_j,
and E does not change when force and virtual velocity turn together, so that only what does not
turn along is left: the motion (v, a, W) of the bodies before j. With the subtree sums
F = sum f, P = sum I W, Q = sum (v x* I W - W x* I v - I (v x W)):

    dE/dq_j    = (S_j x* F) . W_before + S''_j . P + S'_j . Q
    dE/dqvel_j = (S'_j + S*_j) . P + S_j . Q

    S'_j  = v_before x S_j,    S*_j = v_after x S_j,    S''_j = a_before x S_j + v_before x S'_j.

These are the reduced derivatives of Carpentier and Mansard (2018, "Analytical derivatives of
rigid body dynamics algorithms"), here contracted with w before any matrix is formed. Each lane is
one w; F and all coefficients are shared by the lanes.
"""

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import cross3, dot3
from ..kernels.spatial import (
    Vec6,
    add6,
    axpy6,
    cross_force,
    cross_motion,
    dot6,
    inert_mul,
    inert_rows,
    lanes_add_axis,
    lanes_copy,
    lanes_move,
    lanes_set_dot,
    lanes_sub_dot,
    load6,
    load10,
    store6,
)
from ..model.data import Data, Lanes
from ..model.model import Model
from .applied import body_wrench, turning_share
from .fluid import fluid_adj, fluid_taken_off
from .mocap import has_unturning, mocap_weight_adj
from .subtree import add_up_trees, lanes_add_up_trees
from .velocity import axis_rate, dofs_moving_together


@kernel
def rne_bias(m: Model, d: Data) -> None:
    """qfrc_bias: the joint force that keeps qacc at zero, gravity included."""
    _accelerations(m, d, False)
    _subtree_forces(m, d, False)
    for v in range(m.nv):
        d.qfrc_bias[v] = dot6(load6(d.cdof, v), load6(d.cfrc, m.dof_bodyid[v]))


@kernel
def rne(m: Model, d: Data) -> None:
    """Fill cacc, cfrc for the acceleration `d.qacc`; gravity compensation, fluid and applied forces are taken off."""
    _accelerations(m, d, True)
    _subtree_forces(m, d, True)


@kernel
def _accelerations(m: Model, d: Data, with_qacc: bool) -> None:
    for i in range(3):
        d.cacc[0, i] = 0.0
        d.cacc[0, 3 + i] = -m.gravity[i]
    for b in range(1, m.nbody):
        a = load6(d.cacc, m.body_parentid[b])
        for v in range(m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]):
            a = axpy6(d.qvel[v], load6(d.cdof_dot, v), a)
            if with_qacc:
                a = axpy6(d.qacc[v], load6(d.cdof, v), a)
        store6(d.cacc, b, a)


@kernel
def _subtree_forces(m: Model, d: Data, with_given: bool) -> None:
    for b in range(1, m.nbody):
        inert, v, a = load10(d.cinert, b), load6(d.cvel, b), load6(d.cacc, b)
        if with_given and m.ngravcomp > 0:
            s = m.body_gravcomp[b]
            a = (a[0], a[1], a[2], a[3] + s * m.gravity[0], a[4] + s * m.gravity[1], a[5] + s * m.gravity[2])
        force = inert_mul(inert, a)
        if with_given and d.applied[1]:
            force = axpy6(-1.0, body_wrench(m, d, b), force)
        store6(d.cfrc, b, add6(force, cross_force(v, inert_mul(inert, v))))
    if with_given:
        fluid_taken_off(m, d)
    add_up_trees(m, d.cfrc)


@kernel
def rne_adj(m: Model, d: Data, w: Lanes) -> None:
    """Subtract the derivative of qfrc_adj . (M qacc + bias - gravcomp - fluid - xfrc): qpos_adj, qvel_adj, mocap_adj.

    Needs `rne` at the acceleration in question.
    """
    sweep_coefficients(m, d, w)
    virtual_velocities(m, d, w)
    virtual_momenta(m, d, w)
    fluid_adj(m, d, w)
    pull_back(m, d, w)


@kernel
def pull_back(m: Model, d: Data, w: Lanes) -> None:
    """Sum wmom, wcor, wgrav over subtrees and give every degree of freedom and every mocap body its share."""
    lanes_add_up_trees(m, w.wmom)
    lanes_add_up_trees(m, w.wcor)
    turning = has_unturning(m, d)
    if turning:
        lanes_add_up_trees(m, w.wgrav)
    mocap_weight_adj(m, d, w)
    for v in range(m.nv):
        b = m.dof_bodyid[v]
        axis = load6(d.cdof, v)
        lanes_sub_dot(w.qpos_adj, v, load6(w.axis_force, v), w.wvel, m.dof_beforeid[v])
        lanes_sub_dot(w.qpos_adj, v, load6(w.axis_ddot, v), w.wmom, b)
        lanes_sub_dot(w.qpos_adj, v, load6(d.cdof_dot, v), w.wcor, b)
        lanes_sub_dot(w.qvel_adj, v, load6(w.axis_rate, v), w.wmom, b)
        lanes_sub_dot(w.qvel_adj, v, axis, w.wcor, b)
        if turning:
            for k in range(w.nlane):
                for i in range(3):
                    w.qpos_adj[v, k] -= axis[i] * w.wgrav[b, i, k]


@kernel
def sweep_coefficients(m: Model, d: Data, w: Lanes) -> None:
    """What all lanes share: coriolis (per body), axis_force, axis_ddot, axis_rate (per dof)."""
    for b in range(1, m.nbody):
        velocity, acceleration = load6(d.cvel, m.body_parentid[b]), load6(d.cacc, m.body_parentid[b])
        v, end = m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]
        force = load6(d.cfrc, b)
        while v < end:
            size = dofs_moving_together(m, v)
            before_v, before_a = velocity, acceleration
            for i in range(v, v + size):
                axis, rate = load6(d.cdof, i), load6(d.cdof_dot, i)
                velocity = axpy6(d.qvel[i], axis, velocity)
                acceleration = axpy6(d.qvel[i], rate, axpy6(d.qacc[i], axis, acceleration))
            for i in range(v, v + size):
                axis, rate = load6(d.cdof, i), load6(d.cdof_dot, i)
                store6(w.axis_force, i, cross_force(axis, force))
                store6(w.axis_ddot, i, add6(cross_motion(before_a, axis), cross_motion(before_v, rate)))
                store6(w.axis_rate, i, add6(rate, axis_rate(m, d, i, velocity)))
            v += size
        coriolis_matrix(d, w.coriolis, b)


@kernel
def coriolis_matrix(d: Data, a: Floats, b: int) -> None:
    """a[b] (3, 6): matrix of W -> v x* I W - W x* I v - I (v x W) for body `b`: torques, the forces cancel.

    With v = (o, u), first moment c and momentum (n, p): turning part X + X' + [n] - c u' - u c' + 2 (u . c),
    X = [o] Io; linear part 2 [p].
    """
    inert, v = load10(d.cinert, b), load6(d.cvel, b)
    n0, n1, n2, p0, p1, p2 = inert_mul(inert, v)
    turn, u, c = (v[0], v[1], v[2]), (v[3], v[4], v[5]), (inert[6], inert[7], inert[8])
    x = cross3(turn, (inert[0], inert[3], inert[4]))
    y = cross3(turn, (inert[3], inert[1], inert[5]))
    z = cross3(turn, (inert[4], inert[5], inert[2]))
    along = 2.0 * dot3(u, c)
    a[b, 0, 0] = 2.0 * (x[0] - u[0] * c[0]) + along
    a[b, 1, 1] = 2.0 * (y[1] - u[1] * c[1]) + along
    a[b, 2, 2] = 2.0 * (z[2] - u[2] * c[2]) + along
    xy, xz = y[0] + x[1] - u[0] * c[1] - u[1] * c[0], z[0] + x[2] - u[0] * c[2] - u[2] * c[0]
    yz = z[1] + y[2] - u[1] * c[2] - u[2] * c[1]
    a[b, 0, 1], a[b, 1, 0] = xy - n2, xy + n2
    a[b, 0, 2], a[b, 2, 0] = xz + n1, xz - n1
    a[b, 1, 2], a[b, 2, 1] = yz - n0, yz + n0
    a[b, 0, 3], a[b, 0, 4], a[b, 0, 5] = 0.0, -2.0 * p2, 2.0 * p1
    a[b, 1, 3], a[b, 1, 4], a[b, 1, 5] = 2.0 * p2, 0.0, -2.0 * p0
    a[b, 2, 3], a[b, 2, 4], a[b, 2, 5] = -2.0 * p1, 2.0 * p0, 0.0


@kernel
def virtual_velocities(m: Model, d: Data, w: Lanes) -> None:
    """wvel of every body, and before every degree of freedom, from the multiplier qfrc_adj."""
    for r in range(6):
        for k in range(w.nlane):
            w.wvel[0, r, k] = 0.0
    for b in range(1, m.nbody):
        v, end = m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]
        if end > v and dofs_moving_together(m, v) == 1:
            lanes_move(w.wvel, b, m.body_parentid[b], load6(d.cdof, v), w.qfrc_adj, v)
            v += 1
        else:
            lanes_copy(w.wvel, b, w.wvel, m.body_parentid[b])
        while v < end:
            size = dofs_moving_together(m, v)
            for i in range(v, v + size):
                if m.dof_beforeid[i] >= m.nbody:
                    lanes_copy(w.wvel, m.dof_beforeid[i], w.wvel, b)
            for i in range(v, v + size):
                lanes_add_axis(w.wvel, b, load6(d.cdof, i), w.qfrc_adj, i)
            v += size


@kernel
def virtual_momenta(m: Model, d: Data, w: Lanes) -> None:
    """Fill wmom, wcor, wgrav of all bodies, before they are summed over subtrees."""
    for b in range(1, m.nbody):
        _virtual_momentum(m, d, w, b)


@kernel
def _virtual_momentum(m: Model, d: Data, w: Lanes, b: int) -> None:
    """Fill wmom = I W, wcor, wgrav of body `b`, before they are summed over subtrees."""
    rows, c = inert_rows(load10(d.cinert, b)), w.coriolis
    for r in range(6):
        lanes_set_dot(w.wmom, b, r, rows[r], w.wvel, b)
    for r in range(3):
        row: Vec6 = (c[b, r, 0], c[b, r, 1], c[b, r, 2], c[b, r, 3], c[b, r, 4], c[b, r, 5])
        lanes_set_dot(w.wcor, b, r, row, w.wvel, b)
        for k in range(w.nlane):
            w.wcor[b, 3 + r, k] = 0.0
    if has_unturning(m, d):
        s = -m.body_gravcomp[b]
        gx, gy, gz = s * m.gravity[0], s * m.gravity[1], s * m.gravity[2]
        for k in range(w.nlane):
            px, py, pz = w.wmom[b, 3, k], w.wmom[b, 4, k], w.wmom[b, 5, k]
            w.wgrav[b, 0, k] = gy * pz - gz * py
            w.wgrav[b, 1, k] = gz * px - gx * pz
            w.wgrav[b, 2, k] = gx * py - gy * px
    if d.applied[1]:
        turning_share(m, d, w, b)

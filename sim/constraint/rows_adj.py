"""Adjoint of the constraint force with the acceleration held fixed.

For the multiplier w let Phi = w . J' f(J a - aref). With y = J w and z = C y, C = -df/d(J a),

    dPhi = f . d(J w) - z . d(J a) + z . d(aref) + (y . f) dD / D,

so a row acts through three velocities, those that the joint velocities w, a and qvel give its
point, and through its residual. Each is a force between two bodies, and how it changes with the
pose is that of `rnea.py`, to which come the motion of the contact's point, frame and distance.
"""

from ..dynamics.mocap import has_own_position, mocap_push_adj
from ..dynamics.subtree import add_up_trees, lanes_add_up_trees
from ..dynamics.velocity import dofs_moving_together
from ..kernels.apart import unit
from ..kernels.enums import BALL, CONTACT_FRICTIONLESS, FRICTION_TENDON, LIMIT, LIMIT_TENDON
from ..kernels.jit import kernel, sequence
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, add3, load_mat3, right_jacobian_inv_t, scale3, sub3
from ..kernels.spatial import (
    Vec6,
    axpy6,
    cross_force,
    cross_motion,
    dot6,
    lanes_axpy,
    lanes_gain_dot,
    load6,
    scale6,
    store6,
)
from ..model.data import Data, Lanes
from ..model.model import Model
from .contact_adj import contact_adj
from .equality_adj import equality_adj
from .parameters_adj import constraint_parameters_adj
from .row import residual_adj, row_dof, row_width
from .rows import ball_limit
from .tendon_rows_adj import spatial_row_adj


@unit
def constraint_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add to qpos_adj, qvel_adj, mocap_adj, for the multiplier qfrc_adj; the acceleration is d.qacc_warmstart.

    Needs the multiplier's `virtual_velocities`.
    """
    begin_rows_adj(m, d, w)
    rows_adj(m, d, w)
    end_rows_adj(m, d, w)


@sequence
def begin_rows_adj(m: Model, d: Data, w: Lanes) -> None:
    """Equalities, and the velocities and sums that the other rows need and fill."""
    _row_products(d, w)
    equality_adj(m, d, w)
    _velocities_under_acceleration(m, d)
    d.cfrc[:] = 0.0
    w.wcor[:] = 0.0
    w.wmom[:] = 0.0


@sequence
def rows_adj(m: Model, d: Data, w: Lanes) -> None:
    """Limits and contacts: what they push their bodies by, and their parameters."""
    for r in range(d.nefc[0]):
        if d.efc_type[r] == LIMIT:
            _limit_adj(m, d, w, r)
        elif d.efc_type[r] == LIMIT_TENDON:
            _tendon_limit_adj(d, w, r)
            spatial_row_adj(m, d, w, r)
        elif d.efc_type[r] == FRICTION_TENDON:
            spatial_row_adj(m, d, w, r)
    d.con_uneven[0], d.con_damping[0] = 0, 0.0
    for c in range(d.ncon[0] - 1, -1, -1):
        if d.con_efc[c] >= 0:
            d.con_damping[0] = d.efc_kbip[d.con_efc[c], 1]
    for c in range(d.ncon[0]):
        if d.con_efc[c] >= 0:
            contact_adj(m, d, w, c)
    if w.with_params:
        constraint_parameters_adj(m, d, w)


@sequence
def end_rows_adj(m: Model, d: Data, w: Lanes) -> None:
    """Carry the pushes up the trees and give every degree of freedom its share."""
    _gather(m, d, w)


@kernel
def _row_products(d: Data, w: Lanes) -> None:
    """efc_y = J w, efc_z = C y, velocity's share of aref; `contact_adj` does this for its rows."""
    for r in range(d.nefc[0]):
        if d.efc_type[r] >= CONTACT_FRICTIONLESS:
            break  # contacts are last
        row_velocity(d, w, r)
        row_change(d, w, r)
        for i in range(row_width(d, r)):
            lanes_axpy(w.qvel_adj, row_dof(d, r, i), -d.efc_J[r, i] * d.efc_kbip[r, 1], w.efc_z, r)


@kernel
def row_velocity(d: Data, w: Lanes, r: int) -> None:
    """efc_y = J w of row `r`; noslip knows it already (`parts.py`)."""
    for k in range(w.nlane):
        w.efc_y[r, k] = 0.0
    for i in range(row_width(d, r)):
        lanes_axpy(w.efc_y, r, d.efc_J[r, i], w.qfrc_adj, row_dof(d, r, i))


@kernel
def row_change(d: Data, w: Lanes, r: int) -> None:
    """efc_z = C y of row `r`; projected Gauss-Seidel and noslip know it already (`parts.py`)."""
    for k in range(w.nlane):
        w.efc_z[r, k] = d.efc_slope[r] * w.efc_y[r, k]


@kernel
def _velocities_under_acceleration(m: Model, d: Data) -> None:
    """Fill cvel_qacc from the acceleration in qacc_warmstart."""
    store6(d.cvel_qacc, 0, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    for b in range(1, m.nbody):
        a = load6(d.cvel_qacc, m.body_parentid[b])
        for v in range(m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]):
            a = axpy6(d.qacc_warmstart[v], load6(d.cdof, v), a)
        store6(d.cvel_qacc, b, a)


@kernel
def _limit_adj(m: Model, d: Data, w: Lanes, r: int) -> None:
    """A joint's limit: scalar joints push along their coordinate, a ball along its rotation vector."""
    j = d.efc_id[r]
    v, a = m.jnt_dofadr[j], m.jnt_qposadr[j]
    for k in range(w.nlane):
        by_pos = residual_adj(d, w, r, k)
        if m.jnt_type[j] != BALL:
            w.qpos_adj[v, k] += d.efc_J[r, 0] * by_pos
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
def _tendon_limit_adj(d: Data, w: Lanes, r: int) -> None:
    """What moves the residual; the Jacobian of a fixed tendon is constant."""
    for k in range(w.nlane):
        by_pos = residual_adj(d, w, r, k)
        for i in range(row_width(d, r)):
            w.qpos_adj[row_dof(d, r, i), k] += d.efc_J[r, i] * by_pos


@kernel
def _lane6(a: Floats, b: int, k: int) -> Vec6:
    return a[b, 0, k], a[b, 1, k], a[b, 2, k], a[b, 3, k], a[b, 4, k], a[b, 5, k]


@kernel
def _gather(m: Model, d: Data, w: Lanes) -> None:
    """Carry the pushes up the trees and give every degree of freedom and every mocap body its share."""
    add_up_trees(m, d.cfrc)
    lanes_add_up_trees(m, w.wcor)
    lanes_add_up_trees(m, w.wmom)
    if d.con_uneven[0]:
        lanes_add_up_trees(m, w.wpush)
    mocap_push_adj(m, d, w)
    for b in range(1, m.nbody):
        if w.with_params:
            _body_pos_adj(m, d, w, b)
        before = load6(d.cvel_qacc, m.body_parentid[b])
        force = load6(d.cfrc, b)
        v, end = m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]
        while v < end:
            size = dofs_moving_together(m, v)
            after = before
            for i in range(v, v + size):
                axis, rate = load6(d.cdof, i), load6(d.cdof_dot, i)
                turned, moved = cross_force(axis, force), cross_motion(before, axis)
                after = axpy6(d.qacc_warmstart[i], axis, after)
                lanes_gain_dot(w.qpos_adj, i, axis, w.wcor, b)
                lanes_gain_dot(w.qpos_adj, i, turned, w.wvel, m.dof_beforeid[i])
                lanes_gain_dot(w.qpos_adj, i, axpy6(d.con_damping[0], rate, moved), w.wmom, b)
                lanes_gain_dot(w.qvel_adj, i, scale6(d.con_damping[0], axis), w.wmom, b)
                if d.con_uneven[0]:
                    lanes_gain_dot(w.qpos_adj, i, rate, w.wpush, b)
                    lanes_gain_dot(w.qvel_adj, i, axis, w.wpush, b)
            before = after
            v += size


@kernel
def _body_pos_adj(m: Model, d: Data, w: Lanes, b: int) -> None:
    """Share of the body position, which moves the subtree like a slide joint in front of it."""
    if has_own_position(m, b):
        return
    p = m.body_parentid[b]
    r, virtual = load_mat3(d.xmat, p), _lane6(w.wvel, p, 0)
    for i in range(3):
        axis: Vec6 = (0.0, 0.0, 0.0, r[i], r[3 + i], r[6 + i])
        w.body_pos_adj[b, i] += dot6(axis, _lane6(w.wcor, b, 0)) + dot6(cross_force(axis, load6(d.cfrc, b)), virtual)
        carried, moved = cross_motion(load6(d.cvel, p), axis), cross_motion(load6(d.cvel_qacc, p), axis)
        w.body_pos_adj[b, i] += dot6(axpy6(d.con_damping[0], carried, moved), _lane6(w.wmom, b, 0))
        if d.con_uneven[0]:
            w.body_pos_adj[b, i] += dot6(carried, _lane6(w.wpush, b, 0))

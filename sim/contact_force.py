"""Force of the contacts on each body, `cfrc_ext` of mj_rnePostConstraint, and its adjoint.

A contact pushes its two bodies with opposite forces (rotational, linear), world frame, about
`subtree_com` of each body's root; the world body gets none. Contacts only: what equality
constraints do to their bodies, which MuJoCo adds here, is not part of it.

Adjoint, in the notation of `constraint_adj.py`. A cotangent g_b pairs with the force on body b
like a velocity of the body, so L = sum_b g_b . cfrc_ext_b = sum_r f_r y_r, where y = E g is what
the rows' points see if the bodies move with g, and

    dL = f . dy - z . d(J a) + z . d(aref) + (y . f) dD / D,    z = C y.

This is the constraint force's own adjoint with g in place of the velocities under a multiplier,
and the acceleration has the cotangent -J' z. What g does not share with velocities of the joints:
it does not turn with the bodies, and `subtree_com`, which it refers to, moves.
"""

from ._jit import instance, kernel
from .collision.frame import row3
from .collision.push import push
from .constrained import forward_constrained, forward_constrained_adj
from .constraint import CONTACT_PYRAMIDAL
from .constraint_adj import _at_contact, _frame_force, _lane6, _to_world, _wrench, constraint_adj, row_slopes
from .data import Data, Lanes
from .model import Model
from .rotation import dot3, load3, scale3, sub3
from .spatial import axpy6, cross_force, load6, store6


@kernel
def contact_force(m: Model, d: Data) -> None:
    """Fill cfrc_ext from the constraint forces."""
    for b in range(m.nbody):
        store6(d.cfrc_ext, b, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    for c in range(d.ncon[0]):
        if d.con_efc[c] >= 0:
            p = d.con_pair[c]
            g = _frame_force(m, d, c, d.efc_force.reshape((d.efc_force.shape[0], 1)), 0, False)
            force, torque = _to_world(d, c, g[0], g[1], g[2]), _to_world(d, c, g[3], g[4], g[5])
            for side in range(2):
                b = m.geom_bodyid[m.con_geom[p, side]]
                if b > 0:
                    wrench = _wrench(m, d, c, b, force, torque)
                    store6(d.cfrc_ext, b, axpy6(2.0 * side - 1.0, wrench, load6(d.cfrc_ext, b)))


@kernel
def forward_contact_force(m: Model, d: Data) -> None:
    """Constrained acceleration and the contacts' forces on the bodies."""
    forward_constrained(m, d)
    contact_force(m, d)


@kernel
def contact_force_adj(m: Model, d: Data, w: Lanes) -> None:
    """From cfrc_ext_adj: add to qpos_adj, qvel_adj, act_adj, ctrl_adj; after `forward_contact_force`."""
    for r in range(d.nefc[0]):
        for k in range(w.nlane):
            w.efc_y[r, k] = 0.0
    _add_row_velocities(m, d, w)
    row_slopes(m, d, w)
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qacc_adj[v, k] = 0.0
    for r in range(d.nefc[0]):
        for v in range(m.nv):
            s = d.efc_J[r, v]
            if s != 0.0:
                for k in range(w.nlane):
                    w.qacc_adj[v, k] -= s * w.efc_z[r, k]
    for a in range(m.na):
        for k in range(w.nlane):
            w.actdot_adj[a, k] = 0.0
    _acceleration_adj(m, d, w, 0.0)


@kernel
def _add_row_velocities(m: Model, d: Data, w: Lanes) -> None:
    """efc_y += E g."""
    for c in range(d.ncon[0]):
        first, p = d.con_efc[c], d.con_pair[c]
        if first < 0:
            continue
        b1, b2 = m.geom_bodyid[m.con_geom[p, 0]], m.geom_bodyid[m.con_geom[p, 1]]
        pyramidal = d.efc_type[first] == CONTACT_PYRAMIDAL
        for k in range(w.nlane):
            v1, v2 = _lane6(w.cfrc_ext_adj, b1, k), _lane6(w.cfrc_ext_adj, b2, k)
            linear = sub3(_at_contact(m, d, c, b2, v2), _at_contact(m, d, c, b1, v1))
            angular = (v2[0] - v1[0], v2[1] - v1[1], v2[2] - v1[2])
            for e in range(2 * (m.con_dim[p] - 1) if pyramidal else m.con_dim[p]):
                axis = 1 + e // 2 if pyramidal else e
                along = dot3(row3(d.con_frame, c, axis % 3), linear if axis < 3 else angular)
                if pyramidal:
                    along *= m.con_friction[p, axis - 1] * (1.0 - 2.0 * (e % 2))
                    along += dot3(row3(d.con_frame, c, 0), linear)
                w.efc_y[first + e, k] += along


@kernel
def _add_body_velocities(m: Model, d: Data, w: Lanes) -> None:
    """Add g to the virtual velocities, and to `wcor` what it changes there. Uses wgrav as scratch."""
    _add_row_velocities(m, d, w)
    for b in range(1, m.nbody):
        for i in range(3):
            for k in range(w.nlane):
                w.wgrav[b, i, k] = 0.0
    for b in range(1, m.nbody):
        root, force = m.body_rootid[b], load6(d.cfrc_ext, b)
        for k in range(w.nlane):
            g = _lane6(w.cfrc_ext_adj, b, k)
            turning = cross_force(g, force)  # which `constraint_adj` is about to add
            for i in range(6):
                w.wvel[b, i, k] += g[i]
                w.wcor[b, i, k] -= turning[i]
            for i in range(3):
                w.wgrav[root, i, k] += turning[3 + i]  # cotangent of subtree_com
    for b in range(1, m.nbody):
        root = m.body_rootid[b]
        if d.subtree_mass[root] > 0.0:
            share = m.body_mass[b] / d.subtree_mass[root]
            for k in range(w.nlane):
                moved = (w.wgrav[root, 0, k], w.wgrav[root, 1, k], w.wgrav[root, 2, k])
                push(m, d, w, b, k, load3(d.xipos, b), scale3(share, moved), (0.0, 0.0, 0.0))


_constraint_adj = instance(constraint_adj, "contact_force_constraint_adj", add_body_velocities=_add_body_velocities)
_acceleration_adj = instance(
    forward_constrained_adj, "contact_force_acceleration_adj", constraint_adj=_constraint_adj
)

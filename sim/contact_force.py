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

from ._jit import instance, kernel, sequence
from ._record import Floats
from .batch import clear_cotangent, load_world
from .constrained import forward_constrained, forward_constrained_adj
from .constraint_adj import constraint_adj
from .constraint_row import row_dof, row_width
from .contact_adj import carried, cone_change, contact_adj, contact_row_products, contact_wrench, row_change, row_count
from .data import Data, Lanes
from .model import Model
from .rotation import Vec3, cross3, load3, scale3, sub3
from .spatial import axpy6, cross_force, lanes_axpy, load6, store6


@kernel
def contact_force(m: Model, d: Data) -> None:
    """Fill cfrc_ext from the constraint forces."""
    for b in range(m.nbody):
        store6(d.cfrc_ext, b, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    for c in range(d.ncon[0]):
        if d.con_efc[c] >= 0:
            p, wrench = d.con_pair[c], contact_wrench(m, d, c)
            for side in range(2):
                b = m.geom_bodyid[m.con_geom[p, side]]
                if b > 0:
                    share = axpy6(2.0 * side - 1.0, carried(m, d, c, b, wrench), load6(d.cfrc_ext, b))
                    store6(d.cfrc_ext, b, share)


@sequence
def forward_contact_force(m: Model, d: Data) -> None:
    """Constrained acceleration and the contacts' forces on the bodies."""
    forward_constrained(m, d)
    contact_force(m, d)


# Both parts of y, that of g and that of the joints, have their z = C y here: the sweeps of projected
# Gauss-Seidel, which leave z behind, know only the second. A name of its own is not replaced by `features.py`.
_row_products = instance(
    contact_row_products,
    "contact_force_row_products",
    row_change=instance(row_change, "contact_force_row_change"),
    cone_change=instance(cone_change, "contact_force_cone_change"),
)


@kernel
def contact_force_adj(m: Model, d: Data, w: Lanes) -> None:
    """From cfrc_ext_adj: add to qpos_adj, qvel_adj, act_adj, ctrl_adj; after `forward_contact_force`."""
    for b in range(m.nbody):
        for i in range(6):
            for k in range(w.nlane):
                w.wvel[b, i, k] = w.cfrc_ext_adj[b, i, k]
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qacc_adj[v, k] = 0.0
    for a in range(m.na):
        for k in range(w.nlane):
            w.actdot_adj[a, k] = 0.0
    for c in range(d.ncon[0]):
        first = d.con_efc[c]
        if first < 0:
            continue
        at = _row_products(m, d, w, c)
        for e in range(row_count(m, d, c)):
            for i in range(row_width(d, first + e)):
                lanes_axpy(w.qacc_adj, row_dof(d, first + e, i), -d.efc_J[first + e, i], w.efc_z, at + e)
    _acceleration_adj(m, d, w, 0.0)


@kernel
def _add_body_velocities(m: Model, d: Data, w: Lanes) -> None:
    """Add g to the virtual velocities, and to `wcor` what it changes there. Uses wgrav as scratch."""
    for b in range(1, m.nbody):
        for i in range(3):
            for k in range(w.nlane):
                w.wgrav[b, i, k] = 0.0
    for b in range(1, m.nbody):
        root, force = m.body_rootid[b], load6(d.cfrc_ext, b)
        for k in range(w.nlane):
            g = (
                w.cfrc_ext_adj[b, 0, k], w.cfrc_ext_adj[b, 1, k], w.cfrc_ext_adj[b, 2, k],
                w.cfrc_ext_adj[b, 3, k], w.cfrc_ext_adj[b, 4, k], w.cfrc_ext_adj[b, 5, k],
            )  # fmt: skip
            turning = cross_force(g, force)  # which `constraint_adj` is about to add
            for i in range(6):
                w.wvel[b, i, k] += g[i]
                w.wcor[b, i, k] -= turning[i]
            for i in range(3):
                w.wgrav[root, i, k] += turning[3 + i]  # cotangent of subtree_com
    for b in range(1, m.nbody):
        root = m.body_rootid[b]
        if d.subtree_mass[root] > 0.0:
            share, arm = m.body_mass[b] / d.subtree_mass[root], sub3(load3(d.xipos, b), load3(d.subtree_com, root))
            for k in range(w.nlane):
                moved: Vec3 = (w.wgrav[root, 0, k], w.wgrav[root, 1, k], w.wgrav[root, 2, k])
                moved = scale3(share, moved)
                moment = cross3(arm, moved)
                for i in range(3):
                    w.wcor[b, i, k] += moment[i]
                    w.wcor[b, 3 + i, k] += moved[i]


@kernel
def _remove_body_velocities(m: Model, d: Data, w: Lanes) -> None:
    for b in range(1, m.nbody):
        for i in range(6):
            for k in range(w.nlane):
                w.wvel[b, i, k] -= w.cfrc_ext_adj[b, i, k]


_constraint_adj = instance(
    constraint_adj,
    "contact_force_constraint_adj",
    contact_adj=instance(contact_adj, "contact_force_contact_adj", contact_row_products=_row_products),
    add_body_velocities=_add_body_velocities,
    remove_body_velocities=_remove_body_velocities,
)
_acceleration_adj = instance(forward_constrained_adj, "contact_force_acceleration_adj", constraint_adj=_constraint_adj)


@kernel
def _load_and_run(m: Model, d: Data, qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats) -> None:
    load_world(m, d, qpos, qvel, act)
    for i in range(m.nu):
        d.ctrl[i] = ctrl[i]
    forward_contact_force(m, d)


@kernel
def cfrc_ext_worlds(
    begin: int, end: int, m: Model, d: Data, qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats, out: Floats
) -> None:
    """Fill out (worlds, nbody, 6) for the worlds in [begin, end)."""
    for b in range(begin, end):
        _load_and_run(m, d, qpos[b], qvel[b], act[b], ctrl[b])
        for i in range(m.nbody):
            store6(out[b], i, load6(d.cfrc_ext, i))


@kernel
def cfrc_ext_adj_worlds(
    begin: int, end: int, m: Model, d: Data, w: Lanes, qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats,
    cotangent: Floats, state_adj: Floats, ctrl_adj: Floats,
) -> None:  # fmt: skip
    """From cotangent (worlds, nbody, 6, nlane) fill state_adj (worlds, nx, nlane), ctrl_adj (worlds, nu, nlane)."""
    for b in range(begin, end):
        clear_cotangent(w)
        w.ctrl_adj[:] = 0.0
        _load_and_run(m, d, qpos[b], qvel[b], act[b], ctrl[b])
        if d.ncon[0] > 0:
            for i in range(m.nbody):
                for r in range(6):
                    for k in range(w.nlane):
                        w.cfrc_ext_adj[i, r, k] = cotangent[b, i, r, k] if i > 0 else 0.0
            contact_force_adj(m, d, w)
        for k in range(w.nlane):
            for i in range(m.nv):
                state_adj[b, i, k] = w.qpos_adj[i, k]
                state_adj[b, m.nv + i, k] = w.qvel_adj[i, k]
            for i in range(m.na):
                state_adj[b, 2 * m.nv + i, k] = w.act_adj[i, k]
            for i in range(m.nu):
                ctrl_adj[b, i, k] = w.ctrl_adj[i, k]

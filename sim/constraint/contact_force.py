"""Force of the contacts on each body, `cfrc_ext` of mj_rnePostConstraint, and its adjoint.

A contact pushes its two bodies with opposite forces (rotational, linear), world frame, about
`subtree_com` of each body's root; the world body gets none. Contacts only: what equality
constraints do to their bodies, which MuJoCo adds here, is not part of it.

Adjoint, in the notation of `rows_adj.py`. A cotangent g_b pairs with the force on body b
like a velocity of the body, so L = sum_b g_b . cfrc_ext_b = sum_r f_r y_r, where y = E g is what
the rows' points see if the bodies move with g, and

    dL = f . dy - z . d(J a) + z . d(aref) + (y . f) dD / D,    z = C y.

This is the constraint force's own adjoint with g in place of the velocities under a multiplier,
and the acceleration has the cotangent -J' z. What g does not share with velocities of the joints:
it does not turn with the bodies, and `subtree_com`, which it refers to, moves.
"""

from ..kernels.apart import unit
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, cross3, load3, scale3, sub3
from ..kernels.spatial import axpy6, cross_force, load6, store6
from ..model.data import Data, Lanes
from ..model.model import Model
from .contact_wrench import carried, contact_wrench
from .rows_adj import begin_rows_adj, end_rows_adj, rows_adj


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


@kernel
def add_body_velocities(m: Model, d: Data, w: Lanes) -> None:
    """Add g to the virtual velocities, and to `wcor` what it changes there."""
    for b in range(1, m.nbody):
        for i in range(3):
            for k in range(w.nlane):
                w.subtree_com_adj[b, i, k] = 0.0
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
                w.subtree_com_adj[root, i, k] += turning[3 + i]  # cotangent of subtree_com
    for b in range(1, m.nbody):
        root = m.body_rootid[b]
        if d.subtree_mass[root] > 0.0:
            share, arm = m.body_mass[b] / d.subtree_mass[root], sub3(load3(d.xipos, b), load3(d.subtree_com, root))
            for k in range(w.nlane):
                moved: Vec3 = (
                    w.subtree_com_adj[root, 0, k],
                    w.subtree_com_adj[root, 1, k],
                    w.subtree_com_adj[root, 2, k],
                )
                moved = scale3(share, moved)
                moment = cross3(arm, moved)
                for i in range(3):
                    w.wcor[b, i, k] += moment[i]
                    w.wcor[b, 3 + i, k] += moved[i]


@kernel
def remove_body_velocities(m: Model, w: Lanes) -> None:
    """Take g off the virtual velocities again."""
    for b in range(1, m.nbody):
        for i in range(6):
            for k in range(w.nlane):
                w.wvel[b, i, k] -= w.cfrc_ext_adj[b, i, k]


@unit
def body_force_adj(m: Model, d: Data, w: Lanes) -> None:
    """`constraint_adj` while the bodies have the velocities g besides those under the multiplier."""
    begin_rows_adj(m, d, w)
    add_body_velocities(m, d, w)
    rows_adj(m, d, w)
    remove_body_velocities(m, w)
    end_rows_adj(m, d, w)

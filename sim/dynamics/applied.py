"""Applied forces, joint by joint and body by body (mj_xfrcAccumulate), and their adjoint.

A body's force and torque keep their direction in the world, so that the virtual power W . x of the
force x at the centre of mass changes with a coordinate j of axis S_j (turn part s_j) by

    (S_j x* X) . W_before - s_j . sum (torque x turn of W + force x velocity of the centre of mass),

X and the sum over the subtree. `rnea.py` has both: it takes x off the bodies' forces, and the sum is
that of gravity compensation, which is such a force too.
"""

from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, load3, load_mat3, mat_t_vec3, sub3
from ..kernels.spatial import Vec6, dot6, load6, store6, velocity_at
from ..model.data import Data, Lanes
from ..model.model import Model
from .subtree import add_up_trees


@kernel
def applied_force(m: Model, d: Data) -> None:
    """Add the applied forces to qfrc_smooth. Uses cfrc as scratch."""
    if d.applied[0]:
        for v in range(m.nv):
            d.qfrc_smooth[v] += d.qfrc_applied[v]
    if d.applied[1]:
        for b in range(1, m.nbody):
            store6(d.cfrc, b, body_wrench(m, d, b))
        add_up_trees(m, d.cfrc)
        for v in range(m.nv):
            d.qfrc_smooth[v] += dot6(load6(d.cdof, v), load6(d.cfrc, m.dof_bodyid[v]))


@kernel
def body_wrench(m: Model, d: Data, b: int) -> Vec6:
    """What is applied to body `b`, referred to the point of its tree."""
    f = load6(d.xfrc_applied, b)
    moment = cross3(applied_arm(m, d, b), (f[0], f[1], f[2]))
    return f[3] + moment[0], f[4] + moment[1], f[5] + moment[2], f[0], f[1], f[2]


@kernel
def applied_arm(m: Model, d: Data, b: int) -> Vec3:
    """From the point of the tree of body `b` to where its force acts."""
    return sub3(load3(d.xipos, b), load3(d.subtree_com, m.body_rootid[b]))


@kernel
def turning_share(m: Model, d: Data, w: Lanes, b: int) -> None:
    """Add to wgrav of body `b` what its force, which does not turn with it, does there."""
    arm, f = applied_arm(m, d, b), load6(d.xfrc_applied, b)
    for k in range(w.nlane):
        turn, point = _at_com(w, b, k, arm)
        share = add3(cross3((f[3], f[4], f[5]), turn), cross3((f[0], f[1], f[2]), point))
        for i in range(3):
            w.wgrav[b, i, k] += share[i]


@kernel
def _at_com(w: Lanes, b: int, k: int, arm: Vec3) -> tuple[Vec3, Vec3]:
    """Turn, and velocity of the centre of mass, of body `b` under the multiplier."""
    x = w.wvel
    virtual: Vec6 = (x[b, 0, k], x[b, 1, k], x[b, 2, k], x[b, 3, k], x[b, 4, k], x[b, 5, k])
    return (x[b, 0, k], x[b, 1, k], x[b, 2, k]), velocity_at(virtual, arm)


@kernel
def applied_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add the derivative of qfrc_adj . (applied forces) by the forces themselves; after `rne_adj`.

    The share of the pose is in `rne_adj`.
    """
    if d.applied[0]:
        for v in range(m.nv):
            for k in range(w.nlane):
                w.qfrc_applied_adj[v, k] += w.qfrc_adj[v, k]
    if d.applied[1]:
        for b in range(1, m.nbody):
            arm = applied_arm(m, d, b)
            for k in range(w.nlane):
                turn, point = _at_com(w, b, k, arm)
                for i in range(3):
                    w.xfrc_applied_adj[b, i, k] += point[i]
                    w.xfrc_applied_adj[b, 3 + i, k] += turn[i]
            if w.with_params:
                turn = _at_com(w, b, 0, arm)[0]
                by_com = cross3((d.xfrc_applied[b, 0], d.xfrc_applied[b, 1], d.xfrc_applied[b, 2]), turn)
                local = mat_t_vec3(load_mat3(d.xmat, b), by_com)
                for i in range(3):
                    w.body_ipos_adj[b, i] += local[i]

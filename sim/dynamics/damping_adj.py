"""Adjoint of Euler's implicit damping on top of constraints: (M + hD) qacc = M a.

`qacc_warmstart` is a, the constrained acceleration. Only the pose and the inertial parameters
enter; the sweep is that of `rnea.py` without velocities.
"""

from ..kernels.jit import kernel
from ..kernels.spatial import (
    axpy6,
    cross_force,
    cross_motion,
    inert_mul,
    inert_rows,
    lanes_set_dot,
    lanes_sub_dot,
    load6,
    load10,
    store6,
)
from ..model.data import Data, Lanes
from ..model.model import Model
from .parameters_adj import body_pos_share, lane6, pairing_adj
from .rnea import virtual_velocities
from .subtree import add_up_trees, lanes_add_up_trees
from .tendon_armature_adj import add_tendon_inertia, tendon_armature_damping_adj
from .velocity import dofs_moving_together


@kernel
def implicit_damping_adj(m: Model, d: Data, w: Lanes, damping_time: float) -> None:
    """Subtract the derivative of qfrc_adj . ((M + hD) qacc - M a) by the pose from qpos_adj.

    Then qfrc_adj <- M qfrc_adj, the cotangent of the constrained acceleration a.
    """
    store6(d.cacc, 0, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    for b in range(1, m.nbody):
        a = load6(d.cacc, m.body_parentid[b])
        for v in range(m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]):
            a = axpy6(d.qacc[v] - d.qacc_warmstart[v], load6(d.cdof, v), a)
        store6(d.cacc, b, a)
        store6(d.cfrc, b, inert_mul(load10(d.cinert, b), a))
    virtual_velocities(m, d, w)
    tendon_armature_damping_adj(m, d, w)
    for b in range(1, m.nbody):
        rows = inert_rows(load10(d.cinert, b))
        for r in range(6):
            lanes_set_dot(w.wmom, b, r, rows[r], w.wvel, b)
    add_up_trees(m, d.cfrc)
    lanes_add_up_trees(m, w.wmom)
    if w.with_params:
        _parameters(m, d, w, damping_time)
    for b in range(1, m.nbody):
        before, force = load6(d.cacc, m.body_parentid[b]), load6(d.cfrc, b)
        v, end = m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]
        while v < end:
            size = dofs_moving_together(m, v)
            after = before
            for i in range(v, v + size):
                axis = load6(d.cdof, i)
                after = axpy6(d.qacc[i] - d.qacc_warmstart[i], axis, after)
                lanes_sub_dot(w.qpos_adj, i, cross_force(axis, force), w.wvel, m.dof_beforeid[i])
                lanes_sub_dot(w.qpos_adj, i, cross_motion(before, axis), w.wmom, b)
                for k in range(w.nlane):
                    w.qfrc_adj[i, k] *= m.dof_armature[i]
                    for r in range(6):
                        w.qfrc_adj[i, k] += axis[r] * w.wmom[b, r, k]
            before = after
            v += size
    add_tendon_inertia(m, w)


@kernel
def _parameters(m: Model, d: Data, w: Lanes, damping_time: float) -> None:
    zero = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for b in range(1, m.nbody):
        pairing_adj(m, d, w, b, lane6(w.wvel, b), load6(d.cacc, b), -1.0)
        body_pos_share(m, d, w, b, zero, load6(d.cacc, m.body_parentid[b]), zero)
    for v in range(m.nv):
        w.dof_armature_adj[v] -= w.qfrc_adj[v, 0] * (d.qacc[v] - d.qacc_warmstart[v])
        w.dof_damping_adj[v] -= w.qfrc_adj[v, 0] * damping_time * d.qacc[v]

"""The fluid's share of `implicitfast` and `implicit`: its forces' velocity slope in the matrix, and the adjoint.

Names as in `fluid.py`. The wrench h df/dx A is the same kind of force; A too changes with a coordinate, by
A_before x S_j, and acts through the cotangent H = h (df/dx)' W.
"""

from ..kernels.jit import kernel
from ..kernels.spatial import Vec6, add6, axpy6, cross_motion, dot6, lanes_gain_dot, load6, scale6, store6
from ..model.data import Data, Lanes
from ..model.model import Model
from .fluid import (
    fluid_forces,
    from_piece,
    lane_motion,
    piece_frame,
    piece_slope,
    piece_slope_t,
    piece_velocity,
    to_piece,
)
from .mocap import has_own_position
from .subtree import lanes_add_up_trees
from .velocity import dofs_moving_together


@kernel
def fluid_implicit(m: Model, d: Data) -> None:
    """Take time step * slope off the matrix of implicitfast; of a slope that is not symmetric, its symmetric part."""
    for p in range(m.nfluid):
        mat, arm = piece_frame(m, d, p)
        x = piece_velocity(m, d, p, mat, arm)
        v = m.fluid_dofadr[p]
        while v >= 0:
            y = to_piece(mat, arm, load6(d.cdof, v))
            push = piece_slope(m, p, x, y)
            if m.fluid_skew[p]:
                push = scale6(0.5, add6(push, piece_slope_t(m, p, x, y)))
            wrench, c = from_piece(mat, arm, push), v
            while c >= 0:
                d.qLD[v, c] -= m.timestep * dot6(load6(d.cdof, c), wrench)
                c = m.dof_parentid[c]
            v = m.dof_parentid[v]


@kernel
def fluid_block(m: Model, d: Data, root: int) -> None:
    """Take the rest of the slope off the block of the free body `root`."""
    v = m.body_dofadr[root]
    for p in range(m.nfluid):
        if not m.fluid_skew[p] or m.body_rootid[m.fluid_bodyid[p]] != root:
            continue
        mat, arm = piece_frame(m, d, p)
        x = piece_velocity(m, d, p, mat, arm)
        for c in range(6):
            y = to_piece(mat, arm, load6(d.cdof, v + c))
            skew = add6(piece_slope(m, p, x, y), scale6(-1.0, piece_slope_t(m, p, x, y)))
            wrench = from_piece(mat, arm, scale6(0.5, skew))
            for r in range(6):
                d.block[r, c] -= m.timestep * dot6(load6(d.cdof, v + r), wrench)


@kernel
def fluid_skew_part(m: Model, d: Data) -> None:
    """Take what `fluid_implicit` leaves of the slopes off the whole matrix qLU."""
    for p in range(m.nfluid):
        if not m.fluid_skew[p]:
            continue
        mat, arm = piece_frame(m, d, p)
        x = piece_velocity(m, d, p, mat, arm)
        v = m.fluid_dofadr[p]
        while v >= 0:
            y = to_piece(mat, arm, load6(d.cdof, v))
            skew = add6(piece_slope(m, p, x, y), scale6(-1.0, piece_slope_t(m, p, x, y)))
            wrench, c = from_piece(mat, arm, scale6(0.5 * m.timestep, skew)), m.dof_parentid[v]
            while c >= 0:
                s = dot6(load6(d.cdof, c), wrench)
                d.qLU[c, v] -= s
                d.qLU[v, c] += s
                c = m.dof_parentid[c]
            v = m.dof_parentid[v]


@kernel
def fluid_ahead(m: Model, d: Data) -> None:
    """Linearise fluid_force: its value at velocities that are a time step of `qacc` ahead."""
    h = m.timestep
    d.fluid_time[0] = h
    store6(d.cvel_qacc, 0, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    for b in range(1, m.nbody):
        a = load6(d.cvel_qacc, m.body_parentid[b])
        for v in range(m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]):
            a = axpy6(d.qacc[v], load6(d.cdof, v), a)
        store6(d.cvel_qacc, b, a)
    for p in range(m.nfluid):
        mat, arm = piece_frame(m, d, p)
        acc = to_piece(mat, arm, load6(d.cvel_qacc, m.fluid_bodyid[p]))
        store6(d.fluid_acc, p, acc)
        change = piece_slope(m, p, piece_velocity(m, d, p, mat, arm), acc)
        store6(d.fluid_force, p, axpy6(h, from_piece(mat, arm, change), load6(d.fluid_force, p)))


@kernel
def fluid_ahead_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add the share of the motion under `qacc` to qpos_adj, body_pos_adj; undo `fluid_ahead`. wpush is scratch."""
    w.wpush[:] = 0.0
    for p in range(m.nfluid):
        b = m.fluid_bodyid[p]
        mat, arm = piece_frame(m, d, p)
        x = piece_velocity(m, d, p, mat, arm)
        for k in range(w.nlane):
            y = to_piece(mat, arm, lane_motion(w, b, k))
            push = from_piece(mat, arm, scale6(d.fluid_time[0], piece_slope_t(m, p, x, y)))
            for r in range(6):
                w.wpush[b, r, k] += push[r]
    lanes_add_up_trees(m, w.wpush)
    for b in range(1, m.nbody):
        before = load6(d.cvel_qacc, m.body_parentid[b])
        if w.with_params and not has_own_position(m, b):
            _body_pos_adj(m, d, w, b, before)
        v, end = m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]
        while v < end:
            size = dofs_moving_together(m, v)
            after = before
            for i in range(v, v + size):
                axis = load6(d.cdof, i)
                lanes_gain_dot(w.qpos_adj, i, cross_motion(before, axis), w.wpush, b)
                after = axpy6(d.qacc[i], axis, after)
            before = after
            v += size
    fluid_forces(m, d)


@kernel
def _body_pos_adj(m: Model, d: Data, w: Lanes, b: int, before: Vec6) -> None:
    """Share of the body position, which moves the subtree like a slide joint in front of it."""
    p = m.body_parentid[b]
    for i in range(3):
        axis: Vec6 = (0.0, 0.0, 0.0, d.xmat[p, i], d.xmat[p, 3 + i], d.xmat[p, 6 + i])
        moved = cross_motion(before, axis)
        for r in range(6):
            w.body_pos_adj[b, i] += moved[r] * w.wpush[b, r, 0]

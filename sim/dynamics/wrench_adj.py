"""Adjoint of moment arms that are motion axes times wrenches on two bodies.

The arm of a degree of freedom with the axis S is S . F1 on the way to the first body, S . F2 on the
way to the second. With the velocities V1 and V2 that cotangents of the arms, taken for joint
velocities, give the bodies by the entries alone, it is about G = V1 . F1 + V2 . F2. A shift of
coordinate j, axis S, carries what is behind it: of V1 the part V1_behind, j's own included, turns with
it, and the wrenches change with the poses of both bodies, as a pull P1 on the first and P2 on the second
says:

    dG/dq_j = -V1_behind . (S x* F1) + S . P1,    and so on the way to the second.

A body's position, or a mocap body, is a coordinate in front of the body.
"""

from ..kernels.enums import BALL, FREE
from ..kernels.jit import kernel
from ..kernels.rotation import load_mat3
from ..kernels.spatial import Vec6, axpy6, cross_force, dot6, lanes_add_axis, lanes_gain_dot, load6, scale6
from ..model.data import Data, Lanes
from ..model.model import Model
from .chain import last_dof
from .mocap import has_own_position, mocap_axis

# rows of Lanes.arm_lanes: V of both bodies, P of both, V of what is behind a coordinate
VELOCITY, PULL, BEHIND = 0, 2, 4


@kernel
def lane_of(w: Lanes, row: int, k: int) -> Vec6:
    """Lane `k` of a row of arm_lanes."""
    x = w.arm_lanes
    return x[row, 0, k], x[row, 1, k], x[row, 2, k], x[row, 3, k], x[row, 4, k], x[row, 5, k]


@kernel
def set_pull(w: Lanes, side: int, k: int, pull: Vec6) -> None:
    """P of the first or second body, lane `k`."""
    for r in range(6):
        w.arm_lanes[PULL + side, r, k] = pull[r]


@kernel
def _entry_of(m: Model, v: int, first: int, end: int) -> int:
    """The entry of `v` among those from `first` to `end`, which ascend; `first` - 1 if it has none."""
    e = end - 1
    while e >= first and m.moment_colind[e] > v:
        e -= 1
    return e if e >= first and m.moment_colind[e] == v else first - 1


@kernel
def wrench_velocity(m: Model, d: Data, w: Lanes, b: int, side: int, first: int, end: int, row0: int) -> None:
    """Fill V of body `b`, on whose way the entries `first` to `end` are; the cotangent of entry row0 is the first."""
    for r in range(6):
        for k in range(w.nlane):
            w.arm_lanes[VELOCITY + side, r, k] = 0.0
    v = last_dof(m, b)
    e = _entry_of(m, v, first, end)
    while e >= first:
        lanes_add_axis(w.arm_lanes, VELOCITY + side, load6(d.cdof, v), w.moment_adj, e - row0)
        v = m.dof_parentid[v]
        e = _entry_of(m, v, first, e)


@kernel
def wrench_adj(m: Model, d: Data, w: Lanes, b: int, side: int, f: Vec6, first: int, end: int, row0: int) -> None:
    """Add dG to qpos_adj, mocap_adj, body_pos_adj, for what moves body `b`, on which the wrench is `f`."""
    for r in range(6):
        for k in range(w.nlane):
            w.arm_lanes[BEHIND, r, k] = 0.0
    v = last_dof(m, b)
    e = _entry_of(m, v, first, end)
    while e >= first:
        size = _size_of_group(m, v)  # neighbours in the table too
        for c in range(size):
            lanes_add_axis(w.arm_lanes, BEHIND, load6(d.cdof, v - c), w.moment_adj, e - c - row0)
        for c in range(size):
            axis = load6(d.cdof, v - c)
            lanes_gain_dot(w.qpos_adj, v - c, scale6(-1.0, cross_force(axis, f)), w.arm_lanes, BEHIND)
            lanes_gain_dot(w.qpos_adj, v - c, axis, w.arm_lanes, PULL + side)
        v = m.dof_parentid[v - size + 1]
        e = _entry_of(m, v, first, e - size + 1)
    root = m.body_rootid[b]
    mocap = m.body_mocapid[root]
    for c in range(6 if mocap >= 0 else 0):
        axis = mocap_axis(d, root, c)
        lanes_gain_dot(w.mocap_adj[mocap], c, scale6(-1.0, cross_force(axis, f)), w.arm_lanes, VELOCITY + side)
        lanes_gain_dot(w.mocap_adj[mocap], c, axis, w.arm_lanes, PULL + side)
    if w.with_params:
        _body_pos_adj(m, d, w, b, side, f, first, end, row0)


@kernel
def _size_of_group(m: Model, v: int) -> int:
    """How many degrees of freedom, the last of which is `v`, turn with one another."""
    j = m.dof_jntid[v]
    return 3 if m.jnt_type[j] == BALL or (m.jnt_type[j] == FREE and v - m.jnt_dofadr[j] >= 3) else 1


@kernel
def _body_pos_adj(m: Model, d: Data, w: Lanes, b: int, side: int, f: Vec6, first: int, end: int, row0: int) -> None:
    """dG by the positions of the bodies on the way to body `b`, of the only lane."""
    behind: Vec6 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    while b > 0:
        for v in range(m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]):
            e = _entry_of(m, v, first, end)
            if e >= first:
                behind = axpy6(w.moment_adj[e - row0, 0], load6(d.cdof, v), behind)
        if not has_own_position(m, b):
            r, pull = load_mat3(d.xmat, m.body_parentid[b]), lane_of(w, PULL + side, 0)
            for c in range(3):
                axis: Vec6 = (0.0, 0.0, 0.0, r[c], r[3 + c], r[6 + c])
                w.body_pos_adj[b, c] += dot6(axis, pull) - dot6(cross_force(axis, f), behind)
        b = m.body_parentid[b]

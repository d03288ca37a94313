"""The sweeps of `rnea.py` and `damping_adj.py` for many multipliers: by derivatives of joint forces, pair by pair.

The sum of `rnea.py` for the multiplier e_i, that is of the joint force i alone: the bodies behind i move
by S_i, the others rest. With the inertia I and the matrix C of Q summed over the subtree behind the later
of i and j,

    d(force i)/dq_j = S_i . (S_j x* F + I S''_j + C' S'_j)    i before j, without S_j x* F if they turn together
    d(force i)/dq_j = S''_j . I S_i + S'_j . C S_i            j before i

and likewise by qvel, so that a pair of coordinates costs four products of vectors (Singh, Russell and
Wensing 2022, "Efficient analytical derivatives of rigid-body dynamics using spatial vector algebra",
find the same), and in each lane four products of numbers.
"""

from ..kernels.apart import unit
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, cross3, dot3
from ..kernels.spatial import Vec6, add6, dot6, inert_mul, inert_rows, load6, load10
from ..kernels.vector import AT_ONCE, load8, store8
from ..model.data import Data, Lanes
from ..model.model import Model
from .applied import applied_arm
from .crba import composite_inertias
from .damping_adj import forces_of_change, take_damping_off
from .rnea import sweep_coefficients
from .subtree import lanes_add_up_trees
from .tendon_armature_adj import tendon_armature_damping_adj

# Rows of `qderiv`, for a coordinate and those before it: its joint force by their motion, theirs by its own.
OWN_BY_POS, OWN_BY_VEL, BY_OWN_POS, BY_OWN_VEL = 0, 1, 2, 3


@unit
def rne_adj_by_pairs(m: Model, d: Data, w: Lanes) -> None:
    """What `rne_adj` does to qpos_adj, qvel_adj; leaves no virtual velocities behind."""
    sweep_coefficients(m, d, w)
    composite_inertias(m, d)
    lanes_add_up_trees(m, w.coriolis)
    turning = m.ngravcomp > 0 or d.applied[1] > 0
    if turning:
        _turning_forces(m, d, w)
    for j in range(m.nv):
        count = _inverse_dynamics_of_dof(m, d, w, j, turning)
        _subtract_pairs(w, j, count)


@kernel
def _inverse_dynamics_of_dof(m: Model, d: Data, w: Lanes, j: int, turning: bool) -> int:
    """Fill qderiv, qderiv_dof of `j` with itself and all before it; returns their number."""
    b, before = m.dof_bodyid[j], m.dof_beforeid[j]
    inert, axis, out = load10(d.crb, b), load6(d.cdof, j), w.qderiv
    by_pos = add6(inert_mul(inert, load6(w.axis_ddot, j)), _times(w.coriolis, b, load6(d.cdof_dot, j)))
    by_vel = add6(inert_mul(inert, load6(w.axis_rate, j)), _times(w.coriolis, b, axis))
    momentum, moment = inert_mul(inert, axis), _applied_to(w.coriolis, b, axis)
    held = (0.0, 0.0, 0.0)
    if turning:
        by_pos, held = add6(by_pos, _times(w.turning, b, axis)), _applied_to(w.turning, b, axis)
    with_force = add6(by_pos, load6(w.axis_force, j))
    i, count = j, 0
    while i >= 0:
        axis, rate = load6(d.cdof, i), load6(d.cdof_dot, i)
        turn = (axis[0], axis[1], axis[2])
        out[BY_OWN_POS, count] = dot6(axis, with_force if m.dof_beforeid[i] != before else by_pos)
        out[BY_OWN_VEL, count] = dot6(axis, by_vel)
        out[OWN_BY_POS, count] = dot6(load6(w.axis_ddot, i), momentum) + dot3((rate[0], rate[1], rate[2]), moment)
        out[OWN_BY_VEL, count] = dot6(load6(w.axis_rate, i), momentum) + dot3(turn, moment)
        if turning:
            out[OWN_BY_POS, count] += dot3(turn, held)
        w.qderiv_dof[count] = i
        i, count = m.dof_parentid[i], count + 1
    return count


@kernel
def _subtract_pairs(w: Lanes, j: int, count: int) -> None:
    """Subtract the products of qderiv and the multipliers from qpos_adj, qvel_adj."""
    a, x = w.qderiv, w.qfrc_adj
    for k in range(0, w.nlane, AT_ONCE):
        own, by_pos, by_vel = load8(x, j, k), load8(w.qpos_adj, j, k), load8(w.qvel_adj, j, k)
        by_pos, by_vel = by_pos - a[BY_OWN_POS, 0] * own, by_vel - a[BY_OWN_VEL, 0] * own
        for t in range(1, count):
            i = max(w.qderiv_dof[t], 0)
            other = load8(x, i, k)
            by_pos, by_vel = by_pos - a[BY_OWN_POS, t] * other, by_vel - a[BY_OWN_VEL, t] * other
            store8(w.qpos_adj, i, k, load8(w.qpos_adj, i, k) - a[OWN_BY_POS, t] * own)
            store8(w.qvel_adj, i, k, load8(w.qvel_adj, i, k) - a[OWN_BY_VEL, t] * own)
        store8(w.qpos_adj, j, k, by_pos)
        store8(w.qvel_adj, j, k, by_vel)


@kernel
def _times(a: Floats, b: int, x: Vec6) -> Vec6:
    """a[b]' (6, 3) times the turning part of x."""
    return (
        a[b, 0, 0] * x[0] + a[b, 1, 0] * x[1] + a[b, 2, 0] * x[2],
        a[b, 0, 1] * x[0] + a[b, 1, 1] * x[1] + a[b, 2, 1] * x[2],
        a[b, 0, 2] * x[0] + a[b, 1, 2] * x[1] + a[b, 2, 2] * x[2],
        a[b, 0, 3] * x[0] + a[b, 1, 3] * x[1] + a[b, 2, 3] * x[2],
        a[b, 0, 4] * x[0] + a[b, 1, 4] * x[1] + a[b, 2, 4] * x[2],
        a[b, 0, 5] * x[0] + a[b, 1, 5] * x[1] + a[b, 2, 5] * x[2],
    )


@kernel
def _applied_to(a: Floats, b: int, x: Vec6) -> Vec3:
    """a[b] (3, 6) times x."""
    return (
        dot6((a[b, 0, 0], a[b, 0, 1], a[b, 0, 2], a[b, 0, 3], a[b, 0, 4], a[b, 0, 5]), x),
        dot6((a[b, 1, 0], a[b, 1, 1], a[b, 1, 2], a[b, 1, 3], a[b, 1, 4], a[b, 1, 5]), x),
        dot6((a[b, 2, 0], a[b, 2, 1], a[b, 2, 2], a[b, 2, 3], a[b, 2, 4], a[b, 2, 5]), x),
    )


@kernel
def _turning_forces(m: Model, d: Data, w: Lanes) -> None:
    """Fill `turning`: torque on a subtree by its virtual velocity, of forces that do not turn with it."""
    for b in range(1, m.nbody):
        s, rows = -m.body_gravcomp[b], inert_rows(load10(d.cinert, b))
        lift = (s * m.gravity[0], s * m.gravity[1], s * m.gravity[2])
        for i in range(6):
            share = cross3(lift, (rows[3][i], rows[4][i], rows[5][i]))
            for r in range(3):
                w.turning[b, r, i] = share[r]
        if d.applied[1]:
            _applied_share(m, d, w, b)
    lanes_add_up_trees(m, w.turning)


@kernel
def _applied_share(m: Model, d: Data, w: Lanes, b: int) -> None:
    f, arm = load6(d.xfrc_applied, b), applied_arm(m, d, b)
    force, torque = (f[0], f[1], f[2]), (f[3], f[4], f[5])
    for i in range(3):
        unit = (1.0 if i == 0 else 0.0, 1.0 if i == 1 else 0.0, 1.0 if i == 2 else 0.0)
        turned, moved, shift = cross3(torque, unit), cross3(force, cross3(unit, arm)), cross3(force, unit)
        for r in range(3):
            w.turning[b, r, i] += turned[r] + moved[r]
            w.turning[b, r, 3 + i] += shift[r]


@kernel
def implicit_damping_adj_by_pairs(m: Model, d: Data, w: Lanes, damping_time: float) -> None:
    """What `implicit_damping_adj` does to qpos_adj, qfrc_adj; needs `crb`."""
    forces_of_change(m, d, w)
    tendon_armature_damping_adj(m, d, w)
    for j in range(m.nv):
        count = _change_of_dof(m, d, w, j)
        _subtract_pairs_by_pos(w, j, count)
    take_damping_off(m, w, damping_time)


@kernel
def _change_of_dof(m: Model, d: Data, w: Lanes, j: int) -> int:
    """`_inverse_dynamics_of_dof` at rest, by position."""
    inert, axis, before, out = load10(d.crb, m.dof_bodyid[j]), load6(d.cdof, j), m.dof_beforeid[j], w.qderiv
    by_pos, momentum = inert_mul(inert, load6(w.axis_ddot, j)), inert_mul(inert, axis)
    with_force = add6(by_pos, load6(w.axis_force, j))
    i, count = j, 0
    while i >= 0:
        out[BY_OWN_POS, count] = dot6(load6(d.cdof, i), with_force if m.dof_beforeid[i] != before else by_pos)
        out[OWN_BY_POS, count] = dot6(load6(w.axis_ddot, i), momentum)
        w.qderiv_dof[count] = i
        i, count = m.dof_parentid[i], count + 1
    return count


@kernel
def _subtract_pairs_by_pos(w: Lanes, j: int, count: int) -> None:
    """The same as `_subtract_pairs`, for qpos_adj."""
    a, x = w.qderiv, w.qfrc_adj
    for k in range(0, w.nlane, AT_ONCE):
        own = load8(x, j, k)
        by_pos = load8(w.qpos_adj, j, k) - a[BY_OWN_POS, 0] * own
        for t in range(1, count):
            i = max(w.qderiv_dof[t], 0)
            by_pos -= a[BY_OWN_POS, t] * load8(x, i, k)
            store8(w.qpos_adj, i, k, load8(w.qpos_adj, i, k) - a[OWN_BY_POS, t] * own)
        store8(w.qpos_adj, j, k, by_pos)

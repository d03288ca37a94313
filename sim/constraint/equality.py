"""Constraint rows of equalities: connect, weld, joint, tendon (mj_instantiateEquality, mj_Jdotv).

MuJoCo documentation, Computation, "Equality". Every row holds a residual r(q) at zero, with one
impedance per equality, that of the residual's norm. Of a connect or weld, aref also takes off
J' v, the residual's second derivative that the velocity makes.

A weld's rotation is the imaginary part of E = Q2* Q1, the orientation of the first frame in the
second. With u the relative angular velocity in the second frame, E changes by T(u, E) = (0, u / 2) E.
"""

import math

from ..kernels.enums import CONNECT, EQUALITY, JOINT, WELD
from ..kernels.jit import kernel
from ..kernels.rotation import (
    Quat,
    Vec3,
    add3,
    cross3,
    load3,
    load4,
    load_mat3,
    mat_t_vec3,
    mat_vec3,
    quat_conj,
    quat_mul,
    quat_to_mat,
    scale3,
    sub3,
)
from ..kernels.spatial import Vec6, axpy6, load6, point_acceleration, velocity_at
from ..model.data import Data
from ..model.model import Model
from .row import Spans, clear_row, column, last_dof, new_row, set_row, spans_of_bodies, two_spans

TORQUESCALE = 10  # place in eq_data


@kernel
def row_count(m: Model, e: int) -> int:
    """Rows of equality `e`."""
    return 6 if m.eq_type[e] == WELD else (3 if m.eq_type[e] == CONNECT else 1)


@kernel
def arm_to(m: Model, d: Data, e: int, side: int) -> Vec3:
    """From the reference point of spatial vectors to the point held of body `side`."""
    b = m.eq_bodyid[e, side]
    anchor = load3(m.eq_anchor1, e) if side == 0 else load3(m.eq_anchor2, e)
    point = add3(load3(d.xpos, b), mat_vec3(load_mat3(d.xmat, b), anchor))
    return sub3(point, load3(d.subtree_com, m.body_rootid[b]))


@kernel
def second_frame(m: Model, d: Data, e: int) -> Quat:
    """Orientation Q2 of the weld's frame in the second body."""
    return quat_mul(load4(d.xquat, m.eq_bodyid[e, 1]), load4(m.eq_quat2, e))


@kernel
def orientation(m: Model, d: Data, e: int) -> Quat:
    """E, the weld's frame in the first body as the second sees it."""
    first = quat_mul(load4(d.xquat, m.eq_bodyid[e, 0]), load4(m.eq_quat1, e))
    return quat_mul(quat_conj(second_frame(m, d, e)), first)


@kernel
def turned(u: Vec3, q: Quat) -> Quat:
    """T(u, q): rate of `q` at angular velocity u on its left."""
    return quat_mul((0.0, 0.5 * u[0], 0.5 * u[1], 0.5 * u[2]), q)


@kernel
def equality(m: Model, d: Data) -> None:
    """Add the rows of the active equalities."""
    for e in range(m.neq):
        if m.eq_active0[e]:
            first, spans = d.nefc[0], _spans(m, e)
            for _ in range(row_count(m, e)):
                clear_row(d, new_row(d, EQUALITY, e, spans))
            if m.eq_type[e] == CONNECT or m.eq_type[e] == WELD:
                _hold_bodies(m, d, e, first, spans)
            else:
                _couple(m, d, e, first, spans)


@kernel
def _spans(m: Model, e: int) -> Spans:
    """What the rows of equality `e` touch."""
    if m.eq_type[e] == CONNECT or m.eq_type[e] == WELD:
        return spans_of_bodies(m, m.eq_bodyid[e, 0], m.eq_bodyid[e, 1])
    first1, end1 = _span_of_object(m, e, m.eq_obj1id[e])
    first2, end2 = _span_of_object(m, e, m.eq_obj2id[e])
    return two_spans(first1, end1, first2, end2)


@kernel
def _span_of_object(m: Model, e: int, t: int) -> tuple[int, int]:
    """First degree of freedom of joint or tendon `t` in equality `e`, and the end of its span."""
    first, end = m.nv, 0
    for k in range(object_count(m, e, t)):
        first, end = min(first, object_dof(m, e, t, k)), max(end, object_dof(m, e, t, k) + 1)
    return first, end


@kernel
def _set_rows(m: Model, d: Data, e: int, first: int, end: int, diag: float, norm: float) -> None:
    for r in range(first, end):
        residual = d.efc_pos[r]
        set_row(d, r, m.eq_solref, m.eq_solimp, e, norm, diag)
        d.efc_pos[r] = residual


@kernel
def _hold_bodies(m: Model, d: Data, e: int, first: int, spans: Spans) -> None:
    """Rows of a connect or weld: the gap of the two points, and for a weld the relative orientation."""
    b1, b2, count = m.eq_bodyid[e, 0], m.eq_bodyid[e, 1], row_count(m, e)
    for side in range(2):
        sign, arm, v = 1.0 - 2.0 * side, arm_to(m, d, e, side), last_dof(m, m.eq_bodyid[e, side])
        while v >= 0:
            x = velocity_at(load6(d.cdof, v), arm)
            for i in range(3):
                d.efc_J[first + i, column(spans, v)] += sign * x[i]
            v = m.dof_parentid[v]
    one = add3(arm_to(m, d, e, 0), load3(d.subtree_com, m.body_rootid[b1]))
    two = add3(arm_to(m, d, e, 1), load3(d.subtree_com, m.body_rootid[b2]))
    gap, total = sub3(one, two), 0.0
    for i in range(3):
        d.efc_pos[first + i] = gap[i]
    if count == 6:
        _hold_orientation(m, d, e, first, spans)
    for r in range(first, first + count):
        total += d.efc_pos[r] * d.efc_pos[r]
    norm = math.sqrt(total)
    _set_rows(m, d, e, first, first + 3, m.body_invweight0[b1, 0] + m.body_invweight0[b2, 0], norm)
    _set_rows(m, d, e, first + 3, first + count, m.body_invweight0[b1, 1] + m.body_invweight0[b2, 1], norm)


@kernel
def _hold_orientation(m: Model, d: Data, e: int, first: int, spans: Spans) -> None:
    scale, q, r2 = m.eq_data[e, TORQUESCALE], orientation(m, d, e), quat_to_mat(second_frame(m, d, e))
    for i in range(3):
        d.efc_pos[first + 3 + i] = scale * q[1 + i]
    for side in range(2):
        sign, v = 1.0 - 2.0 * side, last_dof(m, m.eq_bodyid[e, side])
        while v >= 0:
            rate = turned(mat_t_vec3(r2, load3(d.cdof, v)), q)
            for i in range(3):
                d.efc_J[first + 3 + i, column(spans, v)] += sign * scale * rate[1 + i]
            v = m.dof_parentid[v]


@kernel
def object_count(m: Model, e: int, t: int) -> int:
    """Degrees of freedom of joint or tendon `t` in equality `e`; none if t is -1."""
    if t < 0:
        return 0
    return 1 if m.eq_type[e] == JOINT else m.ten_J_rownnz[t]


@kernel
def object_dof(m: Model, e: int, t: int, k: int) -> int:
    """Degree of freedom number `k` of joint or tendon `t` in equality `e`."""
    return m.jnt_dofadr[t] if m.eq_type[e] == JOINT else m.shift_id[m.ten_J_rowadr[t] + k]


@kernel
def object_arm(m: Model, d: Data, e: int, t: int, k: int) -> float:
    """Its coefficient in the position of the joint, or moment arm of the tendon."""
    return 1.0 if m.eq_type[e] == JOINT else d.ten_J[m.ten_J_rowadr[t] + k]


@kernel
def object_shift(m: Model, d: Data, e: int, t: int) -> float:
    """Position of joint, or length of tendon, `t` from where it is at qpos0; 0 if t is -1."""
    if t < 0:
        return 0.0
    if m.eq_type[e] == JOINT:
        return d.qpos[m.jnt_qposadr[t]] - m.qpos0[m.jnt_qposadr[t]]
    return d.ten_length[t] - m.tendon_length0[t]


@kernel
def polynomial(m: Model, e: int, x: float) -> tuple[float, float, float]:
    """What the first object should be when the second is `x`, and its first two derivatives."""
    c = m.eq_data
    value = c[e, 0] + x * (c[e, 1] + x * (c[e, 2] + x * (c[e, 3] + x * c[e, 4])))
    slope = c[e, 1] + x * (2.0 * c[e, 2] + x * (3.0 * c[e, 3] + x * 4.0 * c[e, 4]))
    return value, slope, 2.0 * c[e, 2] + x * (6.0 * c[e, 3] + x * 12.0 * c[e, 4])


@kernel
def _couple(m: Model, d: Data, e: int, r: int, spans: Spans) -> None:
    one, two = m.eq_obj1id[e], m.eq_obj2id[e]
    value, slope, _ = polynomial(m, e, object_shift(m, d, e, two))
    diag = 0.0
    for k in range(object_count(m, e, one)):
        d.efc_J[r, column(spans, object_dof(m, e, one, k))] += object_arm(m, d, e, one, k)
    for k in range(object_count(m, e, two)):
        d.efc_J[r, column(spans, object_dof(m, e, two, k))] -= slope * object_arm(m, d, e, two, k)
    for side in range(2 if two >= 0 else 1):
        t = one if side == 0 else two
        diag += m.dof_invweight0[m.jnt_dofadr[t]] if m.eq_type[e] == JOINT else m.tendon_invweight0[t]
    d.efc_pos[r] = object_shift(m, d, e, one) - value
    _set_rows(m, d, e, r, r + 1, diag, abs(d.efc_pos[r]))


@kernel
def equality_bias(m: Model, d: Data) -> None:
    """Take J' v off the reference acceleration of connects and welds, whose rows come first."""
    r = 0
    for e in range(m.neq):
        if m.eq_active0[e]:
            if m.eq_type[e] == CONNECT or m.eq_type[e] == WELD:
                _point_bias(m, d, e, r)
            if m.eq_type[e] == WELD:
                _turn_bias(m, d, e, r + 3)
            r += row_count(m, e)


@kernel
def _velocity_product(m: Model, d: Data, b: int) -> Vec6:
    """Acceleration of body `b` without that of the joints and gravity."""
    total, v = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0), last_dof(m, b)
    while v >= 0:
        total = axpy6(d.qvel[v], load6(d.cdof_dot, v), total)
        v = m.dof_parentid[v]
    return total


@kernel
def _point_bias(m: Model, d: Data, e: int, first: int) -> None:
    for side in range(2):
        b, sign = m.eq_bodyid[e, side], 1.0 - 2.0 * side
        a = point_acceleration(_velocity_product(m, d, b), load6(d.cvel, b), arm_to(m, d, e, side))
        for i in range(3):
            d.efc_aref[first + i] -= sign * a[i]


@kernel
def relative_rates(m: Model, d: Data, e: int, a1: Vec6, a2: Vec6) -> tuple[Vec3, Vec3]:
    """u and its derivative, for the bodies' accelerations."""
    r2 = quat_to_mat(second_frame(m, d, e))
    w1, w2 = load3(d.cvel, m.eq_bodyid[e, 0]), load3(d.cvel, m.eq_bodyid[e, 1])
    change = sub3(sub3((a1[0], a1[1], a1[2]), (a2[0], a2[1], a2[2])), cross3(w2, w1))
    return mat_t_vec3(r2, sub3(w1, w2)), mat_t_vec3(r2, change)


@kernel
def _turn_bias(m: Model, d: Data, e: int, first: int) -> None:
    one, two = _velocity_product(m, d, m.eq_bodyid[e, 0]), _velocity_product(m, d, m.eq_bodyid[e, 1])
    u, change = relative_rates(m, d, e, one, two)
    q = orientation(m, d, e)
    x, y = turned(change, q), turned(u, turned(u, q))
    twice = scale3(m.eq_data[e, TORQUESCALE], (x[1] + y[1], x[2] + y[2], x[3] + y[3]))
    for i in range(3):
        d.efc_aref[first + i] -= twice[i]

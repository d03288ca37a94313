"""Adjoint of spatial tendons' forces: how their moment arms J change with the pose.

The force f(length, velocity) of a tendon acts as J' f. For the multiplier w

    d(w . J' f) = f d(J w) + (J w) df,    df = f_length J dq + f_velocity (d(J qvel) + J dqvel),

so that all that is needed is d(J x) for one vector x or another: ten_bend, a matrix for each tendon.

A shift c, with motion axis S_c, moves an end x_i of a piece, as the geom sees it, by r_i,c, the velocity of x_i
along S_c if c moves that end, less the same if it moves the geom. With the gradient g and the Hessian H of
the piece's length by its ends, the moment arm of k is sum g_i . r_i,k, and its derivative by c

    sum r_i,k . H_ij r_j,c + sum g_i . (dr_i,k - S_c,turn x r_i,k if c turns the geom),

dr_i,k with S_k turned along by S_c x S_k if k is behind c, and with x_i moved by S_c. These derivatives are
not symmetric: motions of two coordinates do not commute.
"""

from ..kernels.apart import unit
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, cross3, dot3, scale3, sub3
from ..kernels.spatial import Vec6, cross_motion, lanes_axpy, load6, velocity_at
from ..model.data import Data, Lanes
from ..model.model import Model
from ..model.tendon_paths import DOF, MOCAP
from .spatial_tendon import Piece, add_piece_slopes, ends_moved, path_piece, piece_gradient, piece_hessian, shift_origin
from .tendon import damping_rise, last_arm, moves_with, product_lanes, tendon_force, tendon_slopes


@kernel
def _ends(d: Data, k: int) -> tuple[Vec3, Vec3]:
    a = d.ten_ends
    return (a[k, 0], a[k, 1], a[k, 2]), (a[k, 3], a[k, 4], a[k, 5])


@kernel
def _hess_times(d: Data, one: float, two: float, v0: Vec3, v1: Vec3) -> tuple[Vec3, Vec3]:
    """ten_hess times the relative velocities one v0, two v1 of both ends."""
    h = d.ten_hess
    x0, x1, x2, y0, y1, y2 = one * v0[0], one * v0[1], one * v0[2], two * v1[0], two * v1[1], two * v1[2]
    a = h[0, 0] * x0 + h[0, 1] * x1 + h[0, 2] * x2 + h[0, 3] * y0 + h[0, 4] * y1 + h[0, 5] * y2
    b = h[1, 0] * x0 + h[1, 1] * x1 + h[1, 2] * x2 + h[1, 3] * y0 + h[1, 4] * y1 + h[1, 5] * y2
    c = h[2, 0] * x0 + h[2, 1] * x1 + h[2, 2] * x2 + h[2, 3] * y0 + h[2, 4] * y1 + h[2, 5] * y2
    e = h[3, 0] * x0 + h[3, 1] * x1 + h[3, 2] * x2 + h[3, 3] * y0 + h[3, 4] * y1 + h[3, 5] * y2
    f = h[4, 0] * x0 + h[4, 1] * x1 + h[4, 2] * x2 + h[4, 3] * y0 + h[4, 4] * y1 + h[4, 5] * y2
    g = h[5, 0] * x0 + h[5, 1] * x1 + h[5, 2] * x2 + h[5, 3] * y0 + h[5, 4] * y1 + h[5, 5] * y2
    return (a, b, c), (e, f, g)


@kernel
def _turned(g: Vec3, x: Vec3, origin: Vec3, by: Vec6, axis: Vec6, carried: bool, shift: Vec3) -> float:
    """g . (change of the velocity of `x` along `axis`): the axis may be carried by `by`, the point is moved."""
    change = cross3((axis[0], axis[1], axis[2]), shift)
    total = dot3(g, change)
    if carried:
        total += dot3(g, velocity_at(cross_motion(by, axis), sub3(x, origin)))
    return total


@kernel
def _bend_piece(m: Model, d: Data, t: int, p: int, piece: Piece, g0: Vec3, g1: Vec3, every: bool) -> None:
    """Add piece `p` to ten_bend of tendon `t`; needs ten_hess, ten_axis, ten_ends."""
    first, begin, end = m.ten_J_rowadr[t], m.piece_moveadr[p], m.piece_moveadr[p] + m.piece_movenum[p]
    for c in range(begin, end):
        if m.shift_kind[first + m.move_shift[c]] != DOF and not every:
            break
        one, two, geom = ends_moved(piece[2], m.move_ends[c])
        by, (v0, v1) = load6(d.ten_axis, c), _ends(d, c)
        h0, h1 = _hess_times(d, one, two, v0, v1)
        shift0, shift1 = scale3(one + geom, v0), scale3(two + geom, v1)
        spin = scale3(geom, (by[0], by[1], by[2]))
        for k in range(begin, end):
            s = first + m.move_shift[k]
            if m.shift_kind[s] != DOF:
                break
            mine, yours, _ = ends_moved(piece[2], m.move_ends[k])
            axis, origin, (u0, u1) = load6(d.ten_axis, k), shift_origin(m, d, s), _ends(d, k)
            place = m.tendon_bendadr[t] + m.move_shift[k] * m.tendon_shiftnum[t] + m.move_shift[c]
            carried, total = m.bend_carries[place] != 0, 0.0
            if mine != 0.0:
                total += mine * (dot3(h0, u0) + _turned(g0, piece[0], origin, by, axis, carried, shift0))
                total -= mine * dot3(g0, cross3(spin, u0))
            if yours != 0.0:
                total += yours * (dot3(h1, u1) + _turned(g1, piece[1], origin, by, axis, carried, shift1))
                total -= yours * dot3(g1, cross3(spin, u1))
            d.ten_bend[place] += total / m.piece_divisor[p]


@kernel
def tendon_bend(m: Model, d: Data, every: bool) -> None:
    """Fill ten_bend, and ten_J anew: by degrees of freedom, or by `every` shift."""
    for t in range(m.ntendon):
        if not m.tendon_spatial[t]:
            continue
        first, size = m.ten_J_rowadr[t], m.tendon_shiftnum[t]
        for s in range(first, first + size):
            d.ten_J[s] = 0.0
        for i in range(m.tendon_bendadr[t], m.tendon_bendadr[t] + m.ten_J_rownnz[t] * size):
            d.ten_bend[i] = 0.0
        for p in range(m.tendon_pieceadr[t], m.tendon_pieceadr[t] + m.tendon_piecenum[t]):
            piece = path_piece(m, d, p)
            _, g0, g1 = piece_gradient(piece)
            piece_hessian(d, piece)
            add_piece_slopes(m, d, p, first, piece, g0, g1, every)
            _bend_piece(m, d, t, p, piece, g0, g1, every)


@kernel
def last_shift(m: Model, w: Lanes, t: int) -> int:
    """One past the last shift of tendon `t` whose cotangent is asked for, as a number among its own."""
    if m.nmocap > 0 or w.with_params:
        return m.tendon_shiftnum[t]
    return m.ten_J_rownnz[t]


@kernel
def add_to_shift(m: Model, w: Lanes, s: int, factor: float, x: Floats, row: int) -> None:
    """Add factor x[row, :] to the cotangent of shift `s`."""
    i = m.shift_id[s]
    if m.shift_kind[s] == DOF:
        lanes_axpy(w.qpos_adj, i, factor, x, row)
    elif m.shift_kind[s] == MOCAP:
        lanes_axpy(w.mocap_adj[i // 6], i % 6, factor, x, row)
    elif w.with_params:
        w.body_pos_adj[i // 3, i % 3] += factor * x[row, 0]


@kernel
def arms_adj(m: Model, d: Data, w: Lanes, t: int, factor: float) -> None:
    """Add the derivative of factor (J qfrc_adj) by the pose, J the moment arms of tendon `t`."""
    first, size = m.ten_J_rowadr[t], m.tendon_shiftnum[t]
    for k in range(m.ten_J_rownnz[t]):
        for c in range(last_shift(m, w, t)):
            slope = d.ten_bend[m.tendon_bendadr[t] + k * size + c]
            add_to_shift(m, w, first + c, factor * slope, w.qfrc_adj, m.shift_id[first + k])


@kernel
def rate_adj(m: Model, d: Data, w: Lanes, t: int, factor: float, velocity: Floats, x: Floats, row: int) -> None:
    """Add the derivative of factor (J velocity) x[row, :] by the pose."""
    first, size = m.ten_J_rowadr[t], m.tendon_shiftnum[t]
    for c in range(last_shift(m, w, t)):
        total = 0.0
        for k in range(m.ten_J_rownnz[t]):
            total += d.ten_bend[m.tendon_bendadr[t] + k * size + c] * velocity[m.shift_id[first + k]]
        add_to_shift(m, w, first + c, factor * total, x, row)


@kernel
def length_adj(m: Model, d: Data, w: Lanes, t: int, factor: float, x: Floats, row: int, beyond: bool) -> None:
    """Add the derivative of factor length x[row, :] by the pose, or by what of it is `beyond` degrees of freedom."""
    for c in range(m.ten_J_rownnz[t] if beyond else 0, last_shift(m, w, t)):
        add_to_shift(m, w, m.ten_J_rowadr[t] + c, factor * d.ten_J[m.ten_J_rowadr[t] + c], x, row)


@kernel
def force_adj(m: Model, d: Data, w: Lanes, t: int, force: float, by_length: float, by_velocity: float) -> None:
    """Add the derivative of qfrc_adj . (J' force) of tendon `t`, the force a function of length and velocity."""
    arms_adj(m, d, w, t, force)
    if by_length == 0.0 and by_velocity == 0.0:
        return
    for k in range(w.nlane):
        w.ten_adj[0, k] = 0.0
    for s in range(m.ten_J_rowadr[t], last_arm(m, t)):
        lanes_axpy(w.ten_adj, 0, d.ten_J[s], w.qfrc_adj, m.shift_id[s])
    length_adj(m, d, w, t, by_length, w.ten_adj, 0, False)
    if by_velocity != 0.0:
        rate_adj(m, d, w, t, by_velocity, d.qvel, w.ten_adj, 0)
        for s in range(m.ten_J_rowadr[t], last_arm(m, t)):
            lanes_axpy(w.qvel_adj, m.shift_id[s], by_velocity * d.ten_J[s], w.ten_adj, 0)


@kernel
def product_adj(m: Model, d: Data, w: Lanes, t: int, factor: float, x: Floats) -> None:
    """Add the derivative of factor qfrc_adj . (J' J) x by the pose, J' J where the inertia matrix has entries."""
    first, size = m.ten_J_rowadr[t], m.tendon_shiftnum[t]
    for k in range(m.ten_J_rownnz[t]):
        v, rate = m.shift_id[first + k], 0.0
        for e in range(w.nlane):
            w.ten_adj[1, e] = 0.0
        for c in range(m.ten_J_rownnz[t]):
            u = m.shift_id[first + c]
            if moves_with(m, v, u) or moves_with(m, u, v):
                rate += d.ten_J[first + c] * x[u]
                lanes_axpy(w.ten_adj, 1, d.ten_J[first + c], w.qfrc_adj, u)
        for c in range(last_shift(m, w, t)):
            slope = factor * d.ten_bend[m.tendon_bendadr[t] + k * size + c]
            add_to_shift(m, w, first + c, slope * rate, w.qfrc_adj, v)
            add_to_shift(m, w, first + c, slope * x[v], w.ten_adj, 1)


@unit
def spatial_tendon_adj(m: Model, d: Data, w: Lanes, implicit_time: float) -> None:
    """Fill ten_bend; add the derivative of qfrc_adj . (springs and dampers of spatial tendons).

    With `implicit_time` h > 0 dampers act at the velocity qvel + h qacc, as far as implicitfast's matrix has it.
    """
    tendon_bend(m, d, m.nmocap > 0 or w.with_params != 0)
    for t in range(m.ntendon):
        if m.tendon_spatial[t]:
            by_length, by_velocity = tendon_slopes(m, d, t)
            force = tendon_force(m, d, t)
            if force != 0.0 or by_length != 0.0 or by_velocity != 0.0:
                force_adj(m, d, w, t, force, -by_length, -by_velocity)
            if by_velocity != 0.0 and implicit_time > 0.0:
                product_adj(m, d, w, t, -implicit_time * by_velocity, d.qacc)
                rise = damping_rise(m, d, t)
                if rise != 0.0:
                    product_lanes(m, d, w, t, d.qacc)
                    rate_adj(m, d, w, t, -implicit_time * rise, d.qvel, w.ten_adj, 0)


@kernel
def spatial_transmission_adj(m: Model, d: Data, w: Lanes, i: int) -> None:
    """Adjoint of `spatial_transmission`; see `transmission.py`. Needs `tendon_bend`."""
    t, gear = m.actuator_trnid[i, 0], m.actuator_gear[i, 0]
    length_adj(m, d, w, t, gear, w.length_adj, 0, False)
    first, size = m.ten_J_rowadr[t], m.tendon_shiftnum[t]
    for k in range(m.ten_J_rownnz[t]):
        for c in range(last_shift(m, w, t)):
            add_to_shift(m, w, first + c, gear * d.ten_bend[m.tendon_bendadr[t] + k * size + c], w.moment_adj, k)
    if w.with_params:
        w.actuator_gear_adj[i, 0] += d.ten_length[t] * w.length_adj[0, 0]
        for k in range(m.ten_J_rownnz[t]):
            w.actuator_gear_adj[i, 0] += d.ten_J[first + k] * w.moment_adj[k, 0]

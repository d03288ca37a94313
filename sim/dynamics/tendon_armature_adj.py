"""Adjoint of the tendons' armature (see `tendon_armature.py`).

Of w . J' armature (J qacc + b), J J' where the inertia matrix has entries, the moment arms change as in
`spatial_tendon_adj.py`. With the length's second derivative a under qacc, b = a - J qacc. A shift along S of what is
behind it changes velocity and acceleration of a point there as `equality_adj.py` says, by

    turn x v + S'(x),    turn x a + 2 sigma x v + S''(x),

sigma the rotation of S', and those of others not at all.
"""

from ..kernels.apart import unit
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, scale3, sub3
from ..kernels.spatial import Vec6, add6, cross_motion, lanes_axpy, load6, velocity_at
from ..model.data import Data, Lanes
from ..model.model import Model
from ..model.tendon_paths import DOF, FIRST_END, MOCAP, SECOND_END
from .spatial_tendon import path_piece, shift_axis, shift_origin, straight
from .spatial_tendon_adj import add_to_shift, arms_adj, last_shift, product_adj, rate_adj, tendon_bend
from .tendon import last_arm
from .tendon_armature import End, end_motion, length_acceleration, mul_tendon_inertia
from .tendon_wrap import TINY

REST: Vec6 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@kernel
def _axis_rates(m: Model, d: Data, w: Lanes, s: int, axis: Vec6) -> tuple[Vec6, Vec6]:
    """S' and S'' of shift `s`."""
    if m.shift_kind[s] == DOF:
        return load6(d.cdof_dot, m.shift_id[s]), load6(w.axis_ddot, m.shift_id[s])
    if m.shift_kind[s] == MOCAP:
        return REST, cross_motion(load6(d.cacc, 0), axis)
    before = m.body_parentid[m.shift_bodyid[s]]
    rate = cross_motion(load6(d.cvel, before), axis)
    return rate, add6(cross_motion(load6(d.cacc, before), axis), cross_motion(load6(d.cvel, before), rate))


@kernel
def _shifted(end: End, axis: Vec6, rate: Vec6, second: Vec6, origin: Vec3) -> End:
    """How the motion of an end changes with a shift that moves it."""
    arm, turn, sigma = sub3(end.place, origin), (axis[0], axis[1], axis[2]), (rate[0], rate[1], rate[2])
    velocity = add3(cross3(turn, end.velocity), velocity_at(rate, arm))
    acceleration = add3(cross3(turn, end.acceleration), scale3(2.0, cross3(sigma, end.velocity)))
    return End(velocity_at(axis, arm), velocity, add3(acceleration, velocity_at(second, arm)))


@kernel
def _acceleration_slope(one: End, two: End, by_one: End, by_two: End) -> float:
    """Change of the second derivative of the distance between two ends."""
    length, u = straight(one.place, two.place)
    if length <= TINY:
        return 0.0
    rate, change = sub3(two.velocity, one.velocity), sub3(two.acceleration, one.acceleration)
    step, by_rate = sub3(by_two.place, by_one.place), sub3(by_two.velocity, by_one.velocity)
    by_change, along, stretch = sub3(by_two.acceleration, by_one.acceleration), dot3(u, rate), dot3(u, step)
    by_u = scale3(1.0 / length, sub3(step, scale3(stretch, u)))
    by_along = dot3(by_u, rate) + dot3(u, by_rate)
    turning = dot3(rate, rate) - along * along
    by_turning = 2.0 * (dot3(rate, by_rate) - along * by_along)
    return dot3(by_u, change) + dot3(u, by_change) + by_turning / length - turning * stretch / (length * length)


@kernel
def _length_acceleration_adj(m: Model, d: Data, w: Lanes, t: int, factor: float) -> None:
    """Add the derivative of factor ten_adj[0] times the length's second derivative under qacc by the pose."""
    still = End((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    for p in range(m.tendon_pieceadr[t], m.tendon_pieceadr[t] + m.tendon_piecenum[t]):
        piece = path_piece(m, d, p)
        one, two = end_motion(m, d, p, 0, piece[0]), end_motion(m, d, p, 1, piece[1])
        for k in range(m.piece_moveadr[p], m.piece_moveadr[p] + m.piece_movenum[p]):
            if m.move_shift[k] >= last_shift(m, w, t):
                break
            s = m.ten_J_rowadr[t] + m.move_shift[k]
            axis, origin = shift_axis(m, d, s), shift_origin(m, d, s)
            rate, second = _axis_rates(m, d, w, s, axis)
            by_one = _shifted(one, axis, rate, second, origin) if m.move_ends[k] & FIRST_END else still
            by_two = _shifted(two, axis, rate, second, origin) if m.move_ends[k] & SECOND_END else still
            slope = _acceleration_slope(one, two, by_one, by_two) / m.piece_divisor[p]
            add_to_shift(m, w, s, factor * slope, w.ten_adj, 0)


@unit
def tendon_armature_adj(m: Model, d: Data, w: Lanes) -> None:
    """Subtract the derivative of qfrc_adj . (armature's force at qacc) from qpos_adj, qvel_adj, mocap_adj.

    Needs `rne_adj` and `tendon_bend` at that acceleration.
    """
    for t in range(m.ntendon):
        armature, first = m.tendon_armature[t], m.ten_J_rowadr[t]
        if armature == 0.0 or not m.tendon_spatial[t]:
            continue
        product_adj(m, d, w, t, -armature, d.qacc)
        bias = length_acceleration(m, d, t)
        for k in range(w.nlane):
            w.ten_adj[0, k] = 0.0
        for s in range(first, last_arm(m, t)):
            bias -= d.ten_J[s] * d.qacc[m.shift_id[s]]
            lanes_axpy(w.ten_adj, 0, d.ten_J[s], w.qfrc_adj, m.shift_id[s])
        arms_adj(m, d, w, t, -armature * bias)
        _length_acceleration_adj(m, d, w, t, -armature)
        rate_adj(m, d, w, t, armature, d.qacc, w.ten_adj, 0)
        size, begin = m.tendon_shiftnum[t], m.tendon_bendadr[t]
        for k in range(m.ten_J_rownnz[t]):
            slope = 0.0  # of b = qvel' ten_bend qvel
            for c in range(m.ten_J_rownnz[t]):
                both = d.ten_bend[begin + k * size + c] + d.ten_bend[begin + c * size + k]
                slope += both * d.qvel[m.shift_id[first + c]]
            lanes_axpy(w.qvel_adj, m.shift_id[first + k], -armature * slope, w.ten_adj, 0)


@kernel
def tendon_armature_damping_adj(m: Model, d: Data, w: Lanes) -> None:
    """The tendons' share of `implicit_damping_adj`, before it; leaves theirs of M qfrc_adj in qacc_adj."""
    tendon_bend(m, d, m.nmocap > 0 or w.with_params != 0)
    for t in range(m.ntendon):
        if m.tendon_armature[t] != 0.0 and m.tendon_spatial[t]:
            product_adj(m, d, w, t, -m.tendon_armature[t], d.qacc)
            product_adj(m, d, w, t, m.tendon_armature[t], d.qacc_warmstart)
    w.qacc_adj[:] = 0.0
    mul_tendon_inertia(m, d, w.qacc_adj, w.qfrc_adj)


@kernel
def add_tendon_inertia(m: Model, w: Lanes) -> None:
    """After it: add what `tendon_armature_damping_adj` left."""
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qfrc_adj[v, k] += w.qacc_adj[v, k]

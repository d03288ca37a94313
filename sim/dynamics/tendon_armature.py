"""Armature of tendons: inertia against changes of their lengths (mj_tendonArmature, mj_tendonBias).

The kinetic energy armature / 2 (J qvel)^2 adds armature J' J to the inertia matrix, where that has entries, as in
MuJoCo, and to the bias armature J' b, b the length's second derivative under constant qvel. Models with
armature solve with the inertia matrix where others take the articulated-body algorithm. MuJoCo has it only
for paths that pass no geoms.
"""

from typing import NamedTuple

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, dot3, load3, sub3
from ..kernels.spatial import lanes_axpy, load6, point_acceleration, velocity_at
from ..model.data import Data
from ..model.model import Model
from .spatial_tendon import path_piece, straight
from .tendon import last_arm, moves_with
from .tendon_wrap import TINY


class End(NamedTuple):
    """Motion of one end of a piece of a path."""

    place: Vec3
    velocity: Vec3
    acceleration: Vec3


@kernel
def tendon_inertia(m: Model, d: Data) -> None:
    """Add the tendons' armature to qM; needs ten_J."""
    for t in range(m.ntendon):
        if m.tendon_armature[t] == 0.0:
            continue
        for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
            for c in range(m.ten_J_rowadr[t], last_arm(m, t)):
                v, u = m.shift_id[k], m.shift_id[c]
                if moves_with(m, v, u):
                    d.qM[v, u] += m.tendon_armature[t] * d.ten_J[k] * d.ten_J[c]


@kernel
def mul_tendon_inertia(m: Model, d: Data, out: Floats, x: Floats) -> None:
    """out += (the tendons' share of the inertia matrix) x for every column of x (nv, columns)."""
    for t in range(m.ntendon):
        if m.tendon_armature[t] == 0.0:
            continue
        for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
            for c in range(m.ten_J_rowadr[t], last_arm(m, t)):
                v, u = m.shift_id[k], m.shift_id[c]
                if moves_with(m, v, u) or moves_with(m, u, v):
                    lanes_axpy(out, v, m.tendon_armature[t] * d.ten_J[k] * d.ten_J[c], x, u)


@kernel
def end_motion(m: Model, d: Data, p: int, end: int, place: Vec3) -> End:
    """Of end 0 or 1 of piece `p`, for the accelerations cacc; their gravity is the same for both ends."""
    b = m.site_bodyid[m.piece_siteid[p, end]]
    arm = sub3(place, load3(d.subtree_com, m.body_rootid[b]))
    v = load6(d.cvel, b)
    return End(place, velocity_at(v, arm), point_acceleration(load6(d.cacc, b), v, arm))


@kernel
def length_acceleration(m: Model, d: Data, t: int) -> float:
    """Second derivative of the length of spatial tendon `t`, for the accelerations cacc."""
    total = 0.0
    for p in range(m.tendon_pieceadr[t], m.tendon_pieceadr[t] + m.tendon_piecenum[t]):
        piece = path_piece(m, d, p)
        one, two = end_motion(m, d, p, 0, piece[0]), end_motion(m, d, p, 1, piece[1])
        length, u = straight(one.place, two.place)
        rate, change = sub3(two.velocity, one.velocity), sub3(two.acceleration, one.acceleration)
        along = dot3(u, rate)
        turning = (dot3(rate, rate) - along * along) / length if length > TINY else 0.0
        total += (dot3(u, change) + turning) / m.piece_divisor[p]
    return total


@kernel
def tendon_bias(m: Model, d: Data) -> None:
    """Add what armature of spatial tendons needs to qfrc_bias; after `rne_bias`."""
    for t in range(m.ntendon):
        if m.tendon_armature[t] != 0.0 and m.tendon_spatial[t]:
            force = m.tendon_armature[t] * length_acceleration(m, d, t)
            for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
                d.qfrc_bias[m.shift_id[k]] += d.ten_J[k] * force

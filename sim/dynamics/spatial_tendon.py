"""Spatial tendons: length, velocity and moment arms (mj_tendon).

A path is made of pieces from a site to the next, straight or past a geom (`tendon_wrap.py`), whose
lengths, over the pulley's divisor, add up. A piece's length depends on where its two ends are as
the geom sees them, so that its slope by a coordinate is the gradient times the ends' velocities
relative to the geom. Where the path touches the geom moves too, but not the length to first order.
"""

import math

from ..kernels.apart import unit
from ..kernels.enums import CYLINDER
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, dot3, load3, load4, load_mat3, mat_vec3, quat_to_mat, scale3, sub3
from ..kernels.spatial import Vec6, dot6, load6, velocity_at
from ..model.data import Data
from ..model.model import Model
from ..model.tendon_paths import DOF, FIRST_END, MOCAP, OBSTACLE, SECOND_END
from .mocap import mocap_axis
from .tendon_wrap import STRAIGHT, TINY, Frame, plane_frame, wrap_gradient, wrap_hessian, wrap_kind
from .two_sites import ZERO6, site_point, wrench_at

ZERO: Vec3 = (0.0, 0.0, 0.0)
NO_FRAME: Frame = (ZERO, ZERO, ZERO, ZERO, ZERO, 0.0, 0.0, 1.0, 0.0)
Piece = tuple[Vec3, Vec3, int, Frame, Vec3, float, float]


@kernel
def path_piece(m: Model, d: Data, p: int) -> Piece:
    """Ends of piece `p` [m]; whether and how it touches its geom, and there: frame, axis, climb along it, radius."""
    return _piece_between(m, d, p, site_point(m, d, m.piece_siteid[p, 0]), site_point(m, d, m.piece_siteid[p, 1]))


@kernel
def _piece_between(m: Model, d: Data, p: int, x0: Vec3, x1: Vec3) -> Piece:
    """The same from its ends."""
    g, s = m.piece_geomid[p], m.piece_sideid[p]
    if g < 0:
        return x0, x1, STRAIGHT, NO_FRAME, ZERO, 0.0, 0.0
    b, radius, axis = m.geom_bodyid[g], m.geom_size[g, 0], ZERO
    r = load_mat3(d.xmat, b)
    centre = add3(load3(d.xpos, b), mat_vec3(r, load3(m.geom_pos, g)))
    if m.geom_type[g] == CYLINDER:
        own = quat_to_mat(load4(m.geom_quat, g))
        axis = mat_vec3(r, (own[2], own[5], own[8]))
    p0, p1 = sub3(x0, centre), sub3(x1, centre)
    side = sub3(site_point(m, d, s), centre) if s >= 0 else ZERO
    kind = wrap_kind(axis, p0, p1, radius, s >= 0, side)
    if kind == STRAIGHT:
        return x0, x1, STRAIGHT, NO_FRAME, axis, 0.0, radius
    return x0, x1, kind, plane_frame(axis, p0, p1), axis, dot3(axis, sub3(x1, x0)), radius


@kernel
def straight(x0: Vec3, x1: Vec3) -> tuple[float, Vec3]:
    """Distance and direction from `x0` to `x1`; like MuJoCo along x where they are one point."""
    step = sub3(x1, x0)
    length = math.sqrt(dot3(step, step))
    return length, scale3(1.0 / length, step) if length > TINY else (1.0, 0.0, 0.0)


@kernel
def piece_gradient(piece: Piece) -> tuple[float, Vec3, Vec3]:
    """Length of a piece and its gradients by both ends, the geom at rest."""
    x0, x1, kind, frame, axis, climb, radius = piece
    if kind == STRAIGHT:
        length, u = straight(x0, x1)
        return length, scale3(-1.0, u), u
    return wrap_gradient(frame, kind, axis, climb, radius)


@kernel
def piece_hessian(d: Data, piece: Piece) -> None:
    """Fill ten_hess."""
    x0, x1, kind, frame, axis, climb, radius = piece
    if kind != STRAIGHT:
        wrap_hessian(d.ten_hess, frame, kind, axis, climb, radius)
        return
    length, u = straight(x0, x1)
    inverse = 1.0 / length if length > TINY else 0.0
    for r in range(3):
        for c in range(3):
            x = inverse * ((1.0 if r == c else 0.0) - u[r] * u[c])
            d.ten_hess[r, c], d.ten_hess[3 + r, 3 + c] = x, x
            d.ten_hess[r, 3 + c], d.ten_hess[3 + r, c] = -x, -x


@kernel
def shift_axis(m: Model, d: Data, s: int) -> Vec6:
    """Motion of what is behind shift `s`."""
    i = m.shift_id[s]
    if m.shift_kind[s] == DOF:
        return load6(d.cdof, i)
    if m.shift_kind[s] == MOCAP:
        return mocap_axis(d, m.shift_bodyid[s], i % 6)
    r, c = load_mat3(d.xmat, m.body_parentid[m.shift_bodyid[s]]), i % 3
    return 0.0, 0.0, 0.0, r[c], r[3 + c], r[6 + c]


@kernel
def shift_origin(m: Model, d: Data, s: int) -> Vec3:
    """The point that this motion refers to."""
    return load3(d.subtree_com, m.body_rootid[m.shift_bodyid[s]])


@kernel
def ends_moved(kind: int, ends: int) -> tuple[float, float, float]:
    """Signs with which a shift moves a piece's ends relative to the geom, and 1 where it turns the geom.

    A straight piece does not know of its geom.
    """
    geom = 1.0 if kind != STRAIGHT and ends & OBSTACLE else 0.0
    first, second = 1.0 if ends & FIRST_END else 0.0, 1.0 if ends & SECOND_END else 0.0
    return first - geom, second - geom, geom


@kernel
def add_piece_slopes(m: Model, d: Data, p: int, first: int, piece: Piece, g0: Vec3, g1: Vec3, every: bool) -> None:
    """Add piece `p` of the tendon whose shifts begin at `first` to ten_J: degrees of freedom, or `every` shift.

    Keeps ten_axis and ten_ends.
    """
    for k in range(m.piece_moveadr[p], m.piece_moveadr[p] + m.piece_movenum[p]):
        s = first + m.move_shift[k]
        if m.shift_kind[s] != DOF and not every:
            break
        one, two, _ = ends_moved(piece[2], m.move_ends[k])
        axis, origin = shift_axis(m, d, s), shift_origin(m, d, s)
        v0, v1 = velocity_at(axis, sub3(piece[0], origin)), velocity_at(axis, sub3(piece[1], origin))
        d.ten_J[s] += (one * dot3(g0, v0) + two * dot3(g1, v1)) / m.piece_divisor[p]
        for i in range(6):
            d.ten_axis[k, i] = axis[i]
        for i in range(3):
            d.ten_ends[k, i], d.ten_ends[k, 3 + i] = v0[i], v1[i]


@kernel
def _add_piece_arms(m: Model, d: Data, p: int, first: int, piece: Piece, g0: Vec3, g1: Vec3) -> None:
    """Add piece `p` of the tendon whose shifts begin at `first` to ten_J, degrees of freedom alone.

    The gradients are forces on both ends, and arms the motion axes times their wrenches.
    """
    share, root, w0, w1 = 1.0 / m.piece_divisor[p], -1, ZERO6, ZERO6
    g0, g1 = scale3(share, g0), scale3(share, g1)
    for k in range(m.piece_moveadr[p], m.piece_moveadr[p] + m.piece_movenum[p]):
        s = first + m.move_shift[k]
        if m.shift_kind[s] != DOF:
            break
        if m.body_rootid[m.shift_bodyid[s]] != root:
            root, origin = m.body_rootid[m.shift_bodyid[s]], shift_origin(m, d, s)
            w0, w1 = wrench_at(sub3(piece[0], origin), g0, ZERO), wrench_at(sub3(piece[1], origin), g1, ZERO)
        one, two, _ = ends_moved(piece[2], m.move_ends[k])
        axis = load6(d.cdof, m.shift_id[s])
        d.ten_J[s] += one * dot6(axis, w0) + two * dot6(axis, w1)


@kernel
def _is_rigid(m: Model, p: int) -> bool:
    """Whether piece `p` lies within one body."""
    return m.piece_geomid[p] < 0 and m.site_bodyid[m.piece_siteid[p, 0]] == m.site_bodyid[m.piece_siteid[p, 1]]


@unit
def spatial_tendon(m: Model, d: Data) -> None:
    """Fill ten_length, ten_velocity, ten_J of spatial tendons; after `tendon`."""
    for t in range(m.ntendon):
        if not m.tendon_spatial[t]:
            continue
        first, length, velocity = m.ten_J_rowadr[t], 0.0, 0.0
        for s in range(first, first + m.tendon_shiftnum[t]):
            d.ten_J[s] = 0.0
        last, place = -1, ZERO  # the site where the piece before ended
        for p in range(m.tendon_pieceadr[t], m.tendon_pieceadr[t] + m.tendon_piecenum[t]):
            one, two = m.piece_siteid[p, 0], m.piece_siteid[p, 1]
            if _is_rigid(m, p):
                step = sub3(load3(m.site_pos, two), load3(m.site_pos, one))
                length += math.sqrt(dot3(step, step)) / m.piece_divisor[p]
                continue
            x0 = place if one == last else site_point(m, d, one)
            last, place = two, site_point(m, d, two)
            piece = _piece_between(m, d, p, x0, place)
            own, g0, g1 = piece_gradient(piece)
            length += own / m.piece_divisor[p]
            _add_piece_arms(m, d, p, first, piece, g0, g1)
        for s in range(first, first + m.ten_J_rownnz[t]):
            velocity += d.ten_J[s] * d.qvel[m.shift_id[s]]
        d.ten_length[t], d.ten_velocity[t] = length, velocity


@kernel
def spatial_transmission(m: Model, d: Data, i: int) -> None:
    """Length and moment arms of actuator `i` on a spatial tendon; see `transmission.py`."""
    t, gear = m.actuator_trnid[i, 0], m.actuator_gear[i, 0]
    d.actuator_length[i] = gear * d.ten_length[t]
    for k in range(m.ten_J_rownnz[t]):
        d.actuator_moment[m.moment_rowadr[i] + k] = gear * d.ten_J[m.ten_J_rowadr[t] + k]

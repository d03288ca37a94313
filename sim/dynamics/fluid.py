"""Forces of the fluid that bodies move in (mj_passive, "Fluid forces"), and their adjoint.

A piece (`model/fluids.py`) is pushed by a wrench f of the velocity x that it has, in its own frame,
through the fluid. The virtual power W . f changes with a coordinate j of axis S_j as that of any force
that turns with its body (`rnea.py`), by (S_j x* f) . W_before; and x, for an observer carried along, by
(v_before - wind) x S_j. With the cotangent G = df/dx' W of the piece's velocity, summed over the subtree,

    d(W . f)/dq_j    = (S_j x* f) . W_before + S'_j . G + s_j . (wind x G's force),
    d(W . f)/dqvel_j = S_j . G,

s_j the turn part of S_j. `rne_adj` has the sums: f is taken off the bodies' forces, G off `wcor`, the last
part off `wgrav`. implicitfast sees the linearised wrench f + h df/dx A, A the motion under qacc, and G gets
the derivative of W . df/dx A: `fluid_implicit.py`.
"""

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import (
    Mat3,
    Vec3,
    add3,
    cross3,
    load3,
    load4,
    load_mat3,
    mat_t_vec3,
    mat_vec3,
    quat_mul,
    quat_to_mat,
    sub3,
)
from ..kernels.spatial import Vec6, add6, axpy6, dot6, load6, scale6, store6, velocity_at
from ..model.data import Data, Lanes
from ..model.model import Model
from .ellipsoid import ellipsoid_bend, ellipsoid_force, ellipsoid_slope, ellipsoid_slope_t
from .inertia_box import box_bend, box_force, box_parameters_adj, box_slope
from .subtree import add_up_trees


@kernel
def piece_frame(m: Model, d: Data, p: int) -> tuple[Mat3, Vec3]:
    """Orientation of piece `p`, and where it is from the point of its tree."""
    b = m.fluid_bodyid[p]
    mat = quat_to_mat(quat_mul(load4(d.xquat, b), load4(m.fluid_quat, p)))
    pos = add3(load3(d.xpos, b), mat_vec3(load_mat3(d.xmat, b), load3(m.fluid_pos, p)))
    return mat, sub3(pos, load3(d.subtree_com, m.body_rootid[b]))


@kernel
def to_piece(mat: Mat3, arm: Vec3, motion: Vec6) -> Vec6:
    """A body's motion as that of the piece, in its own frame."""
    turn, shift = mat_t_vec3(mat, (motion[0], motion[1], motion[2])), mat_t_vec3(mat, velocity_at(motion, arm))
    return turn[0], turn[1], turn[2], shift[0], shift[1], shift[2]


@kernel
def from_piece(mat: Mat3, arm: Vec3, wrench: Vec6) -> Vec6:
    """A wrench on the piece, in its own frame, as one on the body."""
    force = mat_vec3(mat, (wrench[3], wrench[4], wrench[5]))
    torque = add3(mat_vec3(mat, (wrench[0], wrench[1], wrench[2])), cross3(arm, force))
    return torque[0], torque[1], torque[2], force[0], force[1], force[2]


@kernel
def piece_velocity(m: Model, d: Data, p: int, mat: Mat3, arm: Vec3) -> Vec6:
    """Velocity of piece `p` through the fluid, in its own frame."""
    v = to_piece(mat, arm, load6(d.cvel, m.fluid_bodyid[p]))
    wind = mat_t_vec3(mat, (m.wind[0], m.wind[1], m.wind[2]))
    return v[0], v[1], v[2], v[3] - wind[0], v[4] - wind[1], v[5] - wind[2]


@kernel
def piece_slope(m: Model, p: int, x: Vec6, y: Vec6) -> Vec6:
    """implicitfast's derivative of the wrench by the velocity `x`, times `y`."""
    return _slope(m, p, m.fluid_coef[p], x, y)


@kernel
def _slope(m: Model, p: int, c: Floats, x: Vec6, y: Vec6) -> Vec6:
    """The same for the coefficients `c`."""
    if m.fluid_box[p]:
        return box_slope(c, x, y)
    if m.fluid_skew[p]:
        return ellipsoid_slope(c, x, y)
    return scale6(0.5, add6(ellipsoid_slope(c, x, y), ellipsoid_slope_t(c, x, y)))


@kernel
def piece_slope_t(m: Model, p: int, x: Vec6, y: Vec6) -> Vec6:
    """The transpose of the same matrix, times `y`."""
    return ellipsoid_slope_t(m.fluid_coef[p], x, y) if m.fluid_skew[p] else piece_slope(m, p, x, y)


@kernel
def _piece_bend(m: Model, p: int, x: Vec6, y: Vec6, z: Vec6) -> Vec6:
    """Derivative of y . slope z by the velocity `x`."""
    c = m.fluid_coef[p]
    if m.fluid_box[p]:
        return box_bend(c, x, y, z)
    if m.fluid_skew[p]:
        return ellipsoid_bend(c, x, y, z)
    return scale6(0.5, add6(ellipsoid_bend(c, x, y, z), ellipsoid_bend(c, x, z, y)))


@kernel
def fluid_forces(m: Model, d: Data) -> None:
    """Fill fluid_force."""
    d.fluid_time[0] = 0.0
    for p in range(m.nfluid):
        mat, arm = piece_frame(m, d, p)
        x = piece_velocity(m, d, p, mat, arm)
        store6(d.fluid_force, p, from_piece(mat, arm, _force(m, p, m.fluid_coef[p], x)))


@kernel
def _force(m: Model, p: int, c: Floats, x: Vec6) -> Vec6:
    """Force of piece `p` at the velocity `x`, with the coefficients `c`."""
    return box_force(c, x) if m.fluid_box[p] else ellipsoid_force(c, x)


@kernel
def fluid(m: Model, d: Data) -> None:
    """Add the forces of the fluid to qfrc_passive. Uses cfrc as scratch."""
    fluid_forces(m, d)
    d.cfrc[:] = 0.0
    for p in range(m.nfluid):
        b = m.fluid_bodyid[p]
        store6(d.cfrc, b, add6(load6(d.cfrc, b), load6(d.fluid_force, p)))
    add_up_trees(m, d.cfrc)
    for v in range(m.nv):
        d.qfrc_passive[v] += dot6(load6(d.cdof, v), load6(d.cfrc, m.dof_bodyid[v]))


@kernel
def fluid_taken_off(m: Model, d: Data) -> None:
    """Take fluid_force off the bodies' forces cfrc, before they are summed over subtrees."""
    for p in range(m.nfluid):
        b = m.fluid_bodyid[p]
        store6(d.cfrc, b, add6(load6(d.cfrc, b), scale6(-1.0, load6(d.fluid_force, p))))


@kernel
def lane_motion(w: Lanes, b: int, k: int) -> Vec6:
    """Virtual velocity of body `b` in lane `k`."""
    x = w.wvel
    return x[b, 0, k], x[b, 1, k], x[b, 2, k], x[b, 3, k], x[b, 4, k], x[b, 5, k]


@kernel
def _velocity_adj(m: Model, d: Data, p: int, x: Vec6, y: Vec6) -> Vec6:
    """G of the piece, in its own frame, for its virtual velocity `y`."""
    c = m.fluid_coef[p]
    cotangent = box_slope(c, x, y) if m.fluid_box[p] else ellipsoid_slope_t(c, x, y)
    time = d.fluid_time[0]
    if time > 0.0:
        cotangent = add6(cotangent, scale6(time, _piece_bend(m, p, x, y, load6(d.fluid_acc, p))))
    return cotangent


@kernel
def fluid_adj(m: Model, d: Data, w: Lanes) -> None:
    """Take the cotangents of the pieces' velocities off wcor, wgrav, before they are summed over subtrees."""
    wind = (m.wind[0], m.wind[1], m.wind[2])
    for p in range(m.nfluid):
        b = m.fluid_bodyid[p]
        mat, arm = piece_frame(m, d, p)
        x = piece_velocity(m, d, p, mat, arm)
        for k in range(w.nlane):
            y = to_piece(mat, arm, lane_motion(w, b, k))
            cotangent = from_piece(mat, arm, _velocity_adj(m, d, p, x, y))
            for r in range(6):
                w.wcor[b, r, k] -= cotangent[r]
            if m.windy:
                turning = cross3(wind, (cotangent[3], cotangent[4], cotangent[5]))
                for r in range(3):
                    w.wgrav[b, r, k] -= turning[r]


@kernel
def fluid_parameters_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add to the medium, and to mass, inertia and centre of mass of bodies that are boxes.

    Runs after `rne_adj`, with one lane.
    """
    for p in range(m.nfluid):
        b, time = m.fluid_bodyid[p], d.fluid_time[0]
        mat, arm = piece_frame(m, d, p)
        x, virtual = piece_velocity(m, d, p, mat, arm), lane_motion(w, b, 0)
        y = to_piece(mat, arm, virtual)
        z = load6(d.fluid_acc, p) if time > 0.0 else (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        cotangent = from_piece(mat, arm, _velocity_adj(m, d, p, x, y))
        for i in range(2):  # forces are sums of what density and viscosity make, each in proportion
            c = m.fluid_unit[p, i]
            w.fluid_medium_adj[i] += dot6(y, axpy6(time, _slope(m, p, c, x, z), _force(m, p, c, x)))
        for i in range(3):
            w.wind_adj[i] -= cotangent[3 + i]
        if not m.fluid_box[p]:
            continue
        box_parameters_adj(m, d, w, p, x, y, z)
        # the point that moves and is pushed
        force = load6(d.fluid_force, p)
        by_pos = cross3((cotangent[3], cotangent[4], cotangent[5]), (d.cvel[b, 0], d.cvel[b, 1], d.cvel[b, 2]))
        by_pos = add3(by_pos, cross3((force[3], force[4], force[5]), (virtual[0], virtual[1], virtual[2])))
        if time > 0.0:
            ahead = from_piece(mat, arm, scale6(time, piece_slope_t(m, p, x, y)))
            turn = mat_vec3(mat, (z[0], z[1], z[2]))
            by_pos = add3(by_pos, cross3((ahead[3], ahead[4], ahead[5]), turn))
        local = mat_t_vec3(load_mat3(d.xmat, b), by_pos)
        for i in range(3):
            w.body_ipos_adj[b, i] += local[i]

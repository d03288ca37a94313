"""Derivatives of the poses by `qpos` and the poses of mocap bodies: pushed forward (jvp) and pulled back (vjp).

A body moves as a spatial velocity; a cotangent of poses acts as a spatial force on the body, and
its share of a degree of freedom is motion axis . force of the subtree.
"""

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Mat3, Vec3, add3, cross3, load3, load4, load_mat3, quat_conj, quat_mul, store3, sub3
from ..kernels.spatial import axpy6, dot6, load6, store6, velocity_at
from ..model.data import Data
from ..model.model import Model
from .inertia import com_pos
from .kinematics import geom_site_poses, kinematics
from .mocap import mocap_axis
from .subtree import add_up_trees
from .velocity import com_vel


@kernel
def poses(m: Model, d: Data) -> None:
    """All poses, and the motion axes that their derivatives need."""
    kinematics(m, d)
    geom_site_poses(m, d)
    com_pos(m, d)


@kernel
def _turn_rate(r: Mat3, rate: Vec3) -> Mat3:
    """Rate of the rotation matrix `r` at angular velocity `rate`."""
    x, y, z = cross3(rate, (r[0], r[3], r[6])), cross3(rate, (r[1], r[4], r[7])), cross3(rate, (r[2], r[5], r[8]))
    return x[0], y[0], z[0], x[1], y[1], z[1], x[2], y[2], z[2]


@kernel
def _torque_of(r: Mat3, g: Mat3) -> Vec3:
    """Torque that a cotangent `g` of the rotation matrix `r` exerts."""
    x = cross3((r[0], r[3], r[6]), (g[0], g[3], g[6]))
    y = cross3((r[1], r[4], r[7]), (g[1], g[4], g[7]))
    z = cross3((r[2], r[5], r[8]), (g[2], g[5], g[8]))
    return add3(x, add3(y, z))


@kernel
def _frame_jvp(m: Model, d: Data, b: int, pos: Vec3) -> tuple[Vec3, Vec3]:
    """Velocity of the point `pos` of body `b`, and the body's angular velocity."""
    v = load6(d.cvel, b)
    return velocity_at(v, sub3(pos, load3(d.subtree_com, m.body_rootid[b]))), (v[0], v[1], v[2])


@kernel
def poses_jvp(
    m: Model, d: Data, xpos: Floats, xquat: Floats, xipos: Floats, geom_xpos: Floats, geom_xmat: Floats,
    site_xpos: Floats, site_xmat: Floats, mocap_rate: Floats,
) -> None:  # fmt: skip
    """Rates of the poses for the tangent velocity in d.qvel and `mocap_rate` (nmocap, 6); after `poses`."""
    com_vel(m, d)
    for b in range(1, m.nbody):
        root = m.body_rootid[b]
        c = m.body_mocapid[root]
        for i in range(6 if c >= 0 else 0):
            store6(d.cvel, b, axpy6(mocap_rate[c, i], mocap_axis(d, root, i), load6(d.cvel, b)))
    for b in range(m.nbody):
        rate, turn = _frame_jvp(m, d, b, load3(d.xpos, b))
        store3(xpos, b, rate)
        store3(xipos, b, _frame_jvp(m, d, b, load3(d.xipos, b))[0])
        quat = quat_mul((0.0, 0.5 * turn[0], 0.5 * turn[1], 0.5 * turn[2]), load4(d.xquat, b))
        xquat[b, 0], xquat[b, 1], xquat[b, 2], xquat[b, 3] = quat
    for g in range(m.ngeom):
        rate, turn = _frame_jvp(m, d, m.geom_bodyid[g], load3(d.geom_xpos, g))
        store3(geom_xpos, g, rate)
        mat = _turn_rate(load_mat3(d.geom_xmat, g), turn)
        for i in range(9):
            geom_xmat[g, i] = mat[i]
    for s in range(m.nsite):
        rate, turn = _frame_jvp(m, d, m.site_bodyid[s], load3(d.site_xpos, s))
        store3(site_xpos, s, rate)
        mat = _turn_rate(load_mat3(d.site_xmat, s), turn)
        for i in range(9):
            site_xmat[s, i] = mat[i]


@kernel
def _push(m: Model, d: Data, b: int, pos: Vec3, force: Vec3, torque: Vec3) -> None:
    """Add a force at `pos` and a torque to body `b`."""
    if b == 0:
        return
    moment = add3(torque, cross3(sub3(pos, load3(d.subtree_com, m.body_rootid[b])), force))
    for i in range(3):
        d.cfrc[b, i] += moment[i]
        d.cfrc[b, 3 + i] += force[i]


@kernel
def poses_vjp(
    m: Model, d: Data, qpos_adj: Floats, xpos: Floats, xquat: Floats, xipos: Floats, geom_xpos: Floats,
    geom_xmat: Floats, site_xpos: Floats, site_xmat: Floats, mocap_adj: Floats,
) -> None:  # fmt: skip
    """Tangent gradients `qpos_adj` (nv), `mocap_adj` (nmocap, 6) of the poses' cotangents; after `poses`."""
    zero = (0.0, 0.0, 0.0)
    for b in range(m.nbody):
        store6(d.cfrc, b, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    for b in range(1, m.nbody):
        spin = quat_mul(load4(xquat, b), quat_conj(load4(d.xquat, b)))
        _push(m, d, b, load3(d.xpos, b), load3(xpos, b), (0.5 * spin[1], 0.5 * spin[2], 0.5 * spin[3]))
        _push(m, d, b, load3(d.xipos, b), load3(xipos, b), zero)
    for g in range(m.ngeom):
        torque = _torque_of(load_mat3(d.geom_xmat, g), load_mat3(geom_xmat, g))
        _push(m, d, m.geom_bodyid[g], load3(d.geom_xpos, g), load3(geom_xpos, g), torque)
    for s in range(m.nsite):
        torque = _torque_of(load_mat3(d.site_xmat, s), load_mat3(site_xmat, s))
        _push(m, d, m.site_bodyid[s], load3(d.site_xpos, s), load3(site_xpos, s), torque)
    add_up_trees(m, d.cfrc)
    for v in range(m.nv):
        qpos_adj[v] = dot6(load6(d.cdof, v), load6(d.cfrc, m.dof_bodyid[v]))
    for c in range(m.nmocap):
        b = m.mocap_bodyid[c]
        for i in range(6):
            mocap_adj[c, i] = dot6(mocap_axis(d, b, i), load6(d.cfrc, b))

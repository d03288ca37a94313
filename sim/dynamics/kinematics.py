"""Poses of bodies, joints, geoms and sites from `qpos` and the poses of mocap bodies.

MuJoCo documentation, Computation, "Forward kinematics"; the free, ball, slide and hinge joint
conventions are mj_kinematics'.
"""

from ..kernels.enums import BALL, FREE, SLIDE
from ..kernels.jit import kernel
from ..kernels.rotation import (
    Quat,
    Vec3,
    add3,
    load3,
    load4,
    load_mat3,
    mat_vec3,
    quat_exp,
    quat_mul,
    quat_normalize,
    quat_rotate,
    quat_to_mat,
    scale3,
    store3,
    store_mat3,
    sub3,
)
from ..model.data import Data
from ..model.model import Model


@kernel
def kinematics(m: Model, d: Data) -> None:
    """Fill xpos, xquat, xmat, xipos, ximat, xanchor, xaxis."""
    zero = (0.0, 0.0, 0.0)
    store3(d.xpos, 0, zero)
    store3(d.xipos, 0, zero)
    d.xquat[0, 0], d.xquat[0, 1], d.xquat[0, 2], d.xquat[0, 3] = (1.0, 0.0, 0.0, 0.0)
    store_mat3(d.xmat, 0, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    store_mat3(d.ximat, 0, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    for b in range(1, m.nbody):
        first, count = m.body_jntadr[b], m.body_jntnum[b]
        if count > 0 and m.jnt_type[first] == FREE:
            a = m.jnt_qposadr[first]
            pos = (d.qpos[a], d.qpos[a + 1], d.qpos[a + 2])
            quat = (d.qpos[a + 3], d.qpos[a + 4], d.qpos[a + 5], d.qpos[a + 6])
            store3(d.xanchor, first, pos)
            store3(d.xaxis, first, load3(m.jnt_axis, first))
        else:
            p, i = m.body_parentid[b], m.body_mocapid[b]
            if i >= 0:
                pos, quat = load3(d.mocap_pos, i), load4(d.mocap_quat, i)
            else:
                pos = add3(load3(d.xpos, p), mat_vec3(load_mat3(d.xmat, p), load3(m.body_pos, b)))
                quat = quat_mul(load4(d.xquat, p), load4(m.body_quat, b))
            for j in range(first, first + count):
                pos, quat = _joint_pose(m, d, j, pos, quat)
        quat = quat_normalize(quat)
        mat = quat_to_mat(quat)
        store3(d.xpos, b, pos)
        d.xquat[b, 0], d.xquat[b, 1], d.xquat[b, 2], d.xquat[b, 3] = quat
        store_mat3(d.xmat, b, mat)
        store3(d.xipos, b, add3(pos, mat_vec3(mat, load3(m.body_ipos, b))))
        store_mat3(d.ximat, b, quat_to_mat(quat_mul(quat, load4(m.body_iquat, b))))


@kernel
def _joint_pose(m: Model, d: Data, j: int, pos: Vec3, quat: Quat) -> tuple[Vec3, Quat]:
    """Move the body frame (pos, quat) through joint `j`."""
    offset, axis = load3(m.jnt_pos, j), load3(m.jnt_axis, j)
    anchor = add3(pos, quat_rotate(quat, offset))
    world_axis = quat_rotate(quat, axis)
    store3(d.xanchor, j, anchor)
    store3(d.xaxis, j, world_axis)
    a = m.jnt_qposadr[j]
    if m.jnt_type[j] == SLIDE:
        return add3(pos, scale3(d.qpos[a] - m.qpos0[a], world_axis)), quat
    if m.jnt_type[j] == BALL:
        turn = quat_normalize((d.qpos[a], d.qpos[a + 1], d.qpos[a + 2], d.qpos[a + 3]))
    else:
        turn = quat_exp(scale3(d.qpos[a] - m.qpos0[a], axis))
    quat = quat_mul(quat, turn)
    return sub3(anchor, quat_rotate(quat, offset)), quat


@kernel
def geom_site_poses(m: Model, d: Data) -> None:
    """Fill geom_xpos, geom_xmat, site_xpos, site_xmat from the body poses."""
    geom_poses(m, d)
    site_poses(m, d)


@kernel
def geom_poses(m: Model, d: Data) -> None:
    """Fill geom_xpos, geom_xmat."""
    for g in range(m.ngeom):
        b = m.geom_bodyid[g]
        store3(d.geom_xpos, g, add3(load3(d.xpos, b), mat_vec3(load_mat3(d.xmat, b), load3(m.geom_pos, g))))
        store_mat3(d.geom_xmat, g, quat_to_mat(quat_mul(load4(d.xquat, b), load4(m.geom_quat, g))))


@kernel
def site_poses(m: Model, d: Data) -> None:
    """Fill site_xpos, site_xmat, which no step asks for."""
    for s in range(m.nsite):
        b = m.site_bodyid[s]
        store3(d.site_xpos, s, add3(load3(d.xpos, b), mat_vec3(load_mat3(d.xmat, b), load3(m.site_pos, s))))
        store_mat3(d.site_xmat, s, quat_to_mat(quat_mul(load4(d.xquat, b), load4(m.site_quat, s))))

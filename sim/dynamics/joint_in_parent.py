"""Actuators on ball and free joints whose axis of rotation is fixed in the parent frame (mjTRN_JOINTINPARENT).

The joint's velocity is that of the body frame: with the joint's rotation R, which a shift x of it makes
R exp(x), the arms are R' gear. Of a ball joint the length is its rotation vector along the gear.
"""

from ..kernels.enums import BALL
from ..kernels.jit import kernel
from ..kernels.rotation import (
    Mat3,
    Vec3,
    cross3,
    dot3,
    mat_t_vec3,
    mat_vec3,
    quat_log,
    quat_normalize,
    quat_to_mat,
    right_jacobian_inv_t,
)
from ..model.data import Data, Lanes
from ..model.model import Model


@kernel
def _joint(m: Model, d: Data, i: int) -> tuple[int, int, Vec3, Mat3, Vec3]:
    """First of its rotations, and gear of it; the gears; rotation of the joint; as a vector, 0 if it is free."""
    j = m.actuator_trnid[i, 0]
    offset = 0 if m.jnt_type[j] == BALL else 3
    a, g = m.jnt_qposadr[j] + offset, m.actuator_gear
    quat = quat_normalize((d.qpos[a], d.qpos[a + 1], d.qpos[a + 2], d.qpos[a + 3]))
    angles = quat_log(quat) if offset == 0 else (0.0, 0.0, 0.0)
    axis = (g[i, offset], g[i, offset + 1], g[i, offset + 2])
    return m.jnt_dofadr[j] + offset, offset, axis, quat_to_mat(quat), angles


@kernel
def joint_in_parent(m: Model, d: Data, i: int) -> None:
    """Fill length and moment arms of actuator `i`."""
    _, offset, gear, r, angles = _joint(m, d, i)
    first, arm = m.moment_rowadr[i], mat_t_vec3(r, gear)
    for k in range(offset):
        d.actuator_moment[first + k] = m.actuator_gear[i, k]
    for k in range(3):
        d.actuator_moment[first + offset + k] = arm[k]
    d.actuator_length[i] = dot3(angles, gear)


@kernel
def joint_in_parent_adj(m: Model, d: Data, w: Lanes, i: int) -> None:
    """The adjoint; see `transmission.py`."""
    v, offset, gear, r, angles = _joint(m, d, i)
    arm = mat_t_vec3(r, gear)
    slope = right_jacobian_inv_t(angles, gear) if offset == 0 else angles
    for k in range(w.nlane):
        x = (w.moment_adj[offset, k], w.moment_adj[offset + 1, k], w.moment_adj[offset + 2, k])
        turn = cross3(x, arm)
        for c in range(3):
            w.qpos_adj[v + c, k] += turn[c] + slope[c] * w.length_adj[0, k]
    if w.with_params:
        by_gear = mat_vec3(r, (w.moment_adj[offset, 0], w.moment_adj[offset + 1, 0], w.moment_adj[offset + 2, 0]))
        for c in range(offset):
            w.actuator_gear_adj[i, c] += w.moment_adj[c, 0]
        for c in range(3):
            w.actuator_gear_adj[i, offset + c] += by_gear[c] + angles[c] * w.length_adj[0, 0]

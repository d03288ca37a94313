"""Transmissions of a site, of a site seen from another, and of a slider-crank (mjTRN_SITE, mjTRN_SLIDERCRANK).

All push on two bodies: on that of the first site with the wrench F1, on that of the second with -F2, so that
the arm of a degree of freedom with the axis S is S . F1, or -S . F2. What moves both bodies has no entry.

  site alone     force f and torque t, the gear in its own frame, at its point p; nothing on the second
  with refsite   the gear in the second site's frame, at p on the first and at the second site's point on
                 the second: not the derivative of the length, which is the gear times offset and rotation
                 vector of the first site in the second's frame
  slider-crank   L = (a . v) - sqrt((a . v)^2 + rod^2 - v . v), v from the slider site to the crank site and
                 a the slider's z-axis; without a solution L = a . v. Here arms are the length's derivative.
"""

import math

from ..kernels.enums import TRN_SITE
from ..kernels.jit import kernel
from ..kernels.rotation import (
    Mat3,
    Vec3,
    add3,
    cross3,
    dot3,
    load3,
    load4,
    load_mat3,
    mat_t_vec3,
    mat_vec3,
    quat_conj,
    quat_log,
    quat_mul,
    quat_to_mat,
    scale3,
    sub3,
)
from ..kernels.spatial import Vec6, dot6, load6
from ..model.data import Data
from ..model.model import Model

ZERO3 = (0.0, 0.0, 0.0)
ZERO6 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@kernel
def body_of(m: Model, i: int, side: int) -> int:
    """Body of the first or second site of actuator `i`; the world if there is none."""
    s = m.actuator_trnid[i, side]
    return m.site_bodyid[s] if s >= 0 else 0


@kernel
def site_point(m: Model, d: Data, s: int) -> Vec3:
    """Where site `s` is."""
    b = m.site_bodyid[s]
    return add3(load3(d.xpos, b), mat_vec3(load_mat3(d.xmat, b), load3(m.site_pos, s)))


@kernel
def _frame(m: Model, d: Data, s: int) -> Mat3:
    """Axes of site `s`."""
    return quat_to_mat(quat_mul(load4(d.xquat, m.site_bodyid[s]), load4(m.site_quat, s)))


@kernel
def arm_of(m: Model, d: Data, i: int, side: int, point: Vec3) -> Vec3:
    """From the reference point of spatial vectors of one body's tree to `point`."""
    return sub3(point, load3(d.subtree_com, m.body_rootid[body_of(m, i, side)]))


@kernel
def wrench_at(arm: Vec3, force: Vec3, torque: Vec3) -> Vec6:
    moment = add3(cross3(arm, force), torque)
    return moment[0], moment[1], moment[2], force[0], force[1], force[2]


@kernel
def gears(m: Model, i: int) -> tuple[Vec3, Vec3]:
    g = m.actuator_gear
    return (g[i, 0], g[i, 1], g[i, 2]), (g[i, 3], g[i, 4], g[i, 5])


@kernel
def site_axes(m: Model, d: Data, i: int) -> tuple[Mat3, Vec3, Vec3]:
    """The frame of the gear of a site transmission, its force and its torque."""
    frame = _frame(m, d, m.actuator_trnid[i, 1] if m.actuator_trnid[i, 1] >= 0 else m.actuator_trnid[i, 0])
    push, turn = gears(m, i)
    return frame, mat_vec3(frame, push), mat_vec3(frame, turn)


@kernel
def turn_between(m: Model, d: Data, i: int) -> Vec3:
    """Rotation vector of the first site in the second."""
    one = quat_mul(load4(d.xquat, body_of(m, i, 0)), load4(m.site_quat, m.actuator_trnid[i, 0]))
    two = quat_mul(load4(d.xquat, body_of(m, i, 1)), load4(m.site_quat, m.actuator_trnid[i, 1]))
    return quat_log(quat_mul(quat_conj(two), one))


@kernel
def crank(m: Model, d: Data, i: int) -> tuple[Vec3, Vec3, float, float]:
    """Of a slider-crank: v, the slider's axis a, a . v, and the root, 0 if there is no solution."""
    slider = m.actuator_trnid[i, 1]
    v, frame = sub3(site_point(m, d, m.actuator_trnid[i, 0]), site_point(m, d, slider)), _frame(m, d, slider)
    axis, rod = (frame[2], frame[5], frame[8]), m.actuator_cranklength[i]
    along = dot3(axis, v)
    square = along * along + rod * rod - dot3(v, v)
    return v, axis, along, math.sqrt(square) if square > 0.0 else 0.0


@kernel
def crank_slopes(v: Vec3, axis: Vec3, along: float, root: float) -> tuple[Vec3, Vec3]:
    """Derivative of a slider-crank's length by v and by the axis."""
    if root == 0.0:
        return axis, v
    share = 1.0 - along / root
    return add3(scale3(share, axis), scale3(1.0 / root, v)), scale3(share, v)


@kernel
def wrenches(m: Model, d: Data, i: int) -> tuple[Vec6, Vec6]:
    """F1 and F2."""
    arm = arm_of(m, d, i, 0, site_point(m, d, m.actuator_trnid[i, 0]))
    if m.actuator_trntype[i] != TRN_SITE:
        v, axis, along, root = crank(m, d, i)
        by_v, by_axis = crank_slopes(v, axis, along, root)
        by_v, by_axis = scale3(m.actuator_gear[i, 0], by_v), scale3(m.actuator_gear[i, 0], by_axis)
        second = arm_of(m, d, i, 1, site_point(m, d, m.actuator_trnid[i, 1]))
        return wrench_at(arm, by_v, ZERO3), wrench_at(second, by_v, cross3(by_axis, axis))
    _, force, torque = site_axes(m, d, i)
    if m.actuator_trnid[i, 1] < 0:
        return wrench_at(arm, force, torque), ZERO6
    second = arm_of(m, d, i, 1, site_point(m, d, m.actuator_trnid[i, 1]))
    return wrench_at(arm, force, torque), wrench_at(second, force, torque)


@kernel
def _length(m: Model, d: Data, i: int) -> float:
    if m.actuator_trntype[i] != TRN_SITE:
        _, _, along, root = crank(m, d, i)
        return m.actuator_gear[i, 0] * (along - root)
    if m.actuator_trnid[i, 1] < 0:
        return 0.0
    push, turn = gears(m, i)
    offset = sub3(site_point(m, d, m.actuator_trnid[i, 0]), site_point(m, d, m.actuator_trnid[i, 1]))
    return dot3(mat_t_vec3(_frame(m, d, m.actuator_trnid[i, 1]), offset), push) + dot3(turn_between(m, d, i), turn)


@kernel
def two_sites(m: Model, d: Data, i: int) -> None:
    """Fill length and moment arms of actuator `i`."""
    one, two = wrenches(m, d, i)
    d.actuator_length[i] = _length(m, d, i)
    for k in range(m.moment_rowadr[i], m.moment_rowadr[i] + m.moment_rownnz[i]):
        axis = load6(d.cdof, m.moment_colind[k])
        d.actuator_moment[k] = dot6(axis, one) if m.moment_coef[k] > 0.0 else -dot6(axis, two)

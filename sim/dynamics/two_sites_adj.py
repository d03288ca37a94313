"""Adjoint of the transmissions of two sites: G = V1 . F1 - V2 . F2 of `wrench_adj.py`, and the length.

What moves both bodies has no entry and no share in G.
"""

from ..kernels.enums import TRN_SITE
from ..kernels.jit import kernel
from ..kernels.rotation import (
    Vec3,
    add3,
    cross3,
    dot3,
    load_mat3,
    mat_t_vec3,
    mat_vec3,
    right_jacobian_inv,
    scale3,
    sub3,
)
from ..kernels.spatial import Vec6, dot6, lanes_axpy, load6, scale6, velocity_at
from ..model.data import Data, Lanes
from ..model.model import Model
from .mocap import has_own_position, mocap_axis
from .two_sites import (
    ZERO3,
    ZERO6,
    arm_of,
    body_of,
    crank,
    crank_slopes,
    gears,
    site_axes,
    site_point,
    turn_between,
    wrench_at,
    wrenches,
)
from .wrench_adj import VELOCITY, lane_of, set_pull, wrench_adj, wrench_velocity


@kernel
def two_sites_adj(m: Model, d: Data, w: Lanes, i: int) -> None:
    """The adjoint; see `transmission.py`."""
    first, middle, end = _entries(m, i)
    wrench_velocity(m, d, w, body_of(m, i, 0), 0, first, middle, first)
    wrench_velocity(m, d, w, body_of(m, i, 1), 1, middle, end, first)
    for k in range(w.nlane):
        one, two = _pulls(m, d, i, lane_of(w, VELOCITY, k), lane_of(w, VELOCITY + 1, k))
        set_pull(w, 0, k, one)
        set_pull(w, 1, k, two)
    one, two = wrenches(m, d, i)
    wrench_adj(m, d, w, body_of(m, i, 0), 0, one, first, middle, first)
    wrench_adj(m, d, w, body_of(m, i, 1), 1, scale6(-1.0, two), middle, end, first)
    if m.actuator_trntype[i] != TRN_SITE or m.actuator_trnid[i, 1] >= 0:
        if m.actuator_trntype[i] == TRN_SITE:
            one, two = _length_slopes(m, d, i)
        _length_adj(m, d, w, i, 0, one)
        _length_adj(m, d, w, i, 1, scale6(-1.0, two))
    if w.with_params:
        _gear_adj(m, d, w, i)


@kernel
def _entries(m: Model, i: int) -> tuple[int, int, int]:
    """First entry of actuator `i`, first of the second body, and the end."""
    first, end = m.moment_rowadr[i], m.moment_rowadr[i] + m.moment_rownnz[i]
    middle = first
    while middle < end and m.moment_coef[middle] > 0.0:
        middle += 1
    return first, middle, end


@kernel
def _pulls(m: Model, d: Data, i: int, one: Vec6, two: Vec6) -> tuple[Vec6, Vec6]:
    """P1 and P2, derivative of G by the poses of the two bodies, at their velocities `one` and `two`."""
    point, turn1, turn2 = site_point(m, d, m.actuator_trnid[i, 0]), (one[0], one[1], one[2]), (two[0], two[1], two[2])
    arm = arm_of(m, d, i, 0, point)
    rate = velocity_at(one, arm)
    if m.actuator_trntype[i] == TRN_SITE and m.actuator_trnid[i, 1] < 0:
        _, force, torque = site_axes(m, d, i)
        return wrench_at(arm, cross3(force, turn1), add3(cross3(force, rate), cross3(torque, turn1))), ZERO6
    second = arm_of(m, d, i, 1, site_point(m, d, m.actuator_trnid[i, 1]))
    rate = sub3(rate, velocity_at(two, second))
    if m.actuator_trntype[i] == TRN_SITE:
        _, force, torque = site_axes(m, d, i)
        carried = add3(cross3(force, rate), cross3(torque, sub3(turn1, turn2)))
        two_pull = wrench_at(second, scale3(-1.0, cross3(force, turn2)), carried)
        return wrench_at(arm, cross3(force, turn1), ZERO3), two_pull
    gear = m.actuator_gear[i, 0]
    v, axis, along, root = crank(m, d, i)
    by_v, by_axis = crank_slopes(v, axis, along, root)
    spin = cross3(turn2, axis)
    bend_v, bend_axis = _crank_bends(v, axis, along, root, rate, spin)
    bend_axis = cross3(axis, add3(bend_axis, cross3(by_axis, turn2)))
    push1, push2 = add3(bend_v, cross3(by_v, turn1)), add3(bend_v, cross3(by_v, turn2))
    return wrench_at(arm, scale3(gear, push1), ZERO3), wrench_at(second, scale3(-gear, push2), scale3(gear, bend_axis))


@kernel
def _crank_bends(v: Vec3, axis: Vec3, along: float, root: float, rate: Vec3, spin: Vec3) -> tuple[Vec3, Vec3]:
    """Rate of `crank_slopes` while v changes at `rate` and the axis at `spin`."""
    if root == 0.0:
        return spin, rate
    along_rate = dot3(rate, axis) + dot3(v, spin)
    root_rate = (along * along_rate - dot3(v, rate)) / root
    share, share_rate = 1.0 - along / root, along * root_rate / (root * root) - along_rate / root
    by_v = add3(add3(scale3(share, spin), scale3(share_rate, axis)), scale3(1.0 / root, rate))
    by_v = add3(by_v, scale3(-root_rate / (root * root), v))
    return by_v, add3(scale3(share, rate), scale3(share_rate, v))


@kernel
def _length_slopes(m: Model, d: Data, i: int) -> tuple[Vec6, Vec6]:
    """Derivative of the length of a site seen from another: by the first body's motion, and minus by the second's."""
    frame, force, _ = site_axes(m, d, i)
    point, turn = site_point(m, d, m.actuator_trnid[i, 0]), right_jacobian_inv(turn_between(m, d, i), gears(m, i)[1])
    torque = mat_vec3(frame, turn)
    return wrench_at(arm_of(m, d, i, 0, point), force, torque), wrench_at(arm_of(m, d, i, 1, point), force, torque)


@kernel
def _length_adj(m: Model, d: Data, w: Lanes, i: int, side: int, slope: Vec6) -> None:
    """Add what the length changes by with the motion of one body, `slope`, to all that moves it."""
    b = body_of(m, i, side)
    root = m.body_rootid[b]
    mocap = m.body_mocapid[root]
    for c in range(6 if mocap >= 0 else 0):
        lanes_axpy(w.mocap_adj[mocap], c, dot6(mocap_axis(d, root, c), slope), w.length_adj, 0)
    while b > 0:
        for v in range(m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]):
            lanes_axpy(w.qpos_adj, v, dot6(load6(d.cdof, v), slope), w.length_adj, 0)
        if w.with_params and not has_own_position(m, b):
            r = load_mat3(d.xmat, m.body_parentid[b])
            for c in range(3):
                by_pos = r[c] * slope[3] + r[3 + c] * slope[4] + r[6 + c] * slope[5]
                w.body_pos_adj[b, c] += by_pos * w.length_adj[0, 0]
        b = m.body_parentid[b]


@kernel
def _gear_adj(m: Model, d: Data, w: Lanes, i: int) -> None:
    """Add to actuator_gear_adj: the gear is a factor of arms and length."""
    one, two, length = lane_of(w, VELOCITY, 0), lane_of(w, VELOCITY + 1, 0), w.length_adj[0, 0]
    rate = velocity_at(one, arm_of(m, d, i, 0, site_point(m, d, m.actuator_trnid[i, 0])))
    spin = sub3((one[0], one[1], one[2]), (two[0], two[1], two[2]))
    if m.actuator_trnid[i, 1] >= 0:
        rate = sub3(rate, velocity_at(two, arm_of(m, d, i, 1, site_point(m, d, m.actuator_trnid[i, 1]))))
    if m.actuator_trntype[i] != TRN_SITE:
        v, axis, along, root = crank(m, d, i)
        by_v, by_axis = crank_slopes(v, axis, along, root)
        turned = cross3((two[0], two[1], two[2]), axis)
        w.actuator_gear_adj[i, 0] += dot3(by_v, rate) + dot3(by_axis, turned) + (along - root) * length
        return
    frame, _, _ = site_axes(m, d, i)
    offset, angles = ZERO3, ZERO3
    if m.actuator_trnid[i, 1] >= 0:
        offset = sub3(site_point(m, d, m.actuator_trnid[i, 0]), site_point(m, d, m.actuator_trnid[i, 1]))
        angles = turn_between(m, d, i)
    local, rate, spin = mat_t_vec3(frame, offset), mat_t_vec3(frame, rate), mat_t_vec3(frame, spin)
    for c in range(3):
        w.actuator_gear_adj[i, c] += rate[c] + local[c] * length
        w.actuator_gear_adj[i, 3 + c] += spin[c] + angles[c] * length

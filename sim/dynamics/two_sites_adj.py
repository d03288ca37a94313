"""Adjoint of the transmissions of two sites.

With the velocities V1 and V2 that the cotangents of the arms, taken for joint velocities, give the
two bodies by the entries alone, it is about G = V1 . F1 - V2 . F2. A shift of coordinate j, axis S,
carries what is behind it: of V1 the part V1_behind, j's own included, turns with it, and F1, F2
change with the poses of the bodies, as a pull P1 on the first and P2 on the second says:

    dG/dq_j = -V1_behind . (S x* F1) + S . P1    on the way to the first body,
    dG/dq_j =  V2_behind . (S x* F2) + S . P2    on the way to the second.

What moves both changes nothing. A body's position, or a mocap body, is a coordinate in front of the body.
"""

from ..kernels.enums import BALL, FREE, TRN_SITE
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
from ..kernels.spatial import (
    Vec6,
    axpy6,
    cross_force,
    dot6,
    lanes_add_axis,
    lanes_axpy,
    lanes_gain_dot,
    load6,
    scale6,
    velocity_at,
)
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

# rows of Lanes.arm_lanes: V of both bodies, P of both, V of what is behind a coordinate
VELOCITY, PULL, BEHIND = 0, 2, 4


@kernel
def two_sites_adj(m: Model, d: Data, w: Lanes, i: int) -> None:
    """The adjoint; see `transmission.py`."""
    _velocities(m, d, w, i)
    for k in range(w.nlane):
        one, two = _pulls(m, d, i, _lane(w, VELOCITY, k), _lane(w, VELOCITY + 1, k))
        for r in range(6):
            w.arm_lanes[PULL, r, k], w.arm_lanes[PULL + 1, r, k] = one[r], two[r]
    one, two = wrenches(m, d, i)
    _arms_adj(m, d, w, i, 0, one)
    _arms_adj(m, d, w, i, 1, scale6(-1.0, two))
    if m.actuator_trntype[i] != TRN_SITE or m.actuator_trnid[i, 1] >= 0:
        if m.actuator_trntype[i] == TRN_SITE:
            one, two = _length_slopes(m, d, i)
        _length_adj(m, d, w, i, 0, one)
        _length_adj(m, d, w, i, 1, scale6(-1.0, two))
    if w.with_params:
        _gear_adj(m, d, w, i)


@kernel
def _lane(w: Lanes, row: int, k: int) -> Vec6:
    x = w.arm_lanes
    return x[row, 0, k], x[row, 1, k], x[row, 2, k], x[row, 3, k], x[row, 4, k], x[row, 5, k]


@kernel
def _velocities(m: Model, d: Data, w: Lanes, i: int) -> None:
    for r in range(6):
        for k in range(w.nlane):
            w.arm_lanes[VELOCITY, r, k], w.arm_lanes[VELOCITY + 1, r, k] = 0.0, 0.0
    first = m.moment_rowadr[i]
    for e in range(first, first + m.moment_rownnz[i]):
        row = VELOCITY if m.moment_coef[e] > 0.0 else VELOCITY + 1
        lanes_add_axis(w.arm_lanes, row, load6(d.cdof, m.moment_colind[e]), w.moment_adj, e - first)


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
def _arms_adj(m: Model, d: Data, w: Lanes, i: int, side: int, wrench: Vec6) -> None:
    """dG/dq on the way to one body, which `wrench` acts on."""
    for r in range(6):
        for k in range(w.nlane):
            w.arm_lanes[BEHIND, r, k] = 0.0
    first = m.moment_rowadr[i]
    e = first + m.moment_rownnz[i] - 1
    while e >= first:
        size = _size_of_group(m, m.moment_colind[e])
        if (m.moment_coef[e] > 0.0) == (side == 0):
            for c in range(e - size + 1, e + 1):
                lanes_add_axis(w.arm_lanes, BEHIND, load6(d.cdof, m.moment_colind[c]), w.moment_adj, c - first)
            for c in range(e - size + 1, e + 1):
                axis = load6(d.cdof, m.moment_colind[c])
                turned = scale6(-1.0, cross_force(axis, wrench))
                lanes_gain_dot(w.qpos_adj, m.moment_colind[c], turned, w.arm_lanes, BEHIND)
                lanes_gain_dot(w.qpos_adj, m.moment_colind[c], axis, w.arm_lanes, PULL + side)
        e -= size
    b = body_of(m, i, side)
    root = m.body_rootid[b]
    mocap = m.body_mocapid[root]
    for c in range(6 if mocap >= 0 else 0):
        axis = mocap_axis(d, root, c)
        lanes_gain_dot(w.mocap_adj[mocap], c, scale6(-1.0, cross_force(axis, wrench)), w.arm_lanes, VELOCITY + side)
        lanes_gain_dot(w.mocap_adj[mocap], c, axis, w.arm_lanes, PULL + side)
    if w.with_params:
        _body_pos_adj(m, d, w, i, side, wrench)


@kernel
def _size_of_group(m: Model, v: int) -> int:
    """How many degrees of freedom, the last of which is `v`, turn with one another."""
    j = m.dof_jntid[v]
    return 3 if m.jnt_type[j] == BALL or (m.jnt_type[j] == FREE and v - m.jnt_dofadr[j] >= 3) else 1


@kernel
def _body_pos_adj(m: Model, d: Data, w: Lanes, i: int, side: int, wrench: Vec6) -> None:
    """dG by the positions of the bodies on the way to one body, of the only lane."""
    first = m.moment_rowadr[i]
    e, b, behind = first + m.moment_rownnz[i] - 1, body_of(m, i, side), ZERO6
    while b > 0:
        while e >= first and ((m.moment_coef[e] > 0.0) != (side == 0) or m.dof_bodyid[m.moment_colind[e]] == b):
            if (m.moment_coef[e] > 0.0) == (side == 0):
                behind = axpy6(w.moment_adj[e - first, 0], load6(d.cdof, m.moment_colind[e]), behind)
            e -= 1
        if not has_own_position(m, b):
            r, pull = load_mat3(d.xmat, m.body_parentid[b]), _lane(w, PULL + side, 0)
            for c in range(3):
                axis: Vec6 = (0.0, 0.0, 0.0, r[c], r[3 + c], r[6 + c])
                w.body_pos_adj[b, c] += dot6(axis, pull) - dot6(cross_force(axis, wrench), behind)
        b = m.body_parentid[b]


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
    one, two, length = _lane(w, VELOCITY, 0), _lane(w, VELOCITY + 1, 0), w.length_adj[0, 0]
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

"""Tendons: length and velocity of fixed ones, springs, dampers and their adjoint (mj_tendon, mj_passive).

A fixed tendon's length is a combination of scalar joints with constant coefficients, which are
its moment arms. Spatial tendons have theirs in `spatial_tendon.py`.
"""

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.spatial import lanes_axpy
from ..model.data import Data, Lanes
from ..model.model import Model


@kernel
def tendon(m: Model, d: Data) -> None:
    """Fill ten_length, ten_velocity, ten_J of fixed tendons."""
    for t in range(m.ntendon):
        length, velocity = 0.0, 0.0
        for k in range(m.tendon_num[t]):
            wrap = m.tendon_adr[t] + k
            length += m.wrap_prm[wrap] * d.qpos[m.jnt_qposadr[m.wrap_objid[wrap]]]
            velocity += m.wrap_prm[wrap] * d.qvel[m.shift_id[m.ten_J_rowadr[t] + k]]
            d.ten_J[m.ten_J_rowadr[t] + k] = m.wrap_prm[wrap]
        d.ten_length[t], d.ten_velocity[t] = length, velocity


@kernel
def last_arm(m: Model, t: int) -> int:
    """One past the last moment arm of tendon `t` in ten_J; the first is ten_J_rowadr[t]."""
    return m.ten_J_rowadr[t] + m.ten_J_rownnz[t]


@kernel
def stretch(m: Model, d: Data, t: int) -> float:
    """How far tendon `t` is out of the range of lengths without spring force."""
    length = d.ten_length[t]
    return max(length - m.tendon_lengthspring[t, 1], 0.0) + min(length - m.tendon_lengthspring[t, 0], 0.0)


@kernel
def tendon_force(m: Model, d: Data, t: int) -> float:
    """Force of spring and damper of tendon `t`: polynomials of stretch and velocity, the latter's even powers odd."""
    x, v, k, b = stretch(m, d, t), d.ten_velocity[t], m.tendon_stiffnesspoly, m.tendon_dampingpoly
    speed = abs(v)
    stiffness = m.tendon_stiffness[t] + x * (k[t, 0] + x * k[t, 1])
    return -stiffness * x - (m.tendon_damping[t] + speed * (b[t, 0] + speed * b[t, 1])) * v


@kernel
def tendon_slopes(m: Model, d: Data, t: int) -> tuple[float, float]:
    """Stiffness and damping that spring and damper of tendon `t` have in this state: minus the force's slopes."""
    x, speed, k, b = stretch(m, d, t), abs(d.ten_velocity[t]), m.tendon_stiffnesspoly, m.tendon_dampingpoly
    stiffness = 0.0 if x == 0.0 else m.tendon_stiffness[t] + x * (2.0 * k[t, 0] + x * 3.0 * k[t, 1])
    return stiffness, m.tendon_damping[t] + speed * (2.0 * b[t, 0] + speed * 3.0 * b[t, 1])


@kernel
def damping_rise(m: Model, d: Data, t: int) -> float:
    """Derivative of the damping that `tendon_slopes` gives by the velocity of tendon `t`."""
    v, b = d.ten_velocity[t], m.tendon_dampingpoly
    return (2.0 * b[t, 0] if v >= 0.0 else -2.0 * b[t, 0]) + 6.0 * b[t, 1] * v


@kernel
def tendon_passive(m: Model, d: Data) -> None:
    """Add springs and dampers to qfrc_passive."""
    for t in range(m.ntendon):
        force = tendon_force(m, d, t)
        if force != 0.0:
            for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
                d.qfrc_passive[m.shift_id[k]] += d.ten_J[k] * force


@kernel
def tendon_passive_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add the derivative of qfrc_adj . (springs and dampers of fixed tendons) to qpos_adj, qvel_adj."""
    for t in range(m.ntendon):
        stiffness, damping = tendon_slopes(m, d, t)
        if m.tendon_spatial[t] or (stiffness == 0.0 and damping == 0.0):
            continue
        for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
            for c in range(m.ten_J_rowadr[t], last_arm(m, t)):
                arms = d.ten_J[k] * d.ten_J[c]
                lanes_axpy(w.qpos_adj, m.shift_id[c], -stiffness * arms, w.qfrc_adj, m.shift_id[k])
                lanes_axpy(w.qvel_adj, m.shift_id[c], -damping * arms, w.qfrc_adj, m.shift_id[k])


@kernel
def moves_with(m: Model, v: int, c: int) -> bool:
    """Whether degree of freedom `c` is `v` or above it."""
    while v > c:
        v = m.dof_parentid[v]
    return v == c


@kernel
def tendon_implicit(m: Model, d: Data) -> None:
    """Add time step * damping to the matrix of implicitfast, where the inertia matrix has an entry."""
    for t in range(m.ntendon):
        s = m.timestep * tendon_slopes(m, d, t)[1]
        if s == 0.0:
            continue
        for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
            for c in range(m.ten_J_rowadr[t], last_arm(m, t)):
                v, u = m.shift_id[k], m.shift_id[c]
                if moves_with(m, v, u):
                    d.qLD[v, u] += s * d.ten_J[k] * d.ten_J[c]


@kernel
def product_lanes(m: Model, d: Data, w: Lanes, t: int, x: Floats) -> None:
    """ten_adj[0] <- qfrc_adj . (J' J) x of tendon `t`, where the inertia matrix has entries."""
    for k in range(w.nlane):
        w.ten_adj[0, k] = 0.0
    for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
        v, rate = m.shift_id[k], 0.0
        for c in range(m.ten_J_rowadr[t], last_arm(m, t)):
            u = m.shift_id[c]
            if moves_with(m, v, u) or moves_with(m, u, v):
                rate += d.ten_J[c] * x[u]
        lanes_axpy(w.ten_adj, 0, d.ten_J[k] * rate, w.qfrc_adj, v)


@kernel
def tendon_implicit_adj(m: Model, d: Data, w: Lanes) -> None:
    """Subtract the derivative of qfrc_adj . (time step * damping) qacc by the velocity, on which the damping depends.

    That by the pose is in `spatial_tendon_adj.py`.
    """
    for t in range(m.ntendon):
        s = m.timestep * damping_rise(m, d, t)
        if s != 0.0:
            product_lanes(m, d, w, t, d.qacc)
            for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
                lanes_axpy(w.qvel_adj, m.shift_id[k], -s * d.ten_J[k], w.ten_adj, 0)

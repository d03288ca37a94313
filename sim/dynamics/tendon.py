"""Tendons: length and velocity of fixed ones, springs, dampers and their adjoint (mj_tendon, mj_passive).

A fixed tendon's length is a combination of scalar joints with constant coefficients, which are
its moment arms. Spatial tendons have theirs in `spatial_tendon.py`.
"""

from ..kernels.jit import kernel
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
    """Force of spring and damper of tendon `t`."""
    return -m.tendon_stiffness[t] * stretch(m, d, t) - m.tendon_damping[t] * d.ten_velocity[t]


@kernel
def tendon_slopes(m: Model, d: Data, t: int) -> tuple[float, float]:
    """Stiffness and damping that spring and damper of tendon `t` have in this state."""
    return 0.0 if stretch(m, d, t) == 0.0 else m.tendon_stiffness[t], m.tendon_damping[t]


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
        s = m.timestep * m.tendon_damping[t]
        if s == 0.0:
            continue
        for k in range(m.ten_J_rowadr[t], last_arm(m, t)):
            for c in range(m.ten_J_rowadr[t], last_arm(m, t)):
                v, u = m.shift_id[k], m.shift_id[c]
                if moves_with(m, v, u):
                    d.qLD[v, u] += s * d.ten_J[k] * d.ten_J[c]

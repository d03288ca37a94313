"""Fixed tendons: length, velocity, spring and damper, and their adjoint (mj_tendon, mj_passive).

A fixed tendon's length is a combination of scalar joints with constant coefficients, which are
its moment arms.
"""

from ..kernels.jit import kernel
from ..kernels.spatial import lanes_axpy
from ..model.data import Data, Lanes
from ..model.model import Model


@kernel
def tendon_dof(m: Model, k: int) -> int:
    """Degree of freedom of entry `k` of the tendons' tables wrap_*."""
    return m.jnt_dofadr[m.wrap_objid[k]]


@kernel
def tendon(m: Model, d: Data) -> None:
    """Fill ten_length, ten_velocity."""
    for t in range(m.ntendon):
        length, velocity = 0.0, 0.0
        for k in range(m.tendon_adr[t], m.tendon_adr[t] + m.tendon_num[t]):
            length += m.wrap_prm[k] * d.qpos[m.jnt_qposadr[m.wrap_objid[k]]]
            velocity += m.wrap_prm[k] * d.qvel[tendon_dof(m, k)]
        d.ten_length[t], d.ten_velocity[t] = length, velocity


@kernel
def _stretch(m: Model, d: Data, t: int) -> float:
    """How far tendon `t` is out of the range of lengths without spring force."""
    length = d.ten_length[t]
    return max(length - m.tendon_lengthspring[t, 1], 0.0) + min(length - m.tendon_lengthspring[t, 0], 0.0)


@kernel
def tendon_passive(m: Model, d: Data) -> None:
    """Add springs and dampers to qfrc_passive."""
    for t in range(m.ntendon):
        force = -m.tendon_stiffness[t] * _stretch(m, d, t) - m.tendon_damping[t] * d.ten_velocity[t]
        if force != 0.0:
            for k in range(m.tendon_adr[t], m.tendon_adr[t] + m.tendon_num[t]):
                d.qfrc_passive[tendon_dof(m, k)] += m.wrap_prm[k] * force


@kernel
def tendon_passive_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add the derivative of qfrc_adj . (springs and dampers) to qpos_adj, qvel_adj."""
    for t in range(m.ntendon):
        stiffness, damping = m.tendon_stiffness[t], m.tendon_damping[t]
        if _stretch(m, d, t) == 0.0:
            stiffness = 0.0
        if stiffness == 0.0 and damping == 0.0:
            continue
        end = m.tendon_adr[t] + m.tendon_num[t]
        for k in range(m.tendon_adr[t], end):
            for c in range(m.tendon_adr[t], end):
                arms = m.wrap_prm[k] * m.wrap_prm[c]
                lanes_axpy(w.qpos_adj, tendon_dof(m, c), -stiffness * arms, w.qfrc_adj, tendon_dof(m, k))
                lanes_axpy(w.qvel_adj, tendon_dof(m, c), -damping * arms, w.qfrc_adj, tendon_dof(m, k))


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
        end = m.tendon_adr[t] + m.tendon_num[t]
        for k in range(m.tendon_adr[t], end):
            for c in range(m.tendon_adr[t], end):
                if moves_with(m, tendon_dof(m, k), tendon_dof(m, c)):
                    d.qLD[tendon_dof(m, k), tendon_dof(m, c)] += s * m.wrap_prm[k] * m.wrap_prm[c]

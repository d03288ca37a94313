"""Springs, dampers (of tendons: `tendon.py`), gravity compensation and fluid (mj_passive), and their adjoint."""

from ..kernels.enums import BALL, FREE
from ..kernels.jit import kernel
from ..kernels.rotation import (
    Quat,
    Vec3,
    quat_conj,
    quat_log,
    quat_mul,
    quat_normalize,
    right_jacobian_inv_t,
)
from ..kernels.spatial import dot6, inert_mul, load6, load10, store6
from ..model.data import Data, Lanes
from ..model.model import Model
from .fluid import fluid
from .subtree import add_up_trees
from .tendon import tendon_passive, tendon_passive_adj

ACTUATED, LOST = 1, 2  # in dof_gravcomp


@kernel
def gravcomp_is_apart(m: Model, v: int) -> bool:
    """Whether gravity compensation of `v` is no passive force."""
    return m.dof_gravcomp[v] != 0


@kernel
def deflection(m: Model, d: Data, a: int) -> Vec3:
    """Rotation vector from the spring reference to the quaternion at qpos address `a`."""
    rest: Quat = (m.qpos_spring[a], m.qpos_spring[a + 1], m.qpos_spring[a + 2], m.qpos_spring[a + 3])
    quat = quat_normalize((d.qpos[a], d.qpos[a + 1], d.qpos[a + 2], d.qpos[a + 3]))
    return quat_log(quat_mul(quat_conj(rest), quat))


@kernel
def passive(m: Model, d: Data) -> None:
    """Fill qfrc_passive, qfrc_gravcomp; needs `tendon`. Uses cfrc as scratch."""
    for v in range(m.nv):
        d.qfrc_passive[v] = -m.dof_damping[v] * d.qvel[v]
        d.qfrc_gravcomp[v] = 0.0
    for j in range(m.njnt):
        k, a, v = m.jnt_stiffness[j], m.jnt_qposadr[j], m.jnt_dofadr[j]
        if k == 0.0:
            continue
        if m.jnt_type[j] == FREE:
            for i in range(3):
                d.qfrc_passive[v + i] -= k * (d.qpos[a + i] - m.qpos_spring[a + i])
            a, v = a + 3, v + 3
        if m.jnt_type[j] == FREE or m.jnt_type[j] == BALL:
            phi = deflection(m, d, a)
            for i in range(3):
                d.qfrc_passive[v + i] -= k * phi[i]
        else:
            d.qfrc_passive[v] -= k * (d.qpos[a] - m.qpos_spring[a])
    tendon_passive(m, d)
    fluid(m, d)
    if m.ngravcomp > 0:
        _gravity_compensation(m, d)


@kernel
def _gravity_compensation(m: Model, d: Data) -> None:
    for b in range(1, m.nbody):
        s = -m.body_gravcomp[b]
        lift = (0.0, 0.0, 0.0, s * m.gravity[0], s * m.gravity[1], s * m.gravity[2])
        store6(d.cfrc, b, inert_mul(load10(d.cinert, b), lift))
    add_up_trees(m, d.cfrc)
    for v in range(m.nv):
        d.qfrc_gravcomp[v] = dot6(load6(d.cdof, v), load6(d.cfrc, m.dof_bodyid[v]))
        if not gravcomp_is_apart(m, v):
            d.qfrc_passive[v] += d.qfrc_gravcomp[v]


@kernel
def passive_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add the derivative of qfrc_adj . (springs and dampers) to qpos_adj, qvel_adj.

    Gravity compensation and the fluid are left to `rne_adj`, which sees them as forces on bodies.
    """
    n = w.nlane
    for v in range(m.nv):
        damping = m.dof_damping[v]
        if damping != 0.0:
            for k in range(n):
                w.qvel_adj[v, k] -= damping * w.qfrc_adj[v, k]
    tendon_passive_adj(m, d, w)
    for j in range(m.njnt):
        stiffness, a, v = m.jnt_stiffness[j], m.jnt_qposadr[j], m.jnt_dofadr[j]
        if stiffness == 0.0:
            continue
        if m.jnt_type[j] == FREE:
            for i in range(3):
                for k in range(n):
                    w.qpos_adj[v + i, k] -= stiffness * w.qfrc_adj[v + i, k]
            a, v = a + 3, v + 3
        if m.jnt_type[j] == FREE or m.jnt_type[j] == BALL:
            phi = deflection(m, d, a)
            for k in range(n):
                f = (w.qfrc_adj[v, k], w.qfrc_adj[v + 1, k], w.qfrc_adj[v + 2, k])
                g = right_jacobian_inv_t(phi, f)
                w.qpos_adj[v, k] -= stiffness * g[0]
                w.qpos_adj[v + 1, k] -= stiffness * g[1]
                w.qpos_adj[v + 2, k] -= stiffness * g[2]
        else:
            for k in range(n):
                w.qpos_adj[v, k] -= stiffness * w.qfrc_adj[v, k]

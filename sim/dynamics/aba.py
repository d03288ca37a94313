"""Articulated-body algorithm: factor once, then solve M x = b in O(nv) for any right-hand sides.

Featherstone (2008), section 7.3, split in two: the articulated inertias depend on the pose only
(`aba_factor`); forces and accelerations are linear in the right-hand side (`aba_solve`, and
`aba_solve_lanes` for all lanes of an adjoint, M being symmetric). The velocity-dependent bias is
recursive Newton-Euler's. Bodies share one frame, so nothing is transformed between them.
"""

from ..kernels.jit import kernel
from ..kernels.spatial import Vec6, dot6, inert_rows, load6, load10, store6
from ..model.data import Data, Lanes
from ..model.model import Model


@kernel
def aba_factor(m: Model, d: Data, damping_time: float) -> None:
    """Factor M + damping_time * diag(dof_damping): fill abi, abi_u, abi_dinv."""
    a = d.abi
    for b in range(1, m.nbody):
        rows = inert_rows(load10(d.cinert, b))
        for r in range(6):
            for c in range(6):
                a[b, r, c] = rows[r][c]
    for b in range(m.nbody - 1, 0, -1):
        for v in range(m.body_dofadr[b] + m.body_dofnum[b] - 1, m.body_dofadr[b] - 1, -1):
            _eliminate(d, b, v, m.dof_armature[v] + damping_time * m.dof_damping[v])
        p = m.body_parentid[b]
        if p > 0:
            for r in range(6):
                for c in range(6):
                    a[p, r, c] += a[b, r, c]


@kernel
def _eliminate(d: Data, b: int, v: int, own_inertia: float) -> None:
    """Take degree of freedom `v` out of the articulated inertia of its body."""
    axis, a = load6(d.cdof, v), d.abi
    u: Vec6 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for r in range(6):
        row: Vec6 = (a[b, r, 0], a[b, r, 1], a[b, r, 2], a[b, r, 3], a[b, r, 4], a[b, r, 5])
        d.abi_u[v, r] = dot6(row, axis)
    u = load6(d.abi_u, v)
    inverse = 1.0 / (own_inertia + dot6(axis, u))
    d.abi_dinv[v] = inverse
    for r in range(6):
        s = inverse * u[r]
        for c in range(6):
            a[b, r, c] -= s * u[c]


@kernel
def aba_solve(m: Model, d: Data) -> None:
    """qacc <- M^-1 qacc, with the matrix of the last `aba_factor`. Uses cacc, cfrc as scratch."""
    for b in range(1, m.nbody):
        store6(d.cfrc, b, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    for b in range(m.nbody - 1, 0, -1):
        force = load6(d.cfrc, b)
        for v in range(m.body_dofadr[b] + m.body_dofnum[b] - 1, m.body_dofadr[b] - 1, -1):
            s = d.abi_dinv[v] * (d.qacc[v] - dot6(load6(d.cdof, v), force))
            d.qacc[v] = s
            u = load6(d.abi_u, v)
            force = (
                force[0] + s * u[0],
                force[1] + s * u[1],
                force[2] + s * u[2],
                force[3] + s * u[3],
                force[4] + s * u[4],
                force[5] + s * u[5],
            )
        p = m.body_parentid[b]
        if p > 0:
            for i in range(6):
                d.cfrc[p, i] += force[i]
    for i in range(6):
        d.cacc[0, i] = 0.0
    for b in range(1, m.nbody):
        a = load6(d.cacc, m.body_parentid[b])
        for v in range(m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]):
            x = d.qacc[v] - d.abi_dinv[v] * dot6(load6(d.abi_u, v), a)
            d.qacc[v] = x
            axis = load6(d.cdof, v)
            a = (
                a[0] + x * axis[0],
                a[1] + x * axis[1],
                a[2] + x * axis[2],
                a[3] + x * axis[3],
                a[4] + x * axis[4],
                a[5] + x * axis[5],
            )
        store6(d.cacc, b, a)


@kernel
def aba_solve_lanes(m: Model, d: Data, w: Lanes) -> None:
    """qfrc_adj <- M^-1 qacc_adj in every lane. Uses wmom (force) and wvel (motion) as scratch."""
    n = w.nlane
    for b in range(m.nbody):
        for r in range(6):
            for k in range(n):
                w.wmom[b, r, k] = 0.0
                w.wvel[b, r, k] = 0.0
    for b in range(m.nbody - 1, 0, -1):
        for v in range(m.body_dofadr[b] + m.body_dofnum[b] - 1, m.body_dofadr[b] - 1, -1):
            s, f = load6(d.cdof, v), w.wmom
            for k in range(n):
                dot = s[0] * f[b, 0, k] + s[1] * f[b, 1, k] + s[2] * f[b, 2, k]
                dot += s[3] * f[b, 3, k] + s[4] * f[b, 4, k] + s[5] * f[b, 5, k]
                w.qfrc_adj[v, k] = d.abi_dinv[v] * (w.qacc_adj[v, k] - dot)
            for r in range(6):
                u = d.abi_u[v, r]
                for k in range(n):
                    f[b, r, k] += u * w.qfrc_adj[v, k]
        p = m.body_parentid[b]
        if p > 0:
            for r in range(6):
                for k in range(n):
                    w.wmom[p, r, k] += w.wmom[b, r, k]
    for b in range(1, m.nbody):
        p, a = m.body_parentid[b], w.wvel
        for r in range(6):
            for k in range(n):
                a[b, r, k] = a[p, r, k]
        for v in range(m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]):
            u, inverse = load6(d.abi_u, v), d.abi_dinv[v]
            for k in range(n):
                dot = u[0] * a[b, 0, k] + u[1] * a[b, 1, k] + u[2] * a[b, 2, k]
                dot += u[3] * a[b, 3, k] + u[4] * a[b, 4, k] + u[5] * a[b, 5, k]
                w.qfrc_adj[v, k] -= inverse * dot
            for r in range(6):
                s = d.cdof[v, r]
                for k in range(n):
                    a[b, r, k] += s * w.qfrc_adj[v, k]

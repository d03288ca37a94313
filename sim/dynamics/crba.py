"""Composite rigid bodies: the joint-space inertia matrix and its factor.

Featherstone (2008), table 6.2 (matrix) and 6.3 (M = L' D L without fill-in, since a row has
entries only for the ancestors of its degree of freedom).
"""

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.spatial import dot6, inert_mul, load6, load10
from ..model.data import Data
from ..model.model import Model
from .tendon_armature import tendon_inertia


@kernel
def crb(m: Model, d: Data) -> None:
    """Fill crb and, within each tree, the lower triangle of qM, armature included; that of tendons needs ten_J."""
    for b in range(1, m.nbody):
        for i in range(10):
            d.crb[b, i] = d.cinert[b, i]
    for b in range(m.nbody - 1, 0, -1):
        p = m.body_parentid[b]
        if p > 0:
            for i in range(10):
                d.crb[p, i] += d.crb[b, i]
    for v in range(m.nv):
        for c in range(max(m.tree_dofadr[m.dof_treeid[v]], 0), v):
            d.qM[v, c] = 0.0  # where v's branch does not pass
        force = inert_mul(load10(d.crb, m.dof_bodyid[v]), load6(d.cdof, v))
        c = v
        while c >= 0:
            d.qM[v, c] = dot6(load6(d.cdof, c), force)
            c = m.dof_parentid[c]
        d.qM[v, v] += m.dof_armature[v]
    tendon_inertia(m, d)


@kernel
def factor_m(m: Model, d: Data, damping_time: float) -> None:
    """qLD = factor of the inertia matrix plus damping_time * diag(dof_damping)."""
    for v in range(m.nv):
        c = v
        while c >= 0:
            d.qLD[v, c] = d.qM[v, c]
            c = m.dof_parentid[c]
        d.qLD[v, v] += damping_time * m.dof_damping[v]
    factor_ltdl(m, d.qLD)


@kernel
def solve_m(m: Model, d: Data, x: Floats) -> None:
    """x <- (the matrix factored in qLD)^-1 x for a vector (nv,)."""
    for v in range(m.nv):
        d.column[v, 0] = x[v]
    solve_ltdl(m, d.qLD, d.column)
    for v in range(m.nv):
        x[v] = d.column[v, 0]


@kernel
def factor_ltdl(m: Model, a: Floats) -> None:
    """Replace the lower triangle of `a` by its factors: L below the diagonal, D on it."""
    for v in range(m.nv - 1, -1, -1):
        inverse = 1.0 / a[v, v]
        c = m.dof_parentid[v]
        while c >= 0:
            s = a[v, c] * inverse
            e = c
            while e >= 0:
                a[c, e] -= s * a[v, e]
                e = m.dof_parentid[e]
            a[v, c] = s
            c = m.dof_parentid[c]


@kernel
def solve_ltdl(m: Model, a: Floats, x: Floats) -> None:
    """x <- (L' D L)^-1 x for every column of x (nv, columns)."""
    n = x.shape[1]
    for v in range(m.nv - 1, -1, -1):
        c = m.dof_parentid[v]
        while c >= 0:
            for k in range(n):
                x[c, k] -= a[v, c] * x[v, k]
            c = m.dof_parentid[c]
    for v in range(m.nv):
        inverse = 1.0 / a[v, v]
        for k in range(n):
            x[v, k] *= inverse
        c = m.dof_parentid[v]
        while c >= 0:
            for k in range(n):
                x[v, k] -= a[v, c] * x[c, k]
            c = m.dof_parentid[c]


@kernel
def solve_ltdl_part(m: Model, a: Floats, x: Floats, at: int, first: int, end: int) -> None:
    """`solve_ltdl` for the degrees of freedom [first, end), whole trees, of a vector where they begin at `at`."""
    for v in range(end - 1, first - 1, -1):
        c = m.dof_parentid[v]
        while c >= 0:
            x[at + c - first] -= a[v, c] * x[at + v - first]
            c = m.dof_parentid[c]
    for v in range(first, end):
        x[at + v - first] *= 1.0 / a[v, v]
        c = m.dof_parentid[v]
        while c >= 0:
            x[at + v - first] -= a[v, c] * x[at + c - first]
            c = m.dof_parentid[c]


@kernel
def mul_m_lanes(m: Model, d: Data, out: Floats, x: Floats) -> None:
    """out = M x for every column of x (nv, columns)."""
    n = x.shape[1]
    for v in range(m.nv):
        for k in range(n):
            out[v, k] = 0.0
    for v in range(m.nv):
        for k in range(n):
            out[v, k] += d.qM[v, v] * x[v, k]
        c = m.dof_parentid[v]
        while c >= 0:
            for k in range(n):
                out[v, k] += d.qM[v, c] * x[c, k]
                out[c, k] += d.qM[v, c] * x[v, k]
            c = m.dof_parentid[c]

"""The integrator `implicit`: the velocity slope of all smooth forces, Coriolis and centrifugal ones included.

Their slope B is not symmetric. With the composite inertia I and the composite matrix C of W -> Q of
`rnea.py`, both of the deeper of the two bodies that the coordinates j and k move,

    dbias_j / dqvel_k = (S'_k + S*_k) . I S_j + S_k . C S_j.

The matrix has an entry only where one coordinate is above the other, and so have its factors U D L, made
from the leaves to the root like those of the inertia matrix.

The bias is a quadratic function of velocities, so that h B qacc = (bias(qvel + h qacc) - bias(qvel - h qacc)) / 2:
its adjoint is two sweeps of `rnea.py`, in which all that does not depend on velocities cancels.
"""

from ..kernels.apart import unit
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.spatial import add6, dot6, inert_mul, load6, load10, store6
from ..model.data import Data, Lanes
from ..model.model import Model
from .fluid_implicit import fluid_skew_part
from .implicit import symmetric_part
from .parameters_adj import inertial_parameters_adj
from .rnea import coriolis_matrix, pull_back, rne, sweep_coefficients, virtual_momenta, virtual_velocities
from .velocity import axis_rate, com_vel, dofs_moving_together


@kernel
def implicit_full_factor(m: Model, d: Data) -> None:
    """`implicit_factor` of this integrator: fill qLU."""
    symmetric_part(m, d)
    for v in range(m.nv):
        c = v
        while c >= 0:
            d.qLU[v, c], d.qLU[c, v] = d.qLD[v, c], d.qLD[v, c]
            c = m.dof_parentid[c]
    _bias_slopes(m, d)
    fluid_skew_part(m, d)
    _factor(m, d.qLU)


@kernel
def _bias_slopes(m: Model, d: Data) -> None:
    """Add time step * B."""
    for b in range(1, m.nbody):
        coriolis_matrix(d, d.crb_coriolis, b)
    for b in range(m.nbody - 1, 0, -1):
        p = m.body_parentid[b]
        if p > 0:
            for r in range(3):
                for i in range(6):
                    d.crb_coriolis[p, r, i] += d.crb_coriolis[b, r, i]
    _axis_slopes(m, d)
    for v in range(m.nv):
        b, c = m.dof_bodyid[v], v
        while c >= 0:
            d.qLU[c, v] += m.timestep * _slope(d, b, c, v)
            if c != v:
                d.qLU[v, c] += m.timestep * _slope(d, b, v, c)
            c = m.dof_parentid[c]


@kernel
def _axis_slopes(m: Model, d: Data) -> None:
    """Fill axis_slope: S' + S*."""
    for b in range(1, m.nbody):
        v, end = m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]
        velocity = load6(d.cvel, m.body_parentid[b])
        while v < end:
            size = dofs_moving_together(m, v)
            for i in range(v, v + size):
                s, axis = d.qvel[i], load6(d.cdof, i)
                velocity = add6(
                    velocity, (s * axis[0], s * axis[1], s * axis[2], s * axis[3], s * axis[4], s * axis[5])
                )
            for i in range(v, v + size):
                store6(d.axis_slope, i, add6(load6(d.cdof_dot, i), axis_rate(m, d, i, velocity)))
            v += size


@kernel
def _slope(d: Data, b: int, j: int, k: int) -> float:
    """Derivative of the bias force of coordinate `j` by the velocity of `k`; `b` is the deeper body."""
    force, motion, a = load6(d.cdof, j), load6(d.cdof, k), d.crb_coriolis
    total = dot6(load6(d.axis_slope, k), inert_mul(load10(d.crb, b), force))
    for r in range(3):
        for i in range(6):
            total += motion[r] * a[b, r, i] * force[i]
    return total


@kernel
def _factor(m: Model, a: Floats) -> None:
    """Replace the matrix by its factors: U above the diagonal, D on it, L below."""
    for v in range(m.nv - 1, -1, -1):
        inverse = 1.0 / a[v, v]
        c = m.dof_parentid[v]
        while c >= 0:
            s, e = a[c, v] * inverse, m.dof_parentid[v]
            while e >= 0:
                a[c, e] -= s * a[v, e]
                e = m.dof_parentid[e]
            a[c, v] = s
            c = m.dof_parentid[c]
        c = m.dof_parentid[v]
        while c >= 0:
            a[v, c] *= inverse
            c = m.dof_parentid[c]


@kernel
def implicit_full_solve(m: Model, d: Data, x: Floats, transposed: bool) -> None:
    """`implicit_solve` of this integrator."""
    a, n = d.qLU, x.shape[1]
    for v in range(m.nv - 1, -1, -1):
        c = m.dof_parentid[v]
        while c >= 0:
            s = a[v, c] if transposed else a[c, v]
            for k in range(n):
                x[c, k] -= s * x[v, k]
            c = m.dof_parentid[c]
    for v in range(m.nv):
        inverse = 1.0 / a[v, v]
        for k in range(n):
            x[v, k] *= inverse
        c = m.dof_parentid[v]
        while c >= 0:
            s = a[c, v] if transposed else a[v, c]
            for k in range(n):
                x[v, k] -= s * x[c, k]
            c = m.dof_parentid[c]


@unit
def bias_ahead_adj(m: Model, d: Data, w: Lanes) -> None:
    """Subtract the derivative of qfrc_adj . (time step * B qacc). Uses rk_* as scratch."""
    for v in range(m.nv):
        d.rk_qvel[0, v], d.rk_qacc[0, v] = d.qvel[v], d.qacc[v]
    for side in range(2):
        for v in range(m.nv):
            ahead = m.timestep * d.rk_qacc[0, v]
            d.qvel[v] = d.rk_qvel[0, v] + (ahead if side == 0 else -ahead)
            d.qacc[v] = 0.0
        _scale(w, 0.5 if side == 0 else -1.0)
        com_vel(m, d)
        rne(m, d)
        sweep_coefficients(m, d, w)
        virtual_velocities(m, d, w)
        virtual_momenta(m, d, w)
        pull_back(m, d, w)
        if w.with_params:
            inertial_parameters_adj(m, d, w)
    _scale(w, -2.0)
    for v in range(m.nv):
        d.qvel[v], d.qacc[v] = d.rk_qvel[0, v], d.rk_qacc[0, v]
    com_vel(m, d)


@kernel
def _scale(w: Lanes, s: float) -> None:
    for v in range(w.qfrc_adj.shape[0]):
        for k in range(w.nlane):
            w.qfrc_adj[v, k] *= s

"""The matrix of `implicitfast`: inertia minus time step times the velocity slope of the forces.

MuJoCo documentation, Computation, "Integrators": slopes of dampers and actuators, symmetric;
free bodies without jointed descendants also get the slope of their gyroscopic force, which is
not symmetric, so their 6 x 6 block is inverted apart from the rest.
"""

from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Mat3, Vec3, add3, cross3, load_mat3, mat_t_vec3, mat_vec3, scale3, sub3
from ..kernels.spatial import Inert, load10
from ..model.data import Data, Lanes
from ..model.model import Model
from .activation import actuator_input
from .actuation import force_is_clamped, moment_arm
from .actuator_law import force_slopes
from .crba import factor_ltdl, solve_ltdl
from .fluid_implicit import fluid_block, fluid_implicit
from .tendon import moves_with, tendon_implicit


@kernel
def implicit_factor(m: Model, d: Data) -> None:
    """Fill qLD with the factor of the matrix, block_inv with the inverses of free bodies' blocks."""
    symmetric_part(m, d)
    for b in range(1, m.nbody):
        if m.body_freesolo[b]:
            _invert_block(m, d, b)
            v = m.body_dofadr[b]
            for r in range(6):  # the identity stands in, so that the symmetric solve skips the block
                for c in range(r + 1):
                    d.qLD[v + r, v + c] = 1.0 if r == c else 0.0
    factor_ltdl(m, d.qLD)


@kernel
def symmetric_part(m: Model, d: Data) -> None:
    """Fill qLD with inertia minus time step times the slopes of dampers, actuators and fluid, as far as symmetric."""
    h = m.timestep
    for v in range(m.nv):
        c = v
        while c >= 0:
            d.qLD[v, c] = d.qM[v, c]
            c = m.dof_parentid[c]
        d.qLD[v, v] += h * m.dof_damping[v]
    for i in range(m.nu):
        if m.actuator_enabled[i] and not force_is_clamped(m, d, i):
            slope = force_slopes(m, d, i, actuator_input(m, d, i))[1]
            if slope != 0.0:
                _add_slope(m, d, i, h * slope)
    tendon_implicit(m, d)
    fluid_implicit(m, d)


@kernel
def _add_slope(m: Model, d: Data, i: int, s: float) -> None:
    """Take s times the product of actuator i's moment arms off the entries that the inertia matrix has."""
    first, end = m.moment_rowadr[i], m.moment_rowadr[i] + m.moment_rownnz[i]
    for k in range(first, end):
        for c in range(first, end):
            v, u = m.moment_colind[k], m.moment_colind[c]
            if moves_with(m, v, u):
                d.qLD[v, u] -= s * moment_arm(m, d, i, k) * moment_arm(m, d, i, c)


@kernel
def implicit_solve(m: Model, d: Data, x: Floats, transposed: bool) -> None:
    """x <- matrix^-1 x, or its transpose, for the columns of x (nv, columns)."""
    solve_ltdl(m, d.qLD, x)
    for b in range(1, m.nbody):
        if not m.body_freesolo[b]:
            continue
        v = m.body_dofadr[b]
        for k in range(x.shape[1]):
            for r in range(6):
                total = 0.0
                for c in range(6):
                    total += (d.block_inv[b, c, r] if transposed else d.block_inv[b, r, c]) * x[v + c, k]
                d.block_row[r] = total
            for r in range(6):
                x[v + r, k] = d.block_row[r]


@kernel
def _local_inertia(d: Data, b: int) -> tuple[float, Vec3, tuple[Vec3, Vec3, Vec3]]:
    """Mass, centre of mass and inertia (about the body origin) of a free body and what is welded to it."""
    inert, r = load10(d.crb, b), load_mat3(d.xmat, b)
    mass = inert[9]
    root = (d.subtree_com[b, 0], d.subtree_com[b, 1], d.subtree_com[b, 2])
    arm = sub3(root, (d.xpos[b, 0], d.xpos[b, 1], d.xpos[b, 2]))  # crb is about `root`, the tree's own centre
    com = mat_t_vec3(r, arm)
    columns = (
        _local_column(inert, r, com, mass, (1.0, 0.0, 0.0)),
        _local_column(inert, r, com, mass, (0.0, 1.0, 0.0)),
        _local_column(inert, r, com, mass, (0.0, 0.0, 1.0)),
    )
    return mass, com, columns


@kernel
def _local_column(inert: Inert, r: Mat3, com: Vec3, mass: float, axis: Vec3) -> Vec3:
    w = mat_vec3(r, axis)
    turned = (
        inert[0] * w[0] + inert[3] * w[1] + inert[4] * w[2],
        inert[3] * w[0] + inert[1] * w[1] + inert[5] * w[2],
        inert[4] * w[0] + inert[5] * w[1] + inert[2] * w[2],
    )
    steiner = cross3(com, cross3(axis, com))
    return add3(mat_t_vec3(r, turned), scale3(mass, steiner))


@kernel
def _apply(columns: tuple[Vec3, Vec3, Vec3], x: Vec3) -> Vec3:
    return add3(add3(scale3(x[0], columns[0]), scale3(x[1], columns[1])), scale3(x[2], columns[2]))


@kernel
def _gyroscopic(mass: float, com: Vec3, inertia: tuple[Vec3, Vec3, Vec3], a: Vec3, b: Vec3) -> tuple[Vec3, Vec3]:
    """Symmetric bilinear bias force of a free body, both parts in the body frame.

    The bias at angular velocity w is half of this at (w, w): mass w x (w x com) and w x I w.
    """
    linear = add3(cross3(a, cross3(b, com)), cross3(b, cross3(a, com)))
    angular = add3(cross3(a, _apply(inertia, b)), cross3(b, _apply(inertia, a)))
    return scale3(mass, linear), angular


@kernel
def _invert_block(m: Model, d: Data, b: int) -> None:
    """block_inv[b] = inverse of the 6 x 6 block with the gyroscopic slope, by Gauss-Jordan."""
    v, a, x = m.body_dofadr[b], d.block, d.block_inv
    mass, com, inertia = _local_inertia(d, b)
    omega = (d.qvel[v + 3], d.qvel[v + 4], d.qvel[v + 5])
    r = load_mat3(d.xmat, b)
    for i in range(6):
        for c in range(6):
            a[i, c] = d.qLD[v + max(i, c), v + min(i, c)]
            x[b, i, c] = 1.0 if i == c else 0.0
    for c in range(3):
        axis = (1.0 if c == 0 else 0.0, 1.0 if c == 1 else 0.0, 1.0 if c == 2 else 0.0)
        linear, angular = _gyroscopic(mass, com, inertia, omega, axis)
        linear = mat_vec3(r, linear)
        for i in range(3):
            a[i, 3 + c] += m.timestep * linear[i]
            a[3 + i, 3 + c] += m.timestep * angular[i]
    fluid_block(m, d, b)
    for p in range(6):
        best = p
        for i in range(p + 1, 6):
            if abs(a[i, p]) > abs(a[best, p]):
                best = i
        for c in range(6):
            a[p, c], a[best, c] = a[best, c], a[p, c]
            x[b, p, c], x[b, best, c] = x[b, best, c], x[b, p, c]
        inverse = 1.0 / a[p, p]
        for c in range(6):
            a[p, c] *= inverse
            x[b, p, c] *= inverse
        for i in range(6):
            if i != p:
                s = a[i, p]
                for c in range(6):
                    a[i, c] -= s * a[p, c]
                    x[b, i, c] -= s * x[b, p, c]


@kernel
def gyroscopic_adj(m: Model, d: Data, w: Lanes) -> None:
    """Subtract the derivative of qfrc_adj . (time step * gyroscopic slope * qacc) of free bodies."""
    h = m.timestep
    for b in range(1, m.nbody):
        if not m.body_freesolo[b]:
            continue
        v = m.body_dofadr[b]
        mass, com, inertia = _local_inertia(d, b)
        omega = (d.qvel[v + 3], d.qvel[v + 4], d.qvel[v + 5])
        alpha = (d.qacc[v + 3], d.qacc[v + 4], d.qacc[v + 5])
        r = load_mat3(d.xmat, b)
        linear = _gyroscopic(mass, com, inertia, omega, alpha)[0]
        i_alpha = _apply(inertia, alpha)
        for k in range(w.nlane):
            f = mat_t_vec3(r, (w.qfrc_adj[v, k], w.qfrc_adj[v + 1, k], w.qfrc_adj[v + 2, k]))
            t = (w.qfrc_adj[v + 3, k], w.qfrc_adj[v + 4, k], w.qfrc_adj[v + 5, k])
            turn = cross3(linear, f)
            by_omega = scale3(mass, add3(cross3(com, cross3(f, alpha)), cross3(cross3(alpha, com), f)))
            by_omega = add3(by_omega, add3(_apply(inertia, cross3(t, alpha)), cross3(i_alpha, t)))
            for i in range(3):
                w.qpos_adj[v + 3 + i, k] -= h * turn[i]
                w.qvel_adj[v + 3 + i, k] -= h * by_omega[i]

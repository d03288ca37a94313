"""The product with J' J of the residuals, which are of one time step each, as loops over samples.

Layout as in `rollout_kernels.py`.
"""

from typing import NamedTuple

from .rollout_kernels import BY_LENGTH, Array, Geometry, adjoint_of_gap, kernel


class Blocks(NamedTuple):
    """Of the residuals, as `Residuals.blocks` has them, with the factors that go with them."""

    gap: Array  # (T + 1, B, K, 3)
    unit_force: Array
    force: Array
    by_force: Array  # (T + 1, B, K, 4, 6)
    on_object_normal: Array
    on_robot_normal: Array
    centers: Array  # (T + 1, B, M, 3)
    overlap_normal: Array  # (T + 1, B, M, 3)
    overlaps_table: Array  # (T + 1, B, M)
    sphere_jacobian: Array  # (T + 1, B, M, 3, n)
    vertices: Array  # (T + 1, B, V, 3)
    below_table: Array  # (T + 1, B, V)
    beyond_limit: Array  # (T + 1, B, n)
    late: Array  # (T + 1,)
    weight: Array  # (B,) of each sample
    is_tip: Array  # (K,)
    factors: Array  # (11,) squares of factors, and the unit of forces, see `linearization.py`


@kernel
def residual_product(
    x: Array, obj: Array, u: Array, x_bar: Array, obj_bar: Array, u_bar: Array, g: Geometry, r: Blocks
) -> None:
    """Tangents x, u (T + 1, B, n + 9 K) and obj (T + 1, B, 12) to J' J of all residuals times them."""
    x_bar[:] = 0.0
    obj_bar[:] = 0.0
    for t in range(x.shape[0]):
        for b in range(x.shape[1]):
            for k in range(g.arm.shape[2]):
                _gap_product(t, b, k, x, obj, x_bar, obj_bar, g, r)
                _force_product(t, b, k, x, obj, x_bar, obj_bar, g, r)
            for m in range(r.centers.shape[2]):
                _sphere_product(t, b, m, x, obj, x_bar, obj_bar, r)
            for v in range(r.vertices.shape[2]):
                if r.below_table[t, b, v] > 0.0:
                    a0, a1, o, ob = r.vertices[t, b, v, 0], r.vertices[t, b, v, 1], obj[t, b], obj_bar[t, b]
                    q = r.factors[4] * (o[2] + o[3] * a1 - o[4] * a0)
                    ob[2] += q
                    ob[3] += a1 * q
                    ob[4] -= a0 * q
            _goal_product(t, b, x, obj, x_bar, obj_bar, g, r)
            for i in range(x.shape[2]):
                x_bar[t, b, i] *= r.weight[b]
                u_bar[t, b, i] = r.weight[b] * r.factors[8] * u[t, b, i]
            for i in range(12):
                obj_bar[t, b, i] *= r.weight[b]


@kernel
def _gap_product(  # noqa: PLR0913 (indices)
    t: int, b: int, k: int, x: Array, obj: Array, x_bar: Array, obj_bar: Array, g: Geometry, r: Blocks
) -> None:
    """Force times gap, and the gap alone, of pair k."""
    pairs, n, y, yb, o, mat = g.arm.shape[2], g.jacobian.shape[4], x[t, b], x_bar[t, b], obj[t, b], g.mat[t, b]
    p, s, f = n + 3 * k, n + 3 * pairs + 3 * k, n + 6 * pairs + 3 * k
    r0, r1, r2 = g.arm[t, b, k, 0], g.arm[t, b, k, 1], g.arm[t, b, k, 2]
    gap, unit_force, unit = r.gap[t, b, k], r.unit_force[t, b, k], r.factors[10]
    d0 = o[0] + o[4] * r2 - o[5] * r1
    d1 = o[1] + o[5] * r0 - o[3] * r2
    d2 = o[2] + o[3] * r1 - o[4] * r0
    jacobian, frame = g.jacobian[t, b, k], g.frame_mat[t, b, k]
    for j in range(n):
        d0 -= jacobian[0, j] * y[j]
        d1 -= jacobian[1, j] * y[j]
        d2 -= jacobian[2, j] * y[j]
    for j in range(3):
        d0 += mat[0, j] * y[s + j] - frame[0, j] * y[p + j]
        d1 += mat[1, j] * y[s + j] - frame[1, j] * y[p + j]
        d2 += mat[2, j] * y[s + j] - frame[2, j] * y[p + j]
    d0, d1, d2 = d0 * BY_LENGTH, d1 * BY_LENGTH, d2 * BY_LENGTH
    f0, f1, f2 = y[f] / unit, y[f + 1] / unit, y[f + 2] / unit
    along = unit_force[0] * f0 + unit_force[1] * f1 + unit_force[2] * f2
    across = gap[0] * d0 + gap[1] * d1 + gap[2] * d2
    force2 = unit_force[0] * unit_force[0] + unit_force[1] * unit_force[1] + unit_force[2] * unit_force[2]
    gap2 = gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2]
    w = r.factors[0]
    yb[f] += w * (unit_force[0] * across + f0 * gap2) / unit
    yb[f + 1] += w * (unit_force[1] * across + f1 * gap2) / unit
    yb[f + 2] += w * (unit_force[2] * across + f2 * gap2) / unit
    own = w * force2 + r.factors[1] * r.is_tip[k]
    y0 = (own * d0 + w * gap[0] * along) * BY_LENGTH
    y1 = (own * d1 + w * gap[1] * along) * BY_LENGTH
    y2 = (own * d2 + w * gap[2] * along) * BY_LENGTH
    adjoint_of_gap(t, b, k, y0, y1, y2, yb, obj_bar[t, b], g)


@kernel
def _force_product(  # noqa: PLR0913 (indices)
    t: int, b: int, k: int, x: Array, obj: Array, x_bar: Array, obj_bar: Array, g: Geometry, r: Blocks
) -> None:
    """Friction cone, grip, and contact points on their surfaces, of pair k."""
    pairs, n, y, yb, o, ob = g.arm.shape[2], g.jacobian.shape[4], x[t, b], x_bar[t, b], obj[t, b], obj_bar[t, b]
    p, s, f, mat, by = n + 3 * k, n + 3 * pairs + 3 * k, n + 6 * pairs + 3 * k, g.mat[t, b], r.by_force[t, b, k]
    a0, a1, a2 = r.force[t, b, k, 0], r.force[t, b, k, 1], r.force[t, b, k, 2]
    c0 = y[f] - (o[4] * a2 - o[5] * a1)
    c1 = y[f + 1] - (o[5] * a0 - o[3] * a2)
    c2 = y[f + 2] - (o[3] * a1 - o[4] * a0)
    l0 = mat[0, 0] * c0 + mat[1, 0] * c1 + mat[2, 0] * c2
    l1 = mat[0, 1] * c0 + mat[1, 1] * c1 + mat[2, 1] * c2
    l2 = mat[0, 2] * c0 + mat[1, 2] * c1 + mat[2, 2] * c2
    m0 = m1 = m2 = x.dtype.type(0.0)
    for i in range(4):
        q = by[i, 0] * l0 + by[i, 1] * l1 + by[i, 2] * l2
        q = r.factors[2] * (q + by[i, 3] * y[s] + by[i, 4] * y[s + 1] + by[i, 5] * y[s + 2])
        m0 += by[i, 0] * q
        m1 += by[i, 1] * q
        m2 += by[i, 2] * q
        for j in range(3):
            yb[s + j] += by[i, 3 + j] * q
    y0 = mat[0, 0] * m0 + mat[0, 1] * m1 + mat[0, 2] * m2
    y1 = mat[1, 0] * m0 + mat[1, 1] * m1 + mat[1, 2] * m2
    y2 = mat[2, 0] * m0 + mat[2, 1] * m1 + mat[2, 2] * m2
    yb[f] += y0
    yb[f + 1] += y1
    yb[f + 2] += y2
    ob[3] -= a1 * y2 - a2 * y1
    ob[4] -= a2 * y0 - a0 * y2
    ob[5] -= a0 * y1 - a1 * y0
    on_object, on_robot = r.on_object_normal[t, b, k], r.on_robot_normal[t, b, k]
    q = r.factors[3] * (on_object[0] * y[s] + on_object[1] * y[s + 1] + on_object[2] * y[s + 2])
    w = r.factors[3] * (on_robot[0] * y[p] + on_robot[1] * y[p + 1] + on_robot[2] * y[p + 2])
    for i in range(3):
        yb[s + i] += q * on_object[i]
        yb[p + i] += w * on_robot[i]


@kernel
def _sphere_product(t: int, b: int, m: int, x: Array, obj: Array, x_bar: Array, obj_bar: Array, r: Blocks) -> None:
    """Overlap of the robot's sphere m with object and table."""
    n0, n1, n2 = r.overlap_normal[t, b, m, 0], r.overlap_normal[t, b, m, 1], r.overlap_normal[t, b, m, 2]
    if n0 == 0.0 and n1 == 0.0 and n2 == 0.0 and r.overlaps_table[t, b, m] == 0.0:
        return
    y, yb, o, ob, jacobian = x[t, b], x_bar[t, b], obj[t, b], obj_bar[t, b], r.sphere_jacobian[t, b, m]
    d0 = d1 = d2 = x.dtype.type(0.0)
    for j in range(jacobian.shape[1]):
        d0 += jacobian[0, j] * y[j]
        d1 += jacobian[1, j] * y[j]
        d2 += jacobian[2, j] * y[j]
    a0, a1, a2 = r.centers[t, b, m, 0], r.centers[t, b, m, 1], r.centers[t, b, m, 2]
    q = n0 * (d0 - o[0] - o[4] * a2 + o[5] * a1) + n1 * (d1 - o[1] - o[5] * a0 + o[3] * a2)
    q = r.factors[4] * (q + n2 * (d2 - o[2] - o[3] * a1 + o[4] * a0))
    y0, y1, y2 = q * n0, q * n1, q * n2
    ob[0] -= y0
    ob[1] -= y1
    ob[2] -= y2
    ob[3] -= a1 * y2 - a2 * y1
    ob[4] -= a2 * y0 - a0 * y2
    ob[5] -= a0 * y1 - a1 * y0
    y2 += r.factors[4] * r.overlaps_table[t, b, m] * d2
    for j in range(jacobian.shape[1]):
        yb[j] += jacobian[0, j] * y0 + jacobian[1, j] * y1 + jacobian[2, j] * y2


@kernel
def _goal_product(t: int, b: int, x: Array, obj: Array, x_bar: Array, obj_bar: Array, g: Geometry, r: Blocks) -> None:
    """The object's pose and velocity, and commands beyond their range."""
    o, ob, e, late = obj[t, b], obj_bar[t, b], g.error_by_turn[t, b], r.late[t] * r.late[t]
    for i in range(3):
        q = r.factors[5] * late * (e[i, 0] * o[3] + e[i, 1] * o[4] + e[i, 2] * o[5])
        for j in range(3):
            ob[3 + j] += e[i, j] * q
        ob[i] += r.factors[6] * late * o[i]
        ob[6 + i] += r.factors[7] * late * 100.0 * o[6 + i]
        ob[9 + i] += r.factors[7] * late * o[9 + i]
    for i in range(r.beyond_limit.shape[2]):
        x_bar[t, b, i] += r.factors[9] * r.beyond_limit[t, b, i] * x[t, b, i]

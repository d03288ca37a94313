"""How contacts of planes, spheres and capsules follow their geoms: adjoint of `round_geoms.py`."""

from .._jit import kernel
from ..contact_pairs import CAPSULE, PLANE, SPHERE
from ..data import Data, Lanes
from ..model import Model
from ..rotation import Vec3, add3, cross3, dot3, load3, scale3, sub3
from .frame import column3, frame_adj, row3, tangent_hint
from .push import push

ZERO: Vec3 = (0.0, 0.0, 0.0)


@kernel
def collide_round_adj(
    m: Model, d: Data, w: Lanes, c: int, k: int, dist_adj: float, pos_adj: Vec3, x_adj: Vec3, y_adj: Vec3, z_adj: Vec3
) -> None:
    """Push the bodies of contact `c` in lane `k` with the cotangents of dist, pos and the frame's rows."""
    p = d.con_pair[c]
    g1, g2 = m.con_geom[p, 0], m.con_geom[p, 1]
    normal, dist = row3(d.con_frame, c, 0), d.con_dist[c]
    r1, r2 = m.geom_size[g1, 0], m.geom_size[g2, 0]
    pos = load3(d.con_pos, c)
    c2 = add3(pos, scale3(r2 + 0.5 * dist, normal))
    if m.geom_type[g1] == PLANE:
        _plane_ball_adj(m, d, w, g1, g2, k, c2, normal, dist, dist_adj, pos_adj, x_adj, y_adj, z_adj)
        return
    c1 = sub3(pos, scale3(r1 + 0.5 * dist, normal))
    n_adj = frame_adj(normal, tangent_hint(normal), x_adj, y_adj, z_adj)[0]
    n_adj = add3(n_adj, scale3(0.5 * (r1 - r2), pos_adj))
    length = dist + r1 + r2
    across = sub3(n_adj, scale3(dot3(normal, n_adj), normal))
    apart = add3(scale3(1.0 / length if length > 1e-12 else 0.0, across), scale3(dist_adj, normal))
    half = scale3(0.5, pos_adj)
    _points_adj(m, d, w, g1, g2, k, c1, c2, sub3(half, apart), add3(half, apart))


@kernel
def _plane_ball_adj(
    m: Model, d: Data, w: Lanes, g1: int, g2: int, k: int, c2: Vec3, normal: Vec3, dist: float,
    dist_adj: float, pos_adj: Vec3, x_adj: Vec3, y_adj: Vec3, z_adj: Vec3,
) -> None:  # fmt: skip
    b1, b2 = m.geom_bodyid[g1], m.geom_bodyid[g2]
    hint, along_axis = tangent_hint(normal), False
    if m.geom_type[g2] == CAPSULE:
        axis = column3(d.geom_xmat, g2, 2)
        if 1.0 - dot3(axis, normal) ** 2 > 1e-10:
            hint, along_axis = axis, True
    n_adj, hint_adj = frame_adj(normal, hint, x_adj, y_adj, z_adj)
    total = dist_adj - 0.5 * dot3(normal, pos_adj)
    plane = load3(d.geom_xpos, g1)
    reach = m.geom_size[g2, 0] + 0.5 * dist
    n_adj = add3(n_adj, sub3(scale3(total, sub3(c2, plane)), scale3(reach, pos_adj)))
    torque = cross3(hint, hint_adj) if along_axis else ZERO
    push(m, d, w, b2, k, c2, add3(pos_adj, scale3(total, normal)), torque)
    push(m, d, w, b1, k, plane, scale3(-total, normal), cross3(normal, n_adj))


@kernel
def _points_adj(m: Model, d: Data, w: Lanes, g1: int, g2: int, k: int, c1: Vec3, c2: Vec3, f1: Vec3, f2: Vec3) -> None:
    """Push with cotangents f1, f2 of the nearest points c1, c2 of the two geoms' cores."""
    b1, b2 = m.geom_bodyid[g1], m.geom_bodyid[g2]
    p1, p2 = load3(d.geom_xpos, g1), load3(d.geom_xpos, g2)
    if m.geom_type[g2] == SPHERE:
        push(m, d, w, b1, k, c1, f1, ZERO)
        push(m, d, w, b2, k, c2, f2, ZERO)
        return
    a2 = scale3(m.geom_size[g2, 1], column3(d.geom_xmat, g2, 2))
    a1 = scale3(m.geom_size[g1, 1], column3(d.geom_xmat, g1, 2)) if m.geom_type[g1] == CAPSULE else ZERO
    ma, mb, mc = dot3(a1, a1), -dot3(a1, a2), dot3(a2, a2)
    x1 = dot3(sub3(c1, p1), a1) / ma if ma > 0.0 else 1.0
    x2 = dot3(sub3(c2, p2), a2) / mc
    free1, free2 = abs(x1) < 1.0 - 1e-12, abs(x2) < 1.0 - 1e-12
    # cotangents of the parameters, through the equations that define them (see _capsule_capsule)
    q1, q2 = dot3(a1, f1), dot3(a2, f2)
    s1, s2 = 0.0, 0.0
    det = ma * mc - mb * mb
    if free1 and free2 and abs(det) >= 1e-15:
        s1, s2 = (mc * q1 - mb * q2) / det, (ma * q2 - mb * q1) / det
    elif free2:
        s2 = q2 / mc
    elif free1:
        s1 = q1 / ma
    # s1 (ma x1 + mb x2 - u) + s2 (mb x1 + mc x2 - v) = 0 defines how x follows p and a
    offset = sub3(p1, p2)
    p_adj = add3(scale3(-s1, a1), scale3(s2, a2))
    mb_adj = -(s1 * x2 + s2 * x1)
    a1_adj = add3(scale3(x1, f1), add3(scale3(-2.0 * s1 * x1, a1), sub3(scale3(-mb_adj, a2), scale3(s1, offset))))
    a2_adj = add3(scale3(x2, f2), add3(scale3(-2.0 * s2 * x2, a2), add3(scale3(-mb_adj, a1), scale3(s2, offset))))
    push(m, d, w, b1, k, p1, add3(f1, p_adj), cross3(a1, a1_adj))
    push(m, d, w, b2, k, p2, sub3(f2, p_adj), cross3(a2, a2_adj))

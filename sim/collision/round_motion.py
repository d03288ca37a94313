"""How contacts of planes, spheres and capsules move with their geoms (`round_geoms.py`)."""

from ..kernels.enums import CAPSULE, PLANE, SPHERE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .frame import column3, row3
from .motion import balls_rates, plane_point_rates, point_rate, store_motion, unit_twist

ZERO: Vec3 = (0.0, 0.0, 0.0)


@kernel
def round_motion(m: Model, d: Data, c: int) -> None:
    """Fill con_motion for contact `c` of a pair of plane, sphere, capsule."""
    p = d.con_pair[c]
    g1, g2 = m.con_geom[p, 0], m.con_geom[p, 1]
    normal, dist, pos = row3(d.con_frame, c, 0), d.con_dist[c], load3(d.con_pos, c)
    r1, r2 = m.geom_size[g1, 0], m.geom_size[g2, 0]
    c2 = add3(pos, scale3(r2 + 0.5 * dist, normal))
    if m.geom_type[g1] == PLANE:
        for i in range(6):
            turn, shift = unit_twist(i)
            by_dist, moved, tilt = plane_point_rates(normal, point_rate(turn, shift, sub3(c2, pos)))
            store_motion(d, i, by_dist, moved, tilt)
        return
    c1 = sub3(pos, scale3(r1 + 0.5 * dist, normal))
    length = dist + r1 + r2
    for i in range(6):
        turn, shift = unit_twist(i)
        rate1, rate2 = _core_rates(m, d, g1, g2, c1, c2, pos, turn, shift)
        by_dist, moved, tilt = balls_rates(normal, rate1, rate2, length, r1, dist)
        store_motion(d, i, by_dist, moved, tilt)


@kernel
def _core_rates(
    m: Model, d: Data, g1: int, g2: int, c1: Vec3, c2: Vec3, pos: Vec3, turn: Vec3, shift: Vec3
) -> tuple[Vec3, Vec3]:
    """Rates of the nearest points c1, c2 of the two cores when geom 2 moves: they slide along capsules."""
    if m.geom_type[g2] == SPHERE:
        return ZERO, point_rate(turn, shift, sub3(c2, pos))
    p1, p2 = load3(d.geom_xpos, g1), load3(d.geom_xpos, g2)
    a2 = scale3(m.geom_size[g2, 1], column3(d.geom_xmat, g2, 2))
    a1 = scale3(m.geom_size[g1, 1], column3(d.geom_xmat, g1, 2)) if m.geom_type[g1] == CAPSULE else ZERO
    ma, mb, mc = dot3(a1, a1), -dot3(a1, a2), dot3(a2, a2)
    x1 = dot3(sub3(c1, p1), a1) / ma if ma > 0.0 else 1.0
    x2 = dot3(sub3(c2, p2), a2) / mc
    free1, free2 = abs(x1) < 1.0 - 1e-12, abs(x2) < 1.0 - 1e-12
    # ma x1 + mb x2 = u, mb x1 + mc x2 = v (see _capsule_capsule), each where its x is free
    offset, p2_rate, a2_rate = sub3(p1, p2), point_rate(turn, shift, sub3(p2, pos)), cross3(turn, a2)
    mb_rate = -dot3(a1, a2_rate)
    u = dot3(a1, p2_rate) - mb_rate * x2
    v = dot3(a2_rate, offset) - dot3(a2, p2_rate) - mb_rate * x1
    s1, s2 = 0.0, 0.0
    det = ma * mc - mb * mb
    if free1 and free2 and abs(det) >= 1e-15:
        s1, s2 = (mc * u - mb * v) / det, (ma * v - mb * u) / det
    elif free2:
        s2 = v / mc
    elif free1:
        s1 = u / ma
    return scale3(s1, a1), add3(p2_rate, add3(scale3(x2, a2_rate), scale3(s2, a2)))

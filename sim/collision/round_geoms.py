"""Contacts among planes, spheres and capsules: all are distances of points on a segment.

Conventions of mjc_PlaneSphere ... mjc_CapsuleCapsule: the normal points from the first geom to the
second, the position lies midway between the surfaces. Every contact here is that of two balls, or
of a plane and a ball, whose centres are points of the geoms' cores; `round_motion.py` follows
those points, along the capsules' axes too.
"""

from ..kernels.enums import CAPSULE, PLANE, SPHERE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, dot3, load3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .frame import add_contact, add_contact_along, column3, tangent_hint, unit_or_x


@kernel
def _plane_ball(
    d: Data, pair: int, reach: float, point: Vec3, normal: Vec3, c: Vec3, r: float, axis: Vec3, attached: int
) -> None:
    dist = dot3(sub3(c, point), normal) - r
    if dist <= reach:
        add_contact_along(d, pair, dist, sub3(c, scale3(r + 0.5 * dist, normal)), normal, axis, attached)


@kernel
def _ball_ball(d: Data, pair: int, reach: float, c1: Vec3, r1: float, c2: Vec3, r2: float) -> bool:
    normal, length = unit_or_x(sub3(c2, c1))
    dist = length - r1 - r2
    if dist > reach:
        return False
    add_contact(d, pair, dist, add3(c1, scale3(r1 + 0.5 * dist, normal)), normal)
    return True


@kernel
def _clip(x: float) -> float:
    return min(max(x, -1.0), 1.0)


@kernel
def collide_round(m: Model, d: Data, pair: int) -> None:
    """Append the contacts of one pair of plane, sphere, capsule."""
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    reach = m.con_margin[pair] + m.con_gap[pair]
    kind1, kind2 = m.geom_type[g1], m.geom_type[g2]
    p1, p2 = load3(d.geom_xpos, g1), load3(d.geom_xpos, g2)
    r1, r2 = m.geom_size[g1, 0], m.geom_size[g2, 0]
    if kind1 == PLANE:
        normal = column3(d.geom_xmat, g1, 2)
        if kind2 == SPHERE:
            _plane_ball(d, pair, reach, p1, normal, p2, r2, tangent_hint(normal), 0)
        else:
            axis = column3(d.geom_xmat, g2, 2)
            half = scale3(m.geom_size[g2, 1], axis)
            attached = 1 if 1.0 - dot3(axis, normal) ** 2 > 1e-10 else 0
            hint = axis if attached else tangent_hint(normal)
            _plane_ball(d, pair, reach, p1, normal, add3(p2, half), r2, hint, attached)
            _plane_ball(d, pair, reach, p1, normal, sub3(p2, half), r2, hint, attached)
    elif kind1 == SPHERE:
        if kind2 == CAPSULE:
            axis, length = column3(d.geom_xmat, g2, 2), m.geom_size[g2, 1]
            x = min(max(dot3(axis, sub3(p1, p2)), -length), length)
            p2 = add3(p2, scale3(x, axis))
        _ball_ball(d, pair, reach, p1, r1, p2, r2)
    else:
        a1 = scale3(m.geom_size[g1, 1], column3(d.geom_xmat, g1, 2))
        a2 = scale3(m.geom_size[g2, 1], column3(d.geom_xmat, g2, 2))
        _capsule_capsule(d, pair, reach, p1, a1, r1, p2, a2, r2)


@kernel
def _capsule_capsule(
    d: Data, pair: int, reach: float, p1: Vec3, a1: Vec3, r1: float, p2: Vec3, a2: Vec3, r2: float
) -> None:
    """One contact between the nearest points of two segments (half lengths a1.

    A2), two at most if they are parallel.
    """
    offset = sub3(p1, p2)
    ma, mb, mc = dot3(a1, a1), -dot3(a1, a2), dot3(a2, a2)
    u, v = -dot3(a1, offset), dot3(a2, offset)
    det = ma * mc - mb * mb
    if abs(det) >= 1e-15:
        x1, x2 = (mc * u - mb * v) / det, (ma * v - mb * u) / det
        if x1 > 1.0:
            x1, x2 = 1.0, (v - mb) / mc
        elif x1 < -1.0:
            x1, x2 = -1.0, (v + mb) / mc
        if x2 > 1.0:
            x1, x2 = _clip((u - mb) / ma), 1.0
        elif x2 < -1.0:
            x1, x2 = _clip((u + mb) / ma), -1.0
        _ball_ball(d, pair, reach, add3(p1, scale3(x1, a1)), r1, add3(p2, scale3(x2, a2)), r2)
        return
    count = 0
    for end in range(4):  # parallel: the ends of each on the other, at most two contacts
        sign = 1.0 if end % 2 == 0 else -1.0
        if end < 2:
            x1, x2 = sign, _clip((v - sign * mb) / mc)
        else:
            x1, x2 = _clip((u - sign * mb) / ma), sign
        if count < 2 and _ball_ball(d, pair, reach, add3(p1, scale3(x1, a1)), r1, add3(p2, scale3(x2, a2)), r2):
            count += 1

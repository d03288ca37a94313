"""Contacts among planes, spheres and capsules: all are distances of points on a segment.

Conventions of mjc_PlaneSphere ... mjc_CapsuleCapsule: the normal points from the first geom to the
second, the position lies midway between the surfaces. Every contact here is that of two balls, or
of a plane and a ball, whose centres are points of the geoms' cores; `round_motion.py` follows
those points, along the capsules' axes too. Where two centres coincide the normal is the cross
product of the geoms' z axes, or the world's x axis.

Parallel capsules touch at both ends of the part where they are side by side, or twice at the same
place if there is none. Parallel, since MuJoCo 4, means a sine of at most 1e-4 between the axes, and
a segment shorter than sqrt(mjMINVAL) counts as its lower end: both are found by experiment.

Columns of `con_feature`, of two balls, for the rates in `round_motion.py`:

    0, 1  which end of its geom's core the ball's centre is: 1 upper, -1 lower, 0 neither
    2     1: the centres coincide
"""

from ..kernels.enums import CAPSULE, PLANE, SPHERE
from ..kernels.jit import kernel
from ..kernels.rotation import add3, cross3, dot3, load3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .frame import add_contact, add_contact_lengthwise, column3, unit_or_cross

PARALLEL = 1e-8  # squared sine between the axes of two capsules
SHORT = 0.25e-15  # squared half length of a segment that is a point


@kernel
def half_length(m: Model, g: int) -> float:
    """Of the core of a sphere or capsule, along its z axis."""
    return m.geom_size[g, 1] if m.geom_type[g] == CAPSULE else 0.0


@kernel
def collide_round(m: Model, d: Data, pair: int) -> None:
    """Append the contacts of one pair of plane, sphere, capsule."""
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    if m.geom_type[g1] == PLANE:
        _plane_round(m, d, pair, g1, g2)
    elif m.geom_type[g1] == SPHERE:
        length, apart = half_length(m, g2), sub3(load3(d.geom_xpos, g1), load3(d.geom_xpos, g2))
        _ball_ball(m, d, pair, 0.0, _clip(dot3(column3(d.geom_xmat, g2, 2), apart), length))
    else:
        _capsule_capsule(m, d, pair, g1, g2)


@kernel
def _plane_round(m: Model, d: Data, pair: int, g1: int, g2: int) -> None:
    reach, point, p2 = m.con_margin[pair] + m.con_gap[pair], load3(d.geom_xpos, g1), load3(d.geom_xpos, g2)
    normal, axis, radius = column3(d.geom_xmat, g1, 2), column3(d.geom_xmat, g2, 2), m.geom_size[g2, 0]
    for end in range(2 if m.geom_type[g2] == CAPSULE else 1):
        length = half_length(m, g2)
        c = add3(p2, scale3(-length if end else length, axis))
        dist = dot3(sub3(c, point), normal) - radius
        if dist <= reach:
            pos = sub3(c, scale3(radius + 0.5 * dist, normal))
            if m.geom_type[g2] == CAPSULE:
                add_contact_lengthwise(d, pair, dist, pos, normal, axis)
            else:
                add_contact(d, pair, dist, pos, normal)


@kernel
def _ball_ball(m: Model, d: Data, pair: int, s1: float, s2: float) -> None:
    """Contact of the balls at s1, s2 along the two cores."""
    g1, g2, c = m.con_geom[pair, 0], m.con_geom[pair, 1], d.ncon[0]
    z1, z2 = column3(d.geom_xmat, g1, 2), column3(d.geom_xmat, g2, 2)
    r1, r2 = m.geom_size[g1, 0], m.geom_size[g2, 0]
    c1 = add3(load3(d.geom_xpos, g1), scale3(s1, z1))
    c2 = add3(load3(d.geom_xpos, g2), scale3(s2, z2))
    normal, length = unit_or_cross(sub3(c2, c1), z1, z2)
    dist = length - r1 - r2
    if dist > m.con_margin[pair] + m.con_gap[pair]:
        return
    add_contact(d, pair, dist, add3(c1, scale3(r1 + 0.5 * dist, normal)), normal)
    d.con_feature[c, 0], d.con_feature[c, 1] = _end(s1, half_length(m, g1)), _end(s2, half_length(m, g2))
    d.con_feature[c, 2] = 1 if length == 0.0 else 0


@kernel
def _end(s: float, length: float) -> int:
    if s >= length:
        return 1
    return -1 if s <= -length else 0


@kernel
def _clip(x: float, limit: float) -> float:
    return min(max(x, -limit), limit)


@kernel
def _capsule_capsule(m: Model, d: Data, pair: int, g1: int, g2: int) -> None:
    """One contact between the nearest points of two segments, two if they are parallel."""
    z1, z2, l1, l2 = column3(d.geom_xmat, g1, 2), column3(d.geom_xmat, g2, 2), half_length(m, g1), half_length(m, g2)
    apart, across = sub3(load3(d.geom_xpos, g2), load3(d.geom_xpos, g1)), cross3(z1, z2)
    # nearest to s1 on the second segment is cosine s1 - along2, nearest to s2 on the first cosine s2 + along1
    cosine, along1, along2, square = dot3(z1, z2), dot3(apart, z1), dot3(apart, z2), dot3(across, across)
    if l1 * l1 < SHORT:
        _ball_ball(m, d, pair, -l1, -l2 if l2 * l2 < SHORT else _clip(-cosine * l1 - along2, l2))
    elif l2 * l2 < SHORT:
        _ball_ball(m, d, pair, _clip(along1 - cosine * l2, l1), -l2)
    elif square > PARALLEL:
        # by cross products: the differences of scalar products cancel between axes that are nearly parallel
        s1, s2 = dot3(cross3(apart, z2), across) / square, dot3(cross3(apart, z1), across) / square
        if abs(s1) > l1:
            s1 = _clip(s1, l1)
            s2 = cosine * s1 - along2
        s1, s2 = _stopped(s1, s2, l1, l2, cosine, along1)
        _ball_ball(m, d, pair, s1, s2)
    else:
        for end in range(2):
            s1 = l1 if end else -l1
            s1, s2 = _stopped(s1, cosine * s1 - along2, l1, l2, cosine, along1)
            _ball_ball(m, d, pair, s1, s2)


@kernel
def _stopped(s1: float, s2: float, l1: float, l2: float, cosine: float, along1: float) -> tuple[float, float]:
    """Places of two nearest points where the second segment's ends stop its point: then the first follows."""
    if abs(s2) <= l2:
        return s1, s2
    s2 = _clip(s2, l2)
    return _clip(cosine * s2 + along1, l1), s2

"""How contacts of planes, spheres and capsules move with their geoms (`round_geoms.py`).

Of capsules that cross, the normal is perpendicular to both axes, however near these are. Where
centres coincide the distance has a kink: its rate is that of moving apart along the normal, which
is one-sided. The normal there turns with the axes that it is made from, as it truly does while the
centres stay together; moving them apart sideways would throw it round at once and counts as none.
"""

from ..kernels.enums import PLANE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, scale3
from ..model.data import Data
from ..model.model import Model
from .frame import column3, row3
from .motion import ball_tilt, balls_rates, cross_tilt, plane_point_rates, point_rate, store_motion, unit_twist

ZERO: Vec3 = (0.0, 0.0, 0.0)


@kernel
def round_motion(m: Model, d: Data, c: int) -> None:
    """Fill con_motion for contact `c` of a pair of plane, sphere, capsule."""
    p = d.con_pair[c]
    g1, g2 = m.con_geom[p, 0], m.con_geom[p, 1]
    normal, dist = row3(d.con_frame, c, 0), d.con_dist[c]
    r1, r2 = m.geom_size[g1, 0], m.geom_size[g2, 0]
    arm = scale3(r2 + 0.5 * dist, normal)  # of the second ball's centre
    if m.geom_type[g1] == PLANE:
        for i in range(6):
            turn, shift = unit_twist(i)
            by_dist, moved, tilt = plane_point_rates(normal, point_rate(turn, shift, arm))
            store_motion(d, i, by_dist, moved, tilt)
        return
    length = dist + r1 + r2
    z1, z2 = column3(d.geom_xmat, g1, 2), column3(d.geom_xmat, g2, 2)
    free1, free2 = d.con_feature[c, 0] == 0, d.con_feature[c, 1] == 0
    by_axes = (free1 and free2) or d.con_feature[c, 2] == 1
    for i in range(6):
        turn, shift = unit_twist(i)
        z2_rate = cross3(turn, z2)
        rate1, rate2 = _slid(point_rate(turn, shift, arm), z1, z2, length * dot3(normal, z2_rate), free1, free2)
        tilt = cross_tilt(normal, z1, z2, ZERO, z2_rate) if by_axes else ball_tilt(normal, rate1, rate2, length)
        by_dist, moved = balls_rates(normal, rate1, rate2, tilt, r1, dist)
        store_motion(d, i, by_dist, moved, tilt)


@kernel
def _slid(rate: Vec3, z1: Vec3, z2: Vec3, lean: float, free1: bool, free2: bool) -> tuple[Vec3, Vec3]:
    """Rates of the nearest points of two cores: they slide along the axes where they are free.

    The second core's point moves by `rate`, and its axis turns by `lean` against the line between them,
    to which the axes of free points stay perpendicular.
    """
    s1, s2 = 0.0, 0.0
    if free1 and free2:
        across = cross3(z1, z2)
        square = dot3(across, across)
        s1 = (dot3(cross3(rate, z2), across) - dot3(z1, z2) * lean) / square
        s2 = (dot3(cross3(rate, z1), across) - lean) / square
    elif free1:
        s1 = dot3(rate, z1)
    elif free2:
        s2 = -dot3(rate, z2) - lean
    return scale3(s1, z1), add3(rate, scale3(s2, z2))

"""Contacts of a plane with a cylinder or an ellipsoid, and of a sphere with a cylinder.

Conventions of mjc_PlaneCylinder, mjc_SphereCylinder and mjc_PlaneConvex (MuJoCo,
engine_collision_primitive.c and engine_collision_convex.c). Of a cylinder on a plane touch the
lowest point, the one above it on the other rim, and two more that make a regular triangle with the
lowest. Column 0 of `con_feature` says which point it is: LOWEST, OPPOSITE, LEFT or RIGHT, of a
sphere and a cylinder, what the sphere touches: SIDE, CAP or RIM; then column 1 is 1 if the sphere's
centre lies on the axis or on the rim, and the normal is the cross product of both z axes.
"""

import math

from ..kernels.enums import CYLINDER, SPHERE
from ..kernels.jit import kernel
from ..kernels.rotation import Mat3, Vec3, add3, cross3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .frame import add_contact, column3, unit_or_cross

LOWEST, OPPOSITE, LEFT, RIGHT = 0, 1, 2, 3
SIDE, CAP, RIM = 0, 1, 2
TRIANGLE = math.sqrt(3.0) / 2.0
UPRIGHT = 1e-15  # sine between a cylinder's axis and the plane's normal: below, the rim lies flat


@kernel
def collide_rim(m: Model, d: Data, pair: int) -> None:
    """Append the contacts of one pair of these."""
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    if m.geom_type[g1] == SPHERE:
        _sphere_cylinder(m, d, pair, g1, g2)
    elif m.geom_type[g2] == CYLINDER:
        _plane_cylinder(m, d, pair, g1, g2)
    else:
        normal = column3(d.geom_xmat, g1, 2)
        lowest = _lowest_of_ellipsoid(load_mat3(d.geom_xmat, g2), load3(m.geom_size, g2), normal)
        _plane_point(m, d, pair, g1, normal, add3(load3(d.geom_xpos, g2), lowest), 0)


@kernel
def _plane_point(m: Model, d: Data, pair: int, g1: int, normal: Vec3, point: Vec3, feature: int) -> bool:
    dist, c = dot3(normal, sub3(point, load3(d.geom_xpos, g1))), d.ncon[0]
    if dist > m.con_margin[pair] + m.con_gap[pair]:
        return False
    add_contact(d, pair, dist, sub3(point, scale3(0.5 * dist, normal)), normal)
    d.con_feature[c, 0] = feature
    return True


@kernel
def _lowest_of_ellipsoid(mat: Mat3, size: Vec3, normal: Vec3) -> Vec3:
    """The point farthest against `normal`, from the centre."""
    n = mat_t_vec3(mat, normal)
    x, y, z = size[0] * n[0], size[1] * n[1], size[2] * n[2]
    s = -1.0 / math.sqrt(x * x + y * y + z * z)
    return mat_vec3(mat, (s * size[0] * x, s * size[1] * y, s * size[2] * z))


@kernel
def downward(d: Data, g1: int, g2: int) -> tuple[Vec3, Vec3, float]:
    """A cylinder's axis towards the plane; direction from it to the lowest point of the rim; its slope's sine.

    The sine is 0 if the rim lies flat: then the cylinder's x axis is the direction.
    """
    normal, axis = column3(d.geom_xmat, g1, 2), column3(d.geom_xmat, g2, 2)
    if dot3(normal, axis) > 0.0:
        axis = scale3(-1.0, axis)
    down = sub3(scale3(dot3(normal, axis), axis), normal)
    sine = math.sqrt(dot3(down, down))
    if sine < UPRIGHT:
        return axis, column3(d.geom_xmat, g2, 0), 0.0
    return axis, scale3(1.0 / sine, down), sine


@kernel
def rim_point(feature: int, axis: Vec3, down: Vec3, aside: Vec3, length: float, radius: float) -> Vec3:
    """One of a cylinder's points, from its centre; `aside` is down x axis. Linear in these three."""
    along = scale3(-length if feature == OPPOSITE else length, axis)
    if feature == LOWEST or feature == OPPOSITE:
        return add3(along, scale3(radius, down))
    side = scale3(TRIANGLE * radius if feature == LEFT else -TRIANGLE * radius, aside)
    return add3(along, add3(scale3(-0.5 * radius, down), side))


@kernel
def _plane_cylinder(m: Model, d: Data, pair: int, g1: int, g2: int) -> None:
    normal, centre = column3(d.geom_xmat, g1, 2), load3(d.geom_xpos, g2)
    axis, down, _ = downward(d, g1, g2)
    radius, length = m.geom_size[g2, 0], m.geom_size[g2, 1]
    for feature in range(4):
        point = add3(centre, rim_point(feature, axis, down, cross3(down, axis), length, radius))
        if not _plane_point(m, d, pair, g1, normal, point, feature) and feature == LOWEST:
            return


@kernel
def _sphere_cylinder(m: Model, d: Data, pair: int, g1: int, g2: int) -> None:
    """One contact of the ball's centre with the cylinder's side, cap or rim, whichever is nearest."""
    centre, axis, p = load3(d.geom_xpos, g1), column3(d.geom_xmat, g2, 2), load3(d.geom_xpos, g2)
    z1 = column3(d.geom_xmat, g1, 2)
    ball, radius, length = m.geom_size[g1, 0], m.geom_size[g2, 0], m.geom_size[g2, 1]
    x = dot3(axis, sub3(centre, p))
    across = sub3(sub3(centre, p), scale3(x, axis))
    square = dot3(across, across)
    distance = math.sqrt(square)
    sign = 1.0 if x > 0.0 else -1.0
    beside, above = abs(x) < length, square < radius * radius
    if beside and (not above or length - abs(x) >= radius - distance):
        kind, (normal, gap) = SIDE, unit_or_cross(sub3(add3(p, scale3(x, axis)), centre), z1, axis)
        dist = gap - radius - ball
    elif above:
        kind, normal, gap, dist = CAP, scale3(-sign, axis), length, abs(x) - length - ball
    else:
        rim = add3(p, add3(scale3(sign * length, axis), scale3(radius / distance, across)))
        kind, (normal, gap) = RIM, unit_or_cross(sub3(rim, centre), z1, axis)
        dist = gap - ball
    if dist > m.con_margin[pair] + m.con_gap[pair]:
        return
    c = d.ncon[0]
    add_contact(d, pair, dist, add3(centre, scale3(ball + 0.5 * dist, normal)), normal)
    d.con_feature[c, 0], d.con_feature[c, 1] = kind, 1 if gap == 0.0 else 0

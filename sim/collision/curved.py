"""Curved surfaces of ellipsoids and cylinders: where a normal touches, and how that point follows it.

The point of a smooth convex surface with outward normal n is the gradient of its support function
h(n); it follows the normal by the Hessian of h. Ellipsoid with semi-axes S: h = |S n|. The rim of a
cylinder is a circle, its side an edge with a radius, its cap a face.
"""

import math

from ..kernels.enums import CYLINDER, ELLIPSOID
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, dot3, load3, load_mat3, mat_t_vec3, sub3
from ..model.data import Data
from ..model.model import Model
from .frame import column3

VERTEX, EDGE, FACE, CURVE = 1, 2, 3, 4  # what a contact lies on
NEAR = 1e-4  # part of a cylinder's size within which a point counts as on its rim


@kernel
def is_curved(m: Model, g: int) -> bool:
    """Whether geom `g` has a surface that no polytope with a radius describes."""
    return m.geom_type[g] == ELLIPSOID or m.geom_type[g] == CYLINDER


@kernel
def curved_feature(m: Model, d: Data, g: int, x: Vec3) -> int:
    """What a point `x` of a curved geom's surface lies on."""
    if m.geom_type[g] == ELLIPSOID:
        return CURVE
    local = mat_t_vec3(load_mat3(d.geom_xmat, g), sub3(x, load3(d.geom_xpos, g)))
    if abs(local[2]) < (1.0 - NEAR) * m.geom_size[g, 1]:
        return EDGE
    across = math.sqrt(local[0] * local[0] + local[1] * local[1])
    return FACE if across < (1.0 - NEAR) * m.geom_size[g, 0] else CURVE


@kernel
def edge_radius(m: Model, g: int) -> float:
    """Radius of a cylinder's side, which counts as an edge; 0 for other cores."""
    return m.geom_size[g, 0] if m.geom_type[g] == CYLINDER else 0.0


@kernel
def curvature(m: Model, d: Data, g: int, outward: Vec3, t1: Vec3, t2: Vec3) -> Vec3:
    """Hessian of the support function across a unit normal: elements 11, 12, 22 on t1, t2."""
    rot = load_mat3(d.geom_xmat, g)
    n, u, v = mat_t_vec3(rot, outward), mat_t_vec3(rot, t1), mat_t_vec3(rot, t2)
    a, b, c = m.geom_size[g, 0], m.geom_size[g, 1], m.geom_size[g, 2]
    if m.geom_type[g] == CYLINDER:
        across = math.sqrt(n[0] * n[0] + n[1] * n[1])
        if across < 1e-12:
            return 0.0, 0.0, 0.0
        around = (-n[1] / across, n[0] / across, 0.0)
        p, q = dot3(around, u), dot3(around, v)
        s = a / across
        return s * p * p, s * p * q, s * q * q
    sn, su, sv = (a * n[0], b * n[1], c * n[2]), (a * u[0], b * u[1], c * u[2]), (a * v[0], b * v[1], c * v[2])
    h = math.sqrt(dot3(sn, sn))
    p, q = dot3(sn, su) / h, dot3(sn, sv) / h
    return (dot3(su, su) - p * p) / h, (dot3(su, sv) - p * q) / h, (dot3(sv, sv) - q * q) / h


@kernel
def axis_of(d: Data, g: int) -> Vec3:
    """Direction of a cylinder's side."""
    return column3(d.geom_xmat, g, 2)

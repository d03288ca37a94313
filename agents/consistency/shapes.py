"""Signed distance and normal of an object made of primitives and convex meshes, with derivatives of both."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .rotations import apply, apply_inverse

_ROUND = 8  # exponent of the norm whose unit ball stands for a box: edges are a little rounded


class Primitive(NamedTuple):
    """A plane, sphere, capsule, cylinder, box or the convex hull of a mesh in the frame of a body."""

    distance_and_normal: Callable[[Tensor], tuple[Tensor, Tensor]]  # at points (..., 3) in its own frame [m]
    pos: Tensor  # (3,) [m]
    mat: Tensor  # (3, 3) its axes as columns


class Shape:
    """The union of primitives.

    `distance` and `normal` take points (..., 3) in the object's frame [m]; the distance (...) is positive outside,
    exact next to faces, and of first order where edges are rounded; the normal (..., 3) points out.
    """

    def __init__(self, primitives: Sequence[Primitive]) -> None:
        self.primitives = tuple(primitives)

    def distance(self, points: Tensor) -> Tensor:
        return self.distance_and_normal(points)[0]

    def normal(self, points: Tensor) -> Tensor:
        return self.distance_and_normal(points)[1]

    def distance_and_normal(self, points: Tensor) -> tuple[Tensor, Tensor]:
        found = [_distance_and_normal(one, points) for one in self.primitives]
        if len(found) == 1:
            return found[0]
        distances = torch.stack([d for d, _ in found], dim=-1)
        nearest = distances.argmin(-1, keepdim=True)
        normals = torch.stack([n for _, n in found], dim=-2)
        chosen = normals.gather(-2, nearest[..., None].expand(*nearest.shape, 3)).squeeze(-2)
        return distances.gather(-1, nearest).squeeze(-1), chosen

    def project(self, points: Tensor, steps: int = 8) -> Tensor:
        """Points of the surface near `points`."""
        for _ in range(steps):
            distance, normal = self.distance_and_normal(points)
            points = points - distance[..., None] * normal
        return points

    def along(self, directions: Tensor, reach: float = 0.3) -> Tensor:
        """The outermost points of the surface on rays (..., 3) from the origin [m]; near it where a ray misses."""
        directions = directions / directions.norm(dim=-1, keepdim=True)
        steps = torch.linspace(reach, 0.0, 300, dtype=directions.dtype)
        inside = self.distance(directions[..., None, :] * steps[:, None]) <= 0.0
        first = torch.where(inside.any(-1), inside.double().argmax(-1), len(steps) - 1)
        return self.project(directions * steps[first][..., None])


def primitive(m: mujoco.MjModel, geom: int, pos: Tensor, mat: Tensor) -> Primitive:
    """That of a geom at a pose in the object's frame; ValueError for what has no distance here."""
    kind = int(m.geom_type[geom])
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        return Primitive(_hull(m, int(m.geom_dataid[geom])), pos, mat)
    if kind not in _FUNCTIONS:
        raise ValueError(
            f"geom {m.geom(geom).name!r}: distances are of planes, spheres, capsules, cylinders, boxes and meshes only"
        )
    size = torch.from_numpy(m.geom_size[geom].copy()).to(pos)
    return Primitive(lambda points: _FUNCTIONS[kind](size.to(points), points), pos, mat)


def vertices_of(m: mujoco.MjModel, mesh: int) -> NDArray[np.float64]:
    """(V, 3) of a mesh, in the frame of its geoms [m]."""
    first = int(m.mesh_vertadr[mesh])
    return m.mesh_vert[first : first + int(m.mesh_vertnum[mesh])].astype(float)


def _hull(m: mujoco.MjModel, mesh: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Distance and normal of what a mesh collides with."""
    # Its libraries are an extra's.
    from ..grasp.object_mesh import ObjectMesh
    from ..grasp.trimesh_extra import trimesh

    convex = trimesh().Trimesh(vertices_of(m, mesh), process=False).convex_hull
    hull = ObjectMesh.from_trimesh(convex, name=m.mesh(mesh).name)

    def distance_and_normal(points: Tensor) -> tuple[Tensor, Tensor]:
        distance, normal = hull.signed_distance(points)
        return distance.to(points), normal.to(points)

    return distance_and_normal


def _distance_and_normal(one: Primitive, points: Tensor) -> tuple[Tensor, Tensor]:
    distance, normal = one.distance_and_normal(apply_inverse(one.mat.to(points), points - one.pos.to(points)))
    return distance, apply(one.mat.to(points), normal)


def _from_axis(offset: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Of all points at `radius` from where `offset` (..., 3) is measured."""
    norm = (offset.square().sum(-1) + 1e-16).sqrt()
    return norm - radius, offset / norm[..., None]


def _plane(_: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    up = torch.zeros_like(p)
    up[..., 2] = 1.0
    return p[..., 2], up


def _sphere(size: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    return _from_axis(p, size[0])


def _capsule(size: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    z = p[..., 2] - torch.minimum(torch.maximum(p[..., 2], -size[1]), size[1])
    return _from_axis(torch.stack([p[..., 0], p[..., 1], z], dim=-1), size[0])


def _rounded(q: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to first order and normal of the set q < 1, for q (...) and its gradient (..., 3)."""
    norm = (gradient.square().sum(-1) + 1e-16).sqrt()
    return (q - 1.0) / norm, gradient / norm[..., None]


def _box(size: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    ratio = p / size
    largest = (ratio.abs().max(-1, keepdim=True).values + 1e-9).detach()
    scaled = ratio / largest  # whose powers neither overflow nor vanish
    power = scaled.pow(_ROUND).sum(-1) + 1e-12
    q = largest.squeeze(-1) * power.pow(1.0 / _ROUND)
    return _rounded(q, scaled.pow(_ROUND - 1) / size * power.pow(1.0 / _ROUND - 1.0)[..., None])


def _cylinder(size: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    radial = (p[..., :2].square().sum(-1) + 1e-16).sqrt()
    ratio = torch.stack([radial / size[0], p[..., 2].abs() / size[1]], dim=-1) + 1e-9
    largest = ratio.max(-1, keepdim=True).values.detach()
    scaled = ratio / largest
    power = scaled.pow(_ROUND).sum(-1)
    q = largest.squeeze(-1) * power.pow(1.0 / _ROUND)
    by_ratio = scaled.pow(_ROUND - 1) * power.pow(1.0 / _ROUND - 1.0)[..., None]
    sideways = by_ratio[..., :1] / size[0] * p[..., :2] / radial[..., None]
    return _rounded(q, torch.cat([sideways, by_ratio[..., 1:] / size[1] * p[..., 2:].sign()], dim=-1))


_FUNCTIONS = {
    int(mujoco.mjtGeom.mjGEOM_PLANE): _plane,
    int(mujoco.mjtGeom.mjGEOM_SPHERE): _sphere,
    int(mujoco.mjtGeom.mjGEOM_CAPSULE): _capsule,
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): _cylinder,
    int(mujoco.mjtGeom.mjGEOM_BOX): _box,
}

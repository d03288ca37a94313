"""The surface of a hand: well-spread samples, candidates of contact, and hulls of its links.

Liu et al., "Deep Differentiable Grasp Planner for High-DOF Grippers", V: 45 potential grasp points and 15,555 points
by Poisson-disk sampling on the hand's meshes; here both come from the geoms that collide.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, KDTree

from ...sim.cache import cache_folder
from .trimesh_extra import trimesh

_SAMPLES, _CANDIDATES = 15_000, 45
FIRST = 1_000  # samples of which each is the guide of those near it
_DRAWN = 3  # times as many points are drawn, of which those that are spread best stay
_FACING = 0.5  # least cosine between a candidate's normal and the way to the middle of the grasp
_HIDDEN = 1e-4  # points so deep in another geom of their link are no surface [m]
_VERSION = 1  # of what is cached: to be raised with any change of the samples


class Hull(NamedTuple):
    """A convex link, {x: normals @ x + offsets <= 0} in the frame of its body."""

    body: int
    normals: NDArray[np.float64]  # (K, 3) unit
    offsets: NDArray[np.float64]  # (K,) [m]
    center: NDArray[np.float64]  # (3,) of a ball around it
    radius: float  # [m]

    def depth(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """How deep points (..., 3) are inside, (...) [m], negative outside."""
        return -(points @ self.normals.T + self.offsets).max(axis=-1)


class Surface(NamedTuple):
    """Points on a hand, fixed in its bodies; the first k samples are spread evenly, for any k."""

    body: NDArray[np.int64]  # (P,) of each sample
    position: NDArray[np.float64]  # (P, 3) in the body's frame [m]
    normal: NDArray[np.float64]  # (P, 3) outward
    geom: NDArray[np.int64]  # (P,) on which it lies
    candidates: NDArray[np.int64]  # (45,) numbers of the samples that may hold an object
    center: NDArray[np.float64]  # (3,) the middle of the grasp in the root's frame, for joints half closed [m]
    approach: NDArray[np.float64]  # (3,) the way from the palm to the middle, in the root's frame
    reach: float  # from the palm's surface to the middle, along it [m]
    hulls: tuple[Hull, ...]  # of each link that collides
    guide: NDArray[np.int64]  # (P,) of each sample the nearest of the first 1,000 that its body has
    apart: NDArray[np.float64]  # (P,) from it [m], infinite where the body has none


def surface_of(m: mujoco.MjModel, qpos: NDArray[np.float64], contact_geoms: Sequence[str] | None) -> Surface:
    """The surface of a hand alone; `qpos` is half closed, for candidates face what the hand then surrounds."""
    colliding = [i for i in range(m.ngeom) if m.geom_contype[i] or m.geom_conaffinity[i]]
    meshes = {i: _geom_mesh(m, i) for i in colliding}
    hulls = {i: _hull(int(m.geom_bodyid[i]), np.asarray(meshes[i].vertices)) for i in colliding}
    chosen = _contact_geoms(m, colliding, contact_geoms)
    data = mujoco.MjData(m)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(m, data)
    digest = hashlib.sha256(repr((_VERSION, _SAMPLES, [meshes[i].vertices.tobytes() for i in colliding])).encode())
    digest.update(np.concatenate([m.geom_bodyid[colliding], data.xpos.ravel()]).astype(np.float32).tobytes())
    file = cache_folder("hands") / f"{digest.hexdigest()[:20]}.npz"
    try:
        with np.load(file) as stored:
            body, position, normal, geom = (stored[name] for name in ("body", "position", "normal", "geom"))
    except (OSError, ValueError, KeyError):
        body, position, normal, geom = _samples(m, data, meshes, hulls)
        partial = file.with_suffix(".part")
        with partial.open("wb") as writer:
            np.savez(writer, body=body, position=position, normal=normal, geom=geom)
        partial.replace(file)
    world, facing = _in_world(data, body, position), _turned(data, body, normal)
    center = _center(world, facing, np.isin(geom, chosen))
    way = center - world
    cosine = (facing * way).sum(-1) / np.linalg.norm(way, axis=-1)
    able = np.flatnonzero(np.isin(geom, chosen) & (cosine > _FACING))
    if len(able) < _CANDIDATES:
        raise ValueError(f"only {len(able)} points of the hand face what it surrounds: name more contact_geoms")
    candidates = able[_farthest_first(world[able], _CANDIDATES)]
    approach, reach = _approach(world, facing, center)
    bodies = sorted({int(m.geom_bodyid[i]) for i in colliding})
    links = (np.concatenate([meshes[i].vertices for i in colliding if m.geom_bodyid[i] == b]) for b in bodies)
    link_hulls = tuple(_hull(b, points) for b, points in zip(bodies, links, strict=True))
    guide, apart = _guides(body, position)
    return Surface(body, position, normal, geom, candidates, center, approach, reach, link_hulls, guide, apart)


def _guides(body: NDArray[np.int64], position: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """See `Surface`."""
    guide, apart = np.zeros(len(body), np.int64), np.full(len(body), np.inf)
    for b in np.unique(body[:FIRST]):
        own, first = np.flatnonzero(body == b), np.flatnonzero(body[:FIRST] == b)
        apart[own], nearest = KDTree(position[first]).query(position[own])
        guide[own] = first[nearest]
    return guide, apart


def _contact_geoms(m: mujoco.MjModel, colliding: list[int], names: Sequence[str] | None) -> list[int]:
    if names is None:
        return colliding
    known = {m.geom(i).name: i for i in colliding}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"contact_geoms: {unknown[0]!r} is no geom that collides; there are {', '.join(known)}")
    return [known[name] for name in names]


def _geom_mesh(m: mujoco.MjModel, i: int) -> Any:
    """A geom as a triangle mesh in its body's frame."""
    size, kind = m.geom_size[i], mujoco.mjtGeom(int(m.geom_type[i]))
    match kind:
        case mujoco.mjtGeom.mjGEOM_BOX:
            mesh = trimesh().creation.box(2.0 * size)
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            mesh = trimesh().creation.icosphere(3, size[0])
        case mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            mesh = trimesh().creation.icosphere(3, 1.0)
            mesh.vertices = mesh.vertices * size
        case mujoco.mjtGeom.mjGEOM_CAPSULE:
            mesh = trimesh().creation.capsule(2.0 * size[1], size[0], count=[12, 12])
            mesh.vertices -= mesh.bounds.mean(axis=0)
        case mujoco.mjtGeom.mjGEOM_CYLINDER:
            mesh = trimesh().creation.cylinder(size[0], 2.0 * size[1], sections=24)
        case mujoco.mjtGeom.mjGEOM_MESH:
            first, count = m.mesh_vertadr[m.geom_dataid[i]], m.mesh_vertnum[m.geom_dataid[i]]
            mesh = trimesh().convex.convex_hull(m.mesh_vert[first : first + count].astype(np.float64))
        case _:
            raise ValueError(f"geom {m.geom(i).name!r} of type {kind.name}: a hand's geoms are primitives or meshes")
    matrix = np.eye(4)
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, m.geom_quat[i])
    matrix[:3, :3], matrix[:3, 3] = rotation.reshape(3, 3), m.geom_pos[i]
    return mesh.apply_transform(matrix)


def _hull(body: int, points: NDArray[np.float64]) -> Hull:
    """Triangles of one face have one plane in it."""
    planes = np.unique(ConvexHull(points).equations.round(9), axis=0)
    center = 0.5 * (points.min(axis=0) + points.max(axis=0))
    radius = float(np.linalg.norm(points - center, axis=1).max())
    return Hull(body, planes[:, :3].copy(), planes[:, 3].copy(), center, radius)


def _samples(
    m: mujoco.MjModel, data: mujoco.MjData, meshes: dict[int, Any], hulls: dict[int, Hull]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Body, position, normal and geom of samples, farthest first."""
    area = sum(mesh.area for mesh in meshes.values())
    parts = []
    for i, mesh in meshes.items():
        count = int(np.ceil(_DRAWN * _SAMPLES * mesh.area / area))
        points, faces = trimesh().sample.sample_surface(mesh, count, seed=i)
        body = int(m.geom_bodyid[i])
        others = [hulls[j] for j in meshes if j != i and m.geom_bodyid[j] == body]
        bare = np.all([hull.depth(points) < _HIDDEN for hull in others], axis=0) if others else slice(None)
        points, normals = np.asarray(points)[bare], np.asarray(mesh.face_normals[faces])[bare]
        parts.append((np.full(len(points), body), points, normals, np.full(len(points), i)))
    body, position, normal, geom = (np.concatenate(x) for x in zip(*parts, strict=True))
    order = _farthest_first(_in_world(data, body, position), min(_SAMPLES, len(body)))
    return body[order], position[order], normal[order], geom[order]


def _farthest_first(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Numbers of points of which each is as far as can be from all before it."""
    order, distance = np.zeros(count, np.int64), np.full(len(points), np.inf)
    for k in range(1, count):
        np.minimum(distance, np.square(points - points[order[k - 1]]).sum(-1), out=distance)
        order[k] = distance.argmax()
    return order


def _in_world(data: mujoco.MjData, body: NDArray[np.int64], local: NDArray[np.float64]) -> NDArray[np.float64]:
    return _turned(data, body, local) + data.xpos[body]


def _turned(data: mujoco.MjData, body: NDArray[np.int64], local: NDArray[np.float64]) -> NDArray[np.float64]:
    return (data.xmat.reshape(-1, 3, 3)[body] @ local[..., None]).squeeze(-1)


def _center(world: NDArray[np.float64], normal: NDArray[np.float64], able: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The point that inward normals point to, in the least-squares sense, from where half of them look away."""
    center = world[able].mean(axis=0)
    for _ in range(20):
        way = center - world
        facing = able & ((normal * way).sum(-1) > 0.0)
        if not facing.any():
            break
        across = np.eye(3) - normal[facing, :, None] * normal[facing, None, :]
        center = np.linalg.lstsq(across.sum(0), (across @ world[facing, :, None]).sum(0), rcond=None)[0].squeeze(-1)
    return center


def _approach(
    world: NDArray[np.float64], normal: NDArray[np.float64], center: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """From the hand's surface as a whole to the middle of the grasp, and how far the surface behind it is."""
    approach = center - world.mean(axis=0)
    approach /= np.linalg.norm(approach)
    way = center - world
    height = way @ approach
    beside = np.linalg.norm(way - height[:, None] * approach, axis=1)
    below = (beside < 0.015) & (height > 0.0) & (normal @ approach > 0.5)
    return approach, float(np.median(height[below])) if below.any() else 0.0

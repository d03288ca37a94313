"""A closed triangle mesh to be grasped: signed distance with derivatives, mass properties, samples of its surface."""

from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .mesh_distance import closest, surface
from .mesh_features import Array, components, face_normals, numbered_edges
from .trimesh_extra import trimesh

SIZES = (0.001, 3.0)
"""Least and greatest long side of an object's bounding box [m]: outside, the file is thought to be in another unit."""
SHELL = 0.002
"""Mean thickness, 2 volume / area, over the bounding box's diagonal, below which a mesh is refused as a thin shell."""
CURVATURE = 1000.0  # greatest derivative of a normal, times the object's radius


class Closest(NamedTuple):
    """What of a mesh is closest to points (..., 3)."""

    distance: NDArray[np.float64]
    """(...) signed [m], positive outside."""
    point: NDArray[np.float64]
    """(..., 3) on the surface [m]."""
    normal: NDArray[np.float64]
    """(..., 3) unit gradient of the distance, outward."""
    face: NDArray[np.int64]
    """(...) of `ObjectMesh.faces`; of several, always the same one."""
    feature: NDArray[np.int64]
    """(...) inside face f: f, inside edge e: F + e, vertex v: F + E + v."""


class ObjectMesh:
    """One closed body, of uniform density, bounded by triangles. All lengths in metres, in the mesh's own frame.

    Vertices at the same place become one, faces with a repeated vertex and vertices without a face are left out, and
    a mesh that is inside out is turned.

    Args:
        vertices: (V, 3).
        faces: (F, 3) vertex numbers, all counter-clockwise as seen from the same side.
        name: what errors call it.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64, counter-clockwise from outside.
        volume: [m³].
        area: [m²].
        center_of_mass: (3,).
        radius: greatest distance of a vertex from the center of mass.

    Raises:
        ValueError: the arrays are no mesh, or it is not closed, without volume, a thin shell, several bodies, or too
            small or large to be in metres.
    """

    def __init__(self, vertices: ArrayLike, faces: ArrayLike, name: str = "mesh") -> None:
        self.name = name
        self.vertices, self.faces = _tidied(np.asarray(vertices, np.float64), np.asarray(faces), name)
        _check_size(self.vertices, name)
        edges, _ = numbered_edges(self.faces)
        _check_closed(self.vertices, self.faces, name)
        origin = self.vertices.mean(axis=0)
        corners = self.vertices[self.faces] - origin
        volumes = np.sum(corners[:, 0] * np.cross(corners[:, 1], corners[:, 2]), axis=1) / 6.0
        self.volume, self.area = float(volumes.sum()), float(face_normals(corners)[1].sum() / 2.0)
        if self.volume < 0.0:
            self.volume, volumes, self.faces = -self.volume, -volumes, np.ascontiguousarray(self.faces[:, ::-1])
        body = components(len(self.vertices), edges)[self.faces[:, 0]]
        _check_solid(self, np.bincount(body, volumes), name)
        weights = volumes[:, None] / (4.0 * self.volume)
        self.center_of_mass = origin + np.sum(weights * corners.sum(axis=1), axis=0)
        self.radius = float(np.linalg.norm(self.vertices - self.center_of_mass, axis=1).max())
        self._surface = surface(self.vertices, self.faces)

    @classmethod
    def load(cls, path: str | Path, scale: float = 1.0) -> Self:
        """Reads a file of a format of trimesh's (OBJ, STL, PLY, GLB, ...); `scale` is the file's unit in metres.

        ValueError if it is missing, no mesh, or no mesh of one closed body (see the class).
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path}: there is no such file, give the path of a mesh")
        try:
            scene = trimesh().load_scene(path, process=False)
        except Exception as error:  # every format has its own
            raise ValueError(f"{path}: cannot be read as a mesh ({str(error).splitlines()[0]})") from None
        if not scene.geometry:
            raise ValueError(f"{path}: holds no mesh")
        return cls.from_trimesh(scene.to_mesh(), scale, name=str(path))

    @classmethod
    def from_trimesh(cls, mesh: Any, scale: float = 1.0, name: str = "mesh") -> Self:
        """A `trimesh.Trimesh`, whose vertices at one place but of different texture or normal become one."""
        if not (np.isfinite(scale) and scale > 0.0):
            raise ValueError(f"{name}: scale={scale}: must be positive, the file's unit in metres")
        if not np.all(np.isfinite(mesh.vertices)):
            raise ValueError(f"{name}: some vertices are not finite numbers")
        mesh = mesh.copy()
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
        return cls(mesh.vertices * scale, mesh.faces, name)

    def closest(self, points: ArrayLike, start: NDArray[np.int64] | None = None) -> Closest:
        """The closest point of the surface to each of points (..., 3).

        `start` (...) are faces that may be near, -1 for none, as the `face` of an earlier answer to points near by;
        they make it faster and change nothing in it. ValueError if points are not finite or start does not fit.
        """
        p = np.ascontiguousarray(points, np.float64)
        if p.ndim < 1 or p.shape[-1] != 3:
            raise ValueError(f"points have shape {p.shape}: (..., 3) was expected")
        shape, p = p.shape[:-1], p.reshape(-1, 3)
        if not np.isfinite(p.sum()) and not np.all(np.isfinite(p)):
            raise ValueError("points: some are not finite numbers")
        n = len(p)
        if start is None:
            begin = np.full(n, -1)
        else:
            if start.shape != shape or start.dtype.kind != "i":
                raise ValueError(f"start is {start.dtype} of shape {start.shape}: integers {shape} were expected")
            begin = np.ascontiguousarray(start, np.int64).reshape(-1)
            if n and not -1 <= begin.min() <= begin.max() < len(self.faces):
                raise ValueError(f"start: faces are numbered from 0 to {len(self.faces) - 1}, and -1 means none")
        out, face, feature = np.empty((n, 7)), np.empty(n, np.int64), np.empty(n, np.int64)
        closest(self._surface, p, begin, out, face, feature)
        out = out.reshape(*shape, 7)
        return Closest(out[..., 0], out[..., 1:4], out[..., 4:], face.reshape(shape), feature.reshape(shape))

    def signed_distance(self, points: Tensor, start: NDArray[np.int64] | None = None) -> tuple[Tensor, Tensor]:
        """Signed distance (...) and normal (..., 3) at points (..., 3), float64 and differentiable.

        The distance [m] is positive outside, the normal n its gradient: outward, and a face's own normal on the
        surface. The derivative of n is that of the closest feature, with d the signed distance: of a face 0, of an
        edge along the unit vector e (I - n nᵀ - e eᵀ) / d, of a vertex (I - n nᵀ) / d. Liu et al., section IV.C, print
        n in equation 6 with the other sign, which contradicts their ∂d/∂p = n, and divide by |d|, which is wrong
        inside; their edge has n nᵀ (1 - |d|) for n nᵀ, so that the normal would not stay a unit vector. Central
        differences agree with what stands here. Toward an edge or vertex the derivative has no bound: it is computed
        with |d| no less than radius / 1000.

        Args:
            points: (..., 3) in the mesh's frame [m], of any float type.
            start: (...) faces where the search begins, see `closest`; overwritten with those found.

        Raises:
            ValueError: points or start do not fit, or points are not finite.
        """
        # A subclass's untyped `apply`
        return cast(tuple[Tensor, Tensor], _SignedDistance.apply(points.double(), self, start))

    def bend(self, feature: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """How the normal changes at features (...): unit vectors (..., 3) along edges, else 0; whether it does (...).

        It does not at faces, nor at edges and vertices whose faces are in one plane.
        """
        return self._surface.tangents[feature], np.asarray(self._surface.curved[feature])

    def sample(self, n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points (n, 3), uniform on the surface [m], and their faces' outward normals (n, 3)."""
        points, faces = trimesh().sample.sample_surface(self.to_trimesh(), n, seed=seed)
        return np.asarray(points), self._surface.normals[faces]

    def hull(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Vertices (H, 3) [m] and faces (G, 3), counter-clockwise from outside, of the convex hull."""
        hull = self.to_trimesh().convex_hull
        return np.array(hull.vertices), np.array(hull.faces)

    @property
    def inertia(self) -> NDArray[np.float64]:
        """(3, 3) about the center of mass, of density 1 [m⁵]; times mass / volume it is in kg m²."""
        return np.array(self.to_trimesh().moment_inertia)

    def to_trimesh(self) -> Any:
        """As a `trimesh.Trimesh` with the same numbering."""
        return trimesh().Trimesh(self.vertices, self.faces, process=False)


class _SignedDistance(torch.autograd.Function):
    """Both outputs are kept for the backward pass, so that it can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, mesh: ObjectMesh, start: NDArray[np.int64] | None) -> tuple[Tensor, Tensor]:
        found = mesh.closest(points.detach().cpu().numpy(), start)
        if start is not None:
            start[...] = found.face
        distance, normal = (torch.from_numpy(a.copy()).to(points.device) for a in found[0:3:2])
        if ctx.needs_input_grad[0]:
            tangent, curved = mesh.bend(found.feature)
            kept = (torch.from_numpy(a).to(points.device) for a in (tangent, curved))
            ctx.save_for_backward(distance, normal, *kept)
            ctx.least = mesh.radius / CURVATURE
        return distance, normal

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        by_distance, by_normal = grad_outputs
        d, n, e, curved = ctx.saved_tensors
        curvature = torch.where(curved, 1.0 / torch.where(d.abs() < ctx.least, ctx.least * torch.sign(d), d), 0.0)
        across = by_normal - n * (n * by_normal).sum(-1, keepdim=True) - e * (e * by_normal).sum(-1, keepdim=True)
        return by_distance[..., None] * n + curvature[..., None] * across, None, None


def _tidied(vertices: Array, faces: Array, name: str) -> tuple[Array, Array]:
    """Vertices and faces without duplicates, or a ValueError."""
    for what, array in (("vertices", vertices), ("faces", faces)):
        if array.ndim != 2 or array.shape[1] != 3:
            raise ValueError(f"{name}: {what} have shape {array.shape}: (n, 3) was expected, triangles only")
    if len(faces) == 0:
        raise ValueError(f"{name}: has no faces, only {len(vertices)} points")
    if faces.dtype.kind not in "iu":
        raise ValueError(f"{name}: faces are {faces.dtype}: integers were expected")
    if not 0 <= faces.min() <= faces.max() < len(vertices):
        raise ValueError(
            f"{name}: faces name vertices {faces.min()} to {faces.max()}, but there are {len(vertices)}, from 0"
        )
    if not np.all(np.isfinite(vertices)):
        raise ValueError(f"{name}: some vertices are not finite numbers")
    _, first, inverse = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    faces = first[inverse.reshape(-1)][faces]
    faces = faces[np.all(faces != np.roll(faces, 1, axis=1), axis=1)]
    if len(faces) == 0:
        raise ValueError(f"{name}: all faces have two corners at the same place")
    used, numbers = np.unique(faces, return_inverse=True)
    return vertices[used], numbers.reshape(-1, 3).astype(np.int64)


def _check_size(vertices: Array, name: str) -> None:
    size = float(np.ptp(vertices, axis=0).max())
    if not SIZES[0] <= size <= SIZES[1]:
        usual = (0.001, 0.01, 0.0254, 10.0, 100.0, 1000.0)
        scale = next((s for s in usual if 0.01 <= s * size <= 0.5), 0.1 / size if size > 0.0 else 1.0)
        raise ValueError(f"{name}: its long side is {size:.3g} m: lengths are metres, load it with scale={scale:.3g}")


def _check_closed(vertices: Array, faces: Array, name: str) -> None:
    """Every edge is run through as often from each of its ends."""
    tails, heads = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    count = len(vertices)
    there, back = np.sort(tails * count + heads), np.sort(heads * count + tails)
    if np.array_equal(there, back):
        return
    used = np.bincount(numbered_edges(faces)[1].ravel())
    odd = int(np.sum(used % 2))
    if odd:
        raise ValueError(f"{name}: is not watertight, {odd} of {len(used)} edges have one face only: close its holes")
    raise ValueError(f"{name}: neighbouring faces run opposite ways round: orient them alike (trimesh.repair)")


def _check_solid(mesh: ObjectMesh, volumes: Array, name: str) -> None:
    """One body with volume; connected surfaces of negative volume (...) are its cavities."""
    size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    if mesh.volume <= 1e-12 * size**3:
        raise ValueError(f"{name}: has no volume, it is a flat surface")
    thickness = 2.0 * mesh.volume / mesh.area
    if thickness < SHELL * size:
        raise ValueError(
            f"{name}: is a thin shell, {1e3 * thickness:.2g} mm thick on average for a size of {1e3 * size:.3g} mm:"
            " thicken its walls or take its hull"
        )
    bodies = int(np.sum(volumes > 1e-9 * mesh.volume))
    if bodies > 1:
        raise ValueError(f"{name}: holds {bodies} separate bodies: unite them or save each in a file of its own")

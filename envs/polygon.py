"""A polygon: the outline of an object in the plane, with its uniform mass and its convex pieces."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.validation import explain_validity

Floats = NDArray[np.float64]

FORMATS = (".npy", ".npz", ".csv", ".txt", ".json")
_FLAT = 1e-9  # of the sine of an angle: less is straight
_PUSHES, _ROUNDING = 30, 1e-9  # at most, out of a reflex corner; [m]


class Closest(NamedTuple):
    """Of points (..., 2) what of a boundary is nearest."""

    point: Floats  # (..., 2) [m]
    normal: Floats  # (..., 2) outward, of the facet; at a vertex of one of its two


@dataclass(frozen=True, eq=False)
class Polygon:
    """A simple polygon of F facets, the f-th from vertex f to vertex f + 1; body frame, origin at the centroid.

    Given in either direction and any frame: vertices are put counterclockwise and moved to the centroid, the first
    stays the first. A last vertex that repeats the first is left out.

    Args:
        vertices: (F, 2) [m].

    Raises:
        ValueError: fewer than three vertices, numbers that are not finite, no area, or facets that cross or touch.
    """

    vertices: Floats

    def __init__(self, vertices: ArrayLike) -> None:
        given = np.array(vertices, np.float64)
        if given.ndim != 2 or given.shape[1] != 2:
            raise ValueError(f"polygon: vertices have shape {given.shape}, expected (F, 2)")
        if len(given) > 1 and (given[0] == given[-1]).all():
            given = given[:-1]
        if len(given) < 3:
            raise ValueError(f"polygon: {len(given)} vertices, needs at least 3")
        if not np.isfinite(given).all():
            raise ValueError(f"polygon: vertex {int(np.argwhere(~np.isfinite(given))[0, 0])} is not finite")
        shape = shapely.Polygon(given)
        if not shape.is_valid or not shapely.LinearRing(given).is_simple:
            raise ValueError(f"polygon: facets cross or touch ({explain_validity(shape)}): give a simple polygon")
        if (np.linalg.norm(np.roll(given, -1, axis=0) - given, axis=1) == 0.0).any():
            raise ValueError("polygon: two neighbouring vertices are the same: leave one out")
        if shape.area <= _FLAT * shape.length**2:
            raise ValueError(f"polygon: area {shape.area:.3g} m^2 of perimeter {shape.length:.3g} m: it has no area")
        if not shape.exterior.is_ccw:
            given = np.roll(given[::-1], 1, axis=0)
        given -= np.array(shape.centroid.coords[0])
        given.flags.writeable = False
        object.__setattr__(self, "vertices", given)

    @cached_property
    def shape(self) -> shapely.Polygon:
        return shapely.Polygon(self.vertices)

    @property
    def area(self) -> float:
        """Of the whole polygon [m^2]."""
        return self.shape.area

    @property
    def radius(self) -> float:
        """Of the smallest circle about the centroid that it fits in [m]."""
        return float(np.linalg.norm(self.vertices, axis=1).max())

    @cached_property
    def inertia(self) -> float:
        """Per unit of mass, about the centroid, of uniform density [m^2]."""
        a, b = self.vertices, np.roll(self.vertices, -1, axis=0)
        # A triangle with a corner at the origin: its mass by (a² + a.b + b²) / 6; those that turn back count negative.
        twice = _cross(a, b)
        return float((twice * ((a + b) * a + b * b).sum(axis=1)).sum() / (6.0 * twice.sum()))

    @cached_property
    def pieces(self) -> list[Floats]:
        """Convex polygons (k, 2), counterclockwise, that cover it without overlap; their vertices are the polygon's.

        Triangles of the constrained Delaunay triangulation, joined over the longest edges first as long as they stay
        convex (Hertel and Mehlhorn 1983: at most four times the fewest pieces).
        """
        triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(self.shape))
        corners = [np.array(shapely.orient_polygons(t).exterior.coords)[:-1] for t in triangles]
        pieces = [[self._index(p) for p in c] for c in corners]
        for i, j in sorted(_shared(pieces), key=lambda edge: -np.linalg.norm(np.subtract(*self.vertices[[*edge]]))):
            (one,) = (p for p in pieces if _has(p, i, j))
            (other,) = (p for p in pieces if _has(p, j, i))
            joined = _from(one, j)[:-1] + _from(other, i)[:-1]
            if _is_convex(self.vertices[joined]):
                pieces = [p for p in pieces if p is not one and p is not other] + [joined]
        return [self.vertices[p] for p in pieces]

    def closest(self, points: ArrayLike) -> Closest:
        """The boundary's points nearest to `points` (..., 2) [m, body frame], inside or out, and the normals there."""
        p = np.asarray(points, np.float64)
        a, edge = self.vertices, np.roll(self.vertices, -1, axis=0) - self.vertices
        along = ((p[..., None, :] - a) * edge).sum(-1) / (edge * edge).sum(-1)
        on = a + along.clip(0.0, 1.0)[..., None] * edge  # (..., F, 2)
        nearest = np.square(p[..., None, :] - on).sum(-1).argmin(-1)
        outward = np.stack([edge[:, 1], -edge[:, 0]], axis=-1) / np.linalg.norm(edge, axis=-1, keepdims=True)
        return Closest(np.take_along_axis(on, nearest[..., None, None], axis=-2)[..., 0, :], outward[nearest])

    def towards(self, directions: ArrayLike) -> Closest:
        """The boundary's outermost points on rays (..., 2) from the centroid; where one meets none, the closest."""
        d = np.asarray(directions, np.float64)
        d = d / np.linalg.norm(d, axis=-1, keepdims=True)
        a, edge = self.vertices, np.roll(self.vertices, -1, axis=0) - self.vertices
        across = _cross(d[..., None, :], edge)
        with np.errstate(divide="ignore", invalid="ignore"):
            ahead, along = _cross(a, edge) / across, _cross(a, d[..., None, :]) / across
        ahead = np.where((along >= 0.0) & (along <= 1.0), ahead, -np.inf).max(-1)
        return self.closest(np.where(ahead > 0.0, ahead, self.radius)[..., None] * d)

    def clear(self, points: ArrayLike, distance: float) -> Floats:
        """Points (..., 2), those nearer to the polygon than a distance, or in it, moved out to there."""
        moved = np.array(points, np.float64)
        for _ in range(_PUSHES):
            point, normal = self.closest(moved)
            away = moved - point
            inside, length = (
                shapely.contains_xy(self.shape, moved[..., 0], moved[..., 1]),
                np.linalg.norm(away, axis=-1),
            )
            near = inside | (length < distance - _ROUNDING)
            if not near.any():
                break
            # Off a corner along the line from it, which from the boundary itself is none.
            straight = inside | (length < _ROUNDING)
            outward = np.where(straight[..., None], normal, away / np.maximum(length, _ROUNDING)[..., None])
            moved = np.where(near[..., None], point + distance * outward, moved)
        return moved

    @classmethod
    def load(cls, path: str | Path) -> "Polygon":
        """From a file of vertices (F, 2) [m]: .npy; .npz or .json with an entry "vertices"; .csv or .txt, one a line.

        JSON may also be the list itself; a text file's first line may be a heading.

        Raises:
            ValueError: the file is none of these, or its vertices are no simple polygon.
        """
        path = Path(path)
        if path.suffix not in FORMATS:
            raise ValueError(f"polygon file {path}: unknown ending, choose one of {', '.join(FORMATS)}")
        if not path.is_file():
            raise ValueError(f"polygon file {path}: no such file")
        try:
            vertices = _READERS[path.suffix](path)
            return cls(vertices)
        except (ValueError, TypeError, KeyError, OSError, BadZipFile) as error:
            reason = 'it has no entry "vertices"' if isinstance(error, KeyError) else str(error)
            raise ValueError(f"polygon file {path}: {reason}") from error

    def _index(self, point: Floats) -> int:
        return int(np.square(self.vertices - point).sum(axis=1).argmin())


def polygon_of(given: Polygon | ArrayLike | str | Path) -> Polygon:
    """A polygon from itself, from its vertices (F, 2) [m] or from a file of them."""
    if isinstance(given, Polygon):
        return given
    return Polygon.load(given) if isinstance(given, str | Path) else Polygon(given)


def placed(vertices: Floats, pose: ArrayLike) -> Floats:
    """Points (F, 2) of a body in the world, (..., F, 2), for poses (..., 3) [m, m, rad]."""
    x, y, angle = np.moveaxis(np.asarray(pose, np.float64), -1, 0)[..., None]
    cos, sin = np.cos(angle), np.sin(angle)
    px, py = vertices[..., 0], vertices[..., 1]
    return np.stack([x + cos * px - sin * py, y + sin * px + cos * py], axis=-1)


def _cross(a: Floats, b: Floats) -> Floats:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _is_convex(corners: Floats) -> bool:
    edge = np.roll(corners, -1, axis=0) - corners
    edge = edge / np.linalg.norm(edge, axis=1, keepdims=True)
    return bool((_cross(np.roll(edge, 1, axis=0), edge) >= -_FLAT).all())


def _shared(pieces: list[list[int]]) -> list[tuple[int, int]]:
    """Edges (i, j), i < j, between two pieces."""
    edges = {(p[k - 1], p[k]) for p in pieces for k in range(len(p))}
    return [(i, j) for i, j in edges if i < j and (j, i) in edges]


def _has(piece: list[int], i: int, j: int) -> bool:
    return i in piece and piece[(piece.index(i) + 1) % len(piece)] == j


def _from(piece: list[int], i: int) -> list[int]:
    """The same corners, beginning with vertex i."""
    k = piece.index(i)
    return piece[k:] + piece[:k]


def _read_text(path: Path) -> Any:
    delimiter = "," if path.suffix == ".csv" else None
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if lines and not all(map(_is_number, lines[0].split(delimiter))):
        lines = lines[1:]  # a heading
    return [[float(number) for number in line.split(delimiter)] for line in lines]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_json(path: Path) -> Any:
    content = json.loads(path.read_text())
    return content["vertices"] if isinstance(content, dict) else content


def _read_npz(path: Path) -> Any:
    with np.load(path) as content:
        return content["vertices"]


_READERS = {".npy": np.load, ".npz": _read_npz, ".json": _read_json, ".csv": _read_text, ".txt": _read_text}

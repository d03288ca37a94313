"""The distance to a mesh against all its triangles in turn, its sign against the winding number, its derivatives
against central differences; and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

trimesh: Any = pytest.importorskip("trimesh")

from gradgym.agents.grasp.object_mesh import ObjectMesh  # noqa: E402

Array = NDArray[Any]


def brute_distance(corners: Array, points: Array) -> Array:
    """Least distance to triangles (F, 3, 3) of points (n, 3): heights above, and clamped sides, of all of them."""
    best = np.full(len(points), np.inf)
    for t in corners:
        for k in range(3):
            a, side = t[k], t[(k + 1) % 3] - t[k]
            along = np.clip((points - a) @ side / (side @ side), 0.0, 1.0)
            best = np.minimum(best, np.linalg.norm(points - a - along[:, None] * side, axis=1))
        q, _ = np.linalg.qr((t[1:] - t[0]).T)
        if np.linalg.norm(np.cross(t[1] - t[0], t[2] - t[0])) > 1e-9 * np.sum((t[1:] - t[0]) ** 2):
            weights = np.linalg.lstsq((t[1:] - t[0]).T, (points - t[0]).T, rcond=None)[0]
            above = np.all(weights >= 0.0, axis=0) & (weights.sum(axis=0) <= 1.0)
            off = (points - t[0]) - ((points - t[0]) @ q) @ q.T
            best = np.where(above, np.minimum(best, np.linalg.norm(off, axis=1)), best)
    return best


def winding(corners: Array, points: Array) -> Array:
    """Winding numbers (n,), as sums of spherical excesses by the angles between the planes through p and the sides."""
    total = np.zeros(len(points))
    for t in corners:
        r = t - points[:, None]
        r /= np.linalg.norm(r, axis=2, keepdims=True)
        volume = np.sum(r[:, 0] * np.cross(r[:, 1], r[:, 2]), axis=1)
        excess = np.full(len(points), -np.pi)
        for k in range(3):
            here, one, two = r[:, k], r[:, (k + 1) % 3], r[:, (k + 2) % 3]
            u, v = np.cross(here, one), np.cross(here, two)
            excess += np.arctan2(np.linalg.norm(np.cross(u, v), axis=1), np.sum(u * v, axis=1))
        total += np.where(np.abs(volume) > 1e-14, np.sign(volume) * excess, 0.0)
    return total / (4.0 * np.pi)


def star() -> Any:
    """Not convex, with no plane of symmetry: a sphere with bumps."""
    t = trimesh.creation.icosphere(subdivisions=2, radius=0.04)
    v = np.array(t.vertices)
    v *= 1.0 + 0.45 * np.sin(70.0 * v[:, :1] + 1.0) * np.cos(60.0 * v[:, 1:2] - 40.0 * v[:, 2:])
    return trimesh.Trimesh(v, t.faces, process=False)


def wedge() -> Any:
    """A thin prism whose sharpest edges are of 12 degrees."""
    outline = np.array([[0.0, 0.0], [0.1, -0.01], [0.1, 0.01]])
    v = np.concatenate([np.c_[outline, np.zeros(3)], np.c_[outline, np.full(3, 0.05)]])
    f = [[0, 2, 1], [3, 4, 5], [0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4], [2, 0, 3], [2, 3, 5]]
    return trimesh.Trimesh(v, f, process=False)


def hollow() -> Any:
    inner = trimesh.creation.box((0.03, 0.03, 0.03))
    inner.invert()
    return trimesh.util.concatenate([trimesh.creation.box((0.06, 0.07, 0.08)), inner])


def slivers(offset: float) -> Any:
    """A wedge whose sharp edge, 0 to 3, has two more vertices in it that only one of its faces knows: two slivers."""
    t = wedge()
    v = np.concatenate([t.vertices, [[-offset, 0.0, 0.02], [-2.0 * offset, 0.0, 0.03]]])
    f = [list(g) for g in t.faces if set(g) != {2, 0, 3}]
    return trimesh.Trimesh(v, [*f, [2, 0, 6], [2, 6, 7], [2, 7, 3], [0, 3, 6], [6, 3, 7]], process=False)


def turned(t: Any) -> Any:
    """So that what was in one plane or line is so but for rounding."""
    turn = trimesh.transformations.random_rotation_matrix(np.array([0.1, 0.4, 0.7]))[:3, :3]
    return trimesh.Trimesh(t.vertices @ turn.T, t.faces, process=False)


def finned() -> Any:
    """A wedge from whose edge, 1 to 4, hangs a fin without thickness, two triangles back to back."""
    t = wedge()
    fin = [[0.15, -0.03, 0.03]]
    return trimesh.Trimesh([*t.vertices, *fin], [*t.faces, [1, 4, 6], [4, 1, 6]], process=False)


def needle() -> Any:
    """A cone to a far tip, its base a thousandth as wide."""
    a = np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False)
    ring = np.c_[np.cos(a), np.sin(a), np.zeros(12)] * 0.001
    v = np.concatenate([ring, [[0.0, 0.0, 0.0], [0.003, 0.0, 0.2]]])
    n = np.arange(12)
    f = np.concatenate([np.c_[n, (n + 1) % 12, n * 0 + 13], np.c_[(n + 1) % 12, n, n * 0 + 12]])
    return trimesh.Trimesh(v, f, process=False)


SHAPES: dict[str, Callable[[], Any]] = {
    "star": star,
    "wedge": wedge,
    "hollow": hollow,
    "needle": needle,
    "finned": finned,
    "exact slivers": lambda: slivers(0.0),
    "slivers of rounding": lambda: turned(slivers(0.0)),
    "slivers of 1e-13 m": lambda: slivers(1e-13),
    "slivers of 1e-8 m": lambda: slivers(1e-8),
}


def points_around(mesh: ObjectMesh, n: int, reach: float = 0.02) -> Array:
    """Near the surface, around the box, and off the vertices and edges in all directions."""
    rng = np.random.default_rng(5)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    on, _ = mesh.sample(n, seed=2)
    ends = mesh.vertices[mesh.faces[rng.integers(len(mesh.faces), size=n)]]
    share = rng.choice([0.0, 0.25, 0.5, 0.75], size=(n, 1))
    off = (1.0 - share) * ends[:, 0] + share * ends[:, 1]
    near = np.concatenate([on, off]) + rng.normal(size=(2 * n, 3)) * rng.choice([1e-5, 1e-3, reach], size=(2 * n, 1))
    return np.concatenate([near, rng.uniform(low - reach, high + reach, (n, 3))])


@pytest.mark.parametrize("shape", SHAPES)
def test_distance_is_that_to_the_nearest_of_all_triangles_and_the_sign_is_the_winding_number_s(shape: str) -> None:
    t = SHAPES[shape]()
    mesh = ObjectMesh.from_trimesh(t) if "sliver" not in shape else ObjectMesh(t.vertices, t.faces)
    points = points_around(mesh, 150)
    corners = mesh.vertices[mesh.faces]
    found = mesh.closest(points)
    expected = brute_distance(corners, points)
    np.testing.assert_allclose(np.abs(found.distance), expected, atol=2e-9 if shape.startswith("sliv") else 1e-14)
    clear = expected > 1e-7
    inside = winding(corners, points) > 0.5
    assert 10 < np.sum(inside[clear]) < np.sum(clear) - 10
    np.testing.assert_array_equal(found.distance[clear] < 0.0, inside[clear])
    np.testing.assert_allclose(np.linalg.norm(found.normal, axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(found.point + found.distance[:, None] * found.normal, points, atol=1e-9)


def test_agrees_with_libigl() -> None:
    igl: Any = pytest.importorskip("igl")
    for t in (star(), trimesh.creation.torus(0.04, 0.015, major_sections=40, minor_sections=20)):
        mesh = ObjectMesh.from_trimesh(t)
        points = points_around(mesh, 2000)
        kind = igl.SIGNED_DISTANCE_TYPE_PSEUDONORMAL
        distance, *_ = igl.signed_distance(points, mesh.vertices, mesh.faces, sign_type=kind)
        np.testing.assert_allclose(mesh.closest(points).distance, distance, atol=1e-14)


def test_start_changes_nothing() -> None:
    mesh = ObjectMesh.from_trimesh(trimesh.creation.box((0.06, 0.08, 0.1)).subdivide().subdivide())
    points = points_around(mesh, 1000)
    points[::3] = points[::3].round(2)  # ties
    cold = mesh.closest(points)
    rng = np.random.default_rng(0)
    for start in (cold.face, np.full(len(points), -1), rng.integers(-1, len(mesh.faces), len(points))):
        for one, two in zip(cold, mesh.closest(points, start), strict=True):
            np.testing.assert_array_equal(one, two)


def test_signed_distance_leaves_the_faces_in_start() -> None:
    mesh = ObjectMesh.from_trimesh(star())
    points = points_around(mesh, 20).reshape(4, 15, 3)
    start = np.full((4, 15), -1)
    distance, normal = mesh.signed_distance(torch.from_numpy(points).float(), start)
    assert distance.shape == (4, 15) and normal.shape == (4, 15, 3) and distance.dtype == normal.dtype == torch.float64
    np.testing.assert_array_equal(start, mesh.closest(points.astype(np.float32)).face)
    assert mesh.closest(np.zeros((0, 3))).distance.shape == (0,)


# At a cube of 0.1 m with a corner cut in: points, and what is closest to them.
def notched() -> ObjectMesh:
    outline = np.array([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]]) * 0.05
    low, high = np.c_[outline, np.zeros(6)], np.c_[outline, np.full(6, 0.1)]
    caps = [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]]
    f = [[c, b, a] for a, b, c in caps] + [[a + 6, b + 6, c + 6] for a, b, c in caps]
    for k in range(6):
        n = (k + 1) % 6
        f += [[k, n, n + 6], [k, n + 6, k + 6]]
    return ObjectMesh(np.concatenate([low, high]), f)


PLACES = {
    "face outside": ([0.04, -0.013, 0.06], 0),
    "face inside": ([0.03, 0.008, 0.06], 0),
    "edge outside": ([0.11, -0.012, 0.04], 1),
    "edge inside": ([0.041, 0.043, 0.05], 1),
    "edge close by": ([0.1002, -0.0003, 0.04], 1),
    "vertex outside": ([0.11, -0.012, 0.107], 2),
    "vertex close by": ([-0.0002, -0.0003, 0.1001], 2),
}


@pytest.mark.parametrize("place", PLACES)
def test_derivatives_are_central_differences(place: str) -> None:
    mesh = notched()
    at, kind = PLACES[place]
    x = torch.tensor(at, dtype=torch.float64)
    found = mesh.closest(x.numpy())
    edges = len(mesh.faces) * 3 // 2
    assert np.searchsorted([len(mesh.faces), len(mesh.faces) + edges], found.feature, side="right") == kind
    assert (found.distance < 0.0) == ("inside" in place)

    def both(p: Tensor) -> Tensor:
        distance, normal = mesh.signed_distance(p)
        return torch.cat([distance[None], normal])

    computed = torch.autograd.functional.jacobian(both, x)
    h = 1e-7
    steps = torch.eye(3, dtype=torch.float64) * h
    differences = torch.stack([(both(x + s) - both(x - s)) / (2.0 * h) for s in steps], dim=1)
    torch.testing.assert_close(computed, differences, rtol=1e-6, atol=1e-6)
    assert bool(computed[1:].abs().max() > 1.0) == (kind > 0)
    assert torch.autograd.gradgradcheck(lambda p: mesh.signed_distance(p)[0], x.requires_grad_(), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("shape", [star, wedge])
def test_derivatives_of_many_points(shape: Callable[[], Any]) -> None:
    """At some a step of the differences reaches another feature; everywhere else they agree."""
    mesh = ObjectMesh.from_trimesh(shape())
    points = points_around(mesh, 300)
    points = points[np.abs(mesh.closest(points).distance) > 5e-4]  # the differences are off by h² / d³
    h, same = 1e-7, np.ones(len(points), bool)
    feature = mesh.closest(points).feature
    weights = torch.randn(len(points), 4, dtype=torch.float64)

    def value(p: Tensor) -> Tensor:
        distance, normal = mesh.signed_distance(p)
        return weights[:, 0] * distance + (weights[:, 1:] * normal).sum(-1)

    x = torch.from_numpy(points).requires_grad_()
    (computed,) = torch.autograd.grad(value(x).sum(), x)
    differences = torch.zeros_like(computed)
    for k in range(3):
        step = h * np.eye(3)[k]
        for sign in (-1.0, 1.0):
            same &= mesh.closest(points + sign * step).feature == feature
            differences[:, k] += sign * value(torch.from_numpy(points + sign * step)) / (2.0 * h)
    assert same.mean() > 0.9
    torch.testing.assert_close(computed[same], differences[same], rtol=1e-5, atol=1e-4)


def test_derivative_and_normal_on_the_surface_are_finite() -> None:
    mesh = notched()
    on = np.concatenate(
        [mesh.vertices, mesh.vertices[mesh.faces].mean(axis=1), mesh.vertices[mesh.faces[:, :2]].mean(1)]
    )
    for points in (on, on + 1e-13, on - 1e-7):
        x = torch.from_numpy(points).requires_grad_()
        distance, normal = mesh.signed_distance(x)
        assert float(distance.detach().abs().max()) < 1e-6
        torch.testing.assert_close(normal.norm(dim=-1), torch.ones(len(x), dtype=torch.float64))
        for k in range(3):
            (grad,) = torch.autograd.grad(normal[:, k].sum(), x, retain_graph=True)
            assert float(grad.norm(dim=-1).max()) <= 1000.0 / mesh.radius + 1e-9
    corner = mesh.closest(np.array([0.1, 0.0, 0.1]) + 1e-14)
    assert corner.normal @ [1.0, -1.0, 1.0] >= 1.0


def test_an_edge_in_a_plane_does_not_bend_the_normal() -> None:
    """Where rounding puts a point above the diagonal of a side of a cube between the two triangles."""
    mesh = ObjectMesh.from_trimesh(turned(trimesh.creation.box((0.1, 0.1, 0.1)).subdivide()))
    turn = np.array(turned(trimesh.Trimesh(np.eye(3), [[0, 1, 2]], process=False)).vertices).T
    share = np.random.default_rng(0).uniform(-0.05, 0.05, 2000)
    at = np.concatenate([np.stack([share, s * share, np.full(2000, 0.06)], axis=1) for s in (-1.0, 1.0)]) @ turn.T
    x = torch.from_numpy(at).requires_grad_()
    normal = mesh.signed_distance(x)[1]
    (grad,) = torch.autograd.grad((normal @ torch.from_numpy(turn[:, :2])).sum(), x)
    assert np.any(mesh.closest(at).feature >= len(mesh.faces))
    assert torch.equal(grad, torch.zeros_like(grad))


def test_mass_properties_and_samples() -> None:
    t = star()
    t.apply_translation([0.3, -0.2, 0.1])
    mesh = ObjectMesh.from_trimesh(t)
    assert mesh.volume == pytest.approx(t.volume, rel=1e-9) and mesh.area == pytest.approx(t.area, rel=1e-9)
    np.testing.assert_allclose(mesh.center_of_mass, t.center_mass, atol=1e-10)
    assert mesh.radius == pytest.approx(np.linalg.norm(t.vertices - t.center_mass, axis=1).max())
    box = ObjectMesh.from_trimesh(trimesh.creation.box((1.0, 2.0, 3.0)), scale=0.1)
    np.testing.assert_allclose(box.inertia * 1e5 / 6.0, np.diag([13.0, 10.0, 5.0]) / 12.0, atol=1e-9)
    points, normals = mesh.sample(500, seed=3)
    np.testing.assert_allclose(mesh.closest(points).distance, 0.0, atol=1e-15)
    np.testing.assert_allclose(mesh.closest(points + 1e-6 * normals).distance, 1e-6, rtol=1e-3)
    np.testing.assert_array_equal(points, mesh.sample(500, seed=3)[0])
    assert not np.array_equal(points, mesh.sample(500, seed=4)[0])
    vertices, faces = mesh.hull()
    hull = ObjectMesh(vertices, faces)
    assert hull.volume > mesh.volume and np.all(hull.closest(points).distance < 1e-9)


def test_an_inside_out_mesh_is_turned() -> None:
    t = trimesh.creation.box((0.1, 0.1, 0.1))
    mesh = ObjectMesh(t.vertices, t.faces[:, ::-1])
    assert mesh.volume == pytest.approx(1e-3)
    assert float(mesh.closest([0.0, 0.0, 0.0]).distance) == pytest.approx(-0.05)


def test_vertices_of_one_place_become_one() -> None:
    t = trimesh.creation.box((0.1, 0.1, 0.1))
    mesh = ObjectMesh(t.vertices[t.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3))
    assert len(mesh.vertices) == 8 and float(mesh.closest([0.1, 0.1, 0.1]).distance) == pytest.approx(np.sqrt(0.0075))


def test_load_scales_every_format(tmp_path: Path) -> None:
    t = trimesh.creation.box((40.0, 50.0, 60.0))
    for ending in ("obj", "stl", "ply", "glb"):
        path = tmp_path / f"box.{ending}"
        t.export(path)
        assert ObjectMesh.load(path, scale=0.001).volume == pytest.approx(1.2e-4, rel=1e-5)


BOX = "".join(f"v {x} {y} {z}\n" for x in (0, 1) for y in (0, 1) for z in (0, 1))
REFUSED = {
    "hello.obj": ("hello\n", "holds no mesh"),
    "hello.xyzw": ("hello\n", "cannot be read as a mesh"),
    "points.obj": (BOX, "no faces"),
    "beyond.obj": (BOX + "f 1 2 99\n", "cannot be read as a mesh"),
    "nan.obj": ("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
    "open.obj": (BOX + "f 1 2 3\n", r"not watertight, 3 of 3 edges"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_files_are_refused_by_name(name: str, tmp_path: Path) -> None:
    text, message = REFUSED[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}: .*{message}") as error:
        ObjectMesh.load(tmp_path / name)
    assert "\n" not in str(error.value)


def moved(t: Any, by: float) -> Any:
    t.apply_translation([by, 0.0, 0.0])
    return t


def two() -> Any:
    return trimesh.util.concatenate([trimesh.creation.box((0.1, 0.1, 0.1)), moved(trimesh.creation.icosphere(), 3.0)])


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "two": (lambda: two().apply_scale(0.3), "holds 2 separate bodies"),
    "shell": (lambda: trimesh.creation.box((0.2, 0.2, 0.0004)), "thin shell, 0.4 mm"),
    "flat": (lambda: trimesh.creation.box((0.2, 0.2, 1e-17)), "no volume"),
    "large": (lambda: trimesh.creation.box((200.0, 90.0, 80.0)), "200 m.*scale=0.001"),
    "small": (lambda: trimesh.creation.box((2e-4, 1e-4, 1e-4)), "0.0002 m.*scale=100"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_objects_are_refused(name: str, tmp_path: Path) -> None:
    make, message = BAD[name]
    make().export(tmp_path / f"{name}.ply")
    with pytest.raises(ValueError, match=f"{name}.ply: .*{message}"):
        ObjectMesh.load(tmp_path / f"{name}.ply")


def test_bad_arrays_and_queries_are_refused(tmp_path: Path) -> None:
    t = trimesh.creation.box((0.1, 0.1, 0.1))
    mesh = ObjectMesh.from_trimesh(t)
    flipped = np.array(t.faces)
    flipped[0] = flipped[0, ::-1]
    for faces, message in (
        (t.faces + 1, "faces name vertices 1 to 8"),
        (t.faces - 1, "faces name vertices -1 to 6"),
        (t.faces[:0], "no faces"),
        (t.faces * 1.0, "integers"),
        (np.c_[t.faces, t.faces[:, 0]], "triangles only"),
        (flipped, "orient them alike"),
        (t.faces[:, [0, 0, 1]], "same place"),
    ):
        with pytest.raises(ValueError, match=message):
            ObjectMesh(t.vertices, faces)
    with pytest.raises(ValueError, match="not finite"):
        ObjectMesh(np.where(t.vertices > 0.0, np.inf, t.vertices), t.faces)
    with pytest.raises(ValueError, match="no such file"):
        ObjectMesh.load(tmp_path / "none.obj")
    with pytest.raises(ValueError, match="scale"):
        ObjectMesh.from_trimesh(t, scale=-1.0)
    queries: list[tuple[Array, Array | None, str]] = [
        (np.zeros((4, 2)), None, r"\(4, 2\)"),
        (np.full((4, 3), np.nan), None, "not finite"),
        (np.zeros((4, 3)), np.zeros(3, np.int64), "start"),
        (np.zeros((4, 3)), np.zeros(4), "start"),
        (np.zeros((4, 3)), np.full(4, 12), "0 to 11"),
    ]
    for points, start, message in queries:
        with pytest.raises(ValueError, match=message):
            mesh.closest(points, start)

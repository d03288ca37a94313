"""Depth views against closed forms, and the renderer against rays."""

import mujoco
import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gradgym.agents.grasp import depth_views
from gradgym.agents.grasp.depth_views import AXES, DISTANCE, HALF_WIDTH, cast_views, rendered_views, surface_points
from gradgym.agents.grasp.object_mesh import ObjectMesh
from gradgym.envs import opengl

Floats = NDArray[np.float64]
AWAY = (0.013, -0.02, 0.4)  # of the object's centre from the mesh's origin


def ball(radius: float) -> ObjectMesh:
    return ObjectMesh.from_trimesh(trimesh.creation.icosphere(5, radius).apply_translation(AWAY))


def box(sides: tuple[float, float, float]) -> ObjectMesh:
    return ObjectMesh.from_trimesh(trimesh.creation.box(sides).apply_translation(AWAY))


def lopsided() -> ObjectMesh:
    """Two boxes, the same from no two sides."""
    long, short = trimesh.creation.box((0.03, 0.04, 0.1)), trimesh.creation.box((0.05, 0.03, 0.02))
    short.apply_translation((0.03, 0.011, 0.02))
    return ObjectMesh.from_trimesh(trimesh.boolean.union([long, short], engine="manifold"))


def pixel_rays(size: int) -> tuple[Floats, Floats]:
    """Horizontal and vertical slope of each pixel's ray."""
    middle: Floats = np.linspace(-HALF_WIDTH, HALF_WIDTH, 2 * size + 1)[1::2]
    return np.tile(middle, (size, 1)), np.tile(-middle[:, None], (1, size))


def test_a_sphere_is_as_deep_as_the_quadratic_says() -> None:
    radius, size = 0.05, 48
    x, y = pixel_rays(size)
    a = 1.0 + x**2 + y**2  # |depth (x, y, -1) + (0, 0, D)|² = r²
    discriminant = DISTANCE**2 - a * (DISTANCE**2 - radius**2)
    expected = np.where(discriminant > 0.0, (DISTANCE - np.sqrt(discriminant.clip(0.0))) / a, 0.0)
    inside = discriminant > 0.02 * DISTANCE**2 * radius**2  # at the rim depth changes by much in a pixel
    found = cast_views(ball(radius), size)[0]
    for view in found:
        assert np.abs(view - expected)[inside].max() < 1e-4  # the sphere's facets
        assert np.all(view[discriminant < -1e-4] == 0.0)


def test_a_box_is_seen_from_the_sides_where_the_cameras_are() -> None:
    sides, size = (0.06, 0.08, 0.1), 48
    above, below, front = cast_views(box(sides), size)[0, :3]
    x, y = pixel_rays(size)
    for view, (width, height, depth) in ((above, (0, 1, 2)), (below, (0, 1, 2)), (front, (1, 2, 0))):
        face = DISTANCE - sides[depth] / 2
        hit = (np.abs(x * face) < sides[width] / 2) & (np.abs(y * face) < sides[height] / 2)
        np.testing.assert_allclose(view, np.where(hit, face, 0.0), atol=1e-6)


def test_points_of_pixels_lie_on_the_surface() -> None:
    mesh, turn = lopsided(), Rotation.from_euler("xyz", (0.4, -1.0, 2.0)).as_matrix()
    views = torch.from_numpy(cast_views(mesh, 48, turn[None]).astype(float))
    points = surface_points(views).numpy()
    assert points.shape == (1, 5, 3, 48, 48)
    seen = views.numpy()[0] > 0.0
    assert np.all(points[0].transpose(0, 2, 3, 1)[~seen] == 0.0)
    of_mesh = points[0].transpose(0, 2, 3, 1)[seen] @ turn + mesh.center_of_mass
    assert len(of_mesh) > 500
    assert np.abs(mesh.closest(of_mesh).distance).max() < 1e-6
    # Every side is seen: each direction's farthest seen point is nearly the mesh's.
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    gaps = (mesh.vertices @ directions.T).max(axis=0) - (of_mesh @ directions.T).max(axis=0)
    assert gaps.max() < 0.008


def test_turned_cameras_see_what_fixed_ones_see_of_a_turned_object() -> None:
    mesh, turn = lopsided(), Rotation.from_euler("xyz", (0.4, -1.0, 2.0)).as_matrix()
    turned = ObjectMesh((mesh.vertices - mesh.center_of_mass) @ turn.T, mesh.faces)
    ours, theirs = cast_views(mesh, 40, turn[None]), cast_views(turned, 40)
    same = (ours > 0.0) == (theirs > 0.0)
    assert same.mean() > 0.999 and np.abs(ours - theirs)[same].max() < 1e-5
    assert np.abs(ours - cast_views(mesh, 40)).max() > 0.1


def test_cameras_are_right_handed_and_look_at_the_middle() -> None:
    np.testing.assert_allclose(np.linalg.det(AXES), 1.0)
    np.testing.assert_allclose(AXES @ AXES.transpose(0, 2, 1), np.tile(np.eye(3), (5, 1, 1)), atol=1e-12)
    assert np.linalg.norm(AXES[:, :, 2].sum(axis=0)) < 1e-12  # spread evenly


def test_renderer_and_rays_agree() -> None:
    mesh, turns = lopsided(), Rotation.from_rotvec([[0.0, 0.0, 0.0], [1.0, 0.5, -2.0]]).as_matrix()
    try:
        drawn = rendered_views(mesh, 64, turns)
    except opengl.MISSING as error:
        pytest.skip(f"no OpenGL: {error}")
    cast = cast_views(mesh, 64, turns)
    same = (drawn > 0.0) == (cast > 0.0)
    assert drawn.shape == (2, 5, 64, 64) and (cast > 0.0).sum() > 1000
    assert same.mean() > 0.998
    # But where a ray passes an inner edge, both mean the same point.
    assert np.quantile(np.abs(drawn - cast)[same], 0.998) < 1e-5


def test_without_opengl_rays_are_cast(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise mujoco.FatalError("gladLoadGL error")

    mesh = lopsided()
    expected = cast_views(mesh, 16)
    monkeypatch.setattr(mujoco, "Renderer", broken)
    np.testing.assert_array_equal(depth_views.depth_views(mesh, 16), expected)


def test_what_the_cameras_would_cut_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^mesh: of radius 0.15 m, but the cameras see 0.14 m: scale it$"):
        depth_views.depth_views(ball(0.15), 16)
    with pytest.raises(ValueError, match="size=4"):
        depth_views.depth_views(ball(0.05), 4)
    assert not cast_views(ball(depth_views.SEEN - 1e-3), 16)[0, :, 0, 0].any()

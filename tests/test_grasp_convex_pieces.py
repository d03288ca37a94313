"""Convex pieces: they cover the solid and little else, are kept, and are the hull where there is no choice."""

import sys
from pathlib import Path

import coacd
import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from gradgym.agents.grasp import convex_pieces as pieces_module
from gradgym.agents.grasp.convex_pieces import convex_pieces

SPHERE = trimesh.creation.icosphere(3, 0.035)


def bracket() -> trimesh.Trimesh:
    parts = [trimesh.creation.box((0.08, 0.03, 0.02)), trimesh.creation.box((0.02, 0.03, 0.08))]
    parts[1].apply_translation((0.03, 0.0, 0.03))
    return trimesh.boolean.union(parts, engine="manifold")


def test_pieces_cover_a_bracket_and_little_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pieces_module, "cache_folder", lambda subject: tmp_path)
    mesh = bracket()
    pieces = convex_pieces(np.array(mesh.vertices), np.array(mesh.faces))
    assert len(pieces) >= 2
    rng = np.random.default_rng(0)
    points = rng.uniform(*mesh.bounds, size=(4000, 3))
    inside = (np.abs(points) < (0.04, 0.015, 0.01)).all(axis=1)
    inside |= (np.abs(points - (0.03, 0.0, 0.03)) < (0.01, 0.015, 0.04)).all(axis=1)
    hulls = [ConvexHull(p).equations for p in pieces]
    covered = np.any([(points @ e[:, :3].T + e[:, 3] < 1e-5).all(axis=1) for e in hulls], axis=0)
    assert (inside & ~covered).sum() <= 0.005 * inside.sum()
    assert (covered & ~inside).sum() <= 0.05 * inside.sum()

    def again(*args: object, **kwargs: object) -> None:
        raise AssertionError("it was kept")

    monkeypatch.setattr(coacd, "run_coacd", again)
    kept = convex_pieces(np.array(mesh.vertices), np.array(mesh.faces))
    assert all(np.array_equal(a, b) for a, b in zip(pieces, kept, strict=True))
    with pytest.raises(AssertionError, match="it was kept"):  # another mesh is not
        convex_pieces(1.01 * np.array(mesh.vertices), np.array(mesh.faces))


def test_convex_is_one_piece_and_so_is_all_without_coacd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pieces_module, "cache_folder", lambda subject: tmp_path)
    monkeypatch.setitem(sys.modules, "coacd", None)
    assert len(convex_pieces(np.array(SPHERE.vertices), np.array(SPHERE.faces))) == 1
    mesh = bracket()
    with pytest.warns(UserWarning, match="coacd is not installed, the object collides as its convex hull"):
        (piece,) = convex_pieces(np.array(mesh.vertices), np.array(mesh.faces))
    assert ConvexHull(piece).volume == pytest.approx(mesh.convex_hull.volume)
    with pytest.raises(ValueError, match="lies in a plane"):
        convex_pieces(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.0]]), np.array([[0, 1, 2], [2, 1, 3]]))

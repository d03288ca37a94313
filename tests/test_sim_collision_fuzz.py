"""Convex pairs in thousands of poses against MuJoCo and against the motion that separates them.

A small part of `benchmarks/collision_fuzz.py`, and the poses in which it once found a fault.
"""

import mujoco
import numpy as np
import pytest
from collision import rotation
from collision_fuzz import SOUND, Fuzz, Pose, separation, table

from gradgym.sim.collision.contacts import collide, contact_motion

# pair of shapes, quaternions of both, place of the second
CASES = [
    # rounding in thin triangles led the expanding polytope astray: no contact, or a foreign normal
    (("brick", "disc"), (-0.1, 0.8, -1.8, 1.9), (0.6, 0.4, 0.1, -0.3), (0.01, 0.01, -0.07)),
    # a cap on a corner: contacts of the cylinder's side line and a face that the corner belongs to
    (("coin", "box"), (1, 0, 0, 0), (1, -0.4, 0.4, -0.8), (0.01, 0.05, 0.07)),
    (("coin", "box"), (1.2, -0.9, -1, -1), (0.2, -0.6, -0.9, 0.4), (0.05, 0.06, 0.03)),
    (("cylinder", "coin"), (-0.2, 0.7, 1.4, -0.7), (-1.3, -0.6, 1.3, 1.5), (0.1, 0.06, 0.09)),
    (("coin", "disc"), (1, 0, 0, 0), (0.2, 0.4, -1.3, -0.5), (0.05, -0.04, -0.02)),
    (("cylinder", "brick"), (-0.9, -0.4, 0.7, 1.5), (-1.7, 0.1, -0.5, 0.3), (0.07, -0.08, -0.13)),
    # side by side, one end of the coin taken for what touches: a normal right to 2e-4 only
    (("cylinder", "coin"), (1, 0, 0, 0), (1, 0, 0, 0.5), (0.08, -0.04, 0)),
    (("cylinder", "coin"), (1, 0, 0, 0), (0.8, 0, 0, 0.3), (-0.09, -0.01, 0)),
]
PAIRS = [
    *[("cylinder", "cylinder"), ("cylinder", "coin"), ("coin", "coin"), ("capsule", "cylinder"), ("cylinder", "box")],
    *[("coin", "box"), ("coin", "disc"), ("cylinder", "prism"), ("ellipsoid", "cylinder"), ("ellipsoid", "box")],
    *[("capsule", "disc"), ("brick", "disc"), ("prism", "disc"), ("brick", "prism"), ("plate", "plate")],
    *[("stone", "stone"), ("box", "stone"), ("dome", "dome"), ("sphere", "prism"), ("box", "dome")],
]


def _matrix(quat: tuple[float, ...]) -> np.ndarray:
    mat, q = np.zeros(9), np.array(quat, float)
    mujoco.mju_quat2Mat(mat, q / np.linalg.norm(q))
    return mat.reshape(3, 3)


@pytest.fixture(scope="module")
def named() -> tuple[Fuzz, list[Pose]]:
    fuzz = Fuzz([pair for pair, *_ in CASES])
    poses = [Pose(np.array([np.zeros(3), pos]), np.array([_matrix(a), _matrix(b)])) for _, a, b, pos in CASES]
    return fuzz, poses


@pytest.mark.parametrize("k", range(len(CASES)))
def test_named_poses_equal_mujoco(named: tuple[Fuzz, list[Pose]], k: int) -> None:
    fuzz, poses = named
    fuzz.move(poses)
    ours, theirs, near = fuzz.contacts()[k], fuzz.mujocos()[k], fuzz.nearest(k)
    assert len(ours.dist) == len(theirs.dist) == 1
    np.testing.assert_allclose(ours.dist, theirs.dist, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.normal, theirs.normal, rtol=0, atol=1e-5)  # MuJoCo's is right to 1e-6
    assert near is not None
    np.testing.assert_allclose(separation(fuzz.shapes[k], poses[k], near.normal), -near.dist, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", range(len(CASES)))
def test_rates_of_distance_and_normal_equal_differences(named: tuple[Fuzz, list[Pose]], k: int) -> None:
    fuzz, poses = named
    fuzz.move(poses)
    m, d, h, g = fuzz.model, fuzz.ours, 1e-6, fuzz.geoms[k][1]

    def found() -> np.ndarray:
        collide(m, d)
        c = np.flatnonzero(d.con_pair[: d.ncon[0]] == fuzz.row[k])[0]
        contact_motion(m, d, c)
        return np.concatenate([[d.con_dist[c]], d.con_frame[c, :3]])

    centre, point = found(), fuzz.contacts()[k].pos[0]
    exact, numeric, smooth = d.con_motion[[0, 4, 5, 6]], np.zeros((4, 6)), np.zeros(6, bool)
    for i in range(6):
        ends = []
        for step in (h, -h):
            turn = rotation(step * np.eye(3)[i]) if i < 3 else np.eye(3)
            d.geom_xpos[g] = point + turn @ (poses[k].pos[1] - point) + (step * np.eye(3)[i - 3] if i >= 3 else 0.0)
            d.geom_xmat[g] = (turn @ poses[k].mat[1]).ravel()
            ends.append(found())
        numeric[:, i] = (ends[0] - ends[1]) / (2 * h)
        smooth[i] = np.abs(ends[0] + ends[1] - 2 * centre).max() < 1e-3 * h  # no other feature takes over
    assert smooth.sum() >= 4
    np.testing.assert_allclose(exact[:, smooth], numeric[:, smooth], rtol=0, atol=1e-7)


@pytest.mark.parametrize("margin", [0.0, 0.02])
def test_random_poses_separate_by_their_depth(margin: float) -> None:
    rows = table(PAIRS, 60, 3, margin)
    for pair, row in rows.items():
        assert row.touching >= 10, pair
        assert row.mismatch <= SOUND, pair
        assert row.unsound == row.deeper == 0, pair
        # where features lie flat on each other rounding chooses, most often at round edges
        assert row.counts <= (2 if {"cylinder", "coin"} & set(pair) else 0), pair

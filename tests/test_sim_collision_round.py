"""Planes, spheres, capsules, cylinders where their contacts switch: MuJoCo's contacts, and how they move.

Parallel and crossing capsules, centres that coincide, points on axes, faces, edges and corners; pairs
that cannot move.
"""

import itertools
from functools import partial

import mujoco
import numpy as np
import pytest
from collision import Pair, assert_equal_contacts, assert_exact_motion, random_rotation, rotation
from contact_scenes import CONES, tight
from derivatives import assert_constrained_step
from numpy.typing import NDArray

from gradgym import sim

Floats = NDArray[np.float64]
BALLS = [("sphere", "sphere"), ("sphere", "capsule"), ("sphere", "cylinder"), ("capsule", "capsule")]
QUARTERS = [np.eye(3), rotation(np.array([0, np.pi / 2, 0])).round(), rotation(np.array([0, np.pi, 0])).round()]
TURNED = rotation(np.array([0.3, 0.5, -0.2]))


def capsules(sizes: tuple[list[float], list[float]], margin: float = 0.0, gap: float = 0.0) -> Pair:
    """Two capsules of (radius, half length)."""
    return Pair(("capsule", "capsule"), (np.array(sizes[0]), np.array(sizes[1])), margin, gap)


def put(pair: Pair, frame: Floats, offset: Floats, turn: Floats) -> None:
    """The first geom in a frame, the second at an offset from it, turned against it."""
    centre = np.array([0.7, -0.4, 0.2])
    pair.move(np.array([centre, centre + frame @ offset]), np.array([frame, frame @ turn]))


@pytest.mark.parametrize(("margin", "gap"), [(0.0, 0.0), (0.03, 0.01)])
def test_parallel_capsules_touch_as_mujocos(margin: float, gap: float) -> None:
    """Side by side, one beside a part of the other, end to end, one way round or the other; some lean a little."""
    rng, counts = np.random.default_rng(0), np.zeros(3, int)
    for _ in range(20):
        lengths = rng.uniform(0.02, 0.15, 2)
        pair = capsules(([0.05, lengths[0]], [0.04, lengths[1]]), margin, gap)
        for lean in (0.0, 1e-9, 3e-5, 0.99e-4, 1.01e-4, 3e-4, 1e-2):
            for along in (0.0, abs(lengths[0] - lengths[1]), lengths.sum(), *rng.uniform(-1.4, 1.4, 4) * lengths.sum()):
                flip = rotation(np.array([np.pi, 0, 0])) if rng.random() < 0.5 else np.eye(3)
                turn = rotation(lean * np.array([np.cos(along), np.sin(along), 0])) @ flip
                offset = np.array(
                    [rng.uniform(0.03, 0.11) + rng.choice([0.0, margin + gap]), lean * rng.normal() * 0.1, along]
                )
                put(pair, random_rotation(rng) if rng.random() < 0.8 else np.eye(3), offset, turn)
                ours, theirs = pair.contacts(), pair.mujocos()
                counts[len(ours.dist)] += 1
                assert len(ours.dist) == len(theirs.dist)
                for mine, other in zip(ours, theirs, strict=True):
                    # MuJoCo's own place is accurate to 1e-16 / sine^2
                    np.testing.assert_allclose(mine, other, rtol=0, atol=1e-10 if lean > 1e-3 or lean < 1e-4 else 2e-8)
    assert counts.min() >= 80


@pytest.mark.parametrize("lengths", [(1e-9, 0.1), (0.1, 1e-9), (1e-9, 1e-9), (0.0, 0.1), (0.1, 0.0), (0.0, 0.0)])
def test_capsules_without_length_touch_as_mujocos(lengths: tuple[float, float]) -> None:
    """MuJoCo's compiler wants a length, a model changed later need not have one."""
    pair, rng = capsules(([0.05, 1.0], [0.04, 1.0])), np.random.default_rng(0)
    pair.mj_model.geom_size[:, 1] = lengths
    size = np.array(pair.model.geom_size)
    size[:, 1] = lengths
    pair.model = pair.model.replace(geom_size=size)
    for turn in (*QUARTERS, TURNED):
        for _ in range(20):
            put(pair, random_rotation(rng), np.append(rng.uniform(-0.05, 0.05, 2), rng.uniform(-0.15, 0.15)), turn)
            for c in range(assert_equal_contacts(pair)):
                assert np.isfinite(pair.motion(c)).all()


@pytest.mark.parametrize("kinds", [*BALLS, ("plane", "capsule"), ("sphere", "box"), ("capsule", "box")], ids="-".join)
def test_points_on_axes_faces_edges_and_corners_touch_as_mujocos(kinds: tuple[str, str]) -> None:
    """The centre of one exactly at such a point of the other, aligned and not: the frames too."""
    for sizes in ((0.1, 0.25, 0.3), (0.1, 0.25, 0.3)), ((0.03, 0.06, 0.09), (0.25, 0.6, 0.8)):
        pair = Pair(kinds, (np.array(sizes[0]), np.array(sizes[1])), margin=0.01)
        for corner in itertools.product((-1.0, 0.0, 1.0), repeat=3):
            for which, fraction, turn in itertools.product((0, 1), (0.5, 1.0), (*QUARTERS, TURNED)):
                if kinds[1 - which] == "plane":
                    continue
                if kinds[1] in ("box", "cylinder") and turn is TURNED and any(corner[:2]):
                    continue  # rounding says which of two faces is nearest to a point of their edge
                size, kind = sizes[which], kinds[which]
                reach = {
                    "box": size,
                    "sphere": (size[0],) * 3,
                    "plane": size,
                }.get(kind, (size[0], size[0], size[1]))
                offset = fraction * np.array(corner) * reach
                offset = turn @ offset if which else -offset
                pair.move(np.array([np.zeros(3), -offset]), np.array([np.eye(3), turn]))
                for c in range(assert_equal_contacts(pair)):
                    assert np.isfinite(pair.motion(c)).all()


@pytest.mark.parametrize("lean", [0.0, 3e-5, 2e-4, 0.3])
def test_motion_of_parallel_and_crossing_capsules_equals_differences(lean: float) -> None:
    rng, compared = np.random.default_rng(1), np.zeros(2, int)
    for _ in range(4):
        l1, l2 = rng.uniform(0.05, 0.15, 2)
        pair = capsules(([0.05, l1], [0.04, l2]), margin=0.01)
        for _ in range(10):
            flip = rotation(np.array([np.pi, 0, 0])) if rng.random() < 0.5 else np.eye(3)
            turn = rotation(lean * rng.normal(size=3) * [1, 1, 0]) @ flip
            offset = np.array([rng.uniform(0.03, 0.09), 0, rng.uniform(-0.9, 0.9) * (l1 + l2)])
            put(pair, random_rotation(rng), offset, turn)
            compared += assert_exact_motion(pair)
    assert compared[0] >= 200
    assert compared[1] <= 0.1 * compared[0]


def coincident(kinds: tuple[str, str], along: Floats, turn: Floats) -> tuple[Pair, Floats]:
    """Two geoms whose cores meet at a point of theirs, and this point."""
    pair = Pair(kinds, (np.array([0.05, 0.1, 0]), np.array([0.03, 0.12, 0])), margin=0.0)
    frame = rotation(np.array([0.2, -0.4, 0.1]))
    point = np.array([0.05, -0.02, 0.03])
    lengths = [0.0 if kind == "sphere" else s for kind, s in zip(kinds, along, strict=True)]
    turns = np.array([frame, frame @ turn])
    pair.move(np.array([point - s * mat[:, 2] for s, mat in zip(lengths, turns, strict=True)]), turns)
    return pair, point


def only_contact(pair: Pair) -> Floats:
    """Distance, position and normal."""
    (dist,), (pos,), (frame,) = pair.contacts()
    return np.concatenate([[dist], pos, frame[:3]])


def second_moved(pair: Pair, point: Floats, xpos: Floats, xmat: Floats, turn: Floats, shift: Floats) -> Floats:
    """The contact when the second geom has turned about a point and shifted."""
    rot = rotation(turn)
    pair.move(np.array([xpos[0], point + rot @ (xpos[1] - point) + shift]), np.array([xmat[0], rot @ xmat[1]]))
    return only_contact(pair)


def cross_matrix(v: Floats) -> Floats:
    return np.cross(v, np.eye(3)).T


@pytest.mark.parametrize("kinds", BALLS, ids="-".join)
def test_motion_of_coincident_centres_equals_differences_where_there_are_any(kinds: tuple[str, str]) -> None:
    """Both ways where the centres stay together: turned about their point, slid along an axis.

    One way along the normal, of crossed capsules with any other motion besides.
    """
    rng = np.random.default_rng(2)
    for _ in range(5):
        pair, point = coincident(kinds, rng.uniform(-0.07, 0.07, 2), random_rotation(rng))
        assert assert_equal_contacts(pair) == 1
        xpos, xmat = pair.ours.geom_xpos.copy(), pair.ours.geom_xmat.reshape(2, 3, 3).copy()
        start, moved = only_contact(pair), partial(second_moved, pair, point, xpos, xmat)
        exact = pair.motion(0)
        assert np.isfinite(exact).all()
        exact[:, :3] += exact[:, 3:] @ cross_matrix(point - start[1:4])  # turns about the point
        slides = [mat[:, 2] for kind, mat in zip(kinds, xmat, strict=True) if kind != "sphere"]
        zero, normal, h = np.zeros(3), start[4:], 1e-6
        for turn, shift in [*((e, zero) for e in np.eye(3)), *((zero, axis) for axis in slides)]:
            found = (moved(h * turn, h * shift) - moved(-h * turn, -h * shift)) / (2 * h)
            np.testing.assert_allclose(
                exact @ np.concatenate([turn, shift]), found, rtol=0, atol=1e-8 * max(1, np.abs(found).max())
            )
        ways = [(zero, normal)]
        if len(slides) == 2:
            ways += [(e, 2 * normal) for e in np.eye(3)] + [(zero, e + 2 * normal) for e in np.eye(3)]
        for turn, shift in ways:
            found = (moved(h * turn, h * shift) - start) / h
            np.testing.assert_allclose(
                exact @ np.concatenate([turn, shift]), found, rtol=0, atol=1e-4 * max(1, np.abs(found).max())
            )


def test_centres_that_coincide_on_parallel_axes_stay_finite() -> None:
    for kinds in BALLS:
        pair, _ = coincident(kinds, np.array([0.01, 0.01]), np.eye(3))
        for c in range(assert_equal_contacts(pair)):
            np.testing.assert_array_equal(pair.contacts().frame[c, :3], [1, 0, 0])
            motion = pair.motion(c)
            assert np.isfinite(motion).all()
            assert np.abs(motion).max() <= 1.1
            assert motion[0, 3] > 0.5  # apart along the normal


# A free capsule parallel to one that rests, one that crosses another's axis and moves in their plane, and
# pairs between which nothing can move, listed and not.
SCENE = """
<mujoco>
  <option timestep="0.004"/>
  <default><geom condim="4" friction="0.8 0.02 0.003"/></default>
  <worldbody>
    <geom name="floor" type="plane" size="9 9 .1" pos="0 0 -.3"/>
    <geom type="capsule" size=".05 .1" pos="1 0 0" euler="0 90 0"/>
    <body pos="1.02 0.01 .08" euler="0 90 0"><freejoint/><geom type="capsule" size=".04 .09" mass="1"/></body>
    <geom type="capsule" size=".05 .1" euler="90 0 0"/>
    <body euler="0 90 0">
      <joint type="slide" axis="0 0 1"/><joint type="slide" axis="0 1 0"/><joint axis="1 0 0"/>
      <geom type="capsule" size=".03 .12" mass="1"/>
    </body>
    <body mocap="true" pos="3 0 -.3"><geom name="held" size=".1"/></body>
    <body mocap="true" pos="3.1 0 -.3"><geom name="held too" size=".1"/></body>
    <body pos="4 0 -.3"><geom name="fixed" size=".1"/>
      <body pos=".05 0 0"><geom name="fixed too" size=".1"/></body>
    </body>
    <body pos="5 0 -.25"><freejoint/>
      <geom name="one" size=".1"/><body pos="0 0 .01"><geom name="welded" size=".12"/></body>
    </body>
  </worldbody>
  <contact>{pairs}</contact>
</mujoco>"""
LISTED = [("floor", "fixed"), ("floor", "held"), ("fixed", "fixed too"), ("one", "welded")]


@pytest.mark.parametrize("listed", [False, True])
def test_contacts_of_what_cannot_move_are_mujocos(listed: bool) -> None:
    """Of no pair that is not listed; of a listed one without force, on the bodies too."""
    pairs = "".join(f'<pair geom1="{a}" geom2="{b}"/>' for a, b in LISTED if listed)
    mj_model = tight(mujoco.MjSpec.from_string(SCENE.format(pairs=pairs)), CONES["pyramidal"])
    model, d = sim.Model.from_mujoco(mj_model), mujoco.MjData(mj_model)
    mujoco.mj_forward(mj_model, d)
    mujoco.mj_rnePostConstraint(mj_model, d)
    ours = sim.forward(model, model.initial_state(), [])
    assert sorted(map(tuple, ours.contact.geom.tolist())) == sorted(map(tuple, d.contact.geom.tolist()))
    assert np.count_nonzero(d.contact.exclude) == len(LISTED) * listed
    order, mine = (np.lexsort(np.round(p, 8).T) for p in (d.contact.pos, ours.contact.pos))
    np.testing.assert_allclose(ours.contact.dist[mine], d.contact.dist[order], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.contact.pos[mine], d.contact.pos[order], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.qacc, d.qacc, rtol=0, atol=1e-6 * np.abs(d.qacc).max())
    np.testing.assert_allclose(ours.cfrc_ext, d.cfrc_ext, rtol=0, atol=1e-6 * np.abs(d.cfrc_ext).max())


@pytest.mark.parametrize("cone", CONES)
def test_derivatives_with_parallel_and_crossing_capsules_equal_differences(cone: str) -> None:
    mj_model = tight(mujoco.MjSpec.from_string(SCENE.format(pairs="")), CONES[cone])
    model, smooth, rng = sim.Model.from_mujoco(mj_model), 0, np.random.default_rng(3)
    for k in range(4):
        state = model.initial_state()
        state.qvel[:] = 0.3 * rng.normal(size=model.nv)
        smooth += assert_constrained_step(model, state, np.zeros(0), seed=k, directions=4)
    assert smooth >= 12

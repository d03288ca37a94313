"""Boxes, cylinders, ellipsoids where MuJoCo has closed forms: the same contacts, and how they move.

Single pairs are put into poses directly; piles run through whole steps.
"""

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
import pytest
from collision import Pair, assert_equal_contacts, assert_exact_motion, random_rotation, rotation
from contact_scenes import CONES, assert_equal_forward, tight, visited_states
from derivatives import assert_constrained_step
from kernels import all_kernels
from numpy.typing import NDArray

from gradgym import sim
from gradgym.sim.kernels.binding import source_of
from gradgym.sim.pipeline.entry_points import entry_points

Floats = NDArray[np.float64]
PAIRS = [
    ("plane", "box"),
    ("sphere", "box"),
    ("capsule", "box"),
    ("box", "box"),
    ("plane", "cylinder"),
    ("plane", "ellipsoid"),
    ("sphere", "cylinder"),
]
SCENES = ["anywhere", "aligned", "nearly aligned", "resting", "one much larger"]


def reach_of(kind: str, size: Floats, direction: Floats) -> float:
    """How far the geom extends along a direction of its own frame."""
    if kind == "plane":
        return 0.0
    if kind == "box":
        return float(np.abs(direction) @ size)
    if kind == "ellipsoid":
        return float(np.linalg.norm(direction * size))
    across, along = float(np.hypot(*direction[:2])), abs(float(direction[2]))
    return {
        "sphere": float(size[0]),
        "capsule": float(size[0] + along * size[1]),
        "cylinder": float(across * size[0] + along * size[1]),
    }[kind]


def orientations(kinds: tuple[str, str], scene: str, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Of both geoms; aligned: by quarter turns.

    Signs of vanishing components decide where a parallel capsule touches twice: there the axes are
    the world's, so that zeros are exact on both sides.
    """
    one = np.eye(3) if kinds == ("capsule", "box") and scene in ("aligned", "resting") else random_rotation(rng)
    if scene in ("anywhere", "one much larger"):
        return one, random_rotation(rng)
    quarter = np.eye(3)[:, rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)
    tilt = rng.normal(size=3) * 10.0 ** rng.uniform(-5, -1) * (scene == "nearly aligned")
    return one, one @ (quarter * np.linalg.det(quarter)) @ rotation(tilt)


def scenes(kinds: tuple[str, str], scene: str, models: int, poses: int, seed: int = 0) -> Iterator[Any]:
    """Pairs in random poses, from separate to deep inside each other."""
    rng = np.random.default_rng(seed)
    for k in range(models):
        sizes = rng.uniform(0.05, 0.3, 3), rng.uniform(0.05, 0.3, 3)
        if scene == "one much larger":
            sizes = (30.0 * sizes[0], sizes[1]) if k % 2 else (sizes[0], 30.0 * sizes[1])
        pair = Pair(kinds, sizes, margin=0.04 * (k % 2), gap=0.01 * (k % 4 // 2))
        for _ in range(poses):
            turns = orientations(kinds, scene, rng)
            direction = rng.normal(size=3)
            if scene != "anywhere":  # towards a face of either
                direction = np.eye(3)[rng.integers(3)] * rng.choice([-1.0, 1.0])
                direction = turns[rng.integers(2)] @ direction
            direction = turns[0][:, 2] if kinds[0] == "plane" else direction / np.linalg.norm(direction)
            extent = sum(
                reach_of(kind, size, turn.T @ direction) for kind, size, turn in zip(kinds, sizes, turns, strict=True)
            )
            depth = extent * rng.choice([0.02, 0.3]) * (rng.normal() - 0.7)
            if scene == "resting":
                depth = rng.normal(scale=1e-3)
            # level centres are ties where either side's rounding decides, but for faces that rest on each other
            level = scene in ("aligned", "resting") and kinds != ("sphere", "cylinder")
            aside = rng.choice([0.0, 0.1, 0.3] if level else [0.1, 0.3])
            aside = aside * rng.uniform(-1, 1, 3) * (scene != "anywhere")
            aside -= (aside @ direction) * direction
            centre = rng.normal(size=3)
            pair.move(np.array([centre, centre + (extent + depth) * direction + aside]), np.array(turns))
            yield pair


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_contacts_equal_mujocos(kinds: tuple[str, str], scene: str) -> None:
    touching = sum(assert_equal_contacts(pair) > 0 for pair in scenes(kinds, scene, models=6, poses=100))
    assert touching >= 200


@pytest.mark.parametrize("scene", ["anywhere", "nearly aligned"])
@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_motion_of_contacts_equals_differences(kinds: tuple[str, str], scene: str) -> None:
    compared = np.array([assert_exact_motion(pair) for pair in scenes(kinds, scene, models=6, poses=10, seed=1)])
    done, skipped = compared.sum(axis=0)
    assert done >= 150
    assert skipped <= (0.02 if scene == "anywhere" else 0.3) * done


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_coincident_and_flush_geoms_stay_finite(kinds: tuple[str, str]) -> None:
    """Equal centres, zero rotation, faces that lie in each other, centres on edges and corners."""
    size = np.array([0.1, 0.2, 0.3])
    for sizes in ((size, size), (size, 2.0 * size), (100.0 * size, size)):
        pair = Pair(kinds, sizes, margin=0.01)
        for corner in np.array(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1])).reshape(3, -1).T:
            for scale in (0.0, 1e-16, 1.0):
                for turn in (np.eye(3), rotation(np.array([0, 0, np.pi / 2])), rotation(np.array([1e-9, 0, 0]))):
                    pair.move(np.array([np.zeros(3), scale * corner * sizes[1]]), np.array([np.eye(3), turn]))
                    for c, parts in enumerate(zip(*pair.contacts(), strict=True)):
                        assert all(np.isfinite(part).all() for part in parts)
                        assert np.isfinite(pair.motion(c)).all()


def test_sphere_in_a_box_has_finite_gradients() -> None:
    """mujoco issue 2841: NaN gradients (MJX) of a sphere whose centre is on or in a box.

    On a face the contact goes on as outside: one for one with the distance along the normal.
    """
    pair = Pair(("sphere", "box"), (np.array([0.05]), np.array([0.1, 0.2, 0.3])), margin=0.0)
    for height in (0.3, 0.3 - 1e-9, 0.29, 0.3 + 1e-9):
        pair.move(np.array([[0.01, 0.02, height], np.zeros(3)]), np.array([np.eye(3), np.eye(3)]))
        (dist,), _, (frame,) = pair.contacts()
        np.testing.assert_allclose(frame[:3], [0, 0, -1], atol=1e-12)
        assert dist == pytest.approx(height - 0.35, abs=1e-12)
        motion = pair.motion(0)
        np.testing.assert_allclose(motion[0, 3:], [0, 0, -1], atol=1e-12)  # raising the box lowers the distance
        np.testing.assert_allclose(motion[4:, 3:], 0, atol=1e-12)
        np.testing.assert_allclose(motion[4:, :3], np.array([[0, -1, 0], [1, 0, 0], [0, 0, 0]]), atol=1e-12)
    model = sim.Model.from_mujoco(pile(3, "pyramidal"))
    state = model.initial_state()
    box, sphere = state.qpos[:3].copy(), 21
    for point in ([0.01, 0.02, 0.1], [0, 0, 0], [0.15, 0.12, 0.1], [0.15, 0, 0.1]):
        state.qpos[sphere : sphere + 3] = box + point
        assert np.isfinite(sim.step_jacobian(model, state, []).A).all()


PILE = """
<mujoco>
  <option timestep="0.004"/>
  <default>
    <geom condim="{condim}" friction="0.8 0.02 0.003"/>
    <default class="cylinder"><geom type="cylinder" contype="2" conaffinity="0"/></default>
    <default class="ellipsoid"><geom type="ellipsoid" contype="4" conaffinity="0"/></default>
  </default>
  <worldbody>
    <geom type="plane" size="5 5 .1" quat="0.99 0.03 0.05 0" conaffinity="7"/>
    <body pos="0 0 0.2"><freejoint/><geom type="box" size="0.15 0.12 0.1" margin="0.01"/></body>
    <body pos="0.03 0.02 0.45"><freejoint/><geom type="box" size="0.1 0.14 0.08"/></body>
    <body pos="0.05 -0.02 0.68"><freejoint/><geom type="capsule" size="0.05 0.1" euler="0 85 20"/></body>
    <body pos="-0.07 0.02 0.8"><freejoint/><geom type="sphere" size="0.07" conaffinity="3"/></body>
    <body pos="0.4 0.1 0.2"><freejoint/><geom class="cylinder" size="0.1 0.12"/></body>
    <body pos="0.38 0.1 0.5"><freejoint/><geom type="sphere" size="0.06" conaffinity="3"/></body>
    <body pos="-0.4 0.1 0.2"><freejoint/><geom class="ellipsoid" size="0.08 0.1 0.15"/></body>
  </worldbody>
</mujoco>"""


def pile(condim: int, cone: str) -> mujoco.MjModel:
    return tight(mujoco.MjSpec.from_string(PILE.format(condim=condim)), CONES[cone])


@pytest.mark.parametrize("condim", [3, 6])
@pytest.mark.parametrize("cone", CONES)
def test_piles_equal_mujoco(cone: str, condim: int) -> None:
    assert assert_equal_forward(pile(condim, cone), 60) >= 55


@pytest.mark.parametrize("cone", CONES)
def test_derivatives_of_piles_equal_differences(cone: str) -> None:
    model, smooth = sim.Model.from_mujoco(pile(4, cone)), 0
    for k, d in enumerate(visited_states(model.mj_model, 15, 5)):
        state = sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy())
        smooth += assert_constrained_step(model, state, np.zeros(0), seed=k, directions=4)
    assert smooth >= 30


def test_wild_piles_stay_finite() -> None:
    """Deep penetrations, huge velocities, bodies inside each other: finite numbers, no hang."""
    model, rng = sim.Model.from_mujoco(pile(3, "pyramidal")), np.random.default_rng(0)
    qpos = rng.normal(size=(300, model.nq)) * rng.choice([0.0, 0.1, 1.0, 10.0], size=(300, 1))
    qvel = rng.normal(size=(300, model.nv)) * rng.choice([1.0, 100.0, 1e4], size=(300, 1))
    state = sim.State(qpos, qvel, np.zeros((300, 0)))
    assert np.isfinite(sim.forward(model, state, np.zeros((300, 0))).qacc).all()
    assert np.isfinite(sim.step_jacobian(model, state, np.zeros((300, 0))).A).all()


def names_of_kernels(function: Any) -> set[str]:
    """Of all kernels that one runs, itself included."""
    return {source_of(kernel).__name__ for kernel in all_kernels(function)}


@pytest.mark.parametrize(
    ("shape", "there"),
    [
        ('type="sphere" size="1"', set()),
        ('type="box" size="1 1 1"', {"collide_box", "box_motion"}),
        ('type="cylinder" size="1 1"', {"collide_rim", "rim_motion"}),
    ],
)
def test_a_model_compiles_the_geometry_that_it_has(shape: str, there: set[str]) -> None:
    free = f"<body><freejoint/><geom {shape}/></body>"
    model = sim.Model.from_xml_string(
        f'<mujoco><worldbody><geom type="plane" size="1 1 1"/>{free}</worldbody></mujoco>'
    )
    ours = {"collide_box", "box_motion", "collide_box_box", "box_box_motion", "collide_rim", "rim_motion"}
    points = entry_points(model)
    assert "collide_round" in names_of_kernels(points.rollout)
    assert set().union(*map(names_of_kernels, (points.rollout, points.jacobian))) & ours == there

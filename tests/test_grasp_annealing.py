"""The annealing: that it follows its rule of acceptance, and that its energy is what `measure` says of a grasp."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

trimesh: Any = pytest.importorskip("trimesh")

from gradgym.agents.grasp import Grasps, Hand, ObjectMesh, annealing, contacts, measure  # noqa: E402
from gradgym.agents.grasp.annealing import AnnealSettings, Energy, anneal  # noqa: E402
from gradgym.agents.grasp.hand import quaternion_matrix  # noqa: E402
from gradgym.agents.grasp.starts import start_poses  # noqa: E402

STEPS, CHAINS = 40, 8
COOL = AnnealSettings(starts=CHAINS)


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand.shadow()


@pytest.fixture(scope="module")
def sphere() -> ObjectMesh:
    return ObjectMesh.from_trimesh(trimesh.creation.icosphere(subdivisions=3, radius=0.035))


@pytest.fixture(scope="module")
def grasps(sphere: ObjectMesh, hand: Hand) -> Grasps:
    return anneal(sphere, hand, CHAINS, seed=1, steps=STEPS, settings=COOL, progress=False)


def state_of(grasps: Grasps, hand: Hand) -> Any:
    rotation = quaternion_matrix(torch.from_numpy(grasps.pose[:, 3:])).numpy()
    return annealing._State(grasps.pose[:, :3] + rotation @ hand.surface.center, rotation, grasps.joints)


def energies(grasps: Grasps, mesh: ObjectMesh, hand: Hand) -> NDArray[np.float64]:
    return Energy(mesh, hand, COOL, len(grasps))(state_of(grasps, hand), np.full(len(grasps), np.inf))


def test_the_energy_goes_down(sphere: ObjectMesh, hand: Hand, grasps: Grasps) -> None:
    pose, joints = start_poses(*sphere.sample(CHAINS, 1), hand, np.random.default_rng(1))
    begun = np.sort(energies(measure(sphere, hand, pose, joints), sphere, hand))
    ended = np.sort(energies(grasps, sphere, hand))
    assert np.all(ended <= begun) and ended.mean() < begun.mean() - 0.3
    assert np.sum(grasps.q1 > 0.0) > CHAINS // 2
    score = grasps.q1 - 100.0 * (grasps.penetration + grasps.self_penetration)
    assert np.all(np.diff(score) <= 0.0)


def test_is_the_same_each_time(sphere: ObjectMesh, hand: Hand, grasps: Grasps) -> None:
    again = anneal(sphere, hand, CHAINS, seed=1, steps=STEPS, settings=COOL, progress=False)
    other = anneal(sphere, hand, CHAINS, seed=2, steps=2, settings=COOL, progress=False)
    np.testing.assert_array_equal(again.pose, grasps.pose)
    np.testing.assert_array_equal(again.joints, grasps.joints)
    assert not np.array_equal(other.pose, grasps.pose)


def test_joints_stay_in_their_ranges(hand: Hand, grasps: Grasps) -> None:
    assert np.all((grasps.joints >= hand.lower) & (grasps.joints <= hand.upper))
    wide, rng = AnnealSettings(step=(0.01, 0.2, 3.0)), np.random.default_rng(0)
    moved = annealing._neighbour(state_of(grasps, hand), hand, wide, 1.0, rng)
    assert np.all((moved.joints >= hand.lower) & (moved.joints <= hand.upper))
    np.testing.assert_allclose(np.linalg.det(moved.rotation), 1.0)
    less = annealing._neighbour(state_of(grasps, hand), hand, AnnealSettings(step=(0.01, 0.2, 0.3)), 1.0, rng)
    assert np.mean((less.joints == hand.lower) | (less.joints == hand.upper)) < 0.03  # reflected, not held there
    near = annealing._neighbour(state_of(grasps, hand), hand, AnnealSettings(step=(0.0, 0.3, 0.0)), 1.0, rng)
    np.testing.assert_array_equal(near.center, state_of(grasps, hand).center)  # turned about the hand's middle
    middle = quaternion_matrix(torch.from_numpy(near.pose(hand)[:, 3:])).numpy() @ hand.surface.center
    np.testing.assert_allclose(near.pose(hand)[:, :3] + middle, near.center, atol=1e-12)
    assert np.abs(near.rotation - state_of(grasps, hand).rotation).max() > 0.1


def test_acceptance_is_that_of_metropolis(sphere: ObjectMesh, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a proposal may have over the present energy is exponential, its mean the temperature of the schedule."""
    calls: list[tuple[Any, ...]] = []
    real = Energy.__call__

    def spy(self: Energy, state: Any, most: NDArray[np.float64]) -> NDArray[np.float64]:
        calls.append((state, most, real(self, state, most)))
        return calls[-1][2]

    monkeypatch.setattr(Energy, "__call__", spy)
    s = AnnealSettings(temperature=(0.3, 0.01), samples=200, starts=16)
    anneal(sphere, hand, 16, steps=60, settings=s, progress=False)
    order = np.argsort(calls[0][2])
    state, energy = annealing._State(*(x[order].copy() for x in calls[0][0])), calls[0][2][order]
    ratios = []
    for k, (tried, most, found) in enumerate(calls[1:]):
        ratios.append((most - energy) / (0.3 * (0.01 / 0.3) ** (k / 60)))
        moved = np.linalg.norm(tried.center - state.center, axis=1)
        assert np.all(moved < 5.0 * s.step[0] * s.narrowing ** (k / 60))  # from the present state
        state.take(found < most, tried)
        energy = np.where(found < most, found, energy)
    values = np.array(ratios)
    assert values.shape == (60, 16) and values.min() > 0.0
    for half in (values[:30], values[30:]):
        assert half.mean() == pytest.approx(1.0, abs=0.15) and half.std() == pytest.approx(1.0, abs=0.2)


def test_contacts_are_those_that_measure_finds(
    sphere: ObjectMesh, hand: Hand, grasps: Grasps, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(contacts, "q1", lambda p, n, *_, **__: asked.append((p, n)) or 0.1)
    measured = measure(sphere, hand, grasps.pose, grasps.joints)
    everything = AnnealSettings(samples=len(hand.surface.body))
    energy = Energy(sphere, hand, everything, CHAINS)
    links = hand.links(torch.from_numpy(grasps.pose), torch.from_numpy(grasps.joints))
    depth, found = energy._contacts(links)
    assert np.all(depth <= measured.penetration + 1e-9) and depth.max() > 0.0
    assert sum(len(points) for points, _ in found) > 20
    for (points, normals), (p, n) in zip(found, asked, strict=True):
        np.testing.assert_allclose(points, p, atol=1e-9)
        np.testing.assert_allclose(normals, n, atol=1e-9)


def test_energy_is_the_metric_and_penalties(sphere: ObjectMesh, hand: Hand, grasps: Grasps) -> None:
    everything = AnnealSettings(samples=len(hand.surface.body))
    found = Energy(sphere, hand, everything, CHAINS)(state_of(grasps, hand), np.full(CHAINS, np.inf))
    closed = grasps.q1 > 0.0
    expected = 100.0 * (grasps.penetration + grasps.self_penetration) - grasps.q1
    np.testing.assert_allclose(found[closed], expected[closed], atol=0.02)  # 3 % of Q1, 0.1 mm by other samples
    away = grasps.pose[:1].copy()
    away[:, 0] += 0.3
    far = measure(sphere, hand, away, grasps.joints[:1])
    candidates = hand.surface.candidates
    links = hand.links(torch.from_numpy(away), torch.from_numpy(far.joints))
    body = torch.from_numpy(hand.surface.body[candidates])
    points = links.points(body, torch.from_numpy(hand.surface.position[candidates]))[0].numpy()
    outward = links.vectors(body, torch.from_numpy(hand.surface.normal[candidates]))[0].numpy()
    distance = np.linalg.norm(points - sphere.center_of_mass, axis=1)
    cosine = (outward * (points - sphere.center_of_mass) / distance[:, None]).sum(axis=1)
    expected = (100.0 * (distance - 0.035) + 0.5 * (1.0 + cosine)).mean() + 100.0 * far.self_penetration
    # The sphere's facets lie up to 0.3 mm below it, their normals 4 degrees off.
    np.testing.assert_allclose(energies(far, sphere, hand), expected, atol=0.06)


def test_bounds_and_memory_change_no_decision(sphere: ObjectMesh, hand: Hand, grasps: Grasps) -> None:
    rng, state = np.random.default_rng(3), state_of(grasps, hand)
    remembers, settings = Energy(sphere, hand, COOL, CHAINS), AnnealSettings(step=(0.004, 0.1, 0.1))
    decided = 0
    for _ in range(15):
        exact = Energy(sphere, hand, COOL, CHAINS)(state, np.full(CHAINS, np.inf))
        most = exact + rng.normal(0.0, 0.2, CHAINS)
        found = remembers(state, most)
        below = exact < most
        decided += below.sum()
        np.testing.assert_allclose(found[below], exact[below], atol=1e-12)
        assert np.all(found[~below] >= most[~below])
        state = annealing._neighbour(state, hand, settings, 1.0, rng)
    assert 20 < decided < 15 * CHAINS - 20


def test_time_is_kept_and_bad_arguments_are_refused(sphere: ObjectMesh, hand: Hand) -> None:
    found = anneal(sphere, hand, 2, seconds=0.5, settings=COOL, progress=False)
    assert len(found) == 2 and found.joint_names == hand.joint_names
    refused: list[tuple[dict[str, Any], str]] = [
        ({"num_grasps": 0}, "num_grasps=0"),
        ({"seconds": 0.0}, "seconds=0.0"),
        ({"steps": 0}, "steps=0"),
    ]
    for arguments, message in refused:
        with pytest.raises(ValueError, match=message):
            anneal(sphere, hand, **arguments)

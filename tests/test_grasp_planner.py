"""Starts, measures and plans of grasps, and the command."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradgym.agents.grasp import Grasps, Hand, ObjectMesh, PlanSettings, measure, plan, planner
from gradgym.agents.grasp.command_line import main
from gradgym.agents.grasp.hand import quaternion_matrix
from gradgym.agents.grasp.objective import Objective
from gradgym.agents.grasp.starts import start_poses, trivial_poses
from gradgym.sim import get_num_threads, set_num_threads

trimesh = pytest.importorskip("trimesh")
SHORT = PlanSettings(starts=8, iterations=25, samples=150, settle=5, dense=600)


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand.shadow()


@pytest.fixture(scope="module")
def ball() -> ObjectMesh:
    return ObjectMesh.from_trimesh(trimesh.creation.icosphere(3, 0.035))


@pytest.fixture(scope="module")
def planned(ball: ObjectMesh, hand: Hand) -> Grasps:
    return plan(ball, hand, 4, seed=1, settings=SHORT, progress=False)


def fingertip_pose(hand: Hand, place: list[float]) -> np.ndarray:
    """The root's pose, not turned, that brings the middle finger's tip to a place."""
    m = hand.model
    pose = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    links = hand.links(pose, torch.from_numpy(hand.middle * 0.0)[None])
    body = torch.tensor([m.body("mf_distal").id])
    tip = links.points(body, torch.from_numpy(m.site("mf_tip").pos)[None])[0, 0].numpy()
    return np.array([[*(np.asarray(place) - tip), 1.0, 0.0, 0.0, 0.0]])


def test_starts_have_the_palm_towards_the_surface(ball: ObjectMesh, hand: Hand) -> None:
    points, normals = ball.sample(64, 3)
    pose, joints = start_poses(points, normals, hand, np.random.default_rng(0))
    rotation = quaternion_matrix(torch.from_numpy(pose[:, 3:])).numpy()
    approach = rotation @ hand.surface.approach
    assert np.mean((approach * -normals).sum(axis=1)) > 0.7
    middle = pose[:, :3] + rotation @ hand.surface.center
    assert (np.linalg.norm(middle, axis=1) < 0.06).all()
    assert ((joints > hand.lower) & (joints < hand.upper)).all()


def test_trivial_starts_are_open_hands_on_a_sphere(hand: Hand) -> None:
    center, radius = np.array([0.1, -0.2, 0.3]), 0.07
    pose, joints = trivial_poses(center, radius, hand, 200, np.random.default_rng(0))
    rotation = quaternion_matrix(torch.from_numpy(pose[:, 3:])).numpy()
    outward = pose[:, :3] + rotation @ hand.surface.center - center
    np.testing.assert_allclose(np.linalg.norm(outward, axis=1), radius, atol=1e-12)
    np.testing.assert_allclose(rotation @ hand.surface.approach, -outward / radius, atol=1e-12)
    assert np.linalg.norm(outward.mean(axis=0)) < 0.2 * radius  # from all sides
    sideways = rotation @ np.cross(hand.surface.approach, [0.0, 0.0, 1.0])
    assert np.linalg.norm(sideways.mean(axis=0)) < 0.2  # turned at random
    open_end = hand.lower >= 0.0
    assert open_end.sum() > 4
    share = ((joints - hand.lower) / (hand.upper - hand.lower))[:, open_end]
    np.testing.assert_allclose(share, 0.02, atol=1e-12)


def test_plans_from_trivial_starts_are_others(ball: ObjectMesh, hand: Hand, planned: Grasps) -> None:
    found = plan(ball, hand, 4, seed=1, settings=replace(SHORT, start="trivial"), progress=False)
    assert not np.isclose(found.pose[:, None], planned.pose).all(axis=-1).any()
    still = replace(SHORT, start="trivial", iterations=0, settle=0, starts=4)
    begun = plan(ball, hand, 4, seed=1, settings=still, progress=False)
    expected, _ = trivial_poses(ball.center_of_mass, ball.radius, hand, 4, np.random.default_rng(1))
    order = np.linalg.norm(begun.pose[:, None, :3] - expected[:, :3], axis=-1).argmin(axis=1)
    assert sorted(order) == [0, 1, 2, 3]
    np.testing.assert_allclose(begun.pose, expected[order], atol=1e-9)
    with pytest.raises(ValueError, match="start='random': choose 'sampled' or 'trivial'"):
        PlanSettings(start="random")  # pyright: ignore[reportArgumentType]


def test_a_finger_in_a_block_is_as_deep_as_it_was_put(hand: Hand) -> None:
    block = ObjectMesh.from_trimesh(trimesh.creation.box((0.2, 0.2, 0.1)))
    pose = fingertip_pose(hand, [0.0, 0.0, -0.05 + 0.006])
    found = measure(block, hand, pose, hand.middle[None] * 0.0)
    np.testing.assert_allclose(found.penetration, 0.006, atol=3e-4)
    away = fingertip_pose(hand, [0.0, 0.0, -0.05 - 0.004])
    found = measure(block, hand, away, hand.middle[None] * 0.0)
    assert found.penetration[0] == 0.0
    assert found.q1[0] == 0.0


def test_a_finger_through_a_wall_is_deeper_than_half_the_wall(hand: Hand) -> None:
    """The wall is 2 mm thick and 2 cm behind the fingertip: it is in the finger to the finger's axis."""
    wall = ObjectMesh.from_trimesh(trimesh.creation.box((0.1, 0.1, 0.002)))
    found = measure(wall, hand, fingertip_pose(hand, [0.0, 0.0, 0.02]), hand.middle[None] * 0.0)
    assert found.penetration[0] > 0.006


def test_plan_finds_force_closure_on_a_ball(planned: Grasps, hand: Hand) -> None:
    assert len(planned) == 4
    assert (planned.q1[:2] > 0.2).all()
    assert (planned.penetration < 0.01).all()
    assert ((planned.joints >= hand.lower) & (planned.joints <= hand.upper)).all()
    np.testing.assert_allclose(np.linalg.norm(planned.pose[:, 3:], axis=1), 1.0, atol=1e-12)


def test_best_come_first(planned: Grasps) -> None:
    score = planned.q1 - 100.0 * (planned.penetration + planned.self_penetration)
    assert (np.diff(score) <= 0.0).all()


def test_plan_depends_on_the_seed_alone(ball: ObjectMesh, hand: Hand, planned: Grasps) -> None:
    again = plan(ball, hand, 4, seed=1, settings=SHORT, progress=False)
    np.testing.assert_array_equal(again.pose, planned.pose)
    other = plan(ball, hand, 4, seed=2, settings=SHORT, progress=False)
    assert np.abs(other.pose - planned.pose).max() > 1e-3


def test_plan_does_not_depend_on_the_number_of_threads(ball: ObjectMesh, hand: Hand, planned: Grasps) -> None:
    before = get_num_threads()
    try:
        for threads in (1, 3):
            set_num_threads(threads)
            again = plan(ball, hand, 4, seed=1, settings=SHORT, progress=False)
            np.testing.assert_array_equal(again.pose, planned.pose)
            np.testing.assert_array_equal(again.q1, planned.q1)
    finally:
        set_num_threads(before)


def test_settled_grasps_have_left_the_object(hand: Hand) -> None:
    """A block's edges pass between the samples of the first stage."""
    block = ObjectMesh.from_trimesh(trimesh.creation.box((0.03, 0.05, 0.09)))
    settings = PlanSettings(starts=24, iterations=60)
    grown, settled = (
        plan(block, hand, 8, settings=replace(settings, settle=n), progress=False) for n in (0, settings.settle)
    )
    assert grown.penetration.mean() > 0.001
    assert settled.penetration.mean() < 0.4 * grown.penetration.mean()
    assert settled.self_penetration.mean() < 0.0005
    assert settled.q1.mean() > 0.5 * grown.q1.mean()


def test_the_worse_half_of_the_starts_is_given_up(
    ball: ObjectMesh, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a fifth of the steps, by the loss there; not below the grasps that are to settle."""
    seen: list[tuple[int, range, Any, Any, Any]] = []
    descend = planner._Search.descend

    def watched(self: Any, hands: Any, steps: range, *rest: Any) -> Any:
        found, loss = descend(self, hands, steps, *rest)
        seen.append((len(hands.pose), steps, hands.pose, found.pose, loss))
        return found, loss

    monkeypatch.setattr(planner._Search, "descend", watched)
    settings = PlanSettings(starts=12, iterations=10, settle=0, samples=150)
    plan(ball, hand, 2, settings=settings, progress=False)
    (n, steps, _, ended, loss), (m, rest, begun, *_) = seen
    assert (n, m, steps, rest) == (12, 6, range(2), range(2, 10))
    np.testing.assert_allclose(begun, ended[np.argsort(loss)[:6]])
    seen.clear()
    plan(ball, hand, 6, settings=settings, progress=False)
    assert [x[0] for x in seen] == [12, 12]


def test_chosen_by_the_scores_before_and_after_settling(
    ball: ObjectMesh, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given scores, of which the two stages prefer others; of six that settle, four are returned."""
    seen: list[Grasps] = []
    given = [np.array([0.0, 5.0, 4.0, 3.0, 2.0, 1.0, 6.0]), np.array([0.0, 0.0, 0.0, 0.0, 9.0, 3.5])]
    measured = planner._Search.measured

    def scripted(self: Any, hands: Any) -> Any:
        seen.append(measured(self, hands)[0])
        return seen[-1], given[len(seen) - 1]

    monkeypatch.setattr(planner._Search, "measured", scripted)
    settings = PlanSettings(starts=7, iterations=2, settle=1, samples=150, dense=150)
    found = plan(ball, hand, 4, settings=settings, progress=False)
    # Those that settle had 6, 5, 4, 3, 2, 1; the sums are 6, 5, 4, 3, 11, 4.5, and the last scores order the four.
    np.testing.assert_array_equal(found.pose, seen[1].pose[[4, 5, 0, 1]])


def test_where_the_mesh_lies_does_not_matter(ball: ObjectMesh, hand: Hand) -> None:
    """The same ball a metre aside: torques are about its centre of mass."""
    settings = PlanSettings(starts=4, iterations=5, samples=150, settle=3, dense=600)
    shift = np.array([1.0, -0.5, 0.2])
    aside = ObjectMesh(ball.vertices + shift, ball.faces)
    here, there = (plan(x, hand, 4, seed=0, settings=settings, progress=False) for x in (ball, aside))
    np.testing.assert_allclose(there.pose[:, :3] - shift, here.pose[:, :3], atol=1e-6)
    np.testing.assert_allclose(there.q1, here.q1, atol=1e-6)


def test_the_lower_bound_finishes(ball: ObjectMesh, hand: Hand, planned: Grasps) -> None:
    """Further steps lower the loss that has it for its metric, of every grasp."""
    pytest.importorskip("clarabel")
    settings = PlanSettings(starts=4, iterations=25, samples=150)
    begun, ended = (plan(ball, hand, 4, 1, settings=replace(settings, finish=n), progress=False) for n in (0, 8))

    def loss(grasps: Grasps) -> torch.Tensor:
        links = hand.links(torch.from_numpy(grasps.pose), torch.from_numpy(grasps.joints))
        return Objective(ball, hand, settings, 4)(links, 1.0, lower=True).sort().values

    assert (loss(ended) < loss(begun)).all()


def test_no_grasps_asked_for_is_an_error(ball: ObjectMesh, hand: Hand) -> None:
    with pytest.raises(ValueError, match="num_grasps=0: must be at least 1"):
        plan(ball, hand, 0)


def test_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(tmp_path / "none.obj")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gradgym-grasp: ")
    assert error.count("\n") == 1


def test_command_plans_and_tries(
    tmp_path: Path, ball: ObjectMesh, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of grasps, which the other command takes, and a line for each."""
    monkeypatch.setattr("gradgym.agents.grasp.planner.PlanSettings", lambda: SHORT)
    file = tmp_path / "ball.stl"
    ball.to_trimesh().export(file)
    options = ["--out-dir", str(tmp_path / "out"), "--no-picture"]
    assert main(["plan", str(file), "--num-grasps", "2", *options]) == 0
    first = capsys.readouterr().out
    assert "of 2 held" in first
    assert len(Grasps.load(tmp_path / "out" / "ball_grasps.npz")) == 2
    assert main(["validate", str(file), "--grasps", str(tmp_path / "out" / "ball_grasps.npz"), *options]) == 0
    second = capsys.readouterr().out
    assert second.split("\n")[0].split(":")[1] == first.split("\n")[0].split(":")[1]

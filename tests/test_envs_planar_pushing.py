"""Planar pushing: goals and starts, control, gradients, success, the video, bad input. Checkers: test_envs_adapters."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import shapely
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from gradgym.envs.polygon import Polygon, placed
from gradgym.envs.pushing_goals import checked_trajectory, random_goal, standing_angles
from gradgym.envs.pushing_loss import pose_loss
from gradgym.envs.pushing_video import checked_video, frame, strip, video
from gradgym.envs.video_observation import VideoObservation

BLOCK = Polygon([[-0.05, -0.04], [0.05, -0.04], [0.05, 0.04], [-0.05, 0.04]])
NOTCHED = Polygon([[-0.05, -0.05], [0.05, -0.05], [0.06, 0.03], [0.0, 0.02], [-0.05, 0.06]])
LIFT = np.stack([np.zeros(5), np.linspace(0.04, 0.08, 5), np.zeros(5)], axis=1)


def make(**options: Any) -> Any:
    return gymnasium.make("gradgym/PlanarPushing-v0", **options)


def squeeze_and_lift(env: Any) -> list[Any]:
    """Both commands go 2 cm inside, up by 4 cm in the end, and by the lead of the object's weight."""
    env.reset(seed=0)
    steps = []
    for t in range(20):
        inward = 1.0 if t < 2 else 0.0
        up = 0.2 + (0.5 if t < 2 else 0.0)
        steps.append(env.step([inward, up, -inward, up]))
    return steps


@pytest.mark.parametrize("backend", ["sim", "mujoco"])
def test_two_fingers_lift_the_block(backend: str) -> None:
    steps = squeeze_and_lift(make(goal=LIFT, backend=backend))
    *_, truncated, info = steps[-1]
    assert truncated
    assert info["is_success"]
    assert info["position_error"] < 0.01
    still = make(goal=LIFT, backend=backend)
    still.reset(seed=0)
    for _ in range(20):
        *_, info = still.step(np.zeros(4))
    assert not info["is_success"]


def test_reward_is_the_loss_of_the_present_goal() -> None:
    env = make(goal=LIFT)
    env.reset(seed=0)
    for t in range(1, 25):
        if t == 21:
            env = env.unwrapped  # beyond the last knot the goal stays
        _, reward, *_ = env.step(np.zeros(4))
        height = np.interp(0.02 * t, 0.1 * np.arange(5), LIFT[:, 1])
        goal = torch.tensor([0.0, height, 0.0], dtype=torch.float64)
        pose = env.unwrapped.state.qpos[0, :3]
        assert reward == pytest.approx(-float(pose_loss(pose, goal)), abs=1e-9)


def test_an_actions_way_is_its_command() -> None:
    env = make(goal=LIFT)
    env.reset(seed=0)
    start = env.unwrapped.state.act[0].clone()
    env.step([0.0, 0.5, 0.0, -2.0])
    np.testing.assert_allclose(env.unwrapped.state.act[0] - start, [0.0, 0.005, 0.0, -0.01], atol=1e-12)


@pytest.mark.parametrize("view", ["sagittal", "top"])
def test_gradients_are_the_limit_of_differences(view: Any) -> None:
    env = make(view=view, polygon=NOTCHED.vertices, gradients="action", contact_softness=0.002)
    rng = np.random.default_rng(0)
    env.reset(seed=3)
    task = env.unwrapped.task
    strong = 0
    for t in range(10):
        action = np.array([0.8, 0.2, -0.8, 0.3]) if t < 3 else rng.uniform(-0.5, 0.5, 4)
        before = env.unwrapped.state
        *_, info = env.step(action)

        def reward(a: np.ndarray, before: Any = before) -> float:
            with torch.no_grad():
                given = torch.from_numpy(a)[None]
                return float(task.reward(before, given, task.transition(before, given))[0])

        moves = 1e-5 * np.eye(4)
        expected = np.array([(reward(action + m) - reward(action - m)) / 2e-5 for m in moves])
        found = info["gradients"]["dreward_daction"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 + 1e-5 * np.abs(expected).max())
        strong += np.abs(found).max() > 1e-3
    assert strong > 3


def test_observation_tells_the_geometry() -> None:
    env = make(polygon=NOTCHED.vertices, num_fingers=3)
    obs, _ = env.reset(seed=2)
    task, state = env.unwrapped.task, env.unwrapped.state
    assert obs.shape == (8 * 3 + 4 * 5 + 12,) == env.observation_space.shape
    goals = task.goals(state)[0].numpy()
    np.testing.assert_allclose(state.qpos[0, :3], goals[0], atol=1e-12)
    np.testing.assert_allclose(obs[-21:-1].reshape(5, 4)[:, :2], goals[:, :2] - goals[0, :2], atol=1e-6)
    np.testing.assert_allclose(obs[-21:-1].reshape(5, 4)[:, 2], np.sin(goals[:, 2] - goals[0, 2]), atol=1e-6)
    np.testing.assert_allclose(obs[25:31], 0.0, atol=1e-6)  # fingers are where they touched
    fingers = state.qpos[0, 3:].reshape(3, 2).numpy()
    outline = shapely.Polygon(placed(NOTCHED.vertices, goals[0]))
    np.testing.assert_allclose(shapely.distance(outline, shapely.points(fingers)), 0.004, atol=2e-5)
    env.step(env.action_space.sample())
    assert env.unwrapped.task.observation(env.unwrapped.state)[0, -1] == pytest.approx(0.05)


@pytest.mark.parametrize("view", ["sagittal", "top"])
def test_random_goals_are_within_reach(view: Any) -> None:
    rng = np.random.default_rng(0)
    goals = [random_goal(NOTCHED, view, 5, rng) for _ in range(200)]
    for r in goals:
        checked_trajectory(NOTCHED, view, r, 5)
        lowest = placed(NOTCHED.vertices, r)[..., 1].min(axis=-1)
        if view == "sagittal":
            assert (lowest > -1e-12).all()
            assert lowest[0] == pytest.approx(0.0, abs=1e-12)
    noise = np.array([r[1:-1, 0] - np.linspace(r[0, 0], r[-1, 0], 5)[1:-1] for r in goals])
    assert 0.005 < noise.std() < 0.02


def test_it_stands_where_it_starts() -> None:
    for angle in standing_angles(NOTCHED):
        height = -placed(NOTCHED.vertices, [0.0, 0.0, angle])[:, 1].min()
        env = make(polygon=NOTCHED.vertices, goal=np.tile([0.0, height, angle], (5, 1)), max_episode_steps=50)
        env.reset(seed=0)
        env.unwrapped.state.qpos[0, 3:] += 0.2  # fingers away
        env.unwrapped.state.act[0] += 0.2
        for _ in range(50):
            env.step(np.zeros(4))
        assert abs(float(env.unwrapped.state.qpos[0, 2]) - angle) < 0.02
    assert len(standing_angles(NOTCHED)) >= 2


def test_vectors_have_goals_of_their_own() -> None:
    envs = gymnasium.make_vec("gradgym/PlanarPushing-v0", num_envs=3, knots=7)
    obs, _ = envs.reset(seed=0)
    assert obs.shape == (3, 8 * 2 + 4 * 7 + 12)
    assert len({tuple(row[-29:-1]) for row in obs}) == 3
    single = make(knots=7)
    np.testing.assert_array_equal(single.reset(seed=1)[0], obs[1])


# ---- pictures


def test_a_frame_has_the_polygons_area_where_it_is() -> None:
    pose = np.array([0.07, 0.21, 0.5])
    picture = frame(NOTCHED, pose)
    assert picture.shape == (50, 50, 3)
    assert picture.dtype == np.uint8
    ink = (255.0 - picture[..., 0]) / (255.0 - picture[..., 0].min())
    assert ink.sum() * 0.012**2 == pytest.approx(NOTCHED.area, rel=0.03)
    rows, columns = np.mgrid[:50, :50] + 0.5
    assert (ink * columns).sum() / ink.sum() * 0.012 - 0.3 == pytest.approx(pose[0], abs=5e-4)
    assert 0.6 - (ink * rows).sum() / ink.sum() * 0.012 == pytest.approx(pose[1], abs=5e-4)
    np.testing.assert_array_equal(picture, frame(placed(NOTCHED.vertices, pose), np.zeros(3)))
    assert ((picture[..., 0] > 80) & (picture[..., 0] < 245)).any()  # antialiased


def test_a_strip_shows_all() -> None:
    poses = np.stack([np.linspace(-0.1, 0.1, 5), np.full(5, 0.05), np.zeros(5)], axis=1)
    fingers = np.stack([poses[:, :2] - [0.054, 0.0], poses[:, :2] + [0.054, 0.0]], axis=1)
    assert video(BLOCK, poses).shape == (5, 50, 50, 3)
    picture = strip(BLOCK, poses, poses + np.array([0.0, 0.02, 0.1]), fingers, size=120)
    assert picture.shape == (120, 600, 3)
    for color in ((70, 110, 190), (40, 160, 70), (210, 70, 50), (240, 160, 40), (150, 150, 150)):
        assert (np.abs(picture.astype(int) - color).sum(-1) < 30).reshape(120, 5, 120).any(axis=(0, 2)).all()


@pytest.mark.filterwarnings("ignore:.*A Box observation space (min|max)imum value is -?infinity")
@pytest.mark.filterwarnings("ignore:.*unconventional shape")
def test_the_video_is_observed() -> None:
    env = VideoObservation(make(goal=LIFT))
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(obs["video"], video(BLOCK, LIFT))
    assert env.observation_space.contains(obs)
    check_env(VideoObservation(make()).unwrapped, skip_render_check=True)
    sb3_check_env(VideoObservation(make()))
    assert checked_video(obs["video"], 5) is obs["video"]
    with pytest.raises(ValueError, match=r"video has shape \(4, 50, 50, 3\), expected \(..., 5, 50, 50, 3\)"):
        checked_video(obs["video"][:4], 5)
    with pytest.raises(ValueError, match="video has type float64, expected uint8"):
        checked_video(obs["video"] / 255.0, 5)
    with pytest.raises(ValueError, match=r"has no video: give it gradgym/PlanarPushing-v0"):
        VideoObservation(gymnasium.make("gradgym/NLinkPendulum-v0"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goal": LIFT + np.array([0.5, 0.0, 0.0])}, "goal: at knot 0 the object is out of reach"),
        ({"goal": LIFT - [0.0, 0.02, 0.0]}, "goal: at knot 0 the object is under the ground, y = 0"),
        ({"goal": LIFT[:4]}, r"goal has shape \(4, 3\), expected \(5, 3\)"),
        ({"goal": np.full((5, 3), np.nan)}, "goal: knot 0 is not finite"),
        ({"goal": LIFT + np.array([0.0, 0.0, 7.0])}, "goal: angles must be within two pi of zero"),
        ({"knots": 1}, "knots=1: must be an integer of 2 or more"),
        ({"view": "front"}, "view='front': choose one of 'sagittal', 'top'"),
        ({"polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]}, "facets cross or touch"),
        ({"polygon": 1e3 * BLOCK.vertices}, "64 m from its centre to a corner, the fingers reach 0.01 to 0.25 m"),
        ({"polygon": "nothing.csv"}, "polygon file nothing.csv: no such file"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_a_polygon_from_a_file(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "one.txt", NOTCHED.vertices)
    env = make(polygon=str(tmp_path / "one.txt"))
    np.testing.assert_allclose(env.unwrapped.task.polygon.vertices, NOTCHED.vertices, atol=1e-12)


def test_a_strip_far_above_the_ground_shows_none() -> None:
    assert strip(BLOCK, LIFT + np.array([0.0, 0.3, 0.0]), size=60).shape == (60, 300, 3)


def test_strips_and_frames_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="strip: fingers has 4 knots, poses have 5"):
        strip(BLOCK, LIFT, fingers=np.zeros((4, 2, 2)))
    with pytest.raises(ValueError, match=r"video: poses have shape \(3,\), expected \(T, 3\)"):
        video(BLOCK, LIFT[0])
    with pytest.raises(ValueError, match=r"frame: pose \[0.0, 0.0\] is not three finite numbers"):
        frame(BLOCK, [0.0, 0.0])

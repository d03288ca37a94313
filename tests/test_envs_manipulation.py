"""Tasks of manipulation: starts, goals, success, adapters, parity with MuJoCo, gradients."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from gradgym.envs.tasks.cube_reorient import CubeReorient
from gradgym.envs.tasks.manipulation import Manipulation, matrix, turned
from gradgym.envs.tasks.shadow_hand_grasp import ShadowHandGrasp
from gradgym.envs.tasks.wheel_turn import WheelTurn

TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "two fingers": ("gradgym/CubeReorient-v0", {}),
    "in the hand": ("gradgym/CubeReorient-v0", {"hand": "shadow"}),
    "grasp": ("gradgym/ShadowHandGrasp-v0", {}),
    "wheel": ("gradgym/WheelTurn-v0", {}),
}
SIZES = {"two fingers": (61, 6), "in the hand": (129, 20), "grasp": (147, 26), "wheel": (142, 26)}
EVERY = pytest.mark.parametrize("name", list(TASKS))


def make(name: str, **options: Any) -> Any:
    """In MuJoCo, unless it is said otherwise: what is tested of the simulator's compiled code is in few tests."""
    env_id, arguments = TASKS[name]
    chosen: dict[str, Any] = {"backend": "mujoco", **arguments, **options}
    return gymnasium.make(env_id, **chosen)


def task_of(name: str) -> Manipulation:
    return make(name).unwrapped.task


def generators(n: int) -> list[np.random.Generator]:
    return [np.random.default_rng(i) for i in range(n)]


@EVERY
def test_environment_passes_gymnasiums_check(name: str) -> None:
    env = make(name)
    assert (*env.observation_space.shape, *env.action_space.shape) == SIZES[name]
    np.testing.assert_array_equal(env.action_space.high, 1.0)
    check_env(env.unwrapped, skip_render_check=True)


@EVERY
def test_vector_environment_starts_as_the_single_one(name: str) -> None:
    env_id, arguments = TASKS[name]
    envs: Any = gymnasium.make_vec(env_id, num_envs=3, backend="mujoco", **arguments)
    obs, _ = envs.reset(seed=[5, 6, 7])
    for i, seed in enumerate((5, 6, 7)):
        np.testing.assert_allclose(obs[i], make(name).reset(seed=seed)[0], atol=1e-6)
    action = np.zeros(envs.action_space.shape, np.float32)
    after, *_, info = envs.step(action)
    assert envs.observation_space.contains(after)
    assert info["is_success"].shape == (3,)


@EVERY
def test_start_is_stable(name: str) -> None:
    """Without actions all stays where it is for 3 s: fingers by a milliradian, the object by 5 mm and 0.1 rad."""
    task = task_of(name)
    start = state = task.initial(generators(8))
    with torch.no_grad():
        for _ in range(60):
            state = task.transition(state, torch.zeros(8, *task.action_space.shape, dtype=torch.float64))
    moved = state.kinematics.xpos - start.kinematics.xpos
    assert moved[:, task.object_body].norm(dim=-1).max() < 0.005
    alike = (state.kinematics.xquat * start.kinematics.xquat)[:, task.object_body].sum(-1).abs()
    assert 2 * alike.clamp(max=1.0).acos().max() < 0.1
    if name != "in the hand":  # there the cube's weight bends the fingers
        assert (state.qpos - start.qpos)[:, task.robot_qpos].abs().max() < 1e-3
    torch.testing.assert_close(state.act, start.act)


@EVERY
def test_success_is_the_goal_reached(name: str) -> None:
    task = task_of(name)
    start = task.initial(generators(4))
    assert not task.success(start).any()
    kin = start.kinematics
    there = start.qpos.clone()
    if name == "wheel":
        quat = kin.xquat[:, [task.object_body, task.goal_body]]
        start_angle, goal_angle = (2 * torch.atan2(quat[..., 3], quat[..., 0])).unbind(-1)
        there[:, task._object_qpos] = (goal_angle - start_angle)[:, None]
    else:
        there[:, task._object_qpos] = torch.cat([kin.xpos[:, task.goal_body], kin.xquat[:, task.goal_body]], dim=-1)
    qvel = start.qvel, start.act, start.time, start.mocap_pos, start.mocap_quat
    reached = later(type(start)(task.model, there, *qvel), 3.5)  # when all terms count
    info = task.state_info(reached)
    assert info["is_success"].all()
    assert info["position_error"].max() < 1e-9
    assert info["orientation_error"].max() < 1e-5
    action = torch.zeros(4, *task.action_space.shape, dtype=torch.float64)
    terms = task.reward_terms(start, action, reached)
    assert (terms["orientation"] > -1e-9).all()
    assert (terms["reach"] < 0).all()
    moving = type(start)(task.model, there, torch.ones_like(start.qvel), *qvel[1:])
    assert bool(task.success(moving).all()) == (name != "grasp")  # what is thrown is not held


def later(state: Any, seconds: float, **changes: Any) -> Any:
    """The same state, so many seconds after the episode began."""
    return replace(state, time=torch.full_like(state.time, round(seconds / 0.05)), known_kinematics=None, **changes)


def test_grasp_asks_for_thumb_and_fingers_on_opposite_faces() -> None:
    task = task_of("grasp")
    start = task.initial(generators(8))
    thumb = [task.model.mj_model.site(i).name for i in task.tips].index("th_tip")
    rotation = matrix(start.kinematics.xquat[:, task.object_body])
    closed = task.contacts(later(start, 2.1))
    local = closed.points @ rotation  # in the cube's axes
    across = local.abs().amax(1).argmax(-1)  # the axis that both are far along
    beside = local[torch.arange(8)[:, None], torch.arange(5), across[:, None]]
    assert torch.allclose(beside.abs(), torch.full_like(beside, 0.033))
    assert (beside[:, [thumb]] * beside < 0).sum(1).tolist() == [4] * 8
    assert (closed.points[:, thumb, 0] < 0).all()  # the thumb is on the arm's side
    fingers = [k for k in range(5) if k != thumb]
    spread = (closed.points - closed.points[:, fingers].mean(1, keepdim=True))[:, fingers, 1]
    assert (spread[:, 0] > spread[:, 1]).all() and (spread[:, 2] > spread[:, 3]).all()
    opened = task.contacts(later(start, 0.9)).points
    assert torch.allclose((opened - closed.points).norm(dim=-1), torch.tensor(0.034**2 + 0.03**2).double().sqrt())
    torch.testing.assert_close(closed.weights.sum(-1), torch.ones(8, dtype=torch.float64))


def test_grasp_keeps_its_faces_when_the_cube_turns_in_the_hand() -> None:
    task = task_of("grasp")
    start = task.initial(generators(8))
    before = task.contacts(later(start, 3.0)).points
    turned_qpos = start.qpos.clone()
    quat = [turned(q.numpy(), (0.0, 0.0, 1.0), 1.0) for q in start.qpos[:, task._object_qpos][:, 3:]]
    turned_qpos[:, task._object_qpos.start + 3 : task._object_qpos.stop] = torch.from_numpy(np.array(quat))
    after = task.contacts(later(start, 3.0, qpos=turned_qpos)).points
    turn = torch.tensor([[np.cos(1.0), -np.sin(1.0), 0.0], [np.sin(1.0), np.cos(1.0), 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(after, before @ turn.T)


def test_wheel_asks_one_finger_to_stand_behind_the_peg_that_it_pushes() -> None:
    """The others stay beside it, and the thumb is free."""
    task = task_of("wheel")
    start = task.initial(generators(8))
    contacts = task.contacts(later(start, 1.2))
    torch.testing.assert_close(contacts.weights.sum(-1), torch.ones(8, dtype=torch.float64))
    rotation = matrix(start.kinematics.xquat[:, task.object_body])
    goal = matrix(start.kinematics.xquat[:, task.goal_body])
    sine = (rotation.transpose(-1, -2) @ goal)[:, 1, 0]
    pushing = contacts.weights.argmax(-1)
    behind = (contacts.points @ rotation)[torch.arange(8), pushing]
    torch.testing.assert_close(behind[:, 1], -0.015 * sine.sign())
    tip = [task.model.mj_model.site(i).name for i in task.tips]
    assert [tip[int(k)] for k in pushing] == ["ff_tip" if s > 0 else "lf_tip" for s in sine]
    apart = contacts.points - contacts.points[torch.arange(8), pushing][:, None]
    row = task.start_tips - task.start_tips[pushing][:, None]
    torch.testing.assert_close(apart, row)
    gaps, _ = task.gaps(start)
    assert ((gaps.abs().sum(-1) > 0) == (contacts.weights > 0)).all()
    assert (contacts.weights[:, tip.index("th_tip")] == 0.0).all()


def test_wheel_s_plan_ends_just_before_the_goal() -> None:
    """The finger is then behind the peg of a wheel at the goal, less what wheels roll on; halfway in time, halfway."""
    task = task_of("wheel")
    start = task.initial(generators(8))
    quat = start.kinematics.xquat[:, [task.object_body, task.goal_body]]
    begun, goal = (2 * torch.atan2(quat[..., 3], quat[..., 0])).unbind(-1)
    zero = torch.zeros(8, *task.action_space.shape, dtype=torch.float64)
    for seconds, part in ((3.5, 1.0), (2.2, 0.5)):
        contacts = task.contacts(later(start, seconds))
        turn = begun + part * (goal - begun - 0.02 * (goal - begun).sign())
        forward = torch.stack([turn.cos(), turn.sin()], dim=-1)
        point = contacts.points[torch.arange(8), contacts.weights.argmax(-1), :2]
        torch.testing.assert_close((point * forward).sum(-1), torch.full((8,), 0.07, dtype=torch.float64))
        due = start.qpos.clone()
        due[:, task._object_qpos] = part * (goal - begun)[:, None]
        there = later(start, seconds, qpos=due)
        assert (task.reward_terms(start, zero, there)["orientation"].abs() < 1e-9).all()
        assert (task.reward_terms(start, zero, later(start, seconds))["orientation"] < -0.05).all()


@EVERY
def test_gradient_of_reward_and_observation_by_the_pose_is_that_of_differences(name: str) -> None:
    task = task_of(name)
    start = later(task.initial(generators(3)), 1.0)
    rng = np.random.default_rng(0)
    along = torch.from_numpy(rng.normal(size=start.qpos.shape))
    along[:, task._object_qpos][:, 3:] = 0.0  # of a quaternion's four numbers only turns would count
    ahead = torch.from_numpy(rng.normal(size=task.observation(start).shape))
    action = torch.zeros(3, *task.action_space.shape, dtype=torch.float64)

    def value(qpos: torch.Tensor) -> torch.Tensor:
        state = replace(start, qpos=qpos, known_kinematics=None)
        return task.reward(start, action, state).sum() + (ahead * task.observation(state)).sum()

    qpos = start.qpos.clone().requires_grad_()
    (slope,) = torch.autograd.grad(value(qpos), qpos)
    ends = [value(start.qpos + h * along).item() for h in (1e-6, -1e-6)]
    assert (slope * along).sum().item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


def test_two_fingers_are_asked_to_press_the_faces_beside_them() -> None:
    task = task_of("two fingers")
    start = task.initial(generators(4))
    gaps, shares = task.gaps(start)
    assert gaps.norm(dim=-1).max() < 0.02 and shares.tolist() == [[0.5, 0.5]] * 4
    assert (task.contacts(start).points[:, 0] + task.contacts(start).points[:, 1]).abs().max() < 1e-12


@pytest.mark.parametrize("name", ["two fingers", "grasp", "wheel"])
def test_objects_of_other_friction_mass_and_size_lie_where_they_shall(name: str) -> None:
    factors = {"friction": (0.7, 1.3), "mass": (0.5, 2.0), "size": (0.9, 1.1)}
    task = make(name, randomize=factors).unwrapped.task
    start = task.initial(generators(12))
    assert len(start.variant.unique()) > 6
    geoms = [m.mj_model.geom_size[m.mj_model.body_geomadr[task.object_body], 0] for m in task.models]
    torch.testing.assert_close(task.size(start), torch.tensor(geoms)[start.variant] / geoms[0])
    assert len({float(m.mj_model.body_mass[task.object_body]) for m in task.models}) == 64
    rest = torch.zeros(12, *task.action_space.shape, dtype=torch.float64)
    after = task.transition(start, rest)
    moved = (after.kinematics.xpos - start.kinematics.xpos)[:, task.object_body].norm(dim=-1)
    assert moved.max() < 5e-4  # neither sunk into the table nor above it
    if name == "grasp":
        assert task.lifted(after).abs().max() < 5e-4
    if name == "two fingers":  # which are asked for farther apart around a larger one
        away = task.contacts(start).points.norm(dim=-1)[:, 0]
        torch.testing.assert_close(away, 0.025 * task.size(start) + 0.011)


def test_goals_are_drawn_as_stated() -> None:
    task = CubeReorient(backend="mujoco")
    start = task.initial(generators(200))
    angle = task.orientation_error(start)
    assert 0.4 <= angle.min() < 0.42
    assert 0.78 < angle.max() <= 0.8
    turn = task.rotation_error(start)
    torch.testing.assert_close(turn[:, 2], torch.zeros(200, dtype=torch.float64))  # not about the fingers' line
    torch.testing.assert_close(task.position_error(start), torch.tensor([[0.0, 0.0, 0.05]]).double().expand(200, 3))
    for axis, number in (("x", 1), ("y", 2), ("z", 3)):
        flip = CubeReorient(hand="shadow", axis=axis, backend="mujoco")
        turn = flip.rotation_error(flip.initial(generators(1)))[0]
        assert turn[number].abs().item() == pytest.approx(np.sqrt(0.5))
        assert turn[0].abs().item() == pytest.approx(np.sqrt(0.5))
    wheel = WheelTurn(backend="mujoco")
    start = wheel.initial(generators(200))
    angle, place = wheel.orientation_error(start), start.kinematics.xpos[:, wheel.object_body, :2]
    assert 0.3 <= angle.min() < 0.33
    assert 1.15 < angle.max() <= 1.2
    assert 0.045 < place.abs().max() <= 0.05
    lift = ShadowHandGrasp(backend="mujoco")
    up = lift.position_error(lift.initial(generators(200)))
    assert 0.1 <= up[:, 2].min()
    assert up[:, 2].max() <= 0.15
    assert up[:, :2].abs().max() <= 0.03


def test_rotation_error_takes_the_object_to_the_goal() -> None:
    task = WheelTurn(backend="mujoco")
    start = task.initial(generators(5))
    for i in range(5):
        axis_angle = 2 * np.arctan2(*task.rotation_error(start)[i, [3, 0]].numpy())
        quat = start.kinematics.xquat[i, task.object_body].numpy()
        found = turned(quat, (0.0, 0.0, 1.0), axis_angle)
        goal = start.kinematics.xquat[i, task.goal_body].numpy()
        assert abs(found @ goal) == pytest.approx(1.0)


@pytest.mark.parametrize(("name", "rates"), [("two fingers", {3.0}), ("grasp", {1.5, 2.0, 3.0})])
def test_an_action_is_the_rate_of_commands(name: str, rates: set[float]) -> None:
    task = task_of(name)
    start = task.initial(generators(1))
    low, high = task.model.mj_model.actuator_actrange.T
    with torch.no_grad():
        after = task.transition(start, torch.full((1, len(low)), 0.2).double())
    free = (after.act[0] > torch.from_numpy(low)) & (after.act[0] < torch.from_numpy(high))
    found = (after.act - start.act)[0, free] / (0.2 * task.seconds_per_step)
    assert {round(rate, 4) for rate in found.tolist()} == rates


def test_weights_switch_terms_off() -> None:
    task = CubeReorient(weights={"reach": 0.0, "position": 2.0}, backend="mujoco")
    state = task.initial(generators(1))
    terms = task.reward_terms(state, torch.ones(1, 6).double(), state)
    assert set(terms) == {"position", "orientation", "ctrl"}
    assert terms["position"].item() == pytest.approx(-np.log(1.0 + 2.0 * 0.05**2))
    with pytest.raises(ValueError, match="no term 'speed'"):
        CubeReorient(weights={"speed": 1.0})


def test_wrong_arguments_are_errors() -> None:
    for arguments in ({"hand": "left"}, {"axis": "w"}, {"max_angle": 0.1}, {"flip_angle": 0.0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            CubeReorient(**arguments)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="must be an OBJ or STL file"):
        ShadowHandGrasp(object="nowhere.obj")


def test_object_from_a_mesh_lies_on_the_table(tmp_path: Path) -> None:
    """A wedge whose origin is not its centre of mass."""
    corners = [(x, y, 0.0) for x in (0, 0.06) for y in (0, 0.04)] + [(0.0, 0.0, 0.05), (0.0, 0.04, 0.05)]
    faces = [(1, 2, 4), (1, 4, 3), (1, 5, 6), (1, 6, 2), (3, 4, 6), (3, 6, 5), (1, 3, 5), (2, 6, 4)]
    text = [f"v {x} {y} {z}" for x, y, z in corners] + [f"f {a} {b} {c}" for a, b, c in faces]
    path = tmp_path / "wedge.obj"
    path.write_text("\n".join(text))
    task = ShadowHandGrasp(object=path, backend="mujoco")
    m = task.model.mj_model
    assert m.body("object").mass == pytest.approx(0.1)
    assert m.geom("object").type == mujoco.mjtGeom.mjGEOM_MESH
    start = state = task.initial(generators(2))
    with torch.no_grad():
        for _ in range(20):
            state = task.transition(state, torch.zeros(2, 26).double())
    assert (state.qpos - start.qpos).abs().max() < 2e-3


def pressed(task: Manipulation) -> Any:
    """Two fingers that press the cube, at rest but for the noise of the approach; one episode."""
    state = task.initial(generators(1))
    close = torch.tensor([[0.03, -0.3, -0.2, -0.02, -0.3, -0.2]]).double()
    with torch.no_grad():
        for _ in range(5):
            state = task.transition(state, close)
    return state


def test_step_in_contact_equals_mujocos() -> None:
    theirs, ours = CubeReorient(backend="mujoco"), CubeReorient()
    state, action = pressed(theirs), torch.tensor([[0.2, -0.2, 0.3, 0.1, -0.3, 0.4]]).double()
    tips = [theirs.tips_from_object(state)[0, i, 1].abs().item() for i in range(2)]
    assert max(tips) < 0.0375  # the cube's half size and the tip's radius: both touch
    with torch.no_grad():
        mine, other = ours.transition(state, action), theirs.transition(state, action)
    for name, tolerance in (("qpos", 1e-8), ("qvel", 1e-6), ("act", 1e-14)):
        torch.testing.assert_close(getattr(mine, name), getattr(other, name), atol=tolerance, rtol=0.0)


def test_gradient_of_the_reward_in_contact() -> None:
    """Along a direction of the action, and of the command before, against central differences."""
    task = CubeReorient()
    state = pressed(CubeReorient(backend="mujoco"))
    action = torch.tensor([[0.2, -0.2, 0.3, 0.1, -0.3, 0.4]]).double()
    rng = np.random.default_rng(0)
    along = torch.from_numpy(rng.normal(size=(1, 6))), torch.from_numpy(0.1 * rng.normal(size=(1, 6)))

    def value(act: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        given = state.qpos, state.qvel, act, state.time, state.mocap_pos, state.mocap_quat
        before = type(state)(task.model, *given)
        after = task.transition(before, action)
        return task.reward(before, action, after).sum() + task.observation(after).square().sum()

    inputs = state.act.clone().requires_grad_(), action.clone().requires_grad_()
    slopes = torch.autograd.grad(value(*inputs), inputs)
    exact = sum((s * d).sum().item() for s, d in zip(slopes, along, strict=True))
    h = 1e-5
    with torch.no_grad():
        ends = [value(state.act + s * along[0], action + s * along[1]).item() for s in (h, -h)]
    assert exact == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-4)

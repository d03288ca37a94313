"""Mocap bodies: MuJoCo's motion, and derivatives by their poses against differences."""

from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from derivatives import Map, assert_derivative, differentiate, is_smooth
from driven import Drive, load_drive, moved_drive, scene, sizes, step_map, visited
from numpy.typing import NDArray
from parity import INTEGRATORS, load, random_state, spoil_workspaces
from random_models import SMOOTH_MECHANISM

from gradgym import sim
from gradgym.sim import mujoco_twin, torch_bridge

Floats = NDArray[np.float64]
POSES = slice(2, 4)  # of the parts of a gradient


@pytest.fixture(scope="module")
def model() -> sim.Model:
    return scene()


def test_forward_is_mujocos(model: sim.Model) -> None:
    pushed = held = 0
    for drive in visited(model, 12, 0, forces=False):
        spoil_workspaces(model)
        ours, d = sim.forward(model, drive.state, drive.ctrl), mujoco.MjData(model.mj_model)
        mujoco.mj_forward(model.mj_model, load_drive(d, drive))
        for name in ("xpos", "xquat", "xipos", "geom_xpos", "geom_xmat", "subtree_com", "cvel", "qfrc_smooth"):
            np.testing.assert_allclose(getattr(ours, name), getattr(d, name), rtol=0, atol=1e-12, err_msg=name)
        for name in ("qacc", "qfrc_constraint"):
            scale = np.abs(getattr(d, name)).max()
            np.testing.assert_allclose(getattr(ours, name), getattr(d, name), rtol=0, atol=1e-6 * scale, err_msg=name)
        assert sorted(map(tuple, ours.contact.geom.tolist())) == sorted(map(tuple, d.contact.geom.tolist()))
        pushed += any({1, 2} == set(pair) for pair in ours.contact.geom.tolist())
        held += np.abs(ours.qfrc_constraint[-6:]).max() > 0.1
    assert pushed >= 4
    assert held == 12


@pytest.mark.parametrize(
    "integrator", [x if x == "Euler" else pytest.param(x, marks=pytest.mark.slow) for x in INTEGRATORS]
)
def test_steps_and_their_derivatives(integrator: str) -> None:
    model, rng, smooth = scene(integrator), np.random.default_rng(0), 0
    for drive in visited(model, 4, 1, forces=False):
        after, d = sim.step(model, drive.state, drive.ctrl), mujoco.MjData(model.mj_model)
        mujoco.mj_step(model.mj_model, load_drive(d, drive))
        change = np.abs(d.qvel - drive.state.qvel).max()
        np.testing.assert_allclose(after.qvel, d.qvel, rtol=0, atol=1e-6 * change)
        np.testing.assert_array_equal(after.mocap_pos, drive.state.mocap_pos)
        np.testing.assert_array_equal(after.mocap_quat, d.mocap_quat)
        assert after.mocap_pos is not drive.state.mocap_pos
        cotangent = rng.normal(size=2 * model.nv)
        spoil_workspaces(model, (1, False))
        gradient = sim.step_vjp(model, drive.state, drive.ctrl, cotangent)
        assert gradient.qfrc_applied is None and gradient.xfrc_applied is None
        smooth += same_along_directions(model, drive, gradient, cotangent, rng)
    assert smooth >= 5


def same_along_directions(
    model: sim.Model, drive: Drive, gradient: sim.StepGradient, cotangent: Floats, rng: np.random.Generator
) -> int:
    """Gradients by positions and by orientations against differences; returns how many saw no switch of a row."""
    smooth = 0
    for part, found in enumerate((gradient.mocap_pos.ravel(), gradient.mocap_quat.ravel()), start=2):
        tangent = [np.zeros(size) for size in sizes(model)]
        tangent[part] = rng.normal(size=found.size)
        difference = differentiate(step_map(model), drive, np.concatenate(tangent), h=1e-5)
        if is_smooth(difference, 1e-5):
            expected = cotangent @ difference.value
            bound = 1e-6 * np.abs(cotangent) @ np.abs(difference.value) + 10.0 * difference.rounding
            assert abs(found @ tangent[part] - expected) <= bound
            smooth += 1
    return smooth


def path_map(model: sim.Model, start: sim.State, ctrls: Floats, weights: Floats) -> Map:
    """Weighted sum of the velocities of a rollout as a function of all controls' poses; tangents as of `Drive`."""

    def value(poses: list[Drive]) -> Floats:
        pos, quat = (np.stack([getattr(pose.state, name) for pose in poses]) for name in ("mocap_pos", "mocap_quat"))
        path = sim.rollout(model, start, ctrls, 2, mocap_pos=pos, mocap_quat=quat)
        return np.sum(weights * path.qvel).reshape(1)

    def move(poses: list[Drive], t: Floats) -> list[Drive]:
        rows = t.reshape(len(poses), -1)
        return [moved_drive(model, pose, row) for pose, row in zip(poses, rows, strict=True)]

    return Map(value, move, lambda a, b: b - a)


@pytest.mark.parametrize("interval", [1, 2])
def test_rollout_with_a_pose_for_each_control(model: sim.Model, interval: int) -> None:
    rng, poses = np.random.default_rng(2), list(visited(model, 3, 3, forces=False))
    start, ctrls = poses[0].state, rng.normal(size=(3, model.nu))
    pos, quat = (np.stack([getattr(pose.state, name) for pose in poses]) for name in ("mocap_pos", "mocap_quat"))
    path = sim.rollout(model, start, ctrls, 2, interval, mocap_pos=pos, mocap_quat=quat)
    reached = start
    for t in range(3):
        reached = sim.step(model, reached._replace(mocap_pos=pos[t], mocap_quat=quat[t]), ctrls[t], 2)
    # the solver of a rollout starts where the last step ended
    np.testing.assert_allclose(path.qvel[-1], reached.qvel, rtol=0, atol=1e-9 * np.abs(reached.qvel).max())
    np.testing.assert_array_equal(path.state(3).mocap_pos, pos[2])

    weights, kept = rng.normal(size=path.qvel.shape), path.qvel.shape[0]
    cotangents = np.zeros((kept, 2 * model.nv))
    cotangents[:, model.nv :] = weights
    found = sim.rollout_vjp(model, path, cotangents)
    assert found.mocap_pos.shape == found.mocap_quat.shape == (3, model.nmocap, 3)
    if interval > 1:
        every = sim.rollout(model, start, ctrls, 2, mocap_pos=pos, mocap_quat=quat)
        seeds = np.zeros((4, 2 * model.nv))
        seeds[[0, 2, 3]] = cotangents
        np.testing.assert_array_equal(found.mocap_quat, sim.rollout_vjp(model, every, seeds).mocap_quat)
        return
    tangents = np.zeros((3, sum(sizes(model))))
    first = sum(sizes(model)[:2])
    tangents[:, first : first + 6 * model.nmocap] = rng.normal(size=(3, 6 * model.nmocap))
    difference = differentiate(path_map(model, start, ctrls, weights), poses, tangents.ravel(), h=1e-6)
    rates = tangents[:, first : first + 6 * model.nmocap].reshape(3, 2, -1)
    exact = np.sum(found.mocap_pos.reshape(3, -1) * rates[:, 0] + found.mocap_quat.reshape(3, -1) * rates[:, 1])
    assert is_smooth(difference, 1e-4)
    assert_derivative(exact.reshape(1), difference, 1e-6)


def test_held_poses_get_the_sum_over_the_controls(model: sim.Model) -> None:
    rng, (drive,) = np.random.default_rng(4), visited(model, 1, 5, forces=False)
    ctrls, cotangents = rng.normal(size=(2, 3, model.nu)), rng.normal(size=(2, 4, 2 * model.nv))
    held = sim.rollout(model, drive.state, ctrls)  # one state for both
    pos, quat = (np.tile(x, (2, 3, 1, 1)) for x in (drive.state.mocap_pos, drive.state.mocap_quat))
    each = sim.rollout(model, drive.state, ctrls, mocap_pos=pos, mocap_quat=quat)
    np.testing.assert_array_equal(held.qvel, each.qvel)
    one, many = sim.rollout_vjp(model, held, cotangents), sim.rollout_vjp(model, each, cotangents)
    assert one.mocap_pos.shape == (2, model.nmocap, 3)
    for name in ("mocap_pos", "mocap_quat"):
        total = getattr(many, name).sum(axis=1)
        np.testing.assert_allclose(getattr(one, name), total, rtol=0, atol=1e-13 * np.abs(total).max())
    np.testing.assert_array_equal(one.state0, many.state0)


def test_twin_takes_and_differentiates_the_same(model: sim.Model) -> None:
    rng, drives = np.random.default_rng(6), list(visited(model, 2, 7, forces=False))
    state = sim.State(*(np.stack(x) for x in zip(*(drive.state for drive in drives), strict=True)))
    ctrls, cotangents = rng.normal(size=(2, 3, model.nu)), rng.normal(size=(2, 4, 2 * model.nv))
    pos = state.mocap_pos[:, None] + rng.normal(scale=1e-3, size=(2, 3, model.nmocap, 3))
    ours, theirs = (backend.rollout(model, state, ctrls, mocap_pos=pos) for backend in (sim, mujoco_twin))
    np.testing.assert_allclose(ours.qvel, theirs.qvel, rtol=0, atol=1e-6 * np.abs(theirs.qvel).max())
    mine, other = sim.rollout_vjp(model, ours, cotangents), mujoco_twin.rollout_vjp(model, theirs, cotangents)
    for name in ("state0", "ctrls", "mocap_pos", "mocap_quat"):
        expected = getattr(other, name)
        assert getattr(mine, name).shape == expected.shape
        np.testing.assert_allclose(
            getattr(mine, name), expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=name
        )


def test_forces_on_mocap_bodies_have_gradients_too(model: sim.Model) -> None:
    rng, smooth = np.random.default_rng(8), 0
    for drive in visited(model, 3, 9, forces=False):
        weights = rng.normal(size=(model.nbody, 6))
        found = sim.cfrc_ext_vjp(model, drive.state, drive.ctrl, weights)
        force = Map(
            lambda x, w=weights: np.sum(w * sim.cfrc_ext(model, x.state, x.ctrl)).reshape(1),
            lambda x, t: moved_drive(model, x, t),
            lambda a, b: b - a,
        )
        tangent = [np.zeros(size) for size in sizes(model)]
        tangent[POSES] = rng.normal(size=(2, 3 * model.nmocap))
        difference = differentiate(force, drive, np.concatenate(tangent), h=1e-6)
        if is_smooth(difference, 1e-4):
            exact = found.mocap_pos.ravel() @ tangent[2] + found.mocap_quat.ravel() @ tangent[3]
            assert_derivative(np.array([exact]), difference, 1e-5)
            smooth += 1
    assert smooth >= 2


def test_torch_functions_take_raw_quaternions(model: sim.Model) -> None:
    drives = list(visited(model, 2, 10, forces=False))
    stacked = [np.stack(x) for x in zip(*(drive.state for drive in drives), strict=True)]
    qpos, qvel, act = (torch.tensor(x) for x in stacked[:3])
    ctrl = torch.tensor(np.stack([drive.ctrl for drive in drives]))
    pos, quat = torch.tensor(stacked[3], requires_grad=True), torch.tensor(1.7 * stacked[4], requires_grad=True)

    def velocity(pos: torch.Tensor, quat: torch.Tensor) -> torch.Tensor:
        return torch_bridge.step(model, qpos, qvel, act, ctrl, mocap_pos=pos, mocap_quat=quat).qvel

    value = velocity(pos, quat)
    np.testing.assert_array_equal(
        value.detach().numpy(),
        sim.step(
            model, sim.State(*stacked[:3])._replace(mocap_pos=stacked[3], mocap_quat=1.7 * stacked[4]), ctrl.numpy()
        ).qvel,
    )
    weights = torch.randn(value.shape, dtype=torch.float64)
    by_pos, by_quat = torch.autograd.grad((weights * value).sum(), (pos, quat))
    cotangent = np.concatenate([np.zeros_like(weights), weights.numpy()], axis=1)
    expected = sim.step_vjp(model, sim.State(*stacked), ctrl.numpy(), cotangent)
    np.testing.assert_allclose(by_pos.numpy(), expected.mocap_pos, rtol=1e-9, atol=1e-12)
    along = (by_quat * quat).sum(-1).abs().max() / by_quat.abs().max()
    assert along < 1e-12
    turn, h = torch.randn(quat.shape, dtype=torch.float64), 1e-6
    ends = [(weights * velocity(pos.detach(), quat.detach() + s * h * turn)).sum() for s in (-1, 1)]
    torch.testing.assert_close((by_quat * turn).sum(), (ends[1] - ends[0]) / (2 * h), rtol=1e-5, atol=1e-7)

    mapped = torch.func.vmap(
        lambda q, v, a, u, p: torch_bridge.step(model, q, v, a, u, mocap_pos=p, mocap_quat=quat[0]).qvel
    )(qpos, qvel, act, ctrl, pos)
    both = velocity(pos, quat[:1].expand(2, -1, -1))
    torch.testing.assert_close(mapped, both, rtol=0, atol=0)
    by_sum = torch.autograd.grad(mapped.sum(), (pos, quat))
    for found, wanted in zip(by_sum, torch.autograd.grad(both.sum(), (pos, quat)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_kinematics_of_mocap_bodies_both_ways(model: sim.Model) -> None:
    (drive,) = visited(model, 1, 11, forces=False)
    tensors = [torch.tensor(x[None], requires_grad=True) for x in (drive.state.qpos, *drive.state[3:])]
    assert torch.autograd.gradcheck(
        lambda *x: tuple(torch_bridge.kinematics(model, *x)), tensors, rtol=1e-5, atol=1e-7, check_forward_ad=True
    )
    ours = torch_bridge.kinematics(model, *(t.detach()[0] for t in tensors))
    found = sim.forward(model, drive.state, drive.ctrl)
    for name in ours._fields:
        np.testing.assert_array_equal(getattr(ours, name).numpy(), getattr(found, name))


def test_positions_of_the_model_count_where_no_pose_is_given(model: sim.Model) -> None:
    d = mujoco.MjData(model.mj_model)
    start = model.initial_state()
    np.testing.assert_array_equal(start.mocap_pos, d.mocap_pos)
    np.testing.assert_array_equal(start.mocap_quat, d.mocap_quat)
    bare, ctrl = sim.State(*start[:3]), np.zeros(model.nu)
    one, other = sim.step(model, bare, ctrl), sim.step(model, start, ctrl)
    for found, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(found, expected)
    many = sim.State(*(np.stack([x, x]) for x in start[:3]))._replace(mocap_pos=start[3], mocap_quat=start[4])
    assert sim.step(model, many, np.zeros((2, model.nu))).mocap_quat.shape == (2, model.nmocap, 4)
    cotangent = np.ones(2 * model.nv)
    params = sim.step_vjp(model, bare, ctrl, cotangent, params=True).params
    assert params is not None
    body = {name: model.mj_model.body(name).id for name in ("pusher", "hand", "arm")}
    assert not params["body_pos"][[body["pusher"], body["hand"]]].any()  # the pose of the state has that derivative
    assert params["body_pos"][body["arm"]].any()


def test_models_without_mocap_bodies_have_empty_poses() -> None:
    plain = load(SMOOTH_MECHANISM)
    state, ctrl = random_state(plain, 0)
    assert plain.nmocap == 0
    assert sim.step(plain, state, ctrl).mocap_pos.shape == (0, 3)
    two = sim.State(*(np.stack([x, x]) for x in state[:3]))
    path = sim.rollout(plain, two, np.stack([ctrl, ctrl])[:, None])
    assert path.state(1).mocap_quat.shape == (2, 0, 4)
    assert sim.rollout_vjp(plain, path, np.zeros((2, 2, 2 * plain.nv + plain.na))).mocap_pos.shape == (2, 0, 3)
    with pytest.raises(ValueError, match=r"state\.mocap_pos has shape \(1, 3\), expected \(0, 3\)"):
        sim.step(plain, state._replace(mocap_pos=np.zeros((1, 3))), ctrl)


def test_wrong_poses_are_named(model: sim.Model) -> None:
    state, ctrl = model.initial_state(), np.zeros(model.nu)
    for name, size in (("mocap_pos", 3), ("mocap_quat", 4)):
        value = getattr(state, name)
        for backend in (sim, mujoco_twin):
            with pytest.raises(ValueError, match=rf"state\.{name} has shape \(1, {size}\), expected \(2, {size}\)"):
                backend.step(model, state._replace(**{name: value[:1]}), ctrl)
        with pytest.raises(ValueError, match=rf"state\.{name} is not finite at index \[1, 2\]"):
            sim.forward(
                model,
                state._replace(**{name: np.where(np.arange(2 * size).reshape(2, size) == size + 2, np.nan, value)}),
                ctrl,
            )
        with pytest.raises(ValueError, match=rf"{name} has shape \(4, 2, {size}\), expected \(5, 2, {size}\)"):
            poses: Any = {name: np.zeros((4, 2, size))}
            sim.rollout(model, state, np.zeros((5, model.nu)), **poses)

"""Throwing and golf: their scenes, the return, parity with MuJoCo, gradients through whole episodes in contact."""

from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from gradgym.envs.task import RewardFromObservations
from gradgym.envs.task_state import TaskState
from gradgym.envs.tasks.ball_throw import BallThrow
from gradgym.envs.tasks.ball_to_target import BallToTarget
from gradgym.envs.tasks.golf import Golf
from gradgym.sim import torch_bridge

JOINTS = {BallThrow: 9, Golf: 5}
TASKS = pytest.mark.parametrize("task_type", list(JOINTS))
IDS = {BallThrow: "gradgym/BallThrow-v0", Golf: "gradgym/Golf-v0"}


def ends(task: BallToTarget, actions: Tensor) -> TaskState:
    """The last states of episodes from rest under actions (..., episode_steps, k)."""
    qpos, qvel, act = map(torch.from_numpy, task.model.initial_state()[:3])
    path = torch_bridge.rollout(task.model, qpos, qvel, act, task.control(actions), task.n_substeps)
    qpos, qvel, act = (x[..., -1, :] for x in path)
    return TaskState(task.model, qpos, qvel, act, torch.full(actions.shape[:-2], task.episode_steps))


def no_torque(task: BallToTarget) -> Tensor:
    return torch.zeros(task.episode_steps, task.n_joints, dtype=torch.float64)


def some_torques(task: BallToTarget, seed: int = 0) -> Tensor:
    """Smooth torques that throw the ball away, or that swing the club askew."""
    rng = np.random.default_rng(seed)
    knots = (0.15 if isinstance(task, BallThrow) else 0.05) * rng.normal(size=(6, task.n_joints))
    times, at = np.linspace(0, 5, task.episode_steps), np.arange(6)
    return torch.from_numpy(np.stack([np.interp(times, at, column) for column in knots.T], axis=1))


@TASKS
def test_scene(task_type: Any) -> None:
    task, k = task_type(), JOINTS[task_type]
    m = task.model.mj_model
    assert (m.nq, m.nv, m.nu) == (k + 7, k + 6, k)
    assert not m.qpos0[:k].any()
    assert m.jnt_type[-1] == int(mujoco.mjtJoint.mjJNT_FREE)
    np.testing.assert_array_equal(m.actuator_trnid[:, 0], np.arange(k))
    assert not m.dof_damping[k:].any()  # the ball flies and rolls by contact alone
    np.testing.assert_array_equal(task.action_space.high, np.ones(k))
    np.testing.assert_allclose(m.site("target").pos[:2], task.constants.target)


@TASKS
def test_a_ball_that_lies_on_the_target_is_at_the_target(task_type: Any) -> None:
    task = task_type(target=(2.0, -1.0))
    m = task.model.mj_model
    data = mujoco.MjData(m)
    data.qpos[task.n_joints : task.n_joints + 3] = [2.0, -1.0, m.geom("ball").size[0]]
    mujoco.mj_step(m, data, 2000)
    state = task.initial([np.random.default_rng(0)])
    state.qpos[0] = torch.from_numpy(data.qpos)
    assert task.distance(state).item() < 1e-7


def test_without_torque_the_cup_keeps_its_ball() -> None:
    task = BallThrow()
    state = ends(task, no_torque(task))
    gap = task.ball(state) - state.kinematics.site_xpos[task.model.mj_model.site("tool").id]
    assert gap.norm() < 0.02
    assert state.qvel.norm() < 2.0


def test_without_torque_the_club_hits_and_the_ball_comes_to_rest() -> None:
    task = Golf()
    state = ends(task, no_torque(task))
    x, y, _ = task.ball(state).tolist()
    assert 0.5 < x < 1.2
    assert y == pytest.approx(0.0, abs=1e-9)
    assert state.qvel[task.n_joints :].abs().max() < 1e-3


@TASKS
def test_the_return_is_what_the_ball_came_nearer(task_type: Any) -> None:
    env: Any = gymnasium.make(IDS[task_type], target=(1.2, -0.3))
    _, info = env.reset(seed=0)
    k, total, first = JOINTS[task_type], 0.0, info["ball_distance"]
    assert first == pytest.approx(env.unwrapped.max_return)
    for t, action in enumerate(some_torques(env.unwrapped.task).numpy()):
        obs, reward, terminated, truncated, info = env.step(action)
        total += reward
        assert not terminated
        assert truncated == (t == env.unwrapped.task.episode_steps - 1)
        assert np.linalg.norm(obs[2 * k : 2 * k + 3]) == pytest.approx(info["ball_distance"], rel=1e-5)
    assert total == pytest.approx(first - info["ball_distance"], abs=1e-9)
    ball = env.unwrapped.state.qpos[0, k : k + 3].numpy()
    height = env.unwrapped.task.constants.rest_height
    assert info["ball_distance"] == pytest.approx(np.linalg.norm(ball - [1.2, -0.3, height]), abs=1e-12)


@TASKS
def test_reward_and_terminal_from_observations_equal_the_environments(task_type: Any) -> None:
    env: Any = gymnasium.make(IDS[task_type])
    task = env.unwrapped.task
    assert isinstance(task, RewardFromObservations)
    before, _ = env.reset(seed=0)
    for action in some_torques(env.unwrapped.task).numpy():
        after, reward, terminated, _, _ = env.step(action)
        found = task.observed_reward(*map(torch.from_numpy, (before, action, after)))
        assert found.item() == pytest.approx(reward, abs=1e-6)  # float32
        assert task.observed_terminal(*map(torch.from_numpy, (before, action, after))).item() == terminated
        before = after


def test_the_observed_spin_is_in_world_axes() -> None:
    """A ball that rolls at velocity v turns at z x v / r, whichever way its own axes point."""
    task, velocity, radius = Golf(), np.array([0.5, 0.3, 0.0]), 0.02135
    k, spin = task.n_joints, np.cross([0.0, 0.0, 1.0], velocity) / radius
    quaternion, own = np.array([0.5, 0.1, -0.7, 0.4]) / np.linalg.norm([0.5, 0.1, -0.7, 0.4]), np.empty(3)
    mujoco.mju_rotVecQuat(own, spin, quaternion * [1, -1, -1, -1])
    state = task.initial([np.random.default_rng(0)])
    state.qpos[0, k + 3 :] = torch.from_numpy(quaternion)
    state.qvel[0, k:] = torch.from_numpy(np.concatenate([velocity, own]))
    np.testing.assert_allclose(task.observation(state)[0, 2 * k + 6 : 2 * k + 9], spin, atol=1e-9)


@TASKS
@pytest.mark.parametrize("torques", [no_torque, some_torques])
def test_episodes_are_mujocos(task_type: Any, torques: Any) -> None:
    tasks = [task_type(backend) for backend in ("sim", "mujoco")]
    states = [task.initial([np.random.default_rng(0)]) for task in tasks]
    with torch.no_grad():
        for action in torques(tasks[0]):
            states = [task.transition(state, action[None]) for task, state in zip(tasks, states, strict=True)]
            a, b = (task.observation(state) for task, state in zip(tasks, states, strict=True))
            # MuJoCo's solver stops at its tolerance; impacts magnify what it leaves.
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@TASKS
def test_the_final_distance_is_differentiated_through_contact(task_type: Any) -> None:
    """By all torques of an episode, against central differences along random directions."""
    task = task_type()
    torques = some_torques(task)
    leaf = torques.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(task.distance(ends(task, leaf)), leaf)
    moved = task.ball(ends(task, torques)) - task.ball(task.initial([np.random.default_rng(0)]))
    assert moved.norm() > 0.3
    rng, h = np.random.default_rng(1), 1e-6
    for _ in range(3):
        direction = torch.from_numpy(rng.normal(size=torques.shape))
        nudged = torch.stack([torques + s * h * direction for s in (-1, 1)])
        low, high = task.distance(ends(task, nudged)).tolist()
        assert (gradient * direction).sum().item() == pytest.approx((high - low) / (2 * h), rel=1e-5)


@TASKS
def test_plain_gradient_steps_from_zero_torque_hit_the_target(task_type: Any) -> None:
    """Polyak's step, whose length needs no tuning as the least distance is known to be zero."""
    task = task_type()
    torques, misses = no_torque(task).requires_grad_(), []
    for _ in range({BallThrow: 20, Golf: 40}[task_type]):
        miss = task.distance(ends(task, torques))
        misses.append(miss.item())
        (gradient,) = torch.autograd.grad(miss, torques)
        with torch.no_grad():
            torques -= miss / gradient.square().sum() * gradient
    assert min(misses) < 1e-3
    assert torques.abs().max() < 1.0


@TASKS
@pytest.mark.parametrize("target", [1.0, (1.0, 2.0, 3.0), (1.0, np.nan), "ab", (None, 1.0)])
def test_a_bad_target_is_named(task_type: Any, target: Any) -> None:
    with pytest.raises(ValueError, match=r"target=.*: must be two finite numbers, x and y"):
        task_type(target=target)


def test_soft_contact_is_an_option() -> None:
    task = Golf(contact_softness=0.05)
    assert task.model.mj_model.pair_margin.min() == pytest.approx(0.05)

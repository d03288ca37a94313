"""Mocap bodies in tasks: poses that belong to an episode, such as a goal."""

from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from driven import scene, visited
from gymnasium.vector import AutoresetMode
from torch import Tensor
from transitions import gradients_of, moved, outputs

from gradgym.envs.differentiable import DifferentiableEnvs
from gradgym.envs.single import TaskEnv
from gradgym.envs.task import Task
from gradgym.envs.task_state import TaskState
from gradgym.envs.vector import TaskVectorEnv
from gradgym.sim import Model, State, mujoco_twin, torch_bridge

BACKENDS = ["sim", "mujoco"]
GOAL, PUCK = 1, 2  # bodies
SCENE = """
<mujoco>
  <option timestep="0.02" gravity="0 0 0"/>
  <visual><headlight ambient="1 1 1"/></visual>
  <worldbody>
    <camera pos="0 0 6"/>
    <body mocap="true" pos="0.5 0 0"><geom type="box" size="0.3 0.3 0.1" contype="0" conaffinity="0"/>
      <site pos="0.1 0.2 0"/></body>
    <body><freejoint/><geom type="box" size="0.2 0.1 0.05" mass="1"/></body>
  </worldbody>
  <actuator>
    <motor joint="puck" gear="1 0 0 0 0 0" ctrlrange="-2 2"/>
    <motor joint="puck" gear="0 1 0 0 0 0.2" ctrlrange="-2 2"/>
  </actuator>
</mujoco>""".replace("<freejoint/>", '<freejoint name="puck"/>')


class ToPose(Task):
    """A puck in space that is to reach the pose of a mocap body, another in each episode."""

    n_substeps = 2

    def __init__(self, backend: str = "sim") -> None:
        super().__init__(Model.from_xml_string(SCENE), None, backend)

    def initial(self, rng: Any, params: None = None) -> TaskState:
        pos, quat = (torch.from_numpy(np.stack([one.normal(size=(1, n)) for one in rng])) for n in (3, 4))
        return replace(self.state_at(self.model.initial_state(), len(rng)), mocap_pos=pos, mocap_quat=quat)

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        known = state.kinematics
        lack = known.xpos[..., PUCK, :] - known.xpos[..., GOAL, :]
        return torch.cat([lack, known.site_xpos[..., 0, :], state.qpos[..., 3:], state.qvel], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        known = next_state.kinematics
        turned = (known.xquat[..., GOAL, :] * known.xquat[..., PUCK, :]).sum(-1)
        return {"near": -self.observation(next_state)[..., :3].square().sum(-1), "turned": turned * state.qvel[..., 0]}

    def terminal(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        return state.qpos[..., 0] > 0.02


def make(backend: str = "sim", num_envs: int = 3, **options: Any) -> TaskVectorEnv:
    return TaskVectorEnv(f"{__name__}:ToPose", num_envs, backend=backend, **options)


def goals(state: TaskState) -> tuple[Tensor, Tensor]:
    assert state.mocap_pos is not None and state.mocap_quat is not None
    return state.mocap_pos.clone(), state.mocap_quat.clone()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_an_autoreset_gives_a_new_goal_and_leaves_those_of_others(backend: str, mode: AutoresetMode) -> None:
    envs = make(backend, autoreset_mode=mode)
    obs = envs.reset(seed=3)[0]
    first = goals(envs.state)
    np.testing.assert_allclose(obs[:, :3], -first[0][:, 0], rtol=1e-6)
    for _ in range(30):
        obs, _, terminated, *_ = envs.step(np.array([[2.0, 1.0], [0.0, 1.0], [-1.0, 0.0]]))
        if mode is AutoresetMode.NEXT_STEP and terminated[0]:
            assert torch.equal(goals(envs.state)[0], first[0])
            obs = envs.step(np.zeros((3, 2)))[0]
        if terminated[0]:
            break
    else:
        pytest.fail("no episode ended")
    assert (envs.state.time[1:] > 2).all()
    for now, before in zip(goals(envs.state), first, strict=True):
        assert torch.equal(now[1:], before[1:])
        assert (now[0] != before[0]).all()
    np.testing.assert_allclose(obs[:, :3], (envs.state.qpos[:, :3] - goals(envs.state)[0][:, 0]).numpy(), rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_are_those_of_differences(backend: str) -> None:
    task, rng, h = ToPose(backend), np.random.default_rng(0), 1e-5
    state = task.initial([np.random.default_rng(i) for i in range(3)])
    state = moved(task, state, rng.normal(size=2 * task.model.nv))
    action = torch.from_numpy(rng.uniform(-1, 1, (3, 2)))
    following = task.transition(state, action)
    found = gradients_of(task, state, action, following, "full")
    assert following.kinematics  # with poses at hand another path is taken
    for key, array in gradients_of(task, state, action, following, "full").items():
        np.testing.assert_allclose(array, found[key], atol=1e-12)
    for i in range(12):
        tangent = np.eye(12)[i] * h
        low, high = (outputs(task, moved(task, state, s * tangent), action) for s in (-1, 1))
        for name in ("dobs", "dreward"):
            expected = (high[name] - low[name]) / (2 * h)
            np.testing.assert_allclose(found[f"{name}_dstate"][..., i], expected, atol=1e-6, err_msg=name)
    for i in range(2):
        low, high = (outputs(task, state, action + s * h * torch.eye(2, dtype=torch.float64)[i]) for s in (-1, 1))
        expected = (high["dreward"] - low["dreward"]) / (2 * h)
        np.testing.assert_allclose(found["dreward_daction"][:, i], expected, atol=1e-6)


def test_the_graph_of_environments_keeps_goals_and_draws_new_ones() -> None:
    envs = make(max_episode_steps=3)
    envs.reset(seed=0)
    worlds, first = DifferentiableEnvs(envs), goals(envs.state)
    worlds.detach()
    action = torch.full((3, 2), 0.5, dtype=torch.float64, requires_grad=True)
    rewards = [worlds.step(action).reward.sum() for _ in range(2)]
    assert torch.equal(goals(envs.state)[0], first[0]) and torch.equal(goals(envs.state)[1], first[1])
    (by_action,) = torch.autograd.grad(rewards[-1], action)
    assert (by_action != 0).any(-1).all()
    worlds.step(action)
    assert (goals(envs.state)[0] != first[0]).all()


def test_gradients_by_the_goal_reach_observations_under_torch() -> None:
    task = ToPose()
    state = task.initial([np.random.default_rng(0)])
    assert state.kinematics
    pos = goals(state)[0].requires_grad_()
    from_goal = TaskState(state.model, state.qpos, state.qvel, state.act, state.time, pos, state.mocap_quat)
    (by_goal,) = torch.autograd.grad(task.observation(from_goal)[0, 0], pos)
    np.testing.assert_array_equal(by_goal, [[[-1.0, 0.0, 0.0]]])


def test_states_with_and_without_poses_of_their_own_mix() -> None:
    task = ToPose()
    still, own = task.state_at(task.model.initial_state(), 2), task.initial([np.random.default_rng(i) for i in (0, 1)])
    assert still.mocap_pos is None and still.mocap_quat is None
    for mixed in (still.where(torch.tensor([True, False]), own), own.where(torch.tensor([False, True]), still)):
        pos, quat = goals(mixed)
        np.testing.assert_array_equal(pos[:, 0], np.stack([[0.5, 0, 0], goals(own)[0][1, 0]]))
        np.testing.assert_array_equal(quat[:, 0], np.stack([[1, 0, 0, 0], goals(own)[1][1, 0]]))
    assert still.where(torch.tensor([True, False]), still).mocap_pos is None


@pytest.mark.parametrize("vector", [False, True])
def test_a_picture_shows_the_goal_where_it_is(vector: bool) -> None:
    options: Any = {"render_mode": "rgb_array"}
    env: Any = make(num_envs=2, **options) if vector else TaskEnv(f"{__name__}:ToPose", **options)
    env.reset(seed=0)

    def picture(goal: list[float]) -> np.ndarray:
        state = env.unwrapped.state
        pos = torch.tensor(goal, dtype=torch.float64).expand(len(state.qpos), 1, 3)
        env.unwrapped._state = TaskState(state.model, state.qpos, state.qvel, state.act, state.time, pos, None)
        frames = env.render()
        return (frames[-1] if vector else frames).astype(int).sum(-1)

    left, right = picture([-1.5, 0.0, 0.0]), picture([1.5, 0.0, 0.0])
    changed: Any = np.abs(left - right) > 30
    columns = changed.any(0).nonzero()[0]
    assert columns.min() < 200 and columns.max() > 280 and not changed[:, 230:250].any()
    env.close()


class Driven(Task):
    """The scene of `driven.py`, in which mocap bodies push and hold others."""

    def __init__(self, backend: str) -> None:
        super().__init__(scene(), None, backend)

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        return state.qpos

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        return {}


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_mocap_bodies_do_in_a_step_is_mujocos(backend: str) -> None:
    task = Driven(backend)
    drive = next(iter(visited(task.model, 1, 0, forces=False)))
    state = task.state_at(drive.state, 2)
    np.testing.assert_array_equal(goals(state)[0], np.stack([drive.state.mocap_pos] * 2))
    action, d = torch.from_numpy(np.stack([drive.ctrl] * 2)), mujoco.MjData(task.model.mj_model)
    for name, value in drive.state._asdict().items():
        getattr(d, name)[...] = value
    d.ctrl[:] = drive.ctrl
    forces = mujoco_twin.cfrc_ext(task.model, drive.state, drive.ctrl)[1:3]  # pusher and crate: contacts alone
    assert np.abs(forces).max() > 1.0
    mujoco.mj_step(task.model.mj_model, d)
    for recording in (False, True):
        with torch.set_grad_enabled(recording):
            after, found = task.transition(state, action), task.contact_forces(state, action)
        np.testing.assert_allclose(after.qvel[1], d.qvel, rtol=0, atol=1e-6)
        assert torch.equal(goals(after)[1], goals(state)[1])
        assert after.numpy().mocap_pos is not None
        np.testing.assert_allclose(found[0, 1:3], forces, rtol=0, atol=1e-5 * np.abs(forces).max())


def test_a_counted_step_is_a_step() -> None:
    task = ToPose()
    state = State(*(torch.as_tensor(x) for x in task.model.initial_state()))
    poses: Any = {"mocap_pos": state.mocap_pos, "mocap_quat": state.mocap_quat}
    arguments = (*state[:3], torch.ones(2, dtype=torch.float64), 2)
    after, unconverged = torch_bridge.counted_step(task.model, *arguments, **poses)
    assert torch.equal(after.qpos, torch_bridge.step(task.model, *arguments, **poses).qpos)
    assert unconverged == 0

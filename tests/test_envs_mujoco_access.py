"""Environments as users of Gymnasium's `MujocoEnv` read and set them."""

import pickle
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gradgym import sim

ALL = [spec.id for spec in gymnasium.registry.values() if spec.namespace == "gradgym"]
ANT, HOPPER, CUBE = "gradgym/Ant-v0", "gradgym/Hopper-v0", "gradgym/CubeReorient-v0"
N = 3


def make(env_id: str = HOPPER, steps: int = 0, action_seed: int = 0, **options: Any) -> Any:
    """An environment some random actions after the start of seed 0."""
    env: Any = gymnasium.make(env_id, **options)
    env.reset(seed=0)
    env.action_space.seed(action_seed)
    for _ in range(steps):
        env.step(env.action_space.sample())
    return env


def coordinates(env: Any) -> list[NDArray[np.float64]]:
    """qpos, qvel and act."""
    return [x[0] for x in env.unwrapped.state.numpy()[:3]]


def assert_equal_steps(found: Any, expected: Any, row: int | None = None) -> None:
    """What `step` returned, of a vector environment the entries of one row."""

    def one(x: Any) -> Any:
        return x if row is None else x[row]

    for a, b in zip(found[:4], expected[:4], strict=True):
        np.testing.assert_array_equal(one(a), b)
    for name, value in expected[4].items():
        if name == "gradients":
            for key, array in value.items():
                if row is None:
                    np.testing.assert_array_equal(found[4][name][key], array)
                else:  # products of batches are summed in another order
                    np.testing.assert_allclose(found[4][name][key][row], array, rtol=1e-9, atol=1e-9)
        else:
            np.testing.assert_array_equal(one(found[4][name]), value)


@pytest.mark.parametrize("backend", ["sim", "mujoco"])
@pytest.mark.parametrize("env_id", ALL)
def test_who_is_put_into_anothers_state_steps_as_it_does(env_id: str, backend: str) -> None:
    """Bit for bit, single or one of several; goals and times are those that both have had."""
    options: dict[str, Any] = {"backend": backend, "gradients": "action", "max_episode_steps": 5}
    other, env = make(env_id, 3, **options), make(env_id, 3, action_seed=1, **options)
    envs: Any = gymnasium.make_vec(env_id, N, **options)
    envs.reset(seed=[1, 2, 0])
    for _ in range(3):
        envs.step(envs.action_space.sample())
    given = coordinates(other)
    assert any(not np.array_equal(a, b) for a, b in zip(given, coordinates(env), strict=True))
    before = envs.unwrapped.state.numpy()
    env.unwrapped.set_state(*given)
    envs.unwrapped.set_state(*(x[None] for x in given), rows=[2])
    for a, b in zip(before, envs.unwrapped.state.numpy(), strict=True):
        if a is not None:
            np.testing.assert_array_equal(a[:2], b[:2])
    for ends in (False, True):  # by the limit of time, which still counts from the start
        action = other.action_space.sample()
        expected = other.step(action)
        assert_equal_steps(env.step(action), expected)
        assert_equal_steps(envs.step(np.stack([action] * N)), expected, row=2)
        assert expected[3] is ends


@pytest.mark.parametrize("backend", ["sim", "mujoco"])
@pytest.mark.parametrize("name", ["Ant", "HalfCheetah", "Hopper", "Walker2d"])
def test_names_and_numbers_are_gymnasiums(name: str, backend: str) -> None:
    env = make(f"gradgym/{name}-v0", backend=backend)
    theirs: Any = gymnasium.make(env.unwrapped.counterpart[0], **env.unwrapped.counterpart[1])
    theirs.reset(seed=3)
    ours, reference = env.unwrapped, theirs.unwrapped
    assert (ours.dt, ours.frame_skip, ours.model.nq) == (reference.dt, reference.frame_skip, reference.model.nq)
    assert ours.model.opt.timestep == reference.model.opt.timestep
    np.testing.assert_array_equal(ours.init_qpos, reference.init_qpos)
    np.testing.assert_array_equal(ours.init_qvel, reference.init_qvel)
    qpos, qvel = reference.init_qpos + 0.01, reference.init_qvel + 0.1
    for one in (ours, reference):
        one.set_state(qpos, qvel)
    np.testing.assert_array_equal(ours.state_vector(), reference.state_vector())
    np.testing.assert_allclose(ours._get_obs(), reference._get_obs(), rtol=1e-6)
    for body in ("torso", 1):
        expected = reference.data.body(body).xpos
        np.testing.assert_allclose(ours.data.body(body).xpos, expected, atol=1e-12)
    np.testing.assert_allclose(ours.get_body_com("torso"), reference.get_body_com("torso"), atol=1e-12)
    action = env.action_space.sample()
    np.testing.assert_allclose(env.step(action)[0], theirs.step(action)[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.state_vector(), reference.state_vector(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("env_id", [ANT, CUBE, "gradgym/PlanarPushing-v0"])
def test_data_follows_the_environment(env_id: str) -> None:
    """The same object all the time, filled as `mj_forward` fills it; goals and commands of servos included."""
    env = make(env_id).unwrapped
    model, data = env.model, env.data
    np.testing.assert_array_equal(data.ctrl, 0.0)
    moved = [x + 0.01 for x in coordinates(env)]
    actions = [*[env.action_space.sample() for _ in range(3)], None]
    for time, action in enumerate(actions, 1):
        if action is None:
            env.set_state(*moved)
            time, ctrl = time - 1, np.zeros(model.nu)
        else:
            env.step(action)
            ctrl = env.task.control(torch.from_numpy(env._action[None]))[0].numpy()
            assert ctrl.any()
        assert env.data is data and env.model is model
        state = sim.State(*(None if x is None else x[0] for x in env.state.numpy()))
        assert data.time == pytest.approx(time * env.dt)
        np.testing.assert_array_equal(data.ctrl, ctrl)
        expected = sim.forward(env.task.model, state, ctrl)
        for name in ("xpos", "geom_xpos", "site_xpos", "actuator_force", "qfrc_bias", "cvel"):
            np.testing.assert_allclose(getattr(data, name), getattr(expected, name), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(data.qacc, expected.qacc, rtol=1e-4, atol=1e-4 * np.abs(expected.qacc).max())
        np.testing.assert_array_equal(data.act, state.act)
    env.reset(seed=5)
    assert data.time == 0.0
    np.testing.assert_array_equal(data.ctrl, 0.0)
    np.testing.assert_array_equal(data.qpos, coordinates(env)[0])
    for name in ("mocap_pos", "mocap_quat"):
        if (expected := getattr(env.state, name)) is not None:
            np.testing.assert_array_equal(getattr(data, name), expected[0])


def test_the_model_is_the_episodes() -> None:
    """Where each episode has another object."""
    env = make(CUBE, randomize={"mass": (0.5, 2.0), "size": (0.9, 1.1)}).unwrapped
    model, masses = env.model, set()
    for seed in range(4):
        env.reset(seed=seed)
        own = env.task.models[int(env.state.variant)]
        assert env.model is model
        np.testing.assert_array_equal(model.body_mass, own.body_mass)
        np.testing.assert_array_equal(model.geom_size, own.geom_size)
        masses.add(model.body("object").mass.item())
    assert len(masses) > 1


def test_the_copies_cannot_be_written_to() -> None:
    env = make().unwrapped
    with pytest.raises(ValueError, match="read-only"):
        env.data.qpos[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        env.data.qpos = np.zeros(6)
    with pytest.raises(ValueError, match="read-only"):
        env.model.body_mass[1] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        env.model.opt.gravity[2] = 0.0
    assert env.task.model.mj_model is not env.model
    before = env.state_vector()
    mujoco.mj_step(env.model, env.data)  # moves the copy alone
    np.testing.assert_array_equal(env.state_vector(), before)


def test_a_state_can_be_put_back() -> None:
    """With goal and time, also into another episode."""
    env = make(CUBE, 2, gradients="action").unwrapped
    state, action = env.state, env.action_space.sample()
    expected = env.step(action)
    env.reset(seed=9)
    env.state = state
    assert_equal_steps(env.step(action), expected)


def test_a_robot_that_has_fallen_is_put_on_its_feet() -> None:
    env = make().unwrapped
    start = coordinates(env)
    env.set_state(start[0] - [0.0, 1.0, 0.0, 0.0, 0.0, 0.0], start[1])
    assert env.step(np.zeros(3))[2]
    env.set_state(*start)
    assert not env.step(np.zeros(3))[2]


def test_a_pickled_environment_has_its_own_data() -> None:
    env = make(steps=2).unwrapped
    data = env.data
    copy = pickle.loads(pickle.dumps(env))
    env.step(np.ones(3))
    assert copy.data is not data
    np.testing.assert_array_equal(copy.data.qpos, coordinates(copy)[0])
    copy.step(np.ones(3))
    np.testing.assert_array_equal(copy.data.qpos, data.qpos)
    assert not copy.data.qpos.flags.writeable


def test_before_reset_there_is_no_state() -> None:
    env: Any = gymnasium.make(HOPPER).unwrapped
    assert env.model.nq == 6 and env.dt == 0.008 and env.init_qpos.shape == (6,)
    asked = [lambda: env.set_state(np.zeros(6), np.zeros(6)), lambda: env.data, env.state_vector, env._get_obs]
    for one in [*asked, lambda: env.get_body_com("torso")]:
        with pytest.raises(gymnasium.error.ResetNeeded, match=r"call env.reset\(\)"):
            one()
    envs: Any = gymnasium.make_vec(HOPPER, 2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.unwrapped.set_state(np.zeros((2, 6)), np.zeros((2, 6)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([np.zeros(5), np.zeros(6)], r"Hopper: qpos has shape \(5,\), expected \(6,\)"),
        ([np.zeros(6), np.zeros((1, 6))], r"Hopper: qvel has shape \(1, 6\), expected \(6,\)"),
        ([np.zeros(6), np.full(6, np.nan)], r"Hopper: qvel is not finite at index \(0,\): nan"),
        ([np.zeros(6), np.zeros(6), np.zeros(1)], r"Hopper: act has shape \(1,\), expected \(0,\)"),
    ],
)
def test_what_is_no_state_is_named(given: list[NDArray[np.float64]], message: str) -> None:
    env = make().unwrapped
    before = env.state
    with pytest.raises(ValueError, match=message):
        env.set_state(*given)
    assert env.state is before
    with pytest.raises(KeyError, match="Invalid name 'head'"):
        env.get_body_com("head")


@pytest.mark.parametrize(("rows", "order"), [(None, [0, 1]), ([1, 0], [1, 0]), (np.array([True, True]), [0, 1])])
def test_rows_of_a_vector_environment(rows: Any, order: list[int]) -> None:
    envs: Any = gymnasium.make_vec(HOPPER, 2).unwrapped
    envs.reset(seed=0)
    given = np.stack([np.arange(6.0), np.arange(6.0) + 10.0])
    envs.set_state(given, 2 * given, rows=rows)
    np.testing.assert_array_equal(envs.state.qpos, given[order])
    np.testing.assert_array_equal(envs.state.qvel, 2 * given[order])


@pytest.mark.parametrize("rows", [[0, 0], [3], [-1], [True, False], [0.0], 1, np.zeros((1, 3), bool), []])
def test_what_are_no_rows_is_named(rows: Any) -> None:
    envs: Any = gymnasium.make_vec(HOPPER, 3).unwrapped
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="rows: must be 3 booleans, or different indices from 0 to 2"):
        envs.set_state(np.zeros((1, 6)), np.zeros((1, 6)), rows=rows)


def test_a_robot_that_will_be_restarted_is_not_moved() -> None:
    envs: Any = gymnasium.make_vec(HOPPER, 2).unwrapped
    envs.reset(seed=0)
    start = [x.copy() for x in envs.state.numpy()[:2]]
    envs.set_state(start[0] - np.array([[0.0], [1.0]]), start[1])
    assert envs.step(np.zeros((2, 3)))[2].tolist() == [False, True]
    with pytest.raises(ValueError, match="episode of environment 1 has ended, reset it before"):
        envs.set_state(*start)
    envs.set_state(start[0][:1], start[1][:1], rows=[0])
    envs.reset(options={"reset_mask": np.array([False, True])})
    envs.set_state(*start)

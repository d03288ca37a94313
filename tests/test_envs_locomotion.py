"""Ant, HalfCheetah, Hopper, Walker2d against Gymnasium's own environments."""

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
import torch
from gymnasium.envs.mujoco.mujoco_env import MujocoEnv, expand_model_path
from gymnasium.vector import SyncVectorEnv
from transitions import random_transitions
from vector_info import assert_equal_info

from gradgym import sim
from gradgym.envs.advance import advance
from gradgym.envs.gradients import Gradients
from gradgym.envs.rendering import RENDER_OPTIONS
from gradgym.envs.tasks.ant import Ant
from gradgym.envs.tasks.pendulum import NLinkPendulum

NAMES = ["Ant", "HalfCheetah", "Hopper", "Walker2d"]
OBSERVATIONS = {"Ant": 27, "HalfCheetah": 17, "Hopper": 11, "Walker2d": 17}


def make(name: str, **options: Any) -> Any:
    return gymnasium.make(f"gradgym/{name}-v0", **options)


def make_theirs(env: Any) -> Any:
    env_id, arguments = env.unwrapped.counterpart
    return gymnasium.make(env_id, **arguments)


def never_ending(name: str) -> dict[str, Any]:
    return {} if name == "HalfCheetah" else {"terminate_when_unhealthy": False}


class TamePolicy:
    """Holds the joints near a slow wave, by feedback of their angles and velocities.

    It reads observations in float32, as networks do. The wave moves all feet on the ground.
    """

    def __init__(self, task: Any) -> None:
        m = task.model.mj_model
        self.height = 0.3 if isinstance(task, Ant) else 0.6
        joints = m.actuator_trnid[:, 0]
        self.angles = m.jnt_qposadr[joints] - task.n_hidden
        self.velocities = m.nq - task.n_hidden + m.jnt_dofadr[joints]
        self.rest = m.qpos0[m.jnt_qposadr[joints]]
        self.phase = np.random.default_rng(0).uniform(0, 2 * np.pi, m.nu)

    def __call__(self, obs: np.ndarray, t: int) -> np.ndarray:
        seen = obs.astype(np.float32)
        wave = self.height * np.sin(self.phase + 0.2 * t)
        action = 0.3 * (self.rest - seen[self.angles]) - 0.05 * seen[self.velocities] + wave
        return action.clip(-1, 1).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_keyword_arguments_and_defaults_are_gymnasiums(name: str) -> None:
    env = make(name)
    task, theirs = env.unwrapped.task, make_theirs(env).unwrapped
    arguments = inspect.signature(type(theirs).__init__).parameters
    expected = {n: p.default for n, p in arguments.items() if n not in ("self", "kwargs", *RENDER_OPTIONS)}
    if name == "Ant":
        expected["include_cfrc_ext_in_observation"] = False
    assert {field.name: getattr(task.constants, field.name) for field in fields(task.constants)} == expected
    base = set(inspect.signature(MujocoEnv.__init__).parameters)
    assert set(RENDER_OPTIONS) == base - {"self", "model_path", "frame_skip", "observation_space", "render_mode"}
    assert make(name, **{**env.unwrapped.counterpart[1], "camera_name": "track"}).unwrapped.task.constants == (
        task.constants
    )


@pytest.mark.parametrize("name", NAMES)
def test_spaces_are_gymnasiums(name: str) -> None:
    env = make(name)
    theirs = make_theirs(env)
    assert env.action_space == theirs.action_space
    assert env.observation_space.shape == theirs.observation_space.shape == (OBSERVATIONS[name],)
    assert env.spec.max_episode_steps == theirs.spec.max_episode_steps == 1000
    assert env.metadata["render_fps"] == theirs.metadata["render_fps"]


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_gymnasiums_start(name: str) -> None:
    env = make(name)
    theirs = make_theirs(env)
    for seed in (0, 7, None, None):
        (obs, info), (expected, expected_info) = env.reset(seed=seed), theirs.reset(seed=seed)
        np.testing.assert_array_equal(obs, expected.astype(np.float32))
        assert info == expected_info
    envs: Any = gymnasium.make_vec(f"gradgym/{name}-v0", num_envs=2)
    np.testing.assert_array_equal(envs.reset(seed=6)[0][1], theirs.reset(seed=7)[0].astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_one_policy_moves_alike_in_simulator_twin_and_gymnasium(name: str) -> None:
    """200 steps, in contact almost always. Observations within 1e-4.

    They differ by the solvers (MuJoCo's stops at its tolerance of 1e-8, and starts from the last
    solution where the twin starts cold) and by rounding to float32, about 5e-7 here. A stiff or
    random policy makes the motion chaotic: the twin and Gymnasium, both MuJoCo, then part as fast.
    """
    kwargs = never_ending(name)
    envs = [make(name, **kwargs), make(name, backend="mujoco", **kwargs)]
    envs.append(make_theirs(envs[0]))
    policy = TamePolicy(envs[0].unwrapped.task)
    observations = [env.reset(seed=3)[0] for env in envs]
    start = envs[0].unwrapped.state.qpos.clone()
    for t in range(200):
        steps = [env.step(policy(obs, t)) for env, obs in zip(envs, observations, strict=True)]
        observations = [step[0] for step in steps]
        for found in steps[:2]:
            np.testing.assert_allclose(found[0], steps[2][0], atol=1e-4)
            assert found[4]["x_position"] == pytest.approx(steps[2][4]["x_position"], abs=1e-4)
            assert found[2:4] == steps[2][2:4]
    assert (envs[0].unwrapped.state.qpos - start).abs().max() > 0.3, "nothing moved"


def test_ants_reward_is_gymnasiums_up_to_stale_positions_and_forces(record_property: Any) -> None:
    """Gymnasium's come from the last Runge-Kutta stage, ours from the next state: a small difference.

    Measured here: 0.005 a step on average where the reward is about 0.8, at most 0.03.
    The difference in position is no drift: the velocity's sum telescopes.
    """
    env = make("Ant")
    theirs = make_theirs(env)
    policy = TamePolicy(env.unwrapped.task)
    obs, expected_obs = env.reset(seed=3)[0], theirs.reset(seed=3)[0]
    rewards, names = [], ("reward_forward", "reward_contact")
    for t in range(200):
        obs, reward, _, _, info = env.step(policy(obs, t))
        expected_obs, expected, _, _, expected_info = theirs.step(policy(expected_obs, t))
        assert set(expected_info) == set(info) - {"diverged", "unconverged_steps"}
        for key in set(info) - {*names, "diverged", "unconverged_steps", "x_velocity", "y_velocity"}:
            assert info[key] == pytest.approx(expected_info[key], abs=2e-6), key
        assert reward == pytest.approx(sum(info[key] for key in info if key.startswith("reward_")), abs=1e-12)
        rewards.append([reward - expected, *(info[key] - expected_info[key] for key in names)])
    difference = np.abs(rewards)
    record_property("mean difference", difference.mean(axis=0).tolist())
    record_property("greatest difference", difference.max(axis=0).tolist())
    assert 0 < difference[:, 0].mean() < 0.01
    assert difference[:, 0].max() < 0.05
    assert abs(np.sum(rewards, axis=0)[1]) < 0.05


@pytest.mark.parametrize("name", NAMES[1:])
def test_planar_rewards_and_infos_are_gymnasiums(name: str) -> None:
    """To 1e-6: their positions are qpos, and what differs is the sum of squares in float32."""
    env = make(name)
    theirs = make_theirs(env)
    env.reset(seed=1)
    theirs.reset(seed=1)
    actions = np.random.default_rng(0).uniform(-1, 1, (40, *env.action_space.shape)).astype(np.float32)
    ended = False
    for action in actions:
        _, reward, terminated, _, info = env.step(1.5 * action)  # beyond the bounds: the cost is of what was given
        _, expected, expected_terminated, _, expected_info = theirs.step(1.5 * action)
        assert reward == pytest.approx(expected, abs=1e-5)
        assert terminated == expected_terminated
        assert set(expected_info) == set(info) - {"diverged", "unconverged_steps"}
        for key, value in expected_info.items():
            assert info[key] == pytest.approx(value, abs=1e-5), key
        ended = ended or terminated
    assert ended == (name != "HalfCheetah")


OTHER_KEYWORDS = {
    "Ant": {
        "frame_skip": 2,
        "forward_reward_weight": 2.0,
        "ctrl_cost_weight": 0.1,
        "contact_cost_weight": 0.0,
        "healthy_reward": 0.3,
        "main_body": "aux_1",
        "healthy_z_range": (0.5, 0.745),
        "reset_noise_scale": 0.02,
        "exclude_current_positions_from_observation": False,
    },
    "HalfCheetah": {"frame_skip": 3, "forward_reward_weight": 0.5, "exclude_current_positions_from_observation": False},
    "Hopper": {"healthy_state_range": (-3.0, 3.0), "healthy_angle_range": (-1.0, 1.0), "healthy_reward": 0.7},
    "Walker2d": {"xml_file": "walker2d.xml", "healthy_z_range": (1.2, 1.252), "terminate_when_unhealthy": False},
}


def main_body_x(theirs: Any) -> float:
    """Of the present state; 0 for robots whose body cannot be chosen."""
    if not hasattr(theirs.unwrapped, "_main_body"):
        return 0.0
    d = mujoco.MjData(theirs.unwrapped.model)
    d.qpos[:] = theirs.unwrapped.data.qpos
    mujoco.mj_kinematics(theirs.unwrapped.model, d)
    return d.body(theirs.unwrapped._main_body).xpos[0]


@pytest.mark.parametrize("name", NAMES)
def test_other_keyword_arguments_mean_the_same(name: str) -> None:
    env = make(name, **OTHER_KEYWORDS[name])
    theirs = make_theirs(env)
    task = env.unwrapped.task
    obs, expected = env.reset(seed=4)[0], theirs.reset(seed=4)[0]
    np.testing.assert_array_equal(obs, expected.astype(np.float32))
    rng, survived = np.random.default_rng(1), set()
    for _ in range(15):
        action = rng.uniform(-1, 1, task.model.nu).astype(np.float32)
        place = main_body_x(theirs)
        before, (obs, reward, terminated, _, info) = obs, env.step(action)
        expected, expected_reward, expected_terminated, _, expected_info = theirs.step(action)
        np.testing.assert_allclose(obs, expected, atol=1e-5)
        assert terminated == expected_terminated
        if name == "Ant":  # its position is stale in Gymnasium
            forward = 2.0 * (main_body_x(theirs) - place) / theirs.unwrapped.dt
            expected_reward += forward - expected_info["reward_forward"]
        assert reward == pytest.approx(expected_reward, abs=1e-5)
        assert info.get("reward_survive") == expected_info.get("reward_survive")
        survived.add(info.get("reward_survive"))
        seen = (torch.from_numpy(x)[None].double() for x in (before, action, obs))
        assert task.observed_terminal(*seen).item() == terminated
    assert len(survived) == (1 if name == "HalfCheetah" else 2), "health never changed"


@pytest.mark.parametrize("name", NAMES)
def test_health_is_seen_in_observations_too(name: str) -> None:
    """Batches of random states around the bounds; for the hopper also a joint out of its range."""
    env = make(name)
    task = env.unwrapped.task
    env.reset(seed=0)
    rng, n = np.random.default_rng(0), 500
    state = task.state_at(task.model.initial_state(), n)
    state.qpos[:, :3] += torch.from_numpy(rng.normal(0, 0.5, (n, 3)))
    state.qpos[:20, -1] = 120.0
    state.qvel[20:] = torch.from_numpy(rng.normal(0, 30.0, (n - 20, task.model.nv)))
    obs = task.observation(state)
    action = torch.zeros(n, task.model.nu)
    found = task.observed_terminal(obs, action, obs)
    shown = state.qvel.abs().max(-1).values < 100 if name == "Hopper" else torch.ones(n, dtype=torch.bool)
    np.testing.assert_array_equal(found[shown], task.terminal(state)[shown])
    assert found.any() == (name != "HalfCheetah")
    assert not found.all()
    assert task.observed_terminal(obs.float().expand(2, n, -1), action, obs.float().expand(2, n, -1)).shape == (2, n)


def test_many_ants_at_once_are_single_ants() -> None:
    """Native vector environment against `SyncVectorEnv`, beyond the ends of episodes."""
    kwargs: dict[str, Any] = {"healthy_z_range": (0.6, 0.85), "gradients": "action"}
    native: Any = gymnasium.make_vec("gradgym/Ant-v0", num_envs=3, **kwargs)
    reference = SyncVectorEnv([lambda: make("Ant", **kwargs)] * 3)
    np.testing.assert_array_equal(native.reset(seed=0)[0], reference.reset(seed=0)[0])
    rng, ends = np.random.default_rng(0), 0
    for _ in range(40):
        actions = rng.uniform(-1, 1, (3, 8))
        found, expected = native.step(actions), reference.step(actions)
        for a, b in zip(found[:4], expected[:4], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert_equal_info(found[4], expected[4])
        ends += found[2].sum()
    assert ends > 3


def test_contact_cost_is_that_of_mujocos_forces_in_the_next_state() -> None:
    """By `mj_rnePostConstraint` in the next state with the action's control, clipped; float64 throughout."""
    env = make("Ant")
    task = env.unwrapped.task
    m = task.model.mj_model
    d = mujoco.MjData(m)
    policy = TamePolicy(task)
    obs, _ = env.reset(seed=0)
    costs = []
    for t in range(60):
        action = policy(obs, t)
        obs, *_, info = env.step(action)
        d.qpos[:], d.qvel[:], d.ctrl[:] = env.unwrapped.state.qpos[0], env.unwrapped.state.qvel[0], action
        mujoco.mj_forward(m, d)
        mujoco.mj_rnePostConstraint(m, d)
        costs.append(5e-4 * np.square(np.clip(d.cfrc_ext, -1, 1)).sum())
        # mj_forward stops at the tolerance 1e-8, at forces of some newtons
        assert info["reward_contact"] == pytest.approx(-costs[-1], abs=1e-7)
    assert max(costs) > 0.005


def test_contact_cost_is_differentiable_by_torch() -> None:
    task = Ant(contact_force_range=(-1e4, 1e4), contact_cost_weight=1e-3)
    env = make("Ant")
    policy = TamePolicy(task)
    obs, _ = env.reset(seed=0)
    for t in range(100):
        obs, *_, info = env.step(policy(obs, t))
        if info["reward_contact"] < -0.01:
            break
    state, action = env.unwrapped.state, torch.from_numpy(policy(obs, 0)[None].astype(np.float64))

    def cost(action: torch.Tensor) -> torch.Tensor:
        return task.reward_terms(state, action, task.transition(state, action))["contact"].sum()

    (found,) = torch.autograd.grad(cost(leaf := action.clone().requires_grad_()), leaf)
    direction, h = torch.randn(1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), 1e-6
    ends = [cost(action + s * h * direction).item() for s in (-1, 1)]
    expected = (ends[1] - ends[0]) / (2 * h)
    assert abs(expected) > 1e-3
    assert (found * direction).sum().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gradients", ["action", "full"])
def test_contact_forces_are_evaluated_once_and_pulled_back_once(
    gradients: Gradients, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, task = [], Ant(contact_force_range=(-1e4, 1e4))
    state, action = random_transitions(task, 3)
    for name in ("cfrc_ext", "step_with_cfrc_ext", "cfrc_ext_vjp"):
        original = getattr(sim, name)
        counted = lambda *a, name=name, f=original: (calls.append((name, a[1].qpos.shape[0])), f(*a))[1]  # noqa: E731
        monkeypatch.setattr(sim, name, counted)
    advance(task, state, action, gradients)
    assert calls == [("cfrc_ext", 3), ("cfrc_ext_vjp", 3)]  # the step comes with its Jacobians
    advance(NLinkPendulum(2), *random_transitions(NLinkPendulum(2), 1), gradients)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("Ant", {"include_cfrc_ext_in_observation": True}, ValueError, "include_cfrc_ext_in_observation=True is not"),
        ("Ant", {"main_body": "tail"}, ValueError, "main_body='tail': the model has no such body"),
        ("Ant", {"main_body": 14}, ValueError, "main_body=14: the model has no such body"),
        ("Ant", {"use_contact_forces": True}, TypeError, "unexpected keyword argument 'use_contact_forces': .*main"),
        ("Hopper", {"xml_file": "no.xml"}, ValueError, "xml_file='no.xml': .* does not exist"),
        ("Walker2d", {"frame_skip": 0}, ValueError, "frame_skip=0: must be a positive integer"),
        ("Ant", {"integrator": "Leapfrog"}, ValueError, "integrator='Leapfrog': choose 'Euler'"),
    ],
)
def test_wrong_arguments_are_named(name: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(name, **arguments)


@pytest.mark.parametrize("backend", ["sim", "mujoco"])
def test_simulation_options_change_the_model_and_nothing_else(backend: str) -> None:
    plain, soft = Ant(backend), Ant(backend, integrator="Euler", contact_softness=0.02)
    assert int(plain.model.mj_model.opt.integrator) == mujoco.mjtIntegrator.mjINT_RK4
    assert int(soft.model.mj_model.opt.integrator) == mujoco.mjtIntegrator.mjINT_EULER
    margins = [task.model.mj_model.geom_margin for task in (plain, soft)]
    np.testing.assert_allclose(margins[1], margins[0] + 0.01)  # half of the softness for each geom of a pair
    assert soft.counterpart == plain.counterpart and soft.constants == plain.constants
    start, action = soft.initial([np.random.default_rng(0)]), torch.zeros(1, 8, dtype=torch.float64)
    assert not torch.equal(soft.transition(start, action).qvel, plain.transition(start, action).qvel)


def test_a_model_file_of_ones_own(tmp_path: Path) -> None:
    source = expand_model_path("hopper.xml")
    path = tmp_path / "mine.xml"
    path.write_text(open(source).read().replace('timestep="0.002"', 'timestep="0.004"'))
    assert make("Hopper", xml_file=str(path)).unwrapped.task.seconds_per_step == pytest.approx(0.016)


def test_render_options_reach_the_renderer() -> None:
    env = make("Ant", render_mode="rgb_array", width=64, height=48, default_camera_config={"distance": 2.0})
    env.reset(seed=0)
    near = env.render()
    assert near.shape == (48, 64, 3)
    env.close()
    env = make("Ant", render_mode="rgb_array", width=64, height=48, default_camera_config={"distance": 9.0})
    env.reset(seed=0)
    assert np.abs(env.render().astype(int) - near).max() > 20
    env.close()


def test_steps_that_did_not_converge_are_counted() -> None:
    envs: Any = gymnasium.make_vec("gradgym/Walker2d-v0", num_envs=2)
    env, task = make("Walker2d"), envs.unwrapped.task
    counts = []
    for iterations in (1, 100):
        envs.reset(seed=0)
        env.reset(seed=0)
        task.model = env.unwrapped.task.model = task.model.replace(iterations=iterations)
        total = 0
        for _ in range(10):
            recorded = task.transition(envs.unwrapped.state, torch.ones(2, 6, dtype=torch.float64)).unconverged
            info = envs.step(np.ones((2, 6)))[-1]
            assert info["unconverged_steps"].shape == (2,) and info["_unconverged_steps"].all()
            np.testing.assert_array_equal(recorded, info["unconverged_steps"])
            alone = env.step(np.ones(6))[-1]["unconverged_steps"]
            assert alone == info["unconverged_steps"][0] <= task.n_substeps
            total += alone
        counts.append(total)
    assert counts[0] > 0 == counts[1]

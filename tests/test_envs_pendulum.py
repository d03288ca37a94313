"""The n-link pendulum: the paper's constants, closed forms, and the return's bound."""

from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
import torch

from gradgym.envs.task import RewardFromObservations
from gradgym.envs.tasks.pendulum import NLinkPendulum

PENDULUM = "gradgym/NLinkPendulum-v0"


@pytest.mark.parametrize("n_links", [1, 2, 5, 20])
def test_constants_of_the_papers_experiments(n_links: int) -> None:
    task = NLinkPendulum(n_links)
    m = task.model.mj_model
    assert (m.nq, m.nv, m.nu, m.na) == (n_links, n_links, n_links, 0)
    np.testing.assert_allclose(m.body_mass[1:], [1.0] + [2.16] * (n_links - 1))
    np.testing.assert_allclose(m.body_ipos[1:], np.tile([0, 0.5, 0], (n_links, 1)))
    np.testing.assert_allclose(m.body_inertia[1], [0.00495, 0.00494, 0.00222])
    np.testing.assert_allclose(m.body_inertia[2:], np.tile([0.00539, 0.00490, 0.00312], (n_links - 1, 1)))
    np.testing.assert_allclose(m.jnt_axis, np.tile([1, 0, 0], (n_links, 1)))
    np.testing.assert_allclose(m.actuator_gear[:, 0], 10.0)
    np.testing.assert_allclose(m.opt.gravity, [0, 0, -9.8])
    assert m.opt.timestep == 1 / 60
    assert int(m.opt.integrator) == int(mujoco.mjtIntegrator.mjINT_EULER)
    assert not m.dof_damping.any()
    assert not m.dof_armature.any()
    assert task.episode_steps == 100
    assert task.max_return == pytest.approx(0.5 * n_links**2)


def make(**options: Any) -> Any:
    return gymnasium.make(PENDULUM, **options)


def test_starts_horizontal_along_y_at_rest() -> None:
    obs, info = make(n_links=3).reset(seed=0)
    ends = [[0, 0, 0], [0, 0.5, 0], [0, 1.0, 0], [0, 1.5, 0]]
    np.testing.assert_allclose(obs, np.concatenate([np.zeros(3), np.ravel(ends), [0.0]]), atol=1e-7)
    assert obs.dtype == np.float32
    assert info["tip_distance"] == pytest.approx(1.5 * 2**0.5)


@pytest.mark.parametrize("backend", ["sim", "mujoco"])
def test_one_link_follows_the_closed_form(backend: str) -> None:
    # (I + m L^2) q'' = 10 a - m g L cos q, semi-implicit Euler.
    env = make(n_links=1, backend=backend)
    env.reset(seed=0)
    inertia, q, qd, dt = 0.00495 + 0.25, 0.0, 0.0, 1 / 60
    rng = np.random.default_rng(0)
    for t in range(1, 101):
        action = rng.uniform(-1, 1)
        obs, *_ = env.step(np.array([action]))
        qd += dt * (10 * action - 9.8 * 0.5 * np.cos(q)) / inertia
        q += dt * qd
        expected = [qd, 0, 0, 0, 0, 0.5 * np.cos(q), 0.5 * np.sin(q), t / 100]
        np.testing.assert_allclose(obs, expected, atol=1e-5 * max(1, abs(qd)))


@pytest.mark.parametrize("n_links", [1, 4])
def test_reward_telescopes_and_ends_with_the_distance(n_links: int) -> None:
    env = make(n_links=n_links)
    env.reset(seed=0)
    rng, rewards, distances = np.random.default_rng(1), [], [env.unwrapped.task.max_return]
    for t in range(100):
        obs, reward, terminated, truncated, info = env.step(rng.uniform(-1, 1, n_links))
        tip = obs[-4:-1].astype(np.float64)
        distances.append(np.sum((tip - [0, 0, 0.5 * n_links]) ** 2))
        rewards.append(reward)
        assert not terminated
        assert truncated == (t == 99)
        assert info["reward_progress"] + info["reward_final"] == pytest.approx(reward, abs=1e-12)
        assert info["tip_distance"] == pytest.approx(distances[-1] ** 0.5, rel=1e-5)
        last = distances[-1] if t == 99 else 0.0
        assert reward == pytest.approx(distances[-2] - distances[-1] - last, abs=1e-4)
    assert sum(rewards) == pytest.approx(env.unwrapped.max_return - 2 * distances[-1], abs=1e-4)


def test_the_maximum_is_the_return_of_ending_on_the_target() -> None:
    task = NLinkPendulum(3)
    start = task.initial([np.random.default_rng(0)])
    upright = start.map(torch.clone)
    upright.qpos[0, 0] = np.pi / 2
    upright.time[0] = 100
    reward = task.reward(start, torch.zeros(1, 3), upright)
    assert reward.item() == pytest.approx(task.max_return, abs=1e-12)


def test_reward_and_terminal_from_observations_equal_the_environments() -> None:
    env = make(n_links=3)
    task = env.unwrapped.task
    assert isinstance(task, RewardFromObservations)
    obs, _ = env.reset(seed=0)
    rng, rows = np.random.default_rng(2), []
    for _ in range(100):
        action = rng.uniform(-1, 1, 3).astype(np.float32)
        next_obs, reward, terminated, _, _ = env.step(action)
        rows.append((obs, action, next_obs, reward, terminated))
        obs = next_obs
    before, actions, after, rewards, terminated = (torch.from_numpy(np.array(x)) for x in zip(*rows, strict=True))
    found = task.observed_reward(before.double(), actions.double(), after.double())
    np.testing.assert_allclose(found, rewards, atol=1e-5)
    np.testing.assert_array_equal(task.observed_terminal(before, actions, after), terminated)
    # float32 batches with more axes, as a learned model predicts them
    batch = task.observed_reward(before[None].repeat(2, 1, 1), actions[None], after[None].repeat(2, 1, 1))
    assert batch.dtype == torch.float32
    np.testing.assert_allclose(batch[1], rewards, atol=1e-5)


@pytest.mark.parametrize("n_links", [0, 21, 2.5, True, "5"])
def test_bad_number_of_links_is_named(n_links: int) -> None:
    with pytest.raises(ValueError, match=r"n_links=.*: must be an integer from 1 to 20"):
        make(n_links=n_links)


@pytest.mark.parametrize("n_links", range(1, 21))
def test_every_length_runs_on_both_backends_alike(n_links: int) -> None:
    actions = np.random.default_rng(n_links).uniform(-1, 1, (10, n_links))
    last = []
    for backend in ("sim", "mujoco"):
        env = make(n_links=n_links, backend=backend)
        env.reset(seed=0)
        last.append([env.step(a) for a in actions][-1])
    np.testing.assert_allclose(last[0][0], last[1][0], rtol=1e-5, atol=1e-5)
    assert last[0][1] == pytest.approx(last[1][1], abs=1e-7)

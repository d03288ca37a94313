"""The racecar: what it is made of, closed forms of braking, coasting and turning, the reward."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from gradgym import sim
from gradgym.envs.tasks.racecar import WHEELS, Racecar

GRAVITY = 9.81
BACKENDS = ["sim", "mujoco"]
AHEAD, SPEED = 5, slice(5, 8)  # in the observation


def make(**options: Any) -> Any:
    return gymnasium.make("gradgym/Racecar-v0", **options)


def drive(env: Any, action: Any, steps: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Observations (steps, 20) under one action, and the last info."""
    found = [env.step(np.array(action)) for _ in range(steps)]
    return np.array([obs for obs, *_ in found], np.float64), found[-1][-1]


def test_the_car_is_pybullets() -> None:
    m = Racecar(sliding_friction=0.3).model.mj_model
    assert (m.nv, m.nu, m.na) == (12, 6, 0)
    assert m.body("chassis").mass == 4.0
    for name in WHEELS:
        assert m.body(name).mass == 0.34055
        np.testing.assert_allclose(m.geom(name).size, [0.05, 0.0225, 0.05])
        assert m.geom(name).friction[0] == 0.3
        assert m.joint(name).frictionloss == 0.0
    rear, left, right = (m.body(name).pos for name in ("rear_left_wheel", "left_steering", "right_steering"))
    np.testing.assert_allclose([left[0] - rear[0], left[1] - right[1]], [0.325, 0.2])


def test_observation_at_the_start() -> None:
    env = make(reset_noise_scale=0.0, initial_speed=1.5)
    obs, info = env.reset(seed=0)
    expected = [2.0, 0.0, 0.0, 0.0, 1.0, 1.5, *[0.0] * 9, *[1.5] * 4, 0.0]
    np.testing.assert_allclose(obs, expected, atol=1e-7)
    assert info["target_distance"] == pytest.approx(2.0, abs=1e-4)


def test_noise_moves_the_car_and_the_observation_sees_the_target_from_it() -> None:
    task = Racecar()
    start = task.initial([np.random.default_rng(i) for i in range(200)])
    obs = task.observation(start)
    to_target = torch.tensor([2.0, 0.0]) - start.qpos[:, :2]
    heading = 2 * torch.atan2(start.qpos[:, 6], start.qpos[:, 3])
    bearing = torch.atan2(obs[:, 1], obs[:, 0]) + heading
    np.testing.assert_allclose(bearing, torch.atan2(to_target[:, 1], to_target[:, 0]), atol=1e-12)
    np.testing.assert_allclose(obs[:, :2].norm(dim=-1), to_target.norm(dim=-1))
    np.testing.assert_allclose(obs[:, SPEED], [[1.0, 0.0, 0.0]] * 200, atol=1e-12)
    for value, most in ((start.qpos[:, 0], 0.5), (start.qpos[:, 1], 0.5), (heading, 1.0)):
        assert 0.9 * most < value.abs().max() <= most


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("friction", "steps"), [(0.0637, 40), (0.3, 20)])
def test_braking_distance(friction: float, steps: int, backend: str) -> None:
    # v^2 / (2 mu g). What remains: a tyre's contact takes the friction only after the first centimetre or so.
    env = make(sliding_friction=friction, reset_noise_scale=0.0, braked=True, backend=backend)
    env.reset(seed=0)
    obs, info = drive(env, [0.0, 0.0], steps)
    assert obs[-1, AHEAD] == pytest.approx(0.0, abs=1e-5)
    assert info["x_position"] == pytest.approx(1 / (2 * friction * GRAVITY), rel=0.01)
    assert info["y_position"] == pytest.approx(0.0, abs=1e-6)


def test_stopping_place_by_friction() -> None:
    # d/dmu of v^2 / (2 mu g): minus the distance divided by mu.
    friction = 0.1
    task = Racecar(friction, reset_noise_scale=0.0, braked=True)
    start = task.initial([np.random.default_rng(0)])
    path = sim.rollout(task.model, start.numpy(), np.zeros((1, 40, 6)), task.n_substeps)
    cotangents = np.zeros((1, 41, 2 * task.model.nv))
    cotangents[:, -1, 0] = 1.0
    params = sim.rollout_vjp(task.model, path, cotangents, params=True).params
    assert params is not None
    by_friction = params["geom_friction"][0, :, 0]
    wheels = [task.model.mj_model.geom(name).id for name in WHEELS]
    assert by_friction[wheels].sum() == pytest.approx(-path.qpos[0, -1, 0] / friction, rel=0.01)
    np.testing.assert_array_equal(np.delete(by_friction, wheels), 0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_coasting(backend: str) -> None:
    # Bearings brake each wheel by d omega: (M + 4 I / r^2) v' = - 4 d v / r^2.
    env = make(reset_noise_scale=0.0, backend=backend)
    env.reset(seed=0)
    obs, _ = drive(env, [0.0, 0.0], 40)
    m = env.unwrapped.task.model.mj_model
    rate = 4 * 0.0005 / 0.05**2 / (m.body_mass.sum() + 4 * 0.00041226 / 0.05**2)
    # The tyres' give takes a little more.
    assert obs[-1, AHEAD] == pytest.approx(np.exp(-2.0 * rate), rel=0.02)


@pytest.mark.parametrize("backend", BACKENDS)
def test_turning_circle(backend: str) -> None:
    # Wheels that roll turn the car by v tan(steering) / wheelbase; the front ones at unequal angles, for one centre.
    env = make(reset_noise_scale=0.0, initial_speed=0.5, backend=backend)
    env.reset(seed=0)
    obs, _ = drive(env, [0.8, 0.0], 30)
    left, right, yaw_rate, speed = obs[-1, 11], obs[-1, 12], obs[-1, 10], obs[-1, AHEAD]
    radius = 0.325 / np.tan(0.8 * 0.6)
    np.testing.assert_allclose([0.325 / np.tan(left), 0.325 / np.tan(right)], [radius - 0.1, radius + 0.1], rtol=0.02)
    assert yaw_rate == pytest.approx(speed / radius, rel=0.03)


def test_reward_is_progress_less_the_cost() -> None:
    env = make()
    _, info = env.reset(seed=3)
    rng, before = np.random.default_rng(0), info["target_distance"]
    for t in range(100):
        action = rng.uniform(-1.5, 1.5, 2)
        _, reward, terminated, truncated, info = env.step(action)
        assert reward == pytest.approx(before - info["target_distance"] - 0.01 * action @ action, abs=1e-12)
        assert reward == pytest.approx(info["reward_progress"] + info["reward_ctrl"], abs=1e-12)
        before = info["target_distance"]
        assert not terminated
        assert truncated == (t == 99)


def test_both_backends_drive_alike() -> None:
    # Contact and sliding wheels do not forget the solvers' tolerance, but it stays small for a second.
    actions, last = np.random.default_rng(0).uniform(-1, 1, (20, 2)), []
    for backend in BACKENDS:
        env = make(backend=backend)
        env.reset(seed=0)
        last.append([env.step(a) for a in actions][-1])
    np.testing.assert_allclose(last[0][0], last[1][0], rtol=1e-4, atol=1e-4)
    assert last[0][1] == pytest.approx(last[1][1], abs=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sliding_friction": 0.0}, r"sliding_friction=0.0: must be finite and more than 0"),
        ({"sliding_friction": np.inf}, r"sliding_friction=inf: must be finite and more than 0"),
        ({"initial_speed": np.nan}, r"initial_speed=nan: must be finite"),
        ({"reset_noise_scale": -1.0}, r"reset_noise_scale=-1.0: must be finite and not negative"),
        ({"target": (1.0, np.inf)}, r"target=\(1.0, inf\): must be two finite numbers"),
        ({"target": "12"}, r"target='12': must be two finite numbers"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_the_target_is_an_argument() -> None:
    env = make(target=(-1.0, 0.5), reset_noise_scale=0.0)
    observation, _ = env.reset(seed=0)
    np.testing.assert_allclose(observation[:2], [-1.0, 0.5], atol=1e-6)

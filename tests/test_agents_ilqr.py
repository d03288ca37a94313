"""iLQR: the sweep beside the whole quadratic problem, its policy, and a pendulum that swings up."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import slide as slide  # registers its environment
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback

from gradgym import train
from gradgym.agents import ILQR
from gradgym.agents.policy_gradient.ilqr import _along
from gradgym.agents.policy_gradient.path_policy import PathPolicy
from gradgym.agents.policy_gradient.riccati import Expansion, concave, solve
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.run import load_best


def pendulum(**kwargs: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make("gradgym/NLinkPendulum-v0", n_links=2, **kwargs)


def quadratic(rng: np.random.Generator, steps: int, nx: int, nu: int) -> Expansion:
    def negative(count: int, n: int) -> Any:
        x = rng.normal(size=(count, n, n))
        return -x @ x.swapaxes(1, 2)

    return Expansion(
        rng.normal(size=(steps, nx, nx)),
        rng.normal(size=(steps, nx, nu)),
        rng.normal(size=(steps, nx)),
        rng.normal(size=(steps, nu)),
        negative(steps + 1, nx),
        negative(steps, nu),
    )


def test_the_sweep_finds_the_maximum_of_the_whole_problem() -> None:
    """All controls as one vector, from a start beside the path: its maximum is what change and feedback do."""
    rng, steps, nx, nu = np.random.default_rng(0), 4, 3, 2
    model, start = quadratic(rng, steps, nx, nu), rng.normal(size=3)
    found = solve(model, 1e-12)
    by_start, by_control = np.eye(nx), np.zeros((nx, steps * nu))  # x_t = by_start start + by_control u
    hessian, slope = np.zeros((steps * nu, steps * nu)), np.zeros(steps * nu)
    for t in range(steps + 1):
        hessian += by_control.T @ model.state_curvature[t] @ by_control
        slope += by_control.T @ model.state_curvature[t] @ by_start @ start
        if t < steps:
            own = np.eye(steps * nu)[t * nu : (t + 1) * nu]
            slope += by_control.T @ model.by_state[t] + own.T @ model.by_control[t]
            hessian += own.T @ model.control_curvature[t] @ own
            by_start, by_control = model.A[t] @ by_start, model.A[t] @ by_control + model.B[t] @ own
    x, controls = start, []
    for t in range(steps):
        controls.append(found.change[t] + found.gain[t] @ x)
        x = model.A[t] @ x + model.B[t] @ controls[t]
    np.testing.assert_allclose(np.concatenate(controls), np.linalg.solve(-hessian, slope), rtol=1e-8)
    assert np.linalg.norm(solve(model, 10.0).change) < np.linalg.norm(found.change)


def test_concave_drops_what_bends_upwards() -> None:
    bent = np.array([np.diag([1.0, -2.0]), np.zeros((2, 2)), -np.eye(2)])
    np.testing.assert_allclose(concave(bent), [np.diag([0.0, -2.0]), np.zeros((2, 2)), -np.eye(2)])


def test_path_policy_acts_along_its_path_with_feedback_and_memory() -> None:
    box = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 4.0], np.float32))
    policy = PathPolicy(spaces.Box(-np.inf, np.inf, (3,)), box, lambda _: 0.0, n_steps=2)
    obs, control, gain = torch.randn(2, 3), torch.randn(2, 2), torch.randn(2, 2, 3)
    policy.follow(obs, control, gain)
    seen = torch.randn(4, 3).numpy()

    def expected(t: int, row: int) -> Any:
        squashed = torch.tanh(control[t] + gain[t] @ (torch.from_numpy(seen[row]) - obs[t])).numpy()
        return np.array([squashed[0], 2.0 * squashed[1] + 2.0])

    action, memory = policy.predict(seen)
    np.testing.assert_allclose(action, [expected(0, row) for row in range(4)], rtol=1e-5)
    action, memory = policy.predict(seen, memory, np.array([False, True, False, False]))
    np.testing.assert_allclose(action, [expected(t, row) for row, t in enumerate((1, 0, 1, 1))], rtol=1e-5)
    action, memory = policy.predict(seen, memory)
    np.testing.assert_allclose(action[1], expected(1, 1), rtol=1e-5)
    last = torch.tanh(control[1]).numpy()  # after the end
    np.testing.assert_allclose(action[0], [last[0], 2.0 * last[1] + 2.0], rtol=1e-5)
    single, _ = policy.predict(seen[2])
    np.testing.assert_allclose(single, expected(0, 2), rtol=1e-5)


class Silent(BaseCallback):
    """Notes nothing, and lets the training go on."""

    def __init__(self, model: ILQR) -> None:
        super().__init__()
        self.model = model

    def _on_step(self) -> bool:
        return True


@torch.no_grad()
def test_slopes_of_the_model_are_those_of_the_objective() -> None:
    """By differences, with costs that weigh as much as the reward, and a task that ends before its time."""
    found = ILQR("PathPolicy", pendulum(max_episode_steps=12), effort=0.1, speed=0.01, seed=0)
    assert found.env is not None
    found.env.envs.task.terminal = lambda state, rng=None, params=None: state.time >= 9  # pyright: ignore[reportAttributeAccessIssue]
    control = 0.5 * torch.randn(1, 12, 2, dtype=torch.float64)
    path = found._play(control, None, Silent(found))
    assert path is not None
    model = found._expansion(_along(path, 0), path)
    later, slopes = np.zeros(4), np.zeros((12, 2))
    for t in reversed(range(12)):
        slopes[t] = model.by_control[t] + model.B[t].T @ later
        later = model.by_state[t] + model.A[t].T @ later
    shifts = 1e-5 * torch.eye(24, dtype=torch.float64).reshape(24, 12, 2)
    ends = [found._play(control + sign * shifts, None, Silent(found)) for sign in (1.0, -1.0)]
    differences = [found._objectives(end) for end in ends if end is not None]
    np.testing.assert_allclose(slopes.ravel(), (differences[0] - differences[1]) / 2e-5, rtol=1e-6, atol=1e-8)
    # Beyond the end the controls' cost alone is left.
    np.testing.assert_allclose(slopes[9:], -0.2 * control[0, 9:])


@pytest.fixture(scope="module")
def swung() -> ILQR:
    return ILQR("PathPolicy", pendulum(), line_search=8, seed=0).learn(18_000)


def test_two_links_swing_up_in_both_engines(swung: ILQR) -> None:
    for backend in ("sim", "mujoco"):
        found = evaluate_returns(swung, pendulum(backend=backend), 1, seed=0)[0]
        assert 1.995 < found <= 2.0
        # What it plays is the best path: all that is left is rounding to float32. Its costs come on top.
        assert found == pytest.approx(swung.best_objective, abs=0.03)


@pytest.mark.slow
def test_twenty_links_swing_up_in_both_engines(tmp_path: Path) -> None:
    command = ["--algo", "ilqr", "--env", "gradgym/NLinkPendulum-v0", "--env-kwargs", "n_links:20", "--seed", "100"]
    assert train.main([*command, "--run-dir", str(tmp_path / "run")]) == 0
    policy = load_best(tmp_path / "run")
    for backend in ("sim", "mujoco"):
        env = gymnasium.make("gradgym/NLinkPendulum-v0", n_links=20, backend=backend)
        assert evaluate_returns(policy, env, 1, seed=0)[0] > 198.0


def test_feedback_leads_back_to_the_path(swung: ILQR) -> None:
    def end(gain: float) -> float:
        env = pendulum()
        obs, _ = env.reset(seed=0)
        memory, total = None, 0.0
        kept = swung.policy.gain.clone()
        swung.policy.gain.mul_(gain)
        env.unwrapped.set_state(np.array([0.02, -0.03]), np.array([0.1, -0.1]))  # pyright: ignore[reportAttributeAccessIssue]
        obs = env.unwrapped.task.observation(env.unwrapped.state).numpy().reshape(-1)  # pyright: ignore[reportAttributeAccessIssue]
        for _ in range(100):
            action, memory = swung.predict(obs, memory, deterministic=True)
            obs, reward, *_ = env.step(action)
            total += float(reward)
        swung.policy.gain.copy_(kept)
        return total

    assert end(1.0) > end(0.0) + 0.01


def test_a_path_ends_where_the_task_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ILQR("PathPolicy", pendulum(), line_search=2, seed=0)
    assert found.env is not None
    monkeypatch.setattr(found.env.envs.task, "terminal", lambda state: state.time >= 3)
    found._control = torch.full((100, 2), 0.1, dtype=torch.float64)
    found.learn(1)
    # Nothing but effort counts after the end, so controls there shrink, all alike.
    later = found._control[3:]
    assert later.std() < 1e-9 and 0.01 < later.mean() < 0.099
    assert (found._control[:3] - later.mean()).abs().min() > 1e-3


def test_a_path_that_gains_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ILQR("PathPolicy", pendulum(), line_search=2, patience=1, seed=0)
    monkeypatch.setattr(found, "_objectives", lambda episodes: torch.zeros(len(episodes.returns)))
    found.learn(1)
    assert found._control is None and found.best_objective == 0.0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [({"line_search": 0}, "line_search=0"), ({"effort": 0.0}, "effort=0"), ({"speed": -1.0}, "speed=-1")],
)
def test_wrong_settings_are_named(arguments: dict[str, Any], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        ILQR("PathPolicy", pendulum(), **arguments)


def test_episodes_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="max_episode_steps"):
        ILQR("PathPolicy", gymnasium.make("Slide-v0", max_episode_steps=-1))

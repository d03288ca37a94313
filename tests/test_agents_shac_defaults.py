"""SHAC's defaults: how far gradients are carried, the discount, and what the end of a task's own time means."""

from typing import Any

import gymnasium
import pytest
import slide
import torch
from gradient_trainings import make, recorded

from gradgym.agents import SHAC
from gradgym.agents.policy_gradient.short_horizon_policy import RunningNormalization
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.envs.differentiable import DifferentiableEnvs


def pendulum(n_links: int = 1, **kwargs: Any) -> Any:
    return gymnasium.make("gradgym/NLinkPendulum-v0", n_links=n_links, **kwargs)


@pytest.mark.parametrize(
    ("env", "given", "horizon", "gamma"),
    [
        (pendulum, {}, 100, 1.0),
        (pendulum, {"horizon": 7, "gamma": 0.9}, 7, 0.9),
        # With another limit of time an episode is not over when its problem is, and the other way round.
        (lambda: pendulum(max_episode_steps=150), {}, 9, 0.99),
        (lambda: pendulum(max_episode_steps=50), {}, 9, 0.99),
        (lambda: gymnasium.make("gradgym/Ant-v0"), {}, 3, 0.99),  # steps of 50 ms
        (lambda: gymnasium.make("gradgym/Hopper-v0"), {}, 19, 0.99),  # of 8 ms
    ],
)
def test_what_is_not_given_follows_from_the_task(env: Any, given: dict[str, Any], horizon: int, gamma: float) -> None:
    algorithm = SHAC("MlpPolicy", env(), n_envs=2, **given)
    assert (algorithm.horizon, algorithm.gamma) == (horizon, gamma)


@pytest.mark.parametrize(
    ("env", "given", "noise", "normalizes"),
    [
        (pendulum, {}, (-3.0, -5.0), False),
        (pendulum, {"log_std_init": -1.5}, (-1.5, -2.0), False),
        (pendulum, {"normalize": True}, (-3.0, -5.0), True),
        (lambda: pendulum(max_episode_steps=150), {}, (-1.0, -2.0), True),
    ],
)
def test_the_policy_is_steady_through_whole_episodes(
    env: Any, given: dict[str, Any], noise: tuple[float, float], normalizes: bool
) -> None:
    policy = SHAC("MlpPolicy", env(), n_envs=2, policy_kwargs=given).policy
    assert (policy.log_std_init, policy.log_std_min) == noise
    assert isinstance(policy.normalize, RunningNormalization) == normalizes


@pytest.mark.parametrize("own", [False, True])
def test_after_a_tasks_own_time_nothing_follows(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the policy nor for the critic; after a limit of time alone the critic's value does."""
    algorithm, seen = make(SHAC, n_envs=4, horizon=slide.EPISODE_STEPS), {}
    recorded(algorithm)
    _, callback = algorithm._setup_learn(1000)
    if own:
        algorithm.env.envs.task.episode_steps = slide.EPISODE_STEPS
    worlds = DifferentiableEnvs(algorithm.env.envs)
    window: Any = algorithm._roll_out(worlds, callback)
    assert window.truncated[-1].all() and not window.terminated.any()
    value = (algorithm.value_scale * algorithm.policy.target_value(window.next_obs)).detach()
    ascend, fit = algorithm._ascend, algorithm._fit_critic
    monkeypatch.setattr(algorithm, "_ascend", lambda *a: (seen.update(objective=a[0].item()), ascend(*a)))
    monkeypatch.setattr(algorithm, "_fit_critic", lambda *a: (seen.update(target=a[1]), fit(*a))[1])
    algorithm.train(window, worlds)
    reward, gamma = window.reward.detach(), algorithm.gamma
    following = torch.zeros_like(value) if own else value
    last = gamma**slide.EPISODE_STEPS * following[-1]
    plain = sum(gamma**t * reward[t] for t in range(slide.EPISODE_STEPS))
    assert seen["objective"] == pytest.approx(((plain + last).mean() / slide.EPISODE_STEPS).item(), rel=1e-5)
    target = (seen["target"] * algorithm.value_scale).view(slide.EPISODE_STEPS, 4)
    torch.testing.assert_close(target[-1], reward[-1] + gamma * following[-1])


@pytest.mark.slow
def test_defaults_swing_up_a_pendulum_of_three_links() -> None:
    """4.5 is the maximum."""
    algorithm = SHAC("MlpPolicy", pendulum(3), n_envs=16, seed=0).learn(112_000)
    assert evaluate_returns(algorithm, pendulum(3), 1, seed=0).mean() > 4.3

"""SHAC and BPTT: what an update makes of a window of their rollouts."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slide
import torch
from gradient_trainings import BOTH, COMMON, make, recorded
from stable_baselines3.common.callbacks import BaseCallback

from gradgym.agents import BPTT, SHAC
from gradgym.agents.policy_gradient.analytic import AnalyticPolicyGradient, Window
from gradgym.agents.policy_gradient.returns import discounted_sum, td_lambda
from gradgym.envs.differentiable import DifferentiableEnvs


def one_window(algorithm: Any) -> tuple[Window, DifferentiableEnvs]:
    """Of the algorithm's own rollout, with an episode's end inside."""
    recorded(algorithm)
    _, callback = algorithm._setup_learn(1000)
    worlds = DifferentiableEnvs(algorithm.env.envs)
    time = torch.tensor([0, slide.EPISODE_STEPS - 3, 5, slide.EPISODE_STEPS - 5])
    worlds.envs.state = replace(worlds.envs.state, time=time)
    window = algorithm._roll_out(worlds, callback)
    assert window.truncated.sum() == 2
    return window, worlds


def test_a_window_is_what_the_environments_did() -> None:
    algorithm = make(SHAC, n_envs=4, horizon=5)
    window, worlds = one_window(algorithm)
    assert algorithm.num_timesteps == 4 * 5
    for t in range(4):
        goes_on = ~(window.truncated[t] | window.terminated[t])
        assert torch.equal(window.obs[t + 1][goes_on], window.next_obs[t][goes_on].detach())
        assert not torch.equal(window.obs[t + 1][~goes_on], window.next_obs[t][~goes_on].detach()) or goes_on.all()
    x, v = window.next_obs[..., 0], window.next_obs[..., 1]
    force = (v - window.obs[..., 1]) / 0.1  # a mass of 1; the damping of 1 is implicit
    action = (force + v) / 5.0
    torch.testing.assert_close(window.reward, -x.square() - 0.01 * action.square(), rtol=1e-3, atol=1e-4)
    assert np.array_equal(algorithm._last_obs, worlds.detach().float().numpy())
    # The two episodes that ended were counted.
    assert [info["l"] for info in algorithm.ep_info_buffer] == [3, 5]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An algorithm after one update from a window, and what it ascended and fitted its critic to."""
    algorithm, seen = make(SHAC, n_envs=4, horizon=5, tau=0.3, gae_lambda=0.7, critic_epochs=1), {}
    window, worlds = one_window(algorithm)
    slow = [p.clone() for p in algorithm.policy.critic_target.parameters()]
    value = algorithm.policy.target_value(window.next_obs).detach() / (1.0 - 0.95)
    ascend, fit = algorithm._ascend, algorithm._fit_critic
    monkeypatch.setattr(algorithm, "_ascend", lambda *a: (seen.update(objective=a[0].item()), ascend(*a)))
    monkeypatch.setattr(algorithm, "_fit_critic", lambda *a: (seen.update(obs=a[0], target=a[1]), fit(*a))[1])
    assert algorithm.policy.normalize.count == 0
    algorithm.train(window, worlds)
    return algorithm, window, slow, value, seen


def test_shac_ascends_the_mean_reward_of_a_step_and_what_follows(trained: Any) -> None:
    algorithm, window, _, value, seen = trained
    ends = window.terminated, window.truncated
    expected = discounted_sum(window.reward.detach(), *ends, value, 0.95).mean() / 5
    assert seen["objective"] == pytest.approx(expected.item(), rel=1e-6)
    assert algorithm.policy.normalize.count == 20  # all observations of the window, once


def test_shac_follows_the_value_of_what_follows_through_the_simulator() -> None:
    """Without rewards there is still a gradient: that of the slow critic by the states that actions lead to."""
    algorithm = make(SHAC, n_envs=4, horizon=5)
    window, worlds = one_window(algorithm)
    algorithm.train(window._replace(reward=torch.zeros(5, 4)), worlds)
    assert algorithm.actor_gradient_norm > 1e-4


def test_shac_fits_its_critic_to_td_lambda_in_its_own_unit(trained: Any) -> None:
    _, window, _, value, seen = trained
    expected = td_lambda(window.reward.detach(), window.terminated, window.truncated, value, 0.95, 0.7)
    torch.testing.assert_close(seen["target"], (expected * 0.05).flatten())
    assert torch.equal(seen["obs"], window.obs.flatten(0, 1))


def test_shacs_slow_critic_moves_by_tau(trained: Any) -> None:
    algorithm, _, slow, *_ = trained
    policy = algorithm.policy
    for old, now, fast in zip(slow, policy.critic_target.parameters(), policy.critic.parameters(), strict=True):
        assert not torch.equal(old, fast)
        torch.testing.assert_close(now, 0.7 * old + 0.3 * fast)


def test_the_critics_passes_descend_on_all_rows() -> None:
    algorithm = make(SHAC, n_envs=4, critic_epochs=1, critic_batches=1, max_grad_norm=0.01)
    critic = algorithm.policy.critic
    algorithm.policy.observe(2.0 + 3.0 * torch.randn(50, 2))  # the critic sees normalised observations
    obs = 2.0 + 3.0 * torch.randn(40, 2)
    target = 0.5 * obs[:, 0]
    found = critic(algorithm.policy.normalize(obs))[:, 0]
    loss = (found - target).square().mean()
    gradient = torch.autograd.grad(loss, list(critic.parameters()))
    assert algorithm._fit_critic(obs, target) == pytest.approx(loss.item(), rel=1e-5)
    norm = torch.cat([g.flatten() for g in gradient]).norm()
    assert norm > 0.02
    for parameter, g in zip(critic.parameters(), gradient, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, 0.01 * g / norm, rtol=1e-3, atol=1e-7)
    algorithm.critic_epochs, algorithm.critic_batches, algorithm.max_grad_norm = 200, 4, 1.0
    assert algorithm._fit_critic(obs, target) < 0.1 * loss.item()


@BOTH
def test_an_update_keeps_the_noise_above_its_floor(cls: type[AnalyticPolicyGradient]) -> None:
    noise = {"log_std_init": -1.0, "log_std_min": -1.5}
    algorithm = make(cls, n_envs=4, policy_kwargs=COMMON["policy_kwargs"] | noise)
    algorithm.policy.log_std.data.fill_(-4.0)
    algorithm.learn(1)
    assert algorithm.policy.log_std.tolist() == [-1.5]


def test_a_step_goes_up_and_its_gradient_is_cut() -> None:
    """Adam's first step is the rate times the sign of the gradient; the norm is cut, and reported uncut."""
    algorithm = make(SHAC, n_envs=4, max_grad_norm=1e-2)
    rows = recorded(algorithm)
    _, callback = algorithm._setup_learn(1000)
    worlds = DifferentiableEnvs(algorithm.env.envs)
    window = algorithm._roll_out(worlds, callback)
    policy = algorithm.policy
    bias, before = policy.actor[-1].bias, policy.actor[-1].bias.detach().clone()
    algorithm._ascend(3.0 * bias.sum() + 0.0 * window.reward.sum(), window, worlds)
    torch.testing.assert_close(bias.detach(), before + 1e-2, rtol=0.0, atol=1e-5)
    assert algorithm.actor_gradient_norm == pytest.approx(3.0)
    assert bias.grad.item() == pytest.approx(-1e-2, rel=1e-3)
    algorithm.logger.dump()
    assert rows[-1]["train/actor_objective"] == pytest.approx(3.0 * before.sum().item(), abs=1e-6)
    assert rows[-1]["train/adjoints"] == 2 * 4 * algorithm.horizon


def test_bptt_ascends_the_mean_reward_of_whole_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm, seen = make(BPTT, n_envs=4, gamma=0.9), []
    recorded(algorithm)
    _, callback = algorithm._setup_learn(1000)
    worlds = DifferentiableEnvs(algorithm.env.envs)
    window = algorithm._roll_out(worlds, callback)
    assert len(window.reward) == slide.EPISODE_STEPS
    ascend = algorithm._ascend
    monkeypatch.setattr(algorithm, "_ascend", lambda *a: (seen.append(a[0].item()), ascend(*a)))
    algorithm.train(window, worlds)
    discounts = 0.9 ** torch.arange(slide.EPISODE_STEPS)
    expected = (discounts[:, None] * window.reward.detach()).sum(0).mean() / slide.EPISODE_STEPS
    assert seen == [pytest.approx(expected.item(), rel=1e-5)]
    assert algorithm.policy.normalize.count == 4 * slide.EPISODE_STEPS


def test_the_learning_rate_follows_its_schedule() -> None:
    """That of the progress before each window; the critic's too."""
    algorithm, rates = make(SHAC, n_envs=4, learning_rate=lambda left: 0.01 * left), []

    class Watch(BaseCallback):
        def _on_rollout_end(self) -> None:
            optimizers = algorithm.policy.optimizer, algorithm.policy.critic_optimizer
            rates.append([one.param_groups[0]["lr"] for one in optimizers])

        def _on_step(self) -> bool:
            return True

    algorithm.learn(4 * 4 * algorithm.horizon, callback=Watch())
    np.testing.assert_allclose(rates, [[0.01 * left] * 2 for left in (1.0, 0.75, 0.5, 0.25)])

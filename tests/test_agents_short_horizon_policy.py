"""The networks of SHAC and BPTT: normalisation, noise, scaling of actions, and what is saved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from gradgym.agents.action_space import unscale
from gradgym.agents.policy_gradient.short_horizon_policy import RunningNormalization, ShortHorizonPolicy

OBS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTIONS = spaces.Box(np.array([-1.0, 2.0], np.float32), np.array([5.0, 2.5], np.float32))


def policy(**kwargs: Any) -> ShortHorizonPolicy:
    return ShortHorizonPolicy(OBS, ACTIONS, lambda _: 1e-2, net_arch=[8], critic_arch=[8], **kwargs)


def test_normalisation_makes_scales_alike_and_gradients_pass_through_it() -> None:
    """A policy that has seen observations in other units acts the same, and its slope is that of differences."""
    scale, shift = torch.tensor([1e3, 0.5, 1.0]), torch.tensor([-40.0, 7.0, 0.0])
    seen = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)) + 1.0
    plain, scaled = policy(), policy()
    scaled.load_state_dict(plain.state_dict())
    plain.observe(seen)
    scaled.observe(scale * seen + shift)
    obs, noise = seen[:5], torch.zeros(5, 2)
    torch.testing.assert_close(scaled.act(scale * obs + shift, noise), plain.act(obs, noise), atol=1e-4, rtol=1e-3)
    exact = scaled.double()
    inputs = (scale * obs + shift).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: exact.act(x, noise.double()), inputs)
    assert torch.autograd.gradcheck(exact.target_value, inputs)


def test_running_normalization_is_that_of_all_observations_at_once() -> None:
    seen = 3.0 + torch.tensor([1.0, 10.0, 0.1]) * torch.randn(50, 4, 3)
    running = RunningNormalization(3)
    for part in (seen[:7], seen[7:30], seen[30:]):
        running.update(part)
    flat = seen.reshape(-1, 3)
    torch.testing.assert_close(running.mean, flat.mean(0))
    torch.testing.assert_close(running.var, flat.var(0, unbiased=False), rtol=1e-4, atol=0.0)
    expected = (flat - flat.mean(0)) / (flat.var(0, unbiased=False) + 1e-4).sqrt()
    torch.testing.assert_close(running(flat), 10.0 * torch.tanh(expected / 10.0), rtol=1e-4, atol=1e-4)


def test_the_noise_stays_above_its_floor_and_can_rise_from_it() -> None:
    found = policy(log_std_init=-1.0, log_std_min=-1.5)
    for direction in (1.0, -1.0):
        for _ in range(200):
            found.optimizer.zero_grad()
            (direction * found.std.sum()).backward()
            found.optimizer.step()
            found.keep_noise()
        if direction > 0:
            torch.testing.assert_close(found.log_std.detach(), torch.full((2,), -1.5))
    assert found.log_std.min() > -1.0


def test_a_first_noise_below_its_floor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"log_std_init=-3\.0 is below log_std_min=-2\.0"):
        policy(log_std_init=-3.0)


def test_actions_fill_their_space() -> None:
    found = policy()
    ends = unscale(torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]]), ACTIONS)
    torch.testing.assert_close(ends, torch.tensor([[-1.0, 2.0], [2.0, 2.25], [5.0, 2.5]]))
    obs = torch.randn(20, 3)
    predicted, _ = found.predict(obs.numpy(), deterministic=True)
    acted = unscale(found.act(obs, torch.zeros(20, 2)), ACTIONS)
    np.testing.assert_allclose(predicted, acted.detach().numpy(), atol=1e-6)


def test_a_saved_policy_is_the_same_policy(tmp_path: Path) -> None:
    found = policy(activation_fn=torch.nn.Tanh, log_std_init=-0.5)
    found.observe(5.0 + torch.randn(100, 3))
    found.save(str(tmp_path / "policy.pt"))
    again = ShortHorizonPolicy.load(str(tmp_path / "policy.pt"))
    obs = torch.randn(10, 3)
    assert torch.equal(again.act(obs, torch.ones(10, 2)), found.act(obs, torch.ones(10, 2)))
    assert torch.equal(again.target_value(obs), found.target_value(obs))


def test_values_are_those_of_the_slow_critic_at_normalised_observations() -> None:
    found = policy()
    found.observe(5.0 + 2.0 * torch.randn(100, 3))
    with torch.no_grad():
        found.critic_target[-1].bias.add_(1.0)  # pyright: ignore[reportCallIssue]
    obs = 5.0 + 2.0 * torch.randn(4, 6, 3)
    assert isinstance(found.normalize, RunningNormalization)
    scaled = (obs - found.normalize.mean) / (found.normalize.var + 1e-4).sqrt()
    expected = found.critic_target(10.0 * torch.tanh(scaled / 10.0))
    torch.testing.assert_close(found.target_value(obs), expected[..., 0])

"""Stable-Baselines3's algorithms as runs train them: its updates, in fewer calls of torch."""

from typing import Any

import gymnasium
import point_mass as point_mass  # registers its environment
import pytest
import stable_baselines3 as sb3
import torch

from gradgym.agents import PPO, SAC

SETTINGS: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 32, "batch_size": 16, "n_epochs": 2},
    "SAC": {"learning_starts": 8, "batch_size": 16},
}
OURS: dict[str, Any] = {"PPO": PPO, "SAC": SAC}


def trained(kind: Any, name: str, **policy_kwargs: Any) -> Any:
    made = kind("MlpPolicy", gymnasium.make("PointMass-v0"), seed=0, policy_kwargs=policy_kwargs, **SETTINGS[name])
    return made.learn(32)


def optimizers(algorithm: Any) -> list[torch.optim.Optimizer]:
    policy = algorithm.policy
    return [policy.optimizer] if hasattr(policy, "optimizer") else [policy.actor.optimizer, policy.critic.optimizer]


@pytest.mark.parametrize("name", OURS)
def test_they_learn_what_sb3s_own_learn(name: str) -> None:
    ours, theirs = (trained(kind, name, net_arch=[16]) for kind in (OURS[name], getattr(sb3, name)))
    for mine, own in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, own, rtol=1e-4, atol=1e-5)
    for mine, own in zip(optimizers(ours), optimizers(theirs), strict=True):
        assert mine.defaults == {**own.defaults, "fused": True}


@pytest.mark.parametrize("name", OURS)
def test_ones_own_optimizer_is_kept(name: str) -> None:
    for optimizer in optimizers(trained(OURS[name], name, optimizer_kwargs={"eps": 1e-3})):
        assert optimizer.defaults["eps"] == 1e-3 and not optimizer.defaults["fused"]
    for optimizer in optimizers(trained(OURS[name], name, optimizer_class=torch.optim.SGD)):
        assert type(optimizer) is torch.optim.SGD

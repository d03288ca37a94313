"""MBPO without its model makes the updates of Stable-Baselines3's own SAC."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import point_mass as point_mass  # registers its environment
import pytest
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor

from gradgym.agents import MBPO, BatchedSACPolicy
from gradgym.agents.mbpo.replay import TransitionBuffer
from gradgym.agents.mbpo.sac_policy import gaussian

UPDATES, BATCH = 6, 32
ROWS = torch.from_numpy(np.random.default_rng(0).integers(200, size=(UPDATES, BATCH)))
NOISE = torch.from_numpy(np.random.default_rng(1).normal(size=(UPDATES, 2, BATCH, 1))).float()  # at s' and at s
# Plain descent: Adam would magnify rounding where a gradient is next to nothing.
SETTINGS: dict[str, Any] = {
    "learning_rate": 0.05,
    "gamma": 0.9,
    "tau": 0.3,
    "seed": 0,
    "device": "cpu",
    "policy_kwargs": {
        "net_arch": [16, 16],
        "log_std_init": -1.0,
        "optimizer_class": torch.optim.SGD,
        "optimizer_kwargs": {},
    },
}


class Given:
    """Stands for a random generator: gives tensors in their order, whatever it is asked for."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors

    def __call__(self, *arguments: Any, **kwargs: Any) -> Tensor:
        return self.tensors.pop(0)


def filled(algorithm: Any) -> Any:
    """200 transitions; some end the task, some are cut by time."""
    rng = np.random.default_rng(2)
    for step in range(200):
        obs, next_obs = rng.normal(size=(2, 1, 2)).astype(np.float32)
        done, timeout = np.array([step % 3 == 0]), step % 6 == 0
        infos = [{"TimeLimit.truncated": timeout}]
        algorithm.replay_buffer.add(obs, next_obs, rng.uniform(-1, 1, (1, 1)), rng.normal(size=1), done, infos)
    algorithm.set_logger(Logger(None, []))
    return algorithm


def weights(algorithm: Any) -> Tensor:
    """All networks', and the entropy coefficient's logarithm or else the coefficient."""
    last = algorithm.ent_coef_tensor if algorithm.log_ent_coef is None else algorithm.log_ent_coef
    own = [parameter.flatten() for parameter in algorithm.policy.parameters()]
    return torch.cat([*own, last.reshape(1)]).detach().clone()


def by_mbpo(ent_coef: Any, patch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    found = filled(MBPO("MlpPolicy", gymnasium.make("PointMass-v0"), model=False, ent_coef=ent_coef, **SETTINGS))
    before = weights(found)
    patch.setattr(found.replay_buffer, "_draw_rows", lambda batches, batch_size: ROWS)
    patch.setattr(torch, "randn_like", Given([noise for pair in NOISE for noise in pair]))
    found.train(UPDATES, BATCH)
    return before, weights(found)


def by_sb3(ent_coef: Any, patch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    env = gymnasium.make("PointMass-v0")
    found = filled(sb3.SAC(BatchedSACPolicy, env, replay_buffer_class=TransitionBuffer, ent_coef=ent_coef, **SETTINGS))
    before, rows = weights(found), iter(ROWS.numpy())
    buffer = found.replay_buffer
    patch.setattr(buffer, "sample", lambda batch_size, env: buffer._get_samples(next(rows), env=env))
    found.actor.action_dist.epsilon = 0.0  # added to the slope of tanh, which MBPO computes without
    noise = [noise for pair in NOISE for noise in pair.flip(0)]
    patch.setattr("torch.distributions.normal._standard_normal", Given(noise))
    found.train(UPDATES, BATCH)
    return before, weights(found)


@pytest.mark.parametrize("ent_coef", [0.3, "auto_0.3"])
def test_updates_are_those_of_sb3(ent_coef: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Callable[..., tuple[Tensor, Tensor]]] = [by_mbpo, by_sb3]
    (start, found), (same_start, expected) = (run(ent_coef, monkeypatch) for run in runs)
    assert torch.equal(start, same_start)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)
    assert ((expected - start).abs() > 1e-4).double().mean() > 0.5
    assert (expected[-1] == start[-1]) == (ent_coef == 0.3)


class Halved(FlattenExtractor):
    """Shows the policy half of each observation."""

    def forward(self, observations: Tensor) -> Tensor:
        return 0.5 * super().forward(observations)


@pytest.mark.parametrize("settings", [{}, {"features_extractor_class": Halved}], ids=["flat", "an extractor"])
def test_the_policys_gaussian_is_sb3s(settings: dict[str, Any]) -> None:
    algorithm = MBPO("MlpPolicy", gymnasium.make("PointMass-v0"), model=False, seed=0, policy_kwargs=settings)
    with torch.no_grad():
        assert isinstance(algorithm.actor.log_std, torch.nn.Linear)
        algorithm.actor.log_std.weight.normal_(std=1e3)  # to its bounds
        obs = torch.randn(60, 2)
        expected = algorithm.actor.get_action_dist_params(obs)[:2]
        for mine, theirs in zip(gaussian(algorithm.actor, obs), expected, strict=True):
            assert torch.equal(mine, theirs)
        assert {-20.0, 2.0} & set(expected[1].flatten().tolist())

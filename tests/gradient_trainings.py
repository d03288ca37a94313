"""Short trainings by SHAC and BPTT on `slide`, and what they log."""

from typing import Any

import pytest
import torch
from stable_baselines3.common.logger import KVWriter, Logger
from torch import Tensor

from gradgym.agents import BPTT, SHAC
from gradgym.agents.policy_gradient.analytic import AnalyticPolicyGradient

COMMON: dict[str, Any] = {"learning_rate": 1e-2, "policy_kwargs": {"net_arch": [32, 32], "critic_arch": [32, 32]}}
OWN: dict[type[AnalyticPolicyGradient], dict[str, Any]] = {
    SHAC: {"n_envs": 16, "horizon": 5, "gamma": 0.95, "critic_epochs": 4},
    BPTT: {"n_envs": 8},
}
BOTH = pytest.mark.parametrize("cls", [SHAC, BPTT])


def make(cls: type[AnalyticPolicyGradient], env: Any = "Slide-v0", seed: int = 0, **changes: Any) -> Any:
    return cls("MlpPolicy", env, seed=seed, **{**COMMON, **OWN[cls], **changes})


def weights(algorithm: Any) -> Tensor:
    """All that the policy has learned, its normalisation included."""
    return torch.cat([x.detach().flatten() for x in algorithm.policy.state_dict().values()])


class Recorder(KVWriter):
    """Keeps what is logged, one dictionary for each dump."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.rows.append(dict(key_values))

    def close(self) -> None:
        pass


def recorded(algorithm: AnalyticPolicyGradient) -> list[dict[str, Any]]:
    """The rows that later calls of `learn` will log."""
    recorder = Recorder()
    algorithm.set_logger(Logger(None, [recorder]))
    return recorder.rows

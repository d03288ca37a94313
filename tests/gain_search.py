"""An algorithm that is none of Stable-Baselines3's: random search for two feedback gains, for tests of runs."""

from typing import Any, Self

import gymnasium
import numpy as np
import slide as slide  # registers its environment
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.policy_state import PolicyState

CONFIG = RunConfig(
    algo="gain_search",
    env="Slide-v0",
    seed=5,
    total_timesteps=4000,
    eval_freq=500,
    eval_episodes=3,
    checkpoint_freq=600,
    hyperparams={"spread": 0.3},
)


class GainSearch:
    """Force 10 N times -(gains . obs); one episode with changed gains after the other, the best are kept."""

    logger: Logger

    def __init__(self, env: gymnasium.Env[Any, Any] | None, gains: list[float], seed: int, spread: float) -> None:
        self.env, self.gains, self.spread = env, np.array(gains), spread
        self.rng = np.random.default_rng(seed)
        self.best_return = -np.inf
        self.num_timesteps = 0

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        return cls(config.make_training_env(), [0.0, 0.0], config.seed, **config.hyperparams)

    @classmethod
    def rehearse(cls, config: RunConfig) -> None:
        """Nothing: a test of runs may take it for compiled."""

    def set_logger(self, logger: Logger) -> None:
        self.logger = logger

    def predict(self, observation: Any, state: Any = None, *, deterministic: bool = False) -> tuple[Any, None]:
        return np.clip(-10.0 * self.gains @ observation, -2.0, 2.0)[None].astype(np.float32), None

    def learn(self, total_timesteps: int, *, callback: BaseCallback, reset_num_timesteps: bool) -> None:
        assert not reset_num_timesteps
        callback.init_callback(self)  # pyright: ignore[reportArgumentType] (an algorithm as `Algorithm` says)
        callback.on_training_start(locals(), globals())
        end, going = self.num_timesteps + total_timesteps, True
        while going and self.num_timesteps < end:
            callback.on_rollout_start()
            going = self._try_gains(callback)
            callback.on_rollout_end()
        callback.on_training_end()

    def _try_gains(self, callback: BaseCallback) -> bool:
        """One episode; whether the training goes on."""
        assert self.env is not None
        kept, total, going, done = self.gains, 0.0, True, False
        self.gains = kept + self.spread * self.rng.normal(size=2)
        obs, _ = self.env.reset(seed=int(self.rng.integers(2)))
        while going and not done:
            obs, reward, terminated, truncated, _ = self.env.step(self.predict(obs)[0])
            total, done = total + float(reward), terminated or truncated
            self.num_timesteps += 1
            going = callback.on_step()
        if total > self.best_return:
            self.best_return = total
        else:
            self.gains = kept
        self.logger.record("train/best_return", self.best_return)
        return going

    def policy_state(self) -> PolicyState:
        return PolicyState({}, {"gains": torch.tensor(self.gains)})

    @classmethod
    def load_policy(cls, state: PolicyState, env: str) -> Self:
        return cls(None, state.weights["gains"].tolist(), 0, 0.0)

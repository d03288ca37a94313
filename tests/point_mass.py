"""A one-dimensional task with the gradient contract in closed form, for tests of algorithms."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

STEP = 0.4
EPISODE_STEPS = 8


class PointMass(gymnasium.Env[Any, Any]):
    """x' = x + 0.2 action with actions in [-2, 2], so x' = x + STEP scaled; reward -x'^2; obs (x, time)."""

    def __init__(self, gradients: str | None = None) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)
        self.gradients = gradients

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.time = float(self.np_random.uniform(-1, 1)), 0
        return self._obs(), {}

    def _obs(self) -> Any:
        return np.array([self.x, self.time / EPISODE_STEPS], np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.x += 0.5 * STEP * float(action[0])
        self.time += 1
        info: dict[str, Any] = {}
        if self.gradients is not None:
            by_x = np.array([[1.0], [0.0]])
            half = 0.5 * STEP
            info["gradients"] = {"dobs_daction": half * by_x, "dreward_daction": np.array([-2 * self.x * half])}
            if self.gradients == "full":
                info["gradients"] |= {
                    "dobs_dstate": by_x,
                    "dreward_dstate": np.array([-2 * self.x]),
                    "dstate_dstate": np.ones((1, 1)),
                    "dstate_daction": half * np.ones((1, 1)),
                }
        return self._obs(), -(self.x**2), False, False, info


def best_return(x: float) -> float:
    """Moves as far towards zero as it can, in every step."""
    total = 0.0
    for _ in range(EPISODE_STEPS):
        x -= np.clip(x, -STEP, STEP)
        total -= x**2
    return total


gymnasium.register("PointMass-v0", entry_point="point_mass:PointMass", max_episode_steps=EPISODE_STEPS)

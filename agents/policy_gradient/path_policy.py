"""`PathPolicy`: actions along a path, with linear feedback of how far the observation is from it."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn


class PathPolicy(BasePolicy):
    """In step t of an episode tanh(control[t] + gain[t] (obs - obs[t])), stretched to the action's bounds.

    Its memory is the number of the step. After the path's end the last action stays, without feedback.

    Args:
        observation_space, action_space, lr_schedule: as for every policy of SB3's; both spaces flat boxes.
        n_steps: T, of the path.

    Attributes:
        obs, control, gain: (T, n_obs), (T, n_act) before tanh, and (T, n_act, n_obs).
    """

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], lr_schedule: Schedule, n_steps: int
    ) -> None:
        super().__init__(observation_space, action_space, squash_output=True)
        assert isinstance(observation_space, spaces.Box) and isinstance(action_space, spaces.Box)
        (n_obs,), (n_act,) = observation_space.shape, action_space.shape
        self.n_steps = n_steps
        self.obs = nn.Parameter(torch.zeros(n_steps, n_obs), requires_grad=False)
        self.control = nn.Parameter(torch.zeros(n_steps, n_act), requires_grad=False)
        self.gain = nn.Parameter(torch.zeros(n_steps, n_act, n_obs), requires_grad=False)

    @torch.no_grad()
    def follow(self, obs: Tensor, control: Tensor, gain: Tensor) -> None:
        """Takes another path: shapes as the attributes."""
        for mine, other in zip((self.obs, self.control, self.gain), (obs, control, gain), strict=True):
            mine.copy_(other)

    def act(self, step: Tensor, observation: Tensor) -> Tensor:
        """Actions in [-1, 1] (B, n_act) in the steps (B,) int64 of episodes, for observations (B, n_obs)."""
        t = step.clamp(max=self.n_steps - 1)
        away = torch.where((step < self.n_steps)[:, None], observation.float() - self.obs[t], 0.0)
        return torch.tanh(self.control[t] + (self.gain[t] @ away[..., None]).squeeze(-1))

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Actions for observations (n_obs,) or (B, n_obs), and the steps (B,) to pass with the next ones.

        Without `state`, and where `episode_start` (B,) is true, an episode begins.
        """
        obs = torch.from_numpy(np.atleast_2d(np.asarray(observation, np.float32)))
        step = np.zeros(len(obs), np.int64) if state is None else state[0]
        if episode_start is not None:
            step = np.where(episode_start, 0, step)
        with torch.no_grad():
            action = self.unscale_action(self.act(torch.from_numpy(step), obs).numpy())
        return action if np.ndim(observation) > 1 else action[0], (step + 1,)

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        """The first action of episodes."""
        return self.act(torch.zeros(len(observation), dtype=torch.int64), observation)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": lambda _: 0.0,
            "n_steps": self.n_steps,
        }

"""Whole episodes with dQ/da at each step, what `gradient_horizon="episode"` learns from.

An episode's gradients belong to the policy that acted in it, so only the latest are kept.
"""

from collections import deque
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.sac.policies import Actor
from torch import Tensor

from ..action_space import unscale_slope
from .replay import require_gradients
from .sac_policy import BatchedCritic
from .value_gradients import Trajectory, balance, whole_episode

_FULL_GRADIENTS = Trajectory._fields[2:]


class ActionGradients(NamedTuple):
    """Steps of episodes, float32."""

    obs: Tensor  # (B, n_obs)
    actions: Tensor  # (B, n_act), in [-1, 1]
    dvalue_daction: Tensor  # (B, n_act), balanced dQ/da


class EpisodeGradients:
    """Collects episodes, expands each when it has ended, and draws from the latest.

    Args:
        episodes: how many are kept.
        n_envs: from which steps come.
        space: of the actions.
        gamma: discount.
    """

    def __init__(self, episodes: int, n_envs: int, space: spaces.Space[Any], gamma: float) -> None:
        self.gamma = gamma
        self._recorder = EpisodeRecorder(n_envs, space)
        self._kept: deque[ActionGradients] = deque(maxlen=episodes)

    def add(
        self, obs: NDArray[Any], next_obs: NDArray[Any], action: NDArray[Any], ends: NDArray[Any], infos: list[Any]
    ) -> None:
        """One step of all environments, see `EpisodeRecorder.add`."""
        self._recorder.add(obs, next_obs, action, ends, infos)

    def expand(self, actor: Actor, critic: BatchedCritic | None) -> None:
        """Takes in the episodes that ended since the last call, for the policy as it is now.

        The critic's value is what follows an episode that time cut off; without one nothing follows.
        """
        for trajectory, last_obs, timeout in self._recorder.take_finished():
            end = np.zeros(len(last_obs))
            if timeout and critic is not None:
                end = _value_gradient(actor, critic, last_obs)
            obs = torch.from_numpy(trajectory.obs).float().to(actor.device)
            gradients = whole_episode(trajectory, _reaction(actor, obs), self.gamma, end)
            actions, balanced = (torch.from_numpy(x).float() for x in (trajectory.actions, balance(gradients)))
            self._kept.append(ActionGradients(obs, actions.to(actor.device), balanced.to(actor.device)))

    def draw(self, batches: int, batch_size: int) -> list[ActionGradients]:
        """Independent batches of uniform draws from all steps kept; none before the first episode's end."""
        if not self._kept:
            return []
        fields = [torch.cat(column) for column in zip(*self._kept, strict=True)]
        drawn = torch.randint(len(fields[0]), (batches, batch_size), device=fields[0].device)
        return [ActionGradients(*(field[rows] for field in fields)) for rows in drawn]


class EpisodeRecorder:
    """Collects each environment's running episode with its full gradients, until it ends."""

    def __init__(self, n_envs: int, space: spaces.Space[Any]) -> None:
        self.slope = unscale_slope(space)
        self._running: list[list[tuple[NDArray[Any], ...]]] = [[] for _ in range(n_envs)]
        self._finished: list[tuple[Trajectory, NDArray[Any], bool]] = []

    def add(
        self, obs: NDArray[Any], next_obs: NDArray[Any], action: NDArray[Any], ends: NDArray[Any], infos: list[Any]
    ) -> None:
        """One step of all environments; arguments have a leading environment axis.

        `next_obs` is the true next observation also where the episode ended (`ends`).
        """
        for env, info in enumerate(infos):
            found = require_gradients(info, _FULL_GRADIENTS, "full")
            scaled = (found[k] * self.slope if k.endswith("_daction") else found[k] for k in _FULL_GRADIENTS)
            self._running[env].append((obs[env].copy(), action[env].copy(), *scaled))
            if ends[env]:
                columns = (np.stack(column) for column in zip(*self._running[env], strict=True))
                timeout = bool(info.get("TimeLimit.truncated", False))
                self._finished.append((Trajectory(*columns), next_obs[env].copy(), timeout))
                self._running[env] = []

    def take_finished(self) -> list[tuple[Trajectory, NDArray[Any], bool]]:
        """Episodes that ended since the last call: trajectory, last observation, whether time ran out."""
        finished, self._finished = self._finished, []
        return finished


def _mean_action(actor: Actor, obs: Tensor) -> Tensor:
    return torch.tanh(actor.get_action_dist_params(obs)[0])


def _reaction(actor: Actor, obs: Tensor) -> NDArray[np.float64]:
    """Derivative of the mean action by the observation, (T, n_act, n_obs), at observations (T, n_obs)."""
    obs = obs.detach().requires_grad_()
    columns = _mean_action(actor, obs).unbind(1)
    rows = [torch.autograd.grad(column.sum(), obs, retain_graph=True)[0] for column in columns]
    return torch.stack(rows, 1).cpu().double().numpy()


def _value_gradient(actor: Actor, critic: BatchedCritic, obs: NDArray[Any]) -> NDArray[np.float64]:
    """Derivative of the value of the mean action by an observation, both (n_obs,), through the policy too."""
    at = torch.from_numpy(obs).float()[None].to(actor.device).requires_grad_()
    value = critic.values(at, _mean_action(actor, at)).amin(0)
    return torch.autograd.grad(value.sum(), at)[0][0].cpu().double().numpy()

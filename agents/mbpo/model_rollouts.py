"""Short rollouts of the learned model, branched from real states (Janner et al. 2019)."""

from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from ...envs.task import EndFromObservations, RewardFromObservations
from ..action_space import unscale
from ..training.native_vec_env import NativeVecEnv
from ..training.wrappers import changing_wrapper, vector_time_limit
from .ensemble import ProbabilisticEnsemble
from .replay import Batch


def observed_task(env: VecEnv) -> EndFromObservations | None:
    """The environment's task, if it tells its end, and perhaps its reward, from observations.

    None where a wrapper may have changed what it tells them from.
    """
    if changing_wrapper(env) is not None:
        return None
    try:
        task = env.get_attr("task")[0]
    except AttributeError:
        return None
    return task if isinstance(task, EndFromObservations) else None


def episode_limit(env: VecEnv) -> int | None:
    """Steps after which an episode's time is over, as far as it is known."""
    if isinstance(env.unwrapped, NativeVecEnv):
        return env.unwrapped.envs.max_episode_steps
    return vector_time_limit(env)


def rollout_length(schedule: tuple[int, int, int, int], timestep: int) -> int:
    """Length that grows linearly with time; `schedule` is (first step, last step, shortest, longest)."""
    first, last, shortest, longest = schedule
    progress = min(1.0, max(0.0, (timestep - first) / max(1, last - first)))
    return int(shortest + progress * (longest - shortest))


class Brancher:
    """Rolls a policy out in the model.

    Args:
        ensemble: the learned model.
        task: gives the end, and the reward if it can, of a prediction (actions unscaled). A reward that it does not
            give is the model's; without a task nothing ends.
        action_space: of the environment; policy and model have actions in [-1, 1].
        limit: steps in an episode, or None. No rollout goes past it.
        limit_is_end: whether nothing follows the last step, or time only ran out.
    """

    def __init__(
        self,
        ensemble: ProbabilisticEnsemble,
        task: EndFromObservations | None,
        action_space: spaces.Space[Any],
        limit: int | None,
        limit_is_end: bool,
    ) -> None:
        self.ensemble, self.task, self.action_space = ensemble, task, action_space
        self.limit, self.limit_is_end = limit, limit_is_end

    @torch.no_grad()
    def branch(self, obs: Tensor, time: Tensor, policy: Callable[[Tensor], Tensor], length: int) -> list[Batch]:
        """Predicted transitions, one batch for each of at most `length` steps.

        Args:
            obs: real observations (B, n_obs).
            time: their times in their episodes (B,) [steps].
            policy: from observations to actions in [-1, 1].
            length: of the rollouts.
        """
        batches = []
        for _ in range(length):
            if len(obs) == 0:
                break
            action = policy(obs)
            next_obs, reward = self.ensemble.predict(obs, action)
            # Tasks compute on the CPU.
            transition = obs.cpu(), unscale(action, self.action_space).cpu(), next_obs.cpu()
            if isinstance(self.task, RewardFromObservations):
                reward = self.task.observed_reward(*transition).float().to(obs.device)
            assert reward is not None
            terminal = torch.zeros(len(obs), dtype=torch.bool, device=obs.device)
            if self.task is not None:
                terminal = self.task.observed_terminal(*transition).to(obs.device)
            time = time + 1
            timeout = time >= self.limit if self.limit is not None else torch.zeros_like(terminal)
            done = terminal | timeout if self.limit_is_end else terminal
            batches.append(Batch(obs, action, next_obs, reward.float(), done.float()))
            running = ~(terminal | timeout)
            obs, time = next_obs[running], time[running]
        return batches

"""Replay memories: SB3's buffer with the gradients from `info`, and the transitions a model predicts.

Memories lie on the CPU, what is drawn from them on the networks' device. B is the batch dimension. Actions
are scaled to [-1, 1], and so are the derivatives by them.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from ..action_space import unscale_slope

_ACTION_GRADIENTS = ("dobs_daction", "dreward_daction")


class Batch(NamedTuple):
    """Transitions as float32 tensors."""

    obs: Tensor  # (B, n_obs)
    actions: Tensor  # (B, n_act)
    next_obs: Tensor  # (B, n_obs)
    rewards: Tensor  # (B,)
    dones: Tensor  # (B,), 1 where nothing follows


class BatchGradients(NamedTuple):
    """Gradients of the same transitions."""

    dobs_daction: Tensor  # (B, n_obs, n_act)
    dreward_daction: Tensor  # (B, n_act)


def require_gradients(info: dict[str, Any], names: tuple[str, ...], level: str) -> dict[str, NDArray[np.float64]]:
    """`info["gradients"]`, or ValueError if one of `names` is missing."""
    found = info.get("gradients", {})
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f'info["gradients"] lacks {", ".join(missing)}: make the environment with gradients="{level}"')
    return found


class TransitionBuffer(ReplayBuffer):
    """ReplayBuffer that is sampled as torch tensors, without SB3's work for each batch.

    As in SB3 it holds what the environments gave, and a `VecNormalize`, where there is one, normalises what is drawn.
    SB3's `handle_timeout_termination=False` makes the end of the episode's time a true end: right
    where the observation tells the time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # How many steps of its episode came before each transition, and before the next one to be added.
        self.steps_before = np.zeros((self.buffer_size, self.n_envs), np.int64)
        self._step = np.zeros(self.n_envs, np.int64)

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        self.steps_before[self.pos] = self._step
        self._step = np.where(done, 0, self._step + 1)
        super().add(obs, next_obs, action, reward, done, infos)

    def draw(self, batches: int, batch_size: int, env: VecNormalize | None = None) -> list[Batch]:
        """Independent batches of (B = batch_size) uniform draws."""
        return batches_of(self._gather(self._draw_rows(batches, batch_size), env))

    def draw_starts(self, count: int, env: VecNormalize | None = None) -> tuple[Tensor, Tensor]:
        """Observations (count, n_obs) for a model to branch from, and their times in their episodes [steps]."""
        rows = self._draw_rows(1, count)[0]
        obs, time = (self._flat(name).index_select(0, rows) for name in ("observations", "steps_before"))
        return self._normalized(obs, env), time.to(self.device)

    def everything(self, env: VecNormalize | None = None) -> Batch:
        """All transitions held."""
        return self._gather(torch.arange(self.size() * self.n_envs), env)

    def _draw_rows(self, batches: int, batch_size: int) -> Tensor:
        return torch.randint(self.size() * self.n_envs, (batches, batch_size))

    def _flat(self, name: str) -> Tensor:
        """A field as (size * n_envs, ...), sharing the buffer's memory."""
        field = torch.from_numpy(getattr(self, name))
        return field.view(-1, *field.shape[2:])

    def _gather(self, rows: Tensor, env: VecNormalize | None = None) -> Batch:
        """The transitions at `rows` (...): fields (..., n), taken at once, as a call costs more than a batch."""
        obs, actions, next_obs, rewards, dones, timeouts = (
            _taken(self._flat(name), rows)
            for name in ("observations", "actions", "next_observations", "rewards", "dones", "timeouts")
        )
        if env is not None:
            rewards = torch.from_numpy(env.normalize_reward(rewards.numpy()))
        actions, rewards, dones = (x.float().to(self.device) for x in (actions, rewards, dones * (1.0 - timeouts)))
        return Batch(self._normalized(obs, env), actions, self._normalized(next_obs, env), rewards, dones)

    def _normalized(self, obs: Tensor, env: VecNormalize | None) -> Tensor:
        """Observations as networks take them; some environments observe in float64."""
        if env is not None:
            obs = torch.as_tensor(env.normalize_obs(obs.numpy()))
        return obs.float().to(self.device)


class GradientBuffer(TransitionBuffer):
    """TransitionBuffer that also keeps `dobs_daction` and `dreward_daction` of every transition."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slope = unscale_slope(self.action_space)
        n_obs, n_act = self.obs_shape[0], self.action_dim
        self.dobs_daction = np.zeros((self.buffer_size, self.n_envs, n_obs, n_act), np.float32)
        self.dreward_daction = np.zeros((self.buffer_size, self.n_envs, n_act), np.float32)

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        for env, info in enumerate(infos):
            gradients = require_gradients(info, _ACTION_GRADIENTS, "action")
            self.dobs_daction[self.pos, env] = gradients["dobs_daction"] * self.slope
            self.dreward_daction[self.pos, env] = gradients["dreward_daction"] * self.slope
        super().add(obs, next_obs, action, reward, done, infos)

    def draw_with_gradients(self, batches: int, batch_size: int) -> tuple[list[Batch], list[BatchGradients]]:
        """As `draw`, with the gradients of the same transitions."""
        rows = self._draw_rows(batches, batch_size)
        gradients = BatchGradients(*(_taken(self._flat(name), rows).to(self.device) for name in _ACTION_GRADIENTS))
        return batches_of(self._gather(rows)), [BatchGradients(*one) for one in zip(*gradients, strict=True)]


class PredictedTransitions:
    """Ring of transitions that the learned model predicted, preallocated float32 tensors on the device."""

    def __init__(self, capacity: int, n_obs: int, n_act: int, device: torch.device | str = "cpu") -> None:
        self.capacity, self.count, self.position = capacity, 0, 0
        shapes = ((n_obs,), (n_act,), (n_obs,), (), ())
        self.fields = Batch(*(torch.zeros(capacity, *shape, device=device) for shape in shapes))

    def add(self, batch: Batch) -> None:
        """Adds B <= capacity transitions over the oldest."""
        added = len(batch.rewards)
        rows = (self.position + torch.arange(added, device=self.fields.rewards.device)) % self.capacity
        for field, values in zip(self.fields, batch, strict=True):
            field[rows] = values.to(field)
        self.position = (self.position + added) % self.capacity
        self.count = min(self.count + added, self.capacity)

    def draw(self, batches: int, batch_size: int) -> list[Batch]:
        """Independent batches of (B = batch_size) uniform draws."""
        rows = torch.randint(self.count, (batches, batch_size), device=self.fields.rewards.device)
        return batches_of(Batch(*(_taken(field, rows) for field in self.fields)))


def batches_of(stacked: Batch) -> list[Batch]:
    """The batches of fields (batches, B, ...), which share their memory."""
    return [Batch(*one) for one in zip(*stacked, strict=True)]


def _taken(field: Tensor, rows: Tensor) -> Tensor:
    """Rows (...) of a field (size, ...)."""
    return field.index_select(0, rows.flatten()).unflatten(0, rows.shape)

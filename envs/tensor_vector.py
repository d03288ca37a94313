"""`TensorVectorEnv`: environments of one task on a GPU, from physics to resets; what goes in and out are tensors there.

Made by `gymnasium.make_vec(id, num_envs, device="cuda")`. No number of a step comes to the host, so a training
that is on the GPU too never waits for copies; but for poses of bodies, where an observation or a reward has them,
and for the choice of models, where each world has its own.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor

from ..sim import placement
from .advance import finite_rows
from .gradients import Gradients
from .task import BACKENDS
from .task_state import TaskState
from .vector import TaskVectorEnv


class TensorVectorEnv(TaskVectorEnv):
    """As `TaskVectorEnv`, with tensors on `device` in place of numpy's arrays.

    Observations are float32, rewards float64, `terminated` and `truncated` bool. `info` has the same entries and
    masks; `final_obs` is one tensor (num_envs, n_obs), whose rows count where `_final_obs` is true. Actions may be
    arrays or tensors; whether they are finite is not looked at.

    The first episodes begin where those on the CPU do with the same seeds, later ones at starts that torch draws on
    the GPU, by the first seed of `reset`. Where a task cannot draw them there (`Task.draws_tensors`), they are drawn
    on the host when `reset` is called, one for each environment, and later episodes begin at one of these.

    Args:
        device: "cuda", or one of several, "cuda:1".
        others: as there; `gradients` are not put into `info`, `DifferentiableEnvs` carries them.
    """

    device: torch.device

    def __init__(
        self, task: str, num_envs: int = 1, gradients: Gradients | None = None, *, device: Any = "cuda", **keywords: Any
    ) -> None:
        if gradients is not None:
            raise ValueError(f"gradients={gradients!r}: on a GPU use envs.DifferentiableEnvs, which carries them")
        found = placement.gpu_of(device)
        super().__init__(task, num_envs, **keywords)
        if self.task.backend is not BACKENDS["sim"]:
            raise ValueError(f"backend={self.task.backend_name!r} runs on the CPU: leave device={str(device)!r} out")
        if not self.task.serves_gpu:
            raise ValueError(f"{type(self.task).__name__} runs on the CPU: leave device={str(device)!r} out")
        self.device = found
        self._finished = torch.zeros(num_envs, dtype=torch.bool, device=found)
        with torch.no_grad():
            self._still = self._moved(self.task.state_at(self.task.model.initial_state(), num_envs))
        self._generator = self._generator_of(0)
        self._pool: TaskState | None = None  # of a task that draws on the host

    def reset(  # pyright: ignore[reportIncompatibleMethodOverride] (tensors)
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """As there; `options["reset_mask"]` may be a tensor."""
        mask = None if options is None else options.get("reset_mask")
        rows = self._reset_rows({"reset_mask": mask.cpu().numpy()} if isinstance(mask, Tensor) else options)
        self._seed(seed, rows)
        with torch.no_grad():
            first = self._moved(self.task.start(self._rngs))
            if not self.task.draws_tensors:
                self._pool = self._moved(self.task.start(self._rngs))
            if seed is not None:
                self._generator = self._generator_of(int(rows.argmax()))
            where = torch.from_numpy(rows).to(self.device)
            self._state = first if rows.all() else self._current().where(~where, first)
            info = _masked(self.task.state_info(self._state), where)
            obs = self.task.observation(self._state).float()
        self._finished = self._finished & ~where
        return obs, info

    def _generator_of(self, i: int) -> torch.Generator:
        """torch's, seeded by the generator of environment i."""
        return torch.Generator(self.device).manual_seed(int(self._rngs[i].integers(2**62)))

    def _moved(self, state: TaskState) -> TaskState:
        return state.tensors().map(lambda x: x.to(self.device))

    def _has_ended(self) -> NDArray[np.bool_]:
        return self._finished.cpu().numpy()

    def restarts(self, ended: Tensor) -> TaskState:
        """A start for each environment, drawn on the GPU, or from the pool."""
        if self._pool is None:
            return self.task.start_tensors(self._still, self._generator)
        pool = self._pool
        places = torch.randint(self.num_envs, (self.num_envs,), generator=self._generator, device=self.device)
        return pool.map(lambda x: x[places])

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride] (tensors)
        self, actions: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Applies actions (num_envs, n_act); ValueError if their shape is wrong."""
        action = torch.as_tensor(actions, dtype=torch.float64, device=self.device)
        if action.shape != self.action_space.shape:
            name, expected = type(self.task).__name__, self.action_space.shape
            raise ValueError(f"{name}: action has shape {tuple(action.shape)}, expected {expected}")
        task, before = self.task, self._current()
        after = task.transition(before, action)
        unconverged, finite = after.unconverged, finite_rows(after)
        after = after.where(finite, before)
        obs = task.observation(after).float()
        found = task.transition_info(before, action, after)
        reward = reduce(add, [term for name, term in found.items() if name.startswith("reward_")])
        info = {**found, **task.state_info(after), "diverged": ~finite, "unconverged_steps": unconverged}
        terminated, truncated = task.terminal(after) | ~finite, self.truncated(after)
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            return self._finish_later(after, obs, reward, terminated, truncated, info)
        return self._finish_now(after, obs, reward, terminated, truncated, info)

    def _finish_later(
        self, after: TaskState, obs: Tensor, reward: Tensor, terminated: Tensor, truncated: Tensor, info: dict[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Environments whose episode ended in the step before only reset; their action is not used."""
        resetting, moved = self._finished, ~self._finished
        start = self.restarts(resetting)
        self._state = after.where(moved, start)
        obs = torch.where(resetting[:, None], self.task.observation(start).float(), obs)
        reward = torch.where(moved, reward, 0.0)
        terminated, truncated = terminated & moved, truncated & moved
        self._finished = terminated | truncated
        return obs, reward, terminated, truncated, _masked(info, moved)

    def _finish_now(
        self, after: TaskState, obs: Tensor, reward: Tensor, terminated: Tensor, truncated: Tensor, info: dict[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Environments whose episode ends restart at once; what ended goes to final_obs and final_info."""
        ended = terminated | truncated
        start = self.restarts(ended)
        self._state = after.where(~ended, start)
        masked = _masked(info, ~ended)
        masked |= {"final_obs": obs, "_final_obs": ended, "final_info": _masked(info, ended), "_final_info": ended}
        obs = torch.where(ended[:, None], self.task.observation(start).float(), obs)
        return obs, reward, terminated, truncated, masked


def _masked(info: dict[str, Any], rows: Tensor) -> dict[str, Any]:
    """Gymnasium's form of vector infos: zero off `rows`, and `_name` masks."""
    masked: dict[str, Any] = {}
    for name, value in info.items():
        if value is not None:
            where = rows.reshape(-1, *(1,) * (value.ndim - 1))
            masked |= {name: torch.where(where, value, torch.zeros_like(value)), f"_{name}": rows}
    return masked

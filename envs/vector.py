"""`TaskVectorEnv`: any task as a native `gymnasium.vector.VectorEnv`; one simulator call steps all."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .advance import Transition, advance, begin, observe, read_action, read_seed
from .arrays import Array, as_numpy
from .gradients import Gradients, check_gradients
from .mujoco_access import moved, read_rows
from .rendering import RENDER_MODES, StateRenderer, check_render_mode, split_render_options
from .task import load_task
from .task_state import TaskState

Observations = NDArray[np.float32]
Rows = NDArray[np.bool_]


class TaskVectorEnv(VectorEnv[Observations, ArrayLike, NDArray[Any]]):
    """`num_envs` environments of one task, seeded as `SyncVectorEnv` seeds them.

    Args:
        task, gradients, backend, render_mode, task_kwargs: as in `TaskEnv`.
        num_envs: their number.
        max_episode_steps: steps after which an episode is truncated; None or -1 for no limit.
        autoreset_mode: NEXT_STEP, or SAME_STEP, which puts the ended episode's last observation
            and info into `final_obs` and `final_info`. In both, `info["gradients"]` belongs to
            the transition that the step made; a step that only resets made none.
    """

    _renderer: StateRenderer | None = None  # before 1.4 Gymnasium closes what an error left unmade

    def __init__(
        self,
        task: str,
        num_envs: int = 1,
        gradients: Gradients | None = None,
        backend: str = "sim",
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **task_kwargs: Any,
    ) -> None:
        check_gradients(gradients)
        check_render_mode(render_mode)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        if self.autoreset_mode is AutoresetMode.DISABLED:
            raise ValueError("autoreset_mode=DISABLED is not offered: choose NEXT_STEP or SAME_STEP")
        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs}: must be at least 1")
        own_options, task_kwargs = split_render_options(task_kwargs)
        self.task = load_task(task, backend, **task_kwargs)
        self.render_options = {**self.task.render_options, **own_options}
        self.task_arguments = {"task": task, "backend": backend, **task_kwargs}  # for others of the same task
        self.num_envs = num_envs
        self.gradients: Gradients | None = gradients
        self.render_mode = render_mode
        self.max_episode_steps = _time_limit(max_episode_steps)
        self._spec: EnvSpec | None = None
        self.metadata = {
            "render_modes": list(RENDER_MODES),
            "render_fps": round(1.0 / self.task.seconds_per_step),
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space = self.task.observation_space
        self.single_action_space = self.task.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs: list[np.random.Generator] = [seeding.np_random()[0] for _ in range(num_envs)]
        self._state: TaskState | None = None
        self._ended = np.zeros(num_envs, bool)

    @property
    def max_return(self) -> float | None:
        """The greatest possible return of an episode, where it is known."""
        return self.task.max_return

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's, with the limit of time that holds here: `make_vec` writes that of the registration."""
        return self._spec

    @spec.setter
    def spec(  # pyright: ignore[reportIncompatibleVariableOverride] (a plain attribute there)
        self, spec: EnvSpec | None
    ) -> None:
        self._spec = None if spec is None else replace(spec, max_episode_steps=self.max_episode_steps)

    def truncated(self, state: TaskState) -> Array:
        """Whether the time of an episode is over, (...) bool."""
        if self.max_episode_steps is None:
            return state.time < 0
        return state.time >= self.max_episode_steps

    @property
    def state(self) -> TaskState:
        """The current states, with the batch axis `num_envs`, in tensors."""
        self._state = self._current().tensors()
        return self._state

    def _current(self) -> TaskState:
        if self._state is None:
            raise ResetNeeded("call envs.reset() before using the environments")
        return self._state

    @state.setter
    def state(self, state: TaskState) -> None:
        self._state = state

    def set_state(
        self, qpos: ArrayLike, qvel: ArrayLike, act: ArrayLike | None = None, rows: ArrayLike | None = None
    ) -> None:
        """Puts the robots of some environments elsewhere; goals, times and objects, and activations unless given, stay.

        Args:
            qpos: (k, nq) positions.
            qvel: (k, nv) velocities.
            act: (k, na) activations of the actuators.
            rows: which ones, (num_envs,) booleans or k different indices; None for all.

        Raises:
            ValueError: a shape is wrong, a number is not finite, or an episode has ended, so that the next step
                would restart it.
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        indices = read_rows(rows, self.num_envs)
        before, ended = self.state, self._has_ended()[indices]
        state = moved(self.task, before.map(Tensor.cpu), indices, qpos, qvel, act)
        if ended.any():
            raise ValueError(f"set_state: the episode of environment {indices[ended][0]} has ended, reset it before")
        self._state = state.map(lambda x: x.to(before.qpos.device))

    def _has_ended(self) -> NDArray[np.bool_]:
        """Whose next step would restart them."""
        return self._ended

    def reset(  # pyright: ignore[reportIncompatibleMethodOverride] (SyncVectorEnv takes lists of seeds too)
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Starts an episode everywhere, or where `options["reset_mask"]` says so, (num_envs,) bool; the others go on.

        An integer seed gives environment i the seed + i. ValueError: as many seeds or booleans as environments are
        not given, or no boolean is True.
        """
        rows = self._reset_rows(options)
        self._seed(seed, rows)
        if rows.all():
            self._state, obs, started = begin(self.task, self._rngs)
            info = _masked(started, rows)
        else:
            obs, info = observe(self.task, self._current()), {}
            self._restart(rows, obs, info)
        self._ended = self._ended & ~rows
        self._show()
        return obs, info

    def _seed(self, seed: int | Sequence[int | None] | None, rows: Rows) -> None:
        """New generators for the environments `rows`, where there is a seed."""
        if seed is not None:
            many = isinstance(seed, Sequence | np.ndarray)
            seeds = list(seed) if many else [read_seed(seed) + i for i in range(self.num_envs)]
            if len(seeds) != self.num_envs:
                raise ValueError(f"{len(seeds)} seeds for num_envs={self.num_envs}")
            for i in np.flatnonzero(rows):
                if seeds[i] is not None:
                    self._rngs[i] = seeding.np_random(read_seed(seeds[i]))[0]

    def _reset_rows(self, options: dict[str, Any] | None) -> Rows:
        """Which environments are to be reset, (num_envs,)."""
        rows = None if options is None else options.get("reset_mask")
        if rows is None:
            return np.ones(self.num_envs, bool)
        if not isinstance(rows, np.ndarray) or rows.shape != (self.num_envs,) or rows.dtype != bool or not rows.any():
            raise ValueError(f"options['reset_mask']: must be an array of {self.num_envs} booleans, one of them True")
        return rows

    def step(self, actions: ArrayLike) -> tuple[Observations, NDArray[np.float64], Rows, Rows, dict[str, Any]]:
        """Applies actions (num_envs, n_act); ValueError if their shape is wrong or one is not finite."""
        batch = read_action(type(self.task).__name__, actions, self.action_space.shape or ())
        done = advance(self.task, self._current(), batch, self.gradients)
        self._state = done.state
        finish = self._finish_next_step if self.autoreset_mode is AutoresetMode.NEXT_STEP else self._finish_same_step
        result = finish(done, as_numpy(self.truncated(done.state)))
        self._show()
        return result

    def _finish_next_step(
        self, done: Transition, truncated: Rows
    ) -> tuple[Observations, NDArray[np.float64], Rows, Rows, dict[str, Any]]:
        """Environments whose episode ended in the step before only reset; their action is not used."""
        resetting = self._ended
        moved = ~resetting
        info = _masked(_all_info(done), moved)
        if resetting.any():
            self._restart(resetting, done.obs, info)
        reward = np.where(moved, done.reward, 0.0)
        terminated, truncated = done.terminated & moved, truncated & moved
        self._ended = terminated | truncated
        return done.obs, reward, terminated, truncated, info

    def _finish_same_step(
        self, done: Transition, truncated: Rows
    ) -> tuple[Observations, NDArray[np.float64], Rows, Rows, dict[str, Any]]:
        """Environments whose episode ends restart at once; what ended goes to final_obs and final_info."""
        ended = done.terminated | truncated
        info = _masked(done.info, ~ended)
        if ended.any():
            final_obs = np.full(self.num_envs, None, object)
            for i in np.flatnonzero(ended):
                final_obs[i] = done.obs[i].copy()
            info |= {"final_obs": final_obs, "_final_obs": ended.copy()}
            final_info = _masked(_all_info(done), ended)
            if ended.all():  # then its arrays are not fresh, and `info` gets the same gradients
                final_info = deepcopy(final_info)
            info |= {"final_info": final_info, "_final_info": ended.copy()}
            self._restart(ended, done.obs, info)
        if done.gradients is not None:
            info |= _masked({"gradients": done.gradients}, np.ones(self.num_envs, bool))
        return done.obs, done.reward, done.terminated, truncated, info

    def restarts(self, ended: torch.Tensor) -> TaskState:
        """First states of new episodes where `ended` (num_envs,) bool is true; the other rows mean nothing."""
        indices = np.flatnonzero(ended.numpy())
        initial = self.task.start([self._rngs[i] for i in indices])
        return _spread(initial, indices, self.num_envs)

    def _restart(self, rows: Rows, obs: Observations, info: dict[str, Any]) -> None:
        """Begins new episodes in some environments; writes their observation and info in place."""
        indices = np.flatnonzero(rows)
        initial, obs[indices], initial_info = begin(self.task, [self._rngs[i] for i in indices])
        numpy, state = self.task.is_numpy, self._current()
        state, keep = (state.arrays(), ~rows) if numpy else (state.tensors(), torch.from_numpy(~rows))
        self._state = state.where(keep, _spread(initial, indices, self.num_envs))
        for name, values in initial_info.items():
            info.setdefault(name, np.zeros((self.num_envs, *values.shape[1:]), values.dtype))[indices] = values
            info.setdefault(f"_{name}", np.zeros(self.num_envs, bool))[indices] = True

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A frame (height, width, 3) of each environment for "rgb_array"; "human" shows the first one."""
        if self.render_mode is None:
            return None
        if self._renderer is None:
            self._renderer = StateRenderer(self.task.model, self.render_mode, self.render_options)
        if self.render_mode == "human":
            self._renderer.render(*self.task.pictured(self.state, 0))
            return None
        frames = (self._renderer.render(*self.task.pictured(self.state, i)) for i in range(self.num_envs))
        return tuple(frame for frame in frames if frame is not None)

    def close_extras(self, **kwargs: Any) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderer": None}


def _time_limit(max_episode_steps: Any) -> int | None:
    """The limit as a number, or None; ValueError for what is no limit."""
    if max_episode_steps is None or max_episode_steps == -1:  # the latter is Gymnasium's word for no limit
        return None
    if isinstance(max_episode_steps, bool) or not isinstance(max_episode_steps, int | np.integer):
        raise ValueError(f"max_episode_steps={max_episode_steps!r}: must be an integer, -1 for no limit")
    if max_episode_steps < 1:
        raise ValueError(f"max_episode_steps={max_episode_steps}: must be at least 1, or -1 for no limit")
    return int(max_episode_steps)


def _spread(states: TaskState, indices: NDArray[np.int64], count: int) -> TaskState:
    """`count` states of which those at `indices` are the given ones; the others repeat the first."""
    rows = np.zeros(count, np.int64)
    rows[indices] = np.arange(len(indices))
    return states.map(lambda x: x[rows])


def _all_info(done: Transition) -> dict[str, Any]:
    """The step's info with its gradients, as one nested dictionary."""
    return done.info if done.gradients is None else {**done.info, "gradients": done.gradients}


def _masked(info: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """Gymnasium's form of vector infos: arrays that are zero off `rows`, and `_name` masks.

    Nothing where no row has an entry. Arrays are fresh, unless every row has one: then they are those of `info`.
    """
    masked: dict[str, Any] = {}
    if not rows.any():
        return masked
    off = None if rows.all() else ~rows
    for name, value in info.items():
        if isinstance(value, dict):
            masked[name] = _masked(value, rows)
        else:
            masked[name] = value if off is None else value.copy()
            if off is not None:
                masked[name][off] = 0
        masked[f"_{name}"] = rows.copy()
    return masked

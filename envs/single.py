"""`TaskEnv`: any task as a `gymnasium.Env`."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .advance import Transition, advance, begin, read_action, read_seed
from .gradients import Gradients, check_gradients
from .mujoco_access import MujocoAccess
from .rendering import RENDER_MODES, StateRenderer, check_render_mode, split_render_options
from .task import load_task

Observation = NDArray[Any]  # float32, (n_obs,)


class TaskEnv(MujocoAccess, gymnasium.Env[Observation, ArrayLike]):
    """One environment, without a limit of time: as for all of Gymnasium's, `gymnasium.make` wraps it in a `TimeLimit`.

    Its state is read and set as that of Gymnasium's `MujocoEnv`, see `MujocoAccess`.

    Args:
        task: "module:Class" of the task; it is made with `task_kwargs` and `backend`.
        gradients: what `info["gradients"]` holds after a step, see docs/gradients.md.
        backend: "sim", or "mujoco" for the same task stepped by MuJoCo.
        render_mode: None, "human" or "rgb_array".
        task_kwargs: the task's own arguments, such as `n_links`, and `RENDER_OPTIONS`, which are the pictures'.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 60}  # noqa: RUF012 (Gymnasium's API)

    def __init__(
        self,
        task: str,
        gradients: Gradients | None = None,
        backend: str = "sim",
        render_mode: str | None = None,
        **task_kwargs: Any,
    ) -> None:
        check_gradients(gradients)
        check_render_mode(render_mode)
        own_options, task_kwargs = split_render_options(task_kwargs)
        self.task = load_task(task, backend, **task_kwargs)
        self.render_options = {**self.task.render_options, **own_options}
        self.task_arguments = {"task": task, "backend": backend, **task_kwargs}  # those of a `TaskVectorEnv` of it
        self.gradients: Gradients | None = gradients
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": round(1.0 / self.task.seconds_per_step)}
        self.observation_space = self.task.observation_space
        self.action_space = self.task.action_space
        self._action_shape = self.action_space.shape or ()
        self._renderer: StateRenderer | None = None

    @property
    def max_return(self) -> float | None:
        """The greatest possible return of an episode, where it is known."""
        return self.task.max_return

    @property
    def counterpart(self) -> tuple[str, dict[str, Any]] | None:
        """Id and arguments of the environment of Gymnasium's own that is the same task, if there is one."""
        return self.task.counterpart

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode. The info holds no gradients: no transition led here."""
        super().reset(seed=read_seed(seed))
        (self._state, obs, info), self._action = begin(self.task, [self.np_random]), None
        self._show()
        return obs[0], _row(info)

    def step(self, action: ArrayLike) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Applies an action (n_act,); ValueError if its shape is wrong or it is not finite."""
        numbers = read_action(type(self.task).__name__, action, self._action_shape)
        done = self._advance_one(numbers) if self.task.is_numpy else self._advance_batch(numbers)
        self._state, self._action = done.state, numbers
        if done.gradients is not None:
            done.info["gradients"] = done.gradients
        self._show()
        return done.obs, float(done.reward), bool(done.terminated), False, done.info

    def _advance_one(self, action: NDArray[np.float64]) -> Transition:
        """A step without a batch axis: numpy is quicker with single numbers than with arrays of one."""
        state = self._current().arrays()
        if state.qpos.ndim > 1:
            state = state.map(lambda x: x[0])
        return advance(self.task, state, action, self.gradients)

    def _advance_batch(self, action: NDArray[np.float64]) -> Transition:
        """A step as a batch of one, as torch has it."""
        state, obs, reward, terminated, info, gradients = advance(
            self.task, self._current(), action[None], self.gradients
        )
        gradients = None if gradients is None else {name: array[0] for name, array in gradients.items()}
        return Transition(state, obs[0], reward[0], terminated[0], _row(info), gradients)

    def render(self) -> NDArray[np.uint8] | None:
        """A frame (height, width, 3) of the current state for "rgb_array"; the window is drawn by `step`."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() without a render mode: pass render_mode='rgb_array' to gymnasium.make")
            return None
        if self._renderer is None:
            self._renderer = StateRenderer(self.task.model, self.render_mode, self.render_options)
        return self._renderer.render(*self.task.pictured(self.state, 0))

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _show(self) -> None:
        self._update_copy()
        if self.render_mode == "human":
            self.render()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderer": None, "_copy": None}


def _row(info: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The only environment's entries: numpy's numbers, and arrays without the batch axis.

    Truth values are arrays without an axis: of numpy's own, Gymnasium's vector environments make arrays of objects.
    """
    return {name: array[0, ...] if array.dtype == bool else array[0] for name, array in info.items()}

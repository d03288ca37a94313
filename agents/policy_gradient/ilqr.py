"""iLQR: the path of one episode by second-order steps, and linear feedback along it."""

from dataclasses import replace
from time import perf_counter, time_ns
from typing import Any, ClassVar, NamedTuple, TypeVar

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import MaybeCallback
from torch import Tensor

from ...envs.advance import is_finite
from ...envs.curvature import reward_curvature
from ...envs.gradients import observation_gradient, transition_gradients
from ...envs.task_state import TaskState
from ..action_space import unscale, unscale_slope
from ..training.configuration import RunConfig
from ..training.native_vec_env import NativeVecEnv, native
from ..training.sb3 import Sb3Algorithm, check_count, constructor_arguments
from .path_policy import PathPolicy
from .riccati import Expansion, Feedback, concave, solve

Floats = NDArray[np.float64]
Self = TypeVar("Self", bound="ILQR")

_DAMPING = (1e-9, 1e-3, 1e9)  # least, first, and that at which a path is given up
# Beyond it tanh has no slope that would lead back.
_GREATEST_CONTROL = 6.0
# Directions of the state that the observation shows less than this share of what it shows best count as hidden.
_HIDDEN = 1e-6


class Episodes(NamedTuple):
    """K episodes of T steps from one start."""

    states: list[TaskState]  # T + 1 of K states
    control: Tensor  # (K, T, n_act), before tanh
    counted: Tensor  # (K, T), 1.0 before the task's end, then 0.0
    returns: Tensor  # (K,); minus infinity where the simulation diverged


class ILQR(Sb3Algorithm):
    """Iterative LQR (Li and Todorov 2004) over whole episodes from one start.

    An iteration takes the exact Jacobians of all steps of the path, solves the linear-quadratic problem along it by
    one sweep from the end, and tries several lengths of the step with the feedback acting; where none is better, the
    next step is damged more. A path that gains nothing any more is left for a new one from other random controls; the
    best is kept. The policy is that path with its feedback, a `PathPolicy`.

    It is for tasks whose episodes start alike. Where they start elsewhere, the feedback leads back to the path if it
    can.

    Args:
        policy: "PathPolicy".
        env: an id, an `Env` or a `VectorEnv` of gradgym's, of episodes that time ends.
        line_search: how many lengths of a step are tried at once: 1, 1/2, 1/4, ...
        effort: of the sum over an episode of the squares of controls before tanh, taken off its return. Feedback is
            the gentler, the greater it is.
        speed: likewise of the squares of all joints' velocities after each step. Even a small one makes feedback hold
            all directions of the state, and slow motion is less unstable.
        control_std: of the normal controls that a path begins with, before tanh.
        patience: iterations in a row that gain less than a millionth of the objective, before another path.
        policy_kwargs, stats_window_size, tensorboard_log, verbose, seed: as in SB3.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"PathPolicy": PathPolicy}
    policy: PathPolicy  # pyright: ignore[reportIncompatibleVariableOverride]
    env: NativeVecEnv | None  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(  # noqa: PLR0913 (one argument for each setting, as in SB3)
        self,
        policy: str | type[PathPolicy],
        env: Any,
        line_search: int = 16,
        effort: float = 1e-4,
        speed: float = 1e-6,
        control_std: float = 0.1,
        patience: int = 10,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        _init_setup_model: bool = True,
    ) -> None:
        check_count("line_search", line_search)
        check_count("patience", patience)
        if effort <= 0.0:
            raise ValueError(f"effort={effort}: must be positive")
        for name, value in {"speed": speed, "control_std": control_std}.items():
            if value < 0.0:
                raise ValueError(f"{name}={value}: must not be negative")
        super().__init__(
            policy,
            None if env is None else native(env, 1),
            learning_rate=0.0,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            seed=seed,
            device="cpu",
            support_multi_env=True,
        )
        self.line_search, self.patience = line_search, patience
        self.effort, self.speed, self.control_std = effort, speed, control_std
        self.best_objective = -np.inf  # of all paths so far: return less effort
        self._control: Tensor | None = None  # (T, n_act), of the present path, before tanh
        self._damping, self._idle = _DAMPING[1], 0
        if _init_setup_model:
            self._setup_model()

    @classmethod
    def rehearse(cls, config: RunConfig) -> None:
        """As `Algorithm` says: a step with all that is derived of it, and one without."""
        envs = native(cls.training_env(config, constructor_arguments(config.hyperparams)), 1).envs
        envs.reset()
        action = torch.from_numpy(envs.action_space.sample()).double()
        with torch.no_grad():
            after, jacobian = envs.task.linearize(envs.state, action, by_state=True)
            transition_gradients(envs.task, envs.state, action, after, jacobian)
            reward_curvature(envs.task, envs.state, action, after)
            observation_gradient(envs.task, envs.state)
            envs.task.transition(envs.state, action)

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> NativeVecEnv:
        return native(env, 1)

    def _setup_model(self) -> None:
        self.set_random_seed(self.seed)
        made = self.policy_class(  # pyright: ignore[reportCallIssue]
            self.observation_space,
            self.action_space,
            lambda _: 0.0,
            n_steps=self._episode_length(),  # pyright: ignore[reportCallIssue]
            **(self.policy_kwargs or {}),
        )
        self.policy = made  # pyright: ignore[reportIncompatibleVariableOverride, reportAttributeAccessIssue]

    def _episode_length(self) -> int:
        assert self.env is not None
        if self.env.envs.max_episode_steps is None:
            raise ValueError("iLQR's path is an episode that time ends: make env with max_episode_steps")
        return self.env.envs.max_episode_steps

    def learn(
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "run",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Iterates for `total_timesteps` steps of all simulations together."""
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start(locals(), globals())
        iterations = 0
        while self.num_timesteps < total_timesteps:
            callback.on_rollout_start()
            start = perf_counter()
            if not self._iterate(callback):
                break
            callback.on_rollout_end()
            iterations += 1
            self.logger.record("time/seconds_iteration", perf_counter() - start)
            if iterations % log_interval == 0:
                self._write_logs()
        callback.on_training_end()
        return self

    @torch.no_grad()
    def _iterate(self, callback: BaseCallback) -> bool:
        """One iteration on the present path, or on a new one; False if a callback says stop."""
        if self._control is None:
            shape = self._episode_length(), self.policy.control.shape[-1]
            self._control = self.control_std * torch.randn(*shape, dtype=torch.float64)
            self._damping, self._idle = _DAMPING[1], 0
        path = self._play(self._control[None], None, callback)
        if path is None:
            return False
        if not path.returns.isfinite():
            self._control = None
            return True
        before = self._objectives(path).item()
        along = _along(path, 0)
        found = solve(self._expansion(along, path), self._damping)
        lengths = 0.5 ** torch.arange(self.line_search, dtype=torch.float64)
        wished = self._control + lengths[:, None, None] * torch.from_numpy(found.change)
        tried = self._play(wished, (along, torch.from_numpy(found.gain)), callback)
        if tried is None:
            return False
        objectives = self._objectives(tried)
        best = int(objectives.argmax())
        after = objectives[best].item()
        gained = after - before
        if gained > 0.0:
            self._control = tried.control[best]
            self._damping = max(self._damping / 3.0, _DAMPING[0])
        else:
            self._damping *= 10.0
        if after > self.best_objective:
            self.best_objective = after
            self.policy.follow(*self._feedback(_along(tried, best), self._control, found))
        self._idle = 0 if gained > 1e-6 * max(1.0, abs(after)) else self._idle + 1
        if self._idle >= self.patience or self._damping > _DAMPING[2]:
            self._control = None
        self._n_updates += 1
        self.logger.record("train/return", path.returns.item())
        self.logger.record("train/effort", path.returns.item() - before)
        self.logger.record("train/step_scale", lengths[best].item() if gained > 0.0 else 0.0)
        self.logger.record("train/damping", self._damping)
        return True

    def _objectives(self, episodes: Episodes) -> Tensor:
        """Returns less the costs of effort and speed, (K,)."""
        speeds = torch.stack([state.qvel.square().sum(-1) for state in episodes.states[1:]], 1)
        effort = episodes.control.square().sum((1, 2))
        return episodes.returns - self.effort * effort - self.speed * (episodes.counted * speeds).sum(1)

    def _play(
        self, control: Tensor, feedback: tuple[TaskState, Tensor] | None, callback: BaseCallback
    ) -> Episodes | None:
        """Episodes under controls (K, T, n_act), with feedback about a path of T + 1 states by gains (T, n_act, nx).

        None if a callback says stop.
        """
        assert self.env is not None
        task, count = self.env.envs.task, len(control)
        state = task.start([np.random.default_rng(self.seed or 0) for _ in range(count)])
        returns, counted = torch.zeros(count, dtype=torch.float64), torch.ones(count, dtype=torch.float64)
        applied, states, weights = control.clone(), [state], []
        for t in range(control.shape[1]):
            if feedback is not None:
                path, gain = feedback
                applied[:, t] += _away(state, path, t) @ gain[t].T
            applied[:, t] = applied[:, t].clip(-_GREATEST_CONTROL, _GREATEST_CONTROL)
            action = unscale(torch.tanh(applied[:, t]), self.action_space)
            after = task.transition(state, action)
            finite = torch.from_numpy(is_finite(after))
            if not finite.all():
                after = after.where(finite, state)
            reward = counted * task.reward(state, action, after)
            returns += torch.where(finite | (counted == 0.0), reward, -torch.inf)
            weights.append(counted)
            counted = torch.where(task.terminal(after), 0.0, counted)
            state = after
            states.append(state)
            self.num_timesteps += count
            ended = t == control.shape[1] - 1
            infos = [{"episode": {"r": r, "l": t + 1}} for r in returns.tolist()] if ended else []
            callback.update_locals({"infos": infos})
            if not callback.on_step():
                return None
        return Episodes(states, applied, torch.stack(weights, 1), returns)

    def _expansion(self, along: TaskState, path: Episodes) -> Expansion:
        """The model of return less costs along a path, whose T + 1 states are `along`; derivatives by controls."""
        assert self.env is not None
        task, control = self.env.envs.task, path.control[0]
        before = along.map(lambda x: x[:-1])
        squashed = torch.tanh(control)
        action = unscale(squashed, self.action_space)
        after, jacobian = task.linearize(before, action, by_state=True)
        _ = after.kinematics  # known poses have their rates in forward mode
        exact = transition_gradients(task, before, action, after, jacobian)
        bent = reward_curvature(task, before, action, after)
        slope = unscale_slope(self.action_space) * (1.0 - squashed.square()).numpy()  # of actions by controls
        counted, effort = path.counted[0].numpy(), 2.0 * self.effort
        state_curvature = np.zeros((len(control) + 1, *bent.state.shape[1:]))
        state_curvature[:-1] += counted[:, None, None] * bent.state
        state_curvature[1:] += counted[:, None, None] * bent.next_state
        in_action = counted[:, None, None] * slope[:, :, None] * bent.action * slope[:, None]
        A, B = exact["dstate_dstate"], exact["dstate_daction"] * slope[:, None]
        model, cost = task.model, 2.0 * self.speed * counted[:, None]
        turning = slice(model.nv, 2 * model.nv)
        state_curvature[1:, range(model.nv, 2 * model.nv), range(model.nv, 2 * model.nv)] -= cost
        speeds = -cost * after.qvel.numpy()  # slope by the velocities after each step
        return Expansion(
            A=A,
            B=B,
            by_state=counted[:, None] * exact["dreward_dstate"] + _times(speeds, A[:, turning]),
            by_control=counted[:, None] * exact["dreward_daction"] * slope
            + _times(speeds, B[:, turning])
            - effort * control.numpy(),
            state_curvature=concave(state_curvature),
            control_curvature=concave(in_action) - effort * np.eye(control.shape[1]),
        )

    def _feedback(self, along: TaskState, control: Tensor, found: Feedback) -> tuple[Tensor, Tensor, Tensor]:
        """What `PathPolicy.follow` takes of a path: gains by observations in place of the state."""
        assert self.env is not None
        task, states = self.env.envs.task, along.map(lambda x: x[:-1])
        seen = np.linalg.pinv(observation_gradient(task, states), rcond=_HIDDEN)
        return task.observation(states), control, torch.from_numpy(found.gain @ seen)

    def _write_logs(self) -> None:
        seconds = max(1e-9, 1e-9 * (time_ns() - self.start_time))
        self.logger.record("time/fps", int((self.num_timesteps - self._num_timesteps_at_start) / seconds))
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/best_objective", self.best_objective)
        self.logger.dump(self.num_timesteps)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy"], []


def _along(episodes: Episodes, row: int) -> TaskState:
    """The states of one of the episodes, with T + 1 as their batch."""
    first = episodes.states[0]
    fields = ("qpos", "qvel", "act", "time", "mocap_pos", "mocap_quat", "variant")
    given = [name for name in fields if getattr(first, name) is not None]
    stacked = {name: torch.stack([getattr(state, name)[row] for state in episodes.states]) for name in given}
    return replace(first, **stacked, known_kinematics=None, known_forces=None, unconverged=None)


def _times(rows: Floats, matrices: Floats) -> Floats:
    """Products (N, m) of rows (N, n) and matrices (N, n, m)."""
    return np.einsum("ti,tij->tj", rows, matrices)


def _away(state: TaskState, path: TaskState, t: int) -> Tensor:
    """Of K states the tangent (K, nx) that leads to them from state t of a path."""
    model, qpos = state.model, path.qpos[t]
    moved = state.qpos - qpos if model.nq == model.nv else torch.zeros(len(state.qpos), model.nv, dtype=torch.float64)
    if model.nq != model.nv:
        for row, there in zip(moved.numpy(), state.qpos.numpy(), strict=True):
            mujoco.mj_differentiatePos(model.mj_model, row, 1.0, qpos.numpy(), there)
    return torch.cat([moved, state.qvel - path.qvel[t], state.act - path.act[t]], dim=-1)

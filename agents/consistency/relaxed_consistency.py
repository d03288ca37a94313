"""The relaxed trainer of physical consistency: a policy that proposes contacts, by matrix-free Gauss-Newton.

Ruppel, Hendrich and Zhang, "Learning Dexterous Manipulation with Differentiable Physical Consistency": task goals
and physical consistency of relaxed rollouts are one squared sum, from random starts and goals.
"""

from collections.abc import Mapping
from dataclasses import replace
from time import time_ns
from typing import Any, ClassVar, TypeVar

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import MaybeCallback
from torch import Tensor

from ..optim.gauss_newton import GaussNewton
from ..training.configuration import RunConfig, full_id
from ..training.native_vec_env import NativeVecEnv, native
from ..training.policy_state import PolicyState
from ..training.random_generators import generators_kept
from ..training.sb3 import Sb3Algorithm
from ..training.sb3_policies import policy_from
from .linearization import Linearization, losses, weighted_loss
from .policy import ConsistencyPolicy
from .relaxed import Path
from .residuals import Residuals, Weights
from .scene import Start

Self = TypeVar("Self", bound="RelaxedConsistency")

# A sample whose loss is so many times the median's is left out of a step: rollouts may explode.
_OUTLIER = 20.0
# From so many times the median on a sample counts less, in proportion.
_LARGE = 3.0


class RelaxedConsistency(Sb3Algorithm):
    """Trains on relaxed rollouts alone; the environment gives starts, goals and the robot.

    A step of training is a Gauss-Newton step on a batch of relaxed rollouts, which counts as `batch_size` times
    horizon environment steps. While the share `ramp` of the training passes, the weights of the residuals go from
    `first_weights` to `weights`.

    Args:
        policy: "ConsistencyPolicy".
        env: an id, an `Env` or a `VectorEnv` of gradgym's, of a manipulation task.
        batch_size: rollouts of a step.
        optimizer: "gauss_newton", or "adam", which takes a step of `learning_rate` down the same gradient.
        learning_rate: of Adam.
        cg_iterations: of conjugate gradients in a step, at most.
        damping: first Levenberg-Marquardt damping.
        min_damping: which it does not fall below; with less, a step fits its own batch and not the next one's.
        weights, first_weights: those of `Weights` that differ from its defaults, the latter from `weights`.
        ramp: see above.
        late: exponent of the growth in time of what is asked of the object.
        policy_kwargs: `relaxation` and `hidden`, see `ConsistencyPolicy`.
        stats_window_size, tensorboard_log, verbose, seed, device: as in SB3; the device is the CPU.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"ConsistencyPolicy": ConsistencyPolicy}
    policy: ConsistencyPolicy  # pyright: ignore[reportIncompatibleVariableOverride]
    env: NativeVecEnv | None  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(  # noqa: PLR0913 (one argument for each setting, as in SB3)
        self,
        policy: str | type[ConsistencyPolicy],
        env: Any,
        batch_size: int = 32,
        optimizer: str = "gauss_newton",
        learning_rate: float = 1e-3,
        cg_iterations: int = 60,
        damping: float = 1.0,
        min_damping: float = 0.1,
        weights: Mapping[str, float] | None = None,
        first_weights: Mapping[str, float] | None = None,
        ramp: float = 0.4,
        late: float = 1.0,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        if torch.device("cpu" if device == "auto" else device).type != "cpu":
            raise ValueError(f"device={device!r}: the simulator is on the CPU, and so are these networks")
        if optimizer not in ("gauss_newton", "adam"):
            raise ValueError(f'optimizer={optimizer!r}: choose "gauss_newton" or "adam"')
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        if not 0.0 < ramp <= 1.0:
            raise ValueError(f"ramp={ramp}: must be above 0 and at most 1")
        envs = None if env is None else native(env, 1)
        given = dict(policy_kwargs or {})
        if envs is not None:
            given["task"] = envs.envs.task_arguments
        super().__init__(
            policy,
            envs,  # pyright: ignore[reportArgumentType]
            learning_rate,
            policy_kwargs=given,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            seed=seed,
            device="cpu",
            support_multi_env=True,
        )
        self.batch_size, self.optimizer, self.late, self.ramp = batch_size, optimizer, late, ramp
        self.weights = _weights(weights, Weights())
        self.first_weights = _weights(first_weights, self.weights)
        self.solver = GaussNewton(damping=damping, min_damping=min_damping, cg_iterations=cg_iterations)
        self.skipped_samples = 0
        self.loss = float("nan")  # after the last step
        if _init_setup_model:
            self._setup_model()

    @classmethod
    def rehearse(cls, config: RunConfig) -> None:
        """As `Algorithm` says: a step of training, on few rollouts, and an action of the policy."""
        super().rehearse(config)
        with generators_kept():
            few = {**config.hyperparams, "batch_size": 2, "cg_iterations": 1}
            algorithm = cls.from_config(replace(config, hyperparams=few))
            algorithm.set_logger(Logger(None, []))
            algorithm.train()
            env = config.make_env()
            algorithm.predict(env.reset()[0])
            env.close()

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> NativeVecEnv:
        return native(env, 1)

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.rng = np.random.default_rng(self.seed)
        self.policy = self.policy_class(  # pyright: ignore[reportIncompatibleVariableOverride, reportAttributeAccessIssue]
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        )
        self._adam = torch.optim.Adam([self.policy.parameter_vector], lr=float(self.learning_rate))  # pyright: ignore[reportArgumentType]

    def learn(
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "run",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Trains until so many more steps of relaxed rollouts were made."""
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start(locals(), globals())
        counted = self.batch_size * self.policy.relaxed.settings.horizon
        while self.num_timesteps < total_timesteps:
            callback.on_rollout_start()
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            self.train()
            self.num_timesteps += counted
            self._n_updates += 1
            if not callback.on_step():
                break
            callback.on_rollout_end()
            if self._n_updates % log_interval == 0:
                self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
                seconds = max(1e-9, 1e-9 * (time_ns() - self.start_time))
                self.logger.record("time/fps", int((self.num_timesteps - self._num_timesteps_at_start) / seconds))
                self.logger.dump(self.num_timesteps)
        callback.on_training_end()
        return self

    def current_weights(self) -> Weights:
        """Those that hold at this progress of the training."""
        share = min((1.0 - self._current_progress_remaining) / self.ramp, 1.0)
        return self.first_weights.between(self.weights, share)

    @torch.no_grad()
    def train(self) -> None:
        """One step of the optimizer on new rollouts."""
        relaxed, parameters = self.policy.relaxed, self.policy.parameter_vector.data
        late = torch.linspace(0.0, 1.0, relaxed.settings.horizon + 1) ** self.late
        residuals = Residuals(relaxed, self.current_weights(), late)
        start = self.starts()
        path, start, weight = self._sane(relaxed.rollout(parameters, start), start, residuals)
        linear = Linearization(residuals, parameters, path, start, weight, self.rng)
        if self.optimizer == "adam":
            self.policy.parameter_vector.grad = linear.gradient
            self._adam.step()
            self.loss = linear.loss
        else:
            step = self.solver.step(parameters, linear, self._loss_of(residuals, start, weight, linear.count))
            self.policy.parameter_vector.data = step.theta
            self.loss = step.loss
            self.logger.record("train/damping", self.solver.damping)
            self.logger.record("train/cg_iterations", step.cg_iterations)
            self.logger.record("train/ratio", step.ratio)
        self.logger.record("train/loss", self.loss)
        self.logger.record("train/skipped_samples", self.skipped_samples)
        for name, values in linear.values.items():
            self.logger.record(f"residuals/{name}", float(values.square().sum()) / linear.count)
        self.logger.record("train/orientation_error", path.error[-1].norm(dim=-1).mean().item())

    def starts(self) -> Start:
        """Relaxed states of new episodes."""
        scene = self.policy.relaxed.scene
        seeds = self.rng.integers(2**62, size=self.batch_size)
        return scene.start(scene.task.initial([np.random.default_rng(seed) for seed in seeds]))

    def _sane(self, path: Path, start: Start, residuals: Residuals) -> tuple[Path, Start, Tensor]:
        """The samples whose rollout did not explode, and how much each counts, (B',)."""
        found = losses(residuals.values(path, start))
        median = found.nanmedian()
        sane = found.isfinite() & (found <= _OUTLIER * median)
        self.skipped_samples += int((~sane).sum())
        path = Path(*(x[:, sane] for x in path[:-1]), activations=[a[:, sane] for a in path.activations])
        weight = 1.0 / (found[sane] / (_LARGE * median)).clamp_min(1.0)
        return path, Start(*(x[sane] for x in start)), weight

    def _loss_of(self, residuals: Residuals, start: Start, weight: Tensor, count: int) -> Any:
        def loss(parameters: Tensor) -> float:
            values = residuals.values(residuals.relaxed.rollout(parameters, start), start)
            return weighted_loss(values, weight) / count

        return loss

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """See `ConsistencyPolicy.predict`: pass the memory that it returns with the next observation."""
        return self.policy.predict(observation, state, episode_start, deterministic)

    def policy_state(self) -> PolicyState:
        """As `Algorithm` says; the task's class is left to the id of the environment."""
        state = super().policy_state()
        arguments = state.settings["arguments"]
        return state._replace(settings={**state.settings, "arguments": {**arguments, "task": _bare(arguments["task"])}})

    @classmethod
    def load_policy(cls, state: PolicyState, env: str) -> BasePolicy:
        """As `Algorithm` says."""
        given = state.settings["arguments"]["task"]
        task = {**_bare(given), "task": gymnasium.spec(full_id(env)).kwargs["task"]}
        return policy_from(state, cls.policy_aliases.values(), task=task)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy"], []


def _bare(task: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a task without the name of its class, which a file of policies must not choose."""
    return {name: value for name, value in task.items() if name != "task"}


def _weights(given: Mapping[str, float] | None, others: Weights) -> Weights:
    """ValueError for a name that is no residual's."""
    changes = dict(given or {})
    if unknown := changes.keys() - vars(others).keys():
        raise ValueError(f"weights has no {sorted(unknown)[0]!r}: choose among {', '.join(vars(others))}")
    return Weights(**{**vars(others), **changes})

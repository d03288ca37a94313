"""What `SHAC` and `BPTT` share: rollouts as a torch graph, the policy's update, and SB3's interface."""

from abc import abstractmethod
from time import perf_counter, time_ns
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.type_aliases import MaybeCallback, Schedule
from stable_baselines3.common.utils import safe_mean
from torch import Tensor

from ...envs.arrays import as_numpy
from ...envs.differentiable import DifferentiableEnvs, TensorStep
from ..action_space import unscale
from ..training.configuration import RunConfig
from ..training.native_vec_env import NativeVecEnv, native
from ..training.sb3 import Sb3Algorithm, constructor_arguments
from .short_horizon_policy import ShortHorizonPolicy

Self = TypeVar("Self", bound="AnalyticPolicyGradient")

# Of an environment that is given to `load`, which takes no number.
_NUM_ENVS = 64


class Window(NamedTuple):
    """T steps of N environments. Gradients run through `reward` and `next_obs`."""

    obs: Tensor  # (T, N, n_obs), float32, before each step
    reward: Tensor  # (T, N), float32
    terminated: Tensor  # (T, N), bool
    truncated: Tensor  # (T, N), bool
    diverged: Tensor  # (T, N), bool
    unconverged: Tensor  # (T, N), int32, simulation steps whose constraint solver was stopped
    next_obs: Tensor  # (T, N, n_obs), float32, of the state that each step led to


class AnalyticPolicyGradient(Sb3Algorithm):
    """Ascends the exact gradient of the return of short rollouts through the simulator.

    Args:
        policy: "MlpPolicy", or a subclass of `ShortHorizonPolicy`.
        env: an id, an `Env` or a `VectorEnv` of gradgym's, or what SB3's `make_vec_env` makes of one.
        learning_rate: of the policy, and of a critic if there is one.
        n_envs: how many environments an id or an `Env` becomes.
        horizon: steps between updates, through which gradients are carried.
        gamma: discount.
        max_grad_norm: the norms of the policy's and the critic's gradients are cut to this.
        adjoint_limit: on the adjoint of each environment's state, see `DifferentiableEnvs`.
        policy_kwargs, stats_window_size, tensorboard_log, verbose, seed: as in SB3.
        device: of networks and environments alike; "auto" is the CPU.
    """

    devices: ClassVar[tuple[str, ...]] = ("cpu",)  # that the algorithm can be on

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": ShortHorizonPolicy}
    policy: ShortHorizonPolicy  # pyright: ignore[reportIncompatibleVariableOverride]
    env: NativeVecEnv | None  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(  # noqa: PLR0913 (one argument for each setting, as in SB3)
        self,
        policy: str | type[ShortHorizonPolicy],
        env: Any,
        learning_rate: float | Schedule,
        n_envs: int,
        horizon: int | None,
        gamma: float,
        max_grad_norm: float,
        adjoint_limit: float,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        place = torch.device("cpu" if device == "auto" else device)
        if place.type not in self.devices:
            raise ValueError(f"device={device!r}: {type(self).__name__} runs on {' and '.join(self.devices)}")
        if horizon is not None and horizon < 1:
            raise ValueError(f"horizon={horizon}: must be at least 1")
        if max_grad_norm <= 0.0:
            raise ValueError(f"max_grad_norm={max_grad_norm}: must be positive")
        if not 0.0 < gamma <= 1.0:
            raise ValueError(f"gamma={gamma}: must be above 0 and at most 1")
        super().__init__(
            policy,
            None if env is None else native(env, n_envs, place),  # pyright: ignore[reportArgumentType]
            learning_rate,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            seed=seed,
            device=place,
            support_multi_env=True,
        )
        self.horizon, self.gamma = horizon, gamma
        self.max_grad_norm, self.adjoint_limit = max_grad_norm, adjoint_limit
        self.skipped_updates = 0  # because a gradient was not finite
        self.actor_gradient_norm = 0.0  # of the last update, before it was cut
        if self.env is not None:
            DifferentiableEnvs(self.env.envs, adjoint_limit)  # refuses now what it would refuse in `learn`
        if _init_setup_model:
            self._setup_model()

    @classmethod
    def rehearse(cls, config: RunConfig) -> None:
        """As `Algorithm` says: two steps there and back, and one without gradients."""
        arguments = constructor_arguments(config.hyperparams)
        device = torch.device(arguments.get("device", "cpu").replace("auto", "cpu"))
        envs = native(cls.training_env(config, arguments), arguments.get("n_envs", _NUM_ENVS), device).envs
        envs.reset()
        action = torch.from_numpy(envs.action_space.sample()).to(device).requires_grad_()
        worlds, total = DifferentiableEnvs(envs), torch.zeros((), device=device)
        for _ in range(2):
            step = worlds.step(action)
            total = total + step.reward.sum() + step.next_obs.sum()
        total.backward()
        worlds.detach()
        envs.step(action.detach().cpu().numpy())

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> NativeVecEnv:
        return native(env, _NUM_ENVS)

    @classmethod
    def load(  # pyright: ignore[reportIncompatibleMethodOverride] (an id, or gradgym's own, is an environment too)
        cls, path: Any, env: Any = None, device: torch.device | str = "auto", **kwargs: Any
    ) -> Any:
        """As SB3's; an id or an `Env` becomes as many environments as the saved algorithm had."""
        if env is not None:
            saved, _, _ = load_from_zip_file(path, device="cpu", custom_objects=kwargs.get("custom_objects"))
            assert saved is not None
            env = native(env, saved["n_envs"], torch.device("cpu" if device == "auto" else device))
        return super().load(path, env, device, **kwargs)

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """Changes the environments; an id or an `Env` becomes as many as there were."""
        super().set_env(native(env, self.n_envs, self.device), force_reset)

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.policy = self.policy_class(  # pyright: ignore[reportIncompatibleVariableOverride, reportAttributeAccessIssue]
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        ).to(self.device)

    def learn(
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "run",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Trains for `total_timesteps` steps of all environments together, as SB3's algorithms do."""
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        assert self.env is not None
        worlds = DifferentiableEnvs(self.env.envs, self.adjoint_limit)
        callback.on_training_start(locals(), globals())
        updates = 0
        while self.num_timesteps < total_timesteps:
            callback.on_rollout_start()
            # Of the steps before: after the rollout the last update would have no, or a negative, rate.
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            self._update_learning_rate([self.policy.optimizer, self.policy.critic_optimizer])
            start = perf_counter()
            window = self._roll_out(worlds, callback)
            if window is None:
                break
            callback.on_rollout_end()
            rolled = perf_counter()
            self.train(window, worlds)
            self._n_updates += 1
            updates += 1
            self.logger.record("time/seconds_rollout", rolled - start)
            self.logger.record("time/seconds_train", perf_counter() - rolled)
            if updates % log_interval == 0:
                self._write_logs()
        callback.on_training_end()
        return self

    @abstractmethod
    def train(self, window: Window, worlds: DifferentiableEnvs) -> None:
        """Updates the networks from a window; it is the graph's last use."""

    def _window_length(self) -> int:
        assert self.horizon is not None
        return self.horizon

    def _roll_out(self, worlds: DifferentiableEnvs, callback: BaseCallback) -> Window | None:
        """Steps all environments under the policy; None if a callback says stop."""
        assert self.env is not None
        obs, observed, steps = worlds.detach().float(), [], []
        for _ in range(self._window_length()):
            noise = torch.randn(self.n_envs, *self.action_space.shape, device=self.device)  # pyright: ignore[reportOptionalIterable] (a Box has a shape)
            action = self.policy.act(obs, noise)
            step = worlds.step(unscale(action, self.action_space))
            observed.append(obs.detach())
            steps.append(step)
            obs = step.obs.float()
            self.num_timesteps += self.n_envs
            self._last_obs, reward = as_numpy(obs), as_numpy(step.reward)
            terminated, truncated = as_numpy(step.terminated), as_numpy(step.truncated)
            dones = terminated | truncated
            infos = self.env.count(reward, terminated, truncated)
            self._update_info_buffer(infos, dones)
            callback.update_locals({"infos": infos, "rewards": reward, "dones": dones})
            self._last_episode_starts = dones
            if not callback.on_step():
                worlds.detach()
                return None
        worlds.detach()
        columns = TensorStep(*map(torch.stack, zip(*steps, strict=True)))
        return Window(
            torch.stack(observed),
            columns.reward.float(),
            columns.terminated,
            columns.truncated,
            columns.diverged,
            columns.unconverged,
            columns.next_obs.float(),
        )

    def _ascend(self, objective: Tensor, window: Window, worlds: DifferentiableEnvs) -> None:
        """One step of the policy up the gradient of `objective` (), if that is finite."""
        record = worlds.record
        before = record.rows, record.dropped, record.limited
        self.policy.optimizer.zero_grad()
        (-objective).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.policy.actor_parameters, self.max_grad_norm)
        self.actor_gradient_norm = norm.item()
        if norm.isfinite():
            self.policy.optimizer.step()
            self.policy.keep_noise()
        else:
            self.skipped_updates += 1
        rows, dropped, limited = record.rows - before[0], record.dropped - before[1], record.limited - before[2]
        self.logger.record("train/actor_objective", objective.item())
        self.logger.record("train/actor_gradient_norm", self.actor_gradient_norm)
        self.logger.record("train/actor_gradient_norm_clipped", min(self.actor_gradient_norm, self.max_grad_norm))
        self.logger.record("train/dropped_adjoints", dropped)
        self.logger.record("train/limited_adjoints", limited)
        self.logger.record("train/adjoints", rows)
        self.logger.record("train/diverged_envs", window.diverged.any(0).double().mean().item())
        self.logger.record("train/unconverged_steps", window.unconverged.sum().item())
        self.logger.record("train/std", self.policy.std.mean().item())

    def _write_logs(self) -> None:
        seconds = max(1e-9, 1e-9 * (time_ns() - self.start_time))
        self.logger.record("time/fps", int((self.num_timesteps - self._num_timesteps_at_start) / seconds))
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/skipped_updates", self.skipped_updates)
        self.logger.record("train/learning_rate", self.policy.optimizer.param_groups[0]["lr"])
        if self.ep_info_buffer:
            self.logger.record("rollout/ep_rew_mean", safe_mean([info["r"] for info in self.ep_info_buffer]))
            self.logger.record("rollout/ep_len_mean", safe_mean([info["l"] for info in self.ep_info_buffer]))
        self.logger.dump(self.num_timesteps)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer", "policy.critic_optimizer"], []

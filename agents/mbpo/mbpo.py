"""MBPO as a Stable-Baselines3 class, with the enhancements of differentiable physics.

MBPO: Janner et al. 2019, "When to Trust Your Model". Sample and policy enhancement: Qiao et al.
2021, "Efficient Differentiable Simulation of Articulated Bodies", section 5 and supplement A. The
soft actor-critic below all is SB3's; only its update is written anew, for speed.
"""

from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from ...envs.task import RewardFromObservations
from ..training.configuration import RunConfig
from ..training.sb3 import Sb3Algorithm
from .ensemble import ProbabilisticEnsemble
from .losses import actor_loss, critic_loss, enhanced_actor_loss, entropy_loss, squashed_gaussian, td_target
from .model_rollouts import Brancher, episode_limit, observed_task, rollout_length
from .replay import (
    Batch,
    BatchGradients,
    EpisodeRecorder,
    GradientBuffer,
    PredictedTransitions,
    TransitionBuffer,
    action_scale,
)
from .sac_policy import BatchedCritic, BatchedSACPolicy
from .sample_enhancement import Ends, JacobianRows, SampleEnhancement
from .value_gradients import Trajectory, balance, one_step, whole_episode

Enhancement = Literal["sample", "policy"]
Horizon = Literal["step", "episode"]


class MBPO(Sb3Algorithm, SAC):
    """Soft actor-critic on real and predicted transitions, with or without gradients from the simulator.

    Args:
        policy: "MlpPolicy", or a subclass of `BatchedSACPolicy`.
        env: flat Box observations and actions; with enhancement, made with `gradients="action"`, or
            "full" for `gradient_horizon="episode"`.
        enhancement: "sample" adds transitions around each real one, by its Jacobians, to those that the
            critic learns from; the model is fitted to the real ones. "policy" replaces SAC's policy loss by Qiao et
            al.'s equation 14, weighted by 16.
        extra_samples, action_perturbation, jacobian_rows: of "sample", see `SampleEnhancement`.
        gradient_horizon: how far dQ/da of a stored transition is carried by the simulator's gradients
            before a critic takes over: one "step", which is their equation 13, or to the end of the
            stored "episode". An episode's gradients belong to the policy that acted in it, so only the
            latest `replay_episodes` are used, and a critic is trained only if episodes are cut by time.
        replay_episodes: see above.
        log_std_final: lets the log standard deviation of the actions go linearly from the policy's
            `log_std_init` to this over the training, whatever was learned of it.
        model: whether to learn a model and to train on its rollouts as well.
        model_train_freq: environment steps between fits of the model.
        model_kwargs: arguments of `ProbabilisticEnsemble`.
        model_fit_kwargs: arguments of `ProbabilisticEnsemble.fit`.
        rollout_batch_size: real states to branch from at each fit.
        rollout_schedule: (first, last, shortest, longest), see `rollout_length`.
        rollout_retain: fits whose rollouts are kept.
        real_ratio: share of real transitions in a batch.
        **kwargs: SAC's.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": BatchedSACPolicy}
    critic: BatchedCritic  # pyright: ignore[reportIncompatibleVariableOverride]
    critic_target: BatchedCritic  # pyright: ignore[reportIncompatibleVariableOverride]
    replay_buffer: TransitionBuffer  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(  # noqa: PLR0913 (one argument for each setting, as in SB3)
        self,
        policy: str | type[BatchedSACPolicy],
        env: Any,
        *,
        enhancement: Enhancement | None = None,
        extra_samples: int = 9,
        action_perturbation: float = 0.01,
        jacobian_rows: JacobianRows = "all",
        gradient_horizon: Horizon = "step",
        replay_episodes: int = 2,
        log_std_final: float | None = None,
        model: bool = True,
        model_train_freq: int = 250,
        model_kwargs: dict[str, Any] | None = None,
        model_fit_kwargs: dict[str, Any] | None = None,
        rollout_batch_size: int = 10_000,
        rollout_schedule: tuple[int, int, int, int] = (0, 1, 1, 1),
        rollout_retain: int = 1,
        real_ratio: float = 0.05,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        if enhancement not in (None, *get_args(Enhancement)):
            raise ValueError(f"enhancement={enhancement!r}: choose None, 'sample' or 'policy'")
        if gradient_horizon not in get_args(Horizon):
            raise ValueError(f"gradient_horizon={gradient_horizon!r}: choose 'step' or 'episode'")
        self.enhancement: Enhancement | None = enhancement
        self.samples = None
        if enhancement == "sample":
            self.samples = SampleEnhancement(extra_samples, action_perturbation, jacobian_rows)
        self.gradient_horizon: Horizon = gradient_horizon
        self.replay_episodes = replay_episodes
        self.log_std_final = log_std_final
        self.model = model
        self.model_train_freq = model_train_freq
        self.model_kwargs = model_kwargs or {}
        self.model_fit_kwargs = model_fit_kwargs or {}
        self.rollout_batch_size = rollout_batch_size
        self.rollout_schedule = rollout_schedule
        self.rollout_retain = rollout_retain
        self.real_ratio = real_ratio
        super().__init__(policy, env, _init_setup_model=False, **kwargs)
        if self.whole_episodes and model:
            raise ValueError("gradient_horizon='episode' has no use for a learned model: pass model=False")
        if _init_setup_model:
            self._setup_model()

    @staticmethod
    def required_gradients(enhancement: str | None = None, gradient_horizon: str = "step") -> str | None:
        """The `gradients` option with which the environment must be made."""
        if enhancement is None:
            return None
        return "full" if (enhancement, gradient_horizon) == ("policy", "episode") else "action"

    @classmethod
    def training_env(cls, config: RunConfig, arguments: dict[str, Any]) -> Any:
        chosen = {name: arguments[name] for name in ("enhancement", "gradient_horizon") if name in arguments}
        gradients = cls.required_gradients(**chosen)
        return config.make_training_env(**({} if gradients is None else {"gradients": gradients}))

    @property
    def whole_episodes(self) -> bool:
        """Whether gradients are carried to the end of the stored episodes."""
        return self.enhancement == "policy" and self.gradient_horizon == "episode"

    def _setup_model(self) -> None:
        keeps_gradients = self.enhancement is not None and not self.whole_episodes
        if self.replay_buffer_class is None:
            self.replay_buffer_class = GradientBuffer if keeps_gradients else TransitionBuffer
        super()._setup_model()
        assert isinstance(self.observation_space, spaces.Box) and isinstance(self.action_space, spaces.Box)
        n_obs, n_act = self.observation_space.shape[0], self.action_space.shape[0]
        self._recorder = EpisodeRecorder(self.n_envs, self.action_space)
        # Of each expanded episode: observations (T, n_obs), actions (T, n_act), dQ/da (T, n_act).
        self._expanded: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=self.replay_episodes)
        self._last_fit = -self.model_train_freq
        if self.model:
            if self.env is not None:  # `load` without an environment brings the attribute
                self.learns_reward = not isinstance(observed_task(self.env), RewardFromObservations)
            self.ensemble = ProbabilisticEnsemble(n_obs, n_act, self.learns_reward, **self.model_kwargs)
            capacity = self.rollout_batch_size * self.rollout_schedule[3] * self.rollout_retain
            self.predicted = PredictedTransitions(capacity, n_obs, n_act)

    def _store_transition(
        self, replay_buffer: Any, buffer_action: Any, new_obs: Any, reward: Any, dones: Any, infos: Any
    ) -> None:
        if self.whole_episodes:
            next_obs = np.array(new_obs)
            for env in np.flatnonzero(dones):
                next_obs[env] = infos[env]["terminal_observation"]
            assert isinstance(self._last_obs, np.ndarray)
            self._recorder.add(self._last_obs, next_obs, buffer_action, dones, infos)
        super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        self.policy.set_training_mode(True)
        optimizers = [self.actor.optimizer, self.critic.optimizer]
        self._update_learning_rate(optimizers + ([self.ent_coef_optimizer] if self.ent_coef_optimizer else []))
        if self.log_std_final is not None:
            self._narrow_actions(self.log_std_final)
        if self.model and self.num_timesteps - self._last_fit >= self.model_train_freq:
            self._fit_model()
        start = perf_counter()
        if self.whole_episodes:
            losses = self._train_on_episodes(gradient_steps, batch_size)
        else:
            losses = self._train_on_transitions(gradient_steps, batch_size)
        self._n_updates += gradient_steps
        self._record(losses, (perf_counter() - start) / gradient_steps)

    def _narrow_actions(self, log_std_final: float) -> None:
        left = self._current_progress_remaining
        assert isinstance(self.actor.log_std, torch.nn.Linear)
        with torch.no_grad():
            self.actor.log_std.bias.fill_(left * self.actor.log_std_init + (1.0 - left) * log_std_final)

    def _record(self, losses: dict[str, Tensor], seconds_per_update: float) -> None:
        for name, value in losses.items():
            self.logger.record(f"train/{name}", value.item())
        self.logger.record("train/ent_coef", self._ent_coef().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/actor_gradient_norm", _gradient_norm(self.actor))
        self.logger.record("train/critic_gradient_norm", _gradient_norm(self.critic))
        self.logger.record("time/ms_per_update", 1e3 * seconds_per_update)
        self.logger.record("time/updates_per_second", 1.0 / seconds_per_update)

    def _ent_coef(self) -> Tensor:
        return self.ent_coef_tensor if self.log_ent_coef is None else self.log_ent_coef.detach().exp()

    def _train_on_transitions(self, gradient_steps: int, batch_size: int) -> dict[str, Tensor]:
        n_real = round(self.real_ratio * batch_size) if self.model else batch_size
        batches, gradients = self._draw_real(gradient_steps, n_real)
        if self.model:
            predicted = self.predicted.draw(gradient_steps, batch_size - n_real)
            batches = [Batch(*map(torch.cat, zip(*pair, strict=True))) for pair in zip(batches, predicted, strict=True)]
        losses: dict[str, Tensor] = {}
        for batch, gradient in zip(batches, gradients, strict=True):
            loss_q, next_value_gradient = self._update_critic(batch, with_gradient=gradient is not None)
            loss_pi = self._update_actor(batch, gradient, next_value_gradient)
            self._update_target()
            losses = {"critic_loss": loss_q, "actor_loss": loss_pi}
        return losses

    def _draw_real(self, batches: int, batch_size: int) -> tuple[Sequence[Batch], Sequence[BatchGradients | None]]:
        """Batches of real transitions, enhanced or else with the gradients that the policy's update needs."""
        if not isinstance(self.replay_buffer, GradientBuffer):
            return self.replay_buffer.draw(batches, batch_size), [None] * batches
        drawn, gradients = self.replay_buffer.draw_with_gradients(batches, batch_size)
        if self.samples is None:
            return drawn, gradients
        ends = self._observed_ends()
        enhanced = [self.samples.draw(*pair, ends) for pair in zip(drawn, gradients, strict=True)]
        return enhanced, [None] * batches

    def _observed_ends(self) -> Ends | None:
        """Whether transitions end the task, where the environment tells it from observations."""
        assert self.env is not None
        task = observed_task(self.env)
        if task is None:
            return None
        return lambda obs, actions, next_obs: task.observed_terminal(obs, self._unscale(actions), next_obs)

    def _unscale(self, action: Tensor) -> Tensor:
        """From actions in [-1, 1] to the environment's, (..., n_act)."""
        assert isinstance(self.action_space, spaces.Box)
        scale = torch.from_numpy(action_scale(self.action_space)).float()
        middle = torch.from_numpy(self.action_space.low).float() + scale
        return middle + scale * action

    def _update_critic(self, batch: Batch, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """One step of the critics; with it, where asked for, dV/ds' (B, n_obs) of the target critic."""
        next_obs = batch.next_obs.requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            next_action, next_log_prob = self._act(next_obs)
            next_q = self.critic_target.values(next_obs, next_action).amin(0)
        # Through the policy too: the next action answers to the next observation.
        value_gradient = torch.autograd.grad(next_q.sum(), next_obs)[0] if with_gradient else None
        next_value = next_q.detach() - self._ent_coef() * next_log_prob.detach()
        target = td_target(batch.rewards, batch.dones, next_value, self.gamma)
        loss = critic_loss(self.critic.values(batch.obs, batch.actions), target)
        _descend(self.critic.optimizer, list(self.critic.parameters()), loss)
        return loss.detach(), value_gradient

    def _update_actor(
        self, batch: Batch, gradients: BatchGradients | None, next_value_gradient: Tensor | None
    ) -> Tensor:
        if gradients is not None:
            assert next_value_gradient is not None
            # Only real transitions, the first of the batch, have gradients.
            obs, actions = (x[: len(gradients.dreward_daction)] for x in (batch.obs, batch.actions))
            discount = self.gamma * (1.0 - batch.dones[: len(obs)])
            action_gradient = one_step(
                gradients.dreward_daction, gradients.dobs_daction, next_value_gradient[: len(obs)], discount
            )
            return self._update_enhanced(obs, actions, action_gradient)
        action, log_prob = self._act(batch.obs)
        loss = actor_loss(self.critic.values(batch.obs, action), log_prob, self._ent_coef())
        _descend(self.actor.optimizer, list(self.actor.parameters()), loss)
        self._update_ent_coef(log_prob)
        return loss.detach()

    def _update_enhanced(self, obs: Tensor, actions: Tensor, action_gradient: Tensor) -> Tensor:
        mean, log_std, _ = self.actor.get_action_dist_params(obs)
        _, log_prob = squashed_gaussian(mean, log_std, torch.randn_like(mean))
        loss = enhanced_actor_loss(action_gradient, torch.tanh(mean), actions, self._ent_coef() * log_prob)
        _descend(self.actor.optimizer, list(self.actor.parameters()), loss)
        self._update_ent_coef(log_prob)
        return loss.detach()

    def _update_ent_coef(self, log_prob: Tensor) -> None:
        if self.ent_coef_optimizer is not None:
            assert self.log_ent_coef is not None and isinstance(self.target_entropy, float)
            loss = entropy_loss(self.log_ent_coef, log_prob, self.target_entropy)
            _descend(self.ent_coef_optimizer, [self.log_ent_coef], loss)

    def _update_target(self) -> None:
        with torch.no_grad():
            targets: list[Tensor] = list(self.critic_target.parameters())
            sources: list[Tensor] = list(self.critic.parameters())
            torch._foreach_lerp_(targets, sources, self.tau)  # pyright: ignore[reportPrivateImportUsage]

    def _act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Action (B, n_act) drawn from the policy, and its log-density (B,)."""
        mean, log_std, _ = self.actor.get_action_dist_params(obs)
        return squashed_gaussian(mean, log_std, torch.randn_like(mean))

    def _train_on_episodes(self, gradient_steps: int, batch_size: int) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        if self.replay_buffer.handle_timeout_termination:  # a critic continues episodes that time cut off
            for batch in self.replay_buffer.draw(gradient_steps, batch_size):
                losses["critic_loss"], _ = self._update_critic(batch, with_gradient=False)
                self._update_target()
        for trajectory, last_obs, timeout in self._recorder.take_finished():
            self._expanded.append(self._expand(trajectory, last_obs, timeout))
        if self._expanded:
            obs, actions, gradients = map(torch.cat, zip(*self._expanded, strict=True))
            for rows in torch.randint(len(obs), (gradient_steps, batch_size)):
                losses["actor_loss"] = self._update_enhanced(obs[rows], actions[rows], gradients[rows])
        return losses

    def _expand(self, trajectory: Trajectory, last_obs: np.ndarray, timeout: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The episode's observations, actions and dQ/da, for the policy as it is now."""
        obs = torch.from_numpy(trajectory.obs).float().requires_grad_()
        policy = torch.tanh(self.actor.get_action_dist_params(obs)[0])
        rows = [torch.autograd.grad(column.sum(), obs, retain_graph=True)[0] for column in policy.unbind(1)]
        daction_dobs = torch.stack(rows, 1).double().numpy()
        after = torch.from_numpy(last_obs).float()[None].requires_grad_()
        end = np.zeros(after.shape[1])
        if timeout and self.replay_buffer.handle_timeout_termination:
            value = self.critic_target.values(after, torch.tanh(self.actor.get_action_dist_params(after)[0])).amin(0)
            end = torch.autograd.grad(value.sum(), after)[0][0].double().numpy()
        gradients = balance(whole_episode(trajectory, daction_dobs, self.gamma, end))
        return obs.detach(), torch.from_numpy(trajectory.actions).float(), torch.from_numpy(gradients).float()

    def _fit_model(self) -> None:
        """Fits the model to all real transitions, and rolls the policy out in it."""
        assert self.env is not None
        self._last_fit = self.num_timesteps
        real = self.replay_buffer.everything()
        actions = self._unscale(real.actions)
        fit = self.ensemble.fit(real.obs, actions, real.next_obs, real.rewards, **self.model_fit_kwargs)
        for name, value in fit.items():
            self.logger.record(f"train/{name}", value)
        limit_is_end = not self.replay_buffer.handle_timeout_termination
        limit = episode_limit(self.env)
        brancher = Brancher(self.ensemble, observed_task(self.env), self._unscale, limit, limit_is_end)
        length = rollout_length(self.rollout_schedule, self.num_timesteps)
        obs, time = self.replay_buffer.draw_starts(self.rollout_batch_size)
        for batch in brancher.branch(obs, time, lambda o: self._act(o)[0], length):
            self.predicted.add(batch)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "predicted", "_recorder", "_expanded"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, variables = super()._get_torch_save_params()
        return [*state_dicts, *(["ensemble", "ensemble.optimizer"] if self.model else [])], variables


def _descend(optimizer: torch.optim.Optimizer, parameters: list[Any], loss: Tensor) -> None:
    """One step for `parameters` alone; whatever else the loss depends on keeps its gradients."""
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()


def _gradient_norm(module: torch.nn.Module) -> float:
    """Norm of the last gradient of all parameters together."""
    found = [p.grad for p in module.parameters() if p.grad is not None]
    return float(torch.nn.utils.get_total_norm(found)) if found else 0.0

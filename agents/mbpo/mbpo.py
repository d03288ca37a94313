"""MBPO as a Stable-Baselines3 class, with the enhancements of differentiable physics.

MBPO: Janner et al. 2019, "When to Trust Your Model". Sample and policy enhancement: Qiao et al.
2021, "Efficient Differentiable Simulation of Articulated Bodies", section 5 and supplement A. Below
all is a soft actor-critic.
"""

from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from ...envs.task import RewardFromObservations
from ..action_space import unscale
from ..training.configuration import RunConfig
from ..training.native_vec_env import suggestion
from ..training.sb3 import Sb3Algorithm, check_count, side_by_side
from ..training.wrappers import changing_wrapper
from .ensemble import ProbabilisticEnsemble
from .episode_gradients import ActionGradients, EpisodeGradients
from .losses import enhanced_actor_loss, squashed_gaussian
from .model_rollouts import Brancher, episode_limit, observed_task, rollout_length
from .replay import Batch, BatchGradients, GradientBuffer, PredictedTransitions, TransitionBuffer, batches_of
from .sac_policy import BatchedSACPolicy, gaussian
from .sample_enhancement import Ends, JacobianRows, SampleEnhancement
from .soft_actor_critic import BatchedSAC
from .value_gradients import one_step

Enhancement = Literal["sample", "policy"]
Horizon = Literal["step", "episode"]


class MBPO(Sb3Algorithm, BatchedSAC):
    """Soft actor-critic on real and predicted transitions, with or without gradients from the simulator.

    Args:
        policy: "MlpPolicy", or a subclass of `BatchedSACPolicy`.
        env: flat Box observations and actions; with enhancement, made with `gradients="action"`, or
            "full" for `gradient_horizon="episode"`, and without a wrapper that changes actions, observations or
            rewards, `VecNormalize` included: the gradients would not be of what is learned from.
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
        policy_delay: updates of the critics for each one of the policy and of the entropy coefficient.
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
        policy_delay: int = 1,
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
        counts = {
            "batch_size": kwargs.get("batch_size", 1),
            "replay_episodes": replay_episodes,
            "policy_delay": policy_delay,
            "model_train_freq": model_train_freq,
            "rollout_batch_size": rollout_batch_size,
            "rollout_retain": rollout_retain,
        }
        for name, value in counts.items():
            check_count(name, value)
        if not 0.0 <= real_ratio <= 1.0:
            raise ValueError(f"real_ratio={real_ratio}: must be from 0 to 1")
        self.enhancement: Enhancement | None = enhancement
        self.samples = None
        if enhancement == "sample":
            self.samples = SampleEnhancement(extra_samples, action_perturbation, jacobian_rows)
        self.gradient_horizon: Horizon = gradient_horizon
        self.replay_episodes = replay_episodes
        self.log_std_final = log_std_final
        self.policy_delay = policy_delay
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
        asked = {} if gradients is None else {"gradients": gradients}
        try:
            return side_by_side(partial(config.make_training_env, **asked), arguments.pop("n_envs", 1))
        except TypeError as error:
            if "argument 'gradients'" not in str(error):
                raise
            enhancement = chosen["enhancement"]
            raise ValueError(
                f"enhancement={enhancement!r}: {config.env} gives no gradients{suggestion(config.env)}"
            ) from error

    @property
    def whole_episodes(self) -> bool:
        """Whether gradients are carried to the end of the stored episodes."""
        return self.enhancement == "policy" and self.gradient_horizon == "episode"

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        env = self._wrap_env(env, self.verbose)
        self._check_wrappers(env)
        if self.model and not self.learns_reward and not isinstance(observed_task(env), RewardFromObservations):
            raise TypeError("the model has learned no reward, and this env does not tell it from observations")
        super().set_env(env, force_reset)

    def _check_wrappers(self, env: VecEnv) -> None:
        """TypeError if the environments' gradients are used and would be wrong."""
        if self.enhancement is not None:
            name = changing_wrapper(env)
            if name is not None:
                raise TypeError(f"env is wrapped in {name}, which its gradients do not know: pass it bare")

    def _setup_model(self) -> None:
        if self.env is not None:
            self._check_wrappers(self.env)
        keeps_gradients = self.enhancement is not None and not self.whole_episodes
        if self.replay_buffer_class is None:
            self.replay_buffer_class = GradientBuffer if keeps_gradients else TransitionBuffer
        super()._setup_model()
        assert isinstance(self.observation_space, spaces.Box) and isinstance(self.action_space, spaces.Box)
        n_obs, n_act = self.observation_space.shape[0], self.action_space.shape[0]
        self.episodes = None
        if self.whole_episodes:
            self.episodes = EpisodeGradients(self.replay_episodes, self.n_envs, self.action_space, self.gamma)
        self._last_fit = -self.model_train_freq
        if self.model:
            if self.env is not None:  # `load` without an environment brings the attribute
                self.learns_reward = not isinstance(observed_task(self.env), RewardFromObservations)
            self.ensemble = ProbabilisticEnsemble(
                n_obs, n_act, self.learns_reward, device=self.device, **self.model_kwargs
            )
            capacity = self.rollout_batch_size * self.rollout_schedule[3] * self.rollout_retain
            self.predicted = PredictedTransitions(capacity, n_obs, n_act, self.device)

    def _store_transition(
        self, replay_buffer: Any, buffer_action: Any, new_obs: Any, reward: Any, dones: Any, infos: Any
    ) -> None:
        if self.episodes is not None:
            next_obs = np.array(new_obs)
            for env in np.flatnonzero(dones):
                next_obs[env] = infos[env]["terminal_observation"]
            assert isinstance(self._last_obs, np.ndarray)
            self.episodes.add(self._last_obs, next_obs, buffer_action, dones, infos)
        stopped = [info["unconverged_steps"] for info in infos if "unconverged_steps" in info]
        if stopped:
            self.logger.record_mean("train/unconverged_steps", float(np.mean(stopped)))  # of a transition
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
        self._prepare_updates(batch_size)
        if self.episodes is None:
            losses = self._train_on_transitions(gradient_steps, batch_size)
        else:
            losses = self._train_on_episodes(self.episodes, gradient_steps, batch_size)
        self._n_updates += gradient_steps
        self._record(losses, (perf_counter() - start) / gradient_steps)

    def _narrow_actions(self, log_std_final: float) -> None:
        left = self._current_progress_remaining
        assert isinstance(self.actor.log_std, torch.nn.Linear)
        with torch.no_grad():
            self.actor.log_std.bias.fill_(left * self.actor.log_std_init + (1.0 - left) * log_std_final)

    def _train_on_transitions(self, gradient_steps: int, batch_size: int) -> dict[str, Tensor]:
        n_real = round(self.real_ratio * batch_size) if self.model else batch_size
        batches, gradients = self._draw_real(gradient_steps, n_real)
        if self.model:
            predicted = self.predicted.draw(gradient_steps, batch_size - n_real)
            batches = [Batch(*map(torch.cat, zip(*pair, strict=True))) for pair in zip(batches, predicted, strict=True)]
        losses: dict[str, Tensor] = {}
        for update, (batch, gradient) in enumerate(zip(batches, gradients, strict=True), self._n_updates + 1):
            moves_policy = update % self.policy_delay == 0
            with_gradient = moves_policy and gradient is not None
            losses["critic_loss"], next_value_gradient = self._update_critic(batch, with_gradient)
            if with_gradient:
                assert gradient is not None and next_value_gradient is not None
                expanded = self._expand_one_step(batch, gradient, next_value_gradient)
                losses["actor_loss"] = self._update_enhanced(expanded)
            elif moves_policy:
                losses["actor_loss"] = self._update_actor(batch.obs)
            self._update_target()
        return losses

    def _draw_real(self, batches: int, batch_size: int) -> tuple[Sequence[Batch], Sequence[BatchGradients | None]]:
        """Batches of real transitions, enhanced or else with the gradients that the policy's update needs."""
        if not isinstance(self.replay_buffer, GradientBuffer):
            return self.replay_buffer.draw(batches, batch_size, self._vec_normalize_env), [None] * batches
        if self.samples is None:
            return self.replay_buffer.draw_with_gradients(batches, batch_size)
        # All at once, as a call costs more than a batch.
        (drawn,), (gradients,) = self.replay_buffer.draw_with_gradients(1, batches * batch_size)
        enhanced = self.samples.draw(drawn, gradients, self._observed_ends())
        shape = (batches, batch_size)
        return batches_of(Batch(*(x.unflatten(0, shape) for x in enhanced))), [None] * batches

    def _observed_ends(self) -> Ends | None:
        """Whether transitions end the task, where the environment tells it from observations."""
        assert self.env is not None
        task = observed_task(self.env)
        if task is None:
            return None

        def ends(obs: Tensor, actions: Tensor, next_obs: Tensor) -> Tensor:
            # Tasks compute on the CPU.
            transition = obs.cpu(), unscale(actions, self.action_space).cpu(), next_obs.cpu()
            return task.observed_terminal(*transition).to(obs.device)

        return ends

    def _expand_one_step(self, batch: Batch, gradients: BatchGradients, next_value_gradient: Tensor) -> ActionGradients:
        """Equation 13 for the real transitions, the first of the batch: only they have gradients."""
        count = len(gradients.dreward_daction)
        discount = self.gamma * (1.0 - batch.dones[:count])
        dvalue_daction = one_step(
            gradients.dreward_daction, gradients.dobs_daction, next_value_gradient[:count], discount
        )
        return ActionGradients(batch.obs[:count], batch.actions[:count], dvalue_daction)

    def _update_enhanced(self, batch: ActionGradients) -> Tensor:
        """One step of the policy up dQ/da of stored transitions, and of the entropy coefficient."""
        mean, log_std = gaussian(self.actor, batch.obs)
        _, log_prob = squashed_gaussian(mean, log_std, torch.randn_like(mean))
        entropy_cost = self._ent_coef() * log_prob
        loss = enhanced_actor_loss(batch.dvalue_daction, torch.tanh(mean), batch.actions, entropy_cost)
        self._flat_actor.differentiate(loss)
        self.actor.optimizer.step()
        self._update_ent_coef(log_prob)
        return loss.detach()

    def _train_on_episodes(self, episodes: EpisodeGradients, gradient_steps: int, batch_size: int) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        time_cuts = self.replay_buffer.handle_timeout_termination  # then a critic continues what time cut off
        if time_cuts:
            for batch in self.replay_buffer.draw(gradient_steps, batch_size):
                losses["critic_loss"], _ = self._update_critic(batch, with_gradient=False)
                self._update_target()
        episodes.expand(self.actor, self.critic_target if time_cuts else None)
        for batch in episodes.draw(gradient_steps, batch_size):
            losses["actor_loss"] = self._update_enhanced(batch)
        return losses

    def _fit_model(self) -> None:
        """Fits the model to all real transitions, and rolls the policy out in it."""
        assert self.env is not None
        self._last_fit = self.num_timesteps
        real = self.replay_buffer.everything(self._vec_normalize_env)
        fit = self.ensemble.fit(real.obs, real.actions, real.next_obs, real.rewards, **self.model_fit_kwargs)
        for name, value in fit.items():
            self.logger.record(f"train/{name}", value)
        limit_is_end = not self.replay_buffer.handle_timeout_termination
        limit = episode_limit(self.env)
        brancher = Brancher(self.ensemble, observed_task(self.env), self.action_space, limit, limit_is_end)
        length = rollout_length(self.rollout_schedule, self.num_timesteps)
        obs, time = self.replay_buffer.draw_starts(self.rollout_batch_size, self._vec_normalize_env)
        for batch in brancher.branch(obs, time, lambda o: self._act(o)[0], length):
            self.predicted.add(batch)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "predicted", "episodes"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, variables = super()._get_torch_save_params()
        return [*state_dicts, *(["ensemble", "ensemble.optimizer"] if self.model else [])], variables

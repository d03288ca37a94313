"""SHAC and BPTT: what they learn, Stable-Baselines3's interface, the log, and gradients that are not finite."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import slide
import torch
from gradient_trainings import BOTH, make, recorded, weights
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from torch import Tensor

from gradgym.agents import BPTT, SHAC
from gradgym.agents.policy_gradient.analytic import AnalyticPolicyGradient, Window
from gradgym.agents.policy_gradient.returns import discounted_sum
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.envs.differentiable import DifferentiableEnvs


@pytest.mark.parametrize(("cls", "updates"), [(SHAC, 60), (BPTT, 25)])
def test_a_mass_is_brought_to_the_origin(cls: type[AnalyticPolicyGradient], updates: int) -> None:
    """A policy that does nothing has -9.4, the best linear one -0.79; seeds 0 to 2 come to -0.81 or more."""
    algorithm, env = make(cls), gymnasium.make("Slide-v0")
    assert evaluate_returns(algorithm, env, 20, seed=100).mean() < -7.0
    algorithm.learn(updates * algorithm.n_envs * (algorithm.horizon or slide.EPISODE_STEPS))
    assert evaluate_returns(algorithm, env, 20, seed=100).mean() > -0.9


@BOTH
def test_equal_seeds_give_equal_policies(cls: type[AnalyticPolicyGradient]) -> None:
    found = [weights(make(cls, seed=seed).learn(320)) for seed in (3, 3, 4)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@BOTH
def test_ids_envs_and_vector_envs_are_the_same(cls: type[AnalyticPolicyGradient]) -> None:
    vector = gymnasium.make_vec("Slide-v0", 4, autoreset_mode=AutoresetMode.SAME_STEP)
    default = gymnasium.make_vec("Slide-v0", 4)  # restarts episodes a step later
    envs: list[Any] = ["Slide-v0", gymnasium.make("Slide-v0"), Monitor(gymnasium.make("Slide-v0")), vector, default]
    found = []
    for env in envs:
        algorithm = make(cls, env, n_envs=4).learn(160)
        assert algorithm.n_envs == 4
        found.append(weights(algorithm))
    for one in found[1:]:
        assert torch.equal(one, found[0])


@pytest.mark.parametrize(
    "env",
    [
        lambda: gymnasium.make("Slide-v0", max_episode_steps=7),
        lambda: gymnasium.wrappers.TimeLimit(gymnasium.make("Slide-v0").unwrapped, 7),
        lambda: gymnasium.wrappers.TimeLimit(gymnasium.make("Slide-v0", max_episode_steps=9), 7),
    ],
)
def test_an_environments_own_time_limit_counts(env: Callable[[], Any]) -> None:
    algorithm = make(BPTT, env()).learn(1)
    assert algorithm.num_timesteps == 7 * algorithm.n_envs
    assert algorithm.ep_info_buffer[0]["l"] == 7


@pytest.mark.parametrize(
    ("env", "error", "message"),
    [
        (lambda: gymnasium.make("CartPole-v1"), TypeError, "an environment of gradgym's"),
        (lambda: "CartPole-v1", TypeError, "env='CartPole-v1': not an environment of gradgym's"),
        (lambda: gymnasium.make("Slide-v0", backend="mujoco"), ValueError, "backend='mujoco'"),
        (
            lambda: gymnasium.wrappers.RescaleAction(gymnasium.make("Slide-v0"), np.float32(-1.0), np.float32(1.0)),
            TypeError,
            "wrapped in RescaleAction",
        ),
    ],
)
def test_other_environments_are_refused(env: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(SHAC, env())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"horizon": 0}, "horizon=0"),
        ({"gamma": 1.5}, r"gamma=1\.5"),
        ({"adjoint_limit": 0.0}, r"adjoint_limit=0\.0"),
        ({"max_grad_norm": 0.0}, r"max_grad_norm=0\.0"),
        ({"critic_batches": 0}, "critic_batches=0"),
        ({"tau": 1.5}, r"tau=1\.5"),
        ({"device": "mps"}, "device='mps': SHAC runs on cpu and cuda"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(SHAC, **arguments)


def test_the_objectives_gradient_is_that_of_differences() -> None:
    """Through the policy, the simulator, the end of an episode, and the critic's value of what follows."""
    algorithm = make(SHAC, n_envs=4, horizon=6).learn(24 * 6)
    worlds, policy = DifferentiableEnvs(algorithm.env.envs), algorithm.policy
    start = worlds.envs.state
    start = replace(start, time=torch.tensor([0, slide.EPISODE_STEPS - 3, 5, 0]))
    callback = algorithm._init_callback(None)
    rngs = [rng.bit_generator.state for rng in worlds.envs._rngs]

    def objective() -> Tensor:
        worlds.envs.state = start
        for rng, state in zip(worlds.envs._rngs, rngs, strict=True):
            rng.bit_generator.state = state
        torch.manual_seed(1)
        w = algorithm._roll_out(worlds, callback)
        assert isinstance(w, Window)
        np.testing.assert_array_equal(w.truncated.any(0), [False, True, False, False])
        value = algorithm.value_scale * policy.target_value(w.next_obs)
        return discounted_sum(w.reward, w.terminated, w.truncated, value, algorithm.gamma).mean()

    parameters = [policy.log_std, policy.actor[-1].bias, policy.actor[0].weight]
    gradients = torch.autograd.grad(objective(), parameters)
    h = 1e-3
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = gradient / gradient.norm()
        sides = []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                parameter += sign * h * direction
                sides.append(objective().item())
                parameter -= sign * h * direction
        # Networks are float32: an objective near 1 is exact to 1e-7, its difference to 1e-4.
        assert (sides[0] - sides[1]) / (2 * h) == pytest.approx(gradient.norm().item(), rel=5e-3, abs=2e-4)


@BOTH
def test_saved_models_predict_the_same_and_learn_on(cls: type[AnalyticPolicyGradient], tmp_path: Path) -> None:
    algorithm = make(cls, n_envs=4).learn(160)
    algorithm.save(tmp_path / "model.zip")
    obs = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    expected = algorithm.predict(obs, deterministic=True)[0]
    bare = cls.load(tmp_path / "model.zip")
    assert np.array_equal(bare.predict(obs, deterministic=True)[0], expected)
    assert torch.equal(weights(bare), weights(algorithm))
    bare.set_env("Slide-v0")  # pyright: ignore[reportArgumentType] (as `native` takes them)
    with_env = cls.load(tmp_path / "model.zip", env=gymnasium.make("Slide-v0"))
    for loaded in (bare, with_env):  # an environment becomes as many as were saved
        assert loaded.env is not None and loaded.env.num_envs == loaded.n_envs == 4
        before, kept = loaded.num_timesteps, weights(loaded)
        loaded.learn(4 * slide.EPISODE_STEPS, reset_num_timesteps=False)
        assert loaded.num_timesteps == before + 4 * slide.EPISODE_STEPS
        assert not torch.equal(weights(loaded), kept)


@BOTH
def test_a_loaded_model_learns_as_the_saved_one_would(cls: type[AnalyticPolicyGradient], tmp_path: Path) -> None:
    """Optimizers and normalisation are saved: one update from equal starts and noise."""
    algorithm = make(cls, n_envs=4).learn(160)
    algorithm.save(tmp_path / "model.zip")
    envs: Any = gymnasium.make_vec("Slide-v0", 4, autoreset_mode=AutoresetMode.SAME_STEP)
    loaded = cls.load(tmp_path / "model.zip", env=envs)
    found = []
    for one in (algorithm, loaded):
        one.set_random_seed(5)
        one._last_obs = None  # so that both begin with a reset
        found.append(weights(one.learn(1, reset_num_timesteps=False)))
    assert torch.equal(found[0], found[1])


class Watch(BaseCallback):
    """Notes the calls, and ends the training at so many steps."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.stop_at, self.calls = stop_at, []
        self.steps: list[int] = []

    def _on_training_start(self) -> None:
        self.calls.append("training start")

    def _on_rollout_start(self) -> None:
        self.calls.append("rollout start")

    def _on_step(self) -> bool:
        self.steps.append(self.num_timesteps)
        assert self.locals["rewards"].shape == self.locals["dones"].shape == (4,)
        assert len(self.locals["infos"]) == 4
        return self.stop_at is None or self.num_timesteps < self.stop_at

    def _on_rollout_end(self) -> None:
        self.calls.append("rollout end")

    def _on_training_end(self) -> None:
        self.calls.append("training end")


def test_callbacks_are_called_where_sb3_calls_them() -> None:
    algorithm, watch = make(SHAC, n_envs=4), Watch()
    algorithm.learn(21, callback=watch)  # a second window is begun, and finished
    assert watch.steps == list(range(4, 41, 4))
    window = ["rollout start", "rollout end"]
    assert watch.calls == ["training start", *window, *window, "training end"]
    assert (algorithm.num_timesteps, algorithm._n_updates) == (40, 2)


def test_a_callback_stops_the_training() -> None:
    algorithm = make(SHAC, n_envs=4)
    watch, before = Watch(stop_at=12), weights(algorithm)
    algorithm.learn(1000, callback=watch)
    assert watch.steps == [4, 8, 12] and watch.calls[-1] == "training end"
    assert torch.equal(weights(algorithm), before)
    assert not algorithm.env.envs.state.qpos.requires_grad
    algorithm.learn(20, reset_num_timesteps=False)
    assert algorithm.num_timesteps == 32 and not torch.equal(weights(algorithm), before)


@BOTH
def test_log_names_what_happened(cls: type[AnalyticPolicyGradient]) -> None:
    algorithm = make(cls, n_envs=4, max_grad_norm=1e-3)
    rows = recorded(algorithm)
    algorithm.learn(3 * 4 * (algorithm.horizon or slide.EPISODE_STEPS))
    assert len(rows) == 3
    row = rows[-1]
    assert row["train/actor_gradient_norm"] > row["train/actor_gradient_norm_clipped"] == 1e-3
    norm = torch.cat([p.grad.flatten() for p in algorithm.policy.actor_parameters]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)
    assert row["train/diverged_envs"] == row["train/skipped_updates"] == row["train/dropped_adjoints"] == 0
    assert row["train/unconverged_steps"] == 0
    assert row["train/n_updates"] == 3 and row["time/total_timesteps"] == algorithm.num_timesteps
    assert row["time/fps"] > 0 and row["train/learning_rate"] == pytest.approx(1e-2)
    assert ("train/critic_loss" in row) == (cls is SHAC)
    assert all(np.isfinite(value) for value in row.values())
    if cls is BPTT:
        assert row["rollout/ep_len_mean"] == slide.EPISODE_STEPS


class BentReward:
    """Replaces a task's reward: the same numbers, but another gradient, or other numbers."""

    def __init__(self, task: Any, gradient: Tensor | None = None, added: float = 0.0) -> None:
        self.reward, self.gradient, self.added = task.reward, gradient, added

    def __call__(self, state: Any, action: Any, after: Any) -> Tensor:
        found = self.reward(state, action, after)
        if self.gradient is not None:
            found.register_hook(lambda adjoint: adjoint * self.gradient)
        return found + self.added


@BOTH
def test_adjoints_that_are_not_finite_are_never_applied(cls: type[AnalyticPolicyGradient]) -> None:
    algorithm = make(cls, n_envs=4)
    rows, steps = recorded(algorithm), algorithm.horizon or slide.EPISODE_STEPS
    actor = [p.detach().clone() for p in algorithm.policy.actor_parameters]
    task = algorithm.env.envs.task
    task.reward = BentReward(task, torch.full((4,), torch.nan))
    algorithm.learn(4 * steps)
    # Of each step and environment the state's and the action's.
    assert rows[-1]["train/dropped_adjoints"] == 2 * 4 * steps
    assert all(torch.equal(a, b) for a, b in zip(algorithm.policy.actor_parameters, actor, strict=True))
    del task.reward
    task.reward = BentReward(task, torch.tensor([1.0, torch.nan, 1.0, 1.0]))
    algorithm.learn(4 * steps, reset_num_timesteps=False)
    assert rows[-1]["train/dropped_adjoints"] == 2 * steps
    assert rows[-1]["train/skipped_updates"] == 0
    assert weights(algorithm).isfinite().all()
    assert not all(torch.equal(a, b) for a, b in zip(algorithm.policy.actor_parameters, actor, strict=True))


@BOTH
def test_a_gradient_that_is_not_finite_is_skipped_and_counted(cls: type[AnalyticPolicyGradient]) -> None:
    """Adjoints are finite in the simulator's float64, but not in the policy's float32."""
    algorithm = make(cls, n_envs=4)
    rows, steps = recorded(algorithm), algorithm.horizon or slide.EPISODE_STEPS
    algorithm.learn(4 * steps)
    actor = [p.detach().clone() for p in algorithm.policy.actor_parameters]
    task = algorithm.env.envs.task
    task.reward = BentReward(task, torch.full((4,), 1e60, dtype=torch.float64))
    algorithm.learn(2 * 4 * steps, reset_num_timesteps=False)
    assert [row["train/skipped_updates"] for row in rows] == [0, 1, 2]
    assert not np.isfinite(rows[-1]["train/actor_gradient_norm"])
    assert all(torch.equal(a, b) for a, b in zip(algorithm.policy.actor_parameters, actor, strict=True))
    del task.reward
    algorithm.learn(4 * steps, reset_num_timesteps=False)
    assert rows[-1]["train/skipped_updates"] == 2 and weights(algorithm).isfinite().all()
    assert not torch.equal(algorithm.policy.log_std, actor[-1])


def test_the_critics_gradients_are_skipped_and_counted_too() -> None:
    """Rewards beyond float32: each batch of each pass has a target that is not finite."""
    algorithm = make(SHAC, n_envs=4, critic_epochs=3, critic_batches=2)
    rows = recorded(algorithm)
    before = torch.nn.utils.parameters_to_vector(algorithm.policy.critic.parameters()).clone()
    task = algorithm.env.envs.task
    task.reward = BentReward(task, added=1e39)
    algorithm.learn(4 * algorithm.horizon)
    assert rows[-1]["train/skipped_updates"] == 3 * 2
    assert torch.equal(torch.nn.utils.parameters_to_vector(algorithm.policy.critic.parameters()), before)
    assert weights(algorithm).isfinite().all()


class Blow(BaseCallback):
    """Gives environment 1 a velocity that no simulation survives, before each window."""

    def _on_rollout_start(self) -> None:
        envs = self.model.env.envs  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        qvel = envs.state.qvel.clone()
        qvel[1] = 1e12
        envs.state = replace(envs.state, qvel=qvel)

    def _on_step(self) -> bool:
        return True


@BOTH
def test_diverged_environments_are_logged_and_end_their_episode(cls: type[AnalyticPolicyGradient]) -> None:
    algorithm = make(cls, n_envs=4)
    rows = recorded(algorithm)
    algorithm.learn(2 * 4 * (algorithm.horizon or slide.EPISODE_STEPS), callback=Blow())
    assert [row["train/diverged_envs"] for row in rows] == [0.25, 0.25]
    assert algorithm.ep_info_buffer[0]["l"] == 1
    assert weights(algorithm).isfinite().all()
    assert all(np.isfinite(value) for value in rows[-1].values())

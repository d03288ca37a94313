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
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.monitor import Monitor
from torch import Tensor

from gradgym.agents import BPTT, SHAC
from gradgym.agents.policy_gradient.analytic import AnalyticPolicyGradient, Window
from gradgym.agents.policy_gradient.returns import discounted_sum, td_lambda
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.envs.differentiable import DifferentiableEnvs

COMMON: dict[str, Any] = {"learning_rate": 1e-2, "policy_kwargs": {"net_arch": [32, 32], "critic_arch": [32, 32]}}
OWN: dict[type[AnalyticPolicyGradient], dict[str, Any]] = {
    SHAC: {"n_envs": 16, "horizon": 5, "gamma": 0.95, "critic_epochs": 4},
    BPTT: {"n_envs": 8},
}
BOTH = pytest.mark.parametrize("cls", [SHAC, BPTT])


def make(cls: type[AnalyticPolicyGradient], env: Any = "Slide-v0", seed: int = 0, **changes: Any) -> Any:
    return cls("MlpPolicy", env, seed=seed, **{**COMMON, **OWN[cls], **changes})


def weights(algorithm: Any) -> Tensor:
    """All that the policy has learned, its normalisation included."""
    return torch.cat([x.detach().flatten() for x in algorithm.policy.state_dict().values()])


class Recorder(KVWriter):
    """Keeps what is logged, one dictionary for each dump."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.rows.append(dict(key_values))

    def close(self) -> None:
        pass


def recorded(algorithm: AnalyticPolicyGradient) -> list[dict[str, Any]]:
    """The rows that later calls of `learn` will log."""
    recorder = Recorder()
    algorithm.set_logger(Logger(None, [recorder]))
    return recorder.rows


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
        ({"horizon": None}, "horizon=None: whole episodes are BPTT's"),
        ({"gamma": 1.5}, r"gamma=1\.5"),
        ({"adjoint_limit": 0.0}, r"adjoint_limit=0\.0"),
        ({"max_grad_norm": 0.0}, r"max_grad_norm=0\.0"),
        ({"critic_batches": 0}, "critic_batches=0"),
        ({"tau": 1.5}, r"tau=1\.5"),
        ({"device": "cuda"}, "device='cuda': the simulator is on the CPU"),
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


def one_window(algorithm: Any) -> tuple[Window, DifferentiableEnvs]:
    """Of the algorithm's own rollout, with an episode's end inside."""
    recorded(algorithm)
    _, callback = algorithm._setup_learn(1000)
    worlds = DifferentiableEnvs(algorithm.env.envs)
    time = torch.tensor([0, slide.EPISODE_STEPS - 3, 5, slide.EPISODE_STEPS - 5])
    worlds.envs.state = replace(worlds.envs.state, time=time)
    window = algorithm._roll_out(worlds, callback)
    assert window.truncated.sum() == 2
    return window, worlds


def test_a_window_is_what_the_environments_did() -> None:
    algorithm = make(SHAC, n_envs=4, horizon=5)
    window, worlds = one_window(algorithm)
    assert algorithm.num_timesteps == 4 * 5
    for t in range(4):
        goes_on = ~(window.truncated[t] | window.terminated[t])
        assert torch.equal(window.obs[t + 1][goes_on], window.next_obs[t][goes_on].detach())
        assert not torch.equal(window.obs[t + 1][~goes_on], window.next_obs[t][~goes_on].detach()) or goes_on.all()
    x, v = window.next_obs[..., 0], window.next_obs[..., 1]
    force = (v - window.obs[..., 1]) / 0.1  # a mass of 1; the damping of 1 is implicit
    action = (force + v) / 5.0
    torch.testing.assert_close(window.reward, -x.square() - 0.01 * action.square(), rtol=1e-3, atol=1e-4)
    assert np.array_equal(algorithm._last_obs, worlds.detach().float().numpy())
    # The two episodes that ended were counted.
    assert [info["l"] for info in algorithm.ep_info_buffer] == [3, 5]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An algorithm after one update from a window, and what it ascended and fitted its critic to."""
    algorithm, seen = make(SHAC, n_envs=4, horizon=5, tau=0.3, gae_lambda=0.7, critic_epochs=1), {}
    window, worlds = one_window(algorithm)
    slow = [p.clone() for p in algorithm.policy.critic_target.parameters()]
    value = algorithm.policy.target_value(window.next_obs).detach() / (1.0 - 0.95)
    ascend, fit = algorithm._ascend, algorithm._fit_critic
    monkeypatch.setattr(algorithm, "_ascend", lambda *a: (seen.update(objective=a[0].item()), ascend(*a)))
    monkeypatch.setattr(algorithm, "_fit_critic", lambda *a: (seen.update(obs=a[0], target=a[1]), fit(*a))[1])
    assert algorithm.policy.normalize.count == 0
    algorithm.train(window, worlds)
    return algorithm, window, slow, value, seen


def test_shac_ascends_the_mean_reward_of_a_step_and_what_follows(trained: Any) -> None:
    algorithm, window, _, value, seen = trained
    ends = window.terminated, window.truncated
    expected = discounted_sum(window.reward.detach(), *ends, value, 0.95).mean() / 5
    assert seen["objective"] == pytest.approx(expected.item(), rel=1e-6)
    assert algorithm.policy.normalize.count == 20  # all observations of the window, once


def test_shac_follows_the_value_of_what_follows_through_the_simulator() -> None:
    """Without rewards there is still a gradient: that of the slow critic by the states that actions lead to."""
    algorithm = make(SHAC, n_envs=4, horizon=5)
    window, worlds = one_window(algorithm)
    algorithm.train(window._replace(reward=torch.zeros(5, 4)), worlds)
    assert algorithm.actor_gradient_norm > 1e-4


def test_shac_fits_its_critic_to_td_lambda_in_its_own_unit(trained: Any) -> None:
    _, window, _, value, seen = trained
    expected = td_lambda(window.reward.detach(), window.terminated, window.truncated, value, 0.95, 0.7)
    torch.testing.assert_close(seen["target"], (expected * 0.05).flatten())
    assert torch.equal(seen["obs"], window.obs.flatten(0, 1))


def test_shacs_slow_critic_moves_by_tau(trained: Any) -> None:
    algorithm, _, slow, *_ = trained
    policy = algorithm.policy
    for old, now, fast in zip(slow, policy.critic_target.parameters(), policy.critic.parameters(), strict=True):
        assert not torch.equal(old, fast)
        torch.testing.assert_close(now, 0.7 * old + 0.3 * fast)


def test_the_critics_passes_descend_on_all_rows() -> None:
    algorithm = make(SHAC, n_envs=4, critic_epochs=1, critic_batches=1, max_grad_norm=0.01)
    critic = algorithm.policy.critic
    algorithm.policy.observe(2.0 + 3.0 * torch.randn(50, 2))  # the critic sees normalised observations
    obs = 2.0 + 3.0 * torch.randn(40, 2)
    target = 0.5 * obs[:, 0]
    found = critic(algorithm.policy.normalize(obs))[:, 0]
    loss = (found - target).square().mean()
    gradient = torch.autograd.grad(loss, list(critic.parameters()))
    assert algorithm._fit_critic(obs, target) == pytest.approx(loss.item(), rel=1e-5)
    norm = torch.cat([g.flatten() for g in gradient]).norm()
    assert norm > 0.02
    for parameter, g in zip(critic.parameters(), gradient, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, 0.01 * g / norm, rtol=1e-3, atol=1e-7)
    algorithm.critic_epochs, algorithm.critic_batches, algorithm.max_grad_norm = 200, 4, 1.0
    assert algorithm._fit_critic(obs, target) < 0.1 * loss.item()


@BOTH
def test_an_update_keeps_the_noise_above_its_floor(cls: type[AnalyticPolicyGradient]) -> None:
    noise = {"log_std_init": -1.0, "log_std_min": -1.5}
    algorithm = make(cls, n_envs=4, policy_kwargs=COMMON["policy_kwargs"] | noise)
    algorithm.policy.log_std.data.fill_(-4.0)
    algorithm.learn(1)
    assert algorithm.policy.log_std.tolist() == [-1.5]


def test_a_step_goes_up_and_its_gradient_is_cut() -> None:
    """Adam's first step is the rate times the sign of the gradient; the norm is cut, and reported uncut."""
    algorithm = make(SHAC, n_envs=4, max_grad_norm=1e-2)
    rows = recorded(algorithm)
    _, callback = algorithm._setup_learn(1000)
    worlds = DifferentiableEnvs(algorithm.env.envs)
    window = algorithm._roll_out(worlds, callback)
    policy = algorithm.policy
    bias, before = policy.actor[-1].bias, policy.actor[-1].bias.detach().clone()
    algorithm._ascend(3.0 * bias.sum() + 0.0 * window.reward.sum(), window, worlds)
    torch.testing.assert_close(bias.detach(), before + 1e-2, rtol=0.0, atol=1e-5)
    assert algorithm.actor_gradient_norm == pytest.approx(3.0)
    assert bias.grad.item() == pytest.approx(-1e-2, rel=1e-3)
    algorithm.logger.dump()
    assert rows[-1]["train/actor_objective"] == pytest.approx(3.0 * before.sum().item(), abs=1e-6)
    assert rows[-1]["train/adjoints"] == 2 * 4 * algorithm.horizon


def test_bptt_ascends_the_mean_reward_of_whole_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm, seen = make(BPTT, n_envs=4, gamma=0.9), []
    recorded(algorithm)
    _, callback = algorithm._setup_learn(1000)
    worlds = DifferentiableEnvs(algorithm.env.envs)
    window = algorithm._roll_out(worlds, callback)
    assert len(window.reward) == slide.EPISODE_STEPS
    ascend = algorithm._ascend
    monkeypatch.setattr(algorithm, "_ascend", lambda *a: (seen.append(a[0].item()), ascend(*a)))
    algorithm.train(window, worlds)
    discounts = 0.9 ** torch.arange(slide.EPISODE_STEPS)
    expected = (discounts[:, None] * window.reward.detach()).sum(0).mean() / slide.EPISODE_STEPS
    assert seen == [pytest.approx(expected.item(), rel=1e-5)]
    assert algorithm.policy.normalize.count == 4 * slide.EPISODE_STEPS


def test_the_learning_rate_follows_its_schedule() -> None:
    """That of the progress before each window; the critic's too."""
    algorithm, rates = make(SHAC, n_envs=4, learning_rate=lambda left: 0.01 * left), []

    class Watch(BaseCallback):
        def _on_rollout_end(self) -> None:
            optimizers = algorithm.policy.optimizer, algorithm.policy.critic_optimizer
            rates.append([one.param_groups[0]["lr"] for one in optimizers])

        def _on_step(self) -> bool:
            return True

    algorithm.learn(4 * 4 * algorithm.horizon, callback=Watch())
    np.testing.assert_allclose(rates, [[0.01 * left] * 2 for left in (1.0, 0.75, 0.5, 0.25)])

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import point_mass
import pytest
import torch
from mbpo_variants import COMMON, MODEL, VARIANTS
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from gradgym.agents import MBPO, SAC, BatchedSACPolicy
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import evaluate_returns


def make(variant: str, seed: int = 0, n_envs: int = 1, **changes: Any) -> MBPO:
    arguments = {**COMMON, **VARIANTS[variant], **changes}
    horizon = arguments.get("gradient_horizon", "step")
    gradients = MBPO.required_gradients(arguments.get("enhancement"), horizon)
    env = make_vec_env("PointMass-v0", n_envs, seed=seed, env_kwargs={"gradients": gradients})
    return MBPO("MlpPolicy", env, seed=seed, device="cpu", **arguments)


def regret(algorithm: MBPO) -> float:
    """Mean distance to the best possible return over 20 starts."""
    env = gymnasium.make("PointMass-v0")
    returns = evaluate_returns(algorithm, env, 20, seed=100)
    starts = [float(env.reset(seed=100 + k)[0][0]) for k in range(20)]
    return float(np.mean([point_mass.best_return(x) for x in starts]) - returns.mean())


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_solves_the_point_mass(variant: str) -> None:
    torch.set_num_threads(1)
    algorithm = make(variant)
    untrained = regret(algorithm)
    regrets = [regret(algorithm.learn(steps, reset_num_timesteps=False)) for steps in (1600, 400, 400)]
    assert untrained > 0.5
    assert min(regrets) < 0.1  # as runs keep the best: SAC's policies wander, with the processor's rounding too


@pytest.mark.parametrize("variant", VARIANTS)
def test_equal_seeds_give_equal_policies(variant: str) -> None:
    # One after the other: SB3 draws from the global generators, which a constructor seeds.
    algorithms = [make(variant, seed).learn(320) for seed in (3, 3, 4)]
    weights = [torch.nn.utils.parameters_to_vector(a.actor.parameters()) for a in algorithms]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_several_environments_at_once() -> None:
    algorithm = make("policy, episode", n_envs=3)
    algorithm.learn(480)
    assert algorithm.episodes is not None and len(algorithm.episodes._kept) == 2 and algorithm._n_updates > 0


def test_saved_models_predict_the_same_and_learn_on(tmp_path: Path) -> None:
    algorithm = make("policy with model")
    algorithm.learn(320)
    algorithm.save(tmp_path / "model.zip")
    loaded = MBPO.load(tmp_path / "model.zip", device="cpu")
    obs = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    assert np.array_equal(algorithm.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0])
    for name, value in algorithm.ensemble.state_dict().items():
        assert torch.equal(loaded.ensemble.state_dict()[name], value)
    moments = [found.ensemble.optimizer.state_dict()["state"] for found in (algorithm, loaded)]
    assert all(torch.equal(moments[0][k]["exp_avg"], moments[1][k]["exp_avg"]) for k in moments[0])
    assert moments[0].keys() == moments[1].keys()
    env = algorithm.get_env()
    assert env is not None
    loaded.set_env(env)
    loaded.learn(320, reset_num_timesteps=False)
    assert loaded.num_timesteps == 640


def test_sb3_trains_the_batched_policy() -> None:
    """The baseline SAC is SB3's own, on the same networks."""
    keep = ("batch_size", "learning_starts", "replay_buffer_kwargs", "policy_kwargs")
    algorithm = SAC(BatchedSACPolicy, gymnasium.make("PointMass-v0"), **{k: COMMON[k] for k in keep})
    before = torch.nn.utils.parameters_to_vector(algorithm.critic.parameters()).clone()
    algorithm.learn(120)
    assert not torch.equal(before, torch.nn.utils.parameters_to_vector(algorithm.critic.parameters()))


def test_log_names_what_the_updates_cost() -> None:
    algorithm = make("mbpo")
    algorithm.learn(320, log_interval=10_000)
    logged = algorithm.logger.name_to_value
    for name in ("time/ms_per_update", "train/critic_loss", "train/actor_gradient_norm", "train/model_error"):
        assert np.isfinite(logged[name])
    assert logged["train/actor_gradient_norm"] != logged["train/critic_gradient_norm"]
    assert logged["train/unconverged_steps"] == 0.0
    assert logged["train/n_updates"] == 14 * 16  # after every 16 steps from the 112th on


def test_learning_rates_follow_their_schedule() -> None:
    algorithm = make("sac", learning_rate=lambda left: 0.01 * left)
    optimizers = [algorithm.actor.optimizer, algorithm.critic.optimizer, algorithm.ent_coef_optimizer]
    algorithm.learn(320)
    assert [one.param_groups[0]["lr"] for one in optimizers if one is not None] == [0.0] * 3


def test_first_actions_have_the_deviation_asked_for() -> None:
    algorithm = make("sac", learning_starts=0)
    obs = torch.randn(7, 2)
    assert torch.allclose(algorithm.actor.get_action_dist_params(obs)[1], torch.full((7, 1), -1.0))


def test_the_deviation_of_actions_goes_to_its_last_value() -> None:
    algorithm = make("policy, episode", log_std_final=-3.0)
    assert isinstance(algorithm.actor.log_std, torch.nn.Linear)
    bias, seen = algorithm.actor.log_std.bias.detach(), []

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            seen.append(float(bias[0]))
            return True

    algorithm.learn(320, callback=Watch())
    assert seen[0] == -1.0
    # set at the start of each of the 20 updates, the last of which comes at the end of the time
    np.testing.assert_allclose(seen[176], -1.0 - 2.0 * 176 / 320, atol=1e-6)
    np.testing.assert_allclose(bias, -3.0, atol=1e-6)


def test_the_policy_moves_once_in_so_many_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm, order = make("sac", policy_delay=3, gradient_steps=5, train_freq=5), []
    for name in ("_update_critic", "_update_actor", "_update_target"):
        update = getattr(algorithm, name)
        monkeypatch.setattr(algorithm, name, lambda *args, n=name, u=update: (order.append(n[8:]), u(*args))[1])
    algorithm.learn(110)  # ten updates, the count goes on from one series to the next
    assert "".join(name[0] for name in order) == "ctctcat" * 3 + "ct"


def test_a_run_trains_in_several_environments() -> None:
    changes = {**COMMON, **VARIANTS["sample without model"], "policy_kwargs": {"net_arch": [8]}, "n_envs": 3}
    counts = {"total_timesteps": 1, "eval_freq": 1, "eval_episodes": 1, "checkpoint_freq": 1}
    config = RunConfig.from_settings(counts | changes, algo="mbpo", env="PointMass-v0", seed=0)
    algorithm = MBPO.from_config(config).learn(150)
    assert algorithm.n_envs == 3 and algorithm.replay_buffer.dobs_daction.shape[1] == 3  # pyright: ignore[reportAttributeAccessIssue]
    starts = algorithm.replay_buffer.observations[0]
    assert len({float(obs[0]) for obs in starts}) == 3  # each of its own seed
    with pytest.raises(ValueError, match="n_envs=0: must be a positive integer"):
        MBPO.from_config(
            RunConfig.from_settings(counts | changes | {"n_envs": 0}, algo="mbpo", env="PointMass-v0", seed=0)
        )


def test_a_time_limit_that_is_no_end_is_bootstrapped() -> None:
    """Then the last step's gradient continues with the critic's."""
    algorithm = make("policy, episode", replay_buffer_kwargs={"handle_timeout_termination": True}, learning_starts=50)
    before = torch.nn.utils.parameters_to_vector(algorithm.critic.parameters()).clone()
    algorithm.learn(160)
    assert not torch.equal(before, torch.nn.utils.parameters_to_vector(algorithm.critic.parameters()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"enhancement": "samples"}, "enhancement='samples'"),
        ({"enhancement": "sample", "extra_samples": -1}, "extra_samples=-1"),
        ({"gradient_horizon": "year"}, "gradient_horizon='year'"),
        ({"enhancement": "policy", "gradient_horizon": "episode"}, "model=False"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MBPO("MlpPolicy", gymnasium.make("PointMass-v0"), **arguments)


@pytest.mark.parametrize("enhancement", ["policy", "sample"])
def test_an_environment_without_gradients_is_refused(enhancement: Any) -> None:
    algorithm = MBPO("MlpPolicy", gymnasium.make("PointMass-v0"), enhancement=enhancement, model=False)
    with pytest.raises(ValueError, match='gradients="action"'):
        algorithm.learn(10)


def test_a_batch_has_its_share_of_real_transitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first are real, the others predicted; with the gradients of the real ones alone."""
    algorithm = make("policy with model", real_ratio=0.25, batch_size=40)
    algorithm.learn(200)
    seen: list[Any] = []
    expand = algorithm._expand_one_step
    monkeypatch.setattr(algorithm, "_expand_one_step", lambda *a: (seen.append(a), expand(*a))[1])
    algorithm.predicted.fields.rewards.fill_(77.0)
    algorithm.train(3, 40)
    assert len(seen) == 3
    for batch, gradients, _ in seen:
        assert len(gradients.dreward_daction) == 10
        assert batch.rewards.tolist()[10:] == [77.0] * 30 and batch.rewards[:10].max() <= 0.0


def test_the_model_is_fitted_when_it_is_due_and_the_policy_rolled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """To all that was seen, every `model_train_freq` steps; the rollouts of two fits are kept."""
    algorithm = make("mbpo", rollout_retain=2, rollout_schedule=(0, 640, 1, 5), train_freq=100, learning_starts=50)
    fits: list[tuple[int, int]] = []
    counts: list[int] = []
    fit = algorithm.ensemble.fit

    def watched(obs: Any, actions: Any, next_obs: Any, rewards: Any, **kwargs: Any) -> Any:
        fits.append((algorithm.num_timesteps, len(obs)))
        counts.append(algorithm.predicted.count)
        # What the model is shown of actions is what the policy gave: x' = x + STEP a.
        torch.testing.assert_close(next_obs[:, 0], obs[:, 0] + point_mass.STEP * actions[:, 0], rtol=1e-4, atol=1e-5)
        assert kwargs == MODEL["model_fit_kwargs"]
        return fit(obs, actions, next_obs, rewards, **kwargs)

    monkeypatch.setattr(algorithm.ensemble, "fit", watched)
    algorithm.learn(600)
    assert fits == [(100, 100), (300, 300), (500, 500)]
    assert algorithm.predicted.capacity == 500 * 5 * 2
    # Of 1, 2 and 4 steps from 500 states; those at an episode's last step branch no further.
    assert counts[:2] == [0, 500] and 500 + 500 < counts[2] <= 500 + 1000
    last = algorithm.predicted.fields.obs[: algorithm.predicted.count, 1]
    assert last.max() < 1.2  # of the time, which no rollout goes beyond


@pytest.mark.parametrize("limit_is_end", [True, False])
def test_rollouts_end_with_the_episodes_time(limit_is_end: bool) -> None:
    kwargs = {"handle_timeout_termination": not limit_is_end}
    algorithm = make("mbpo", replay_buffer_kwargs=kwargs, rollout_schedule=(0, 1, 9, 9), learning_starts=150)
    algorithm.learn(200)
    held = algorithm.predicted.count
    dones = algorithm.predicted.fields.dones[:held]
    # From each of 500 starts at a time of 0 to 7 to the last step, the eighth.
    assert dones.sum() == (500 if limit_is_end else 0)
    assert 500 * 3 < held < 500 * 6


def test_ends_are_told_from_the_environments_actions() -> None:
    """Where a task tells ends from observations, it gets actions in its own units."""
    algorithm = make("sample without model")

    class Ends:
        def observed_terminal(self, obs: Any, action: Any, next_obs: Any) -> Any:
            return action[:, 0] > 1.5

    assert algorithm._observed_ends() is None
    assert algorithm.env is not None
    algorithm.env.envs[0].unwrapped.task = Ends()  # pyright: ignore[reportAttributeAccessIssue]
    ends = algorithm._observed_ends()
    assert ends is not None
    assert ends(torch.zeros(2, 2), torch.tensor([[0.7], [0.8]]), torch.zeros(2, 2)).tolist() == [False, True]


def test_enhanced_transitions_come_without_gradients() -> None:
    algorithm = make("sample without model", extra_samples=10**6)
    algorithm.learn(150)
    batches, gradients = algorithm._draw_real(2, 30)
    assert list(gradients) == [None, None]
    rewards = algorithm.replay_buffer.everything().rewards
    assert not any(reward in rewards for reward in batches[0].rewards[batches[0].dones == 0.0])

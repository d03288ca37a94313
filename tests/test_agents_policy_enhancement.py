"""Policy enhancement, piece by piece: the gradients that it follows, and the step that it takes."""

from typing import Any

import gymnasium
import numpy as np
import point_mass
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from stable_baselines3.common.logger import Logger
from torch import Tensor

from gradgym.agents import MBPO
from gradgym.agents.mbpo.episode_gradients import ActionGradients, EpisodeGradients
from gradgym.agents.mbpo.replay import Batch, BatchGradients
from gradgym.agents.mbpo.value_gradients import Trajectory, balance, whole_episode

GAMMA = 0.9


def make(**changes: Any) -> MBPO:
    settings: dict[str, Any] = {"model": False, "enhancement": "policy", "gamma": GAMMA, "tau": 0.25, "ent_coef": 0.5}
    settings |= {"batch_size": 16}  # of the tests that call one update
    policy = {"net_arch": [8], "activation_fn": torch.nn.Tanh, "log_std_init": -1.0}
    horizon = changes.get("gradient_horizon", "step")
    env = gymnasium.make("PointMass-v0", gradients=MBPO.required_gradients("policy", horizon))
    algorithm = MBPO("MlpPolicy", env, policy_kwargs=policy, seed=0, device="cpu", **settings | changes)
    algorithm.set_logger(Logger(None, []))
    with torch.no_grad():
        for parameter in algorithm.actor.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return algorithm


def transitions(count: int) -> Batch:
    obs, next_obs = torch.randn(2, count, 2)
    return Batch(obs, 2 * torch.rand(count, 1) - 1, next_obs, torch.randn(count), (torch.arange(count) % 2).float())


def flat(tensors: Any) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])


def test_one_step_counts_what_follows_unless_the_task_ended() -> None:
    """Equation 13 row by row; gradients belong to the first, real, transitions of a batch."""
    batch = transitions(6)
    gradients = BatchGradients(torch.randn(4, 2, 1), torch.randn(4, 1))
    dvalue = torch.randn(6, 2)
    found = make()._expand_one_step(batch, gradients, dvalue)
    assert torch.equal(found.obs, batch.obs[:4]) and torch.equal(found.actions, batch.actions[:4])
    for k in range(4):
        follows = GAMMA * dvalue[k] @ gradients.dobs_daction[k] if batch.dones[k] == 0.0 else 0.0
        torch.testing.assert_close(found.dvalue_daction[k], gradients.dreward_daction[k] + follows)


def test_the_gradient_of_what_follows_is_that_of_the_target_critics() -> None:
    """Through the next action too; against differences, in the mean over the batch."""
    algorithm, batch = make(ent_coef=0.0), transitions(64)
    with torch.no_grad():
        for parameter in algorithm.critic_target.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))

    def value(next_obs: Tensor) -> float:
        torch.manual_seed(3)
        with torch.no_grad():
            action = algorithm._act(next_obs)[0]
            return algorithm.critic_target.values(next_obs, action).amin(0).mean().item()

    h = 1e-2
    moved = torch.tensor([h, 0.0]), torch.tensor([0.0, h])
    expected = [(value(batch.next_obs + d) - value(batch.next_obs - d)) / (2 * h) for d in moved]
    torch.manual_seed(3)
    _, found = algorithm._update_critic(batch, with_gradient=True)
    assert found is not None
    np.testing.assert_allclose(found.mean(0).numpy(), expected, rtol=2e-3, atol=2e-5)


def test_asking_for_the_gradient_does_not_change_the_critics_update() -> None:
    batch, found = transitions(16), []
    for asked in (True, False):
        algorithm = make()
        torch.manual_seed(4)
        algorithm._update_critic(batch._replace(next_obs=batch.next_obs.clone()), with_gradient=asked)
        found.append(flat(algorithm.critic.parameters()))
    torch.testing.assert_close(found[0], found[1], rtol=0.0, atol=1e-7)


@pytest.mark.parametrize("ent_coef", [0.5, "auto_0.5"])
def test_the_enhanced_step_follows_equation_14(ent_coef: Any) -> None:
    """The mean of w (alpha log pi - dQ/da . mu(s)), with SB3's density."""
    algorithm = make(ent_coef=ent_coef, target_entropy=-3.0)
    batch = ActionGradients(torch.randn(16, 2), 2 * torch.rand(16, 1) - 1, torch.randn(16, 1))
    torch.manual_seed(5)
    noise = torch.randn(16, 1)
    mean, log_std, _ = algorithm.actor.get_action_dist_params(batch.obs)
    raw = mean + log_std.exp() * noise
    density = SquashedDiagGaussianDistribution(1, epsilon=0.0).proba_distribution(mean, log_std)
    log_prob = density.log_prob(torch.tanh(raw), raw)
    weight = torch.exp(-(torch.tanh(mean) - batch.actions).abs()[:, 0].detach())
    loss = (weight * (0.5 * log_prob - (batch.dvalue_daction * torch.tanh(mean))[:, 0])).mean()
    expected = flat(torch.autograd.grad(loss, list(algorithm.actor.parameters())))

    before = flat(algorithm.actor.parameters())
    learned = algorithm.log_ent_coef
    first = None if learned is None else learned.item()
    torch.manual_seed(5)
    torch.testing.assert_close(algorithm._update_enhanced(batch), loss.detach())
    own = algorithm._flat_actor
    parts = dict(zip(map(id, own.parameters), own.parts(own.gradient), strict=True))
    found = torch.cat([parts[id(parameter)].flatten() for parameter in algorithm.actor.parameters()])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert not torch.equal(flat(algorithm.actor.parameters()), before)
    assert (first is None) == (ent_coef == 0.5)
    if learned is not None and first is not None:  # more spread out than the target asks: the coefficient falls
        assert log_prob.mean() < 3.0
        assert learned.item() < first - 1e-4


def episode(last_of_time: bool) -> tuple[list[tuple[Any, ...]], Trajectory]:
    """Three steps with made-up gradients, as the environment tells them, and as a trajectory (actions scaled)."""
    rng = np.random.default_rng(6)
    shapes = {
        "dobs_daction": (2, 1),
        "dobs_dstate": (2, 3),
        "dreward_daction": (1,),
        "dreward_dstate": (3,),
        "dstate_daction": (3, 1),
        "dstate_dstate": (3, 3),
    }
    steps, rows = [], []
    for t in range(3):
        gradients = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        info = {"gradients": gradients, "TimeLimit.truncated": last_of_time and t == 2}
        obs, action = rng.normal(size=(1, 2)), rng.uniform(-1, 1, (1, 1))
        steps.append((obs, obs + 1.0, action, np.array([t == 2]), [info]))
        scaled = [2.0 * g if name.endswith("_daction") else g for name, g in gradients.items()]
        rows.append((obs[0], action[0], *scaled))
    return steps, Trajectory(*(np.stack(column) for column in zip(*rows, strict=True)))


@pytest.mark.parametrize("time_ran_out", [True, False])
@pytest.mark.parametrize("with_critic", [True, False])
def test_episodes_continue_with_the_critic_where_time_cut_them(time_ran_out: bool, with_critic: bool) -> None:
    algorithm = make(gradient_horizon="episode")
    actor, critic = algorithm.actor, algorithm.critic_target
    steps, trajectory = episode(time_ran_out)
    episodes = EpisodeGradients(2, 1, spaces.Box(-2.0, 2.0, (1,)), GAMMA)
    for step in steps:
        episodes.add(*step)
    episodes.expand(actor, critic if with_critic else None)

    def mean_action(obs: Any) -> Tensor:
        return torch.tanh(actor.get_action_dist_params(torch.as_tensor(obs).float())[0])

    def value(obs: Any) -> float:
        with torch.no_grad():
            seen = torch.as_tensor(obs).float()
            return critic.values(seen, mean_action(seen)).amin(0).item()

    h, axes = 1e-2, np.eye(2)
    reaction = [(mean_action(trajectory.obs + h * e) - mean_action(trajectory.obs - h * e)) / (2 * h) for e in axes]
    reaction = torch.stack(reaction, -1).detach().double().numpy()
    end = np.zeros(2)
    if time_ran_out and with_critic:
        last = steps[-1][1]
        end = np.array([(value(last + h * e) - value(last - h * e)) / (2 * h) for e in axes])
        assert np.abs(end).max() > 1e-3
    expected = balance(whole_episode(trajectory, reaction, GAMMA, end))
    (kept,) = episodes._kept
    np.testing.assert_allclose(kept.dvalue_daction.numpy(), expected, rtol=2e-2, atol=1e-4)
    np.testing.assert_allclose(kept.obs.numpy(), trajectory.obs, rtol=1e-6)
    np.testing.assert_allclose(kept.actions.numpy(), trajectory.actions, rtol=1e-6)


def test_only_the_latest_episodes_are_drawn_from() -> None:
    algorithm = make(gradient_horizon="episode")
    episodes = EpisodeGradients(2, 1, spaces.Box(-2.0, 2.0, (1,)), GAMMA)
    assert episodes.draw(3, 4) == []
    for number in range(3):
        for obs, *rest in episode(False)[0]:
            episodes.add(np.full_like(obs, number), *rest)
    episodes.expand(algorithm.actor, None)
    drawn = episodes.draw(5, 40)
    assert len(drawn) == 5
    assert {float(x) for batch in drawn for x in batch.obs[:, 0]} == {1.0, 2.0}
    # Rows of the three fields belong together: 2 episodes of 3 steps.
    rows = torch.cat([torch.cat([batch.obs, batch.actions, batch.dvalue_daction], 1) for batch in drawn])
    assert len(rows.unique(dim=0)) == 6


@pytest.mark.parametrize("time_is_no_end", [True, False])
def test_a_critic_is_trained_and_used_only_where_time_cuts_episodes(
    time_is_no_end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = make(
        gradient_horizon="episode",
        replay_buffer_kwargs={"handle_timeout_termination": time_is_no_end},
        train_freq=point_mass.EPISODE_STEPS,
        gradient_steps=3,
        learning_starts=0,
    )
    assert algorithm.episodes is not None
    used, expand = [], algorithm.episodes.expand
    monkeypatch.setattr(
        algorithm.episodes, "expand", lambda actor, critic: (used.append(critic), expand(actor, critic))
    )
    nets = [algorithm.critic, algorithm.critic_target, algorithm.actor]
    before = [flat(net.parameters()) for net in nets]
    algorithm.learn(point_mass.EPISODE_STEPS)
    moved = [not torch.equal(flat(net.parameters()), old) for net, old in zip(nets, before, strict=True)]
    assert moved == [time_is_no_end, time_is_no_end, True]
    assert used == [algorithm.critic_target if time_is_no_end else None]


def test_a_recorded_episode_ends_where_it_ended() -> None:
    """Not at the next one's start, which SB3 gives as the last step's observation."""
    algorithm = make(gradient_horizon="episode", train_freq=(1, "episode"), learning_starts=1000)
    algorithm.learn(2 * point_mass.EPISODE_STEPS)
    assert algorithm.episodes is not None
    for trajectory, last_obs, timeout in algorithm.episodes._recorder.take_finished():
        assert timeout and last_obs[1] == 1.0
        step = 0.5 * point_mass.STEP * 2.0 * float(trajectory.actions[-1, 0])
        assert last_obs[0] == pytest.approx(trajectory.obs[-1, 0] + step, abs=1e-6)

import math

import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from gradgym.agents.mbpo.batched_mlp import BatchedMlp
from gradgym.agents.mbpo.ensemble import Normaliser, ProbabilisticEnsemble, gaussian_nll, soft_bound
from gradgym.agents.mbpo.model_rollouts import Brancher, rollout_length
from gradgym.agents.mbpo.replay import Batch
from gradgym.envs.task import EndFromObservations, RewardFromObservations


def test_batched_networks_equal_single_ones() -> None:
    batched = BatchedMlp(3, [4, 8, 2], nn.Tanh())
    x = torch.randn(5, 4)
    out = batched(x)
    for member in range(3):
        hidden = torch.tanh(x @ batched.weights[0][member] + batched.biases[0][member])
        assert torch.allclose(out[member], hidden @ batched.weights[1][member] + batched.biases[1][member], atol=1e-6)
    assert torch.allclose(batched(x.expand(3, 5, 4)), out)


def test_layers_are_normalised_before_their_activation() -> None:
    batched = BatchedMlp(2, [4, 8, 8, 2], nn.Tanh(), layer_norm=True)
    x = 30.0 * torch.randn(5, 4)
    for member, out in enumerate(batched(x)):
        hidden = x
        for layer in range(2):
            hidden = hidden @ batched.weights[layer][member] + batched.biases[layer][member]
            centred = hidden - hidden.mean(1, keepdim=True)
            hidden = torch.tanh(centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt())
        assert torch.allclose(out, hidden @ batched.weights[2][member] + batched.biases[2][member], atol=1e-5)


def test_normaliser_inverts_and_leaves_constants() -> None:
    x = torch.randn(100, 3) * torch.tensor([5.0, 0.1, 0.0]) + 2.0
    normaliser = Normaliser(3)
    normaliser.fit(x)
    z = normaliser(x)
    assert torch.allclose(z.mean(0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(z.std(0, correction=0)[:2], torch.ones(2), atol=1e-4) and torch.all(z[:, 2].abs() < 1e-4)
    assert torch.allclose(normaliser.inverse(z), x, atol=1e-5)
    assert torch.allclose(normaliser.inverse(z + 1.0)[:, 2], torch.full((100,), 2.0), atol=1e-5)


def noisy_data(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """obs' = obs + 0.5 action + noise of deviation 0.1 in the first coordinate only; reward = obs_0."""
    obs, action = torch.randn(count, 2), torch.rand(count, 2) * 2 - 1
    noise = torch.stack([0.1 * torch.randn(count), torch.zeros(count)], 1)
    return obs, action, obs + 0.5 * action + noise, obs[:, 0]


def test_fit_finds_means_and_noise() -> None:
    torch.manual_seed(0)
    ensemble = ProbabilisticEnsemble(2, 2, learns_reward=True, members=4, elites=2, net_arch=(32, 32))
    obs, action, next_obs, reward = noisy_data(3000)
    report = ensemble.fit(obs, action, next_obs, reward, max_epochs=40)
    assert report["model_error"] < 0.05
    assert len(set(ensemble.elites.tolist())) == 2
    obs, action = torch.zeros(2000, 2), torch.full((2000, 2), 0.5)
    predicted, predicted_reward = ensemble.predict(obs, action)
    assert predicted_reward is not None and predicted_reward.mean().abs() < 0.1
    assert torch.allclose(predicted.mean(0), torch.tensor([0.25, 0.25]), atol=0.05)
    assert 0.06 < predicted[:, 0].std() < 0.16 and predicted[:, 1].std() < 0.06
    _, predicted_reward = ensemble.predict(torch.ones(2000, 2), action)
    assert predicted_reward is not None and abs(predicted_reward.mean() - 1.0) < 0.1


def test_each_member_keeps_its_best_weights_and_the_best_members_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holdout errors before the fit and after its one epoch: the first and third members improve."""
    ensemble = ProbabilisticEnsemble(2, 2, learns_reward=True, members=4, elites=2, net_arch=(8,))
    errors = [torch.tensor([3.0, 1.5, 2.0, 4.0]), torch.tensor([1.0, 1.5, 0.5, 5.0])]
    monkeypatch.setattr(ensemble, "_holdout_errors", lambda x, y: errors.pop(0))
    before = [weight.detach().clone() for weight in ensemble.network.weights]
    report = ensemble.fit(*noisy_data(200), max_epochs=1)
    for old, new in zip(before, ensemble.network.weights, strict=True):
        assert [torch.equal(o, n) for o, n in zip(old, new, strict=True)] == [False, True, False, True]
    assert ensemble.elites.tolist() == [2, 0]
    assert report["model_error"] == pytest.approx(0.75) and report["model_epochs"] == 1.0


def test_the_fit_ends_when_no_member_improves_by_a_hundredth(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = ProbabilisticEnsemble(2, 2, learns_reward=True, members=2, elites=1, net_arch=(8,))
    errors = [torch.tensor([1.0, e]) for e in (1.0, 0.98, 0.975, 0.972, 0.9, 0.9, 0.9, 0.9)]
    monkeypatch.setattr(ensemble, "_holdout_errors", lambda x, y: errors.pop(0))
    # Improved in the first and fourth epochs; then two without.
    assert ensemble.fit(*noisy_data(200), max_epochs=50, patience=3)["model_epochs"] == 7.0


class Counter:
    """A task in place of a model: obs counts the steps, every step gives its own number, 3 ends it."""

    def observed_reward(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        return next_obs[:, 0]

    def observed_terminal(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        return next_obs[:, 0] >= 3


COUNTER = Counter()


class EndOnly:
    """The same task, if its reward is not a function of observations."""

    observed_terminal = Counter.observed_terminal


class CountingModel(ProbabilisticEnsemble):
    def predict(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor | None]:
        return obs + 2.0 * action, torch.full((len(obs),), 7.0) if self.learns_reward else None


def branches(
    limit: int | None, limit_is_end: bool, length: int, task: EndFromObservations | None = None
) -> list[Batch]:
    task = task or Counter()
    learns_reward = not isinstance(task, RewardFromObservations)
    model = CountingModel(1, 1, learns_reward=learns_reward, members=1, elites=1, net_arch=(2,))
    brancher = Brancher(model, task, spaces.Box(-2.0, 2.0, (1,)), limit, limit_is_end)
    start = torch.tensor([[0.0], [1.0]])
    return brancher.branch(start, torch.tensor([0, 1]), lambda o: torch.full((len(o), 1), 0.5), length)


def test_branches_take_reward_and_end_from_the_task() -> None:
    batches = branches(None, False, 5)
    assert [b.rewards.tolist() for b in batches] == [[1.0, 2.0], [2.0, 3.0], [3.0]]
    assert [b.dones.tolist() for b in batches] == [[0.0, 0.0], [0.0, 1.0], [1.0]]


def test_branches_take_the_end_alone_from_a_task_without_observed_reward() -> None:
    batches = branches(None, False, 5, EndOnly())
    assert [b.rewards.tolist() for b in batches] == [[7.0, 7.0], [7.0, 7.0], [7.0]]
    assert [b.dones.tolist() for b in batches] == [[0.0, 0.0], [0.0, 1.0], [1.0]]


def test_tasks_are_shown_the_environments_actions() -> None:
    class Effort(Counter):
        def observed_reward(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
            return action[:, 0]

    (batch,) = branches(None, False, 1, Effort())
    assert batch.rewards.tolist() == [1.0, 1.0] and batch.actions.tolist() == [[0.5], [0.5]]


def test_branches_stop_where_time_is_over() -> None:
    for limit_is_end in (False, True):
        batches = branches(2, limit_is_end, 5)
        assert [len(b.rewards) for b in batches] == [2, 1]
        assert [b.dones.tolist() for b in batches] == [[0.0, float(limit_is_end)], [float(limit_is_end)]]


def test_rollout_length_grows_between_its_ends() -> None:
    schedule = (100, 200, 1, 11)
    assert [rollout_length(schedule, t) for t in (0, 100, 150, 200, 900)] == [1, 1, 6, 11, 11]


def test_likelihood_is_least_at_the_true_variance() -> None:
    error = 2.0
    log_var = torch.tensor([math.log(3.0), math.log(4.0), math.log(5.0)]).view(3, 1, 1)
    losses = gaussian_nll(torch.zeros(3, 1, 1), log_var, torch.full((3, 1, 1), error))
    assert losses[1].item() == pytest.approx(error**2 / 4.0 + math.log(4.0))
    assert losses.argmin().item() == 1


def test_soft_bound_keeps_the_inside_and_bounds_the_outside() -> None:
    lower, upper = torch.tensor(-10.0), torch.tensor(0.5)
    x = soft_bound(torch.tensor([-100.0, -5.0, 100.0]), lower, upper)
    assert x[1].item() == pytest.approx(-5.0, abs=0.02)
    assert x[0].item() == pytest.approx(-10.0, abs=1e-4) and x[2].item() == pytest.approx(0.5, abs=1e-4)

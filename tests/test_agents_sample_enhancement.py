from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from gradgym.agents.mbpo.replay import Batch, BatchGradients
from gradgym.agents.mbpo.sample_enhancement import SampleEnhancement, first_order, one_row, perturbations

N_OBS, N_ACT = 3, 2
TO_STATE = torch.tensor([[1.0, 0.0], [0.5, -2.0], [0.0, 3.0]])
TO_REWARD = torch.tensor([0.3, -0.7])
ALWAYS = SampleEnhancement(extra_samples=10**9, perturbation=0.5)  # never leaves a transition real


def linear_outcome(obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """s' = 0.9 s + B a and r = c a + s_0 of a linear system."""
    return 0.9 * obs + actions @ TO_STATE.T, actions @ TO_REWARD + obs[:, 0]


def linear_batch(count: int) -> tuple[Batch, BatchGradients]:
    obs, actions = torch.randn(count, N_OBS), 2 * torch.rand(count, N_ACT) - 1
    next_obs, rewards = linear_outcome(obs, actions)
    gradients = BatchGradients(TO_STATE.expand(count, -1, -1), TO_REWARD.expand(count, -1))
    return Batch(obs, actions, next_obs, rewards, torch.zeros(count)), gradients


def moved(before: Batch, after: Batch) -> Tensor:
    return (before.actions != after.actions).any(1)


def test_samples_of_a_linear_system_are_its_transitions() -> None:
    batch, gradients = linear_batch(200)
    sample = ALWAYS.draw(batch, gradients, None)
    assert moved(batch, sample).all()
    next_obs, rewards = linear_outcome(sample.obs, sample.actions)
    assert torch.allclose(sample.next_obs, next_obs, atol=1e-5) and torch.allclose(sample.rewards, rewards, atol=1e-5)
    assert sample.obs is batch.obs and sample.dones is batch.dones


def test_error_on_the_pendulum_falls_with_the_square_of_the_perturbation() -> None:
    env: Any = gymnasium.make("gradgym/NLinkPendulum-v0", n_links=3, gradients="action").unwrapped
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(20):
        env.step(env.action_space.sample())
    state, action = env.state, np.array([0.3, -0.5, 0.2])

    def outcome(action: Any) -> tuple[Tensor, float, dict[str, Any]]:
        env._state = state
        _, reward, _, _, info = env.step(action)
        return env.task.observation(env.state)[0], reward, info  # in double precision, unlike what step returns

    obs, reward, info = outcome(action)
    gradients = BatchGradients(*(torch.from_numpy(info["gradients"][name])[None] for name in BatchGradients._fields))
    here = Batch(*(torch.as_tensor(x, dtype=torch.float64)[None] for x in (obs, action, obs, reward, 0.0)))
    direction = torch.tensor([[0.4, 0.1, -0.3]], dtype=torch.float64)
    errors = []
    for size in (0.4, 0.2, 0.1):
        sample = first_order(here, gradients, size * direction)
        there, there_reward, _ = outcome(sample.actions[0].numpy())
        errors.append([(sample.next_obs[0] - there).abs().max().item(), abs(sample.rewards.item() - there_reward)])
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    np.testing.assert_allclose(ratios, 4.0, rtol=0.01)  # halving the perturbation quarters the error


def test_actions_stay_in_their_space_and_fill_the_interval() -> None:
    actions = torch.tensor([[1.0, 0.0], [-0.95, 0.5]]).repeat(5000, 1)
    change = perturbations(actions, 0.1)
    after = actions + change
    assert after.abs().max() <= 1.0
    assert change.abs().max() <= 0.1 + 1e-6
    free = change[:, 1]
    assert free.min() < -0.099 and free.max() > 0.099 and abs(free.mean()) < 3e-3
    assert change[::2, 0].max() == 0.0 and change[::2, 0].min() < -0.099


def test_a_real_transition_is_as_likely_as_each_extra_one() -> None:
    batch, gradients = linear_batch(20_000)
    share = moved(batch, SampleEnhancement(extra_samples=3).draw(batch, gradients, None)).float().mean()
    assert share.item() == pytest.approx(0.75, abs=0.02)
    assert not moved(batch, SampleEnhancement(extra_samples=0).draw(batch, gradients, None)).any()


def test_every_draw_perturbs_anew() -> None:
    batch, gradients = linear_batch(50)
    batch = batch._replace(actions=0.5 * batch.actions)  # two draws are cut at the same bound nowhere
    first, second = (ALWAYS.draw(batch, gradients, None) for _ in range(2))
    assert moved(first, second).all()


def test_a_transition_that_ended_stays_real() -> None:
    batch, gradients = linear_batch(100)
    batch = batch._replace(dones=(torch.arange(100) % 4 == 0).float())
    assert torch.equal(moved(batch, ALWAYS.draw(batch, gradients, None)), batch.dones == 0)


def test_no_sample_crosses_an_end() -> None:
    def ends(obs: Tensor, actions: Tensor, next_obs: Tensor) -> Tensor:
        return next_obs[:, 2] > 0.0

    batch, gradients = linear_batch(1000)
    batch = batch._replace(dones=ends(*batch[:3]).float())
    sample = ALWAYS.draw(batch, gradients, ends)
    assert torch.equal(ends(*sample[:3]), batch.dones == 1)
    # Running transitions that no perturbation can end are all enhanced.
    far = batch.next_obs[:, 2] < -3.0 * ALWAYS.perturbation
    assert moved(batch, sample)[far].all()
    stayed = ~moved(batch, sample) & (batch.dones == 0)
    assert stayed.any() and torch.equal(sample.next_obs[stayed], batch.next_obs[stayed])


def test_one_row_moves_one_entry_by_its_cut_multiple() -> None:
    _, gradients = linear_batch(3000)
    sparse = one_row(gradients).dobs_daction
    assert (sparse.abs().sum(2) > 0).sum(1).eq(1).all()
    # 3 times TO_STATE, whose entries are below the cut: unbiased.
    assert torch.allclose(sparse.mean(0), TO_STATE, atol=0.3)
    large = BatchGradients(100.0 * gradients.dobs_daction, gradients.dreward_daction)
    assert one_row(large).dobs_daction.abs().max() == 10.0
    assert torch.equal(one_row(large).dreward_daction, gradients.dreward_daction)


def test_one_row_samples_move_one_entry() -> None:
    batch, gradients = linear_batch(100)
    sample = SampleEnhancement(10**9, 0.1, "one").draw(batch, gradients, None)
    assert (sample.next_obs != batch.next_obs).sum(1).max() == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SampleEnhancement(extra_samples=-1), "extra_samples=-1"),
        (lambda: SampleEnhancement(perturbation=-0.1), r"perturbation=-0\.1"),
        (lambda: SampleEnhancement(jacobian_rows="some"), "jacobian_rows='some'"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_wrong_settings_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()

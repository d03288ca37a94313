"""The updates' gradients by hand are autograd's."""

from itertools import product
from typing import Any

import gymnasium
import point_mass as point_mass  # registers its environment
import pytest
import torch
from torch import Tensor, nn

from gradgym.agents import MBPO
from gradgym.agents.mbpo.flat_parameters import FlatParameters, vector_of
from gradgym.agents.mbpo.losses import actor_loss, critic_loss, squashed_gaussian, td_target
from gradgym.agents.mbpo.replay import Batch
from gradgym.agents.mbpo.sac_policy import BatchedCritic, BatchedSACPolicy, gaussian
from gradgym.agents.mbpo.update_by_hand import UpdateByHand, actor_order, can_update

ROWS, N_OBS, N_ACT = 32, 5, 3
GAMMA, ENT_COEF = 0.9, torch.tensor(0.3, dtype=torch.float64)
ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.ELU)


class Case:
    """Networks in double precision, whose policy's deviations are partly at their bounds."""

    def __init__(self, activation: type[nn.Module], layer_norm: bool) -> None:
        torch.manual_seed(0)
        spaces = (gymnasium.spaces.Box(-1.0, 1.0, (n,)) for n in (N_OBS, N_ACT))
        settings: dict[str, Any] = {"activation_fn": activation, "net_arch": [16, 12], "n_critics": 3}
        policy = BatchedSACPolicy(*spaces, lr_schedule=lambda _: 0.0, layer_norm=layer_norm, **settings).double()
        assert isinstance(policy.critic_target, BatchedCritic) and isinstance(policy.critic, BatchedCritic)
        self.actor, self.critic, self.target = policy.actor, policy.critic, policy.critic_target
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
            self.actor.log_std.weight.mul_(8.0)  # pyright: ignore[reportAttributeAccessIssue]
        orders = actor_order(self.actor), list(self.critic.parameters())
        self.flat_actor, self.flat_critic = (FlatParameters(order, vector_of(order)) for order in orders)
        flat = self.flat_actor, self.flat_critic
        self.by_hand = UpdateByHand(self.actor, self.critic, self.target, *flat, ROWS)
        obs, next_obs = torch.randn(2, ROWS, N_OBS, dtype=torch.float64)
        actions = torch.rand(ROWS, N_ACT, dtype=torch.float64)
        rewards, dones = torch.randn(ROWS, dtype=torch.float64), (torch.arange(ROWS) % 4 == 0).double()
        self.batch = Batch(obs, actions, next_obs, rewards, dones)

    def act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = gaussian(self.actor, obs)
        return squashed_gaussian(mean, log_std, torch.randn_like(mean))


@pytest.fixture(params=product(ACTIVATIONS, (False, True)), ids=lambda p: f"{p[0].__name__}, norm {p[1]}")
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_the_critics_gradient(case: Case) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        loss = case.by_hand.differentiate_critic(case.batch, ENT_COEF, GAMMA)
    found = case.flat_critic.gradient.clone()
    torch.manual_seed(1)
    batch = case.batch
    with torch.no_grad():
        action, log_prob = case.act(batch.next_obs)
        value = case.target.values(batch.next_obs, action).amin(0) - ENT_COEF * log_prob
    expected = critic_loss(
        case.critic.values(batch.obs, batch.actions), td_target(batch.rewards, batch.dones, value, GAMMA)
    )
    case.flat_critic.differentiate(expected)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(found, case.flat_critic.gradient, rtol=1e-9, atol=1e-12)


def test_the_policys_gradient(case: Case) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        loss, log_prob = case.by_hand.differentiate_actor(case.batch.obs, ENT_COEF)
    found = case.flat_actor.gradient.clone()
    torch.manual_seed(1)
    action, expected_log_prob = case.act(case.batch.obs)
    expected = actor_loss(case.critic.values(case.batch.obs, action), expected_log_prob, ENT_COEF)
    case.flat_actor.differentiate(expected)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(log_prob, expected_log_prob.detach())
    torch.testing.assert_close(found, case.flat_actor.gradient, rtol=1e-9, atol=1e-12)
    _, log_std = gaussian(case.actor, case.batch.obs)
    assert 0 < (log_std == log_std.clamp(-19.9, 1.9)).sum() < log_std.numel()  # some at a bound


def test_parameters_are_parts_of_their_vector() -> None:
    parameters = [nn.Parameter(torch.arange(6.0).view(2, 3)), nn.Parameter(torch.full((2,), 7.0))]
    vector = vector_of(parameters)
    assert vector.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 7.0]
    parameters[1].data = torch.full((2,), 9.0)  # a newer value, which is kept
    flat = FlatParameters(parameters, vector)
    assert vector.tolist()[6:] == [9.0, 9.0]
    flat.differentiate((parameters[0] * torch.arange(6.0).view(2, 3)).sum() + 3.0 * parameters[1].sum())
    torch.optim.SGD([vector], lr=1.0).step()
    assert parameters[0].tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]] and parameters[1].tolist() == [6.0, 6.0]


@pytest.mark.parametrize(
    "settings",
    [{"activation_fn": nn.SiLU}, {"activation_fn": lambda: nn.ELU(0.5)}, {"net_arch": []}, {"net_arch": [8, 8]}],
    ids=["another activation", "another slope", "no hidden layer", "all known"],
)
def test_what_is_not_known_is_left_to_autograd(settings: dict[str, Any]) -> None:
    algorithm = MBPO("MlpPolicy", gymnasium.make("PointMass-v0"), model=False, seed=0, policy_kwargs=settings)
    assert can_update(algorithm.actor, algorithm.critic) == (settings.get("net_arch") == [8, 8])
    algorithm.learning_starts, algorithm.train_freq = 20, algorithm.train_freq._replace(frequency=20)  # pyright: ignore[reportAttributeAccessIssue]
    before = nn.utils.parameters_to_vector(algorithm.actor.parameters()).clone()
    algorithm.learn(40)
    assert not torch.equal(nn.utils.parameters_to_vector(algorithm.actor.parameters()), before)

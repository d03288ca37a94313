"""Gradients of SAC's losses by hand: those of autograd to rounding, in half of its time."""

import torch
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, Actor
from torch import Tensor, nn

from .flat_parameters import FlatParameters
from .losses import actor_loss, critic_loss, squashed_gaussian, td_target
from .mlp_passes import Layer, MlpPasses, has_passes
from .replay import Batch
from .sac_policy import BatchedCritic


class UpdateByHand:
    """Sets the gradients of the critics and of the policy, for batches of B transitions.

    Args:
        actor: of which `can_update` is true.
        critic, critic_target: of C networks.
        actor_parameters: those of `actor`, in the order of `actor_order`.
        critic_parameters: those of `critic`, in their order.
        batch_size: B.
    """

    def __init__(
        self,
        actor: Actor,
        critic: BatchedCritic,
        critic_target: BatchedCritic,
        actor_parameters: FlatParameters,
        critic_parameters: FlatParameters,
        batch_size: int,
    ) -> None:
        layers = _actor_layers(actor, actor_parameters.vector.data, actor_parameters.gradient)
        self.actor = MlpPasses(layers, _activation(actor), False, batch_size)
        parts = [critic_parameters.parts(x) for x in (critic_parameters.vector.data, critic_parameters.gradient)]
        self.critic = _critic_passes(critic, _halves(*parts), batch_size)
        self.target = _critic_passes(critic_target, _halves([p.data for p in critic_target.parameters()]), batch_size)

    def differentiate_critic(self, batch: Batch, ent_coef: Tensor, gamma: float) -> Tensor:
        """Sets the critics' gradient; their loss."""
        mean, log_std = self._gaussian(batch.next_obs)
        action, log_prob = squashed_gaussian(mean, log_std, torch.randn_like(mean))
        next_q = self.target.forward(torch.cat([batch.next_obs, action], 1)).squeeze(-1).amin(0)
        target = td_target(batch.rewards, batch.dones, next_q - ent_coef * log_prob, gamma)
        q = self.critic.forward(torch.cat([batch.obs, batch.actions], 1)).squeeze(-1)
        self.critic.backward(((q - target) / len(target)).unsqueeze(-1))
        return critic_loss(q, target)

    def differentiate_actor(self, obs: Tensor, ent_coef: Tensor) -> tuple[Tensor, Tensor]:
        """Sets the policy's gradient at observations (B, n_obs); its loss, and the actions' log-densities (B,)."""
        mean, log_std = self._gaussian(obs)
        noise = torch.randn_like(mean)
        action, log_prob = squashed_gaussian(mean, log_std, noise)
        q = self.critic.forward(torch.cat([obs, action], 1)).squeeze(-1)
        least = (q == q.amin(0)).to(q)  # equal ones share the slope, as autograd has it
        by_q = (least / (-len(obs) * least.sum(0))).unsqueeze(-1)
        by_critics_input = self.critic.backward(by_q, to_weights=False, to_input=True)
        assert by_critics_input is not None
        by_action = by_critics_input[:, :, obs.shape[1] :].sum(0)
        by_log_prob = ent_coef / len(obs)
        # d log pi / d raw = 2 tanh(raw) = 2 action, at fixed noise.
        by_raw = by_action * (1.0 - action.square()) + 2.0 * by_log_prob * action
        by_log_std = by_raw * log_std.exp() * noise - by_log_prob
        by_log_std *= (self._raw_log_std >= LOG_STD_MIN) & (self._raw_log_std <= LOG_STD_MAX)
        self.actor.backward(torch.cat([by_raw, by_log_std], 1).unsqueeze(0))
        return actor_loss(q, log_prob, ent_coef), log_prob

    def _gaussian(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """As `sac_policy.gaussian`."""
        mean, self._raw_log_std = self.actor.forward(obs)[0].chunk(2, -1)
        return mean, self._raw_log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)


def can_update(actor: Actor, critic: BatchedCritic) -> bool:
    """Whether `UpdateByHand` knows all parts: flat observations, a Gaussian in each state, activations."""
    flat = type(actor.features_extractor) is FlattenExtractor and not actor.use_sde
    layers = list(actor.latent_pi)
    plain = len(layers) > 0 and all(isinstance(one, nn.Linear) for one in layers[::2])
    return flat and plain and has_passes(_activation(actor)) and has_passes(critic.q_networks.activation)


def actor_order(actor: Actor) -> list[nn.Parameter]:
    """The policy's parameters, heads last and side by side, so that mean and deviation are one layer."""
    heads = [actor.mu.weight, actor.log_std.weight, actor.mu.bias, actor.log_std.bias]  # pyright: ignore[reportAttributeAccessIssue]
    known = {id(parameter) for parameter in heads}
    return [parameter for parameter in actor.parameters() if id(parameter) not in known] + heads  # pyright: ignore[reportReturnType]


def _activation(actor: Actor) -> nn.Module:
    return actor.latent_pi[1]  # pyright: ignore[reportReturnType]


def _actor_layers(actor: Actor, values: Tensor, gradients: Tensor) -> list[Layer]:
    """The layers in the policy's vector and its gradient, which are in `actor_order`."""
    linear = [one for one in actor.latent_pi if isinstance(one, nn.Linear)]
    shapes = [(one.out_features, one.in_features) for one in linear]
    shapes.append((2 * len(actor_order(actor)[-1]), linear[-1].out_features))
    layers, start = [], 0
    for n_out, n_in in shapes:
        middle, end = start + n_out * n_in, start + n_out * (n_in + 1)
        weights = [x[start:middle].view(1, n_out, n_in).transpose(1, 2) for x in (values, gradients)]
        biases = [x[middle:end].view(1, 1, n_out) for x in (values, gradients)]
        layers.append(Layer(weights[0], biases[0], weights[1], biases[1]))
        start = end
    return layers


def _halves(*parts: list[Tensor]) -> list[Layer]:
    """Layers of parts that are in the order of a critic's parameters: weights, then biases."""
    count = len(parts[0]) // 2
    return [Layer(*(x[i] for one in parts for x in (one[:count], one[count:]))) for i in range(count)]


def _critic_passes(critic: BatchedCritic, layers: list[Layer], batch_size: int) -> MlpPasses:
    return MlpPasses(layers, critic.q_networks.activation, critic.q_networks.layer_norm, batch_size)

"""Ensemble of probabilistic networks, the learned model of MBPO.

After Janner et al. 2019 ("When to Trust Your Model") and Chua et al. 2018: each member predicts a
Gaussian over the change of the observation (and the reward, where the task does not give it). All
members train in one batched operation. M is the number of members, B the batch dimension.
"""

import torch
from torch import Tensor, nn

from .batched_mlp import BatchedMlp

_WEIGHT_DECAY = 5e-5
_BOUND_PENALTY = 0.01


class Normaliser(nn.Module):
    """Affine map to zero mean and unit deviation.

    Constant columns are only centred, and `inverse` gives them their constant whatever the network
    says: noise in, say, the time that passes would be learned away slowly, and mislead a critic.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def fit(self, x: Tensor) -> None:
        """Takes the statistics of x (B, size)."""
        self.mean.copy_(x.mean(0))
        std = x.std(0, correction=0)
        self.std.copy_(torch.where(std > 1e-6, std, torch.zeros_like(std)))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / torch.where(self.std > 0.0, self.std, torch.ones_like(self.std))

    def inverse(self, x: Tensor) -> Tensor:
        return x * self.std + self.mean


class ProbabilisticEnsemble(nn.Module):
    """M networks from (obs, action) to the Gaussian of (change of obs[, reward]).

    Args:
        n_obs: size of the observation.
        n_act: size of the action.
        learns_reward: whether the reward is a further output.
        members: M.
        elites: how many members, those with the least holdout error, predict.
        net_arch: hidden layers.
        learning_rate: Adam's.
        device: torch's; what `predict` and `fit` are given is there too.
    """

    def __init__(
        self,
        n_obs: int,
        n_act: int,
        learns_reward: bool,
        members: int = 7,
        elites: int = 5,
        net_arch: tuple[int, ...] = (200, 200, 200, 200),
        learning_rate: float = 1e-3,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        if not 1 <= elites <= members:
            raise ValueError(f"elites={elites}: must be from 1 to members={members}")
        self.n_obs, self.learns_reward, self.members = n_obs, learns_reward, members
        outputs = n_obs + learns_reward
        self.network = BatchedMlp(members, [n_obs + n_act, *net_arch, 2 * outputs], nn.SiLU())
        self.inputs, self.targets = Normaliser(n_obs + n_act), Normaliser(outputs)
        self.max_log_var = nn.Parameter(torch.full((outputs,), 0.5))
        self.min_log_var = nn.Parameter(torch.full((outputs,), -10.0))
        self.elites: Tensor
        self.register_buffer("elites", torch.arange(elites))
        self.to(device)
        self.optimizer = torch.optim.Adam(
            [
                {"params": [*self.network.weights], "weight_decay": _WEIGHT_DECAY},
                {"params": [*self.network.biases, self.max_log_var, self.min_log_var]},
            ],
            lr=learning_rate,
            fused=True,
        )

    def gaussians(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances (M, B, outputs), normalised, of normalised inputs (B or M x B, n_obs + n_act)."""
        mean, log_var = self.network(inputs).chunk(2, dim=-1)
        return mean, soft_bound(log_var, self.min_log_var, self.max_log_var)

    @torch.no_grad()
    def predict(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor | None]:
        """Next observations (B, n_obs) and rewards (B,), each drawn from a random elite's Gaussian."""
        mean, log_var = self.gaussians(self.inputs(torch.cat([obs, action], 1)))
        member = self.elites[torch.randint(len(self.elites), (len(obs),), device=obs.device)]
        rows = torch.arange(len(obs), device=obs.device)
        mean, std = mean[member, rows], (0.5 * log_var[member, rows]).exp()
        outputs = self.targets.inverse(mean + std * torch.randn_like(mean))
        return obs + outputs[:, : self.n_obs], outputs[:, self.n_obs] if self.learns_reward else None

    def fit(
        self,
        obs: Tensor,
        action: Tensor,
        next_obs: Tensor,
        reward: Tensor,
        batch_size: int = 256,
        patience: int = 5,
        max_epochs: int = 50,
    ) -> dict[str, float]:
        """Trains all members until the holdout error of none of them improves by 1 % for `patience` epochs.

        Args:
            obs: (N, n_obs), N >= 2.
            action: (N, n_act); as for `obs`, inputs are normalised, so units do not matter.
            next_obs: (N, n_obs).
            reward: (N,).
            batch_size: of each member.
            patience: epochs without improvement before the end.
            max_epochs: the end at the latest.

        Returns:
            "model_error", the elites' mean squared holdout error in normalised units; "model_loss",
            the last epoch's likelihood loss; "model_epochs".
        """
        outputs = next_obs - obs
        if self.learns_reward:
            outputs = torch.cat([outputs, reward[:, None]], 1)
        inputs = torch.cat([obs, action], 1)
        shuffled = torch.randperm(len(obs), device=obs.device)
        held = max(1, min(len(obs) // 5, 5000))
        train, holdout = shuffled[held:], shuffled[:held]
        self.inputs.fit(inputs[train])
        self.targets.fit(outputs[train])
        x, y = self.inputs(inputs), self.targets(outputs)
        return self._descend((x[train], y[train]), (x[holdout], y[holdout]), batch_size, patience, max_epochs)

    def _descend(
        self,
        train: tuple[Tensor, Tensor],
        holdout: tuple[Tensor, Tensor],
        batch_size: int,
        patience: int,
        max_epochs: int,
    ) -> dict[str, float]:
        best = self._holdout_errors(*holdout)
        kept = self._weights()
        device = train[0].device
        loss, waited, epoch = torch.zeros((), device=device), 0, 0
        while epoch < max_epochs and waited < patience:
            # Each member sees the data in its own order, which with its own initial weights keeps members apart.
            order = torch.stack([torch.randperm(len(train[0]), device=device) for _ in range(self.members)])
            for rows in order.split(batch_size, dim=1):
                loss = self._update(train[0][rows], train[1][rows])
            errors = self._holdout_errors(*holdout)
            better = errors < 0.99 * best
            best = torch.where(better, errors, best)
            for old, new in zip(kept, self._weights(), strict=True):
                old[better] = new[better]
            waited = 0 if better.any() else waited + 1
            epoch += 1
        with torch.no_grad():
            for parameter, old in zip(self._stacked(), kept, strict=True):
                parameter.copy_(old)
        self.elites.copy_(best.argsort()[: len(self.elites)])
        error = best[self.elites].mean().item()
        return {"model_error": error, "model_loss": loss.item() / self.members, "model_epochs": float(epoch)}

    def _update(self, x: Tensor, y: Tensor) -> Tensor:
        mean, log_var = self.gaussians(x)
        bounds = _BOUND_PENALTY * (self.max_log_var.sum() - self.min_log_var.sum())
        loss = gaussian_nll(mean, log_var, y).sum() + bounds
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def _holdout_errors(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean squared error of each member, (M,)."""
        return (self.gaussians(x)[0] - y).square().flatten(1).mean(1)

    def _stacked(self) -> list[nn.Parameter]:
        """Parameters with a leading member axis."""
        return [*self.network.weights, *self.network.biases]

    def _weights(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self._stacked()]


def gaussian_nll(mean: Tensor, log_var: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood without its constant, averaged over all but the first (member) axis, (M,)."""
    loss = (mean - target).square() * torch.exp(-log_var) + log_var
    return loss.flatten(1).mean(1)


def soft_bound(x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Bounds x smoothly from above, then from below (Chua et al. 2018, appendix A.1)."""
    x = upper - torch.nn.functional.softplus(upper - x)
    return lower + torch.nn.functional.softplus(x - lower)

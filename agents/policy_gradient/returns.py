"""Returns and targets of short rollouts, as pure functions. T steps, N environments: arrays (T, N)."""

import torch
from torch import Tensor


def discounted_sum(reward: Tensor, terminated: Tensor, truncated: Tensor, next_value: Tensor, gamma: float) -> Tensor:
    """Discounted rewards of each rollout with the value of what follows it, (N,); differentiable.

    Xu et al. 2022, equation 5: an episode that ends inside begins a new sum with discount 1. Where it
    was cut by time its last step also counts `next_value` (T, N), the value of the state that the step
    led to; so does the last step of the rollout, unless the task ended there. Other entries of
    `next_value` are not used.
    """
    total, discount = torch.zeros_like(reward[0]), torch.ones_like(reward[0])
    last = len(reward) - 1
    for t in range(last + 1):
        total = total + discount * reward[t]
        discount = gamma * discount
        continued = truncated[t] if t < last else ~terminated[t]
        if continued.any():
            total = total + torch.where(continued, discount * next_value[t], 0.0)
        discount = torch.where(terminated[t] | truncated[t], 1.0, discount)
    return total


def td_lambda(
    reward: Tensor, terminated: Tensor, truncated: Tensor, next_value: Tensor, gamma: float, lam: float
) -> Tensor:
    """TD(lambda) targets (T, N) of the values of the states before each step (Xu et al. 2022, equation 8).

    Written backwards: G_t = r_t + gamma ((1 - lambda) V_{t+1} + lambda G_{t+1}); after the task's end
    nothing, after an episode cut by time, or after the last step, V_{t+1} alone. `next_value` (T, N) is
    V_{t+1} of the state that the step led to, not of a new episode's start.
    """
    target = torch.empty_like(reward)
    following = next_value[-1]
    for t in range(len(reward) - 1, -1, -1):
        mixed = torch.where(truncated[t], next_value[t], (1.0 - lam) * next_value[t] + lam * following)
        following = reward[t] + gamma * torch.where(terminated[t], 0.0, mixed)
        target[t] = following
    return target

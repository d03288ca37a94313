"""dQ/da of stored transitions from the simulator's exact gradients.

Qiao et al. 2021, equation 13, expand Q one step: dQ/da = dr/da + gamma dV/ds' ds'/da. `one_step`
is that equation. `whole_episode` applies it again at s', and so on to the episode's end, where
nothing is left to a critic; the gradients are those of the stored trajectory. This is value-gradient
learning with lambda = 1 (Fairbank and Alonso 2012), the critic serving only where time ran out.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


def one_step(dreward_daction: Tensor, dobs_daction: Tensor, dvalue_dobs: Tensor, discount: Tensor) -> Tensor:
    """Equation 13 for a batch: (B, n_act).

    Args:
        dreward_daction: (B, n_act).
        dobs_daction: (B, n_obs, n_act), the next observation's.
        dvalue_dobs: (B, n_obs), gradient of Q(s', mu(s')) by s', through the policy too.
        discount: (B,), gamma, or 0 where the transition ended the task.
    """
    through_next = torch.bmm(dvalue_dobs[:, None], dobs_daction)[:, 0]
    return dreward_daction + discount[:, None] * through_next


class Trajectory(NamedTuple):
    """One episode of T steps with the environment's full gradients; actions in [-1, 1]."""

    obs: Floats  # (T, n_obs), where the actions were taken
    actions: Floats  # (T, n_act)
    dobs_daction: Floats  # (T, n_obs, n_act)
    dobs_dstate: Floats  # (T, n_obs, nx)
    dreward_daction: Floats  # (T, n_act)
    dreward_dstate: Floats  # (T, nx)
    dstate_daction: Floats  # (T, nx, n_act)
    dstate_dstate: Floats  # (T, nx, nx)


def whole_episode(
    trajectory: Trajectory, daction_dobs: Floats, gamma: float, final_dvalue_dobs: Floats, limit: float = 1e3
) -> Floats:
    """Gradient of the return-to-go by each action, (T, n_act), with the policy reacting to what follows.

    The return-to-go depends on the next state twice: directly, with gradient `by_state`, and through
    what the policy sees of it, with gradient `by_obs`. Both go one step back at a time.

    Args:
        trajectory: the episode.
        daction_dobs: (T, n_act, n_obs), the policy's derivative at `trajectory.obs`.
        gamma: discount.
        final_dvalue_dobs: (n_obs,), the value's gradient after the last step; zero if the task ends there.
        limit: greatest norm of `by_state`. Swinging chains are chaotic: gradients grow without bound.
    """
    by_action = np.empty_like(trajectory.dreward_daction)
    by_state = np.zeros(trajectory.dstate_dstate.shape[-1])
    by_obs = final_dvalue_dobs
    for t in reversed(range(len(by_action))):
        by_action[t] = trajectory.dreward_daction[t] + gamma * (
            by_state @ trajectory.dstate_daction[t] + by_obs @ trajectory.dobs_daction[t]
        )
        by_state = trajectory.dreward_dstate[t] + gamma * (
            by_state @ trajectory.dstate_dstate[t] + by_obs @ trajectory.dobs_dstate[t]
        )
        by_obs = by_action[t] @ daction_dobs[t]
        shrink = min(1.0, limit / max(float(np.linalg.norm(by_state)), 1e-300))
        by_state, by_obs = shrink * by_state, shrink * by_obs
    return by_action


def balance(by_action: Floats) -> Floats:
    """Rows g (T, n_act) to g / (|g| + mean |g|): directions kept, lengths below one.

    Gradients of one episode differ by orders of magnitude between its steps; unbalanced, the
    longest few would decide every update of the policy.
    """
    norms = np.linalg.norm(by_action, axis=1, keepdims=True)
    return by_action / (norms + norms.mean() + 1e-12)

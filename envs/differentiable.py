"""Environments as a torch graph: what trainers by gradient step instead of `TaskVectorEnv.step`.

The simulator is one node a step, `sim.torch_bridge.step`, which keeps states and controls and
computes all else again on the way back: H steps of N environments cost O(H N (nq + nv + na + nu))
in memory beside the tensors of the policy and of the task's own functions.

N is the number of environments. Numbers of the simulation are float64.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .advance import finite_rows
from .vector import TaskVectorEnv


class TensorStep(NamedTuple):
    """One step of N environments; gradients run through `obs`, `next_obs` and `reward`."""

    obs: Tensor  # (N, n_obs), where an episode ended that of the next one's start
    reward: Tensor  # (N,); 0 where the simulation diverged
    terminated: Tensor  # (N,) bool; also where it diverged
    truncated: Tensor  # (N,) bool; not where terminated
    diverged: Tensor  # (N,) bool
    unconverged: Tensor  # (N,) int32, simulation steps of this one that did not converge (`sim.UnconvergedWarning`)
    next_obs: Tensor  # (N, n_obs) of the state that the action led to; where it diverged, of the state before


@dataclass
class AdjointRecord:
    """What backward passes met, since the record was made.

    A row is the adjoint of one environment's state, or of its action, at one step.
    """

    rows: int = 0
    dropped: int = 0  # not finite, so set to zero
    limited: int = 0  # longer than the limit, so cut to it


class DifferentiableEnvs:
    """Steps the environments of a `TaskVectorEnv` within torch's graph; episodes that end restart at once.

    The states are those of `envs`, which is reset as usual. A graph begins at `detach`, and no gradient
    crosses the start of an episode. Where the simulation diverges, the episode ends and nothing that is
    not finite comes out, nor goes back: rows of adjoints that are not finite become zero and are counted
    in `record`.

    Args:
        envs: whose task, states, seeds and time limit count.
        adjoint_limit: greatest norm of the adjoint of an environment's state (coordinates in their
            units); what exceeds it is cut to it. Through chaotic motion adjoints grow without bound.
    """

    def __init__(self, envs: TaskVectorEnv, adjoint_limit: float = torch.inf) -> None:
        if not isinstance(envs, TaskVectorEnv):
            raise TypeError(f"envs={envs!r}: no TaskVectorEnv; of a wrapped one pass envs.unwrapped")
        if envs.task.backend_name != "sim":
            raise ValueError(f"backend={envs.task.backend_name!r} has no torch graph: make the environment with 'sim'")
        if adjoint_limit <= 0.0:
            raise ValueError(f"adjoint_limit={adjoint_limit}: must be positive")
        self.envs, self.adjoint_limit = envs, adjoint_limit
        self.record = AdjointRecord()

    def detach(self) -> Tensor:
        """Cuts the graph: later gradients end at the present states. Their observations (N, n_obs)."""
        self.envs.state = self.envs.state.map(Tensor.detach)
        return self.envs.task.observation(self.envs.state)

    def step(self, action: Tensor) -> TensorStep:
        """Applies actions (N, n_act) in the action space's units; they are clipped to it by the task."""
        task, state = self.envs.task, self.envs.state
        (action,) = _Guard.apply(self.record, torch.inf, action.double())
        after = task.transition(state, action)
        unconverged = torch.zeros_like(after.time) if after.unconverged is None else after.unconverged
        qpos, qvel, act = _Guard.apply(self.record, self.adjoint_limit, after.qpos, after.qvel, after.act)
        after = replace(after, qpos=qpos, qvel=qvel, act=act, known_kinematics=None, known_forces=None)
        finite = finite_rows(after)
        if not finite.all():
            after = after.where(finite, state.map(Tensor.detach))
        next_obs, reward = task.observation(after), torch.where(finite, task.reward(state, action, after), 0.0)
        with torch.no_grad():
            terminated = task.terminal(after) | ~finite
            truncated = self.envs.truncated(after) & ~terminated
            ended = terminated | truncated
        obs = next_obs
        if ended.any():
            after = after.where(~ended, self.envs.restarts(ended))
            obs = task.observation(after)
        self.envs.state = after
        return TensorStep(obs, reward, terminated, truncated, ~finite, unconverged, next_obs)


class _Guard(torch.autograd.Function):
    """The identity of tensors (N, ...); on the way back drops rows that are not finite and cuts long ones."""

    @staticmethod
    def forward(ctx: Any, record: AdjointRecord, limit: float, *tensors: Tensor) -> Any:
        ctx.record, ctx.limit = record, limit
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        record: AdjointRecord = ctx.record
        joined = torch.cat(gradients, dim=-1)
        norm = joined.norm(dim=-1)
        finite = norm.isfinite()
        record.rows += len(norm)
        if not finite.all():
            record.dropped += int((~finite).sum())
            gradients = tuple(torch.where(finite[:, None], g, 0.0) for g in gradients)
        if ctx.limit < torch.inf:
            long = finite & (norm > ctx.limit)
            if long.any():
                record.limited += int(long.sum())
                scale = torch.where(long, ctx.limit / norm, 1.0)[:, None]
                gradients = tuple(scale * g for g in gradients)
        return None, None, *gradients

"""Task goals and physical consistency through real contact, where the simulator's exact gradients lead.

Ruppel, Hendrich and Zhang, "Learning Dexterous Manipulation with Differentiable Physical Consistency", relax contact,
because the gradient of a hand that touches nothing is zero, and make it consistent by a penalty on the gap between
the points that a force joins (equation 1). Here contact is the simulator's own, so that motion is consistent at all
times; what is left of equation 1 is the gap, of the fingertips from the points where they are to touch. It leads
the hand to the object, and from the first touch on the object moves by exact gradients of hard contact.
"""

from typing import Any

import torch
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from ...envs.tasks.manipulation import Manipulation
from ..policy_gradient.bptt import BPTT
from ..policy_gradient.short_horizon_policy import ShortHorizonPolicy
from ..training.native_vec_env import native

# Through a second of contact adjoints differ by orders of magnitude from world to world; cut to this norm, times
# the number of worlds and steps, about half of them are, and no world outweighs the others.
_ADJOINT = 200.0


class Consistency(BPTT):
    """`BPTT` for manipulation: short windows through contact, and each world's gradient cut to the same length.

    What is minimised are the errors of the object's pose and the gaps between fingertips and where they are to
    touch: the terms of the task's reward, `envs.tasks.manipulation.Manipulation`.

    Args:
        policy: "MlpPolicy", or a subclass of `ShortHorizonPolicy`.
        env: an id, an `Env` or a `VectorEnv` of gradgym's, of a manipulation task.
        learning_rate, n_envs, horizon, kwargs: as of `BPTT`.
    """

    def __init__(
        self,
        policy: str | type[ShortHorizonPolicy],
        env: Any,
        learning_rate: float | Schedule = 2e-3,
        n_envs: int = 16,
        horizon: int = 20,
        policy_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # Contact is smooth enough as it is, and noise at the fingertips drops what they hold.
        network: dict[str, Any] = {
            "net_arch": [64, 64],
            "activation_fn": nn.Tanh,
            "log_std_init": -5.0,
            "log_std_min": -5.0,
        }
        if env is not None:
            envs = native(env, n_envs)
            task = envs.envs.task
            if not isinstance(task, Manipulation):
                raise TypeError(
                    f"{type(task).__name__} is no manipulation task: choose CubeReorient, ShadowHandGrasp, ..."
                )
            env, n_envs = envs, envs.num_envs
        kwargs.setdefault("adjoint_limit", _ADJOINT / (n_envs * horizon))
        kwargs["policy_kwargs"] = network | (policy_kwargs or {})
        super().__init__(policy, env, learning_rate, n_envs, horizon, **kwargs)

    def _write_logs(self) -> None:
        assert self.env is not None
        state, task = self.env.envs.state, self.env.envs.task
        assert isinstance(task, Manipulation)
        with torch.no_grad():
            gaps, shares = task.gaps(state)
            info = task.state_info(state)
            self.logger.record("train/gap", float((gaps.norm(dim=-1) * shares).sum(-1).mean()))
            for name in ("position_error", "orientation_error"):
                self.logger.record(f"train/{name}", float(info[name].mean()))
            self.logger.record("train/success", float(info["is_success"].double().mean()))
        super()._write_logs()

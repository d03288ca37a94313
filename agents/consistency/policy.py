"""`ConsistencyPolicy`: the network and its controller as a policy of Stable-Baselines3's."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from ...envs.task import load_task
from ...envs.tasks.manipulation import Manipulation
from .controller import Controller, Memory
from .relaxed import Relaxation, Relaxed
from .scene import Scene


class ConsistencyPolicy(BasePolicy):
    """Acts with memory: contact points, forces and commands are integrated over an episode.

    Args:
        observation_space, action_space, lr_schedule: as for every policy of SB3's.
        task: arguments of `envs.task.load_task`, of a task whose class is a `Manipulation`.
        relaxation: settings of `Relaxation` that differ from its defaults.
        hidden: widths of the network's hidden layers.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        task: Mapping[str, Any],
        relaxation: Mapping[str, Any] | None = None,
        hidden: tuple[int, ...] = (32, 32),
    ) -> None:
        super().__init__(observation_space, action_space)
        self.task_arguments, self.relaxation, self.hidden = dict(task), dict(relaxation or {}), tuple(hidden)
        arguments = {"backend": "sim", **self.task_arguments}
        made = load_task(arguments.pop("task"), **arguments)
        if not isinstance(made, Manipulation):
            raise TypeError(f"{type(made).__name__} is no manipulation task: choose CubeReorient, ShadowHandGrasp, ...")
        self.relaxed = Relaxed(Scene(made), Relaxation(**self.relaxation), self.hidden)
        self.controller = Controller(self.relaxed)
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        self.parameter_vector = nn.Parameter(self.relaxed.network.initial(generator), requires_grad=False)

    def layers(self) -> list[Tensor]:
        """Weights and biases."""
        return self.relaxed.network.unpack(self.parameter_vector.data)

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Actions for observations (n_obs,) or (B, n_obs), and the memory to pass with the next ones.

        Without `state`, and where `episode_start` (B,) is true, an episode begins.
        """
        obs = torch.from_numpy(np.atleast_2d(np.asarray(observation, np.float32)))
        memory = self.controller.begin(obs) if state is None else Memory(*map(torch.from_numpy, state))
        if state is not None and episode_start is not None and np.any(episode_start):
            fresh = torch.from_numpy(np.asarray(episode_start, bool))
            begun = self.controller.begin(obs)
            memory = Memory(
                torch.where(fresh[:, None], begun.x, memory.x),
                torch.where(fresh[:, None, None], begun.turn, memory.turn),
            )
        action, memory, _ = self.controller.act(self.layers(), memory, obs)
        array = action.numpy()
        return array if np.ndim(observation) > 1 else array[0], tuple(x.numpy() for x in memory)

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        """The first action of episodes."""
        return self.controller.act(self.layers(), self.controller.begin(observation), observation)[0]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": lambda _: 0.0,
            "task": self.task_arguments,
            "relaxation": self.relaxation,
            "hidden": self.hidden,
        }

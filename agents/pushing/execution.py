"""The tasks of a data set in the simulator: what actions do there, and what an architecture's actions cost."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...envs.pushing_loss import trajectory_loss
from ...envs.pushing_video import strip
from .architectures import Actions, Architecture
from .dataset import Dataset
from .simulation import Gradient, PushingSimulator, rollout_each


class Outcome(NamedTuple):
    """Of B tasks."""

    poses: Tensor  # (B, T, 3) of the object at the knots [m, m, rad]
    fingers: Tensor  # (B, T, N, 2) [m]
    losses: Tensor  # (B,) object-trajectory losses [cm^2]


class Execution:
    """Simulators of a data set's objects.

    Args:
        data: the tasks, B of them.
        contact_softness: distance at which contacts begin to push [m].
        backend: "mujoco" simulates with MuJoCo, without gradients.
        gradient: see `PushingSimulator`.
    """

    def __init__(
        self,
        data: Dataset,
        contact_softness: float = 0.0,
        backend: Literal["sim", "mujoco"] = "sim",
        gradient: Gradient = "adjoint",
    ) -> None:
        self.data, self.r = data, data.batch.parameters.r
        self.simulators = [
            PushingSimulator(
                task.polygon,
                num_fingers=task.plan.p.shape[1],
                stiffness=task.stiffness,
                contact_softness=contact_softness,
                backend=backend,
                gradient=gradient,
            )
            for task in data.tasks
        ]

    def simulate(self, actions: Actions, which: Tensor) -> Tensor:
        """Poses (b, T, 3) of the objects of tasks `which` (b,), differentiable by the actions."""
        simulators = [self.simulators[i] for i in which.tolist()]
        return rollout_each(simulators, actions.commands, self.r[which], actions.contacts)

    def losses(self, actions: Actions, which: Tensor) -> Tensor:
        """Object-trajectory losses (b,) of tasks `which` (b,) [cm^2], differentiable."""
        return trajectory_loss(self.simulate(actions, which), self.r[which])

    @torch.no_grad()
    def outcome(self, actions: Actions) -> Outcome:
        """What actions do in all tasks."""
        rows = [slice(i, i + 1) for i in range(len(self.simulators))]
        motions = [
            simulator.motion(actions.commands[row], self.r[row], actions.contacts[row])
            for simulator, row in zip(self.simulators, rows, strict=True)
        ]
        poses = torch.cat([motion.poses for motion in motions])
        return Outcome(poses, torch.cat([motion.fingers for motion in motions]), trajectory_loss(poses, self.r))

    @torch.no_grad()
    def act(self, architecture: Architecture) -> Actions:
        """An architecture's actions for all tasks' videos."""
        architecture.eval()
        return architecture.act(self.data.batch.video)

    def loss(self, architecture: Architecture) -> float:
        """Mean object-trajectory loss of an architecture [cm^2]."""
        return float(self.outcome(self.act(architecture)).losses.mean())

    def strips(self, actions: Actions, tasks: int = 4, size: int = 120) -> NDArray[np.uint8]:
        """Of the first tasks what was desired (outlines) and what happened, a row each, (H, W, 3); Figure 7."""
        found = self.outcome(actions)
        rows = [
            strip(task.polygon, found.poses[i].numpy(), task.plan.r, found.fingers[i].numpy(), size)
            for i, task in enumerate(self.data.tasks[:tasks])
        ]
        return np.concatenate(rows)

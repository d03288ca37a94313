"""One task of a data set, and how it is drawn: a motion that fingers are known to bring about in the simulator."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...envs.polygon import Polygon, placed
from ...envs.pushing_loss import trajectory_loss
from ...envs.pushing_scene import WORKSPACE
from .oracle import ContactPlan, plan_contacts
from .shapes import random_polygon, random_smooth
from .simulation import PushingSimulator
from .trajectories import random_trajectory

KEPT_BELOW = 0.5  # object-trajectory loss of a plan in the simulator [cm^2]
_TRIES = 100
_AWAY = 10.0  # where fingers are absent [m]

Floats = NDArray[np.float64]


class Shapes(Protocol):
    """Where objects come from; its text tells it from others."""

    def draw(self, rng: np.random.Generator) -> Polygon: ...


@dataclass(frozen=True)
class RandomPolygons:
    """Of so many facets, both ends included."""

    fewest: int
    most: int

    def draw(self, rng: np.random.Generator) -> Polygon:
        return random_polygon(int(rng.integers(self.fewest, self.most + 1)), rng)


@dataclass(frozen=True)
class SmoothShapes:
    """Superellipses and splines."""

    def draw(self, rng: np.random.Generator) -> Polygon:
        return random_smooth(rng)


@dataclass(frozen=True)
class OwnPolygons:
    """From files of vertices, see `Polygon.load`."""

    files: tuple[str, ...]

    def draw(self, rng: np.random.Generator) -> Polygon:
        return Polygon.load(Path(self.files[rng.integers(len(self.files))]))


class Losses(NamedTuple):
    """Object-trajectory losses [cm^2] of the plan, in our simulator and in MuJoCo, and of doing nothing."""

    plan: float
    plan_in_mujoco: float
    held: float  # fingers touch where the plan has them at first, and stay there
    absent: float  # there are no fingers


class Rejected(NamedTuple):
    """Numbers of draws."""

    out_of_reach: int  # the object leaves the workspace
    infeasible: int  # no contacts and forces bring the motion about
    failed: int  # its loss in either simulator is above KEPT_BELOW


@dataclass(frozen=True)
class PushingTask:
    """A motion of an object, and contacts and forces that bring it about.

    Attributes:
        polygon: the object, of 1 kg.
        plan: the oracle's; its `r` is the desired motion.
        stiffness: of the servos that it was simulated with [N/m].
        losses: object-trajectory losses [cm^2].
        rejected: how many draws were not kept before it.
    """

    polygon: Polygon
    plan: ContactPlan
    stiffness: float
    losses: Losses
    rejected: Rejected

    @property
    def commands(self) -> Floats:
        """(T, N, 2) of servos that push with the plan's forces at its points [m]."""
        return self.plan.p + self.plan.lam / self.stiffness


def draw_task(
    shapes: Shapes, rng: np.random.Generator, num_fingers: int = 2, knots: int = 5, stiffness: float = 500.0
) -> tuple[PushingTask, float]:
    """The first of random objects and motions that fits the workspace, has a plan, and follows it in the simulator.

    Returns:
        The task, and the oracle's seconds of CPU time for its plan.

    Raises:
        ValueError: none of 100 draws is kept.
    """
    rejected = dict.fromkeys(Rejected._fields, 0)
    for _ in range(_TRIES):
        polygon = shapes.draw(rng)
        r = random_trajectory(polygon, rng, knots)
        corners = placed(polygon.vertices, r)
        if (corners < WORKSPACE[:, 0] - 1e-9).any() or (corners > WORKSPACE[:, 1]).any():
            rejected["out_of_reach"] += 1
            continue
        start = time.process_time()
        plan = plan_contacts(polygon, r, num_fingers)
        seconds = time.process_time() - start
        if plan is None:
            rejected["infeasible"] += 1
            continue
        loss = _losses(polygon, plan, stiffness)
        if not max(loss.plan, loss.plan_in_mujoco) <= KEPT_BELOW:
            rejected["failed"] += 1
            continue
        return PushingTask(polygon, plan, stiffness, loss, Rejected(**rejected)), seconds
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in rejected.items() if count)
    raise ValueError(f"{shapes}: none of {_TRIES} draws was kept ({reasons}): take other objects, or more fingers")


def _losses(polygon: Polygon, plan: ContactPlan, stiffness: float) -> Losses:
    fingers = plan.p.shape[1]
    p, r = torch.from_numpy(plan.p)[None], torch.from_numpy(plan.r)[None]
    commands = p + torch.from_numpy(plan.lam)[None] / stiffness
    own = PushingSimulator(polygon, num_fingers=fingers, stiffness=stiffness)
    theirs = PushingSimulator(polygon, num_fingers=fingers, stiffness=stiffness, backend="mujoco")

    def loss(poses: Tensor) -> float:
        return float(trajectory_loss(poses, r))

    away = torch.full((1, len(plan.r), fingers, 2), _AWAY, dtype=torch.float64)
    away += torch.arange(fingers)[:, None]
    with torch.no_grad():
        return Losses(
            loss(own.rollout(commands, r, p)),
            loss(theirs.rollout(commands, r, p)),
            loss(own.rollout(p[:, :1].expand_as(p), r, p)),
            loss(own.simulate(away, away[:, 0], r)[..., :3]),
        )

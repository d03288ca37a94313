"""What a planner descends: the compound loss of Liu et al., IV.F, of a batch of grasps, and its settings."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from . import losses
from .hand import Hand, Links
from .link_depths import ObjectInHand, SelfCollision
from .object_mesh import ObjectMesh
from .q1 import q1_upper
from .q1_lower import q1_lower


@dataclass(frozen=True)
class PlanSettings:
    """Of `plan`; alpha to guide as in Table I of the paper, with its lengths in centimetres.

    `start` is where descents begin: "sampled" over the object's surface, or "trivial", on a sphere around it.
    """

    alpha: tuple[float, float] = (1.0, 6.0)  # [1/cm], at the beginning and at the end
    beta: float = 8.0
    friction: float = 0.7
    directions: int = 64
    quality: float = 10.0
    collision: tuple[float, float] = (200.0, 20_000.0)
    self_collision: tuple[float, float] = (200.0, 5_000.0)
    guide: float = 0.02
    start: Literal["sampled", "trivial"] = "sampled"
    starts: int = 192
    iterations: int = 120
    settle: int = 30  # further ones of the grasps that are returned, stiffer and by more samples: they leave the object
    finish: int = 0  # and by the lower bound
    samples: int = 400
    dense: int = 3_000  # samples of the further ones
    stiffer: float = 10.0  # and how many times the last weight of a collision is theirs
    step: tuple[float, float, float] = (0.15, 0.04, 0.06)  # of position [cm], quaternion, joints' logits

    def __post_init__(self) -> None:
        if self.start not in ("sampled", "trivial"):
            raise ValueError(f"start={self.start!r}: choose 'sampled' or 'trivial'")

    def settling(self) -> "PlanSettings":
        """Those of the further iterations."""
        firm, apart = self.stiffer * self.collision[1], self.stiffer * self.self_collision[1]
        return replace(self, samples=self.dense, collision=(firm, firm), self_collision=(apart, apart))


class Objective:
    """The compound loss of section IV.F without its data term, of a batch of grasps.

    `ground` is the height, along z of the mesh, of a table that the hand must stay above [m].
    """

    def __init__(self, mesh: ObjectMesh, hand: Hand, settings: PlanSettings, n: int, ground: float = -math.inf) -> None:
        surface, chosen = hand.surface, hand.surface.candidates
        rows = np.concatenate([chosen, np.arange(settings.samples)])
        self.body, self.position, self.normal = (
            torch.from_numpy(x[rows]) for x in (surface.body, surface.position, surface.normal)
        )
        self.mesh, self.settings, self.candidates, self.ground = mesh, settings, len(chosen), ground
        self.center = torch.from_numpy(mesh.center_of_mass)
        self.depths = Depths(mesh, n, settings.samples)
        self.start = np.full((n, len(chosen)), -1)
        self.self_collision = SelfCollision(hand, settings.samples)
        self.object_in_hand = ObjectInHand(mesh, hand, settings.samples)

    def __call__(self, links: Links, done: float, lower: bool = False) -> Tensor:
        """(n,) of bodies' poses; `done` of the descent sets weights that change on the way.

        The metric is its upper bound, or its lower one.
        """
        s, k = self.settings, self.candidates
        alpha = s.alpha[0] + (s.alpha[1] - s.alpha[0]) * done
        collision, apart = (low * (high / low) ** done for low, high in (s.collision, s.self_collision))
        points = links.points(self.body, self.position)
        hand_normal = links.vectors(self.body[:k], self.normal[:k])
        distance, normal = self.mesh.signed_distance(points[:, :k], self.start)
        weights = losses.contact_weights(distance, normal, hand_normal, alpha, s.beta)
        arms, m = points[:, :k] - self.center, self.mesh.radius**-2
        if lower:
            quality = q1_lower(arms, -normal, weights, s.friction, m, tolerance=1e-6)
        else:
            quality = q1_upper(arms, -normal, weights, s.friction, m, directions=s.directions)
        return (
            s.quality * torch.exp(-quality)
            + s.guide * losses.guide(distance)
            + collision * (self.depths.mean_square(points[:, k:]) + self.object_in_hand.loss(links))
            + collision * losses.collision(points[:, k:, 2] - self.ground)
            + apart * self.self_collision.loss(links)
        )


class Depths:
    """Depths of samples in the object. What was outside by more than it has moved since is not asked again."""

    def __init__(self, mesh: ObjectMesh, n: int, samples: int) -> None:
        self.mesh = mesh
        self.start = np.full((n, samples), -1)
        self.distance = torch.full((n, samples), -torch.inf, dtype=torch.float64)
        self.asked = torch.zeros(n, samples, 3, dtype=torch.float64)

    def mean_square(self, points: Tensor) -> Tensor:
        """Mean over samples (n, P, 3) of the squared depth [cm²], (n,)."""
        with torch.no_grad():
            near = self.distance < (points - self.asked).norm(dim=-1)
            grasp, sample = near.nonzero(as_tuple=True)
        place = grasp.numpy(), sample.numpy()
        start = self.start[place]
        distance, _ = self.mesh.signed_distance(points[grasp, sample], start)
        self.start[place] = start
        self.distance[grasp, sample], self.asked[grasp, sample] = distance.detach(), points[grasp, sample].detach()
        squares = (distance / losses.CENTIMETRE).clamp(max=0.0).square()
        return points.new_zeros(len(points)).index_add(0, grasp, squares) / points.shape[1]

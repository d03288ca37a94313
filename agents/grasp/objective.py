"""What a planner descends: the compound loss of Liu et al., IV.F, of a batch of grasps, and its settings."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import losses
from .hand import Hand, Links
from .link_depths import ObjectInHand, SelfCollision
from .object_mesh import ObjectMesh
from .q1 import q1_upper

_CENTIMETRE = 0.01  # [m]


@dataclass(frozen=True)
class PlanSettings:
    """Of `plan`; alpha to guide as in Table I of the paper, with its lengths in centimetres."""

    alpha: tuple[float, float] = (1.0, 6.0)  # [1/cm], at the beginning and at the end
    beta: float = 8.0
    friction: float = 0.7
    directions: int = 64
    quality: float = 10.0
    collision: tuple[float, float] = (100.0, 4000.0)
    self_collision: tuple[float, float] = (100.0, 1000.0)
    guide: float = 0.02
    starts: int = 48
    iterations: int = 120
    samples: int = 400
    step: tuple[float, float, float] = (0.15, 0.04, 0.06)  # of position [cm], quaternion, joints' logits


class Objective:
    """The compound loss of section IV.F without its data term, of a batch of grasps."""

    def __init__(self, mesh: ObjectMesh, hand: Hand, settings: PlanSettings, n: int) -> None:
        surface, chosen = hand.surface, hand.surface.candidates
        rows = np.concatenate([chosen, np.arange(settings.samples)])
        self.body, self.position, self.normal = (
            torch.from_numpy(x[rows]) for x in (surface.body, surface.position, surface.normal)
        )
        self.mesh, self.settings, self.candidates = mesh, settings, len(chosen)
        self.center = torch.from_numpy(mesh.center_of_mass)
        self.depths = Depths(mesh, n, settings.samples)
        self.start = np.zeros((n, len(chosen)), np.int64)
        self.self_collision = SelfCollision(hand, settings.samples)
        self.object_in_hand = ObjectInHand(mesh, hand, settings.samples)

    def __call__(self, links: Links, done: float) -> Tensor:
        """(n,) of bodies' poses; `done` of the descent sets weights that change on the way."""
        s, k = self.settings, self.candidates
        alpha = s.alpha[0] + (s.alpha[1] - s.alpha[0]) * done
        collision, apart = (low * (high / low) ** done for low, high in (s.collision, s.self_collision))
        points = links.points(self.body, self.position)
        hand_normal = links.vectors(self.body[:k], self.normal[:k])
        distance, normal = self.mesh.signed_distance(points[:, :k], self.start)
        weights = losses.contact_weights(distance, normal, hand_normal, alpha, s.beta)
        arms, m = points[:, :k] - self.center, self.mesh.radius**-2
        quality = q1_upper(arms, -normal, weights, s.friction, m, directions=s.directions)
        return (
            s.quality * torch.exp(-quality)
            + s.guide * losses.guide(distance)
            + collision * (self.depths.mean_square(points[:, k:]) + self.object_in_hand.loss(links))
            + apart * self.self_collision.loss(links)
        )


class Depths:
    """Depths of samples in the object. What was outside by more than it has moved since is not asked again."""

    def __init__(self, mesh: ObjectMesh, n: int, samples: int) -> None:
        self.mesh = mesh
        self.start = np.zeros((n, samples), np.int64)
        self.distance = torch.full((n, samples), -torch.inf, dtype=torch.float64)
        self.asked = torch.zeros(n, samples, 3, dtype=torch.float64)

    def mean_square(self, points: Tensor) -> Tensor:
        """Mean over samples (n, P, 3) of the squared depth [cm²], (n,)."""
        with torch.no_grad():
            near = self.distance < (points - self.asked).norm(dim=-1)
            grasp, sample = near.nonzero(as_tuple=True)
        start = self.start[grasp, sample]
        distance, _ = self.mesh.signed_distance(points[grasp, sample], start)
        self.start[grasp, sample] = start
        self.distance[grasp, sample], self.asked[grasp, sample] = distance.detach(), points[grasp, sample].detach()
        squares = (distance / _CENTIMETRE).clamp(max=0.0).square()
        return points.new_zeros(len(points)).index_add(0, grasp, squares) / points.shape[1]

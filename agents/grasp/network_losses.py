"""What the grasp network is trained by: known grasps, and the differentiable loss of a grasp as it stands."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .hand import Hand, Links
from .network import Prediction
from .object_mesh import ObjectMesh
from .objective import Objective, PlanSettings

LENGTH, ANGLE = 0.05, 0.5
"""Distances [m] and joint angles [rad] that count 1 in the configuration space; a fingertip moves by about as much."""

TABLE_I = PlanSettings(
    alpha=(6.0, 6.0),
    beta=8.0,
    friction=0.7,
    directions=64,
    quality=1.0,
    collision=(400.0, 400.0),
    self_collision=(400.0, 400.0),
    guide=0.1,
    samples=400,
)
"""Weights of Table I of Liu et al. for `DifferentiableLoss`.

Its c_coll = c_self = 1 are read as weights of sums over the 400 samples; `PlanSettings` weighs means."""


def squared_distances(prediction: Prediction, known: Prediction) -> Tensor:
    """In configuration space, (n, k), of predictions from k known grasps each, in the same frame.

    The squared distance of the hand's middle in units of 5 cm, half the squared Frobenius norm of the rotations'
    difference (about the squared angle in rad), and the mean over the joints of the squared difference in units of
    0.5 rad.

    Args:
        prediction: n.
        known: (n, k, 3), (n, k, 3, 3), (n, k, J).
    """
    center = (prediction.center[:, None] - known.center).square().sum(-1) / LENGTH**2
    rotation = 0.5 * (prediction.rotation[:, None] - known.rotation).square().sum((-2, -1))
    joints = (prediction.joints[:, None] - known.joints).square().mean(-1) / ANGLE**2
    return center + rotation + joints


def chamfer(prediction: Prediction, known: Prediction) -> Tensor:
    """Squared distance from the nearest of the known grasps, (n,): L_data of section IV.E."""
    return squared_distances(prediction, known).amin(1)


class DifferentiableLoss:
    """The compound loss of section IV.F without its data term, of one grasp of each of several objects.

    Args:
        meshes: the objects.
        hand: that grasps.
        settings: weights, those at the end of a descent.
        lower: Q1 by its lower bound, equation 4, in place of the upper one.
    """

    def __init__(
        self, meshes: Sequence[ObjectMesh], hand: Hand, settings: PlanSettings = TABLE_I, lower: bool = False
    ) -> None:
        self.lower = lower
        self.objectives = [Objective(mesh, hand, settings, 1) for mesh in meshes]

    def __call__(self, links: Links, objects: Sequence[int]) -> Tensor:
        """(n,) of bodies' poses in the frames of the meshes with these numbers."""
        found: list[Tensor] = []
        for i, number in enumerate(objects):
            own = Links(*(x[i : i + 1] for x in links))
            found.append(self.objectives[number](own, 1.0, self.lower))
        return torch.cat(found)

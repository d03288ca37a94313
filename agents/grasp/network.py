"""A network that sees an object in five depth images and answers with one grasp. Liu et al., III and V."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from .depth_views import VIEWS, surface_points
from .hand import Hand, Links
from .resnet import ResNet, ResNetConfig
from .starts import quaternions

UNIT = 0.05
"""What lengths are divided by inside the network, about half an object [m]."""
_FIRST = 0.1  # of the last layer's usual first weights: at first all objects get nearly the same grasp

Floats = NDArray[np.float64]


class Prediction(NamedTuple):
    """Grasps of n objects, in the views' frame: origin in the object's centre of mass, axes turned as the views were.

    Attributes:
        center: (n, 3) where the middle of the hand (`Surface.center`) is [m].
        rotation: (n, 3, 3) of the hand's root.
        joints: (n, J) [rad].
    """

    center: Tensor
    rotation: Tensor
    joints: Tensor

    def in_mesh(self, turns: Tensor, centers_of_mass: Tensor) -> "Prediction":
        """In the frames of the meshes, which were turned by (n, 3, 3) about (n, 3)."""
        back = turns.transpose(-1, -2)
        center = (back @ self.center[..., None]).squeeze(-1) + centers_of_mass
        return Prediction(center, back @ self.rotation, self.joints)

    def position(self, hand: Hand) -> Tensor:
        """Of the hand's root, (n, 3) [m]."""
        return self.center - self.rotation @ torch.from_numpy(hand.surface.center)

    def links(self, hand: Hand) -> Links:
        """Poses of the hand's bodies; differentiable."""
        here = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
        own = hand.links(here, self.joints)
        position = own.position @ self.rotation.transpose(-1, -2) + self.position(hand)[:, None]
        return Links(position, self.rotation[:, None] @ own.rotation)

    def pose(self, hand: Hand) -> Floats:
        """Of the hand's root, (n, 7), as of `Grasps`."""
        position = self.position(hand).detach().numpy()
        return np.concatenate([position, quaternions(self.rotation.detach().numpy())], axis=1)


class GraspNetwork(nn.Module):
    """Depth images to grasps: a residual network shared by the views, the maximum over them, one full layer.

    Two things differ from the paper. A pixel is not its depth three times but the point in space that it shows: the
    cameras are known, and after the maximum nothing else tells one view from another. And rotation is 6 numbers, the
    first two columns before they are made orthonormal (Zhou et al., "On the Continuity of Rotation Representations in
    Neural Networks"), for no continuous function gives all rotations three numbers, so that there are 9 + J outputs.
    Joints are l + (u - l) sigmoid(.), section IV.F. Near zero, where the last layer begins, the hand is half closed
    around the object's centre of mass, its palm down.

    Args:
        hand: whose grasps.
        resnet: its sizes.
        weights: a file for the residual network, see `ResNet.load_weights`; random without.
    """

    lower: Tensor
    upper: Tensor

    def __init__(self, hand: Hand, resnet: ResNetConfig | None = None, weights: Path | None = None) -> None:
        super().__init__()
        config = ResNetConfig() if resnet is None else resnet
        self.resnet = ResNet(config)
        if weights is not None:
            self.resnet.load_weights(weights)
        self.register_buffer("lower", torch.from_numpy(hand.lower))
        self.register_buffer("upper", torch.from_numpy(hand.upper))
        self.last = nn.Linear(config.features, 9 + len(hand.joint_names))
        logits = torch.from_numpy((hand.middle - hand.lower) / (hand.upper - hand.lower)).clamp(0.02, 0.98).logit()
        columns = torch.from_numpy(_palm_down(hand)[:, :2].T.ravel())
        with torch.no_grad():
            self.last.weight.mul_(_FIRST)
            self.last.bias.copy_(torch.cat([torch.zeros(3), columns, logits]))

    def forward(self, views: Tensor) -> Prediction:
        """Of depth images (n, 5, S, S) [m] as of `depth_views`; float64, in the views' frame."""
        if views.dim() != 4 or views.shape[1] != VIEWS:
            raise ValueError(f"views have shape {tuple(views.shape)}: (n, {VIEWS}, S, S) was expected")
        points = surface_points(views) / UNIT
        features = self.resnet(points.flatten(0, 1)).unflatten(0, (-1, VIEWS)).amax(1)
        center, columns, logits = self.last(features).double().split([3, 6, len(self.lower)], dim=-1)
        joints = self.lower + (self.upper - self.lower) * logits.sigmoid()
        return Prediction(center * UNIT, _rotation(columns), joints)


def _palm_down(hand: Hand) -> Floats:
    """The shortest rotation (3, 3) of the hand's root that lets its palm approach along -z."""
    turn: Any = Rotation.align_vectors([[0.0, 0.0, -1.0]], hand.surface.approach[None])[0]
    return turn.as_matrix()


def _rotation(columns: Tensor) -> Tensor:
    """The rotation (..., 3, 3) nearest to the first two columns (..., 6), the first before the second."""
    x = nn.functional.normalize(columns[..., :3], dim=-1)
    y = columns[..., 3:] - x * (x * columns[..., 3:]).sum(-1, keepdim=True)
    y = nn.functional.normalize(y, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)

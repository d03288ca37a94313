"""Objects of a data set as samples of the grasp network: each as often as it was turned."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .dataset import ObjectData
from .hand import Hand, quaternion_matrix
from .network import Prediction


class Samples:
    """n = objects x rotations samples, and what is known of each.

    Args:
        data: the objects.
        hand: whose grasps are known.

    Attributes:
        meshes: of the objects.
        objects: (n,) which object each sample is.
        turns: (n, 3, 3) by which it was turned.
    """

    def __init__(self, data: Sequence[ObjectData], hand: Hand) -> None:
        self.meshes = [one.mesh for one in data]
        self.objects = np.repeat(np.arange(len(data)), [len(one.rotations) for one in data])
        self.turns = torch.from_numpy(np.concatenate([one.rotations for one in data]))
        self._views = [view for one in data for view in one.views]
        self._centers = torch.from_numpy(np.stack([mesh.center_of_mass for mesh in self.meshes]))
        most = max(len(one.grasps) for one in data)
        # Where an object has fewer grasps than another, they are repeated: the nearest stays the nearest.
        which = [np.arange(most) % len(one.grasps) for one in data]
        pose = torch.from_numpy(np.stack([one.grasps.pose[w] for one, w in zip(data, which, strict=True)]))
        joints = torch.from_numpy(np.stack([one.grasps.joints[w] for one, w in zip(data, which, strict=True)]))
        rotation = quaternion_matrix(pose[..., 3:])
        middle = pose[..., :3] + rotation @ torch.from_numpy(hand.surface.center)
        self._known = Prediction(middle - self._centers[:, None], rotation, joints)

    def __len__(self) -> int:
        return len(self.objects)

    def views(self, which: Sequence[int]) -> Tensor:
        """(b, 5, S, S) depth [m]."""
        return torch.from_numpy(np.stack([self._views[i] for i in which]))

    def known(self, which: Sequence[int]) -> Prediction:
        """The objects' grasps, turned with the views: (b, k, 3), (b, k, 3, 3), (b, k, J)."""
        center, rotation, joints = (x[self.objects[list(which)]] for x in self._known)
        turn = self.turns[list(which)][:, None]
        return Prediction((turn @ center[..., None]).squeeze(-1), turn @ rotation, joints)

    def in_meshes(self, which: Sequence[int], prediction: Prediction) -> Prediction:
        """Predictions (b,) from the views' frames to the meshes'."""
        return prediction.in_mesh(self.turns[list(which)], self._centers[self.objects[list(which)]])

"""Grasps of an object by descent of the differentiable metric, from many starts at once.

Liu et al., VI.A: 6 + 18 numbers a grasp, no data. All starts of a call are one batch; what differs from the paper is
said in `docs/grasp.md`.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from .contacts import measure
from .grasps import Grasps
from .hand import Hand, quaternion_matrix
from .object_mesh import ObjectMesh
from .objective import Objective, PlanSettings
from .starts import start_poses

_CENTIMETRE = 0.01  # [m]


class _Numbers(NamedTuple):
    """What is optimised: of each grasp where the middle of the hand is, how it is turned, and its joints."""

    center: Tensor  # (n, 3) [cm]
    quat: Tensor  # (n, 4)
    logits: Tensor  # (n, J), joints by the sigmoid of section IV.F

    @staticmethod
    def of(pose: NDArray[np.float64], joints: NDArray[np.float64], hand: Hand) -> "_Numbers":
        quat = torch.from_numpy(pose[:, 3:].copy())
        center = torch.from_numpy(pose[:, :3]) + quaternion_matrix(quat) @ torch.from_numpy(hand.surface.center)
        logits = torch.from_numpy((joints - hand.lower) / (hand.upper - hand.lower)).logit()
        return _Numbers(*(x.clone().requires_grad_() for x in (center / _CENTIMETRE, quat, logits)))

    def pose(self, hand: Hand) -> Tensor:
        """Of the root, (n, 7)."""
        offset = quaternion_matrix(self.quat) @ torch.from_numpy(hand.surface.center)
        return torch.cat([self.center * _CENTIMETRE - offset, self.quat], dim=-1)

    def joints(self, hand: Hand) -> Tensor:
        """(n, J) [rad]."""
        lower, upper = torch.from_numpy(hand.lower), torch.from_numpy(hand.upper)
        return lower + (upper - lower) * self.logits.sigmoid()


def plan(
    mesh: ObjectMesh,
    hand: Hand,
    num_grasps: int = 16,
    seed: int = 0,
    settings: PlanSettings | None = None,
    progress: bool = True,
) -> Grasps:
    """Plans grasps of an object, best first, as different as may be."""
    s = PlanSettings() if settings is None else settings
    rng = np.random.default_rng(seed)
    n = max(s.starts, num_grasps)
    pose, joints = start_poses(*mesh.sample(n, seed), hand, rng)
    numbers = _Numbers.of(pose, joints, hand)
    objective = Objective(mesh, hand, s, n)
    groups = [{"params": [x], "lr": rate} for x, rate in zip(numbers, s.step, strict=True)]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95))
    for i in tqdm(range(s.iterations), desc="grasps", unit="step", leave=False, disable=not progress):
        done = i / s.iterations
        for group, rate in zip(optimizer.param_groups, s.step, strict=True):
            group["lr"] = rate * (1.0 - 0.95 * done)
        links = hand.links(numbers.pose(hand), numbers.joints(hand))
        loss = objective(links, done)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        with torch.no_grad():
            numbers.quat.div_(numbers.quat.norm(dim=-1, keepdim=True))
    with torch.no_grad():
        found = measure(mesh, hand, numbers.pose(hand).numpy(), numbers.joints(hand).numpy(), s.friction)
    return _chosen(found, num_grasps)


def _chosen(found: Grasps, count: int) -> Grasps:
    """The best."""
    score = found.q1 - 100.0 * found.penetration - 100.0 * found.self_penetration
    return found[np.argsort(-score)[:count]]

"""Grasps of an object by descent of the differentiable metric, from many starts at once.

Liu et al., VI.A: 6 + 18 numbers a grasp, no data. All starts of a call are one batch; what differs from the paper is
said in `docs/grasp.md`.
"""

import math
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
from .starts import start_poses, trivial_poses

_CENTIMETRE = 0.01  # [m]
_DEPTH = 100.0  # of Q1 that a depth is worth when grasps are chosen [1/m]


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
    ground: float | None = None,
    settings: PlanSettings | None = None,
    progress: bool = True,
) -> Grasps:
    """Plans grasps of an object, the best first.

    Args:
        mesh: the object.
        hand: the hand.
        num_grasps: how many are returned.
        seed: of the starts; the same gives the same grasps.
        ground: height, along z of the mesh, of the table that the object lies on [m]; the hand then comes from above.
        settings: of loss and descent; None for the defaults.
        progress: whether to show a bar.

    Raises:
        ValueError: no grasp is asked for.
    """
    if num_grasps < 1:
        raise ValueError(f"num_grasps={num_grasps}: must be at least 1")
    s = PlanSettings() if settings is None else settings
    pose, joints = _starts(mesh, hand, max(s.starts, num_grasps), seed, ground, s)
    search = _Search(mesh, hand, s, -math.inf if ground is None else ground)
    with tqdm(total=s.iterations + s.finish, desc="grasps", unit="step", leave=False, disable=not progress) as bar:
        found = search.best(*search.descend(pose, joints, False, bar), num_grasps)
        if s.finish:
            found = search.best(*search.descend(found.pose, found.joints, True, bar), num_grasps)
    return found


def _starts(
    mesh: ObjectMesh, hand: Hand, n: int, seed: int, ground: float | None, settings: PlanSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Poses and joints; above a table from the object's upper side where the object's surface is known."""
    rng = np.random.default_rng(seed)
    if settings.start == "trivial":
        return trivial_poses(mesh.center_of_mass, mesh.radius, hand, n, rng)
    points, normals = mesh.sample(n if ground is None else 4 * n, seed)
    if ground is not None:
        upper = np.argsort(-normals[:, 2], kind="stable")[:n]
        points, normals = points[upper], normals[upper]
    return start_poses(points, normals, hand, rng)


class _Search(NamedTuple):
    """Descent to grasps of one object, and choice of them."""

    mesh: ObjectMesh
    hand: Hand
    settings: PlanSettings
    ground: float

    def descend(
        self, pose: NDArray[np.float64], joints: NDArray[np.float64], finish: bool, bar: tqdm
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Poses and joints after the steps of the first stage, or of the one that finishes with the lower bound."""
        s, hand, numbers = self.settings, self.hand, _Numbers.of(pose, joints, self.hand)
        objective = Objective(self.mesh, hand, s, len(pose), self.ground)
        optimizer = torch.optim.Adam([{"params": [x]} for x in numbers], betas=(0.9, 0.95))
        count = s.finish if finish else s.iterations
        for i in range(count):
            done = 1.0 if finish else i / count
            for group, rate in zip(optimizer.param_groups, s.step, strict=True):
                group["lr"] = rate * (0.1 * (1.0 - 0.9 * i / count) if finish else 1.0 - 0.95 * done)
            loss = objective(hand.links(numbers.pose(hand), numbers.joints(hand)), done, finish)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            with torch.no_grad():
                numbers.quat.div_(numbers.quat.norm(dim=-1, keepdim=True))
            bar.update()
        with torch.no_grad():
            return numbers.pose(hand).numpy(), numbers.joints(hand).numpy()

    def best(self, pose: NDArray[np.float64], joints: NDArray[np.float64], count: int) -> Grasps:
        """The best: what is inside object, hand or table is lost in physics, as what is not held is."""
        found = measure(self.mesh, self.hand, pose, joints, self.settings.friction)
        body, position = (torch.from_numpy(x) for x in (self.hand.surface.body, self.hand.surface.position))
        points = self.hand.links(torch.from_numpy(pose), torch.from_numpy(joints)).points(body, position)
        sunk = (self.ground - points[..., 2].amin(-1)).clamp(min=0.0).numpy()
        score = found.q1 - _DEPTH * (found.penetration + found.self_penetration + sunk)
        return found[np.argsort(-score)[:count]]

"""Grasps of an object by descent of the differentiable metric, from many starts at once.

Liu et al., VI.A: 6 + 18 numbers a grasp, no data. What differs from the paper is said in `docs/grasp.md`.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ...sim import get_num_threads
from .contacts import measure
from .grasps import Grasps
from .hand import Hand, quaternion_matrix
from .object_mesh import ObjectMesh
from .objective import Objective, PlanSettings
from .starts import start_poses, trivial_poses

_CENTIMETRE = 0.01  # [m]
_DEPTH = 100.0  # of Q1 that a depth is worth when grasps are chosen [1/m]
_TRIED = 0.2  # of the iterations, after which the worse half of the starts is given up
_SOME = 1.5  # times the grasps that are returned: so many settle
_LOT = 96  # the most that are one thread's work: results do not depend on how many threads there are

Floats = NDArray[np.float64]
_Stage = Literal["grow", "settle", "finish"]


class _Numbers(NamedTuple):
    """What is optimised: of each grasp where the middle of the hand is, how it is turned, and its joints."""

    center: Tensor  # (n, 3) [cm]
    quat: Tensor  # (n, 4)
    logits: Tensor  # (n, J), joints by the sigmoid of section IV.F

    @staticmethod
    def of(pose: Floats, joints: Floats, hand: Hand) -> "_Numbers":
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
    hands = _starts(mesh, hand, max(s.starts, num_grasps), seed, ground, s)
    tried, some = round(_TRIED * s.iterations), math.ceil(_SOME * num_grasps)
    steps = s.iterations + s.settle + s.finish
    with (
        tqdm(total=steps, desc="grasps", unit="step", leave=False, disable=not progress) as bar,
        ThreadPoolExecutor(get_num_threads(), thread_name_prefix="grasps") as pool,
    ):
        search = _Search(mesh, hand, s, -math.inf if ground is None else ground, bar, pool)
        hands, loss = search.descend(hands, range(tried), "grow")
        if tried and len(loss) // 2 > some:
            hands = hands.take(np.argsort(loss, kind="stable")[: len(loss) // 2])
        hands, _ = search.descend(hands, range(tried, s.iterations), "grow")
        found, score = search.measured(hands)
        best = np.argsort(-score)[: some if s.settle else num_grasps]
        found, score = found[best], score[best]
        if s.settle:
            hands, _ = search.descend(_Hands(found.pose, found.joints), range(s.settle), "settle")
            found, settled = search.measured(hands)
            best = np.argsort(-(score + settled))[:num_grasps]
            found, score = found[best], settled[best]
        if s.finish:
            hands, _ = search.descend(_Hands(found.pose, found.joints), range(s.finish), "finish")
            found, score = search.measured(hands)
    return found[np.argsort(-score)]


class _Hands(NamedTuple):
    """Of n grasps, as of `Grasps`."""

    pose: Floats  # (n, 7)
    joints: Floats  # (n, J)

    def take(self, which: NDArray[np.int64]) -> "_Hands":
        return _Hands(self.pose[which], self.joints[which])

    def lots(self) -> list["_Hands"]:
        """Two, or more if there are many."""
        n = len(self.pose)
        count = max(min(n, 2), math.ceil(n / _LOT))
        return [self.take(which) for which in np.array_split(np.arange(n), count)]


def _starts(mesh: ObjectMesh, hand: Hand, n: int, seed: int, ground: float | None, settings: PlanSettings) -> _Hands:
    """Above a table from the object's upper side where the object's surface is known."""
    rng = np.random.default_rng(seed)
    if settings.start == "trivial":
        return _Hands(*trivial_poses(mesh.center_of_mass, mesh.radius, hand, n, rng))
    points, normals = mesh.sample(n if ground is None else 4 * n, seed)
    if ground is not None:
        upper = np.argsort(-normals[:, 2], kind="stable")[:n]
        points, normals = points[upper], normals[upper]
    return _Hands(*start_poses(points, normals, hand, rng))


class _Search(NamedTuple):
    """Descent to grasps of one object, and choice of them."""

    mesh: ObjectMesh
    hand: Hand
    settings: PlanSettings
    ground: float
    bar: tqdm
    pool: ThreadPoolExecutor

    def descend(self, hands: _Hands, steps: range, stage: _Stage) -> tuple[_Hands, Floats]:
        """Where hands are after these steps of a stage, and their last loss (n,)."""
        lots = hands.lots()
        found = list(self.pool.map(lambda lot: self._descended(lot, steps, stage, 1.0 / len(lots)), lots))
        pose, joints, loss = (np.concatenate(part) for part in zip(*found, strict=True))
        return _Hands(pose, joints), loss

    def _descended(self, lot: _Hands, steps: range, stage: _Stage, share: float) -> tuple[Floats, Floats, Floats]:
        """Poses, joints and loss of a lot, which is a share of all."""
        s, hand, numbers = self.settings, self.hand, _Numbers.of(lot.pose, lot.joints, self.hand)
        objective = Objective(self.mesh, hand, s if stage == "grow" else s.settling(), len(lot.pose), self.ground)
        optimizer = torch.optim.Adam([{"params": [x]} for x in numbers], betas=(0.9, 0.95))
        loss = torch.zeros(len(lot.pose), dtype=torch.float64)
        for i in steps:
            part = i / (s.iterations if stage == "grow" else len(steps))
            for group, rate in zip(optimizer.param_groups, s.step, strict=True):
                group["lr"] = rate * (1.0 - 0.95 * part if stage == "grow" else 0.1 * (1.0 - 0.9 * part))
            links = hand.links(numbers.pose(hand), numbers.joints(hand))
            loss = objective(links, part if stage == "grow" else 1.0, stage == "finish")
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            with torch.no_grad():
                numbers.quat.div_(numbers.quat.norm(dim=-1, keepdim=True))
            self.bar.update(share)
        with torch.no_grad():
            return numbers.pose(hand).numpy(), numbers.joints(hand).numpy(), loss.detach().numpy()

    def measured(self, hands: _Hands) -> tuple[Grasps, Floats]:
        """Grasps and their scores: what is inside object, hand or table is lost in physics, as what is not held is."""
        found = Grasps.joined(list(self.pool.map(self._measured, hands.lots())))
        sunk = np.zeros(len(found))
        if math.isfinite(self.ground):
            body, position = (torch.from_numpy(x) for x in (self.hand.surface.body, self.hand.surface.position))
            links = self.hand.links(torch.from_numpy(hands.pose), torch.from_numpy(hands.joints))
            sunk = (self.ground - links.points(body, position)[..., 2].amin(-1)).clamp(min=0.0).numpy()
        return found, found.q1 - _DEPTH * (found.penetration + found.self_penetration + sunk)

    def _measured(self, lot: _Hands) -> Grasps:
        return measure(self.mesh, self.hand, lot.pose, lot.joints, self.settings.friction)

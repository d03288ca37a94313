"""How deep points are inside a hand's links, by H-representations of the links' convex hulls.

Liu et al., IV.D, ask that of the hand's own surface, L_self. The object's surface is asked too: of a wall thinner
than a finger no point of the hand need be deep inside (the tunneling of their section VII).
"""

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .compiled import kernel
from .hand import Hand, Links
from .object_mesh import ObjectMesh

_CENTIMETRE = 0.01  # [m]


@kernel
def _depths(
    points: Any, position: Any, rotation: Any, counts: Any, first: Any, planes: Any, balls: Any, gradients: Any
) -> tuple[Any, Any, Any, Any, Any]:
    """Sum of squared depths and the greatest, of points (G, P, 3) in hulls, poses (G, H, 3) and (G, H, 3, 3).

    `counts` (H, P) tells which points count, planes first[h] to first[h + 1] (.., 4) are of hull h, `balls` (H, 4) its
    centre and radius. With `gradients`, those of the sum by points and poses.
    """
    g, p, h = len(points), points.shape[1], len(balls)
    total, worst = np.zeros(g), np.zeros(g)
    by_points, by_position, by_rotation = np.zeros_like(points), np.zeros_like(position), np.zeros_like(rotation)
    middle = np.zeros(3)
    for i in range(g):
        for k in range(h):
            r, x = rotation[i, k], position[i, k]
            for a in range(3):
                middle[a] = x[a] + r[a, 0] * balls[k, 0] + r[a, 1] * balls[k, 1] + r[a, 2] * balls[k, 2]
            reach = balls[k, 3] ** 2
            for j in range(p):
                d0, d1, d2 = points[i, j, 0] - middle[0], points[i, j, 1] - middle[1], points[i, j, 2] - middle[2]
                if d0 * d0 + d1 * d1 + d2 * d2 >= reach or not counts[k, j]:
                    continue
                w0, w1, w2 = points[i, j, 0] - x[0], points[i, j, 1] - x[1], points[i, j, 2] - x[2]
                l0 = r[0, 0] * w0 + r[1, 0] * w1 + r[2, 0] * w2
                l1 = r[0, 1] * w0 + r[1, 1] * w1 + r[2, 1] * w2
                l2 = r[0, 2] * w0 + r[1, 2] * w1 + r[2, 2] * w2
                height, chosen = -math.inf, 0
                for n in range(first[k], first[k + 1]):
                    value = planes[n, 0] * l0 + planes[n, 1] * l1 + planes[n, 2] * l2 + planes[n, 3]
                    if value > height:
                        height, chosen = value, n
                        if height >= 0.0:
                            break
                if height >= 0.0:
                    continue
                total[i] += height * height
                worst[i] = max(worst[i], -height)
                if gradients:
                    n0, n1, n2 = planes[chosen, 0], planes[chosen, 1], planes[chosen, 2]
                    w = (w0, w1, w2)
                    for a in range(3):
                        across = 2.0 * height * (r[a, 0] * n0 + r[a, 1] * n1 + r[a, 2] * n2)
                        by_points[i, j, a] += across
                        by_position[i, k, a] -= across
                        by_rotation[i, k, a, 0] += 2.0 * height * w[a] * n0
                        by_rotation[i, k, a, 1] += 2.0 * height * w[a] * n1
                        by_rotation[i, k, a, 2] += 2.0 * height * w[a] * n2
    return total, worst, by_points, by_position, by_rotation


def _run(points: Tensor, position: Tensor, rotation: Tensor, static: tuple[Any, ...], gradients: bool) -> Any:
    p, x, r = (t.detach().contiguous().numpy() for t in (points, position, rotation))
    counts, first, planes, balls = static
    return _depths(p, x, r, counts, first, planes, balls, gradients)


class _SquaredDepths(torch.autograd.Function):
    """Sum of squared depths (grasps,) [m²] by points and poses of hulls."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, position: Tensor, rotation: Tensor, static: tuple[Any, ...]) -> Tensor:
        total, _, *gradients = _run(points, position, rotation, static, any(ctx.needs_input_grad))
        ctx.save_for_backward(*map(torch.from_numpy, gradients))
        return torch.from_numpy(total)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        (cotangent,) = cotangents
        scaled = (x * cotangent.reshape(-1, *[1] * (x.ndim - 1)) for x in ctx.saved_tensors)
        return *scaled, None


class _LinkDepths(ABC):
    """Depths of points of which `counts` (links, P) tells in which links they count."""

    def __init__(self, hand: Hand, counts: NDArray[np.bool_]) -> None:
        hulls = hand.surface.hulls
        self._bodies = [hull.body for hull in hulls]
        first = np.cumsum([0, *(len(hull.offsets) for hull in hulls)])
        planes = np.concatenate([np.column_stack([hull.normals, hull.offsets]) for hull in hulls])
        balls = np.array([[*hull.center, hull.radius] for hull in hulls])
        self._static = (counts, first, planes, balls)

    @abstractmethod
    def points(self, links: Links) -> Tensor:
        """(grasps, P, 3) in the object's frame."""

    def loss(self, links: Links) -> Tensor:
        """Mean over the points of the squared depth [cm²], (grasps,)."""
        points = self.points(links)
        total = _SquaredDepths.apply(points, *self._poses(links), self._static)
        return total / (points.shape[1] * _CENTIMETRE**2)

    def deepest(self, links: Links) -> NDArray[np.float64]:
        """The greatest depth, (grasps,) [m], 0 or more."""
        return _run(self.points(links), *self._poses(links), self._static, False)[1]

    def _poses(self, links: Links) -> tuple[Tensor, Tensor]:
        return links.position[:, self._bodies], links.rotation[:, self._bodies]


class ObjectInHand(_LinkDepths):
    """Depth of points of an object's surface in the hand's links.

    Args:
        mesh: the object.
        hand: in whose links.
        samples: how many points, drawn evenly by area; the mesh's vertices are tried too if there are no more.
    """

    def __init__(self, mesh: ObjectMesh, hand: Hand, samples: int) -> None:
        points = mesh.sample(samples, 0)[0]
        if len(mesh.vertices) <= samples:
            points = np.concatenate([points, mesh.vertices])
        self._points = torch.from_numpy(np.ascontiguousarray(points))
        super().__init__(hand, np.ones((len(hand.surface.hulls), len(points)), bool))

    def points(self, links: Links) -> Tensor:
        """The same for all grasps."""
        return self._points.expand(len(links.position), -1, -1)


class SelfCollision(_LinkDepths):
    """Depth of samples of a hand's surface in its other links.

    Left out are links that are joined by a joint, and samples that are inside another link when the hand is half
    closed.

    Args:
        hand: of which.
        samples: how many of its samples are tried.
    """

    def __init__(self, hand: Hand, samples: int) -> None:
        body, position = hand.surface.body[:samples], hand.surface.position[:samples]
        self._body, self._position = torch.from_numpy(body), torch.from_numpy(position)
        super().__init__(hand, np.ascontiguousarray(_counts(hand)[:, :samples]))

    def points(self, links: Links) -> Tensor:
        """Where the samples are."""
        return links.points(self._body, self._position)


def _solid_parent(parents: NDArray[np.int32], solid: list[int], body: int) -> int:
    """The next body towards the root that has a hull; 0 if none has."""
    body = int(parents[body])
    while body > 0 and body not in solid:
        body = int(parents[body])
    return body


@lru_cache(maxsize=4)
def _counts(hand: Hand) -> NDArray[np.bool_]:
    """In which links, rows, which of all samples count."""
    surface, parents = hand.surface, hand.model.body_parentid
    bodies = [hull.body for hull in surface.hulls]
    pose = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    middle = hand.links(pose, torch.from_numpy(hand.middle)[None])
    world = middle.points(torch.from_numpy(surface.body), torch.from_numpy(surface.position))[0]
    joined = {b: _solid_parent(parents, bodies, b) for b in bodies}
    counts = np.empty((len(bodies), len(surface.body)), bool)
    for row, hull in zip(counts, surface.hulls, strict=True):
        near = [b for b in bodies if b == hull.body or joined[b] == hull.body or joined[hull.body] == b]
        local = (world - middle.position[0, hull.body]) @ middle.rotation[0, hull.body]
        row[:] = ~np.isin(surface.body, near) & (hull.depth(local.numpy()) < 0.0)
    return counts

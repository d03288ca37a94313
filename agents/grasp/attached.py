"""Points and directions that are fixed in a hand's bodies, by one compiled loop and one for its derivatives."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .compiled import kernel


def points_of(position: Tensor, rotation: Tensor, body: Tensor, local: Tensor) -> Tensor:
    """Points (P, 3) that are fixed in bodies (P,), in the frame of poses (..., B, 3), (..., B, 3, 3): (..., P, 3)."""
    return cast(Tensor, _Attached.apply(position, rotation, body, local))  # a subclass's untyped `apply`


def vectors_of(rotation: Tensor, body: Tensor, local: Tensor) -> Tensor:
    """Directions (P, 3) that are fixed in bodies (P,), in the frame of rotations (..., B, 3, 3): (..., P, 3)."""
    return cast(Tensor, _Attached.apply(None, rotation, body, local))


class _Attached(torch.autograd.Function):
    """Differentiable by poses; local points and directions are constants."""

    @staticmethod
    def forward(ctx: Any, position: Tensor | None, rotation: Tensor, body: Tensor, local: Tensor) -> Tensor:
        batch, bodies = rotation.shape[:-3], rotation.shape[-3]
        turns = rotation.detach().cpu().reshape(-1, bodies, 3, 3).contiguous().numpy()
        places = (
            turns[..., 0] if position is None else position.detach().cpu().reshape(-1, bodies, 3).contiguous().numpy()
        )
        ctx.static = body.cpu().numpy(), local.detach().cpu().to(rotation.dtype).contiguous().numpy()
        ctx.moved, ctx.bodies = position is not None, bodies
        found = torch.empty(len(turns), len(body), 3, dtype=rotation.dtype)
        _attached(places, turns, *ctx.static, ctx.moved, found.numpy())
        return found.to(rotation.device).reshape(*batch, len(body), 3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (cotangent,) = cotangents
        batch = cotangent.shape[:-2]
        given = cotangent.cpu().reshape(-1, *cotangent.shape[-2:]).contiguous().numpy()
        by_position, by_rotation = (
            torch.zeros(len(given), ctx.bodies, *shape, dtype=cotangent.dtype) for shape in ((3,), (3, 3))
        )
        _attached_adj(given, *ctx.static, by_position.numpy(), by_rotation.numpy())
        at, turn = (x.to(cotangent.device).reshape(*batch, *x.shape[1:]) for x in (by_position, by_rotation))
        return at if ctx.moved else None, turn, None, None


@kernel
def _attached(position: Any, rotation: Any, body: Any, local: Any, moved: bool, out: Any) -> None:
    """Points, or directions if not `moved`, local (P, 3) in bodies (P,), of poses (n, B, 3) and (n, B, 3, 3)."""
    for i in range(len(out)):
        for j in range(len(body)):
            b = body[j]
            for a in range(3):
                r = rotation[i, b, a]
                out[i, j, a] = r[0] * local[j, 0] + r[1] * local[j, 1] + r[2] * local[j, 2]
                if moved:
                    out[i, j, a] += position[i, b, a]


@kernel
def _attached_adj(by_out: Any, body: Any, local: Any, by_position: Any, by_rotation: Any) -> None:
    """Adds to the gradients by poses what cotangents (n, P, 3) of points give; directions have the same by rotation."""
    for i in range(len(by_out)):
        for j in range(len(body)):
            b = body[j]
            for a in range(3):
                g = by_out[i, j, a]
                by_position[i, b, a] += g
                by_rotation[i, b, a, 0] += g * local[j, 0]
                by_rotation[i, b, a, 1] += g * local[j, 1]
                by_rotation[i, b, a, 2] += g * local[j, 2]

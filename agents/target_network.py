"""Slow copies of networks."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def soft_update(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Moves each parameter of the target to (1 - tau) of itself and tau of the source's."""
    targets: list[Tensor] = list(target.parameters())
    sources: list[Tensor] = list(source.parameters())
    torch._foreach_lerp_(targets, sources, tau)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]

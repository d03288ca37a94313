"""Parameters as parts of one vector: one step of an optimizer moves all, and costs one call."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn


class FlatParameters:
    """Parameters that are views of one vector, in their order; and their gradient, another vector.

    Who holds the vector is its optimizer: it is the only parameter there, so checkpoints bring it along. Copies of a
    module have parameters of their own, as has what was unpickled, so this is made anew before a series of steps.

    Args:
        parameters: of one type, on one device; they become views, with their values.
        vector: of as many entries.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], vector: nn.Parameter) -> None:
        self.parameters, self.vector = parameters, vector
        if vector.grad is None:
            vector.grad = torch.zeros_like(vector)
        self.gradient = vector.grad
        for parameter, part in zip(parameters, self.parts(vector.data), strict=True):
            part.copy_(parameter.data)  # of a view: onto itself
            parameter.data = part

    def parts(self, vector: Tensor) -> list[Tensor]:
        """Views of a vector in the shapes of the parameters."""
        ends = accumulate(p.numel() for p in self.parameters)
        return [vector[end - p.numel() : end].view(p.shape) for end, p in zip(ends, self.parameters, strict=True)]

    def differentiate(self, loss: Tensor) -> None:
        """Sets the gradient, by autograd, and nothing else's."""
        found = torch.autograd.grad(loss, list(self.parameters))
        torch.cat([part.flatten() for part in found], out=self.gradient)


def vector_of(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """A vector for `FlatParameters`."""
    return nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))

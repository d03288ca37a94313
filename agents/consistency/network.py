"""The multilayer perceptron that proposes commands and contacts, as a function of one parameter vector."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


class Network:
    """Layers of `sizes`, tanh between them; parameters are one vector [W1 row by row, b1, W2, ...].

    The last layer starts at zero: at first nothing is proposed.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.n_layers = len(sizes) - 1
        self.shapes = [shape for a, b in pairwise(sizes) for shape in ((b, a), (b,))]
        self.n_parameters = sum(map(math.prod, self.shapes))

    def initial(self, generator: torch.Generator) -> Tensor:
        """Parameters (n_parameters,) to begin with."""
        parts = []
        for layer, (a, b) in enumerate(pairwise(self.sizes)):
            weight = torch.randn(b, a, generator=generator) / math.sqrt(a)
            parts += [weight.flatten() if layer < self.n_layers - 1 else torch.zeros(a * b), torch.zeros(b)]
        return torch.cat(parts)

    def unpack(self, parameters: Tensor) -> list[Tensor]:
        """Weights and biases, views of the vector."""
        parts = parameters.split([math.prod(shape) for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def forward(self, layers: Sequence[Tensor], inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Output (B, out) of `unpack`'s layers, and the input of each layer."""
        kept, x = [], inputs
        for layer in range(self.n_layers):
            kept.append(x)
            x = torch.addmm(layers[2 * layer + 1], x, layers[2 * layer].t())
            if layer < self.n_layers - 1:
                x = x.tanh()
        return x, kept

"""Several perceptrons of one shape in one batched operation."""

from itertools import pairwise

import torch
from torch import Tensor, nn

NORM_EPSILON = 1e-5  # torch's own


class BatchedMlp(nn.Module):
    """`members` perceptrons of one shape; one `baddbmm` a layer computes all of them.

    With `layer_norm` each layer but the last is normalised before its activation (Ba et al. 2016), without scale and
    shift, which the next layer's weights can be as well.
    """

    def __init__(self, members: int, sizes: list[int], activation: nn.Module, layer_norm: bool = False) -> None:
        super().__init__()
        self.activation, self.layer_norm = activation, layer_norm
        pairs = list(pairwise(sizes))
        self.weights = nn.ParameterList(_uniform(members, n_in, n_out, n_in) for n_in, n_out in pairs)
        self.biases = nn.ParameterList(_uniform(members, 1, n_out, n_in) for n_in, n_out in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (B, n) shared by the members, or (M, B, n); outputs (M, B, n_out)."""
        if x.dim() == 2:
            x = x.expand(len(self.weights[0]), *x.shape)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if layer < last:
                if self.layer_norm:
                    x = nn.functional.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)
                x = self.activation(x)
        return x


def _uniform(members: int, n_in: int, n_out: int, fan_in: int) -> nn.Parameter:
    """torch's default initialisation of a linear layer: uniform in +-1 / sqrt(fan_in)."""
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(members, n_in, n_out).uniform_(-bound, bound))

"""`KroneckerPreconditioner`: what curvature a network's parameters have, layer by layer.

Martens and Grosse 2015, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature".
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class KroneckerPreconditioner:
    """Approximate inverse of J' J + damping I for parameters [W1 row by row, b1, W2, ...] of a network's layers.

    For a layer it is the Kronecker product of the inverses of two second moments, of the layer's inputs with a one
    appended, and of adjoints at its outputs, each with its share of the damping (section 6.3 there). Adjoints of
    residuals whose entries are random, of mean 0 and variance 1, have the second moment that is wanted.

    Args:
        inputs: of each layer, (N, in).
        adjoints: at each layer's output, (N, out), for random residuals.
        damping: positive.
        scale: by which the second moment of the adjoints' sum over all N is multiplied: one over what J' J is.
    """

    def __init__(self, inputs: Sequence[Tensor], adjoints: Sequence[Tensor], damping: float, scale: float) -> None:
        if not damping > 0.0:
            raise ValueError(f"damping={damping}: must be positive")
        self._factors = [_inverses(a, d, damping, scale) for a, d in zip(inputs, adjoints, strict=True)]

    def __call__(self, v: Tensor) -> Tensor:
        parts, place = [], 0
        for by_input, by_output in self._factors:
            n_out, n_in = len(by_output), len(by_input) - 1
            weight, bias = v[place : place + n_out * n_in].view(n_out, n_in), v[place + n_out * n_in :][:n_out]
            found = by_output @ torch.cat([weight, bias[:, None]], dim=1) @ by_input
            parts += [found[:, :-1].flatten(), found[:, -1]]
            place += n_out * (n_in + 1)
        return torch.cat(parts)


def _inverses(inputs: Tensor, adjoints: Tensor, damping: float, scale: float) -> tuple[Tensor, Tensor]:
    """Of the damped second moments of inputs (in + 1, in + 1) and adjoints (out, out)."""
    extended = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1).double()
    of_inputs = extended.T @ extended / len(inputs)
    of_adjoints = scale * adjoints.double().T @ adjoints.double()
    sizes = [m.diagonal().mean().clamp_min(1e-30) for m in (of_inputs, of_adjoints)]
    share = (sizes[0] / sizes[1]).sqrt()  # pi of the paper
    found = []
    for moment, size, own in zip((of_inputs, of_adjoints), sizes, (share, 1.0 / share), strict=True):
        # Rounding of a moment whose entries differ by many orders can exceed the damping.
        shift = damping**0.5 * own + 1e-9 * size
        factor = torch.linalg.cholesky(moment + shift * torch.eye(len(moment), dtype=moment.dtype))
        found.append(torch.cholesky_inverse(factor).to(inputs))
    return found[0], found[1]

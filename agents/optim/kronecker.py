"""A preconditioner for networks: each layer's block of J^T J as a Kronecker product of two small matrices."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class KroneckerPreconditioner:
    """Approximate inverses of J^T J / c + damping I for the parameters of a network's linear layers.

    J is the Jacobian of a residual vector that the layers feed, in as many samples (batch, time steps) as there are;
    c the caller's normaliser. The parameters are [W1 (out, in) row by row, b1 (out), W2, b2, ...].

    With a the inputs of a layer (a 1 appended for the bias), and d the adjoints at its output of random residuals of
    independent entries ±1 (Hutchinson: the mean of (J^T y)(J^T y)^T is J^T J), the layer's block is taken as
    (mean of a a^T) ⊗ (sum of d d^T) / c: layers and samples uncorrelated, inputs and adjoints independent. Damping
    is split over the factors: Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate
    Curvature" (2015), sections 3 and 6.3, with pi from the traces.

    Args:
        inputs: of each layer, (..., in).
        adjoints: of each layer at its output before the activation, (..., out), the same samples.
        normalizer: c.

    Raises:
        ValueError: shapes disagree, or values are not finite.
    """

    def __init__(self, inputs: Sequence[Tensor], adjoints: Sequence[Tensor], normalizer: float) -> None:
        if len(inputs) != len(adjoints):
            raise ValueError(f"inputs of {len(inputs)} layers, adjoints of {len(adjoints)}: must be as many")
        if not 0.0 < normalizer < float("inf"):
            raise ValueError(f"normalizer={normalizer}: must be a positive number")
        self._factors: list[tuple[Tensor, Tensor]] = []
        for layer, (a, d) in enumerate(zip(inputs, adjoints, strict=True)):
            if a.shape[:-1] != d.shape[:-1]:
                raise ValueError(f"layer {layer}: inputs {tuple(a.shape)}, adjoints {tuple(d.shape)}: other samples")
            a, d = a.detach().flatten(0, -2).double(), d.detach().flatten(0, -2).double()
            a = torch.cat([a, a.new_ones(len(a), 1)], 1)
            A, G = a.T @ a / len(a), d.T @ d / normalizer
            if not bool(A.isfinite().all() and G.isfinite().all()):
                raise ValueError(f"layer {layer}: inputs or adjoints are not finite: check the rollout")
            self._factors.append((A, G))

    def inverse(self, damping: float) -> Callable[[Tensor], Tensor]:
        """The inverse at a damping, as a function v (n,) -> (n,) in v's dtype.

        Raises:
            ValueError: the damping is not positive; the function: v's length is not that of the parameters.
        """
        if not damping > 0.0:
            raise ValueError(f"damping={damping}: must be positive")
        inverses = [_damped_inverses(A, G, damping) for A, G in self._factors]
        size = sum(len(A) * len(G) for A, G in inverses)
        cast: dict[torch.dtype, list[tuple[Tensor, Tensor]]] = {torch.float64: inverses}

        def apply(v: Tensor) -> Tensor:
            if v.shape != (size,):
                raise ValueError(f"v has shape {tuple(v.shape)}: the layers have {size} parameters")
            if v.dtype not in cast:
                cast[v.dtype] = [(A.to(v.dtype), G.to(v.dtype)) for A, G in inverses]
            out, start = [], 0
            for A, G in cast[v.dtype]:
                rows, columns = len(G), len(A) - 1
                middle, end = start + rows * columns, start + rows * len(A)
                block = torch.cat([v[start:middle].view(rows, columns), v[middle:end, None]], 1)
                solved = G @ block @ A
                out += [solved[:, :-1].reshape(-1), solved[:, -1]]
                start = end
            return torch.cat(out)

        return apply


def _damped_inverses(A: Tensor, G: Tensor, damping: float) -> tuple[Tensor, Tensor]:
    """(A + pi sqrt(damping) I)^-1 and (G + sqrt(damping) / pi I)^-1."""
    # A layer that reaches no residual has G = 0: the floor makes its inverse that of damping alone.
    pi = float((A.diagonal().mean().clamp_min(1e-30) / G.diagonal().mean().clamp_min(1e-30)).sqrt())
    return _inverse(A, pi * damping**0.5), _inverse(G, damping**0.5 / pi)


def _inverse(S: Tensor, shift: float) -> Tensor:
    # Below this, rounding of a singular S alone could make it indefinite.
    shift = max(shift, 1e-14 * float(S.trace()))
    return torch.cholesky_inverse(torch.linalg.cholesky(S + shift * torch.eye(len(S), dtype=S.dtype, device=S.device)))

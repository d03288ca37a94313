"""Quadratic programs that are differentiable by their data: solved by ProxQP, differentiated at the active set.

ProxSuite's own `QPLayer` is not used: its derivatives are float32 whatever the data are, of a regularised system, 2e-4
off for inverse dynamics, and take seven times as long.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Of ProxQP: it stalls a little above the first tolerance now and then. The Newton step makes up for the others.
_TOLERANCES, _ITERATIONS = (1e-9, 1e-8, 1e-7, 1e-6), 1000
_DAMPING = 1e-10  # of active constraints, which may depend on each other

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Constant constraints lower <= C x <= upper: C (k, n), bounds (k,), infinite where there are none."""

    matrix: Floats
    lower: Floats
    upper: Floats


def minimize(hessian: Tensor, linear: Tensor, equality: Tensor, target: Tensor, bounds: Bounds) -> Tensor:
    """Minimisers of x' H x / 2 + g' x subject to A x = b and the bounds, differentiable by H, g, A and b.

    The derivative is that of one Newton step on the optimality conditions of the active set, whose matrix counts as
    constant (implicit function theorem); the step also polishes the solution. Where a constraint is active without a
    multiplier, it is the derivative to one side.

    Args:
        hessian: H (B, n, n), positive definite on the null space of A; float64, as all.
        linear: g (B, n).
        equality: A (B, m, n); m may be 0.
        target: b (B, m).
        bounds: the same for all B.

    Returns:
        (B, n).

    Raises:
        FloatingPointError: the data are not finite.
        ArithmeticError: a program was not solved.
        ImportError: ProxSuite is not installed.
    """
    data = [x.detach().numpy() for x in (hessian, linear, equality, target)]
    if not all(np.isfinite(x).all() for x in data):
        raise FloatingPointError("a quadratic program holds numbers that are not finite: lower the learning rate")
    # Copied to where torch aligns memory, for products of unaligned numbers are rounded otherwise from run to run.
    x, y, z = (torch.tensor(part) for part in _solve(data, bounds))
    matrix = torch.tensor(bounds.matrix)
    value = x @ matrix.T
    bound = torch.tensor(np.stack([bounds.lower, bounds.upper]))[(z > 0.0).long(), torch.arange(z.shape[1])]
    # With equal units, that of value and multiplier which is nearer 0 is taken for 0.
    active = z.abs() > (value - bound).abs()
    system = _system(hessian.detach(), equality.detach(), matrix, active)
    residual = torch.cat(
        [
            (hessian @ x[..., None]).squeeze(-1) + linear + (y[:, None] @ equality).squeeze(1) + z @ matrix,
            (equality @ x[..., None]).squeeze(-1) - target,
            torch.where(active, value - bound, z),
        ],
        dim=-1,
    )
    return x - torch.linalg.solve(system, residual)[:, : x.shape[1]]


def _system(hessian: Tensor, equality: Tensor, matrix: Tensor, active: Tensor) -> Tensor:
    """Derivative of the optimality conditions by x and both kinds of multipliers, (B, n + m + k, n + m + k)."""
    batch, m, n = equality.shape
    rows = active[..., None] * matrix
    of_multiplier = torch.diag_embed(torch.where(active, -_DAMPING, 1.0).to(hessian.dtype))
    zeros = equality.new_zeros(batch, m, len(matrix))
    damping = -_DAMPING * torch.eye(m, dtype=equality.dtype).expand(batch, m, m)
    blocks = [
        torch.cat([hessian, equality.mT, matrix.T.expand(batch, n, -1)], dim=-1),
        torch.cat([equality, damping, zeros], dim=-1),
        torch.cat([rows, zeros.mT, of_multiplier], dim=-1),
    ]
    return torch.cat(blocks, dim=-2)


def solver() -> Any:
    """ProxQP; ImportError in one line if it is not installed."""
    try:
        from proxsuite import proxqp
    except ImportError:
        raise ImportError("inverse dynamics needs proxsuite: pip install 'gradgym[pushing]'") from None
    return proxqp


def _solve(data: list[Floats], bounds: Bounds) -> tuple[Floats, Floats, Floats]:
    """Solutions (B, n), and multipliers of equalities (B, m) and of bounds (B, k), those of upper ones positive."""
    proxqp = solver()
    batch, m, n = data[2].shape
    program = proxqp.dense.QP(n, m, len(bounds.lower))
    settings = program.settings
    settings.eps_rel, settings.max_iter = 0.0, _ITERATIONS
    settings.initial_guess = proxqp.InitialGuess.NO_INITIAL_GUESS
    found = np.empty((batch, n)), np.empty((batch, m)), np.empty((batch, len(bounds.lower)))
    for i, (h, g, a, b) in enumerate(zip(*data, strict=True)):
        program.init(h, g, a if m else None, b if m else None, bounds.matrix, bounds.lower, bounds.upper)
        results = program.results
        # Once in some hundred thousand programs the usual update of the penalties cycles; the other one then ends.
        for settings.bcl_update, settings.eps_abs in product((True, False), _TOLERANCES):
            program.solve()
            if results.info.status == proxqp.QPSolverOutput.PROXQP_SOLVED:
                break
        else:
            raise ArithmeticError(f"quadratic program {i} of {batch} was not solved: {results.info.status.name}")
        for array, part in zip(found, (results.x, results.y, results.z), strict=True):
            array[i] = part
    return found

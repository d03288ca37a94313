"""Derivatives by central differences, extrapolated to a step of zero, with an estimate of their own error.

Ridders 1982 (Advances in Engineering Software 4): differences of steps that shrink by a factor, a triangle of
Richardson's extrapolations, and of all its entries the one that differs least from its neighbours.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from extended_precision import Derivative
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_FACTOR = 2.0
_ORDERS = 6


def extrapolated(
    function: Callable[[Floats], Floats], size: int, parts: tuple[int, ...], largest: float = 2e-2, levels: int = 24
) -> Derivative:
    """The derivative of `function` at zero, (outputs, size).

    Args:
        function: of displacements (batch, size); gives the outputs' displacements (batch, outputs).
        size: of a displacement.
        parts: sizes of the groups of outputs; of each the best entry of the triangle is chosen on its own.
        largest: the first step of every input, in its own unit; each of the further `levels` is half the last.
    """
    steps = largest / _FACTOR ** np.arange(levels)
    moves = steps[:, None, None] * np.eye(size)
    ends = function(np.concatenate([moves, -moves]).reshape(-1, size)).reshape(2, levels, size, -1)
    differences = (ends[0] - ends[1]) / (2.0 * steps[:, None, None])
    rounding = np.finfo(np.float64).eps / steps  # of an output of size one
    found = [_ridders(list(part), rounding) for part in np.split(differences, np.cumsum(parts)[:-1], axis=-1)]
    return Derivative(*(np.concatenate(x) for x in zip(*found, strict=True)))


def _ridders(row: list[Floats], rounding: Floats) -> tuple[Floats, Floats]:
    """From differences (size, outputs) of each step: the limit, and its elements' errors, both (outputs, size)."""
    best, error = row[-1], np.full(len(row[0]), np.inf)
    for order in range(1, _ORDERS):
        weight = _FACTOR ** (2 * order)
        finer = [(weight * after - before) / (weight - 1.0) for before, after in pairwise(row)]
        for i, found in enumerate(finer):
            difference = np.maximum(_norm(found - row[i]), _norm(found - row[i + 1]))
            difference = np.maximum(difference, rounding[i + order])  # two may agree by chance, as both are rounded
            better = difference < error
            best, error = np.where(better[:, None], found, best), np.where(better, difference, error)
        row = finer
    # The error of an input's column as a whole is known; it may lie in any of its outputs.
    return best.T, np.repeat(error[None], best.shape[1], axis=0) / np.sqrt(best.shape[1])


def _norm(x: Floats) -> Floats:
    return np.sqrt(np.sum(x * x, axis=-1))

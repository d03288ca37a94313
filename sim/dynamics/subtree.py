"""Sums over subtrees: of a body and all its descendants, which have greater numbers."""

from ..kernels.jit import sequence
from ..kernels.record import Floats
from ..kernels.spatial import add6, lanes_accumulate, load6, store6
from ..model.model import Model


@sequence
def add_up_trees(m: Model, x: Floats) -> None:
    """x[b] <- sum of x over the subtree of every body, x (nbody, 6); the world's row stays as it is."""
    for b in range(m.nbody - 1, 0, -1):
        p = m.body_parentid[b]
        if p > 0:
            store6(x, p, add6(load6(x, p), load6(x, b)))


@sequence
def lanes_add_up_trees(m: Model, x: Floats) -> None:
    """The same for x (nbody, rows, nlane)."""
    for b in range(m.nbody - 1, 0, -1):
        p = m.body_parentid[b]
        if p > 0:
            lanes_accumulate(x, p, x, b)

"""Least forces under friction cones, as compiled loops: small strictly convex QPs, and the search over contacts.

Each QP is min |y|^2 with A y = w and C y >= d, solved by the dual active-set method (Goldfarb and Idnani, "A
numerically stable dual method for solving strictly convex quadratic programs", 1983), which also proves infeasibility.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..grasp.compiled import kernel

Floats = NDArray[np.float64]
_TOLERANCE = 1e-9  # of a constraint with a unit row
_DEPENDENT = 1e-16  # square of the part of a unit row that no active row has
_POSITIVE = 1e-14  # of a multiplier's rate
_MOST_STEPS = 200


class Candidates(NamedTuple):
    """Contact points that a finger may take, in the object's frame, K of them."""

    maps: Floats  # (K, 3, 2) from force to wrench about the centre of mass
    edges: Floats  # (K, 2, 2) unit normals of the cone's sides, inwards
    loads: Floats  # (K, 2): its product with a force is the sum of the ray coefficients


class Knots(NamedTuple):
    """What each of T knots asks of the fingers and what the ground gives, in the object's frame."""

    wrenches: Floats  # (T, 3)
    ground_maps: Floats  # (T, 3, E) of the ground's variables to wrenches, zeros beyond their number
    ground_counts: NDArray[np.int64]  # (T, 2) of the ground's variables and of its constraints
    ground_rows: Floats  # (T, R, E) unit rows, the ground's constraints are row @ variables >= 0


class Active(NamedTuple):
    """The constraints that hold with equality, `number[0]` of them; equations are the first."""

    rows: Floats  # (n, n) unit rows
    multipliers: Floats  # (n,)
    inequality: NDArray[np.int64]  # (n,) its row; -1: an equation
    number: NDArray[np.int64]  # (1,)


@kernel
def least_norm(a: Floats, w: Floats, c: Floats, d: Floats, y: Floats) -> bool:
    """Writes the solution to y (n,); whether there is one.

    Args:
        a: (3, n), of the equations.
        w: (3,).
        c: (m, n) unit rows of the inequalities.
        d: (m,).
        y: (n,), written to.
    """
    n = a.shape[1]
    active = Active(np.zeros((n, n)), np.zeros(n), np.full(n, -1), np.zeros(1, np.int64))
    y[:] = 0.0
    for i in range(a.shape[0]):
        size = np.sqrt((a[i] * a[i]).sum())
        short = w[i] - (a[i] * y).sum()
        if size < _TOLERANCE:
            if abs(short) > _TOLERANCE:
                return False
            continue
        sign = 1.0 if short >= 0.0 else -1.0
        if not _enforce(active, y, sign * a[i] / size, sign * short / size, -1):
            return False
    for _ in range(_MOST_STEPS):
        worst, index = _TOLERANCE, -1
        for i in range(c.shape[0]):
            behind = d[i] - (c[i] * y).sum()
            if behind > worst:
                worst, index = behind, i
        if index < 0:
            return True
        if not _enforce(active, y, c[index], worst, index):
            return False
    return False


@kernel
def _enforce(active: Active, y: Floats, normal: Floats, short: float, index: int) -> bool:
    """Moves y until normal @ y has grown by `short`, keeping or dropping active constraints; whether it can."""
    own = 0.0
    while True:
        count = active.number[0]
        r = _dependence(active.rows, count, normal)
        z = normal.copy()
        longest, leaves = np.inf, -1
        for i in range(count):
            z -= r[i] * active.rows[i]
            if active.inequality[i] >= 0 and r[i] > _POSITIVE and active.multipliers[i] / r[i] < longest:
                longest, leaves = active.multipliers[i] / r[i], i
        free = (z * z).sum()
        full = np.inf if count == len(y) or free < _DEPENDENT else short / free
        if full == np.inf and index < 0:
            return short <= _TOLERANCE  # an equation that follows from the others, or contradicts them
        if full == np.inf and leaves < 0:
            return False
        length = min(longest, full)
        if full < np.inf:
            y += length * z
            short -= length * free
        for i in range(count):
            active.multipliers[i] -= length * r[i]
        own += length
        if full <= longest:
            active.rows[count], active.multipliers[count], active.inequality[count] = normal, own, index
            active.number[0] += 1
            return True
        _drop(active, leaves)


@kernel
def _drop(active: Active, which: int) -> None:
    for i in range(which, active.number[0] - 1):
        active.rows[i] = active.rows[i + 1]
        active.multipliers[i] = active.multipliers[i + 1]
        active.inequality[i] = active.inequality[i + 1]
    active.number[0] -= 1


@kernel
def _dependence(rows: Floats, active: int, normal: Floats) -> Floats:
    """Coefficients r of the active rows that come nearest to `normal`, by Cholesky of their products."""
    r, factor = np.zeros(active), np.zeros((active, active))
    for i in range(active):
        for j in range(i + 1):
            s = (rows[i] * rows[j]).sum()
            for k in range(j):
                s -= factor[i, k] * factor[j, k]
            factor[i, j] = np.sqrt(max(s, 1e-300)) if i == j else s / factor[j, j]
    for i in range(active):
        s = (rows[i] * normal).sum()
        for k in range(i):
            s -= factor[i, k] * r[k]
        r[i] = s / factor[i, i]
    for i in range(active - 1, -1, -1):
        s = r[i]
        for k in range(i + 1, active):
            s -= factor[k, i] * r[k]
        r[i] = s / factor[i, i]
    return r


@kernel
def forces_at_knot(chosen: NDArray[np.int64], t: int, candidates: Candidates, knots: Knots, limit: float) -> Floats:
    """Least forces (2 N + ground's variables) of fingers at candidates `chosen` (N,) at knot t; empty: there are none.

    limit: of the sum of a finger's ray coefficients [N], which bounds its force.
    """
    fingers, ground, rows = len(chosen), knots.ground_counts[t, 0], knots.ground_counts[t, 1]
    n = 2 * fingers + ground
    a, c, d = np.zeros((3, n)), np.zeros((3 * fingers + rows, n)), np.zeros(3 * fingers + rows)
    for i in range(fingers):
        k = chosen[i]
        size = np.sqrt((candidates.loads[k] ** 2).sum())
        for j in range(2):
            a[:, 2 * i + j] = candidates.maps[k, :, j]
            c[3 * i, 2 * i + j] = candidates.edges[k, 0, j]
            c[3 * i + 1, 2 * i + j] = candidates.edges[k, 1, j]
            c[3 * i + 2, 2 * i + j] = -candidates.loads[k, j] / size
        d[3 * i + 2] = -limit / size
    a[:, 2 * fingers :] = knots.ground_maps[t, :, :ground]
    c[3 * fingers :, 2 * fingers :] = knots.ground_rows[t, :rows, :ground]
    y = np.zeros(n)
    if least_norm(a, knots.wrenches[t], c, d, y):
        return y
    return np.zeros(0)


@kernel
def search(
    choices: NDArray[np.int64],
    bounds: Floats,
    constants: Floats,
    candidates: Candidates,
    knots: Knots,
    limit: float,
) -> tuple[int, float, int]:
    """Best of choices (L, N) in ascending order of `bounds` (L,) of their cost, of which `constants` (L,) is a part.

    Returns:
        Its row, or -1 where none is feasible; its cost; how many rows were solved.
    """
    best, least, solved = -1, np.inf, 0
    for row in range(len(choices)):
        if bounds[row] >= least:
            break
        cost, feasible = constants[row], True
        solved += 1
        for t in range(len(knots.wrenches)):
            y = forces_at_knot(choices[row], t, candidates, knots, limit)
            if len(y) == 0:
                feasible = False
                break
            cost += (y * y).sum()
            if cost >= least:
                break
        if feasible and cost < least:
            best, least = row, cost
    return best, least, solved

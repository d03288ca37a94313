"""Parameters of contacts, combined from both geoms of a pair or given with a listed pair; once per model.

MuJoCo documentation, Modeling, "Contact parameters": the geom of higher priority alone decides, of
equal ones the larger friction and condim count, and solmix weighs their solver parameters.
"""

from collections.abc import Callable

import numpy as np

from ..kernels.record import Floats, Ints
from .contact_pairs import Pairs
from .source import Source

MIN_FRICTION = 1e-5
SPREAD = np.array([0, 0, 1, 2, 2])  # geom's friction of the contact's five directions
_BLOCK = 1 << 13  # pairs at once, so that what they need stays in the cache


def contact_dim(m: Source, pairs: Pairs) -> Ints:
    """con_dim: number of directions of the contact force."""

    def combined(a: Ints, b: Ints) -> Ints:
        return by_rank(m, a, b, m.geom_condim[a], m.geom_condim[b], np.maximum(m.geom_condim[a], m.geom_condim[b]))

    return _of_pairs(pairs, combined, lambda i: m.pair_dim[i], np.zeros(len(pairs.geom), np.int32))


def contact_friction(m: Source, pairs: Pairs) -> Floats:
    """con_friction: of two tangents, about the normal, about the tangents."""

    def combined(a: Ints, b: Ints) -> Floats:
        first, second = m.geom_friction[a], m.geom_friction[b]
        friction = by_rank(m, a, b, first, second, np.maximum(first, second))[:, SPREAD]
        return np.maximum(friction, MIN_FRICTION)

    listed = lambda i: np.maximum(m.pair_friction[i], MIN_FRICTION)  # noqa: E731
    return _of_pairs(pairs, combined, listed, np.zeros((len(pairs.geom), 5)))


def contact_solref(m: Source, pairs: Pairs) -> Floats:
    """con_solref, refsafe left out."""

    def combined(a: Ints, b: Ints) -> Floats:
        first, second = m.geom_solref[a], m.geom_solref[b]
        blend = mix(m.geom_solmix[a], m.geom_solmix[b])
        standard = (first[:, :1] > 0) & (second[:, :1] > 0)
        both = np.where(standard, blend * first + (1 - blend) * second, np.minimum(first, second))
        return by_rank(m, a, b, first, second, both)

    return _of_pairs(pairs, combined, lambda i: m.pair_solref[i], np.zeros((len(pairs.geom), 2)))


def contact_solreffriction(m: Source, pairs: Pairs, solref: Floats) -> Floats:
    """con_solreffriction, refsafe left out: solref but for listed pairs that have their own."""
    result, own = solref.copy(), own_solreffriction(m, pairs)
    result[own] = m.pair_solreffriction[pairs.listed[own]]
    return result


def own_solreffriction(m: Source, pairs: Pairs) -> Ints:
    """The listed pairs whose friction has a solref of its own, as indices of con_* fields."""
    rows = np.flatnonzero(pairs.listed >= 0)
    return rows[np.any(m.pair_solreffriction[pairs.listed[rows]], axis=1)]


def contact_solimp(m: Source, pairs: Pairs) -> Floats:
    """con_solimp."""

    def combined(a: Ints, b: Ints) -> Floats:
        first, second = m.geom_solimp[a], m.geom_solimp[b]
        blend = mix(m.geom_solmix[a], m.geom_solmix[b])
        return by_rank(m, a, b, first, second, blend * first + (1 - blend) * second)

    return _of_pairs(pairs, combined, lambda i: m.pair_solimp[i], np.zeros((len(pairs.geom), 5)))


def contact_margin(m: Source, pairs: Pairs) -> Floats:
    """con_margin [m]: that of both geoms."""
    return _of_pairs(
        pairs, lambda a, b: m.geom_margin[a] + m.geom_margin[b], lambda i: m.pair_margin[i], np.zeros(len(pairs.geom))
    )


def contact_gap(m: Source, pairs: Pairs) -> Floats:
    """con_gap [m]: that of both geoms."""
    return _of_pairs(
        pairs, lambda a, b: m.geom_gap[a] + m.geom_gap[b], lambda i: m.pair_gap[i], np.zeros(len(pairs.geom))
    )


def contact_adhesion(m: Source, pairs: Pairs) -> Floats:
    """con_adhesion [N]: the sum of both geoms'."""

    def combined(a: Ints, b: Ints) -> Floats:
        first, second = m.geom_adhesion[a], m.geom_adhesion[b]
        return by_rank(m, a, b, first, second, first + second)

    return _of_pairs(pairs, combined, lambda i: m.pair_adhesion[i], np.zeros(len(pairs.geom)))


def by_rank(m: Source, a: Ints, b: Ints, first: Floats, second: Floats, both: Floats) -> Floats:
    """What counts for geoms a and b (n): the value of the one of higher priority, else `both`."""
    rank = (m.geom_priority[a] - m.geom_priority[b]).reshape(-1, *[1] * (both.ndim - 1))
    return np.where(rank > 0, first, np.where(rank < 0, second, both)) if np.any(rank) else both


def mix(a: Floats, b: Floats) -> Floats:
    """Weight (n, 1) of the first geom's solver parameters, from both solmix (n)."""
    none_a, none_b = a < 1e-15, b < 1e-15
    total = np.where(none_a | none_b, 1.0, a + b)
    weight = np.where(none_a & none_b, 0.5, np.where(none_a, 0.0, np.where(none_b, 1.0, a / total)))
    return weight.reshape(-1, 1)


def _of_pairs(
    pairs: Pairs, combined: Callable[[Ints, Ints], np.ndarray], given: Callable[[Ints], np.ndarray], out: np.ndarray
) -> np.ndarray:
    """Fill `out` (npair, ...): `combined` of the pair's geoms, or what is `given` with the listed pair."""
    for start in range(0, len(out), _BLOCK):
        block = pairs.geom[start : start + _BLOCK]
        out[start : start + _BLOCK] = combined(block[:, 0], block[:, 1])
    rows = np.flatnonzero(pairs.listed >= 0)
    out[rows] = given(pairs.listed[rows])
    return out

"""Gradients of contact parameters, from pairs of geoms to the geoms and listed pairs that set them.

The reverse of `contact_pairs.py`. Of two equal friction coefficients either could be the larger:
each gets half, so that a change of both is told right.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.record import Ints, kept_with
from .contact_parameters import MIN_FRICTION, SPREAD, mix, own_solreffriction
from .model import Model

Floats = NDArray[np.float64]

PAIR_FIELDS = ("con_friction", "con_solref", "con_solreffriction", "con_adhesion")
CONTACT_PARAMETERS = (
    *("geom_friction", "geom_solref", "geom_adhesion"),
    *("pair_friction", "pair_solref", "pair_solreffriction", "pair_adhesion"),
)


class _Shares(NamedTuple):
    """How much of a pair's parameter comes from where; zero where a bound sets it."""

    friction: Floats  # (npair, 2, 3) from its first and second geom
    solref: Floats  # (npair, 2, 2)
    adhesion: Floats  # (npair, 2)
    listed: NDArray[np.int64]  # (npair,) index into MuJoCo's list of pairs, -1: not in it
    listed_friction: Floats  # (npair, 5)
    listed_solref: Floats  # (npair, 2)
    listed_solreffriction: Floats  # (npair, 2)
    own_reffriction: NDArray[np.bool_]  # (npair,) friction has a solref of its own


def model_gradients(model: Model, found: dict[str, Floats]) -> dict[str, Floats]:
    """From gradients by the simulator's own fields those by MuJoCo's; a leading axis is a batch."""
    result = {name: value for name, value in found.items() if name not in PAIR_FIELDS}
    for name in ("jnt_solref", "dof_solref"):
        result[name] = result[name] * (getattr(model, name) == getattr(model.mj_model, name))  # not at refsafe's bound
    friction, solref, reffriction, adhesion = (found[name] for name in PAIR_FIELDS)
    shares, m = _shares(model), model.mj_model
    for name in CONTACT_PARAMETERS:
        result[name] = np.zeros((len(friction), *getattr(m, name).shape))
    by_geom = np.stack([friction[..., SPREAD == i].sum(-1) for i in range(3)], axis=-1)
    for side in range(2):
        geom = model.con_geom[:, side]
        result["geom_friction"] += _sums(geom, by_geom * shares.friction[:, side], model.ngeom)
        result["geom_solref"] += _sums(geom, (solref + reffriction) * shares.solref[:, side], model.ngeom)
        if model.nadhesive:
            pulls = adhesion * shares.adhesion[:, side]
            result["geom_adhesion"] += _sums(geom, pulls[..., None], model.ngeom)[..., 0]
    rows = np.flatnonzero(shares.listed >= 0)
    listed = shares.listed[rows]
    if model.nadhesive:
        result["pair_adhesion"][:, listed] = adhesion[:, rows]
    result["pair_friction"][:, listed] = friction[:, rows] * shares.listed_friction[rows]
    result["pair_solref"][:, listed] = solref[:, rows] * shares.listed_solref[rows]
    by_reffriction, own = reffriction[:, rows] * shares.listed_solreffriction[rows], shares.own_reffriction[rows]
    result["pair_solreffriction"][:, listed[own]] = by_reffriction[:, own]
    result["pair_solref"][:, listed[~own]] += by_reffriction[:, ~own]
    return result


def _sums(geom: Ints, values: Floats, ngeom: int) -> Floats:
    """Sums (batch, ngeom, k) of the values (batch, npair, k) of each geom."""
    out = np.zeros((len(values), ngeom, values.shape[2]))
    for world, column in np.ndindex(len(values), values.shape[2]):
        out[world, :, column] = np.bincount(geom, values[world, :, column], ngeom)
    return out


def _shares(model: Model) -> _Shares:
    """Made once for each model."""
    return kept_with(model, "contact shares", lambda: _make_shares(model))


def _make_shares(model: Model) -> _Shares:
    m, n = model.mj_model, model.npair
    a, b = model.con_geom[:, 0], model.con_geom[:, 1]
    pairs = model.contact_pairs
    listed = pairs.listed
    combined = (listed < 0)[:, None]
    rank = np.sign(m.geom_priority[a] - m.geom_priority[b])[:, None]

    friction_a, friction_b = m.geom_friction[a], m.geom_friction[b]
    first = _by_rank(rank, 0.5 * (1.0 + np.sign(friction_a - friction_b)))
    friction = np.stack([first, 1.0 - first], axis=1) * combined[..., None]
    friction *= (first * friction_a + (1.0 - first) * friction_b >= MIN_FRICTION)[:, None]

    solref_a, solref_b = m.geom_solref[a], m.geom_solref[b]
    blend = mix(m.geom_solmix[a], m.geom_solmix[b])
    standard = ((solref_a[:, :1] > 0) & (solref_b[:, :1] > 0)) | np.zeros((n, 2), bool)
    first = _by_rank(rank, np.where(standard, blend, 0.5 * (1.0 - np.sign(solref_a - solref_b))))
    solref = np.stack([first, 1.0 - first], axis=1) * combined[..., None]
    value = first * solref_a + (1.0 - first) * solref_b
    solref *= _free(value, model.con_solref)[:, None]

    adhesion = np.concatenate([rank >= 0, rank <= 0], axis=1) * combined

    rows, own = np.flatnonzero(listed >= 0), np.zeros(n, bool)
    given = listed[rows]
    own[own_solreffriction(m, pairs)] = True
    ones = np.ones((n, 5)), np.ones((n, 2)), np.ones((n, 2))
    reffriction = np.where(own[rows, None], m.pair_solreffriction[given], m.pair_solref[given])
    ones[0][rows] = m.pair_friction[given] >= MIN_FRICTION
    ones[1][rows] = _free(m.pair_solref[given], model.con_solref[rows])
    ones[2][rows] = _free(reffriction, model.con_solreffriction[rows])
    return _Shares(friction, solref, adhesion, listed, *ones, own)


def _by_rank(rank: NDArray[np.int32], equal: Floats) -> Floats:
    """Share of the first geom: all or nothing where one has the higher priority."""
    return np.where(rank > 0, 1.0, np.where(rank < 0, 0.0, equal))


def _free(value: Floats, used: Floats) -> NDArray[np.bool_]:
    """Whether a solref is used as it is: refsafe may hold its time constant."""
    return ~((value > 0) & (used > value * (1.0 + 1e-12)))

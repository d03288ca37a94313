"""Pairs of geoms in groups by what bounding boxes can part, so that most of a scene's pairs need no test.

Pairs of a moving and a static geom are found by a descent through the static geoms
(`static_geoms.py`). Others are in groups with two boxes each: of n robots most pairs are of two
robots, so a group has the pairs of two kinematic trees, or, where these are many for every two
bodies, those of two bodies. If the boxes are apart the whole group is passed over
(`collision/broad_phase.py`). What is left is always tested: pairs with a plane, which has no box,
and those inside a tree or with a mocap body that are too few.
"""

from typing import Any

import numpy as np

from ..kernels.enums import PLANE
from ..kernels.record import Floats, Ints
from .source import Source

ALWAYS, STATIC, GROUPED = 0, 1, 2  # how a pair is found
FEW_STATIC = 6  # geoms for which no descent pays
FEW_PAIRS = 4  # of two bodies, for which no box of a body pays


def places_of(m: Source, geom: Ints) -> Ints:
    """How pairs of geoms (npair, 2) are found, and the two things that they are of: (npair, 3).

    STATIC: moving body (as all bodies here: what others are welded to) and static geom. GROUPED: two
    boxes, a body's number, or nbody and a tree's.
    """
    body = m.body_weldid[m.geom_bodyid[geom]]
    static, plane = body == 0, np.any(m.geom_type[geom] == PLANE, axis=1)
    places = np.zeros((len(geom), 3), np.int64)
    with_static = np.any(static, axis=1) & ~plane
    if len(np.unique(geom[static & with_static[:, None]])) > FEW_STATIC:
        places[with_static] = np.stack(
            [np.full(with_static.sum(), STATIC), body[with_static].max(axis=1), geom[static & with_static[:, None]]],
            axis=1,
        )
    moving = ~np.any(static, axis=1) & ~plane
    places[moving] = _boxes_of(m, ascending(body[moving]))
    return places


def _boxes_of(m: Source, body: Ints) -> Ints:
    """The same for pairs of geoms of two moving bodies (npair, 2)."""
    tree = m.body_treeid[body]
    _, bodies = np.unique(body[:, 0] * m.nbody + body[:, 1], return_inverse=True)
    number = np.bincount(bodies)  # of pairs of two bodies
    _, trees = np.unique((tree[:, 0] + 1) * (m.ntree + 1) + tree[:, 1] + 1, return_inverse=True)
    # a pair of bodies counts once
    many = np.bincount(trees) >= FEW_PAIRS * np.bincount(trees, weights=1.0 / number[bodies])
    apart = (tree[:, 0] != tree[:, 1]) & np.all(tree >= 0, axis=1)
    places = np.zeros((len(body), 3), np.int64)
    by_tree, by_body = apart & ~many[trees], many[trees]
    places[by_tree, 0], places[by_tree, 1:] = GROUPED, ascending(m.nbody + tree[by_tree])
    places[by_body, 0], places[by_body, 1:] = GROUPED, body[by_body]
    return places


def in_groups(m: Source, geom: Ints, listed: Ints, place: Ints) -> Ints:
    """Order of pairs of geoms (npair, 2): those always tested, those with a static geom, then group by group.

    Among themselves they are in order of their geoms and of their index in MuJoCo's list of pairs.
    """
    return np.lexsort((listed, geom[:, 0] * np.int64(m.ngeom) + geom[:, 1], _number_of(m, place)))


def ascending(pairs: Ints) -> Ints:
    """The smaller number of each pair (n, 2) first."""
    return np.stack([np.minimum(pairs[:, 0], pairs[:, 1]), np.maximum(pairs[:, 0], pairs[:, 1])], axis=1)


def _number_of(m: Source, place: Ints) -> Ints:
    """One number for each place."""
    most = m.nbody + m.ntree + m.ngeom
    return (place[:, 0] * most + place[:, 1]) * most + place[:, 2]


def group_fields(m: Source, geom: Ints, place: Ints) -> dict[str, Any]:
    """Fields of `Model` for pairs in this order, with geoms (npair, 2) and places (npair, 3), but for `group_reach`.

    `movers` (nmover) are the moving bodies of pairs that are not always tested.
    """
    first_static, first_grouped = np.searchsorted(place[:, 0], [STATIC, GROUPED])
    grouped = _number_of(m, place[first_grouped:])
    start = np.flatnonzero(np.diff(grouped, prepend=-1))
    group = place[first_grouped + start, 1:]
    # bodies whose boxes are needed, and their geoms
    used = np.unique(geom[first_static:])
    used = used[m.body_weldid[m.geom_bodyid[used]] != 0]
    owner = m.body_weldid[m.geom_bodyid[used]]
    mover = np.unique(owner)
    number = np.searchsorted(owner[order := np.argsort(owner, kind="stable")], mover)
    boxed_trees = np.unique(group[group >= m.nbody]) - m.nbody
    tree = m.body_treeid[mover]
    by_tree = np.argsort(tree, kind="stable")
    members = np.searchsorted(tree[by_tree], boxed_trees), np.searchsorted(tree[by_tree], boxed_trees, side="right")
    index = np.zeros(m.nbody + m.ntree, np.int32)
    index[mover] = np.arange(len(mover))
    index[m.nbody + boxed_trees] = len(mover) + np.arange(len(boxed_trees))
    return {
        "nalways": int(first_static),
        "ngroup": len(group),
        "group_box": index[group],
        "group_pairadr": first_grouped + start,
        "group_pairnum": np.diff(start, append=len(grouped)),
        "nmover": len(mover),
        "nmovergeom": len(used),
        "mover_geomadr": number,
        "mover_geomnum": np.diff(number, append=len(used)),
        "mover_geom": used[order],
        "nbox": len(mover) + len(boxed_trees),
        "ntreebox": len(boxed_trees),
        "treebox_moveradr": members[0],
        "treebox_movernum": members[1] - members[0],
        "treebox_mover": by_tree,
        "movers": mover,
    }


def group_reach(start: Ints, reach: Floats) -> Floats:
    """The largest margin plus gap of each group, from those of all pairs (npair) and the groups' first pairs."""
    return np.maximum.reduceat(reach, start) if len(start) else np.zeros(0)

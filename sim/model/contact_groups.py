"""Pairs of geoms in groups by the kinematic trees they belong to, so that most of a scene's pairs need no test.

Of n robots most pairs are of two robots, and their number grows with the square of n. Two trees
whose bounding boxes are apart have no contact: their whole group is passed over (`collision/broad_phase.py`).
"""

from typing import Any

import numpy as np

from ..kernels.record import Ints
from .source import Source


def trees_of(m: Source, geoms: Ints) -> Ints:
    """The two trees of pairs of geoms (npair, 2), in ascending order.

    (-1, -1) if one is static or both are the same: no group.
    """
    trees = ascending(m.body_treeid[m.geom_bodyid][geoms])
    trees[(trees[:, 0] < 0) | (trees[:, 0] == trees[:, 1])] = -1
    return trees


def in_groups(m: Source, geoms: Ints, listed: Ints, trees: Ints) -> Ints:
    """Order of pairs of geoms (npair, 2) in which those without a group come first, then group by group.

    Inside a group they are in order of their geoms and of their index in MuJoCo's list of pairs.
    """
    pairs, groups = geoms[:, 0] * np.int64(m.ngeom) + geoms[:, 1], trees[:, 0] * np.int64(m.ntree) + trees[:, 1]
    return np.lexsort((listed, pairs, groups))


def ascending(pairs: Ints) -> Ints:
    """The smaller number of each pair (n, 2) first."""
    return np.stack([np.minimum(pairs[:, 0], pairs[:, 1]), np.maximum(pairs[:, 0], pairs[:, 1])], axis=1)


def group_fields(m: Source, geom: Ints, trees: Ints) -> dict[str, Any]:
    """Fields of `Model` for pairs in groups with geoms and trees (npair, 2), but for `group_reach`."""
    always = int(np.count_nonzero(trees[:, 0] < 0))
    trees = trees[always:]
    starts = np.ones(len(trees), bool)
    starts[1:] = (trees[1:, 0] != trees[:-1, 0]) | (trees[1:, 1] != trees[:-1, 1])
    start = np.flatnonzero(starts)
    touching = np.flatnonzero(np.bincount(geom[always:].ravel(), minlength=m.ngeom))
    owner = m.body_treeid[m.geom_bodyid[touching]]
    number = np.bincount(owner, minlength=m.ntree)
    return {
        "nalways": always,
        "ngroup": len(start),
        "group_tree": trees[start],
        "group_pairadr": always + start,
        "group_pairnum": np.diff(start, append=len(trees)),
        "ntreegeom": len(touching),
        "tree_geom": touching[np.argsort(owner, kind="stable")],
        "tree_geomadr": np.cumsum(number) - number,
        "tree_geomnum": number,
    }


def group_reach(start: Ints, reach: np.ndarray) -> np.ndarray:
    """The largest margin plus gap of each group, from those of all pairs (npair) and the groups' first pairs."""
    return np.maximum.reduceat(reach, start) if len(start) else np.zeros(0)

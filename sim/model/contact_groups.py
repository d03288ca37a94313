"""Pairs of geoms in groups by the kinematic trees they belong to, so that most of a scene's pairs need no test.

Of n robots most pairs are of two robots, and their number grows with the square of n. Two trees
whose bounding boxes are apart have no contact: their whole group is passed over (`collision/broad_phase.py`).
"""

from typing import Any

import mujoco
import numpy as np

Pair = tuple[tuple[int, int], int]  # two geoms; index in MuJoCo's list of pairs, -1: not listed


def trees_of(m: mujoco.MjModel, geoms: tuple[int, int]) -> tuple[int, int]:
    """The two trees, in ascending order; (-1, -1) if one is static or both are the same: no group."""
    first, second = sorted(int(m.body_treeid[m.geom_bodyid[g]]) for g in geoms)
    return (-1, -1) if first < 0 or first == second else (first, second)


def in_groups(m: mujoco.MjModel, pairs: list[Pair]) -> list[Pair]:
    """The pairs in order, those without a group first, then group by group."""
    return sorted(pairs, key=lambda pair: (trees_of(m, pair[0]), pair))


def group_fields(m: mujoco.MjModel, geom: np.ndarray, reach: np.ndarray) -> dict[str, Any]:
    """Fields of `Model` for pairs in groups with geoms (npair, 2) and margin plus gap (npair)."""
    trees = np.array([trees_of(m, (int(a), int(b))) for a, b in geom], np.int32).reshape(len(geom), 2)
    always = int(np.count_nonzero(trees[:, 0] < 0))
    group, start, count = np.unique(trees[always:], axis=0, return_index=True, return_counts=True)
    touching = np.unique(geom[always:])
    owner = m.body_treeid[m.geom_bodyid[touching]]
    number = np.bincount(owner, minlength=m.ntree)
    return {
        "nalways": always,
        "ngroup": len(group),
        "group_tree": group,
        "group_pairadr": always + start,
        "group_pairnum": count,
        "group_reach": np.array([reach[always + i : always + i + n].max() for i, n in zip(start, count, strict=True)]),
        "ntreegeom": len(touching),
        "tree_geom": touching[np.argsort(owner, kind="stable")],
        "tree_geomadr": np.cumsum(number) - number,
        "tree_geomnum": number,
    }

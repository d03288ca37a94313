"""Pairs of geoms that may collide, found once per model.

MuJoCo documentation, Computation, Collision, "Selection": excluded body pairs, geoms welded to each
other, two bodies that no joint moves (static or mocap), parent and child bodies (unless disabled or
the parent is static), contype and conaffinity; explicitly listed pairs skip all of these.
"""

from typing import Any, NamedTuple

import mujoco
import numpy as np

from ..kernels.enums import BOX, CAPSULE, CYLINDER, ELLIPSOID, HFIELD, MESH, PLANE, SPHERE
from ..kernels.record import Ints
from .contact_groups import ascending, in_groups, places_of
from .source import Source

# families of pairs: each has its file in `collision/`
ROUND, BOXED, BOXES, RIMMED, CONVEX, FIELD = 0, 1, 2, 3, 4, 5
MAX_CONTACTS = int(mujoco.mjMAXCONPAIR)  # of a height field and another geom


class Collision(NamedTuple):
    """How two types of geoms collide."""

    family: int
    max_contacts: int


# by the types of both geoms, in ascending order
COLLISIONS = {
    (PLANE, SPHERE): Collision(ROUND, 1),
    (PLANE, CAPSULE): Collision(ROUND, 2),
    (SPHERE, SPHERE): Collision(ROUND, 1),
    (SPHERE, CAPSULE): Collision(ROUND, 1),
    (CAPSULE, CAPSULE): Collision(ROUND, 2),
    (PLANE, BOX): Collision(BOXED, 4),
    (SPHERE, BOX): Collision(BOXED, 1),
    (CAPSULE, BOX): Collision(BOXED, 2),
    (BOX, BOX): Collision(BOXES, 8),
    (PLANE, CYLINDER): Collision(RIMMED, 4),
    (PLANE, ELLIPSOID): Collision(RIMMED, 1),
    (SPHERE, CYLINDER): Collision(RIMMED, 1),
    (PLANE, MESH): Collision(CONVEX, 4),
    (SPHERE, MESH): Collision(CONVEX, 1),
    (CAPSULE, MESH): Collision(CONVEX, 2),
    (BOX, MESH): Collision(CONVEX, 4),
    (MESH, MESH): Collision(CONVEX, 4),
    (SPHERE, ELLIPSOID): Collision(CONVEX, 1),
    (CAPSULE, ELLIPSOID): Collision(CONVEX, 1),
    (ELLIPSOID, ELLIPSOID): Collision(CONVEX, 1),
    (ELLIPSOID, CYLINDER): Collision(CONVEX, 1),
    (ELLIPSOID, BOX): Collision(CONVEX, 1),
    (ELLIPSOID, MESH): Collision(CONVEX, 1),
    (CAPSULE, CYLINDER): Collision(CONVEX, 2),
    (CYLINDER, CYLINDER): Collision(CONVEX, 4),
    (CYLINDER, BOX): Collision(CONVEX, 4),
    (CYLINDER, MESH): Collision(CONVEX, 4),
    **{(HFIELD, kind): Collision(FIELD, MAX_CONTACTS) for kind in (SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX, MESH)},
}
_KINDS = int(mujoco.mjtGeom.mjNGEOMTYPES)
_FAMILY, _MAX_CONTACTS = np.full(_KINDS * _KINDS, -1, np.int32), np.zeros(_KINDS * _KINDS, np.int32)
for (_first, _second), _collision in COLLISIONS.items():
    for _kinds in (_first * _KINDS + _second, _second * _KINDS + _first):
        _FAMILY[_kinds], _MAX_CONTACTS[_kinds] = _collision
CAP_SIDES = 16  # corners of the polygon that stands for the cap of a cylinder
CCD_ITERATIONS = 100  # most of GJK and EPA, unless the model asks for more
_BLOCK = 1 << 18  # pairs of geoms that are looked at at once


class Pairs(NamedTuple):
    """Pairs of geoms that may collide, in the order of `Model`'s con_* fields."""

    geom: Ints  # (npair, 2) ascending
    listed: Ints  # (npair) index in MuJoCo's list of pairs, -1: not in it
    place: Ints  # (npair, 3) how they are found: see `contact_groups.places_of`
    family: Ints  # (npair) -1: they cannot collide
    max_contacts: Ints  # (npair)


_NO_PAIRS = Pairs(*(np.zeros(shape, np.int64) for shape in ((0, 2), 0, (0, 3), 0, 0)))


def possible_contact_pairs(m: Source) -> Pairs:
    """All pairs that the filters let through: those of one group after the others (`contact_groups.py`).

    One that is listed twice collides twice, as in MuJoCo.
    """
    if not contacts_enabled(m):
        return _NO_PAIRS
    found = _unlisted_pairs(m)
    listed = ascending(np.stack([m.pair_geom1, m.pair_geom2], axis=1).astype(np.int64))
    if len(listed):
        found = found[~np.isin(found @ [m.ngeom, 1], listed @ [m.ngeom, 1])]
    geom = np.concatenate([found, listed])
    index = np.concatenate([np.full(len(found), -1), np.arange(len(listed))])
    place = places_of(m, geom)
    order = in_groups(m, geom, index, place)
    geom, types = geom[order], m.geom_type.astype(np.int64)
    kinds = types[geom[:, 0]] * _KINDS + types[geom[:, 1]]
    family = _FAMILY[kinds]
    return Pairs(geom, index[order], place[order], family, np.minimum(_MAX_CONTACTS[kinds], _prisms(m, geom, family)))


def _prisms(m: Source, geom: Ints, family: Ints) -> Ints:
    """How many prisms the height field of each pair (npair) has, each with a contact at most; no bound for others."""
    count = np.full(len(geom), MAX_CONTACTS)
    of_field = family == FIELD
    if np.any(of_field):
        pair = geom[of_field]
        field = m.geom_dataid[np.where(m.geom_type[pair[:, 0]] == HFIELD, pair[:, 0], pair[:, 1])]
        count[of_field] = 2 * (m.hfield_nrow[field] - 1) * (m.hfield_ncol[field] - 1)
    return count


def contacts_enabled(m: Source) -> bool:
    """Whether the option flags let geoms collide."""
    bit = mujoco.mjtDisableBit
    return not int(m.opt.disableflags) & (int(bit.mjDSBL_CONSTRAINT) | int(bit.mjDSBL_CONTACT))


def _unlisted_pairs(m: Source) -> Ints:
    """Pairs (n, 2) that contype, conaffinity, bodies and exclusions let through."""
    weld = m.body_weldid[m.geom_bodyid]
    parent = m.body_weldid[m.body_parentid[weld]]
    family = not int(m.opt.disableflags) & int(mujoco.mjtDisableBit.mjDSBL_FILTERPARENT)
    able = (m.geom_contype | m.geom_conaffinity) != 0
    free = m.body_dofnum[weld] > 0
    moving = np.flatnonzero(able & free)
    geoms = np.concatenate([moving, np.flatnonzero(able & ~free)])  # two that no force can move never collide
    found = [np.zeros((0, 2), np.int64)]
    rows = max(1, _BLOCK // max(1, len(geoms)))
    for start in range(0, len(moving), rows):
        a, b = moving[start : start + rows, None], geoms[None, start + 1 :]
        allowed = ((m.geom_contype[a] & m.geom_conaffinity[b]) | (m.geom_contype[b] & m.geom_conaffinity[a])) != 0
        allowed &= weld[a] != weld[b]
        if family:
            allowed &= ((weld[a] != parent[b]) & (weld[b] != parent[a])) | (weld[b] == 0)
        allowed = np.triu(allowed)
        i, j = np.nonzero(allowed)
        found.append(ascending(np.stack([a[i, 0], b[0, j]], axis=1)))
    pairs = np.concatenate(found)
    if m.nexclude:
        bodies = ascending(m.geom_bodyid.astype(np.int64)[pairs])
        pairs = pairs[~np.isin((bodies[:, 0] << 16) + bodies[:, 1], m.exclude_signature)]
    return pairs


def pair_fields(m: Source, pairs: Pairs) -> dict[str, Any]:
    """The fields of `Model` that say which pairs there are, and how much room their contacts need."""
    first, second = pairs.geom.T.astype(np.int32)
    descending = m.geom_type[first] > m.geom_type[second]
    contacts = int(pairs.max_contacts.sum())
    return {
        "npair": len(pairs.geom),
        "nconmax": contacts,
        **_convex_sizes(m, contacts if np.any((pairs.family == CONVEX) | (pairs.family == FIELD)) else 0),
        "con_geom": np.stack([np.where(descending, second, first), np.where(descending, first, second)], axis=1),
        "con_family": pairs.family,
    }


def _convex_sizes(m: Source, contacts: int) -> dict[str, int]:
    """Sizes of what the general convex routine works in: nothing where no contact needs it."""
    if not contacts:
        return dict.fromkeys(("nconvex", "nccdvert", "nccdface", "nside", "nclip"), 0)
    vertices = 5 + max(CCD_ITERATIONS, int(m.opt.ccd_iterations))
    sides = max(CAP_SIDES, m.mesh_polyvertnum.max(initial=0), m.mesh_polymapnum.max(initial=0))
    return {
        "nconvex": contacts,
        "nccdvert": vertices,
        "nccdface": 2 * vertices,  # a polytope of n vertices has 2 n - 4
        "nside": int(sides),
        "nclip": 2 * int(sides) + 8,
    }

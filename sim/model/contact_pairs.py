"""Pairs of geoms that may collide, and their contact parameters, combined once per model.

MuJoCo documentation, Computation, Collision, "Selection" and Modeling, "Contact parameters":
excluded body pairs, geoms welded to each other, two bodies that nothing can move, parent and child
bodies (unless disabled or the parent is static), contype and conaffinity; explicitly listed pairs
skip all of these.
"""

from typing import Any, NamedTuple

import mujoco
import numpy as np

from ..kernels.enums import BOX, CAPSULE, CYLINDER, ELLIPSOID, MESH, PLANE, SPHERE
from .contact_groups import group_fields, in_groups

ROUND, BOXED, BOXES, RIMMED, CONVEX = 0, 1, 2, 3, 4  # families of pairs: each has its file in `collision/`


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
}
CAP_SIDES = 16  # corners of the polygon that stands for the cap of a cylinder
CCD_ITERATIONS = 100  # most of GJK and EPA, unless the model asks for more
MIN_FRICTION = 1e-5
_PARAMETERS = ("friction", "solref", "solimp")
# fields of MuJoCo's model that the parameters of pairs are made of
CONTACT_SOURCES = (*(f"{owner}_{name}" for owner in ("geom", "pair") for name in _PARAMETERS), "pair_solreffriction")


class ContactParameters(NamedTuple):
    """What a contact of one pair of geoms needs to know."""

    geom: tuple[int, int]
    dim: int
    friction: np.ndarray
    solref: np.ndarray
    solreffriction: np.ndarray
    solimp: np.ndarray
    margin: float
    gap: float


def possible_contact_pairs(m: mujoco.MjModel) -> list[tuple[tuple[int, int], int]]:
    """All pairs (geom1, geom2), geom1 < geom2, that the filters let through, and their index in the list of pairs.

    In order, but for pairs of geoms in two trees: these come last, group by group (`contact_groups.py`).

    The index is -1 for pairs that are not listed; one that is listed twice collides twice, as in MuJoCo.
    """
    first, second = np.triu_indices(m.ngeom, k=1)
    mask = (m.geom_contype[first] & m.geom_conaffinity[second]) | (m.geom_contype[second] & m.geom_conaffinity[first])
    body1, body2 = m.geom_bodyid[first], m.geom_bodyid[second]
    weld1, weld2 = m.body_weldid[body1], m.body_weldid[body2]
    # no forces can act between bodies without degrees of freedom: static or mocap
    allowed = (mask != 0) & (weld1 != weld2) & ((m.body_dofnum[weld1] > 0) | (m.body_dofnum[weld2] > 0))
    if not int(m.opt.disableflags) & int(mujoco.mjtDisableBit.mjDSBL_FILTERPARENT):
        parent1 = m.body_weldid[m.body_parentid[weld1]]
        parent2 = m.body_weldid[m.body_parentid[weld2]]
        related = ((weld1 == parent2) & (weld1 != 0)) | ((weld2 == parent1) & (weld2 != 0))
        related &= (weld1 != 0) & (weld2 != 0)
        allowed &= ~related
    excluded = set(int(s) for s in m.exclude_signature)
    signature = (np.minimum(body1, body2).astype(np.int64) << 16) + np.maximum(body1, body2)
    allowed &= ~np.isin(signature, list(excluded)) if excluded else True
    found = {(int(a), int(b)) for a, b in zip(first[allowed], second[allowed], strict=True)}
    geoms = enumerate(zip(m.pair_geom1, m.pair_geom2, strict=True))
    listed = [((min(int(a), int(b)), max(int(a), int(b))), i) for i, (a, b) in geoms]
    return in_groups(m, [(pair, -1) for pair in found - {pair for pair, _ in listed}] + listed)


def contact_table(m: mujoco.MjModel) -> list[ContactParameters]:
    """Parameters of every possible pair."""
    return [_explicit(m, i, pair) if i >= 0 else _combined(m, pair) for pair, i in possible_contact_pairs(m)]


def _ordered(m: mujoco.MjModel, pair: tuple[int, int]) -> tuple[int, int]:
    a, b = pair
    return (a, b) if int(m.geom_type[a]) <= int(m.geom_type[b]) else (b, a)


def _explicit(m: mujoco.MjModel, i: int, pair: tuple[int, int]) -> ContactParameters:
    friction = np.maximum(m.pair_friction[i], MIN_FRICTION)
    reffriction = m.pair_solreffriction[i]
    return ContactParameters(
        _ordered(m, pair), int(m.pair_dim[i]), friction, m.pair_solref[i],
        reffriction if np.any(reffriction) else m.pair_solref[i],
        m.pair_solimp[i], float(m.pair_margin[i]), float(m.pair_gap[i]),
    )  # fmt: skip


def _combined(m: mujoco.MjModel, pair: tuple[int, int]) -> ContactParameters:
    """Parameters of a pair that is not listed: of the geom of higher priority, or of both."""
    a, b = pair
    margin, gap = float(m.geom_margin[a] + m.geom_margin[b]), float(m.geom_gap[a] + m.geom_gap[b])
    if int(m.geom_priority[a]) != int(m.geom_priority[b]):
        g = a if m.geom_priority[a] > m.geom_priority[b] else b
        dim, friction = int(m.geom_condim[g]), m.geom_friction[g]
        solref, solimp = m.geom_solref[g], m.geom_solimp[g]
    else:
        dim = max(int(m.geom_condim[a]), int(m.geom_condim[b]))
        friction = np.maximum(m.geom_friction[a], m.geom_friction[b])
        blend = mix(float(m.geom_solmix[a]), float(m.geom_solmix[b]))
        standard = m.geom_solref[a, 0] > 0 and m.geom_solref[b, 0] > 0
        blended = blend * m.geom_solref[a] + (1 - blend) * m.geom_solref[b]
        solref = blended if standard else np.minimum(m.geom_solref[a], m.geom_solref[b])
        solimp = blend * m.geom_solimp[a] + (1 - blend) * m.geom_solimp[b]
    spread = np.maximum(friction[[0, 0, 1, 2, 2]], MIN_FRICTION)
    return ContactParameters(_ordered(m, pair), dim, spread, solref, solref, solimp, margin, gap)


def mix(a: float, b: float) -> float:
    """Weight of the first geom's solver parameters, from both solmix."""
    if a >= 1e-15 and b >= 1e-15:
        return a / (a + b)
    if a < 1e-15 and b < 1e-15:
        return 0.5
    return 0.0 if a < 1e-15 else 1.0


def collision_of(m: mujoco.MjModel, pair: tuple[int, int]) -> Collision:
    """How the geoms of an ordered pair collide."""
    return COLLISIONS[int(m.geom_type[pair[0]]), int(m.geom_type[pair[1]])]


def contact_fields(m: mujoco.MjModel, enabled: bool) -> dict[str, Any]:
    """The `con_*` fields of `Model`."""
    table = contact_table(m) if enabled else []
    n = len(table)

    def column(name: str, width: int) -> np.ndarray:
        return np.array([getattr(row, name) for row in table], np.float64).reshape((n, width) if width else n)

    geom = np.array([row.geom for row in table], np.int32).reshape(n, 2)
    margin, gap = column("margin", 0), column("gap", 0)
    collisions = [collision_of(m, row.geom) for row in table]
    return {
        "npair": n,
        "nconmax": sum(collision.max_contacts for collision in collisions),
        **_convex_sizes(m, collisions),
        "con_geom": geom,
        "con_family": np.array([collision.family for collision in collisions], np.int32),
        "con_dim": np.array([row.dim for row in table], np.int32),
        "con_friction": column("friction", 5),
        "con_solref": column("solref", 2),
        "con_solreffriction": column("solreffriction", 2),
        "con_solimp": column("solimp", 5),
        "con_margin": margin,
        "con_gap": gap,
        **group_fields(m, geom, margin + gap),
    }


def _convex_sizes(m: mujoco.MjModel, collisions: list[Collision]) -> dict[str, int]:
    """Sizes of what the general convex routine works in: nothing where no pair needs it."""
    if all(collision.family != CONVEX for collision in collisions):
        return dict.fromkeys(("nconvex", "nccdvert", "nccdface", "nside", "nclip"), 0)
    vertices = 5 + max(CCD_ITERATIONS, int(m.opt.ccd_iterations))
    sides = max([CAP_SIDES, *(int(n) for n in m.mesh_polyvertnum), *(int(n) for n in m.mesh_polymapnum)])
    return {
        "nconvex": sum(collision.max_contacts for collision in collisions),
        "nccdvert": vertices,
        "nccdface": 2 * vertices,  # a polytope of n vertices has 2 n - 4
        "nside": sides,
        "nclip": 2 * sides + 8,
    }

"""Which pairs of geoms may collide, by MuJoCo's static filters.

MuJoCo documentation, Computation, Collision, "Selection": excluded body pairs, geoms welded to
each other, parent and child bodies (unless disabled or the parent is static), contype and
conaffinity; explicitly listed pairs skip all of these.
"""

import mujoco
import numpy as np


def possible_contact_pairs(m: mujoco.MjModel) -> list[tuple[int, int]]:
    """All pairs (geom1, geom2), geom1 < geom2, that the filters let through."""
    listed = {tuple(sorted((int(a), int(b)))) for a, b in zip(m.pair_geom1, m.pair_geom2, strict=True)}
    first, second = np.triu_indices(m.ngeom, k=1)
    mask = (m.geom_contype[first] & m.geom_conaffinity[second]) | (m.geom_contype[second] & m.geom_conaffinity[first])
    body1, body2 = m.geom_bodyid[first], m.geom_bodyid[second]
    weld1, weld2 = m.body_weldid[body1], m.body_weldid[body2]
    allowed = (mask != 0) & (weld1 != weld2)
    if not int(m.opt.disableflags) & int(mujoco.mjtDisableBit.mjDSBL_FILTERPARENT):
        parent1 = m.body_weldid[m.body_parentid[weld1]]
        parent2 = m.body_weldid[m.body_parentid[weld2]]
        related = ((weld1 == parent2) & (weld1 != 0)) | ((weld2 == parent1) & (weld2 != 0))
        allowed &= ~related
    excluded = set(int(s) for s in m.exclude_signature)
    signature = (np.minimum(body1, body2).astype(np.int64) << 16) + np.maximum(body1, body2)
    allowed &= ~np.isin(signature, list(excluded)) if excluded else True
    found = {(int(a), int(b)) for a, b in zip(first[allowed], second[allowed], strict=True)}
    return sorted(found | {(a, b) for a, b in listed})

"""`contact_softness`: contacts that push before they touch, as a change of MuJoCo's own model.

A hard contact tells nothing before it touches: derivatives of a fall towards it are zero. With
softness s [m] the margin of every pair of geoms grows by s, and its impedance rises from
zero at that distance to where it was at penetration `width` (solimp; the width grows by s): a
force that starts softly at distance s, and bodies at rest that hover up to s above the
ground. The impedance at the start falls from solimp's own to zero while s grows from 0 to
`width` (MuJoCo's default: 1 mm), so that small s tend to the hard contact, and 0 is MuJoCo's own meaning.
Being MuJoCo's model that changes, both backends mean the same.
"""

from typing import Any

import numpy as np

from .source import Source

SOFTENED = {"geom_margin", "pair_margin", "geom_solimp", "pair_solimp"}


def softened(m: Source, softness: float) -> dict[str, Any]:
    """The fields of `m` that softness changes, as they are with it; none for softness 0."""
    if not (np.isfinite(softness) and softness >= 0.0):
        raise ValueError(f"contact_softness is {softness}, need a distance in metres, 0 or more")
    if softness == 0.0:
        return {}
    changed = {
        "geom_margin": m.geom_margin + 0.5 * softness,  # those of both geoms add up
        "pair_margin": m.pair_margin + softness,
    }
    for name in ("geom_solimp", "pair_solimp"):
        solimp = np.array(getattr(m, name))
        width = solimp[:, 2]
        solimp[:, 0] *= 1.0 - np.minimum(1.0, softness / np.maximum(width, 1e-12))
        width += softness
        changed[name] = solimp
    return changed

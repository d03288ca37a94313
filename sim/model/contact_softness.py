"""`contact_softness`: contacts that push before they touch, as a change of MuJoCo's own model.

A hard contact tells nothing before it touches: derivatives of a fall towards it are zero. With
softness s [m] the margin of every pair of geoms grows by s, and its impedance rises from
zero at that distance to where it was at penetration `width` (solimp; the width grows by s): a
force that starts softly at distance s, and bodies at rest that hover up to s above the
ground. The impedance at the start falls from solimp's own to zero while s grows from 0 to
`width` (MuJoCo's default: 1 mm), so that small s tend to the hard contact, and 0 is MuJoCo's own meaning.
Being MuJoCo's model that changes, both backends mean the same.
"""

import copy

import mujoco
import numpy as np


def softened(mj_model: mujoco.MjModel, softness: float) -> mujoco.MjModel:
    """A copy of `mj_model` with softer contacts; the model itself for softness 0."""
    if not (np.isfinite(softness) and softness >= 0.0):
        raise ValueError(f"contact_softness is {softness}, need a distance in metres, 0 or more")
    if softness == 0.0:
        return mj_model
    m = copy.copy(mj_model)
    m.geom_margin[:] += 0.5 * softness  # those of both geoms add up
    m.body_margin[m.body_geomnum > 0] += 0.5 * softness  # what MuJoCo's broad phase sees
    m.pair_margin[:] += softness
    for solimp in (m.geom_solimp, m.pair_solimp):
        width = solimp[:, 2]
        solimp[:, 0] *= 1.0 - np.minimum(1.0, softness / np.maximum(width, 1e-12))
        width += softness
    return m

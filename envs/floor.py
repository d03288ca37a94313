"""Floors without an end, in pictures: contacts know no other planes, and who walks far shall be seen to stand on it."""

import mujoco
import numpy as np
from numpy.typing import NDArray

_GROUND = 4.0  # a plane that is drawn so large to all sides is no table [m]


def endless_floors(m: mujoco.MjModel) -> NDArray[np.int64]:
    """Geoms that are floors, whose drawn half sizes a picture shall take as 0, MuJoCo's word for endless.

    Their materials are changed so that textures keep their size: on endless planes they repeat for each metre, not
    for each plane. A material that something else has too is left as it is.
    """
    plane = (m.geom_type == mujoco.mjtGeom.mjGEOM_PLANE) & (m.geom_bodyid == 0)
    floors = np.flatnonzero(plane & (m.geom_size[:, :2] >= _GROUND).all(axis=1))
    for floor in floors:
        material = m.geom_matid[floor]
        if material >= 0 and not m.mat_texuniform[material] and (m.geom_matid == material).sum() == 1:
            m.mat_texrepeat[material] /= m.geom_size[floor, :2]
            m.mat_texuniform[material] = 1
    return floors

"""The hopper: a planar leg with three motors. Gymnasium's `Hopper-v5`."""

from dataclasses import dataclass

import numpy as np

from ..arrays import Array, namespace
from .locomotion import PlanarBalance, PlanarBalanceConstants


@dataclass(frozen=True)
class HopperConstants(PlanarBalanceConstants):
    """Keyword arguments of `Hopper-v5`."""

    xml_file: str = "hopper.xml"
    healthy_state_range: tuple[float, float] = (-100.0, 100.0)
    healthy_z_range: tuple[float, float] = (0.7, np.inf)  # [m]
    healthy_angle_range: tuple[float, float] = (-0.2, 0.2)  # [rad]


class Hopper(PlanarBalance):
    """Observation (11): height, pitch, 3 joint angles, and the velocities of all 6 coordinates, clipped to 10.

    `healthy_state_range` holds for the velocities before clipping: `observed_terminal` cannot see one beyond it.
    """

    serves_numpy = True
    counterpart_id = "Hopper-v5"
    constants_type = HopperConstants

    def healthy(self, qpos: Array, qvel: Array) -> Array:
        low, high = self.constants.healthy_state_range
        rest = namespace(qvel).concatenate([qpos[..., 2:], qvel], axis=-1)
        return super().healthy(qpos, qvel) & ((low < rest) & (rest < high)).all(-1)

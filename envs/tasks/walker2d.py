"""The walker: two planar legs with six motors. Gymnasium's `Walker2d-v5`."""

from dataclasses import dataclass

from .locomotion import PlanarBalance, PlanarBalanceConstants


@dataclass(frozen=True)
class Walker2dConstants(PlanarBalanceConstants):
    """Keyword arguments of `Walker2d-v5`."""

    xml_file: str = "walker2d_v5.xml"
    healthy_z_range: tuple[float, float] = (0.8, 2.0)  # [m]
    healthy_angle_range: tuple[float, float] = (-1.0, 1.0)  # [rad]


class Walker2d(PlanarBalance):
    """Observation (17): height, pitch, 6 joint angles, and the velocities of all 9 coordinates, clipped to 10."""

    serves_numpy = True
    counterpart_id = "Walker2d-v5"
    constants_type = Walker2dConstants

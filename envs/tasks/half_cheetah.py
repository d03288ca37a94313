"""The half cheetah: a planar robot with six motors that cannot fall. Gymnasium's `HalfCheetah-v5`."""

from dataclasses import dataclass

from .locomotion import Locomotion, LocomotionConstants


@dataclass(frozen=True)
class HalfCheetahConstants(LocomotionConstants):
    """Keyword arguments of `HalfCheetah-v5`."""

    xml_file: str = "half_cheetah.xml"
    frame_skip: int = 5
    ctrl_cost_weight: float = 0.1
    reset_noise_scale: float = 0.1


class HalfCheetah(Locomotion):
    """Observation (17): height, pitch, 6 joint angles, and the velocities of all 9 coordinates."""

    serves_numpy = True
    counterpart_id = "HalfCheetah-v5"
    constants_type = HalfCheetahConstants
    normal_velocities = True

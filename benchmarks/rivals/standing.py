"""The robot, start and loss that all sides of the tables about one Laikago share.

Laikago stands still on a floor. Servos hold its joints in place: under constant torques alone it
falls within 1.5 s, and 5,000 steps are ten. Needs nothing but MuJoCo, which also settles it.
"""

from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

_LAIKAGO = Path(__file__).resolve().parent.parent.parent / "envs" / "assets" / "laikago.xml"
FEET = ("FR_foot", "FL_foot", "RR_foot", "RL_foot")
STIFFNESS, DAMPING = 200.0, 4.0  # of a servo [N m/rad], [N m s/rad]
_SETTLING_STEPS = 2000


class Start(NamedTuple):
    """Where every side begins."""

    qpos: NDArray[np.float64]  # (19,)
    qvel: NDArray[np.float64]  # (18,)
    ctrl: NDArray[np.float64]  # (12,) angles that the servos hold [rad]


def robot(feet_only: bool = False) -> mujoco.MjSpec:
    """Laikago with servos in place of motors; with `feet_only`, of its geoms only the four feet, which touch the floor.

    Its links have their inertias of their own, so that geoms weigh nothing.
    """
    spec = mujoco.MjSpec.from_file(str(_LAIKAGO))
    for actuator in spec.actuators:
        actuator.forcerange, actuator.forcelimited = actuator.ctrlrange, int(mujoco.mjtLimited.mjLIMITED_TRUE)
        actuator.ctrllimited = int(mujoco.mjtLimited.mjLIMITED_FALSE)
        actuator.set_to_position(kp=STIFFNESS, kv=DAMPING)
    if feet_only:
        for geom in spec.geoms:
            if geom.name == "floor":
                geom.contype, geom.conaffinity = 0, 1
            elif geom.name in FEET:
                geom.contype, geom.conaffinity = 1, 0
            else:
                spec.delete(geom)
    return spec


def start() -> Start:
    m = robot().compile()
    d = mujoco.MjData(m)
    mujoco.mj_resetDataKeyframe(m, d, 0)
    d.ctrl[:] = m.key_qpos[0, 7:]
    mujoco.mj_step(m, d, nstep=_SETTLING_STEPS)
    return Start(d.qpos.copy(), d.qvel.copy(), d.ctrl.copy())


def cotangent() -> NDArray[np.float64]:
    """The loss is this times the tangent (position, velocity) of the last state."""
    return np.random.default_rng(0).normal(size=36)

"""What the tables of speed and memory simulate: the Laikago, standing on the floor for as long as one likes.

Its motors are position servos with the gains of the PD controller that makes it stand, so that the
controls are constant and it stands for 5,000 steps. Constant torques would not do: with them it
leans over after a second and lies after two, and the later steps are those of another scene.
"""

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from gradgym.envs import ASSETS

STIFFNESS = 200.0  # [N m / rad]
DAMPING = 4.0  # [N m s / rad]
SETTLING_SECONDS = 2.0


class Standing(NamedTuple):
    """A model, a state at rest on its four feet, and the controls that keep it there: the joints' targets [rad]."""

    model: mujoco.MjModel
    qpos: NDArray[np.float64]
    qvel: NDArray[np.float64]
    ctrl: NDArray[np.float64]


def standing() -> Standing:
    """The Laikago after two seconds on its feet, its solver Newton and its cones pyramidal."""
    spec = mujoco.MjSpec.from_file(str(ASSETS / "laikago.xml"))
    for motor in spec.actuators:
        motor.set_to_position(kp=STIFFNESS, kv=DAMPING)
        motor.ctrllimited = int(mujoco.mjtLimited.mjLIMITED_FALSE)  # its range is one of torques
    m = spec.compile()
    d = mujoco.MjData(m)
    mujoco.mj_resetDataKeyframe(m, d, 0)
    d.ctrl[:] = m.key_qpos[0, 7:]
    mujoco.mj_step(m, d, nstep=round(SETTLING_SECONDS / m.opt.timestep))
    return Standing(m, d.qpos.copy(), d.qvel.copy(), d.ctrl.copy())

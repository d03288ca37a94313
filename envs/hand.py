"""Hands and arms in a scene, with servos that follow integrated command rates.

A command is a servo's position; what is controlled is its rate, and the command is the servo's activation
(MuJoCo's dyntype "integrator", as in its <intvelocity>). It cannot leave the servo's range.
"""

import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import mujoco
import numpy as np

from . import ASSETS

ARM = ASSETS / "arm.xml"
SHADOW_HAND = ASSETS / "shadow_hand.xml"

FINGER_RATE = 3.0  # greatest rate of a finger's command [rad/s]
ARM_RATE = 1.5
# Joints of a hand that are no finger's, of ours and of Menagerie's.
_WRIST_RATES: dict[str, float] = {"WRJ1": 2.0, "WRJ2": 2.0, "rh_WRJ1": 2.0, "rh_WRJ2": 2.0}


def attach_hand(scene: mujoco.MjSpec, site: str, file: str | Path = SHADOW_HAND) -> None:
    """Attaches a hand's MJCF to a site of the scene; names stay as they are.

    ValueError if the file cannot be read; others see `command_rates`.
    """
    _attach(scene, site, file, FINGER_RATE, _WRIST_RATES)


def attach_arm(scene: mujoco.MjSpec, site: str) -> None:
    """Attaches the arm, whose site "flange" takes a hand, to a site of the scene."""
    _attach(scene, site, ARM, ARM_RATE, {})


def _attach(scene: mujoco.MjSpec, site: str, file: str | Path, rate: float, others: Mapping[str, float]) -> None:
    try:
        child = mujoco.MjSpec.from_file(str(file))
    except ValueError as error:
        raise ValueError(f"cannot read the MJCF {str(file)!r}: {str(error).splitlines()[0]}") from None
    command_rates(child, rate, others)
    # The scene's options hold; MuJoCo warns where an attached model's differ.
    for option in ("timestep", "integrator", "cone", "impratio", "tolerance"):
        setattr(child.option, option, getattr(scene.option, option))
    with _names_as_they_are():
        scene.attach(child, site=site, prefix="")


def compiled(scene: mujoco.MjSpec, start: Mapping[str, float]) -> mujoco.MjModel:
    """The model, with a keyframe "start": joints at the angles given by name [rad], commands where the joints are.

    Names count without Menagerie's prefix "rh_"; joints without an angle are at zero, or at the end of their range
    that is next to it. What is not a hinge stays where the file has it.
    """
    with _names_as_they_are():
        m = scene.compile()
        qpos, act = m.qpos0.copy(), np.zeros(m.na)
        for i in range(m.njnt):
            if int(m.jnt_type[i]) == mujoco.mjtJoint.mjJNT_HINGE:
                low, high = m.jnt_range[i] if m.jnt_limited[i] else (-np.inf, np.inf)
                qpos[m.jnt_qposadr[i]] = np.clip(start.get(m.joint(i).name.removeprefix("rh_"), 0.0), low, high)
        data = mujoco.MjData(m)
        data.qpos[:] = qpos
        mujoco.mj_fwdPosition(m, data)
        act[m.actuator_actadr] = np.clip(data.actuator_length, *m.actuator_actrange.T)
        scene.add_key(name="start", qpos=qpos, act=act)
        return scene.compile()


@contextmanager
def _names_as_they_are() -> Generator[None]:
    """Without MuJoCo's warning that what was attached without a prefix may be saved wrongly: nothing is saved."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Attaching a spec with an empty prefix")
            yield
    finally:
        mujoco.set_mju_user_warning(before)


def command_rates(spec: mujoco.MjSpec, rate: float, others: Mapping[str, float] = MappingProxyType({})) -> None:
    """Turns position actuators into servos whose command is integrated from ctrl, its rate [rad/s].

    A former ctrlrange limits the command (actrange); the new one is the greatest rate, to both sides: `rate`, or
    what `others` has under an actuator's name. ValueError if there is no actuator, one is not a position servo,
    or it has no range.
    """
    if not spec.actuators:
        raise ValueError(f"model {spec.modelname!r} has no actuators: give each joint a <position> with a ctrlrange")
    for servo in spec.actuators:
        fixed = servo.dyntype == mujoco.mjtDyn.mjDYN_NONE and servo.biastype == mujoco.mjtBias.mjBIAS_AFFINE
        if not fixed or not servo.gainprm[0] == -servo.biasprm[1] > 0:
            raise ValueError(f"actuator {servo.name!r} is not a position servo: make it a <position> with kp > 0")
        if not servo.ctrlrange[0] < servo.ctrlrange[1]:
            raise ValueError(f"actuator {servo.name!r}: give it a ctrlrange, the range of its command")
        limit = others.get(servo.name, rate)
        servo.dyntype, servo.actdim = mujoco.mjtDyn.mjDYN_INTEGRATOR, 1
        servo.actlimited, servo.actrange = mujoco.mjtLimited.mjLIMITED_TRUE, servo.ctrlrange.copy()
        servo.ctrllimited, servo.ctrlrange = mujoco.mjtLimited.mjLIMITED_TRUE, [-limit, limit]

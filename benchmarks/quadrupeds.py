"""Several Laikagos in one scene, standing beside each other on one floor.

Each is the robot of the tables about one (`rivals/standing.py`: servos hold its joints). They stand too far
apart to touch, so that a scene of n costs n times what one costs, if the engine sees that.
"""

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray
from rivals import standing

from gradgym import sim

DISTANCE = 1.5  # from robot to robot [m]


class Scene(NamedTuple):
    """A model and where it stands."""

    model: mujoco.MjModel
    state: sim.State
    ctrl: NDArray[np.float64]  # (12 n,) angles that the servos hold [rad]


def quadrupeds(count: int) -> Scene:
    """`count` robots in rows of five."""
    robot, scene = standing.robot(), mujoco.MjSpec()
    scene.option.timestep = robot.option.timestep
    floor = next(geom for geom in robot.geoms if geom.name == "floor")
    scene.worldbody.add_geom(
        type=floor.type, size=floor.size, contype=floor.contype, conaffinity=floor.conaffinity, friction=floor.friction
    )
    places = [np.array([DISTANCE * (i // 5), DISTANCE * (i % 5), 0.0]) for i in range(count)]
    for i, place in enumerate(places):
        frame = scene.worldbody.add_frame(pos=place)
        frame.attach_body(standing.robot().body("trunk"), f"{i}_", "")
    start = standing.start()
    qpos = [np.concatenate([start.qpos[:3] + place, start.qpos[3:]]) for place in places]
    state = sim.State(np.concatenate(qpos), np.tile(start.qvel, count), np.empty(0))
    return Scene(scene.compile(), state, np.tile(start.ctrl, count))

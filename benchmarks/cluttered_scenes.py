"""Scenes of many geoms that never move: a kitchen with an arm, steps with a quadruped, a table with two arms."""

from collections.abc import Callable

import mujoco
import numpy as np

from gradgym.envs import ASSETS


def kitchen(count: int = 600) -> mujoco.MjSpec:
    """An arm of nine joints, its links meshes, between `count` boxes and meshes of shelves and walls."""
    spec, rng = mujoco.MjSpec(), np.random.default_rng(0)
    spec.option.timestep = 0.002
    for name in ("link", "pot"):
        corners = rng.normal(size=(40, 3))
        corners *= np.array([0.05, 0.05, 0.12]) / np.linalg.norm(corners, axis=1)[:, None]
        spec.add_mesh(name=name, uservert=corners.ravel())
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1])
    for i in range(count):
        angle, height = rng.uniform(0.4, 2 * np.pi - 0.4), rng.uniform(0.1, 2.0)
        place = [*(rng.uniform(0.75, 1.6) * np.array([np.cos(angle), np.sin(angle)])), height]
        if i % 3 == 0:
            spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_MESH, meshname="pot", pos=place, euler=[0, 0, np.degrees(angle)]
            )
        else:
            spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX, size=rng.uniform(0.01, 0.2, size=3), pos=place, euler=[0, 0, angle]
            )
    _arm(spec, "", [0.0, 0.0, 0.3], 9)
    return spec


def _arm(spec: mujoco.MjSpec, prefix: str, place: list[float], joints: int) -> None:
    """A chain of links, held by position servos."""
    body = spec.worldbody
    for i in range(joints):
        body = body.add_body(name=f"{prefix}link{i}", pos=place if i == 0 else [0, 0, 0.15])
        axis = [0.0, 0.0, 0.0]
        axis[(2, 1, 0)[i % 3]] = 1.0
        body.add_joint(name=f"{prefix}joint{i}", axis=axis, range=[-2, 2], limited=True, damping=[2.0, 0, 0])
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="link", pos=[0, 0, 0.07], density=500)
        servo = spec.add_actuator(name=f"{prefix}servo{i}", target=f"{prefix}joint{i}")
        servo.trntype = mujoco.mjtTrn.mjTRN_JOINT
        servo.set_to_position(kp=80.0)


def terrain(side: int = 32) -> mujoco.MjSpec:
    """Laikago on side x side boxes of uneven height."""
    spec, rng = mujoco.MjSpec.from_file(str(ASSETS / "laikago.xml")), np.random.default_rng(0)
    for x in range(side):
        for y in range(side):
            spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[0.1, 0.1, 0.05],
                pos=[0.2 * (x - side / 2), 0.2 * (y - side / 2), rng.uniform(-0.045, -0.02)],
            )
    return spec


def table() -> mujoco.MjSpec:
    """Two arms with pads of boxes on a table with a frame, and three things that lie on it."""
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.002
    rng = np.random.default_rng(1)
    corners = rng.normal(size=(40, 3))
    corners *= np.array([0.04, 0.04, 0.1]) / np.linalg.norm(corners, axis=1)[:, None]
    spec.add_mesh(name="link", uservert=corners.ravel())
    box = mujoco.mjtGeom.mjGEOM_BOX
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1], pos=[0, 0, -0.75])
    spec.worldbody.add_geom(type=box, size=[0.61, 0.37, 0.01], pos=[0, 0, -0.01])
    for x in (-0.6, 0.6):
        for y in (-0.4, 0.0, 0.4):
            spec.worldbody.add_geom(type=box, size=[0.02, 0.02, 0.7], pos=[x, y, 0.0])
        for z in (0.2, 0.7, 1.1):
            spec.worldbody.add_geom(type=box, size=[0.02, 0.4, 0.02], pos=[x, 0, z])
    for z in (0.2, 0.7, 1.1):
        for y in (-0.4, 0.4):
            spec.worldbody.add_geom(type=box, size=[0.6, 0.02, 0.02], pos=[0, y, z])
    for prefix, x in (("left", -0.3), ("right", 0.3)):
        _arm(spec, prefix, [x, 0.0, 0.02], 6)
        palm = spec.body(f"{prefix}link5")
        for i, side in enumerate((-1.0, 1.0)):
            finger = palm.add_body(name=f"{prefix}finger{i}", pos=[0, side * 0.03, 0.18])
            finger.add_joint(
                type=mujoco.mjtJoint.mjJNT_SLIDE,
                axis=[0, side, 0],
                range=[-0.02, 0.02],
                limited=True,
                damping=[5, 0, 0],
            )
            finger.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="link", pos=[0, 0, 0.05], density=200)
            for k in range(4):
                finger.add_geom(type=box, size=[0.01, 0.004, 0.01], pos=[0, 0, 0.02 * k], density=200)
    for i, x in enumerate((-0.1, 0.0, 0.1)):
        thing = spec.worldbody.add_body(pos=[x, 0.2, 0.03])
        thing.add_freejoint()
        thing.add_geom(type=(box, mujoco.mjtGeom.mjGEOM_CYLINDER, box)[i], size=[0.03, 0.03, 0.03], density=500)
    return spec


SCENES: dict[str, Callable[[], mujoco.MjSpec]] = {"kitchen": kitchen, "terrain": terrain, "table": table}

"""Scenes of several robots: Laikagos, and small ones of spheres and capsules that are quick to compile."""

from collections.abc import Sequence

import mujoco
import numpy as np

from gradgym.envs import ASSETS

Place = tuple[float, float, float]
BUG = """
    <body name="bug{i}" pos="{x} {y} {z}"><freejoint/>
      <geom type="capsule" size="0.06 0.1" euler="0 90 0"/>
      <body name="head{i}" pos="0.12 0 0"><joint name="neck{i}" axis="0 1 0.2" range="-40 40" damping="0.05"/>
        <geom size="0.05" pos="0.08 0 0"/></body>
      <body name="tail{i}" pos="-0.12 0 0"><joint name="rump{i}" axis="0 0.2 1" frictionloss="0.02" armature="0.01"/>
        <geom type="capsule" size="0.03" fromto="0 0 0 -0.15 0 -0.05"/></body></body>"""


def line(n: int, spacing: float, height: float) -> list[Place]:
    """Side by side."""
    return [(0.0, spacing * i, height) for i in range(n)]


def heap(n: int, spacing: float, height: float) -> list[Place]:
    """Close to one another and one above the other, in no order."""
    rng = np.random.default_rng(3)
    sites = [(spacing * (i % 2), spacing * (i // 2 % 2), height + spacing * (i // 4)) for i in range(n)]
    x, y, z = np.transpose(np.array(sites)[rng.permutation(n)] + rng.uniform(-0.03, 0.03, size=(n, 3)))
    return list(zip(x.tolist(), y.tolist(), z.tolist(), strict=True))


def ends_meet(n: int, spacing: float, height: float) -> list[Place]:
    """The last one beside the first, the others far away."""
    return [(0.0, 0.0, height), *((3.0 * i, 3.0, height) for i in range(1, n - 1)), (0.0, spacing, height)]


def laikagos(places: Sequence[Place]) -> mujoco.MjSpec:
    """A floor with Laikagos."""
    scene, robot = (mujoco.MjSpec.from_file(str(ASSETS / "laikago.xml")) for _ in range(2))
    scene.delete(scene.body("trunk"))
    for element in (*scene.actuators, *scene.keys):
        scene.delete(element)
    for element in (robot.geom("floor"), *robot.keys):
        robot.delete(element)
    for i, place in enumerate(places):
        scene.attach(robot.copy(), prefix=f"r{i}_", frame=scene.worldbody.add_frame(pos=place))
    return scene


def bugs(places: Sequence[Place], coupled: bool = False) -> mujoco.MjSpec:
    """A floor with small robots; `coupled`: a connect, a joint equality and a tendon hold some of them together."""
    n = len(places)
    bodies = "".join(BUG.format(i=i, x=x, y=y, z=z) for i, (x, y, z) in enumerate(places))
    motors = "".join(f'<motor joint="{joint}{i}" gear="0.3"/>' for i in range(n) for joint in ("neck", "rump"))
    couplings = f"""
      <tendon><fixed name="t" limited="true" range="-0.05 0.05" frictionloss="0.05">
        <joint joint="neck1" coef="1.5"/><joint joint="neck{n - 2}" coef="-1"/></fixed></tendon>
      <equality><connect body1="tail0" body2="head{n - 1}" anchor="-0.15 0 -0.05"/>
        <joint joint1="neck0" joint2="rump{n - 1}" polycoef="0 0.8 0.3 0 0"/></equality>"""
    return mujoco.MjSpec.from_string(f"""<mujoco>
      <option timestep="0.004"/><default><geom friction="0.6 0.01 0.002"/></default>
      <worldbody><geom type="plane" size="5 5 1"/>{bodies}</worldbody>
      {couplings if coupled else ""}<actuator>{motors}</actuator></mujoco>""")

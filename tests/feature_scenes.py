"""Two small mechanisms that between them use what robots do without, for the code that a GPU runs.

Of one kind each, so that all these features are compiled at once.
"""

from collections.abc import Callable

import mujoco
import numpy as np
from gpu_scenes import Scene

from gradgym import sim

_HILLS = " ".join(f"{x:.3f}" for x in np.random.default_rng(0).uniform(size=20))
_STONE = " ".join(f"{x:.3f}" for x in 0.1 * np.random.default_rng(7).normal(size=36))
_AFFINE = 'gaintype="affine" gainprm="1 .5 -.6" biastype="affine" biasprm=".2 -1 -.8"'
# A sphere, a box and a mesh on hills; an arm of muscles with a tendon around a cylinder and a sphere, whose hand clings
# to a ball; jets, a servo of two sites, a crank. All of it in wind and water.
_MUSCLES = f"""
<mujoco><option timestep=".004" integrator="implicit" density="300" viscosity=".5" wind=".3 -.2 .1"/>
<default><default class="clinging"><geom contype="2" conaffinity="2" margin=".02" gap=".01"/></default></default>
<asset><hfield name="hills" nrow="4" ncol="5" size=".8 .6 .2 .1" elevation="{_HILLS}"/>
  <mesh name="stone" vertex="{_STONE}"/></asset>
<worldbody><geom type="hfield" hfield="hills" conaffinity="0"/>
  <geom name="post" type="cylinder" size=".06 .3" pos=".1 1 1.05" euler="80 10 0" contype="0" conaffinity="0"/>
  <site name="anchor" pos="-.1 1.05 1.3"/><site name="above" pos=".1 1 1.4"/>
  <body pos="-.3 .1 .3"><freejoint/><geom size=".1" contype="0"/></body>
  <body pos=".1 -.2 .3"><freejoint/><geom type="box" size=".1 .08 .06" contype="0" fluidshape="ellipsoid"/>
    <site name="jet" pos=".05 0 .05" euler="20 10 0"/></body>
  <body pos=".4 .2 .35"><freejoint/><geom type="mesh" mesh="stone" contype="0"/></body>
  <body pos="0 1 1"><joint name="shoulder" axis="0 1 .2" damping=".3" armature=".02"/>
    <geom type="capsule" fromto="0 0 0 .3 0 0" size=".04" contype="0" conaffinity="0" fluidshape="ellipsoid"/>
    <site name="upper" pos=".2 0 .06"/>
    <body pos=".3 0 0"><joint name="elbow" axis=".1 1 0" damping=".2" armature=".02" stiffness="2"/>
      <geom name="joint" size=".05" contype="0" conaffinity="0"/>
      <geom type="capsule" fromto=".05 0 0 .25 0 0" size=".03" contype="0" conaffinity="0"/>
      <site name="lower" pos=".15 0 .05"/>
      <body name="hand" pos=".25 0 0"><joint name="wrist" type="slide" axis="1 0 .3" stiffness="20" damping="1"/>
        <geom size=".05" class="clinging"/><site name="palm" pos=".02 0 .05"/></body></body></body>
  <body name="held" pos=".68 1 1"><freejoint/><geom size=".08" class="clinging"/></body>
</worldbody>
<tendon>
  <spatial name="biceps" stiffness="3" damping=".2" limited="true" range=".2 .75" springlength=".4">
    <site site="anchor"/><geom geom="post" sidesite="above"/><site site="upper"/><geom geom="joint"/>
    <site site="lower"/>
  </spatial>
  <spatial armature=".05"><site site="anchor"/><site site="lower"/></spatial>
</tendon>
<actuator>
  <muscle tendon="biceps" lengthrange=".3 .9" force="30"/><muscle joint="elbow" lengthrange="-1.5 1.5" force="20"/>
  <general joint="wrist" dyntype="muscle" dynprm=".02 .05" actearly="true"/>
  <adhesion body="hand" ctrlrange="0 10" gain="2"/>
  <motor site="jet" gear=".7 -.4 1 .5 -.6 .8"/>
  <general site="palm" refsite="above" gear="1 -.5 .3 .2 .1 0" {_AFFINE} dyntype="filter" dynprm=".05"/>
  <general cranksite="palm" slidersite="anchor" cranklength="1.5" gear="1.3" {_AFFINE}/>
</actuator></mujoco>"""
# Moving surfaces, friction of all kinds without regulariser, equalities, a fixed tendon with armature, gravity that an
# actuator bears, a mocap body: by Gauss-Seidel.
_FACTORY = """
<mujoco><option timestep=".004" integrator="implicitfast" solver="PGS" cone="elliptic" iterations="400"
  noslip_iterations="30" noslip_tolerance="1e-8"/>
<default><geom condim="4" friction=".7 .03 .01"/></default>
<worldbody><geom type="box" size="2 2 .1" pos="0 0 -.1" surfacevel=".5 .2 0 0 0 .3"/>
  <body name="hook" mocap="true" pos="1 0 .6"/>
  <body pos="0 0 .098"><freejoint/><geom size=".1"/></body>
  <body pos=".4 0 .098"><freejoint/><geom type="box" size=".1 .12 .1"/></body>
  <body pos=".8 .3 .078"><freejoint/><geom type="cylinder" size=".1 .08" condim="6"/></body>
  <body name="load" pos="1 0 .3"><joint name="lift" type="slide" axis="0 0 1"/>
    <geom size=".05" contype="0" conaffinity="0"/></body>
  <body pos="-.5 0 .4" gravcomp=".6">
    <joint name="a" axis="0 1 0" frictionloss=".3" damping=".1" actuatorgravcomp="true"/>
    <geom type="capsule" size=".03" fromto="0 0 0 .2 0 0"/>
    <body pos=".2 0 0"><joint name="b" axis="0 1 .2" limited="true" range="-40 40" frictionloss=".1"/>
      <geom type="capsule" size=".03" fromto=".05 0 0 .2 0 -.05"/></body></body>
</worldbody>
<tendon><fixed name="cord" armature=".05" frictionloss=".2" limited="true" range="-.3 .3">
  <joint joint="a" coef="1"/><joint joint="b" coef="-.5"/></fixed></tendon>
<equality><connect body1="load" body2="hook" anchor="0 0 .1"/>
  <joint joint1="a" joint2="b" polycoef="0 .5 0 0 0"/></equality>
<actuator><motor joint="a" ctrlrange="-1 1"/><position joint="b" kp="3" kv=".2"/><position tendon="cord"/></actuator>
</mujoco>"""


def _scene(text: str) -> Scene:
    model = sim.Model.from_mujoco(mujoco.MjModel.from_xml_string(text))
    return Scene(model, model.qpos0, np.full(model.na, 0.3), np.full(model.nu, 0.3))


def muscles() -> Scene:
    """Muscles, spatial tendons, sites, a crank, adhesion, a height field, a fluid; the integrator `implicit`."""
    return _scene(_MUSCLES)


def factory() -> Scene:
    """Moving surfaces, noslip, Gauss-Seidel, equalities, a fixed tendon; the integrator `implicitfast`."""
    return _scene(_FACTORY)


FEATURES: dict[str, Callable[[], Scene]] = {"muscles": muscles, "factory": factory}

"""Mechanisms whose actuators' moment arms move with the pose; those of one integrator are of one kind."""

AFFINE = 'gaintype="affine" gainprm="1 .5 -.6" biastype="affine" biasprm=".2 -1 -.8"'
# A floating body with two arms, one of which a clamp holds back, a ball joint apart, sites that are turned in their
# bodies, one on a mocap body, one in the world.
MECHANISM = """
<mujoco><option timestep="0.004" gravity=".3 -.2 -9.81"/><compiler autolimits="true"/><worldbody>
  <site name="world" pos=".2 .1 .3" euler="20 30 0"/>
  <body mocap="true" pos=".5 .2 .1" quat=".9 .1 .3 .2"><site name="given" pos=".1 0 .05" euler="10 20 5"/>
    <body pos="0 .2 0"><joint axis="1 .2 0"/><geom size=".05" pos="0 0 .1"/><site name="carried" pos="0 .1 .2"/></body>
  </body>
  <body pos="0 0 1"><joint name="free" type="free"/><geom type="box" size=".1 .2 .05" pos=".02 .01 0"/>
    <site name="base" pos=".1 0 .1" euler="15 40 -20"/>
    <body pos=".2 0 .1" euler="10 0 20" gravcomp=".6">
      <joint name="elbow" axis="0 1 .3" damping=".1" actuatorfrcrange="-.4 .5" actuatorgravcomp="true"/>
      <geom size=".07" pos=".1 0 0"/>
      <body pos=".2 0 0"><joint name="ball" type="ball" damping=".05"/><joint type="slide" axis="1 1 0"/>
        <geom type="capsule" size=".04" fromto="0 0 0 .2 .1 0"/>
        <body pos=".05 .05 .01"><site name="hand" pos=".2 .1 .02" euler="-30 10 50"/></body></body></body>
    <body pos="-.2 0 .05"><joint axis="1 0 .3"/><joint type="slide" axis="0 1 0"/><geom size=".06" pos="0 .1 0"/>
      <site name="tail" pos="0 .2 .1" euler="5 -30 10"/></body></body>
  <body pos="2 0 0"><joint name="apart" type="ball"/><geom type="box" size=".1 .05 .08" pos=".1 0 0"/>
    <site name="other" pos=".1 .1 .1"/></body>
</worldbody><actuator>{}</actuator></mujoco>"""
GEAR = 'gear=".7 -.4 1 .5 -.6 .8"'
ACTUATORS = {
    "jet": f'<motor site="hand" {GEAR}/>',
    "jet that brakes": f'<general site="hand" {GEAR} gainprm="1" biastype="affine" biasprm=".1 0 -.7"/>',
    "offset in the world": '<position site="hand" refsite="world" gear="1 -.5 .3 0 0 0" kp="8" kv=".6"/>',
    "turn in the world": '<position site="hand" refsite="world" gear="0 0 0 .4 1 -.3" kp="3" kv=".4"/>',
    "two branches": f'<general site="hand" refsite="tail" {GEAR} {AFFINE} dyntype="filter" dynprm=".05"/>',
    "two branches, clamped": f'<general site="hand" refsite="tail" {GEAR} {AFFINE} forcerange="-.6 .6"/>',
    "behind its reference": f'<general site="hand" refsite="base" {GEAR} {AFFINE}/>',
    "before its reference": f'<general site="base" refsite="hand" {GEAR} {AFFINE}/>',
    "two trees": f'<general site="other" refsite="hand" {GEAR} {AFFINE}/>',
    "mocap reference": f'<general site="other" refsite="given" {GEAR} {AFFINE}/>',
    "of the mocap body": f'<general site="given" refsite="hand" {GEAR} {AFFINE}/>',
    "carried by the mocap body": f'<general site="hand" refsite="carried" {GEAR} {AFFINE}/>',
    "crank": f'<general cranksite="hand" slidersite="tail" cranklength="1.5" gear="1.3" {AFFINE}/>',
    "crank without solution": f'<general cranksite="other" slidersite="hand" cranklength=".05" gear="1.3" {AFFINE}/>',
    "mocap slider": f'<general cranksite="hand" slidersite="given" cranklength="6" gear="-.8" {AFFINE}/>',
    "ball in its parent": f'<general jointinparent="ball" gear="1 -.4 .7" {AFFINE}/>',
    "free in the world": f'<general jointinparent="free" {GEAR} {AFFINE}/>',
    "servo of a ball in its parent": '<position jointinparent="apart" gear="1 -.4 .7" kp="2" kv=".5"/>',
    "integrated servo": '<intvelocity site="other" refsite="world" gear="0 0 0 1 2 0" kp="1.5" actrange="-9 9"/>',
}
# One body, four rotors: each lifts along its site's z-axis, and drags the body around it.
DRONE = """
<mujoco><option timestep="0.005"/><worldbody><body name="drone" pos="0 0 1"><freejoint/>
  <geom type="box" size=".08 .08 .02" mass=".6"/>
  <site name="front" pos=".14 0 0"/><site name="left" pos="0 .14 0"/>
  <site name="back" pos="-.14 0 0"/><site name="right" pos="0 -.14 0"/></body></worldbody>
  <actuator>
    <motor site="front" gear="0 0 1 0 0 .02" ctrlrange="0 4"/><motor site="left" gear="0 0 1 0 0 -.02" ctrlrange="0 4"/>
    <motor site="back" gear="0 0 1 0 0 .02" ctrlrange="0 4"/><motor site="right" gear="0 0 1 0 0 -.02" ctrlrange="0 4"/>
  </actuator>
</mujoco>"""

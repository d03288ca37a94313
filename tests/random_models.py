"""Mechanisms as MJCF: random ones of every joint type, springs, dampers, armature, gravity
compensation and all supported actuators, and some made by hand for what they have in them."""

from typing import Any

import numpy as np


def _numbers(values: Any) -> str:
    return " ".join(f"{v:.17g}" for v in np.atleast_1d(values))


def _quat(rng: np.random.Generator) -> str:
    q = rng.normal(size=4)
    return _numbers(q / np.linalg.norm(q))


def _unit(rng: np.random.Generator) -> str:
    a = rng.normal(size=3)
    return _numbers(a / np.linalg.norm(a))


def _inertial(rng: np.random.Generator) -> str:
    # moments of a solid: each at most the sum of the other two
    squares = rng.uniform(0.02, 0.3, size=3)
    moments = (squares.sum() - squares) * rng.uniform(0.2, 1.0)
    return (
        f'<inertial pos="{_numbers(rng.normal(scale=0.2, size=3))}" quat="{_quat(rng)}" '
        f'mass="{rng.uniform(0.2, 3.0):.17g}" diaginertia="{_numbers(moments)}"/>'
    )


def _joint(rng: np.random.Generator, name: str, kind: str) -> str:
    fields = [f'name="{name}" type="{kind}" pos="{_numbers(rng.normal(scale=0.2, size=3))}"']
    if kind in ("hinge", "slide"):
        fields.append(f'axis="{_unit(rng)}" ref="{rng.normal(scale=0.3):.17g}"')
        fields.append(f'springref="{rng.normal(scale=0.3):.17g}"')
        if rng.random() < 0.3:
            fields.append('actuatorfrclimited="true" actuatorfrcrange="-1.5 2"')
    fields.append(f'armature="{rng.choice([0.0, rng.uniform(0.01, 0.5)]):.17g}"')
    fields.append(f'damping="{rng.choice([0.0, rng.uniform(0.1, 2.0)]):.17g}"')
    fields.append(f'stiffness="{rng.choice([0.0, rng.uniform(0.5, 10.0)]):.17g}"')
    return f"<joint {' '.join(fields)}/>"


def _joint_kinds(rng: np.random.Generator, is_root: bool) -> list[str]:
    choices = [["hinge"], ["slide"], ["ball"], ["hinge", "hinge"], ["slide", "hinge"], ["slide", "ball"]]
    choices += [["slide", "slide", "hinge"], []]
    if is_root:
        choices += [["free"], ["free"], ["free"]]
    return choices[rng.integers(len(choices))]


def _actuator(rng: np.random.Generator, joint: str, kind: str) -> str:
    size = {"hinge": 1, "slide": 1, "ball": 3, "free": 6}[kind]
    common = f'joint="{joint}" gear="{_numbers(rng.normal(size=size))}"'
    if rng.random() < 0.5:
        common += f' ctrllimited="true" ctrlrange="-{rng.uniform(0.1, 1):.6g} {rng.uniform(0.1, 1):.6g}"'
    if rng.random() < 0.4:
        common += f' forcelimited="true" forcerange="-{rng.uniform(0.5, 3):.6g} {rng.uniform(0.5, 3):.6g}"'
    style = rng.choice(["motor", "position", "velocity", "general", "integrator", "filter", "filterexact"])
    if style == "motor":
        return f"<motor {common}/>"
    if style == "position":
        return f'<position {common} kp="{rng.uniform(0.5, 5):.6g}" kv="{rng.uniform(0, 1):.6g}"/>'
    if style == "velocity":
        return f'<velocity {common} kv="{rng.uniform(0.5, 3):.6g}"/>'
    affine = f'gaintype="affine" gainprm="{_numbers(rng.normal(size=3))}" biastype="affine" '
    affine += f'biasprm="{_numbers([rng.normal(), -rng.uniform(0, 2), -rng.uniform(0, 1)])}"'
    if style == "general":
        return f"<general {common} {affine}/>"
    limits = 'actlimited="true" actrange="-0.4 0.5"' if rng.random() < 0.5 else ""
    return f'<general {common} {affine} dyntype="{style}" dynprm="{rng.uniform(0.02, 0.5):.6g}" {limits}/>'


def random_tree(seed: int, nbody: int, integrator: str = "Euler", timestep: float = 0.01) -> str:
    """MJCF of a forest of `nbody` bodies; equal seeds give equal models."""
    rng = np.random.default_rng(seed)
    children: dict[int, list[int]] = {b: [] for b in range(nbody + 1)}
    for b in range(1, nbody + 1):
        # mostly deep trees, sometimes a new root
        parent = 0 if b == 1 or rng.random() < 0.15 else int(rng.integers(max(1, b - 3), b))
        children[parent].append(b)
    joints: list[tuple[str, str]] = []

    def body(b: int, is_root: bool) -> str:
        gravcomp = rng.choice([0.0, 0.0, rng.uniform(0.2, 1.2)])
        parts = [
            f'<body name="b{b}" pos="{_numbers(rng.normal(scale=0.5, size=3))}" quat="{_quat(rng)}" '
            f'gravcomp="{gravcomp:.6g}">',
            _inertial(rng),
        ]
        for i, kind in enumerate(_joint_kinds(rng, is_root)):
            name = f"j{b}_{i}"
            joints.append((name, kind))
            parts.append(f'<freejoint name="{name}"/>' if kind == "free" else _joint(rng, name, kind))
        parts.append(f'<geom size="0.05" pos="{_numbers(rng.normal(scale=0.1, size=3))}" quat="{_quat(rng)}"/>')
        parts.append(f'<site name="s{b}" pos="{_numbers(rng.normal(scale=0.1, size=3))}" quat="{_quat(rng)}"/>')
        parts += [body(c, False) for c in children[b]]
        return "\n".join([*parts, "</body>"])

    tree = "\n".join(body(b, True) for b in children[0])
    actuators = "\n".join(_actuator(rng, n, k) for n, k in joints if rng.random() < 0.6)
    return f"""<mujoco>
    <compiler angle="radian" balanceinertia="false"/>
    <option timestep="{timestep}" integrator="{integrator}" gravity="{_numbers(rng.normal(scale=5, size=3))}">
      <flag constraint="disable"/>
    </option>
    <worldbody>{tree}</worldbody>
    <actuator>{actuators}</actuator>
    </mujoco>"""


# Every joint type and kind of actuator, a tree and a loose body of two parts, nothing that clamps:
# smooth in all its arguments. Its quaternions start at these places of qpos.
SMOOTH_QUATERNIONS = (3, 7, 17)
SMOOTH_MECHANISM = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.02" gravity="0.5 -1 -9.8"><flag constraint="disable"/></option>
  <worldbody>
    <body name="trunk" pos="0 0 1" gravcomp="0.3">
      <joint name="free" type="free" damping="0.2" stiffness="0.5" armature="0.05"/>
      <inertial pos="0.05 -0.02 0.03" quat="0.8 0.2 0.4 -0.4" mass="2" diaginertia="0.2 0.15 0.1"/>
      <geom size="0.1" pos="0.1 0 0" quat="0.5 0.5 0.1 0.7"/>
      <body name="arm" pos="0.3 0.1 0" quat="0.9 0.1 0.3 0.3">
        <joint name="ball" type="ball" pos="0 0.1 0.05" damping="0.3" stiffness="2" armature="0.02"/>
        <inertial pos="0.2 0.02 0" quat="0.7 0.1 0.1 0.7" mass="0.8" diaginertia="0.03 0.02 0.04"/>
        <site name="elbow" pos="0.3 0 0.02" quat="0.6 0.1 0.5 0.6"/>
        <body name="hand" pos="0.4 0 0">
          <joint name="slide" type="slide" axis="1 0.2 0.1" ref="0.1" springref="0.3" stiffness="5" damping="0.4"/>
          <joint name="hinge" axis="0.3 1 0.2" pos="0.05 0 0.1" ref="0.2" stiffness="1" springref="-0.1" armature=".1"/>
          <inertial pos="0.1 0.05 0.02" mass="0.5" diaginertia="0.01 0.02 0.015"/>
          <site name="tip" pos="0.2 0 0"/>
        </body>
      </body>
      <body name="tail" pos="-0.3 0 0" gravcomp="1.1">
        <joint name="wag" axis="0 0.2 1"/>
        <inertial pos="-0.2 0 0.1" mass="0.4" diaginertia="0.01 0.01 0.005"/>
      </body>
    </body>
    <body name="stone" pos="2 0 0" gravcomp="0.1">
      <joint name="loose" type="free" damping="0.1"/>
      <inertial pos="0.1 0.2 -0.1" quat="0.5 0.5 0.1 0.7" mass="0.9" diaginertia="0.05 0.09 0.07"/>
      <body name="moss" pos="0.2 -0.3 0.1" quat="0.9 0.1 0.3 0.3">
        <inertial pos="0.1 0 0" mass="0.3" diaginertia="0.01 0.02 0.02"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="free" gear="0.5 1 -0.3 0.2 0.4 1"/>
    <position joint="ball" gear="0.5 0.8 -0.2" kp="3" kv="0.2"/>
    <velocity joint="hinge" gear="1.5" kv="0.6"/>
    <general joint="slide" gaintype="affine" gainprm="1 0.4 -0.3" biastype="affine" biasprm="0.2 -1 -0.5"/>
    <general joint="wag" dyntype="integrator" gainprm="2" biastype="affine" biasprm="0 -1 -0.1"/>
    <general joint="hinge" dyntype="filter" dynprm="0.1" gainprm="1.2"/>
    <general joint="slide" dyntype="filterexact" dynprm="0.05" gaintype="affine" gainprm="1 0.2 0.1"/>
  </actuator>
</mujoco>"""

# Corners of the modelling language, by what is special about them.
SPECIAL_MODELS = {
    "every joint type, with springs": SMOOTH_MECHANISM,
    "static bodies between moving ones": """<mujoco><worldbody>
      <body pos="0 0 1" quat="1 1 0 0"><geom size="0.1"/>
        <body pos="0.1 0 0"><joint axis="0 1 1" damping="0.1"/><geom size="0.1" pos="0 0.2 0"/>
          <body pos="0 0.3 0" quat="1 0 2 0"><geom size="0.05" pos="0.1 0 0"/>
            <body pos="0.1 0 0"><joint type="slide" axis="1 0 1"/><geom size="0.1"/></body>
          </body></body></body></worldbody></mujoco>""",
    "free body with welded parts, off its centre": """<mujoco><worldbody>
      <body pos="0 0 1"><freejoint/><geom type="box" size="0.1 0.2 0.3" pos="0.2 0.1 0"/>
        <body pos="0 0.3 0" quat="1 0 2 0"><geom size="0.2" pos="0.1 0 0"/></body></body>
      <body pos="3 0 1" gravcomp="0.5"><joint type="free" damping="2" stiffness="3" armature="0.3"/>
        <geom type="box" size="0.1 0.2 0.3"/></body></worldbody></mujoco>""",
    "several joints on a body, each off the origin": """<mujoco><worldbody>
      <body pos="0 0 1" quat="1 2 0 0"><joint type="slide" axis="1 1 0" pos="0.1 0 0" ref="0.2"/>
        <joint axis="0 1 0" pos="0.3 0 0.1" ref="-0.4" stiffness="2" springref="0.5"/>
        <joint axis="1 0 1" pos="0 0 0.2" armature="0.1"/>
        <joint type="ball" pos="0 0.2 0" stiffness="1.5" damping="0.2"/>
        <geom type="box" size="0.1 0.2 0.3" pos="0.1 0 0"/></body></worldbody></mujoco>""",
    "actuators on the joint in the parent's frame": """<mujoco><worldbody><body><joint name="j" axis="1 0 1"/>
      <geom size="0.1" pos="0.2 0 0"/></body></worldbody><actuator><position jointinparent="j" kp="3"/></actuator>
      </mujoco>""",
    "several actuators on a limited joint": """<mujoco><worldbody><body>
      <joint name="j" actuatorfrclimited="true" actuatorfrcrange="-0.5 0.4"/><geom size="0.1" pos="0.2 0 0"/></body>
      </worldbody><actuator><motor joint="j" gear="2"/><position joint="j" kp="3" kv="1"/></actuator></mujoco>""",
    "everything clamped": """<mujoco><worldbody><body><joint name="j"/><geom size="0.1" pos="0.2 0 0"/></body>
      </worldbody><actuator><motor joint="j" ctrllimited="true" ctrlrange="-0.01 0.02"/>
      <motor joint="j" forcelimited="true" forcerange="-0.02 0.01"/>
      <general joint="j" dyntype="integrator" actlimited="true" actrange="-0.05 0.05"/>
      <general joint="j" dyntype="filter" dynprm="0.1" actlimited="true" actrange="-0.05 0.05"/>
      <general joint="j" dyntype="filterexact" dynprm="0.1" actlimited="true" actrange="-0.05 0.05"/>
      </actuator></mujoco>""",
    "a body driven by mocap, and a tendon without force": """<mujoco><worldbody>
      <body mocap="true" pos="1 2 3" quat="1 1 1 0"><geom size="0.1" contype="0"/><site name="s"/></body>
      <body pos="0 0 1"><joint name="j"/><geom size="0.1" pos="0.2 0 0"/><site name="t" pos="0.1 0 0"/></body>
      </worldbody><tendon><spatial><site site="s"/><site site="t"/></spatial></tendon></mujoco>""",
    "servos of a ball joint, on a circle": """<mujoco><worldbody>
      <body><joint name="j" type="ball" damping="0.1"/><geom type="box" size="0.1 0.2 0.3" pos="0.2 0 0"/></body>
      </worldbody><actuator><position joint="j" gear="0.02 -0.03 0.1" kp="2" kv="0.3"/>
      <position joint="j" gear="0.1 0.02 0.03" kp="3" timeconst="0.1"/></actuator></mujoco>""",
    "nothing moves": "<mujoco><worldbody><body><geom size='1'/></body></worldbody></mujoco>",
}

"""Mechanisms with spatial tendons: paths of every kind, over two branches, a free body, a mocap body and what stands.

All have the same features, so that they share kernels.
"""

import numpy as np
from parity import TIGHT

from gradgym import sim

MECHANISM = """
  <site name="w0" pos="-0.3 0.1 0.2"/><site name="w2" pos="-0.3 0.1 0.2"/><site name="w1" pos="0.2 -0.4 0.5"/>
  <geom name="post" type="cylinder" size="0.12 0.3" pos="0.1 0.2 0.3" euler="30 20 0" contype="0" conaffinity="0"/>
  <body pos="0 0 0.1"><joint name="a" axis="0 1 0.2" limited="true" range="-60 70"/>
    <geom name="ball" size="0.1" pos="0.3 0 0"/>
    <site name="a0" pos="0.2 0.1 0.15"/><site name="a2" pos="0.2 0.1 0.15"/><site name="a1" pos="0.35 0 -0.2"/>
    <body pos="0.4 0 0"><joint name="b" axis="1 0 1" damping="0.2"/>
      <geom name="drum" type="cylinder" size="0.09 0.2" pos="0.1 0 0.1" euler="70 10 0"/>
      <site name="b0" pos="0.25 0.1 0.1"/><site name="b1" pos="0.1 -0.2 0.2"/><site name="deep" pos="0.11 0.02 0.1"/>
      <body pos="0.3 0 0"><joint name="ball" type="ball" damping="0.1"/><geom name="head" size="0.12" pos="0 0 0.2"/>
        <site name="c0" pos="0.05 0.2 0.3"/><site name="c1" pos="0.1 -0.1 0.05"/><site name="core" pos="0 0.02 0.21"/>
      </body></body>
    <body pos="0 0.4 0"><joint name="c" type="slide" axis="0 1 1"/><geom type="box" size="0.1 0.05 0.08"/>
      <site name="d0" pos="0.1 0.1 0.1"/></body></body>
  <body pos="0.7 0.5 0.3"><freejoint/><geom name="stone" type="box" size="0.1 0.2 0.1"/>
    <geom name="pebble" size="0.11" pos="0.1 0.1 0.1"/>
    <site name="e0" pos="0.2 0.1 0.3"/><site name="e1" pos="-0.2 0.1 0"/>
    <body pos="0.2 0 0"><joint name="e" axis="1 0 0" stiffness="2"/><geom size="0.1" pos="0 0.3 0"/>
      <site name="f0" pos="0.05 0.4 0.1"/></body></body>
  <body mocap="true" pos="0.4 -0.3 0.5" quat="1 0.2 0.3 0.1"><geom name="fist" size="0.13" pos="0.02 0 0" contype="0"/>
    <site name="h0" pos="0.1 0.1 0"/>
    <body pos="0.2 0 0"><joint axis="0 1 1" damping="0.1"/><geom size="0.05" pos="0.1 0 0"/>
      <site name="h1" pos="0.15 0.1 0.05"/></body></body>
"""
SITES = ("w0", "w1", "a0", "a1", "b0", "b1", "c0", "c1", "d0", "e0", "e1", "f0", "h0", "h1")
GEOMS = ("post", "ball", "drum", "head", "pebble", "fist")
SIDES = (*SITES, "deep", "core")
INSIDE = {"drum": "deep", "head": "core"}  # side sites inside geoms


def random_spatial(seed: int, integrator: str = "Euler", forced: bool = True, inside: bool = True) -> sim.Model:
    """Five random tendons: four past geoms and a straight one with armature; equality, actuators, muscle; no contacts.

    `forced`: springs, dampers, limits and friction loss on some of them, else on none. Without `inside` no path
    leads through a geom.
    """
    rng = np.random.default_rng(seed)
    tendons = ""
    for i in range(5):
        fields = _fields(rng) if forced else ""
        if i == 4:
            fields += f'armature="{rng.uniform(0.1, 1.0):.6g}"'
        tendons += f'<spatial name="t{i}" {fields}>{_path(rng, i < 4, inside)}</spatial>'
    bend = f"{rng.normal(scale=0.2):.6g} 0.7 0.3 0 0"
    return spatial_model(
        tendons,
        integrator,
        f"""<equality><tendon tendon1="t0" tendon2="t1" polycoef="{bend}" solref="0.1 1"/></equality>
        <actuator>{"".join(_actuator(rng, i) for i in range(1, 5))}
        <muscle tendon="t0" lengthrange="0.3 2.5" force="30" gear="{rng.uniform(0.5, 1.5):.6g}"/></actuator>""",
    )


def spatial_model(tendons: str, integrator: str = "Euler", rest: str = "") -> sim.Model:
    """The mechanism with the tendons given, at tight tolerance."""
    return sim.Model.from_xml_string(f"""<mujoco><option timestep="0.005" integrator="{integrator}"/>
      {TIGHT}<option><flag contact="disable"/></option>
      <worldbody>{MECHANISM}</worldbody><tendon>{tendons}</tendon>{rest}</mujoco>""")


def _path(rng: np.random.Generator, wraps: bool, inside: bool) -> str:
    """Branches of two to four sites, with geoms between."""
    path = ""
    for branch in range(rng.integers(1, 3)):
        if branch or rng.random() < 0.2:
            path += f'<pulley divisor="{rng.choice([1.0, 2.0, 3.5])}"/>'
        sites = rng.choice(SITES, size=rng.integers(2, 5), replace=False)
        for i, site in enumerate(sites):
            if i and wraps and rng.random() < 0.7:
                path += _geom(rng, inside)
            path += f'<site site="{site}"/>'
    return path


def _geom(rng: np.random.Generator, inside: bool) -> str:
    """A geom, half of the time with a side site, which may be inside."""
    geom, side = str(rng.choice(GEOMS)), str(rng.choice(SITES))
    if geom in INSIDE and inside and rng.random() < 0.5:
        side = INSIDE[geom]
    elif rng.random() < 0.5:
        return f'<geom geom="{geom}"/>'
    return f'<geom geom="{geom}" sidesite="{side}"/>'


def _fields(rng: np.random.Generator) -> str:
    low, high = sorted(rng.uniform(0.2, 2.0, size=2))
    fields = ""
    if rng.random() < 0.6:
        fields += f'stiffness="{rng.uniform(1, 20):.6g} 4 {rng.uniform(0, 2):.6g}" springlength="{low:.6g} {high:.6g}" '
    if rng.random() < 0.6:
        fields += f'damping="{rng.uniform(0.1, 2):.6g} 0.3 0.2" '
    if rng.random() < 0.6:
        margin = rng.choice([0.0, rng.uniform(0.01, 0.3)])
        fields += f'limited="true" range="{low:.6g} {high:.6g}" margin="{margin:.6g}" '
        fields += 'solreflimit="0.03 0.7" solimplimit="0.7 0.95 0.2 0.4 3" '
    if rng.random() < 0.4:
        fields += f'frictionloss="{rng.uniform(0.1, 2):.6g}" solreffriction="0.05 1" '
    if rng.random() < 0.2:
        fields += 'actuatorfrclimited="true" actuatorfrcrange="-0.8 0.7" '
    return fields


def _actuator(rng: np.random.Generator, i: int) -> str:
    common = f'tendon="t{i}" gear="{rng.normal():.6g}"'
    gain, bias = rng.normal(size=3), rng.uniform(-1, 0, size=3)
    affine = f'gaintype="affine" gainprm="{gain[0]:.6g} {gain[1]:.6g} {gain[2]:.6g}" biastype="affine" '
    affine += f'biasprm="{bias[0]:.6g} {bias[1]:.6g} {bias[2]:.6g}"'
    styles = (
        f"<motor {common}/>",
        f'<position {common} kp="3" kv="0.4" ctrlrange="-1 1"/>',
        f"<general {common} {affine}/>",
        f'<general {common} {affine} dyntype="filter" dynprm="0.1"/>',
    )
    return styles[rng.integers(len(styles))]

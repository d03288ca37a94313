"""Mechanisms with every kind of equality, alone and together."""

import numpy as np
from parity import TIGHT

from gradgym import sim

BODIES = """
    <body name="a" pos="0 0 0.5"><joint name="j" axis="0 1 0.3" damping="0.1"/><geom size="0.1" pos="0.2 0 0.1"/>
      <site name="sa" pos="0.2 0.1 0" euler="20 30 0"/>
      <body name="b" pos="0.3 0 0.1"><joint name="k" type="slide" axis="1 0.2 0"/>
        <joint name="l" axis="1 0 1" limited="true" range="-40 20"/><geom type="box" size="0.1 0.05 0.08"/>
        <body name="c" pos="0.2 0.1 0"><joint type="ball" damping="0.2"/><geom type="box" size="0.1 0.2 0.1"/>
          <site name="sc" pos="0 0.1 0.2" euler="0 -50 70"/>
          <body name="ghost" pos="0.1 0 0.1" euler="10 0 20"/></body></body></body>
    <body name="f" pos="1 0 0.5"><freejoint/><geom type="box" size="0.1 0.2 0.15" pos="0.05 0 0.1"/>
      <site name="sf" pos="-0.1 0.2 0" euler="40 0 10"/>
      <body name="g" pos="0.2 0 0.2"><joint name="n" axis="0 1 1" stiffness="1"/><geom size="0.1" pos="0 0.2 0"/></body>
    </body>
    <body name="h" pos="-1 0 0.5"><joint name="o" type="slide" axis="0 1 1" damping="0.3"/>
      <joint name="p" axis="1 0 0"/><geom size="0.1" pos="0.2 0 0"/></body>
    <body name="still" pos="0 -1 0" euler="0 30 0"><site name="ss" pos="0.1 0 0"/></body>"""
TENDONS = """<tendon>
    <fixed name="t"><joint joint="j" coef="0.7"/><joint joint="n" coef="-1.2"/></fixed>
    <fixed name="u"><joint joint="o" coef="1.1"/><joint joint="p" coef="0.4"/></fixed></tendon>"""
EQUALITIES = {
    "connect": '<connect body1="c" body2="f" anchor="0.1 0.2 -0.1" {}/>',
    "connect to the world": '<connect body1="g" anchor="0.1 0 0.3" {}/>',
    "connect of a chain with itself": '<connect body1="a" body2="ghost" anchor="0.3 0 0" {}/>',
    "connect of sites": '<connect site1="sc" site2="sf" {}/>',
    "weld": '<weld body1="c" body2="g" {}/>',
    "weld with a relative pose": '<weld body1="f" body2="h" anchor="0.1 0 0.2" relpose="0.2 0.1 0 0.6 0 0.8 0" {}/>',
    "weld to the world": '<weld body1="f" torquescale="0.4" {}/>',
    "weld of a chain with itself": '<weld body1="ghost" body2="a" torquescale="1.5" {}/>',
    "weld of sites": '<weld site1="sf" site2="sa" torquescale="2" {}/>',
    "weld to a fixed site": '<weld site1="ss" site2="sc" {}/>',
    "joint": '<joint joint1="j" joint2="n" polycoef="0.1 0.8 -0.5 0.3 0.2" {}/>',
    "joint to a constant": '<joint joint1="k" polycoef="0.2 1 0 0 0" {}/>',
    "slide to hinge": '<joint joint1="o" joint2="p" polycoef="0 -0.3 0.4 0 0" {}/>',
    "tendon": '<tendon tendon1="t" tendon2="u" polycoef="0.1 0.5 0.6 -0.2 0.1" {}/>',
    "tendon to a constant": '<tendon tendon1="u" polycoef="0.3 1 0 0 0" {}/>',
}
PARAMETERS = (
    'solref="0.03 0.8" solimp="0.6 0.95 0.5 0.4 2"',
    'solref="-300 -20" solimp="0.9 0.95 0.001"',
    'solref="0.02 1" solimp="0.8 0.9 3 0.6 3.5"',
)


def mechanism(names: list[str], integrator: str = "Euler", seed: int = 0, contact: bool = False) -> sim.Model:
    """The bodies above with some of the equalities."""
    equalities = "".join(
        EQUALITIES[name].format(PARAMETERS[(seed + i) % len(PARAMETERS)]) for i, name in enumerate(names)
    )
    flag = "" if contact else '<option><flag contact="disable"/></option>'
    floor = '<geom type="plane" size="5 5 1" pos="0 0 -0.2"/>' if contact else ""
    bodies = BODIES.replace('type="box" size="', 'type="sphere" size="') if contact else BODIES
    return sim.Model.from_xml_string(f"""<mujoco><option timestep="0.004" integrator="{integrator}"/>{flag}{TIGHT}
      <worldbody>{floor}{bodies}</worldbody>{TENDONS}<equality>{equalities}</equality>
      <actuator><motor joint="j"/><position joint="n" kp="2" kv="0.3"/></actuator></mujoco>""")


def mixed(seed: int, integrator: str = "Euler", contact: bool = False) -> sim.Model:
    """Two or three equalities at once."""
    rng = np.random.default_rng(seed)
    return mechanism(
        list(rng.choice(list(EQUALITIES), size=rng.integers(2, 4), replace=False)), integrator, seed, contact
    )

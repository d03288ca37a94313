"""Actuators on bodies, which pull at the contacts: MuJoCo's forces, and exact derivatives through the contacts."""

import mujoco
import numpy as np
import pytest
from derivatives import assert_constrained_step, smooth_parameters
from numpy.typing import NDArray
from parity import INTEGRATORS, TIGHT, assert_same_step, mujoco_data, spoil_workspaces

from gradgym import sim

Floats = NDArray[np.float64]
# An arm on a ball on the ground holds a ball with its hand; all geoms are round, and their contacts have a gap.
SCENE = """
<mujoco><option timestep="0.004" integrator="{}" cone="{}"/>{}
<default><geom margin=".01" gap="{}" condim="{}"/></default><worldbody><geom type="plane" size="3 3 1"/>
  <body pos="0 0 .095"><freejoint/><geom size=".1"/>
    <body pos="0 0 .12" euler="10 20 0"><joint axis="0 1 0" damping=".1"/>
      <geom type="capsule" size=".05" fromto=".1 0 0 .3 0 .05"/>
      <body name="hand" pos=".35 0 0"><joint type="ball"/>
        <geom type="capsule" size=".05" fromto=".05 -.03 0 .05 .03 0"/></body></body></body>
  <body name="held" pos=".41 0 .27"><freejoint/><geom size=".08"/></body>
</worldbody><actuator>
  <adhesion body="hand" ctrlrange="0 10" gain="2"/><adhesion body="held" ctrlrange="0 10" gain="3"/>
  <general body="held" gaintype="affine" gainprm="1 0 -1.5" biastype="affine" biasprm=".3 0 -2" forcerange="-20 20"/>
</actuator></mujoco>"""
SLOWLY = [x if x == "Euler" else pytest.param(x, marks=pytest.mark.slow) for x in INTEGRATORS]
IN_THE_GAP = 1  # mjContact.exclude


def scene(integrator: str = "Euler", cone: str = "pyramidal", gap: float = 0.02, condim: int = 3) -> sim.Model:
    return sim.Model.from_xml_string(SCENE.format(integrator, cone, TIGHT, gap, condim))


def states(model: sim.Model, number: int) -> list[tuple[sim.State, Floats]]:
    """States in which the hand and what it holds are within reach, and controls of their actuators."""
    found, seed = [], 0
    while len(found) < number:
        rng, qpos = np.random.default_rng(seed), model.qpos0.copy()
        mujoco.mj_integratePos(model.mj_model, qpos, rng.normal(scale=0.03, size=model.nv), 1.0)
        state, ctrl = sim.State(qpos, rng.normal(scale=0.3, size=model.nv), np.zeros(0)), rng.uniform(1, 5, size=3)
        theirs = mujoco_data(model, state, ctrl)
        mujoco.mj_forward(model.mj_model, theirs)
        if np.any(theirs.actuator_moment):
            found.append((state, ctrl))
        seed += 1
    return found


@pytest.mark.parametrize("integrator", SLOWLY)
def test_forces_and_steps_equal_mujoco(integrator: str) -> None:
    kinds = set[int]()
    for cone, gap, condim in (("pyramidal", 0.0, 3), ("pyramidal", 0.02, 1), ("elliptic", 0.02, 4)):
        if cone == "elliptic" and integrator != "Euler":
            continue
        model = scene(integrator, cone, gap, condim)
        for state, ctrl in states(model, 5):
            theirs = mujoco_data(model, state, ctrl)
            mujoco.mj_forward(model.mj_model, theirs)
            kinds |= {int(contact.exclude) for contact in theirs.contact}
            spoil_workspaces(model)
            ours = sim.forward(model, state, ctrl)
            for name in ("qfrc_actuator", "qfrc_smooth"):
                np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=0, atol=1e-11, err_msg=name)
            assert_same_step(model, state, ctrl, 1e-6)  # the solver's tolerance, see test_sim_contact.py
    assert kinds == {0, IN_THE_GAP}


@pytest.mark.parametrize("integrator", SLOWLY)
def test_derivatives_equal_differences(integrator: str) -> None:
    smooth, parameters = 0, list[str]()
    for condim in (1, 3):
        model = scene(integrator, condim=condim)
        for seed, (state, ctrl) in enumerate(states(model, 4)):
            smooth += assert_constrained_step(model, state, ctrl, seed)
            names = ("body_pos", "body_mass", "actuator_gainprm", "actuator_biasprm")
            parameters += smooth_parameters(model, state, ctrl, names, seed)
    assert smooth >= 12
    assert all(parameters.count(name) >= 5 for name in set(parameters)) and len(set(parameters)) == 4


def test_a_body_hangs_by_adhesion_and_falls_without() -> None:
    text = """<mujoco><option timestep="0.002"/>{}<worldbody>
      <geom type="plane" size="1 1 1" zaxis="0 0 -1" pos="0 0 1"/>
      <body pos="0 0 .9"><freejoint/><geom size=".1" mass=".5"/></body></worldbody>
      <actuator><adhesion body="{}" ctrlrange="0 1" gain="20"/></actuator></mujoco>"""
    model = sim.Model.from_xml_string(text.format(TIGHT, "ball").replace("<body pos", '<body name="ball" pos'))
    start = model.initial_state()
    held, falling = sim.step(model, start, np.ones(1), 250), sim.step(model, start, np.zeros(1), 250)
    assert abs(held.qpos[2] - 0.9) < 1e-3 and abs(held.qvel[2]) < 1e-6
    np.testing.assert_allclose(falling.qvel[2], -9.81 * 0.5, rtol=1e-9)


@pytest.mark.parametrize("apart", [-0.01, 0.005])
def test_contacts_inside_a_body_count_in_the_gap_only(apart: float) -> None:
    """MuJoCo finds the contact of a listed pair of geoms of one body; it exerts no force, but may have a share."""
    model = sim.Model.from_xml_string(f"""<mujoco>{TIGHT}<worldbody><geom type="plane" size="1 1 1"/>
      <body name="b" pos="0 0 .099"><freejoint/><geom name="g" size=".1"/>
      <geom name="h" size=".1" pos="0 0 {0.2 + apart}"/></body></worldbody>
      <contact><pair geom1="g" geom2="h" gap="0.01"/></contact>
      <actuator><adhesion body="b" ctrlrange="0 9"/></actuator></mujoco>""")
    theirs, state = mujoco.MjData(model.mj_model), model.initial_state()
    theirs.ctrl[:] = 6.0
    mujoco.mj_forward(model.mj_model, theirs)
    assert theirs.ncon == 2
    np.testing.assert_allclose(theirs.qfrc_actuator[2], -6.0 if apart < 0 else -3.0)
    found = sim.forward(model, state, np.full(1, 6.0))
    np.testing.assert_allclose(found.qfrc_actuator, theirs.qfrc_actuator, atol=1e-12)


def test_a_body_that_touches_nothing_is_not_pulled() -> None:
    for contype in (0, 1):  # without any pair of geoms that may touch, and with one
        model = sim.Model.from_xml_string(f"""<mujoco><worldbody><geom type="plane" size="1 1 1" contype="{contype}"
          conaffinity="0"/><body name="b" pos="0 0 1"><freejoint/><geom size=".1" contype="0"/></body></worldbody>
          <actuator><adhesion body="b" ctrlrange="0 1" gain="20"/></actuator></mujoco>""")
        found = sim.forward(model, model.initial_state(), np.ones(1))
        np.testing.assert_allclose(found.qacc, [0, 0, -9.81, 0, 0, 0], atol=1e-12)
        jac = sim.step_jacobian(model, model.initial_state(), np.ones(1))
        np.testing.assert_array_equal(jac.B, 0)

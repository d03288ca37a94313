"""Equalities against MuJoCo and differences: connect, weld, joint, tendon, in random mechanisms with loops."""

import mujoco
import numpy as np
import pytest
from derivatives import assert_constrained_step, smooth_parameters
from equalities import BODIES, EQUALITIES, TENDONS, mechanism, mixed
from parity import INTEGRATORS, TIGHT, assert_same_rows, assert_same_step, random_state

from gradgym import sim

EQUALITY, LIMIT, CONTACT = 0, 3, 7  # mjtConstraint


@pytest.mark.parametrize("name", EQUALITIES)
def test_every_equality_equals_mujoco(name: str) -> None:
    for seed in range(6):
        model = mechanism([name], INTEGRATORS[seed % 3], seed)
        # small, and any, violation
        for scale in (0.05, 1.0):
            state, ctrl = random_state(model, seed, speed=1.5)
            qpos = model.qpos0.copy()
            mujoco.mj_integratePos(
                model.mj_model, qpos, np.random.default_rng(seed).normal(scale=scale, size=model.nv), 1.0
            )
            state = state._replace(qpos=qpos)
            assert EQUALITY in assert_same_rows(model, state, ctrl)
            # the solution may be off by the solver's tolerance, see test_sim_contact.py
            assert_same_step(model, state, ctrl, 1e-6)


def test_several_equalities_equal_mujoco() -> None:
    kinds: set[int] = set()
    for seed in range(25):
        model = mixed(seed, INTEGRATORS[seed % 3], contact=seed % 2 == 0)
        state, ctrl = random_state(model, seed)
        kinds |= set(assert_same_rows(model, state, ctrl))
        assert_same_step(model, state, ctrl, 1e-6)
    assert {EQUALITY, LIMIT, CONTACT} <= kinds


def test_inactive_and_immobile_equalities_make_no_rows() -> None:
    text = f"""<mujoco><option><flag contact="disable"/></option>{TIGHT}<worldbody>{BODIES}</worldbody>{TENDONS}
      <equality><weld body1="c" body2="f" active="false"/><weld body1="still"/><joint joint1="j" joint2="n"/></equality>
      </mujoco>"""
    model = sim.Model.from_xml_string(text)
    assert list(model.eq_active0) == [0, 0, 1]
    state, ctrl = random_state(model, 0)
    assert len(assert_same_rows(model, state, ctrl)) == 2  # and a limit
    flags = model.mj_model
    flags.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_EQUALITY)
    assert EQUALITY not in assert_same_rows(sim.Model.from_mujoco(flags), state, ctrl)


FOUR_BAR = """
<mujoco><option timestep="0.005"><flag contact="disable"/></option><worldbody>
  <body><joint axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 0.3" size="0.02"/>
    <body pos="0 0 0.3"><joint axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0.5 0 0" size="0.02"/>
      <body name="rocker" pos="0.5 0 0"><joint axis="0 1 0"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.02"/></body></body></body>
  </worldbody><equality><connect body1="rocker" anchor="0 0 -0.3" solref="0.01 1"/></equality></mujoco>"""


def test_a_four_bar_linkage_stays_with_mujoco_and_closed() -> None:
    spec = mujoco.MjSpec.from_string(FOUR_BAR)
    spec.option.tolerance, spec.option.ls_tolerance = 1e-16, 1e-9
    model = sim.Model.from_mujoco(spec)
    d = mujoco.MjData(model.mj_model)
    d.qvel[:] = (2.0, -2.0, 2.0)
    path = sim.rollout(model, model.initial_state()._replace(qvel=d.qvel.copy()), np.zeros((400, 0)))
    for t in range(400):
        mujoco.mj_step(model.mj_model, d)
        np.testing.assert_allclose(path.qpos[t + 1], d.qpos, rtol=0, atol=1e-6)
        assert np.abs(d.efc_pos).max() < 1e-3


@pytest.mark.parametrize("name", EQUALITIES)
def test_jacobian_of_every_equality_equals_differences(name: str) -> None:
    smooth = 0
    for seed in range(3):
        model = mechanism([name], seed=seed)
        smooth += assert_constrained_step(model, *random_state(model, seed), seed)
    assert smooth >= 7


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_jacobian_of_several_equalities_equals_differences(integrator: str) -> None:
    smooth = 0
    for seed in range(6):
        model = mixed(seed, integrator, contact=seed % 2 == 0)
        smooth += assert_constrained_step(model, *random_state(model, seed), seed)
    assert smooth >= 12


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_parameter_gradients_equal_differences(integrator: str) -> None:
    names = ("body_mass", "body_inertia", "body_pos", "dof_armature", "dof_damping")
    smooth: list[str] = []
    for seed in range(5):
        model = mixed(seed, integrator)
        smooth += smooth_parameters(model, *random_state(model, seed), names, seed)
    assert all(smooth.count(name) >= 4 for name in names), smooth


STRETCHED = """
<mujoco><option timestep="0.004"><flag contact="disable"/></option>
  <worldbody><site name="hook" pos=".1 0 .004"/><site name="other hook" pos="-.1 0 .002"/>
    <body><joint axis="0 1 0"/><geom type="capsule" size=".02" fromto="-.1 0 0 .1 0 0" mass=".2"/>
      <site name="eye" pos=".1 0 0"/><site name="other eye" pos="-.1 0 0"/></body></worldbody>
  <equality><connect site1="eye" site2="hook" solimp="0.8 0.95 0.01"/>
    <connect site1="other eye" site2="other hook" solimp="0.7 0.95 0.02"/></equality></mujoco>"""


def test_a_balanced_body_that_cannot_reach_its_anchors() -> None:
    """Its R is the least there is, 1e-15, whatever the impedance; what it lacks pulls with more than 1e12 N."""
    model, none = sim.Model.from_xml_string(STRETCHED), np.zeros(0)
    for angle in (-0.03, 0.01):
        state = model.initial_state()._replace(qpos=np.array([angle]), qvel=np.array([0.3]))
        ours, theirs = sim.step_jacobian(model, state, none), sim.mujoco_twin.step_jacobian(model, state, none)
        np.testing.assert_allclose(ours.A, theirs.A, rtol=0, atol=1e-5)
        found, expected = sim.forward(model, state, none), sim.mujoco_twin.forward(model, state, none)
        np.testing.assert_allclose(found.qacc, expected.qacc, rtol=1e-9)
        assert found.solver_niter < 10 and np.abs(found.efc_force).max() > 1e12


def test_wild_states_stay_finite() -> None:
    """Loops torn far apart and huge velocities: finite numbers or none, no hang."""
    model, rng = mechanism(list(EQUALITIES)), np.random.default_rng(0)
    qpos = rng.normal(size=(300, model.nq)) * rng.choice([0.1, 1.0, 10.0], size=(300, 1))
    qvel = rng.normal(size=(300, model.nv)) * rng.choice([1.0, 100.0, 1e4], size=(300, 1))
    found = sim.forward(model, sim.State(qpos, qvel, np.zeros((300, 0))), rng.normal(size=(300, model.nu)))
    assert np.isfinite(found.qacc).all() and np.isfinite(found.efc_force).all()

"""The integrator `implicit` against MuJoCo and differences: Coriolis slopes, fluid, tendons, contact, parameters."""

import numpy as np
import pytest
from derivatives import (
    assert_constrained_step,
    assert_derivative,
    assert_error_falls_with_the_square,
    differentiate,
    smooth_parameters,
    step_map,
)
from kernels import all_kernels
from parity import TIGHT, assert_same_stages, assert_same_step, load, random_state, spoil_workspaces
from random_models import SMOOTH_MECHANISM, SPECIAL_MODELS, random_tree
from tendon_models import random_spatial

from gradgym import sim
from gradgym.sim.kernels.binding import source_of
from gradgym.sim.pipeline.entry_points import entry_points

WATER = '<option density="300" viscosity="0.5" wind="0.5 0 0.2"/><default><geom fluidshape="ellipsoid"/></default>'
FLUID = [False, pytest.param(True, marks=pytest.mark.slow)]
PARAMETERS = ("body_mass", "body_inertia", "body_ipos", "body_pos", "dof_damping", "dof_armature", "actuator_gainprm")


@pytest.mark.parametrize("name", SPECIAL_MODELS)
def test_special_models_step_as_in_mujoco(name: str) -> None:
    model = load(SPECIAL_MODELS[name], "implicit", timestep=0.02)
    for seed in range(3):
        state, ctrl = random_state(model, seed, speed=3.0)
        assert_same_stages(model, state, ctrl)
        assert_same_step(model, state, ctrl)


def test_random_trees_step_as_in_mujoco() -> None:
    for seed in range(20):
        model = load(random_tree(seed, 8), "implicit", timestep=0.02)
        assert_same_step(model, *random_state(model, seed, speed=3.0))


def in_water(text: str) -> sim.Model:
    return load(text.replace("<worldbody>", WATER + "<worldbody>", 1), "implicit", timestep=0.02)


@pytest.mark.slow
def test_steps_in_a_fluid_equal_mujoco() -> None:
    model = in_water(SMOOTH_MECHANISM)
    for seed in range(3):
        assert_same_step(model, *random_state(model, seed, speed=3.0))


def test_the_matrix_is_not_that_of_implicitfast() -> None:
    """What this integrator is for: a fast arm keeps the slope of its Coriolis forces."""
    ends = []
    for integrator in ("implicit", "implicitfast"):
        model = load(SMOOTH_MECHANISM, integrator)
        state, ctrl = random_state(model, 0, speed=3.0)
        ends.append(sim.step(model, state, ctrl).qvel)
    assert np.abs(ends[0] - ends[1]).max() > 1e-3


@pytest.mark.parametrize("fluid", FLUID)
def test_derivatives_equal_differences(fluid: bool) -> None:
    for seed in range(2):
        model = in_water(SMOOTH_MECHANISM) if fluid else load(SMOOTH_MECHANISM, "implicit")
        state, ctrl = random_state(model, seed, speed=2.0)
        spoil_workspaces(model, (model.nv + model.na, False))
        jac, rng = sim.step_jacobian(model, state, ctrl), np.random.default_rng(seed)
        whole = np.hstack([jac.A, jac.B])
        for _ in range(3):
            direction = rng.normal(size=whole.shape[1])
            assert_derivative(whole @ direction, differentiate(step_map(model), (state, ctrl), direction))
        cotangent = rng.normal(size=len(whole))
        vjp = sim.step_vjp(model, state, ctrl, cotangent)
        np.testing.assert_allclose(np.concatenate([vjp.state, vjp.ctrl]), cotangent @ whole, rtol=0, atol=1e-9)


def test_error_of_differences_falls_with_the_square() -> None:
    model = load(SMOOTH_MECHANISM, "implicit")
    state, ctrl = random_state(model, 1, speed=2.0)
    jac = sim.step_jacobian(model, state, ctrl)
    direction = np.random.default_rng(0).normal(size=jac.A.shape[1] + model.nu)
    exact = np.hstack([jac.A, jac.B]) @ direction
    assert_error_falls_with_the_square(step_map(model), (state, ctrl), direction, exact)


@pytest.mark.parametrize("fluid", FLUID)
def test_parameter_gradients_equal_differences(fluid: bool) -> None:
    model = in_water(SMOOTH_MECHANISM) if fluid else load(SMOOTH_MECHANISM, "implicit")
    state, ctrl = random_state(model, int(fluid))
    assert smooth_parameters(model, state, ctrl, PARAMETERS, int(fluid)) == set(PARAMETERS)


def test_steps_in_contact_and_their_derivatives() -> None:
    text = f"""<mujoco><option timestep="0.005" integrator="implicit"/>{TIGHT}<worldbody>
      <geom type="plane" size="5 5 1"/>
      <body pos="0 0 0.3"><freejoint/><geom type="capsule" size="0.05 0.2" euler="0 90 0"/>
        <body pos="0.2 0 0"><joint name="j" axis="0 1 0" damping="0.1" range="-60 60"/>
          <geom type="capsule" fromto="0 0 0 0.1 0 -0.25" size="0.04"/></body>
        <body pos="-0.2 0 0"><joint name="k" axis="0 1 0.2" damping="0.1"/>
          <geom type="capsule" fromto="0 0 0 -0.1 0 -0.25" size="0.04"/></body></body>
      </worldbody><tendon><fixed name="t" damping="0.3" stiffness="2"><joint joint="j" coef="1"/>
      <joint joint="k" coef="-1"/></fixed></tendon>
      <actuator><position tendon="t" kp="5" kv="0.5"/></actuator></mujoco>"""
    model, touching, smooth = sim.Model.from_xml_string(text), 0, 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        start = model.initial_state()
        qpos = start.qpos + np.concatenate([[0, 0, -0.02], np.zeros(4), rng.normal(scale=0.2, size=2)])
        state = start._replace(qpos=qpos, qvel=rng.normal(size=model.nv))
        ctrl = rng.normal(size=1)
        touching += len(sim.forward(model, state, ctrl).contact.dist) > 0
        assert_same_step(model, state, ctrl, 1e-8)
        smooth += assert_constrained_step(model, state, ctrl, seed)
    assert touching >= 4 and smooth >= 8


def test_other_integrators_do_not_compile_it() -> None:
    for integrator in ("Euler", "RK4", "implicitfast", "implicit"):
        entry = entry_points(load(SMOOTH_MECHANISM, integrator))
        names = {source_of(one).__name__ for one in all_kernels(entry.rollout_adj)}
        for kernel in ("implicit_full_factor", "bias_ahead_adj"):
            assert any(name.startswith(kernel) for name in names) == (integrator == "implicit")


@pytest.mark.slow
def test_spatial_tendons_and_muscles_in_a_fluid() -> None:
    """All that has a velocity slope at once, with the armature of a tendon in the inertia matrix."""
    smooth = 0
    for seed in range(4):
        m = random_spatial(seed, "implicit", inside=False).mj_model
        m.opt.density, m.opt.viscosity, m.opt.wind[:] = 200.0, 0.3, (0.3, 0.1, 0.2)
        model = sim.Model.from_mujoco(m)
        state, ctrl = random_state(model, seed)
        assert_same_step(model, state, ctrl, 1e-8)
        smooth += assert_constrained_step(model, state, ctrl, seed)
    assert smooth >= 6

"""Forces of a fluid against MuJoCo and differences: both models, wind, all integrators, contact, mocap bodies."""

from typing import Any

import mujoco
import numpy as np
import pytest
from derivatives import (
    assert_derivative,
    differentiate,
    is_smooth,
    smooth_parameters,
    step_map,
    tangent_between,
)
from driven import load_drive, visited, whole_gradient
from driven import step_map as drive_map
from kernels import all_kernels
from parity import INTEGRATORS, TIGHT, assert_same_stages, assert_same_step, load, random_state, spoil_workspaces

from gradgym import sim
from gradgym.sim.kernels.binding import source_of
from gradgym.sim.pipeline.entry_points import entry_points

# what takes another compilation of the whole adjoint
QUICK = [x if x != "RK4" else pytest.param(x, marks=pytest.mark.slow) for x in INTEGRATORS]
WATER = 'density="600" viscosity="0.9" wind="0.4 -0.3 0.2"'
LIFT = 'fluidshape="ellipsoid" fluidcoef="0.6 0.3 1.2 0.8 0.9"'
# A swimmer of every joint type, a loose body alone, and one with a part welded to it.
SWIMMER = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.005"/>
  <worldbody>
    <body name="trunk" pos="0 0 1"><freejoint/>
      <geom type="ellipsoid" size="0.15 0.1 0.06" pos="0.02 0.01 0" {0}/>
      <body name="fin" pos="0.2 0 0"><joint name="fin" axis="0 1 0.3" damping="0.05" armature="0.01"/>
        <geom type="box" size="0.1 0.06 0.03" pos="0.1 0 0.02" euler="0.1 0.2 0.3" {0}/>
        <geom type="capsule" size="0.03 0.05" pos="0.1 0.1 0" {1}/>
        <body name="tip" pos="0.2 0 0"><joint name="tip" type="ball" damping="0.02" armature="0.005"/>
          <geom type="cylinder" size="0.04 0.08" pos="0.08 0 0" euler="0.4 1 0.2" {1}/></body></body>
      <body name="tail" pos="-0.2 0 0"><joint name="tail" type="slide" axis="1 0.2 0" stiffness="10"/>
        <geom type="sphere" size="0.07" {0}/></body></body>
    <body name="leaf" pos="1 0 1"><freejoint/><geom type="ellipsoid" size="0.1 0.08 0.03" pos="0.02 0 0.01" {0}/></body>
    <body name="seed" pos="2 0 1"><freejoint/><geom type="box" size="0.1 0.05 0.04" {1}/>
      <body pos="0 0.1 0.1" euler="0.3 0.5 1"><geom type="ellipsoid" size="0.1 0.06 0.02" pos="0.02 0 0.01" {0}/></body>
    </body>
  </worldbody>
  <tendon><fixed name="cord"><joint joint="fin" coef="0.5"/></fixed></tendon>
  <actuator><position joint="fin" kp="3" kv="0.2"/><motor joint="tail"/><position tendon="cord"/>
    <general joint="tail" dyntype="muscle" dynprm="0.02 0.05" actearly="true"/></actuator>
</mujoco>"""
MEDIUM = ("density", "viscosity", "wind")
SHAPES = {"boxes": ("", ""), "ellipsoids": (LIFT, LIFT), "both": (LIFT, ""), "others": ("", LIFT)}


def swimmer(shapes: str, integrator: str, water: str = WATER) -> sim.Model:
    text = SWIMMER.format(*SHAPES[shapes]).replace("<option ", f"<option {water} ", 1)
    return load(text, integrator)


@pytest.mark.parametrize("integrator", QUICK)
@pytest.mark.parametrize("shapes", SHAPES)
def test_forces_and_steps_equal_mujoco(shapes: str, integrator: str) -> None:
    for water in (WATER, 'density="900"', 'viscosity="2" wind="0 1 0"'):
        model = swimmer(shapes, integrator, water)
        for seed, speed in ((0, 1.0), (1, 5.0), (2, 1e-3)):
            state, ctrl = random_state(model, seed, speed)
            assert_same_stages(model, state, ctrl)
            assert_same_step(model, state, ctrl)


@pytest.mark.parametrize("integrator", QUICK)
@pytest.mark.parametrize("shapes", ["boxes", "both"])
def test_derivatives_equal_differences(shapes: str, integrator: str) -> None:
    model, smooth = swimmer(shapes, integrator), 0
    for seed in range(4):
        state, ctrl = random_state(model, seed)
        spoil_workspaces(model, (model.nv + model.na, False))
        jac, rng = sim.step_jacobian(model, state, ctrl), np.random.default_rng(seed)
        whole = np.hstack([jac.A, jac.B])
        cotangent = rng.normal(size=len(whole))
        vjp = sim.step_vjp(model, state, ctrl, cotangent)
        np.testing.assert_allclose(np.concatenate([vjp.state, vjp.ctrl]), cotangent @ whole, rtol=0, atol=1e-9)
        for _ in range(3):
            direction = rng.normal(size=whole.shape[1])
            found = differentiate(step_map(model), (state, ctrl), direction, h=1e-4)
            if is_smooth(found, 1e-5):  # no velocity changes its sign between the points
                assert_derivative(whole @ direction, found, 1e-6)
                smooth += 1
    assert smooth >= 8


@pytest.mark.parametrize("integrator", QUICK)
@pytest.mark.parametrize("shapes", ["boxes", "both"])
def test_parameter_gradients_equal_differences(shapes: str, integrator: str) -> None:
    names, smooth = ("body_mass", "body_inertia", "body_ipos", "body_pos", *MEDIUM), list[str]()
    model = swimmer(shapes, integrator)
    for seed in range(4):
        state, ctrl = random_state(model, seed)
        smooth += smooth_parameters(model, state, ctrl, names, seed)
    assert all(smooth.count(name) >= 2 for name in names), smooth


@pytest.mark.parametrize("integrator", ["Euler", pytest.param("implicitfast", marks=pytest.mark.slow)])
def test_in_contact_and_driven_by_mocap_bodies(integrator: str) -> None:
    """A loose body rests on the ground, a mocap body holds an arm in the wind."""
    text = f"""<mujoco><option timestep="0.004" integrator="{integrator}" {WATER}/>{TIGHT}<worldbody>
      <geom type="plane" size="5 5 1"/>
      <body pos="0 0 0.098"><freejoint/><geom type="ellipsoid" size="0.12 0.1 0.1" {LIFT}/></body>
      <body mocap="true" pos="0 2 1" quat="1 0.2 0.3 0.1"><geom size="0.05" contype="0" conaffinity="0"/>
        <body pos="0.1 0 0" euler="0 30 0"><joint name="a" axis="0 1 0.2" damping="0.1"/>
          <geom type="ellipsoid" size="0.1 0.05 0.06" pos="0.1 0.02 0" {LIFT}/>
          <body pos="0.2 0 0"><joint name="b" axis="0 0 1"/><geom type="box" size="0.05 0.03 0.08" pos="0.05 0 0.1"/>
          </body></body></body>
      </worldbody><actuator><motor joint="b"/></actuator></mujoco>"""
    model, rng, touching, smooth = sim.Model.from_xml_string(text), np.random.default_rng(0), 0, 0
    for drive in visited(model, 4, 2):
        d = mujoco.MjData(model.mj_model)
        mujoco.mj_step(model.mj_model, load_drive(d, drive))
        spoil_workspaces(model, (1, False))
        after = sim.step(model, drive.state, drive.ctrl, **drive.forces)
        touching += d.ncon > 0
        change = np.abs(d.qvel - drive.state.qvel).max()
        np.testing.assert_allclose(after.qvel, d.qvel, rtol=0, atol=1e-8 * change)
        cotangent = rng.normal(size=2 * model.nv)
        gradient = whole_gradient(sim.step_vjp(model, drive.state, drive.ctrl, cotangent, **drive.forces))
        for _ in range(3):
            tangent = rng.normal(size=sum(map(len, gradient)))
            found = differentiate(drive_map(model), drive, tangent, h=1e-5)
            if is_smooth(found, 1e-5):
                bound = 1e-6 * np.abs(cotangent) @ np.abs(found.value) + 10.0 * found.rounding
                assert abs(np.concatenate(gradient) @ tangent - cotangent @ found.value) <= bound
                smooth += 1
    assert touching >= 3 and smooth >= 8


def test_bodies_at_rest_have_finite_derivatives() -> None:
    """The square root of the drag at zero velocity, with wind nowhere."""
    for integrator in ("Euler", "implicitfast"):
        model = swimmer("both", integrator, 'density="900" viscosity="0.1"').replace(gravity=np.zeros(3))
        jac = sim.step_jacobian(model, model.initial_state(), np.zeros(model.nu))
        assert np.isfinite(jac.A).all()
        thin = model.replace(density=0.0).replace(viscosity=0.1)
        found = sim.step_jacobian(thin, model.initial_state(), np.zeros(model.nu))
        np.testing.assert_allclose(jac.A, found.A, rtol=0, atol=1e-9)  # quadratic drag has no slope at rest


@pytest.mark.parametrize("water", ['density="900"', 'viscosity="2"'])
def test_gradients_by_what_the_medium_has_none_of(water: str) -> None:
    """Of density where there is viscosity alone, and the other way round; of a wind that does not blow."""
    model, rng = swimmer("both", "implicitfast", water), np.random.default_rng(1)
    missing = "viscosity" if "density" in water else "density"
    state, ctrl = random_state(model, 3)
    cotangent = rng.normal(size=2 * model.nv + model.na)
    params = sim.step_vjp(model, state, ctrl, cotangent, params=True).params
    assert params is not None
    rates = []
    for h in (1e-6, 2e-6):
        start, end = (sim.step(model.replace(**{missing: x}), state, ctrl) for x in (0.0, h))
        rates.append(cotangent @ tangent_between(model, start, end) / h)
    assert params[missing] == pytest.approx(2.0 * rates[0] - rates[1], rel=1e-4)
    gust = rng.normal(size=3)
    ends = [sim.step(model.replace(wind=s * 1e-4 * gust), state, ctrl) for s in (-1.0, 1.0)]
    rate = cotangent @ tangent_between(model, *ends) / 2e-4
    assert params["wind"] @ gust == pytest.approx(rate, rel=1e-6)


def test_options_can_be_replaced() -> None:
    model = swimmer("both", "Euler")
    changes: tuple[dict[str, Any], ...] = {"density": 100.0}, {"viscosity": 3.0}, {"wind": np.array([0.0, 1.0, 2.0])}
    for change in changes:
        state, ctrl = random_state(model, 3)
        changed = model.replace(**change)
        assert_same_step(changed, state, ctrl)
        assert not np.array_equal(sim.step(changed, state, ctrl).qvel, sim.step(model, state, ctrl).qvel)
    with pytest.raises(ValueError, match=r"density is -1\.0, need 0 or more"):
        model.replace(density=-1.0)


def test_models_without_fluid_do_not_compile_it() -> None:
    def compiled(model: sim.Model) -> set[str]:
        return {source_of(one).__name__ for one in all_kernels(entry_points(model).rollout_adj)}

    assert "box_force" not in compiled(swimmer("both", "implicitfast", ""))
    assert "box_force" in compiled(swimmer("both", "implicitfast"))
    both_off = SWIMMER.format("", "").replace("<option ", f"<option {WATER} ", 1)
    both_off = both_off.replace(
        "<worldbody>", '<option><flag spring="disable" damper="disable"/></option><worldbody>', 1
    )
    model = load(both_off, "Euler")
    assert "box_force" not in compiled(model)
    assert_same_step(model, *random_state(model, 0))

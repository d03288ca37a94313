"""Geoms whose surfaces move: belts and turntables, static, on moving bodies and on mocap bodies; the exact adjoint."""

import mujoco
import numpy as np
import pytest
from derivatives import differentiate, is_smooth, smooth_parameters
from driven import load_drive, step_map, visited, whole_gradient
from kernels import all_kernels
from parity import TIGHT, spoil_workspaces

from gradgym import sim
from gradgym.sim.kernels.binding import source_of
from gradgym.sim.pipeline.entry_points import entry_points

# A belt and a turntable in the world, a carrier with a moving surface that lies on a plane, a mocap body with one.
FACTORY = """<mujoco><option timestep="0.004" integrator="{integrator}" {option}/>{tight}<worldbody>
  <geom name="belt" type="box" size="2 0.5 0.1" pos="0 0 -0.1" euler="3 2 0" surfacevel="0.7 0.2 0 0 0 0" {geom}/>
  <geom name="table" type="cylinder" size="0.6 0.1" pos="0 2 -0.1" surfacevel="0 0 0 0.2 0 2.5" {geom}/>
  <geom type="plane" size="5 5 1" pos="0 0 -0.5"/>
  <body pos="0 0 0.098"><freejoint/><geom size="0.1" surfacevel="0 0.3 0.1 1 0 0.5" {geom}/></body>
  <body pos="0.3 2.1 0.048"><freejoint/><geom type="capsule" size="0.05 0.1" euler="0 90 20" {geom}/></body>
  <body name="carrier" pos="3 0 -0.402"><freejoint/><geom type="sphere" size="0.1" surfacevel="0 0 0 0 3 1" {geom}/>
    <body pos="0 0 0.2"><joint axis="0 1 0" damping="0.1"/><geom type="capsule" size="0.04 0.05"/></body></body>
  <body mocap="true" pos="0 -3 0" quat="1 0.02 0.03 0.1"><geom type="box" size="0.5 0.5 0.1"
    surfacevel="0.4 0.1 0 0 0 1" {geom}/></body>
  <body pos="0.1 -3 0.195"><freejoint/><geom type="sphere" size="0.1" {geom}/></body>
  </worldbody></mujoco>"""
ELLIPTIC = TIGHT
PYRAMIDAL = TIGHT.replace("elliptic", "pyramidal")


def factory(condim: int, cone: str, integrator: str = "Euler", option: str = "") -> sim.Model:
    geom = f'condim="{condim}" friction="0.8 0.05 0.01"'
    return sim.Model.from_xml_string(FACTORY.format(tight=cone, geom=geom, integrator=integrator, option=option))


@pytest.mark.parametrize("cone", [ELLIPTIC, PYRAMIDAL], ids=["elliptic", "pyramidal"])
@pytest.mark.parametrize("condim", [1, 3, 4, 6])
def test_steps_equal_mujoco(condim: int, cone: str) -> None:
    model, moved = factory(condim, cone), 0
    still = model.replace(geom_surfacevel=np.zeros((model.ngeom, 6)))
    for drive in visited(model, 8, 0):
        d = mujoco.MjData(model.mj_model)
        mujoco.mj_step(model.mj_model, load_drive(d, drive))
        spoil_workspaces(model)
        after = sim.step(model, drive.state, drive.ctrl, **drive.forces)
        change = np.abs(d.qvel - drive.state.qvel).max()
        np.testing.assert_allclose(after.qvel, d.qvel, rtol=0, atol=1e-8 * change)
        unmoved = sim.step(still, drive.state, drive.ctrl, **drive.forces)
        moved += np.abs(unmoved.qvel - after.qvel).max() > 1e-3
    assert moved == 8  # the carrier has friction whatever the others have


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver", ['solver="PGS" iterations="2000"', 'noslip_iterations="20" noslip_tolerance="1e-14"']
)
def test_other_solvers_equal_mujoco(solver: str) -> None:
    model = factory(4, PYRAMIDAL.replace('solver="Newton"', "") if "PGS" in solver else PYRAMIDAL, option=solver)
    for drive in visited(model, 4, 1):
        d = mujoco.MjData(model.mj_model)
        mujoco.mj_step(model.mj_model, load_drive(d, drive))
        after = sim.step(model, drive.state, drive.ctrl, **drive.forces)
        change = np.abs(d.qvel - drive.state.qvel).max()
        np.testing.assert_allclose(after.qvel, d.qvel, rtol=0, atol=1e-6 * change)


@pytest.mark.parametrize("integrator", ["Euler", pytest.param("implicitfast", marks=pytest.mark.slow)])
@pytest.mark.parametrize("cone", [ELLIPTIC, PYRAMIDAL], ids=["elliptic", "pyramidal"])
def test_gradients_equal_differences(cone: str, integrator: str) -> None:
    smooth = 0
    for condim in (3, 6):
        model, rng = factory(condim, cone, integrator), np.random.default_rng(condim)
        for drive in visited(model, 4, 2):
            cotangent = rng.normal(size=2 * model.nv)
            spoil_workspaces(model, (1, False))
            gradient = whole_gradient(sim.step_vjp(model, drive.state, drive.ctrl, cotangent, **drive.forces))
            for _ in range(4):
                tangent = rng.normal(size=sum(map(len, gradient)))
                found = differentiate(step_map(model), drive, tangent, h=1e-5)
                if is_smooth(found, 1e-5):
                    bound = 1e-6 * np.abs(cotangent) @ np.abs(found.value) + 10.0 * found.rounding
                    assert abs(np.concatenate(gradient) @ tangent - cotangent @ found.value) <= bound
                    smooth += 1
    assert smooth >= 6


@pytest.mark.parametrize("cone", [ELLIPTIC, PYRAMIDAL], ids=["elliptic", "pyramidal"])
def test_parameter_gradients_equal_differences(cone: str) -> None:
    model, smooth, names = factory(4, cone), list[str](), ("body_mass", "geom_friction", "body_pos")
    friction = model.mj_model.geom_friction * (1.0 + 0.13 * np.arange(model.ngeom)[:, None])
    model = model.replace(geom_friction=friction)  # of two geoms the greater counts: no ties
    for k, drive in enumerate(visited(model, 3, 3, forces=False)):
        smooth += smooth_parameters(model, drive.state, drive.ctrl, names, k)
    assert all(name in smooth for name in names), smooth


def test_a_belt_carries_what_lies_on_it() -> None:
    text = """<mujoco><worldbody><geom type="plane" size="9 9 1" surfacevel="0.5 0 0 0 0 0"/>
      <body pos="0 0 0.1"><freejoint/><geom type="box" size="0.1 0.1 0.1"/></body></worldbody></mujoco>"""
    model = sim.Model.from_xml_string(text)
    after = sim.step(model, model.initial_state(), np.zeros(0), 500)
    assert after.qvel[0] == pytest.approx(0.5, abs=1e-3)


def test_models_without_moving_surfaces_do_not_compile_them() -> None:
    text = FACTORY.format(tight=ELLIPTIC, geom="", integrator="Euler", option="")
    for model, expected in ((factory(3, ELLIPTIC), True), (sim.Model.from_xml_string(_without(text)), False)):
        names = {source_of(one).__name__ for one in all_kernels(entry_points(model).rollout_adj)}
        assert any(name.startswith("surface_velocity") for name in names) == expected


def _without(text: str) -> str:
    return "".join(part.split('"', 1)[1] if i else part for i, part in enumerate(text.split('surfacevel="')))

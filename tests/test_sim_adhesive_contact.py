"""Geoms that stick: contacts that pull, also across a gap, as MuJoCo's; the exact adjoint."""

import re

import mujoco
import numpy as np
import pytest
from derivatives import differentiate, is_smooth, moved, smooth_parameters
from driven import Drive, drive_of, load_drive, step_map, whole_gradient
from kernels import all_kernels
from parity import TIGHT, spoil_workspaces

from gradgym import sim
from gradgym.sim.kernels.binding import source_of
from gradgym.sim.pipeline.entry_points import entry_points

# A ball under a ceiling that holds it, one in the gap below it, one that creeps on a slope, one that rolls on a
# mocap plate, two balls of which only one sticks, and an arm that leans on the ground.
STICKY = """<mujoco><option timestep="0.004" integrator="{integrator}" {option}/>{tight}<worldbody>
  <geom name="ceiling" type="plane" size="2 2 1" pos="0 0 1" euler="180 0 0" adhesion="3" gap="0.02" {geom}/>
  <body pos="0 0 0.8995"><freejoint/><geom size="0.1" mass="0.3" adhesion="2" {geom}/></body>
  <body pos="0.5 0 0.893"><freejoint/><geom size="0.1" mass="0.3" {geom}/></body>
  <body pos="-0.5 0 0.8995"><freejoint/><geom name="held" size="0.1" mass="0.3"/></body>
  <geom name="slope" type="box" size="0.5 0.5 0.1" pos="0 2 -0.1" euler="40 5 0" adhesion="1" {geom}/>
  <body pos="0 1.95 0.125"><freejoint/><geom type="capsule" size="0.05 0.1" euler="0 90 20" adhesion="6" {geom}/></body>
  <body mocap="true" pos="0 -3 0" quat="1 0.02 0.03 0.1"><geom type="box" size="0.5 0.5 0.1" adhesion="2" gap=".01"
    {geom}/></body>
  <body pos="0.1 -3 0.195"><freejoint/><geom type="sphere" size="0.1" {geom}/>
    <body pos="0 0 0.25"><joint axis="0 1 0" damping="0.1"/><geom size="0.1"/></body></body>
  <body pos="0.1 -3 0.75"><freejoint/><geom size="0.1" mass="0.01" adhesion="0.5" gap="0.4" priority="1" {geom}/></body>
  <geom type="plane" size="9 9 1" pos="0 0 -2" adhesion="4" gap="0.05"/>
  <body pos="5 0 -1.7"><joint axis="0 1 0"/><geom type="capsule" size="0.03" fromto="0 0 0 0.3 0 -0.1"/>
    <body pos="0.3 0 -0.1"><joint axis="0 1 0" stiffness="3" damping="0.02"/>
      <geom type="capsule" size="0.03" fromto="0 0 0 0.2 0 -0.15"/></body></body>
  </worldbody><contact><pair geom1="ceiling" geom2="held" adhesion="4" gap="0.01"/></contact></mujoco>"""
ELLIPTIC = TIGHT
PYRAMIDAL = TIGHT.replace("elliptic", "pyramidal")
OTHER_SOLVERS = ['solver="PGS" iterations="5000"', 'noslip_iterations="40" noslip_tolerance="1e-14"']


def sticky(condim: int, cone: str, integrator: str = "Euler", option: str = "") -> sim.Model:
    geom = f'condim="{condim}" friction="0.8 0.05 0.01"'
    return sim.Model.from_xml_string(STICKY.format(tight=cone, geom=geom, integrator=integrator, option=option))


def visited(model: sim.Model, count: int, seed: int, forces: bool = True) -> list[Drive]:
    """Situations that MuJoCo comes by under random forces, weaker than what holds."""
    rng, d, found = np.random.default_rng(seed), mujoco.MjData(model.mj_model), []
    for _ in range(count):
        d.mocap_pos[:] += rng.normal(scale=0.0005, size=d.mocap_pos.shape)
        d.mocap_quat[:] += rng.normal(scale=0.002, size=d.mocap_quat.shape)
        d.qfrc_applied[:] = rng.normal(scale=0.02, size=model.nv)
        d.xfrc_applied[:] = rng.normal(scale=0.02, size=(model.nbody, 6))
        mujoco.mj_step(model.mj_model, d, nstep=5)
        found.append(drive_of(d, forces))
    return found


@pytest.mark.parametrize("cone", [ELLIPTIC, PYRAMIDAL], ids=["elliptic", "pyramidal"])
@pytest.mark.parametrize("condim", [1, 3, 4, 6])
def test_steps_equal_mujoco(condim: int, cone: str) -> None:
    model, pulls, apart = sticky(condim, cone), 0, 0
    for drive in visited(model, 8, 0):
        d = mujoco.MjData(model.mj_model)
        mujoco.mj_step(model.mj_model, load_drive(d, drive))
        spoil_workspaces(model)
        after = sim.step(model, drive.state, drive.ctrl, **drive.forces)
        change = np.abs(d.qvel - drive.state.qvel).max()
        np.testing.assert_allclose(after.qvel, d.qvel, rtol=0, atol=1e-8 * change)
        for contact, force in zip(d.contact, _normal_forces(model, d), strict=True):
            apart += contact.dist > contact.includemargin
            pulls += force < -0.1
    assert pulls >= 8 and apart >= 8


def _normal_forces(model: sim.Model, d: mujoco.MjData) -> list[float]:
    forces, force = [], np.zeros(6)
    for c in range(d.ncon):
        mujoco.mj_contactForce(model.mj_model, d, c, force)
        forces.append(float(force[0]))
    return forces


@pytest.mark.slow
@pytest.mark.parametrize("solver", OTHER_SOLVERS)
@pytest.mark.parametrize("cone", [ELLIPTIC, PYRAMIDAL], ids=["elliptic", "pyramidal"])
def test_other_solvers_equal_mujoco(solver: str, cone: str) -> None:
    model = sticky(4, cone.replace('solver="Newton"', "") if "PGS" in solver else cone, option=solver)
    for drive in visited(model, 4, 1):
        d = mujoco.MjData(model.mj_model)
        mujoco.mj_step(model.mj_model, load_drive(d, drive))
        after = sim.step(model, drive.state, drive.ctrl, **drive.forces)
        change = np.abs(d.qvel - drive.state.qvel).max()
        np.testing.assert_allclose(after.qvel, d.qvel, rtol=0, atol=1e-6 * change)


def assert_gradients_equal_differences(model: sim.Model, drives: list[Drive], seed: int) -> int:
    """Returns in how many directions nothing switches."""
    smooth, rng = 0, np.random.default_rng(seed)
    for drive in drives:
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
    return smooth


@pytest.mark.parametrize("integrator", ["Euler", pytest.param("implicitfast", marks=pytest.mark.slow)])
@pytest.mark.parametrize("cone", [ELLIPTIC, PYRAMIDAL], ids=["elliptic", "pyramidal"])
def test_gradients_equal_differences(cone: str, integrator: str) -> None:
    smooth = 0
    for condim in (3, 6):
        model = sticky(condim, cone, integrator)
        smooth += assert_gradients_equal_differences(model, visited(model, 4, 2), condim)
    assert smooth >= 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", ['solver="PGS" iterations="5000"', 'noslip_iterations="40" noslip_tolerance="1e-14"']
)
@pytest.mark.parametrize("cone", [ELLIPTIC, PYRAMIDAL], ids=["elliptic", "pyramidal"])
def test_gradients_of_other_solvers_equal_differences(option: str, cone: str) -> None:
    model = sticky(3, cone.replace('solver="Newton"', "") if "PGS" in option else cone, option=option)
    assert assert_gradients_equal_differences(model, visited(model, 3, 2), 0) >= 3


@pytest.mark.parametrize("cone", [ELLIPTIC, PYRAMIDAL], ids=["elliptic", "pyramidal"])
def test_whole_jacobians_are_made_of_gradients(cone: str) -> None:
    model, rng = sticky(6, cone), np.random.default_rng(3)
    for drive in visited(model, 2, 3):
        cotangent, state = rng.normal(size=2 * model.nv), sim.State(*drive.state[:3])
        gradient = sim.step_vjp(model, state, drive.ctrl, cotangent)
        jac = sim.step_jacobian(model, state, drive.ctrl)
        scale = 1e-9 * np.abs(cotangent) @ np.abs(jac.A)
        assert (np.abs(cotangent @ jac.A - gradient.state) <= scale).all()


@pytest.mark.parametrize("cone", [ELLIPTIC, PYRAMIDAL], ids=["elliptic", "pyramidal"])
def test_parameter_gradients_equal_differences(cone: str) -> None:
    names = ("body_mass", "geom_friction", "geom_solref", "body_pos", "geom_adhesion", "pair_adhesion")
    model, smooth = sticky(4, cone), list[str]()
    friction = model.mj_model.geom_friction * (1.0 + 0.13 * np.arange(model.ngeom)[:, None])
    model = model.replace(geom_friction=friction)  # of two geoms the greater counts: no ties
    for k, drive in enumerate(visited(model, 3, 3, forces=False)):
        smooth += smooth_parameters(model, drive.state, drive.ctrl, names, k)
    assert all(name in smooth for name in names), smooth


@pytest.mark.parametrize("cone", [ELLIPTIC, PYRAMIDAL], ids=["elliptic", "pyramidal"])
def test_force_on_bodies_is_what_is_left(cone: str) -> None:
    model = sticky(3, cone)
    for drive in visited(model, 2, 4, forces=False):
        d = load_drive(mujoco.MjData(model.mj_model), drive)
        mujoco.mj_forward(model.mj_model, d)
        mujoco.mj_rnePostConstraint(model.mj_model, d)
        found = sim.cfrc_ext(model, drive.state, drive.ctrl)
        np.testing.assert_allclose(found[1:], d.cfrc_ext[1:], rtol=0, atol=1e-8 * np.abs(d.cfrc_ext).max())
        rng = np.random.default_rng(5)
        cotangent, tangent = rng.normal(size=found.shape), rng.normal(size=2 * model.nv)
        gradient = sim.cfrc_ext_vjp(model, drive.state, drive.ctrl, cotangent)
        ends = [_moved_force(model, drive, s * 1e-6 * tangent) for s in (-1.0, 1.0)]
        slope = float(np.sum(cotangent * (ends[1] - ends[0])) / 2e-6)
        assert gradient.state @ tangent == pytest.approx(slope, rel=1e-4)


def _moved_force(model: sim.Model, drive: Drive, tangent: np.ndarray) -> np.ndarray:
    state = drive.state
    shifted = moved(model, state, tangent)._replace(mocap_pos=state.mocap_pos, mocap_quat=state.mocap_quat)
    return sim.cfrc_ext(model, shifted, drive.ctrl)


def test_adhesion_can_be_replaced_and_taken_away() -> None:
    model = sticky(3, PYRAMIDAL)
    drive = visited(model, 1, 0)[0]
    for adhesion in (np.zeros(model.ngeom), 2.0 * model.mj_model.geom_adhesion):
        changed = model.replace(geom_adhesion=adhesion)
        found, expected = (x.step(changed, drive.state, drive.ctrl) for x in (sim, sim.mujoco_twin))
        change = np.abs(expected.qvel - drive.state.qvel).max()
        np.testing.assert_allclose(found.qvel, expected.qvel, rtol=0, atol=1e-9 * change)


def test_a_ball_hangs_as_long_as_adhesion_is_more_than_its_weight() -> None:
    for mass, holds in ((0.5, True), (0.52, False)):  # 5 N hold 0.5097 kg
        model = sim.Model.from_xml_string(f"""<mujoco><worldbody>
          <geom type="plane" size="2 2 1" pos="0 0 1" euler="180 0 0" adhesion="3" gap=".01"/>
          <body pos="0 0 0.9"><freejoint/><geom size="0.1" mass="{mass}" adhesion="2"/></body></worldbody></mujoco>""")
        after = sim.step(model, model.initial_state(), np.zeros(0), 500)
        assert (abs(after.qpos[2] - 0.9) < 0.01) == holds


def test_models_without_adhesion_do_not_compile_it() -> None:
    bare = re.sub(r'adhesion="[.0-9]*"', "", STICKY.format(tight=ELLIPTIC, geom="", integrator="Euler", option=""))
    for model, expected in ((sticky(3, ELLIPTIC), True), (sim.Model.from_xml_string(bare), False)):
        names = {source_of(one).__name__ for one in all_kernels(entry_points(model).rollout_adj)}
        for name in ("adhesive_pull", "adhesive_reference", "pulled", "reference_push"):
            assert any(one.startswith(name) for one in names) == expected

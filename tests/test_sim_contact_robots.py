"""Whole robots in contact against MuJoCo, with both solvers and both cones; their Jacobians against differences.

Both sides at tight solver tolerance. Where a pile leaves a mechanism with more rows than it has
degrees of freedom the forces are not unique in the limit of hard contact, but the acceleration and
the joint force are.
"""

import mujoco
import numpy as np
import pytest
from contact_scenes import CONES, active_rows, tight, visited_states
from derivatives import moved, tangent_between
from parity import GYMNASIUM_ASSETS, HAND_ASSETS

from gradgym import sim
from gradgym.envs import ASSETS

PGS = int(mujoco.mjtSolver.mjSOL_PGS)
TETRAHEDRON = "0 0 .12  .12 0 -.05  -.06 .1 -.05  -.06 -.1 -.05"
WEDGE = "-.1 -.08 -.06  .1 -.08 -.06  .1 .08 -.06  -.1 .08 -.06  -.1 -.08 .06  .02 -.08 .06  .02 .08 .06  -.1 .08 .06"
PILE = f"""
<mujoco>
  <option timestep="0.004"/>
  <asset><mesh name="tetrahedron" vertex="{TETRAHEDRON}"/><mesh name="wedge" vertex="{WEDGE}"/></asset>
  <default><geom friction="0.6 0.01 0.002"/></default>
  <worldbody>
    <geom type="plane" size="3 3 .1"/>
    <body pos="0 0 0.1"><freejoint/><geom type="box" size="0.12 0.1 0.08"/></body>
    <body pos="0.03 0.02 0.3" euler="10 20 30"><freejoint/><geom type="box" size="0.1 0.08 0.06"/></body>
    <body pos="-0.02 0 0.5"><freejoint/><geom type="sphere" size="0.09"/></body>
    <body pos="0.02 0.03 0.7" euler="70 10 0"><freejoint/><geom type="capsule" size="0.05 0.1"/></body>
    <body pos="0 0.02 0.9"><freejoint/><geom type="mesh" mesh="wedge" condim="4"/></body>
    <body pos="0.2 0 0.15"><freejoint/><geom type="mesh" mesh="tetrahedron"/></body>
  </worldbody>
</mujoco>"""
SPECS = {
    "pusher": lambda: mujoco.MjSpec.from_file(str(GYMNASIUM_ASSETS / "pusher_v5.xml")),
    "laikago": lambda: mujoco.MjSpec.from_file(str(ASSETS / "laikago.xml")),
    "hand": lambda: mujoco.MjSpec.from_file(str(HAND_ASSETS / "manipulate_block.xml")),
    "pile": lambda: mujoco.MjSpec.from_string(PILE),
}


def tight_model(name: str, cone: str) -> mujoco.MjModel:
    spec = SPECS[name]()
    spec.option.ccd_tolerance = 1e-10  # the contacts of meshes come from an iteration too
    return tight(spec, CONES[cone])


def assert_equal(mj_model: mujoco.MjModel, model: sim.Model, count: int, least: int) -> None:
    """Contacts, acceleration and joint force at visited states, `least` of which have active rows."""
    active = 0
    for d in visited_states(mj_model, count, 0):
        d.qacc_warmstart[:] = 0
        mujoco.mj_forward(mj_model, d)
        found = sim.forward(model, sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy())
        assert len(found.contact.dist) == d.ncon
        np.testing.assert_allclose(np.sort(found.contact.dist), np.sort(d.contact.dist), rtol=0, atol=1e-8)
        for ours, theirs in ((found.qacc, d.qacc), (found.qfrc_constraint, d.qfrc_constraint)):
            scale = max(1.0, np.abs(theirs).max())
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * scale)
        active += d.nefc > 0
    assert active >= least


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("name", SPECS)
def test_acceleration_and_force_equal_mujoco(name: str, cone: str) -> None:
    mj_model = tight_model(name, cone)
    assert_equal(mj_model, sim.Model.from_mujoco(mj_model), 200, 100)


@pytest.mark.slow
@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("name", SPECS)
def test_gauss_seidel_equals_mujoco(name: str, cone: str) -> None:
    mj_model = tight_model(name, cone)
    model = sim.Model.from_mujoco(mj_model).replace(solver=PGS, iterations=100_000, tolerance=1e-18)
    assert_equal(mj_model, model, 200, 100)


@pytest.mark.parametrize(("name", "cone"), [("laikago", "pyramidal"), ("hand", "elliptic"), ("pile", "elliptic")])
def test_jacobians_equal_differences(name: str, cone: str) -> None:
    mj_model = tight_model(name, cone)
    m, rng, h, checked = sim.Model.from_mujoco(mj_model), np.random.default_rng(1), 1e-7, 0
    for d in visited_states(mj_model, 12, 3):
        s, ctrl = sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy()
        rows, centre, jac = active_rows(m, s, ctrl), sim.step(m, s, ctrl), sim.step_jacobian(m, s, ctrl)
        for _ in range(4):
            x, u = rng.normal(size=2 * m.nv + m.na), rng.normal(size=m.nu)
            ends = [(moved(m, s, sign * h * x), ctrl + sign * h * u) for sign in (1, -1)]
            if any(active_rows(m, *end) != rows for end in ends):
                continue
            plus, minus = (tangent_between(m, centre, sim.step(m, *end)) for end in ends)
            numeric, exact = (plus - minus) / (2 * h), jac.A @ x + jac.B @ u
            np.testing.assert_allclose(exact, numeric, rtol=0, atol=1e-5 * max(1.0, np.abs(numeric).max()))
            checked += rows[0] > 0
        cotangent = rng.normal(size=len(jac.A))
        vjp, scale = sim.step_vjp(m, s, ctrl, cotangent), max(1.0, np.abs(jac.A).max())
        np.testing.assert_allclose(vjp.state, cotangent @ jac.A, rtol=0, atol=1e-10 * scale)
        np.testing.assert_allclose(vjp.ctrl, cotangent @ jac.B, rtol=0, atol=1e-10 * scale)
    assert checked >= 8


def test_laikago_is_the_robot_it_is_said_to_be() -> None:
    m = sim.Model.from_xml_path(ASSETS / "laikago.xml")
    assert (m.nq, m.nv, m.nu) == (19, 18, 12)
    assert m.body_mass.sum() == pytest.approx(25.433)

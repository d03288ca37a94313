"""Faults that users reported of other differentiable engines, each as a test of what is right."""

import warnings

import mujoco
import numpy as np
import pytest
from contact_scenes import CONES, tight
from derivatives import assert_derivative, differentiate, is_smooth, step_map, tangent_between
from parity import GYMNASIUM_ASSETS, mujoco_data

from gradgym import sim

SOLVERS = {"newton": mujoco.mjtSolver.mjSOL_NEWTON, "pgs": mujoco.mjtSolver.mjSOL_PGS}
COLLISION = """
<mujoco>
  <option timestep="2e-4" gravity="0 0 0" integrator="RK4" tolerance="1e-15"/>
  <default>
    <geom type="sphere" size="0.1" mass="1" condim="1" solref="-{stiffness} 0" solimp="0.9 0.9 0.001"/>
    <joint type="slide" axis="1 0 0"/>
  </default>
  <worldbody><body><joint/><geom/></body><body><joint/><geom/></body></worldbody>
</mujoco>"""
RESTING = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <geom type="plane" size="5 5 .1"/>
    <body pos="0 0 0.1"><freejoint/><geom type="sphere" size="0.1"/></body>
    <body pos="1 0 0.05" euler="0 90 0"><freejoint/><geom type="capsule" size="0.05 0.2"/></body>
    <body pos="1 0 0.15" euler="0 90 0"><freejoint/><geom type="capsule" size="0.05 0.2"/></body>
    <body pos="-1 0 0.3"><freejoint/><geom type="capsule" size="0.1 0.2"/></body>
  </worldbody>
</mujoco>"""

# Bodies with their centre of mass on their axle, so that body_invweight0 = 0 and R is the least, 1e-15: a bar on a
# ball joint with both ends in the ground, one that dips an end into it, and a wheel whose axle is too low.
BALANCED = """
<mujoco>
  <option timestep="0.004" impratio="{impratio}"/>
  <default><geom condim="{condim}" friction="0.7 0.05 0.02" mass="0.2"/></default>
  <worldbody>
    <geom type="plane" size="5 5 .1"/>
    <body pos="0 0 .0189"><joint type="ball"/><geom type="capsule" size=".02" fromto="-.1 0 0 .1 0 0"/></body>
    <body pos="0 1 .05"><joint axis="0 1 0"/><geom type="capsule" size=".02" fromto="-.1 0 .032 .1 0 -.032"/></body>
    <body pos="0 2 .0495"><joint axis="0 1 0"/><geom type="sphere" size=".05"/></body>
  </worldbody>
</mujoco>"""


def ant(cone: str = "pyramidal") -> sim.Model:
    return sim.Model.from_mujoco(tight(mujoco.MjSpec.from_file(str(GYMNASIUM_ASSETS / "ant.xml")), CONES[cone]))


def assert_jacobian(m: sim.Model, s: sim.State, ctrl: np.ndarray, seed: int) -> bool:
    """Finite, and along a random direction equal to the difference; whether no row switched in between."""
    jac = sim.step_jacobian(m, s, ctrl)
    assert np.isfinite(jac.A).all() and np.isfinite(jac.B).all()
    direction = np.random.default_rng(seed).normal(size=2 * m.nv + m.nu)
    found = differentiate(step_map(m), (s, ctrl), direction, h=1e-6)
    if not is_smooth(found, 1e-5):
        return False
    assert_derivative(np.hstack([jac.A, jac.B]) @ direction, found, 1e-5)
    return True


def test_elastic_collision() -> None:
    """nimblephysics 97: two equal balls on a line, the left one at x1 hits the resting right one at x2.

    After the collision the right ball carries on the left one's motion, so its last place
    x1 + 2 r + v1 T has the derivative (1, 0, 1, 0) by (x1, x2, v1, v2). Reported there: (0.75, 0.25,
    0.91, 0.08), since the time of impact was taken for fixed. Here the contact is a spring that
    lasts half a period tau, and the exact derivative is (1, 0, T - tau / 2, tau / 2).
    """
    tau, total = 0.01, 1.0
    m = sim.Model.from_xml_string(COLLISION.format(stiffness=(np.pi / tau) ** 2))
    start = sim.State(np.array([0.0, 0.52]), np.array([1.0, 0.0]), np.zeros(0))
    path = sim.rollout(m, start, np.zeros((1, 0)), n_steps=round(total / 2e-4))
    assert path.qpos[-1, 1] == pytest.approx(0.2 + total - tau / 2, abs=1e-4)
    cotangents = np.zeros((2, 4))
    cotangents[-1, 1] = 1.0
    found = sim.rollout_vjp(m, path, cotangents).state0
    np.testing.assert_allclose(found, [1.0, 0.0, total - tau / 2, tau / 2], rtol=0, atol=2e-3)


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_no_nan_at_rest_and_when_leaving_the_ground(solver: str, cone: str) -> None:
    """mujoco 1517, 2237: Jacobians of mjx.step in contact are NaN, at geoms that rest or leave the ground.

    Square roots and norms of zero have no derivative for an autodiff; here no friction force, no sliding, and
    two capsules in line are in the states, and the Jacobian is finite and equals differences.
    """
    spec = mujoco.MjSpec.from_string(RESTING)
    mj_model = tight(spec, CONES[cone])
    mj_model.opt.solver, mj_model.opt.iterations = SOLVERS[solver], 5000
    mj_model.opt.tolerance = 1e-20  # the two contacts of one capsule on another share their load slowly
    m, ctrl = sim.Model.from_mujoco(mj_model), np.zeros(0)
    touching = m.initial_state()
    jac = sim.step_jacobian(m, touching, ctrl)
    assert np.isfinite(jac.A).all()
    rest = sim.step(m, touching, ctrl, n_steps=500)
    smooth = assert_jacobian(m, rest, ctrl, 0)
    thrown = sim.State(rest.qpos, rest.qvel + np.tile([0.1, 0, 1.0, 0, 0, 0], 4), rest.act)
    for t in range(10):
        smooth += assert_jacobian(m, thrown, ctrl, t)
        thrown = sim.step(m, thrown, ctrl)
    assert len(sim.forward(m, rest, ctrl).contact.dist) == 6
    assert len(sim.forward(m, thrown, ctrl).contact.dist) < 6  # they left
    assert smooth >= 6


@pytest.mark.parametrize("cone", CONES)
def test_least_regulariser(cone: str) -> None:
    """Where R is as small as it may be it does not move, and no residual falls below the tolerance.

    Gradients took the impedance to set R all the same, friction rows lost impratio, and Newton took all
    iterations, since the rounding of forces of 1e18 N that hold one another is more than the tolerance.
    """
    none = np.zeros(0)
    for impratio, condim in ((1, 3), (10, 4), (10, 6)):
        mj_model = tight(mujoco.MjSpec.from_string(BALANCED.format(impratio=impratio, condim=condim)), CONES[cone])
        m = sim.Model.from_mujoco(mj_model)
        s = m.initial_state()
        mujoco.mj_integratePos(mj_model, s.qpos, np.array([0, 0.006, 0, 0.01, 0]), 1.0)
        s.qvel[:] = 0.3, 0.2, 0.1, -0.2, 5.0
        d = mujoco_data(m, s, none)
        mujoco.mj_forward(mj_model, d)
        found = sim.forward(m, s, none)
        assert d.efc_R[0] <= 1e-15 and len(found.contact.dist) == 4
        np.testing.assert_allclose(found.qacc, d.qacc, rtol=0, atol=1e-9 * np.abs(d.qacc).max())
        assert 0 < found.solver_niter < 15 and found.solver_residual > m.tolerance
        jac = sim.step_jacobian(m, s, none)
        for direction in np.eye(2 * m.nv):
            found = differentiate(step_map(m), (s, none), direction, h=1e-6)
            np.testing.assert_allclose(jac.A @ direction, found.value, rtol=0, atol=1e-4)
        cotangent, h, friction = np.ones(2 * m.nv), 1e-5, mj_model.geom_friction
        params = sim.step_vjp(m, s, none, cotangent, params=True).params
        ends = [sim.step(m.replace(geom_friction=friction * (1 + sign * h)), s, none) for sign in (-1, 1)]
        numeric = cotangent @ tangent_between(m, *ends) / (2 * h)
        assert params is not None
        assert np.sum(params["geom_friction"] * friction) == pytest.approx(numeric, rel=1e-4) and abs(numeric) > 1e-2


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_stop_when_rounding_is_all_that_is_left(solver: str) -> None:
    """Also without a tolerance that would stop them."""
    m = sim.Model.from_xml_string(RESTING).replace(solver=int(SOLVERS[solver]), iterations=3000, tolerance=0.0)
    touching = m.initial_state()
    found, theirs = sim.forward(m, touching, np.zeros(0)), sim.mujoco_twin.forward(m, touching, np.zeros(0))
    assert 1 < found.solver_niter < (10 if solver == "newton" else 2500)
    np.testing.assert_allclose(found.qacc, theirs.qacc, rtol=0, atol=1e-9 * np.abs(theirs.qacc).max())


def test_steps_that_did_not_converge_are_said() -> None:
    """MJX's models have iterations="1": their derivative is that of the converged step, not that of the step made."""
    m = sim.Model.from_xml_string(RESTING.replace("<option", '<option iterations="1"'))
    cured, none = sim.Model.from_mujoco(m.mj_model, iterations=100), np.zeros(0)
    assert (m.iterations, cured.iterations, m.replace(iterations=7).iterations) == (1, 100, 7)
    start = m.initial_state()
    start.qvel[:] = np.random.default_rng(0).normal(size=m.nv)
    with pytest.warns(sim.UnconvergedWarning, match=r"^1 of 1 steps stopped at iterations=1 .*iterations=100"):
        short = sim.step_jacobian(m, start, none)
    direction = np.repeat([0.0, 1.0], m.nv)  # all velocities
    one, many = (differentiate(step_map(model), (start, none), direction, h=1e-6).value for model in (m, cured))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(sim.step_jacobian(cured, start, none).A @ direction, many, rtol=0, atol=1e-5)
        sim.step_jacobian(m, start, none)  # once per model
    assert np.abs(short.A @ direction - one).max() > 1e-3
    assert not sim.forward(m, start, none).converged and sim.forward(cured, start, none).converged
    states = sim.State(*(np.stack([x, x]) for x in start))
    states.qpos[1, 2::7] += (5, 6, 7, 8)  # in the air, apart
    counts = []
    for model in (m.replace(iterations=1), cured):
        path = sim.rollout(model, states, np.zeros((2, 3, 0)), n_steps=2)
        assert path.unconverged is not None and path.unconverged.shape == (2, 3)
        counts.append(path.unconverged.sum(axis=1))
        if counts[-1].any():
            total = counts[-1].sum()
            with pytest.warns(sim.UnconvergedWarning, match=f"^{total} of 12 steps"):
                sim.rollout_vjp(model, path, np.ones((2, 4, 2 * m.nv)))
    assert counts[0][0] > 1 and counts[0][1] == 0 and not counts[1].any()


@pytest.mark.parametrize("wrong", [0, 1.5, True, "many"])
def test_iterations_must_be_a_number_of_them(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"iterations is .*need an integer of at least 1"):
        sim.Model.from_xml_string(RESTING, iterations=wrong)  # pyright: ignore[reportArgumentType]


def test_controls_move_a_free_root() -> None:
    """Genesis 2069, 2537: no gradient by control forces, a backward pass that hangs below a free root.

    In the air the legs' motors turn the trunk against the legs; where the trunk is after 20 steps
    answers to every control, as differences say.
    """
    m = ant()
    start = m.initial_state()
    start.qpos[2] = 2.0
    ctrls = np.random.default_rng(0).uniform(-0.5, 0.5, size=(20, m.nu))
    assert len(sim.forward(m, start, ctrls[0]).contact.dist) == 0
    assert assert_jacobian(m, start, ctrls[0], 0)
    path = sim.rollout(m, start, ctrls)
    cotangents = np.zeros((21, 2 * m.nv))
    cotangents[-1, :6] = np.random.default_rng(1).normal(size=6)
    exact, h = sim.rollout_vjp(m, path, cotangents).ctrls, 1e-5
    for i in range(m.nu):
        change = np.zeros_like(ctrls)
        change[0, i] = h
        ends = [sim.rollout(m, start, ctrls + sign * change).state(20) for sign in (-1, 1)]
        numeric = cotangents[-1] @ tangent_between(m, *ends) / (2 * h)
        assert exact[0, i] == pytest.approx(numeric, rel=1e-5, abs=1e-10) and abs(numeric) > 1e-6


@pytest.mark.parametrize("cone", CONES)
def test_contacts_of_a_free_quadruped_have_gradients(cone: str) -> None:
    """newton 2133: with gradients required, collisions are skipped, so those of a quadruped on its feet are lost.

    On its feet the ant's next velocity answers to its height, and to its controls through the ground.
    """
    m, ctrl = ant(cone), np.full(8, 0.1)
    standing = sim.step(m, m.initial_state(), np.zeros(8), n_steps=100)
    assert len(sim.forward(m, standing, ctrl).contact.dist) >= 3
    assert any([assert_jacobian(m, standing, ctrl, seed) for seed in range(3)])
    grounded, lifted = sim.step_jacobian(m, standing, ctrl), standing.qpos.copy()
    lifted[2] += 1.0
    air = sim.step_jacobian(m, sim.State(lifted, standing.qvel, standing.act), ctrl)
    nv = m.nv
    assert np.abs(air.A[nv : nv + 6, 2]).max() == 0.0 and np.abs(grounded.A[nv : nv + 6, 2]).max() > 1.0
    assert np.abs(grounded.B[nv : nv + 6] - air.B[nv : nv + 6]).max() > 1e-2

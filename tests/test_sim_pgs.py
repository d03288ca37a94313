"""Projected Gauss-Seidel: the same solution and gradients as Newton's method, and exact when unfinished."""

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest
from contact_scenes import CONES, MIXED, MODELS, PGS, tight, visited_states, with_pgs
from equalities import mixed
from parity import GYMNASIUM_ASSETS, random_state

from gradgym import sim

ADJOINTS = [("ant", 0), ("ant", 1), ("mixed4", 0), pytest.param("walker2d", 3, marks=pytest.mark.slow)]
STACK = """
<mujoco>
  <option solver="PGS" timestep="0.002"/>
  <default><geom type="sphere" size="0.1" condim="1"/><joint type="slide" axis="0 0 1"/></default>
  <worldbody>
    <geom type="plane" size="1 1 .1" condim="1"/>
    <body pos="0 0 0.099"><joint name="a"/><geom/></body>
    <body pos="0 0 0.298"><joint name="b"/><geom/></body>
    <body pos="0 0 0.497"><joint name="c"/><geom/></body>
  </worldbody>
  <actuator><motor joint="a"/><motor joint="b"/><motor joint="c"/></actuator>
</mujoco>"""


def spec_of(name: str) -> mujoco.MjSpec:
    if name.startswith("mixed"):
        return mujoco.MjSpec.from_string(MIXED.format(condim=name.removeprefix("mixed")))
    return mujoco.MjSpec.from_file(str(GYMNASIUM_ASSETS / f"{name}.xml"))


def states(mj_model: mujoco.MjModel, count: int, seed: int) -> Iterator[tuple[mujoco.MjData, sim.State, np.ndarray]]:
    """(MuJoCo's data, state, control) of visited states with constraints."""
    for d in visited_states(mj_model, count, seed):
        d.qacc_warmstart[:] = 0
        mujoco.mj_forward(mj_model, d)
        if d.nefc:
            yield d, sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy()


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("name", [*MODELS, "mixed1", "mixed3", "mixed4", "mixed6"])
def test_acceleration_and_force_equal_mujoco(name: str, cone: str) -> None:
    mj_model = tight(spec_of(name), CONES[cone])  # MuJoCo's Newton: its own Gauss-Seidel stops at the apex of a cone
    model, count = with_pgs(mj_model), 0
    for d, state, ctrl in states(mj_model, 60 if name.startswith("mixed") else 200, 0):
        found = sim.forward(model, state, ctrl)
        for ours, theirs in ((found.qacc, d.qacc), (found.qfrc_constraint, d.qfrc_constraint)):
            scale = max(1.0, np.abs(theirs).max())
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * scale)
        assert found.solver_niter < model.iterations
        count += 1
    assert count >= 10


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(("name", "integrator"), ADJOINTS)
def test_both_adjoints_agree(name: str, integrator: int, cone: str) -> None:
    mj_model = tight(spec_of(name), CONES[cone], integrator)
    newton, pgs = sim.Model.from_mujoco(mj_model), with_pgs(mj_model, 1e-22)
    rng = np.random.default_rng(0)
    for _, state, ctrl in states(mj_model, 20, 5):
        one, other = (sim.step_jacobian(model, state, ctrl) for model in (newton, pgs))
        scale = np.abs(one.A).max()
        np.testing.assert_allclose(other.A, one.A, rtol=0, atol=1e-6 * scale)
        np.testing.assert_allclose(other.B, one.B, rtol=0, atol=1e-6 * scale)
        cotangent = rng.normal(size=len(one.A))
        vjps = [sim.step_vjp(model, state, ctrl, cotangent, params=True) for model in (newton, pgs)]
        assert vjps[0].params is not None and vjps[1].params is not None
        for field, expected in vjps[0].params.items():
            scale = max(1.0, np.abs(expected).max(initial=0.0))
            np.testing.assert_allclose(vjps[1].params[field], expected, rtol=0, atol=1e-6 * scale)


@pytest.mark.slow
def test_equalities_push_both_ways() -> None:
    """Equality rows, limits and contacts at once: forward and adjoint as Newton's."""
    for seed in range(4):
        newton = mixed(seed, contact=True)
        pgs = newton.replace(solver=PGS, iterations=100_000, tolerance=1e-24)
        state, ctrl = random_state(newton, seed, speed=0.3)
        one, other = (sim.forward(model, state, ctrl) for model in (newton, pgs))
        np.testing.assert_allclose(other.qacc, one.qacc, rtol=0, atol=1e-6 * np.abs(one.qacc).max())
        assert one.efc_force.min() < 0 < one.efc_force.max()
        a, b = (sim.step_jacobian(model, state, ctrl) for model in (newton, pgs))
        np.testing.assert_allclose(b.A, a.A, rtol=0, atol=1e-6 * np.abs(a.A).max())
        np.testing.assert_allclose(b.B, a.B, rtol=0, atol=1e-6 * np.abs(a.B).max())


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_unfinished_sweeps_have_their_exact_adjoint(iterations: int) -> None:
    """Where implicit differentiation would be wrong: the reverse sweeps are those of the sweeps made."""
    model = sim.Model.from_xml_string(STACK)
    full = model.replace(iterations=2000, tolerance=1e-30)
    model = model.replace(iterations=iterations, tolerance=0.0)
    state, ctrl, h = model.initial_state(), np.array([0.3, -0.2, 0.1]), 1e-3
    found = sim.forward(model, state, ctrl)
    assert np.count_nonzero(found.efc_force) == 3 and found.solver_niter == iterations  # nothing was projected
    columns = [(sim.step(model, state, ctrl + x).qvel - sim.step(model, state, ctrl - x).qvel) / (2 * h)
               for x in h * np.eye(3)]  # fmt: skip
    exact = sim.step_jacobian(model, state, ctrl).B[model.nv :]
    np.testing.assert_allclose(exact, np.transpose(columns), rtol=0, atol=1e-10)
    converged = sim.step_jacobian(full, state, ctrl).B[model.nv :]
    assert np.abs(exact - converged).max() > 1e-5  # there is something to get wrong


def test_model_file_selects_the_solver() -> None:
    for name, pgs in (("PGS", True), ("CG", False), ("Newton", False)):
        model = sim.Model.from_xml_string(STACK.replace("PGS", name))
        assert (model.ndual > 0) == pgs
        found = sim.forward(model, model.initial_state(), np.zeros(3))
        assert found.solver_niter > 0 and np.count_nonzero(found.efc_force) == 3


def test_iterations_and_residual_are_reported() -> None:
    mj_model = tight(spec_of("ant"), CONES["elliptic"])
    newton, pgs = sim.Model.from_mujoco(mj_model), with_pgs(mj_model)
    for d, state, ctrl in states(mj_model, 20, 0):
        theirs = sim.mujoco_twin.forward(newton, state, ctrl)
        converged = [sim.forward(model, state, ctrl) for model in (newton, pgs)]
        for found in (*converged, theirs):
            assert 0 < found.solver_niter < 1000 and found.solver_residual < 1e-6 * max(1.0, np.abs(d.qacc).max())
        started = sim.forward(pgs.replace(iterations=1), state, ctrl)
        assert started.solver_niter == 1 and started.solver_residual >= converged[1].solver_residual
    batch = sim.State(*(np.stack([x, x]) for x in newton.initial_state()))
    assert sim.forward(newton, batch, np.zeros((2, newton.nu))).solver_niter.shape == (2,)

"""Noslip: friction forces without regulariser after the main solver, as MuJoCo's, and their derivatives."""

from typing import Any

import mujoco
import numpy as np
import pytest
from derivatives import (
    Map,
    assert_constrained_step,
    assert_derivative,
    differentiate,
    is_smooth,
    step_map,
    tangent_between,
)
from parity import spoil_workspaces

from gradgym import sim
from gradgym.sim.kernels.record import kept_with
from gradgym.sim.model.data import Data
from gradgym.sim.single_world import SingleWorld
from gradgym.sim.solver.noslip_adj import SLIDES, STICKS

PGS = int(mujoco.mjtSolver.mjSOL_PGS)
CONES = ("pyramidal", "elliptic")
# A tripod whose feet have all kinds of friction, with a bar across it, a ball without, an arm with friction
# losses whose elbow is on the ground and moves in a plane: three islands.
SCENE = """
<mujoco>
  <option timestep="0.004" tolerance="1e-16" iterations="100" ls_iterations="100" ls_tolerance="1e-9"
    cone="{cone}" integrator="{integrator}" noslip_iterations="{sweeps}" noslip_tolerance="0"/>
  <default><geom type="sphere" size="0.1" condim="3" friction="0.6 0.03 0.02"/></default>
  <worldbody>
    <geom type="plane" size="5 5 .1" condim="1" friction="0.3 0.01 0.01"/>
    <body pos="0 0 0.099"><freejoint/>
      <geom pos="0.15 0 0"/><geom pos="-0.1 0.12 0" condim="4"/><geom pos="-0.1 -0.12 0" condim="6"/></body>
    <body pos="-0.1 0 0.248"><freejoint/><geom type="capsule" size="0.05 0.2" euler="90 0 0"
      friction="0.5 0.02 0.01"/></body>
    <body pos="1 0 0.099"><freejoint/><geom condim="1" priority="1"/></body>
    <body pos="2 0 0.12"><joint name="a" axis="0 1 0" frictionloss="0.3" damping="0.1"/>
      <geom type="capsule" size="0.02" fromto="0 0 0 0.3 0 -0.101"/>
      <body pos="0.3 0 -0.101"><joint name="b" axis="0 1 0" frictionloss="0.1"/>
        <geom type="capsule" size="0.02" fromto="0 0 0 0.2 0 0.05"/></body></body>
  </worldbody>
  <tendon><fixed frictionloss="0.2"><joint joint="a" coef="1"/><joint joint="b" coef="-0.5"/></fixed></tendon>
  <actuator><motor joint="a"/><position joint="b" kp="3"/></actuator>
</mujoco>"""
GENTLE, STEEP = (1.0, 0.3, -9.81), (7.0, 0.3, -7.0)


def model_of(cone: str, integrator: str = "Euler", sweeps: int = 3, **fields: Any) -> sim.Model:
    model = sim.Model.from_xml_string(SCENE.format(cone=cone, integrator=integrator, sweeps=sweeps))
    return model.replace(**fields) if fields else model


def visited(model: sim.Model, count: int = 6) -> list[mujoco.MjData]:
    """MuJoCo's data at states with contacts: at rest, and in motion."""
    rng, found = np.random.default_rng(0), []
    for k in range(count):
        d = mujoco.MjData(model.mj_model)
        d.qvel[:] = rng.normal(scale=(0.01, 0.1)[k % 2], size=model.nv)
        d.ctrl[:] = rng.normal(scale=0.3, size=model.nu)
        mujoco.mj_step(model.mj_model, d, nstep=2)
        d.qacc_warmstart[:] = 0
        mujoco.mj_forward(model.mj_model, d)
        found.append(d)
    return found


def state_of(d: mujoco.MjData) -> tuple[sim.State, np.ndarray]:
    return sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy()


def assert_close(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(1.0, np.abs(theirs).max()))


# MuJoCo solves a cone's friction to 1e-10 absolute, and rolling friction is small
TOLERANCE = {"pyramidal": 1e-10, "elliptic": 1e-7}


@pytest.mark.parametrize("gravity", [GENTLE, STEEP])
@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("solver", ["Newton", "PGS"])
def test_forces_equal_mujoco(solver: str, cone: str, gravity: tuple[float, ...]) -> None:
    """After 1 and 3 sweeps, and as many as the default tolerance asks for."""
    choices: list[dict[str, Any]] = [{"noslip_iterations": 1}, {}, {"noslip_iterations": 50, "noslip_tolerance": 1e-6}]
    for options in choices:
        theirs = model_of(cone, gravity=np.array(gravity), **options)
        model, tolerance = theirs, TOLERANCE[cone]
        if solver == "PGS":  # MuJoCo's own stops at the apex of a cone
            model, tolerance = theirs.replace(solver=PGS, iterations=20000), 1e-6
        plain, differ = theirs.replace(noslip_iterations=0), 0
        for d in visited(theirs):
            state, ctrl = state_of(d)
            found = sim.forward(model, state, ctrl)
            assert_close(found.qacc, d.qacc, tolerance)
            assert_close(found.qfrc_constraint, d.qfrc_constraint, tolerance)
            if solver == "Newton":  # edges may share a load in many ways
                assert_close(found.efc_force[: d.nefc], d.efc_force, tolerance)
            slipping = mujoco.MjData(plain.mj_model)
            slipping.qpos[:], slipping.qvel[:], slipping.ctrl[:] = d.qpos, d.qvel, d.ctrl
            mujoco.mj_forward(plain.mj_model, slipping)
            differ += np.abs(slipping.qacc - d.qacc).max() > 1e-3
        assert differ >= 2


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(
    "integrator", ["Euler", *(pytest.param(x, marks=pytest.mark.slow) for x in ("implicitfast", "RK4"))]
)
def test_step_equals_mujoco(integrator: str, cone: str) -> None:
    model = model_of(cone, integrator)
    for d in visited(model):
        state, ctrl = state_of(d)
        ours = sim.step(model, state, ctrl, n_steps=3)  # the warm start is the acceleration after noslip
        d.qacc_warmstart[:] = 0
        mujoco.mj_step(model.mj_model, d, nstep=3)
        assert_close(ours.qvel - state.qvel, d.qvel - state.qvel, 10 * TOLERANCE[cone])
        assert_close(ours.qpos, d.qpos, TOLERANCE[cone])


def test_a_body_on_a_slope_creeps_without_noslip_and_stays_with_it() -> None:
    model = model_of("elliptic", sweeps=50, gravity=np.array([1.5, 0.0, -9.7]))
    speeds = []
    for m in (model.replace(noslip_iterations=0), model):
        start = sim.step(m, m.initial_state(), np.zeros(2), n_steps=150)
        end = sim.step(m, start, np.zeros(2), n_steps=50)
        speeds.append(abs(end.qpos[0] - start.qpos[0]) / (50 * m.timestep))
    assert speeds[0] > 3e-4 and speeds[1] < 1e-12


INTEGRATORS_AND_SOLVERS = [
    ("Euler", "Newton"),
    pytest.param("implicitfast", "Newton", marks=pytest.mark.slow),
    pytest.param("Euler", "PGS", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("gravity", "state_found"), [(GENTLE, STICKS), (STEEP, SLIDES)])
@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(("integrator", "solver"), INTEGRATORS_AND_SOLVERS)
def test_derivatives_equal_differences(
    integrator: str, solver: str, cone: str, gravity: tuple[float, ...], state_found: int
) -> None:
    """Sticking and sliding, with converged sweeps."""
    model = model_of(cone, integrator, 300, gravity=np.array(gravity))
    points, smooth, states = [state_of(d) for d in visited(model, 4)], 0, set[int]()
    if solver == "PGS":
        model = model.replace(solver=PGS, iterations=20000, tolerance=1e-22)
    for seed, (state, ctrl) in enumerate(points):
        smooth += assert_constrained_step(model, state, ctrl, seed)
        data = kept_with(model, "free single worlds", list[SingleWorld])[-1].data
        states |= set(data.noslip_state[: data.nefc[0]].tolist())
    assert smooth >= 2 and state_found in states


@pytest.mark.parametrize("cone", CONES)
def test_derivatives_of_few_sweeps_are_close(cone: str) -> None:
    """Three sweeps that slide are not differentiated one by one, but with the slopes they ended with."""
    model, smooth = model_of(cone, gravity=np.array(STEEP)), 0
    for seed, d in enumerate(visited(model, 4)):
        (state, ctrl), rng = state_of(d), np.random.default_rng(seed)
        if seed == 0:
            assert not sim.forward(model, state, ctrl).converged
            with pytest.warns(sim.UnconvergedWarning, match="noslip_iterations=3 before .* noslip_iterations=100"):
                sim.step_jacobian(model, state, ctrl)
        whole = np.hstack(sim.step_jacobian(model, state, ctrl))
        direction = rng.normal(size=whole.shape[1])
        found = differentiate(step_map(model), (state, ctrl), direction, h=1e-5)
        if is_smooth(found, 1e-5):
            assert_derivative(whole @ direction, found, 1e-2)
            smooth += 1
    assert smooth >= 2


def _by_field(model: sim.Model, name: str, state: sim.State, ctrl: np.ndarray) -> Map:
    def end(value: np.ndarray) -> sim.State:
        changed: dict[str, Any] = {name: value}
        return sim.step(model.replace(**changed), state, ctrl)

    return Map(end, lambda x, t: x + t, lambda a, b: tangent_between(model, a, b))


@pytest.mark.parametrize("cone", CONES)
def test_gradients_of_parameters_equal_differences(cone: str) -> None:
    rng, smooth = np.random.default_rng(0), set[str]()
    names = ("body_mass", "dof_damping", "dof_frictionloss", "geom_friction", "geom_solref", "dof_solref")
    for gravity in (GENTLE, STEEP):
        model = model_of(cone, sweeps=300, gravity=np.array(gravity))
        for d in visited(model, 2):
            state, ctrl = state_of(d)
            cotangent = rng.normal(size=2 * model.nv)
            params = sim.step_vjp(model, state, ctrl, cotangent, params=True).params
            assert params is not None
            for name in names:
                value = getattr(model.mj_model, name).copy()
                direction = value * rng.normal(size=value.shape)  # what is zero stays so: its rows come and go

                by_value = _by_field(model, name, state, ctrl)
                found = differentiate(by_value, value, direction, h=1e-5)
                if is_smooth(found, 1e-5):
                    error = abs(np.sum(params[name] * direction) - cotangent @ found.value)
                    # what 300 sweeps leave where friction hardly resists, e.g. feet at different depths a tilt
                    assert error <= np.abs(cotangent) @ (1e-4 * np.abs(found.value) + found.rounding)
                    smooth.add(name)
    assert smooth == set(names)


def test_gradients_of_a_rollout_equal_differences() -> None:
    model = model_of("elliptic", gravity=np.array(STEEP))
    state, ctrl = state_of(visited(model, 2)[1])
    ctrls, rng, h = np.tile(ctrl, (4, 1)), np.random.default_rng(0), 1e-5
    seed, direction = np.zeros((5, 2 * model.nv)), rng.normal(size=ctrls.shape)
    seed[4, model.nv :] = rng.normal(size=model.nv)  # of velocities
    ends = [sim.rollout(model, state, ctrls + s * h * direction).state(-1).qvel for s in (-1, 1)]
    gradient = sim.rollout_vjp(model, sim.rollout(model, state, ctrls), seed).ctrls
    expected = seed[4, model.nv :] @ (ends[1] - ends[0]) / (2 * h)
    assert abs(np.sum(gradient * direction) - expected) < 1e-5 * abs(expected)


def test_gradients_of_contact_forces_are_refused() -> None:
    import torch

    model = model_of("elliptic")
    state, ctrl = state_of(visited(model, 1)[0])
    qpos, qvel, act, control = (torch.tensor(x)[None].requires_grad_() for x in (*state[:3], ctrl))
    found = sim.torch_bridge.cfrc_ext(model, qpos, qvel, act, control)
    with pytest.raises(NotImplementedError, match=r"^noslip: .*noslip_iterations=0\)\) to differentiate it$"):
        found.sum().backward()


def test_a_model_without_noslip_has_no_room_for_it() -> None:
    with_it = model_of("elliptic")
    without = with_it.replace(noslip_iterations=0)
    assert (with_it.ndual > 0, without.ndual, without.nnoslip, without.ndualcone) == (True, 0, 0, 0)
    assert Data.for_model(without).efc_MinvJ.size == 0


def test_trees_without_rows_read_nothing_left_over() -> None:
    """Bodies lifted off the ground form islands without rows, beside those that have some."""
    model = model_of("elliptic")
    start = model.initial_state()
    qpos = start.qpos.copy()
    qpos[[9, 16]] += 5.0  # the bar and the ball
    for directions in (1, 2 * model.nv):
        spoil_workspaces(model, (directions, False))
    found = sim.step_jacobian(model, start._replace(qpos=qpos), np.zeros(model.nu))
    spoil_workspaces(model, (1, False))
    vjp = sim.step_vjp(model, start._replace(qpos=qpos), np.zeros(model.nu), np.ones(2 * model.nv))
    assert np.isfinite(found.A).all() and np.isfinite(vjp.state).all()


@pytest.mark.parametrize("cone", CONES)
def test_derivatives_leave_the_next_step_its_start(cone: str) -> None:
    """The reverse sweep visits the main solver's solution; the next step starts from that after the sweeps."""
    model = model_of(cone)
    for d in visited(model, 2):
        state, ctrl = state_of(d)
        found, expected = sim.linearize(model, state, ctrl, 3).state, sim.step(model, state, ctrl, 3)
        np.testing.assert_array_equal(found.qvel, expected.qvel)

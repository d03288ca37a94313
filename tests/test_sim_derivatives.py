"""Jacobians and vector-Jacobian products of `step` and `rollout` against differences, each other and MuJoCo."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from derivatives import (
    Difference,
    Map,
    assert_derivative,
    assert_error_falls_with_the_square,
    differentiate,
    is_smooth,
    moved,
    step_map,
    tangent_between,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from parity import GYMNASIUM_ASSETS, HAND_ASSETS, INTEGRATORS, load, mujoco_data, random_state, spoil_workspaces
from random_models import SMOOTH_MECHANISM, SPECIAL_MODELS, random_tree

from gradgym import sim

MODELS = [GYMNASIUM_ASSETS / f"{name}.xml" for name in ("ant", "humanoid", "half_cheetah", "hopper", "pusher")]
MODELS.append(HAND_ASSETS / "manipulate_block.xml")
repeatable = settings(deadline=None, derandomize=True, max_examples=30)
thorough = settings(deadline=None, derandomize=True, max_examples=500)
trees = {
    "seed": st.integers(0, 10**6),
    "nbody": st.integers(1, 12),
    "integrator": st.sampled_from(INTEGRATORS),
    "n_steps": st.sampled_from((1, 3)),
}


def calm_state(model: sim.Model, seed: int) -> tuple[sim.State, np.ndarray]:
    """A random state inside the control ranges, where no control is clamped."""
    state, ctrl = random_state(model, seed)
    low, high = model.actuator_ctrlrange.T
    inside = np.clip(ctrl, 0.9 * low + 0.1 * high, 0.1 * low + 0.9 * high)
    return state, np.where(model.actuator_ctrllimited == 1, inside, ctrl)


def jacobian(model: sim.Model, state: sim.State, ctrl: np.ndarray, n_steps: int) -> np.ndarray:
    """A and B side by side, from workspaces that held NaN."""
    spoil_workspaces(model, (model.nv + model.na, False))
    found = sim.step_jacobian(model, state, ctrl, n_steps)
    return np.concatenate([found.A, found.B], axis=1)


def no_clamp_switches(model: sim.Model, state: sim.State, ctrl: np.ndarray, n_steps: int) -> bool:
    """Whether the step is smooth between the points that the differences use."""
    return all(is_smooth(found) for found in columns(model, state, ctrl, n_steps))


def columns(model: sim.Model, state: sim.State, ctrl: np.ndarray, n_steps: int) -> list[Difference]:
    """Differences along every unit direction of state and control."""
    size = 2 * model.nv + model.na + model.nu
    return [differentiate(step_map(model, n_steps), (state, ctrl), unit) for unit in np.eye(size)]


def assert_exact(model: sim.Model, state: sim.State, ctrl: np.ndarray, n_steps: int, seed: int) -> None:
    """Jacobian equals differences, vector-Jacobian product equals Jacobian."""
    exact = jacobian(model, state, ctrl, n_steps)
    for column, found in zip(exact.T, columns(model, state, ctrl, n_steps), strict=True):
        assert_derivative(column, found)
    cotangent = np.random.default_rng(seed).normal(size=exact.shape[0])
    spoil_workspaces(model, (1, False))
    gradient = sim.step_vjp(model, state, ctrl, cotangent, n_steps)
    expected, found = cotangent @ exact, np.concatenate([gradient.state, gradient.ctrl])
    assert np.abs(found - expected).max(initial=0.0) <= 1e-12 * np.abs(expected).max(initial=0.0)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_known_models_have_exact_derivatives(path: Path, integrator: str) -> None:
    model = load(path, integrator)
    for seed, n_steps in ((0, 1), (1, 3)):
        state, ctrl = calm_state(model, seed)
        assert no_clamp_switches(model, state, ctrl, n_steps)
        assert_exact(model, state, ctrl, n_steps, seed)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("name", SPECIAL_MODELS)
def test_special_models_have_exact_derivatives(name: str, integrator: str) -> None:
    model = load(SPECIAL_MODELS[name], integrator)
    for seed in range(3):
        state, ctrl = random_state(model, seed)
        assert no_clamp_switches(model, state, ctrl, 3)
        assert_exact(model, state, ctrl, 3, seed)


@repeatable
@given(**trees)
def test_random_trees_have_exact_derivatives(seed: int, nbody: int, integrator: str, n_steps: int) -> None:
    model = sim.Model.from_xml_string(random_tree(seed, nbody, integrator, timestep=0.02))
    state, ctrl = random_state(model, seed)
    assume(no_clamp_switches(model, state, ctrl, n_steps))
    assert_exact(model, state, ctrl, n_steps, seed)


@pytest.mark.slow
@thorough
@given(**trees)
def test_many_random_trees_have_exact_derivatives(seed: int, nbody: int, integrator: str, n_steps: int) -> None:
    model = sim.Model.from_xml_string(random_tree(seed, nbody, integrator, timestep=0.02))
    state, ctrl = random_state(model, seed)
    assume(no_clamp_switches(model, state, ctrl, n_steps))
    assert_exact(model, state, ctrl, n_steps, seed)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("n_steps", [1, 3])
def test_error_of_differences_falls_with_the_square_of_their_step(integrator: str, n_steps: int) -> None:
    model = load(SMOOTH_MECHANISM, integrator)
    state, ctrl = random_state(model, 5)
    exact = jacobian(model, state, ctrl, n_steps)
    for direction in np.random.default_rng(1).normal(size=(4, exact.shape[1])):
        assert_error_falls_with_the_square(step_map(model, n_steps), (state, ctrl), direction, exact @ direction)


@pytest.mark.parametrize("turn", [3.1, 4.0, 7.0])
def test_fast_turns_have_exact_derivatives(turn: float) -> None:
    text = """<mujoco><option timestep="0.01" integrator="RK4"/><worldbody>
      <body><freejoint/><inertial pos="0.1 0 0" mass="1" diaginertia="0.1 0.12 0.15"/></body></worldbody></mujoco>"""
    model = load(text)
    spin = np.array([0.0, 0.0, 0.0, turn, 0.1 * turn, 0.05 * turn]) / 0.01
    state = model.initial_state()._replace(qvel=spin)
    assert no_clamp_switches(model, state, np.zeros(0), 1)
    assert_exact(model, state, np.zeros(0), 1, seed=0)


def test_the_check_itself_notices_a_wrong_derivative() -> None:
    model = load(SMOOTH_MECHANISM, "RK4")
    state, ctrl = random_state(model, 5)
    exact = jacobian(model, state, ctrl, 1)
    direction = np.random.default_rng(1).normal(size=exact.shape[1])
    wrong = exact @ direction
    wrong[0] += 1e-5 * np.abs(wrong).max()
    with pytest.raises(AssertionError, match="off by"):
        assert_derivative(wrong, differentiate(step_map(model), (state, ctrl), direction))
    with pytest.raises(AssertionError):
        assert_error_falls_with_the_square(step_map(model), (state, ctrl), direction, wrong)


@pytest.mark.parametrize("seed", [0, 3, 7, 9, 15, 28])
def test_order_of_rows_and_columns_is_that_of_mjd_transition_fd(seed: int) -> None:
    model = sim.Model.from_xml_string(random_tree(seed, 6, "Euler"))
    state, ctrl = random_state(model, seed)
    assert model.na > 0
    nx = 2 * model.nv + model.na
    A, B = np.zeros((nx, nx)), np.zeros((nx, model.nu))
    data = mujoco_data(model, state, ctrl)
    mujoco.mjd_transitionFD(model.mj_model, data, 1e-6, True, A, B, None, None)
    found = sim.step_jacobian(model, state, ctrl)
    assert found.A.shape == A.shape and found.B.shape == B.shape
    # MuJoCo's differences round at 1e-16 / 1e-6; a wrong order is an error of order one
    np.testing.assert_allclose(found.A, A, atol=1e-7 * np.abs(A).max())
    np.testing.assert_allclose(found.B, B, atol=1e-7 * np.abs(A).max())


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_gradient_of_a_rollout_is_its_derivative(integrator: str) -> None:
    model = load(SMOOTH_MECHANISM, integrator)
    state, _ = random_state(model, 3)
    rng, nx, steps = np.random.default_rng(0), 2 * model.nv + model.na, 6
    ctrls, cotangents = rng.normal(size=(steps, model.nu)), rng.normal(size=(steps + 1, nx))
    start = sim.rollout(model, state, ctrls, n_steps=2)
    spoil_workspaces(model, (1, False))
    gradient = sim.rollout_vjp(model, start, cotangents)

    def move(x: tuple[sim.State, np.ndarray], t: np.ndarray) -> tuple[sim.State, np.ndarray]:
        return moved(model, x[0], t[:nx]), x[1] + t[nx:].reshape(x[1].shape)

    def difference(a: sim.Trajectory, b: sim.Trajectory) -> np.ndarray:
        shifts = [tangent_between(model, a.state(t), b.state(t)) for t in range(steps + 1)]
        return np.array([np.sum(cotangents * np.array(shifts))])

    path = Map(lambda x: sim.rollout(model, x[0], x[1], n_steps=2), move, difference)
    for direction in rng.normal(size=(6, nx + ctrls.size)):
        exact = gradient.state0 @ direction[:nx] + np.sum(gradient.ctrls.ravel() * direction[nx:])
        assert_derivative(np.array([exact]), differentiate(path, (state, ctrls), direction))


def test_rollout_of_one_step_and_step_agree() -> None:
    model = load(SMOOTH_MECHANISM, "RK4")
    state, ctrl = random_state(model, 4)
    cotangent = np.random.default_rng(2).normal(size=2 * model.nv + model.na)
    path = sim.rollout(model, state, ctrl[None], n_steps=3)
    whole = sim.rollout_vjp(model, path, np.stack([np.zeros_like(cotangent), cotangent]))
    single = sim.step_vjp(model, state, ctrl, cotangent, n_steps=3)
    np.testing.assert_array_equal(whole.state0, single.state)
    np.testing.assert_array_equal(whole.ctrls[0], single.ctrl)


def test_rotational_columns_are_body_frame_shifts_of_mj_integrate_pos() -> None:
    # A free body at rest without gravity: the step keeps the pose, so turning the start by a body-frame
    # rotation turns the end by the same, and A is the identity plus the time step.
    text = """<mujoco><option timestep="0.01" gravity="0 0 0"/><worldbody><body><freejoint/>
      <inertial pos="0 0 0" mass="1" diaginertia="0.1 0.2 0.3"/></body></worldbody></mujoco>"""
    model = sim.Model.from_xml_string(text)
    qpos = np.array([1.0, 2.0, 3.0, 0.5, -0.5, 0.1, 0.7])
    qpos[3:] /= np.linalg.norm(qpos[3:])
    A = sim.step_jacobian(model, sim.State(qpos, np.zeros(6), np.zeros(0)), np.zeros(0)).A
    np.testing.assert_allclose(A, np.block([[np.eye(6), 0.01 * np.eye(6)], [np.zeros((6, 6)), np.eye(6)]]), atol=1e-15)

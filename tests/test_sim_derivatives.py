"""Jacobians and vector-Jacobian products of `step` and `rollout` against differences, each other and MuJoCo."""

from pathlib import Path

import numpy as np
import pytest
from derivatives import (
    Difference,
    assert_derivative,
    differentiate,
    is_smooth,
    step_map,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from parity import GYMNASIUM_ASSETS, HAND_ASSETS, INTEGRATORS, load, random_state, spoil_workspaces
from random_models import random_tree

from gradgym import sim

MODELS = [GYMNASIUM_ASSETS / f"{name}.xml" for name in ("ant", "humanoid", "half_cheetah", "hopper", "pusher")]
MODELS += [HAND_ASSETS / "manipulate_block.xml"]
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
    spoil_workspaces(model, (2 * model.nv + model.na, False))
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
def test_known_models_have_exact_derivatives(path: Path, integrator: str):
    model = load(path, integrator)
    for seed, n_steps in ((0, 1), (1, 3)):
        state, ctrl = calm_state(model, seed)
        assert no_clamp_switches(model, state, ctrl, n_steps)
        assert_exact(model, state, ctrl, n_steps, seed)


@repeatable
@given(**trees)
def test_random_trees_have_exact_derivatives(seed: int, nbody: int, integrator: str, n_steps: int):
    model = sim.Model.from_xml_string(random_tree(seed, nbody, integrator, timestep=0.02))
    state, ctrl = random_state(model, seed)
    assume(no_clamp_switches(model, state, ctrl, n_steps))
    assert_exact(model, state, ctrl, n_steps, seed)


@pytest.mark.slow
@thorough
@given(**trees)
def test_many_random_trees_have_exact_derivatives(seed: int, nbody: int, integrator: str, n_steps: int):
    model = sim.Model.from_xml_string(random_tree(seed, nbody, integrator, timestep=0.02))
    state, ctrl = random_state(model, seed)
    assume(no_clamp_switches(model, state, ctrl, n_steps))
    assert_exact(model, state, ctrl, n_steps, seed)

"""Gradients of model parameters against differences of models made by `Model.replace`."""

from typing import Any

import numpy as np
import pytest
from derivatives import Difference, Map, differentiate, is_smooth, tangent_between
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from parity import GYMNASIUM_ASSETS, HAND_ASSETS, INTEGRATORS, load, random_state, spoil_workspaces
from random_models import SMOOTH_MECHANISM, SPECIAL_MODELS, random_tree

from gradgym import sim

SOURCES = {
    "mechanism": SMOOTH_MECHANISM,
    "humanoid": GYMNASIUM_ASSETS / "humanoid.xml",
    "hand": HAND_ASSETS / "manipulate_block.xml",
}
CIRCLE = "servos of a ball joint, on a circle"
repeatable = settings(deadline=None, derandomize=True, max_examples=25)
thorough = settings(deadline=None, derandomize=True, max_examples=300)
trees = {
    "seed": st.integers(0, 10**6),
    "nbody": st.integers(1, 12),
    "integrator": st.sampled_from(INTEGRATORS),
    "n_steps": st.sampled_from((1, 3)),
}


def differences(
    model: sim.Model, state: sim.State, ctrl: np.ndarray, n_steps: int, seed: int
) -> dict[str, tuple[np.ndarray, Difference]]:
    """Per parameter a random direction, relative to its entries' size, and the derivative along it."""
    rng, found = np.random.default_rng(seed), {}
    for name in sim.PARAMETERS:
        if name in ("density", "viscosity"):  # of models without fluid there is no gradient: test_sim_fluid.py
            continue
        value = np.array(getattr(model.mj_model.opt if name in ("gravity", "wind") else model.mj_model, name))
        typical = np.abs(value).mean() if np.any(value) else 0.01
        direction = rng.normal(size=value.shape) * (np.abs(value) + 0.1 * typical)

        def end(x: np.ndarray, name: str = name) -> sim.State:
            changed: dict[str, Any] = {name: x}
            return sim.step(model.replace(**changed), state, ctrl, n_steps)

        by_value = Map(end, lambda x, t: x + t, lambda a, b: tangent_between(model, a, b))
        found[name] = direction, differentiate(by_value, value, direction, h=1e-3)
    return found


def assert_parameter_gradients(
    model: sim.Model, state: sim.State, ctrl: np.ndarray, seed: int, n_steps: int, expected: dict
) -> None:
    """Gradient . direction equals cotangent . derivative; relative to the terms of that product."""
    cotangent = np.random.default_rng(seed).normal(size=2 * model.nv + model.na)
    spoil_workspaces(model, (1, True))
    params = sim.step_vjp(model, state, ctrl, cotangent, n_steps, params=True).params
    assert params is not None and set(params) == set(sim.PARAMETERS)
    for name, (direction, found) in expected.items():
        assert params[name].shape == direction.shape
        error = abs(np.sum(params[name] * direction) - cotangent @ found.value)
        bound = 1e-6 * np.abs(cotangent) @ np.abs(found.value) + found.rounding * np.abs(cotangent).sum()
        assert error <= bound, f"gradient of {name} is off by {error:.2e}, more than {bound:.2e}"


def test_the_parameters_are_those_promised() -> None:
    expected = {"body_mass", "body_inertia", "body_ipos", "body_pos", "dof_armature", "dof_damping", "jnt_stiffness"}
    expected |= {"actuator_gainprm", "actuator_biasprm", "actuator_gear", "gravity"}
    expected |= {"density", "viscosity", "wind", "geom_adhesion", "pair_adhesion", "actuator_dynprm"}
    expected |= {"geom_friction", "geom_solref", "pair_friction", "dof_frictionloss", "jnt_solref"}
    assert set(sim.PARAMETERS) >= expected


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("source", SOURCES)
def test_known_models(source: str, integrator: str) -> None:
    model = load(SOURCES[source], integrator)
    for seed, n_steps in ((0, 1), (2, 3)):
        state, ctrl = random_state(model, seed)
        ctrl = 0.5 * np.tanh(ctrl)
        expected = differences(model, state, ctrl, n_steps, seed)
        assert all(is_smooth(found) for _, found in expected.values())
        assert_parameter_gradients(model, state, ctrl, seed, n_steps, expected)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("name", SPECIAL_MODELS)
def test_special_models(name: str, integrator: str) -> None:
    model = load(SPECIAL_MODELS[name], integrator)
    for seed in range(2):
        state, ctrl = random_state(model, seed)
        expected = differences(model, state, ctrl, 3, seed)
        if name == CIRCLE:
            # An actuator whose gain and bias differ is no servo, and has no circle: only both together can change.
            del expected["actuator_gainprm"], expected["actuator_biasprm"]
        assert all(is_smooth(found) for _, found in expected.values())
        assert_parameter_gradients(model, state, ctrl, seed, 3, expected)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_stiffness_of_servos_on_a_circle(integrator: str) -> None:
    model = load(SPECIAL_MODELS[CIRCLE], integrator)
    state, ctrl = random_state(model, 0)
    rng = np.random.default_rng(0)
    direction, cotangent = rng.normal(size=model.nu), rng.normal(size=2 * model.nv + model.na)

    def end(kp: np.ndarray) -> sim.State:
        gain, bias = model.actuator_gainprm.copy(), model.actuator_biasprm.copy()
        gain[:, 0], bias[:, 1] = kp, -kp
        return sim.step(model.replace(actuator_gainprm=gain, actuator_biasprm=bias), state, ctrl, 3)

    by_kp = Map(end, lambda x, t: x + t, lambda a, b: tangent_between(model, a, b))
    found = differentiate(by_kp, model.actuator_gainprm[:, 0].copy(), direction, h=1e-3)
    params = sim.step_vjp(model, state, ctrl, cotangent, 3, params=True).params
    assert params is not None
    exact = direction @ (params["actuator_gainprm"][:, 0] - params["actuator_biasprm"][:, 1])
    assert exact == pytest.approx(cotangent @ found.value, rel=1e-6)


@repeatable
@given(**trees)
def test_random_trees(seed: int, nbody: int, integrator: str, n_steps: int) -> None:
    model = sim.Model.from_xml_string(random_tree(seed, nbody, integrator, timestep=0.02))
    state, ctrl = random_state(model, seed)
    expected = differences(model, state, ctrl, n_steps, seed)
    assume(all(is_smooth(found) for _, found in expected.values()))
    assert_parameter_gradients(model, state, ctrl, seed, n_steps, expected)


@pytest.mark.slow
@thorough
@given(**trees)
def test_many_random_trees(seed: int, nbody: int, integrator: str, n_steps: int) -> None:
    model = sim.Model.from_xml_string(random_tree(seed, nbody, integrator, timestep=0.02))
    state, ctrl = random_state(model, seed)
    expected = differences(model, state, ctrl, n_steps, seed)
    assume(all(is_smooth(found) for _, found in expected.values()))
    assert_parameter_gradients(model, state, ctrl, seed, n_steps, expected)

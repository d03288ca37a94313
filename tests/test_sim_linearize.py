"""`linearize`: the step and its Jacobians from one simulation, those of `step` and `step_jacobian` bit for bit."""

import numpy as np
import pytest
from parity import GYMNASIUM_ASSETS, INTEGRATORS, load, random_state
from random_models import SMOOTH_MECHANISM

from gradgym import sim


def standing_ants() -> tuple[sim.Model, sim.State, np.ndarray]:
    """Ants on the floor that move a little, (3, ...), by Runge-Kutta steps."""
    model, rng = sim.Model.from_xml_path(GYMNASIUM_ASSETS / "ant.xml"), np.random.default_rng(0)
    rest = sim.step(model, model.initial_state(), np.zeros(model.nu), 100)
    qpos, qvel = (np.tile(x, (3, 1)) for x in rest[:2])
    return (
        model,
        sim.State(qpos, qvel + 0.1 * rng.normal(size=qvel.shape), np.empty((3, 0))),
        rng.uniform(-1, 1, (3, 8)),
    )


def in_the_air(integrator: str) -> tuple[sim.Model, sim.State, np.ndarray]:
    model = load(SMOOTH_MECHANISM, integrator)
    pairs = [random_state(model, seed) for seed in range(3)]
    state = sim.State(*(np.stack(x) for x in zip(*(s[:3] for s, _ in pairs), strict=True)))
    return model, state, np.stack([ctrl for _, ctrl in pairs])


def assert_is_both(model: sim.Model, state: sim.State, ctrl: np.ndarray, n_steps: int) -> None:
    found, (after, unconverged) = (
        sim.linearize(model, state, ctrl, n_steps),
        sim.counted_step(model, state, ctrl, n_steps),
    )
    jacobian = sim.step_jacobian(model, state, ctrl, n_steps)
    for mine, theirs in zip((*found.state, found.unconverged), (*after, unconverged), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(found.A, jacobian.A)
    np.testing.assert_array_equal(found.B, jacobian.B)
    alone = sim.linearize(model, state, ctrl, n_steps, by_state=False)
    assert alone.A is None
    np.testing.assert_array_equal(alone.B, found.B)
    np.testing.assert_array_equal(alone.state.qpos, after.qpos)


def assert_is_the_product(model: sim.Model, state: sim.State, ctrl: np.ndarray, n_steps: int) -> None:
    """Of the Jacobians of the single steps, whose solvers start cold."""
    found = sim.step_jacobian(model, state, ctrl, n_steps)
    by_state, by_ctrl = np.eye(found.A.shape[-1]), np.zeros_like(found.B)
    for _ in range(n_steps):
        one = sim.step_jacobian(model, state, ctrl)
        by_state, by_ctrl = one.A @ by_state, one.A @ by_ctrl + one.B
        state = sim.step(model, state, ctrl)
    np.testing.assert_allclose(found.A, by_state, atol=1e-11 * np.abs(by_state).max())
    np.testing.assert_allclose(found.B, by_ctrl, atol=1e-11 * np.abs(by_ctrl).max())


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_in_the_air(integrator: str) -> None:
    for n_steps in (1, 3):
        assert_is_both(*in_the_air(integrator), n_steps)
    assert_is_the_product(*in_the_air(integrator), 3)


def test_in_contact() -> None:
    given = standing_ants()
    assert sim.cfrc_ext(*given).any(axis=(1, 2)).all()
    for n_steps in (1, 5):
        assert_is_both(*given, n_steps)
    assert_is_the_product(*given, 5)


def test_the_twin_has_it_too() -> None:
    model, state, ctrl = in_the_air("Euler")
    twin = sim.mujoco_twin
    found, jacobian = twin.linearize(model, state, ctrl, 2), twin.step_jacobian(model, state, ctrl, 2)
    np.testing.assert_array_equal(found.state.qvel, twin.step(model, state, ctrl, 2).qvel)
    np.testing.assert_array_equal(found.A, jacobian.A)
    np.testing.assert_array_equal(found.B, jacobian.B)
    assert found.unconverged is None
    assert twin.linearize(model, state, ctrl, 2, by_state=False).A is None


def test_only_steps_that_did_not_converge_are_counted_and_warned_of() -> None:
    model, state, ctrl = standing_ants()
    hasty = model.replace(iterations=1)
    with pytest.warns(sim.UnconvergedWarning, match="of 15 steps stopped at iterations=1"):
        found = sim.linearize(hasty, state, ctrl, 5)
    np.testing.assert_array_equal(found.unconverged, sim.counted_step(hasty, state, ctrl, 5)[1])
    assert np.all(np.asarray(found.unconverged) > 0)
    np.testing.assert_array_equal(sim.linearize(model, state, ctrl, 5).unconverged, 0)

"""Random states and controls, deep penetrations and huge velocities: finite numbers, and an end."""

import mujoco
import numpy as np
import pytest
from contact_scenes import CONES, MIXED
from parity import GYMNASIUM_ASSETS

from gradgym import sim

SOLVERS = {"newton": int(mujoco.mjtSolver.mjSOL_NEWTON), "pgs": int(mujoco.mjtSolver.mjSOL_PGS)}


def wild_model(name: str, solver: str, cone: str) -> sim.Model:
    mixed = mujoco.MjSpec.from_string(MIXED.format(condim=6)) if name == "mixed" else None
    spec = mixed or mujoco.MjSpec.from_file(str(GYMNASIUM_ASSETS / f"{name}.xml"))
    spec.option.solver, spec.option.cone = SOLVERS[solver], CONES[cone]
    return sim.Model.from_mujoco(spec)


def wild_states(model: sim.Model, count: int, seed: int) -> tuple[sim.State, np.ndarray]:
    """Each of an order of magnitude of its own: positions to 10 m, velocities to 10^4 m/s, controls to 100."""
    rng = np.random.default_rng(seed)
    qpos = rng.normal(size=(count, model.nq)) * rng.choice([0.01, 0.1, 1.0, 10.0], size=(count, 1))
    qvel = rng.normal(size=(count, model.nv)) * rng.choice([0.0, 1.0, 100.0, 1e4], size=(count, 1))
    ctrl = rng.normal(size=(count, model.nu)) * rng.choice([1.0, 100.0], size=(count, 1))
    return sim.State(qpos, qvel, np.zeros((count, model.na))), ctrl


def assert_finite(model: sim.Model, count: int, seed: int) -> None:
    state, ctrl = wild_states(model, count, seed)
    found = sim.forward(model, state, ctrl)
    for name in ("qacc", "qfrc_constraint", "efc_force", "solver_residual"):
        assert np.isfinite(getattr(found, name)).all(), name
    assert (found.contact.dist < -0.05).any(axis=-1).mean() > 0.1  # deep ones are among them
    assert found.solver_niter.max() <= model.iterations
    cotangent = np.random.default_rng(seed).normal(size=(count, 2 * model.nv))
    gradient = sim.step_vjp(model, state, ctrl, cotangent, params=True)
    assert gradient.params is not None
    for value in (gradient.state, gradient.ctrl, *gradient.params.values()):
        assert np.isfinite(value).all()
    end = sim.step(model, state, ctrl)
    assert all(np.isfinite(value).all() for value in end)


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["ant", "mixed"])
def test_wild_states_stay_finite(name: str, solver: str, cone: str) -> None:
    assert_finite(wild_model(name, solver, cone), 300, 0)


@pytest.mark.slow
@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["ant", "mixed"])
def test_ten_thousand_wild_states_stay_finite(name: str, solver: str, cone: str) -> None:
    model = wild_model(name, solver, cone)
    for seed in range(1, 11):
        assert_finite(model, 1000, seed)

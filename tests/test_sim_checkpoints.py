"""Rollouts that keep every k-th state: the same motion and gradients to the last bit, less memory, clear errors."""

from collections.abc import Callable

import mujoco
import numpy as np
import pytest
import torch
from contact_scenes import CONES, tight
from derivatives import Map, assert_derivative, differentiate, is_smooth, moved, tangent_between
from parity import GYMNASIUM_ASSETS, load, random_state
from random_models import SMOOTH_MECHANISM

from gradgym import sim
from gradgym.sim import mujoco_twin
from gradgym.sim import torch_bridge as bridge

ANT = GYMNASIUM_ASSETS / "ant.xml"
STEPS = 7
INTERVALS = (2, 3, 7, 50)  # 7 is a multiple of one of them only, and less than one
INTEGRATORS = {"Euler": mujoco.mjtIntegrator.mjINT_EULER, "RK4": mujoco.mjtIntegrator.mjINT_RK4}
SOLVERS = {"Newton": mujoco.mjtSolver.mjSOL_NEWTON, "PGS": mujoco.mjtSolver.mjSOL_PGS}


def kept(interval: int) -> list[int]:
    """Numbers of the controls before the checkpoints."""
    return [*range(0, STEPS, interval), STEPS]


def ant(integrator: str = "Euler", solver: str = "Newton") -> sim.Model:
    """At a solver tolerance so coarse that results tell where the solver started."""
    spec = mujoco.MjSpec.from_file(str(ANT))
    spec.option.integrator, spec.option.solver = int(INTEGRATORS[integrator]), int(SOLVERS[solver])
    spec.option.cone, spec.option.tolerance = int(CONES["elliptic"]), 1e-3
    return sim.Model.from_mujoco(spec)


def standing(model: sim.Model, *batch: int) -> tuple[sim.State, np.ndarray, np.random.Generator]:
    """An ant on its feet, and for it and its copies controls that change little: a solver's first guess helps."""
    rng = np.random.default_rng(0)
    state = sim.step(model, model.initial_state(), np.zeros(model.nu), n_steps=100)
    assert len(sim.forward(model, state, np.zeros(model.nu)).contact.dist) >= 2
    ctrls = rng.normal(scale=0.3, size=(*batch, 1, model.nu)) + rng.normal(scale=0.01, size=(*batch, STEPS, model.nu))
    return state, ctrls, rng


def seeds(model: sim.Model, rng: np.random.Generator, interval: int, *batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Cotangents of the checkpoints, and the same ones among those of all states, which are zero elsewhere."""
    few = rng.normal(size=(*batch, len(kept(interval)), 2 * model.nv + model.na))
    every = np.zeros((*batch, STEPS + 1, few.shape[-1]))
    every[..., kept(interval), :] = few
    return few, every


def assert_same(model: sim.Model, interval: int, n_steps: int, *batch: int) -> sim.Trajectory:
    """Checkpoints and gradients equal those of an interval of 1 bit for bit; returns the checkpoints."""
    state, ctrls, rng = standing(model, *batch)
    whole = sim.rollout(model, state, ctrls, n_steps)
    path = sim.rollout(model, state, ctrls, n_steps, checkpoint_interval=interval)
    assert path.qpos.shape == (*batch, len(kept(interval)), model.nq)
    for found, every in zip(path[:3], whole[:3], strict=True):
        np.testing.assert_array_equal(found, every[..., kept(interval), :])
    few, every = seeds(model, rng, interval, *batch)
    found = sim.rollout_vjp(model, path, few, params=True)
    expected = sim.rollout_vjp(model, whole, every, params=True)
    np.testing.assert_array_equal(found.state0, expected.state0)
    np.testing.assert_array_equal(found.ctrls, expected.ctrls)
    assert found.params is not None and expected.params is not None
    for name, value in expected.params.items():
        np.testing.assert_array_equal(found.params[name], value, err_msg=name)
    assert np.abs(found.ctrls).min() > 0.0
    return path


@pytest.mark.parametrize("interval", INTERVALS)
def test_motion_and_gradients_do_not_depend_on_the_interval(interval: int) -> None:
    path = assert_same(ant(), interval, 2, 3)
    assert path.warmstart is not None and path.warmstart.shape == (3, len(kept(interval)) - 1, 14)


@pytest.mark.slow
@pytest.mark.parametrize(("integrator", "solver"), [("RK4", "Newton"), ("Euler", "PGS")])
def test_nor_with_other_integrators_and_solvers(integrator: str, solver: str) -> None:
    for interval in INTERVALS:
        assert_same(ant(integrator, solver), interval, 2)


def test_the_solver_starts_where_it_did() -> None:
    """Without its first guess at the checkpoints the states between are others, within its tolerance."""
    model = ant()
    state, ctrls, rng = standing(model)
    path, cotangents = sim.rollout(model, state, ctrls, checkpoint_interval=2), seeds(model, rng, 2)[0]
    exact, cold = (sim.rollout_vjp(model, p, cotangents) for p in (path, path._replace(warmstart=None)))
    assert np.any(exact.ctrls != cold.ctrls)
    np.testing.assert_allclose(exact.ctrls, cold.ctrls, atol=1e-2 * np.abs(exact.ctrls).max())


def test_a_model_without_constraints_keeps_no_first_guess() -> None:
    model = load(SMOOTH_MECHANISM)
    state, _ = random_state(model, 0)
    assert sim.rollout(model, state, np.zeros((STEPS, model.nu)), checkpoint_interval=3).warmstart is None


def test_gradient_in_contact_is_the_derivative() -> None:
    spec = mujoco.MjSpec.from_file(str(ANT))
    model = sim.Model.from_mujoco(tight(spec, CONES["elliptic"], int(INTEGRATORS["Euler"])))
    state, ctrls, rng = standing(model)
    nx, interval = 2 * model.nv, 3
    few, _ = seeds(model, rng, interval)
    gradient = sim.rollout_vjp(model, sim.rollout(model, state, ctrls, 1, interval), few)

    def move(x: tuple[sim.State, np.ndarray], t: np.ndarray) -> tuple[sim.State, np.ndarray]:
        return moved(model, x[0], t[:nx]), x[1] + t[nx:].reshape(x[1].shape)

    def difference(a: sim.Trajectory, b: sim.Trajectory) -> np.ndarray:
        return np.array([np.sum(few * [tangent_between(model, a.state(t), b.state(t)) for t in kept(interval)])])

    path, smooth = Map(lambda x: sim.rollout(model, x[0], x[1], 1, interval), move, difference), 0
    for direction in rng.normal(size=(8, nx + ctrls.size)):
        found = differentiate(path, (state, ctrls), direction, h=1e-6)
        if is_smooth(found, 1e-4):  # no row switches between the points
            exact = gradient.state0 @ direction[:nx] + gradient.ctrls.ravel() @ direction[nx:]
            assert_derivative(np.array([exact]), found, 1e-5)
            smooth += 1
    assert smooth >= 4


def test_states_of_checkpoints_and_errors() -> None:
    model = load(SMOOTH_MECHANISM)
    state, _ = random_state(model, 0)
    ctrls = np.random.default_rng(0).normal(size=(STEPS, model.nu))
    whole, path = (sim.rollout(model, state, ctrls, checkpoint_interval=k) for k in (1, 3))
    for t in (0, 3, 6, 7, -1, -2, -8):
        np.testing.assert_array_equal(path.state(t).qpos, whole.state(t).qpos)
    for t in (4, -3):
        with pytest.raises(ValueError, match=rf"after {t % 8} controls is not kept: checkpoint_interval is 3"):
            path.state(t)
    for t in (8, -9):
        with pytest.raises(IndexError):
            path.state(t)
    for backend in (sim, mujoco_twin):
        with pytest.raises(ValueError, match="checkpoint_interval is 0, need at least 1"):
            backend.rollout(model, state, ctrls, checkpoint_interval=0)
        with pytest.raises(TypeError, match=r"checkpoint_interval is 2\.5, need an integer"):
            backend.rollout(model, state, ctrls, checkpoint_interval=2.5)
        nx = 2 * model.nv + model.na
        with pytest.raises(ValueError, match=rf"cotangents has shape \(8, {nx}\), expected \(4, {nx}\)"):
            backend.rollout_vjp(model, path, np.zeros((STEPS + 1, nx)))
    with pytest.raises(ValueError, match=r"trajectory has 4 states, but 7 controls with checkpoint_interval 1"):
        sim.rollout_vjp(model, path._replace(checkpoint_interval=1), np.zeros((4, nx)))
    empty = sim.rollout(model, state, ctrls[:0], checkpoint_interval=3)
    np.testing.assert_array_equal(empty.state(0).qpos, state.qpos)
    np.testing.assert_array_equal(sim.rollout_vjp(model, empty, np.ones((1, nx))).state0, np.ones(nx))


@pytest.mark.parametrize("interval", INTERVALS)
def test_the_twin_keeps_the_same_checkpoints(interval: int) -> None:
    model = load(SMOOTH_MECHANISM)
    state, _ = random_state(model, 0)
    rng = np.random.default_rng(0)
    ctrls, (few, every) = rng.normal(size=(2, STEPS, model.nu)), seeds(model, rng, interval, 2)
    whole, path = (mujoco_twin.rollout(model, state, ctrls, 2, k) for k in (1, interval))
    np.testing.assert_array_equal(path.qvel, whole.qvel[:, kept(interval)])
    found, expected = mujoco_twin.rollout_vjp(model, path, few), mujoco_twin.rollout_vjp(model, whole, every)
    np.testing.assert_array_equal(found.ctrls, expected.ctrls)
    np.testing.assert_array_equal(found.state0, expected.state0)


def losses(
    model: sim.Model, state: sim.State, interval: int, weights: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The controls' weighted sum of the checkpoints' velocities as a torch function."""
    qpos, qvel, act = (torch.tensor(part) for part in state[:3])

    def loss(ctrls: torch.Tensor) -> torch.Tensor:
        return (weights * bridge.rollout(model, qpos, qvel, act, ctrls, 2, interval).qvel).sum()

    return loss


def test_torch_gradients_are_those_of_the_simulator() -> None:
    model = ant()
    state, ctrls, rng = standing(model, 2)
    few, _ = seeds(model, rng, 3, 2)
    few[..., : model.nv] = 0.0
    exact = sim.rollout_vjp(model, sim.rollout(model, state, ctrls, 2, 3), few).ctrls
    loss = losses(model, state, 3, torch.tensor(few[..., model.nv :]))
    leaf = torch.tensor(ctrls, requires_grad=True)
    np.testing.assert_array_equal(torch.autograd.grad(loss(leaf), leaf)[0].numpy(), exact)
    each = losses(model, state, 3, torch.tensor(few[0, :, model.nv :]))
    mapped = torch.func.vmap(torch.func.grad(each))(torch.tensor(ctrls[:1].repeat(2, axis=0)))
    for row in mapped:
        np.testing.assert_array_equal(row.numpy(), exact[0])
    single = leaf.detach().float().requires_grad_()
    found = torch.autograd.grad(loss(single), single)[0]
    assert found.dtype == torch.float32
    # states are rounded to 1e-7 of themselves at the checkpoints
    np.testing.assert_allclose(found.numpy(), exact, atol=1e-3 * np.abs(exact).max())

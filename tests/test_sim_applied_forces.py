"""Forces applied to joints and bodies: MuJoCo's motion, and derivatives by and under them against differences."""

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from derivatives import Map, differentiate, is_smooth, tangent_between
from driven import Drive, load_drive, scene, sizes, step_map, visited, whole_gradient
from numpy.typing import NDArray
from parity import INTEGRATORS, load, random_state, spoil_workspaces
from random_models import SMOOTH_MECHANISM

from gradgym import sim
from gradgym.sim import mujoco_twin, torch_bridge

Floats = NDArray[np.float64]


def free_of_constraints(integrator: str) -> tuple[sim.Model, list[Drive]]:
    """A mechanism with damping, gravity compensation and activations, in some states under forces."""
    model, rng, found = load(SMOOTH_MECHANISM, integrator), np.random.default_rng(0), []
    for seed in range(3):
        state, ctrl = random_state(model, seed)
        state = state._replace(mocap_pos=np.zeros((0, 3)), mocap_quat=np.zeros((0, 4)))
        found.append(Drive(state, ctrl, rng.normal(size=model.nv), rng.normal(size=(model.nbody, 6))))
    return model, found


def in_contact(integrator: str) -> tuple[sim.Model, list[Drive]]:
    """The scene driven by mocap bodies, in some states under forces."""
    model = scene(integrator)
    return model, list(visited(model, 3, 1))


SITUATIONS = [(free_of_constraints, x) for x in INTEGRATORS] + [
    (in_contact, "Euler"),
    *(pytest.param(in_contact, x, marks=pytest.mark.slow) for x in ("RK4", "implicitfast")),
]


@pytest.mark.parametrize(("situation", "integrator"), SITUATIONS)
def test_steps_and_their_derivatives(situation: Callable[[str], Any], integrator: str) -> None:
    model, drives = situation(integrator)
    rng, smooth = np.random.default_rng(0), 0
    for drive in drives:
        d = mujoco.MjData(model.mj_model)
        mujoco.mj_step(model.mj_model, load_drive(d, drive))
        spoil_workspaces(model, (1, False))
        after = sim.step(model, drive.state, drive.ctrl, **drive.forces)
        change = np.abs(d.qvel - drive.state.qvel).max()
        np.testing.assert_allclose(after.qvel, d.qvel, rtol=0, atol=1e-6 * change)
        cotangent = rng.normal(size=sizes(model)[0])
        found = whole_gradient(sim.step_vjp(model, drive.state, drive.ctrl, cotangent, **drive.forces))
        for part in (0, 4, 5):
            tangent = [np.zeros(size) for size in sizes(model)]
            tangent[part] = rng.normal(size=found[part].size)
            difference = differentiate(step_map(model), drive, np.concatenate(tangent), h=1e-5)
            if is_smooth(difference, 1e-5):
                bound = 1e-6 * np.abs(cotangent) @ np.abs(difference.value)
                bound += np.abs(cotangent).sum() * difference.rounding
                assert abs(found[part] @ tangent[part] - cotangent @ difference.value) <= bound
                smooth += 1
        jacobian = sim.step_jacobian(model, drive.state, drive.ctrl, **drive.forces)
        np.testing.assert_allclose(cotangent @ jacobian.A, found[0], rtol=0, atol=1e-9 * np.abs(jacobian.A).max())
    assert smooth >= 6


def test_forward_is_mujocos() -> None:
    model, drives = free_of_constraints("Euler")
    for drive in drives:
        spoil_workspaces(model)
        ours = sim.forward(model, drive.state, drive.ctrl, **drive.forces)
        d = mujoco.MjData(model.mj_model)
        mujoco.mj_forward(model.mj_model, load_drive(d, drive))
        for name in ("qfrc_smooth", "qacc"):
            scale = np.abs(getattr(d, name)).max()
            np.testing.assert_allclose(getattr(ours, name), getattr(d, name), rtol=0, atol=1e-9 * scale, err_msg=name)
        none = sim.forward(model, drive.state, drive.ctrl)
        np.testing.assert_array_equal(
            none.qacc, sim.forward(model, drive.state, drive.ctrl, qfrc_applied=np.zeros(model.nv)).qacc
        )


def test_parameters_under_forces() -> None:
    model, (drive, *_) = free_of_constraints("Euler")
    cotangent = np.random.default_rng(1).normal(size=sizes(model)[0])
    found = sim.step_vjp(model, drive.state, drive.ctrl, cotangent, params=True, **drive.forces).params
    assert found is not None
    for name in ("body_ipos", "body_pos", "body_mass"):
        value = getattr(model.mj_model, name).copy()
        direction = np.random.default_rng(2).normal(size=value.shape) * 0.1
        direction[0] = 0.0

        def end(x: Floats, name: str = name) -> sim.State:
            return sim.step(model.replace(**{name: x}), drive.state, drive.ctrl, **drive.forces)  # pyright: ignore[reportArgumentType]

        by_value = Map(end, lambda x, t: x + t, lambda a, b: tangent_between(model, a, b))
        difference = differentiate(by_value, value, direction, h=1e-4)
        bound = 1e-6 * np.abs(cotangent) @ np.abs(difference.value)
        assert abs(np.sum(found[name] * direction) - cotangent @ difference.value) <= bound, name


@pytest.mark.parametrize("interval", [1, 2])
def test_forces_for_each_control_or_all(interval: int) -> None:
    model, drives = free_of_constraints("Euler")
    rng, steps, nx = np.random.default_rng(3), 3, sizes(model)[0]
    state = sim.State(*(np.stack([x, x]) for x in drives[0].state))
    ctrls = rng.normal(size=(2, steps, model.nu))
    held: dict[str, Any] = {
        "qfrc_applied": rng.normal(size=(2, model.nv)),
        "xfrc_applied": rng.normal(size=(2, model.nbody, 6)),
    }
    each: dict[str, Any] = {name: np.repeat(value[:, None], steps, axis=1) for name, value in held.items()}
    paths = [sim.rollout(model, state, ctrls, 2, interval, **forces) for forces in (held, each)]
    np.testing.assert_array_equal(paths[0].qvel, paths[1].qvel)
    cotangents = rng.normal(size=(2, paths[0].qvel.shape[1], nx))
    one, many = (sim.rollout_vjp(model, path, cotangents) for path in paths)
    for name, value in held.items():
        total, parts = getattr(one, name), getattr(many, name)
        assert total.shape == value.shape and parts.shape == each[name].shape
        np.testing.assert_allclose(total, parts.sum(axis=1), rtol=0, atol=1e-12 * np.abs(total).max())
    last = sim.step_vjp(
        model,
        sim.rollout(model, state, ctrls, 2, **each).state(steps - 1),
        ctrls[:, -1],
        cotangents[:, -1],
        2,
        **held,
    )
    assert many.xfrc_applied is not None and last.xfrc_applied is not None
    np.testing.assert_allclose(many.xfrc_applied[:, -1], last.xfrc_applied, rtol=1e-9, atol=1e-12)
    assert one.xfrc_applied is not None and not one.xfrc_applied[:, 0].any()  # the world does not move


def test_twin_takes_and_differentiates_the_same() -> None:
    model, drives = free_of_constraints("Euler")
    drive, rng = drives[1], np.random.default_rng(4)
    cotangent = rng.normal(size=sizes(model)[0])
    mine, theirs = (
        backend.step_vjp(model, drive.state, drive.ctrl, cotangent, 2, **drive.forces) for backend in (sim, mujoco_twin)
    )
    for name in ("state", "ctrl", "qfrc_applied", "xfrc_applied"):
        expected = getattr(theirs, name)
        np.testing.assert_allclose(
            getattr(mine, name), expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=name
        )
    ours, other = (
        backend.forward(model, drive.state, drive.ctrl, **drive.forces).qacc for backend in (sim, mujoco_twin)
    )
    np.testing.assert_allclose(ours, other, rtol=0, atol=1e-9 * np.abs(other).max())
    assert mujoco_twin.step_vjp(model, drive.state, drive.ctrl, cotangent).xfrc_applied is None


def test_torch_gradients_by_forces() -> None:
    model, drives = free_of_constraints("Euler")
    drive, rng = drives[2], np.random.default_rng(5)
    qpos, qvel, act = (torch.tensor(x[None]) for x in drive.state[:3])
    ctrls = torch.tensor(rng.normal(size=(1, 2, model.nu)))
    qfrc = torch.tensor(rng.normal(size=(1, 2, model.nv)), requires_grad=True)
    xfrc = torch.tensor(drive.xfrc_applied[None], requires_grad=True)

    def velocities(qfrc: torch.Tensor, xfrc: torch.Tensor) -> torch.Tensor:
        return torch_bridge.rollout(model, qpos, qvel, act, ctrls, qfrc_applied=qfrc, xfrc_applied=xfrc).qvel

    assert torch.autograd.gradcheck(velocities, (qfrc, xfrc), rtol=1e-5, atol=1e-7)


def test_wrong_forces_are_named() -> None:
    model = load(SMOOTH_MECHANISM, "Euler")
    state, ctrl = random_state(model, 0)
    nv, nbody = model.nv, model.nbody
    for backend in (sim, mujoco_twin):
        with pytest.raises(ValueError, match=rf"qfrc_applied has shape \({nv + 1},\), expected \(\.\.\., {nv}\)"):
            backend.step(model, state, ctrl, qfrc_applied=np.zeros(nv + 1))
        with pytest.raises(ValueError, match=rf"xfrc_applied has shape \({nbody - 1}, 6\), expected \({nbody}, 6\)"):
            backend.forward(model, state, ctrl, xfrc_applied=np.zeros((nbody - 1, 6)))
        with pytest.raises(ValueError, match=rf"qfrc_applied has shape \(4, {nv}\), expected \({nv},\) or \(5, {nv}\)"):
            backend.rollout(model, state, np.zeros((5, model.nu)), qfrc_applied=np.zeros((4, nv)))
    with pytest.raises(ValueError, match=r"xfrc_applied is not finite at index \[0, 0\]"):
        sim.step_jacobian(model, state, ctrl, xfrc_applied=np.full((nbody, 6), np.nan))

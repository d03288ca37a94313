"""What the simulator is compared with computes the same: PyTorch's quadruped, against MuJoCo and our gradients."""

from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from rivals import standing, torch_simulator
from sides import Side

from gradgym import sim

STEPS = 20


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return standing.robot().compile()


@pytest.fixture(scope="module")
def starts(model: mujoco.MjModel) -> list[Any]:
    """At rest, and let fall askew, with joints that turn: the feet come down one by one and slide."""
    rest, rng = standing.start(), np.random.default_rng(0)
    shift = np.concatenate([[0.0, 0.0, 0.004], rng.normal(scale=0.02, size=15)])
    qpos = rest.qpos.copy()
    mujoco.mj_integratePos(model, qpos, shift, 1.0)
    return [rest, standing.Start(qpos, rest.qvel + rng.normal(scale=0.3, size=18), rest.ctrl)]


@pytest.fixture(scope="module")
def robot(model: mujoco.MjModel, starts: list[Any]) -> Any:
    d = _loaded(model, starts[0])
    mujoco.mj_forward(model, d)
    return torch_simulator.Quadruped(model, d.contact[0])


def _loaded(m: mujoco.MjModel, start: Any) -> mujoco.MjData:
    d = mujoco.MjData(m)
    d.qpos[:], d.qvel[:], d.ctrl[:] = start
    return d


def _inputs(starts: list[Any]) -> tuple[Any, torch.Tensor]:
    qpos, qvel, ctrl = (torch.tensor(np.stack(values)) for values in zip(*starts, strict=True))
    state = torch_simulator.State(qpos, qvel, torch.zeros(len(starts), 16, dtype=torch.float64))
    return state, ctrl.expand(STEPS, -1, -1).clone()


def test_a_batch_of_rollouts_is_mujocos(model: mujoco.MjModel, robot: Any, starts: Any) -> None:
    state, ctrls = _inputs(starts)
    end = robot.rollout(state, ctrls)
    contacts = []
    for i, start in enumerate(starts):
        d = _loaded(model, start)
        for _ in range(STEPS):
            mujoco.mj_step(model, d)
            contacts.append({int(g) for c in d.contact for g in c.geom})
        # Both solve to rounding, which impacts of 1,000 rad/s^2 make larger
        np.testing.assert_allclose(end.qpos[i], d.qpos, rtol=0, atol=1e-13)
        np.testing.assert_allclose(end.qvel[i], d.qvel, rtol=0, atol=1e-11)
    assert len({len(c) for c in contacts}) > 2  # from none to four
    assert {model.geom(g).name for c in contacts for g in c} == {"floor", *standing.FEET}


# Newton's last iteration solves exactly for the rows that push; 50 sweeps leave a few thousandths of the way
@pytest.mark.parametrize(("solver", "tolerance"), [("newton", 1e-11), ("pgs", 2e-3)])
@pytest.mark.parametrize("which", [0, 1], ids=["at rest", "falling"])
def test_autograd_finds_our_gradients(
    model: mujoco.MjModel, robot: Any, starts: Any, which: Any, solver: Any, tolerance: float
) -> None:
    state, ctrls = _inputs(starts[which : which + 1])
    tangent = torch.zeros(1, 36, dtype=torch.float64, requires_grad=True)
    ctrls.requires_grad_()
    moved = torch_simulator.advance(state.qpos, tangent[:, :18])
    end = robot.rollout(state._replace(qpos=moved, qvel=state.qvel + tangent[:, 18:]), ctrls, solver)
    cotangents = np.zeros((STEPS + 1, 36))
    cotangents[-1] = standing.cotangent()
    (torch_simulator.tangent(end) @ torch.tensor(cotangents[-1])).sum().backward()

    ours = sim.Model.from_mujoco(model)
    start = starts[which]
    path = sim.rollout(ours, sim.State(start.qpos, start.qvel, np.empty(0)), np.repeat(start.ctrl[None], STEPS, axis=0))
    exact = sim.rollout_vjp(ours, path, cotangents)
    assert tangent.grad is not None and ctrls.grad is not None
    for found, wanted in ((tangent.grad[0], exact.state0), (ctrls.grad[:, 0], exact.ctrls)):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def test_what_is_left_out_is_refused(model: mujoco.MjModel, starts: Any) -> None:
    spec = standing.robot()
    spec.joints[3].damping[0] = 1.0
    damped = spec.compile()
    with pytest.raises(ValueError, match="damping"):
        torch_simulator.Quadruped(damped, _loaded(damped, starts[0]).contact)


def test_the_side_answers() -> None:
    with Side("torch_autograd") as side:
        assert side.missing is None
        for solver in ("Newton", "PGS"):
            side.ask("load", solver=solver)
            assert min(side.ask("run", steps=3).values()) > 0.0
            assert side.ask("memory", steps=10) > 0.5
        assert side.ask("run", steps=10**6) is None
        assert side.ask("memory", steps=10**6) is None
        assert "Gauss-Seidel" in side.ask("about")

"""The simulator on a real GPU beside the CPU: run with -m gpu where there is one."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from gpu_compilation import compile_all
from gpu_scenes import SCENES
from numpy.testing import assert_allclose

from gradgym import sim
from gradgym.sim import torch_bridge
from gradgym.sim.cuda import build
from gradgym.sim.model.model import tangent_size

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU, or a torch without CUDA"),
]
WORLDS, STEPS = 256, 4
ROBOTS = "Ant", "Laikago", "humanoid", "hand with cube"


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """All robots' kernels at once: one after the other they would take ten minutes."""
    compile_all(ROBOTS, torch.cuda.get_device_capability())


@pytest.fixture(scope="module", params=ROBOTS)
def driven(request: pytest.FixtureRequest) -> Iterator[tuple[Any, sim.State, np.ndarray, sim.Trajectory]]:
    """Robots that stand, slide, fall and touch themselves, and where they get on the CPU."""
    scene, rng = SCENES[request.param](), np.random.default_rng(0)
    state, ctrls = scene.starts(WORLDS, rng), scene.ctrls(WORLDS, STEPS, rng)
    yield scene.model, state, ctrls, sim.rollout(scene.model, state, ctrls)


def test_states_are_those_of_the_cpu(driven: Any) -> None:
    model, state, ctrls, expected = driven
    found = sim.rollout(model, state, ctrls, device="cuda")
    assert all(isinstance(x, torch.Tensor) and x.is_cuda for x in (found.qpos, found.unconverged))
    # One step at a time, from the CPU's states: of longer ones chaos would make what it likes.
    for array, tensor in zip(expected[:3], found[:3], strict=True):
        assert_allclose(tensor[:, :2].cpu(), array[:, :2], rtol=1e-9, atol=1e-9)
    for t in range(1, STEPS):
        after = sim.step(model, expected.state(t), ctrls[:, t], device="cuda")
        assert_allclose(after.qpos.cpu(), expected.qpos[:, t + 1], rtol=1e-9, atol=1e-9)
        assert_allclose(after.qvel.cpu(), expected.qvel[:, t + 1], rtol=1e-9, atol=1e-8)


def test_gradients_are_those_of_the_cpu(driven: Any) -> None:
    model, _, _, path = driven
    cotangents = np.random.default_rng(1).standard_normal((WORLDS, STEPS + 1, tangent_size(model)))
    expected = sim.rollout_vjp(model, path, cotangents)
    there = path._replace(**{name: torch.from_numpy(getattr(path, name)).cuda() for name in ("qpos", "qvel", "act")})
    found = sim.rollout_vjp(model, there, cotangents)
    for array, tensor in (expected.state0, found.state0), (expected.ctrls, found.ctrls):
        scale = np.abs(array).reshape(WORLDS, -1).max(1).reshape(-1, *(1,) * (array.ndim - 1))
        assert_allclose(tensor.cpu() / scale, array / scale, rtol=0.0, atol=1e-9)


def test_jacobians_are_those_of_the_cpu() -> None:
    scene, rng = SCENES["Ant"](), np.random.default_rng(0)
    state, ctrl = scene.starts(WORLDS, rng), scene.ctrls(WORLDS, 1, rng)[:, 0]
    expected, found = (
        sim.step_jacobian(scene.model, state, ctrl),
        sim.step_jacobian(scene.model, state, ctrl, device="cuda"),
    )
    for array, tensor in zip(expected, found, strict=True):
        assert_allclose(tensor.cpu(), array, rtol=1e-9, atol=1e-9 * np.abs(array).max())


def test_work_is_done_on_torchs_current_stream() -> None:
    scene, rng = SCENES["Ant"](), np.random.default_rng(0)
    state, ctrls = scene.starts(4096, rng), torch.from_numpy(scene.ctrls(4096, 20, rng)).cuda()
    sim.rollout(scene.model, state, ctrls)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        found = sim.rollout(scene.model, state, ctrls)
        busy = not stream.query()
        total = found.qpos.sum()  # on the same stream: it sees what the kernel wrote
    assert busy, "the call waited for the GPU"
    assert torch.cuda.default_stream().query()
    stream.synchronize()
    assert torch.isfinite(total)


def test_a_replaced_parameter_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, rng = SCENES["Ant"](), np.random.default_rng(0)
    state, ctrl = scene.starts(32, rng), scene.ctrls(32, 1, rng)[:, 0]
    sim.step(scene.model, state, ctrl, device="cuda")
    monkeypatch.setattr(build, "binary", lambda *_: pytest.fail("compiled anew"))
    heavy = scene.model.replace(body_mass=1.5 * scene.model.body_mass)
    assert_allclose(
        sim.step(heavy, state, ctrl, device="cuda").qvel.cpu(), sim.step(heavy, state, ctrl).qvel, rtol=1e-9, atol=1e-9
    )  # pyright: ignore[reportAttributeAccessIssue]


def test_torch_graphs_have_the_gradients_of_the_cpu() -> None:
    scene, rng = SCENES["Ant"](), np.random.default_rng(0)
    state, ctrls = scene.starts(64, rng), scene.ctrls(64, 3, rng)

    def gradients(device: str) -> list[torch.Tensor]:
        leaves = [torch.from_numpy(x).to(device).requires_grad_() for x in (*state[:3], ctrls)]
        qpos, qvel, act, given = leaves
        path = torch_bridge.rollout(scene.model, qpos, qvel, act, given)
        return list(torch.autograd.grad(path.qpos.square().sum() + path.qvel.sin().sum(), leaves))

    for one, other in zip(gradients("cpu"), gradients("cuda"), strict=True):
        assert other.is_cuda
        assert_allclose(other.cpu(), one, rtol=1e-8, atol=1e-8 * float(one.abs().max()) if one.numel() else 0.0)

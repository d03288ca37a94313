"""The simulator on a GPU, whose code an emulation runs on the CPU: see `cuda_emulation.py` for what that shows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from feature_scenes import FEATURES
from gpu_scenes import SCENES, Scene
from numpy.testing import assert_allclose

from gradgym import sim
from gradgym.sim import torch_bridge
from gradgym.sim.cuda import build, launch
from gradgym.sim.cuda.launch import bytes_per_world, warp_width
from gradgym.sim.cuda.programs import programs
from gradgym.sim.model.model import tangent_size

pytest.importorskip("numba_cuda", reason="the extra cuda is not installed: nothing compiles for CUDA")

from cuda_emulation import EmulatedGPU, emulated, shared_gpu

WORLDS, STEPS = 35, 2
_ALL = {**SCENES, **FEATURES}
_OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in _ALL if name != "pendulum"]


@pytest.fixture
def gpu() -> EmulatedGPU:
    return shared_gpu()


@pytest.fixture(autouse=True)
def _poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is handed out holds NaN and -1: nothing may depend on what was there."""
    reserve: Callable[..., torch.Tensor] = launch.reserve
    monkeypatch.setattr(launch, "reserve", lambda *args: reserve(*args).fill_(255))


def _drive(scene: Scene, seed: int = 0) -> tuple[sim.State, np.ndarray]:
    rng = np.random.default_rng(seed)
    return scene.starts(WORLDS, rng), scene.ctrls(WORLDS, STEPS, rng)


def _tensors(state: sim.State) -> sim.State:
    return sim.State(*(torch.from_numpy(x) for x in state[:3]))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["pendulum", *_OTHERS])
def test_rollouts_and_gradients_are_those_of_the_cpu(name: str, gpu: EmulatedGPU) -> None:
    scene = _ALL[name]()
    state, ctrls = _drive(scene)
    expected = sim.rollout(scene.model, state, ctrls, n_steps=2)
    cotangents = np.random.default_rng(1).standard_normal((WORLDS, STEPS + 1, tangent_size(scene.model)))
    gradient = sim.rollout_vjp(scene.model, expected, cotangents)
    with emulated(gpu):
        found = sim.rollout(scene.model, _tensors(state), torch.from_numpy(ctrls), n_steps=2)
        for array, tensor in zip(expected[:3], found[:3], strict=True):
            assert isinstance(tensor, torch.Tensor)
            assert_allclose(tensor.numpy(), array, rtol=1e-9, atol=1e-11)
        assert found.unconverged is not None and expected.unconverged is not None
        assert (np.asarray(found.unconverged) == expected.unconverged).all()
        # On the CPU's own path, so that only the adjoints are compared.
        kept: Any = {name: torch.from_numpy(getattr(expected, name)) for name in ("qpos", "qvel", "act")}
        path = expected._replace(**kept)
        by_state, by_ctrl, *_ = sim.rollout_vjp(scene.model, path, cotangents)
    for array, tensor in (gradient.state0, by_state), (gradient.ctrls, by_ctrl):
        scale = np.abs(array).max(initial=1e-300)
        assert_allclose(np.asarray(tensor), array, rtol=1e-9, atol=1e-9 * scale)


def test_launches_name_worlds_widths_and_the_memory_of_the_arrays(gpu: EmulatedGPU) -> None:
    scene = SCENES["pendulum"]()
    state, ctrls = _drive(scene)
    seen: list[dict[str, Any]] = []
    table = launch.table

    def watched(struct: Any, tensors: Any) -> list[int]:
        seen.append({name: tensors[name] for name in tensors})
        return table(struct, tensors)

    with emulated(gpu), pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "table", watched)
        given = torch.from_numpy(ctrls)
        found = sim.rollout(scene.model, _tensors(state), given, n_steps=2)
    _, blocks, threads, arguments = gpu.launches[-1]
    first, last, width, *_, n_steps, interval = arguments
    assert (first, last, width, n_steps, interval) == (0, WORLDS, 8, 2, 1)
    assert blocks * threads == 32 * 5  # 35 worlds, 8 of them to a warp
    # What kernels read and write are the tensors that came and go: nothing was copied in between.
    assert seen[0]["ctrl"].data_ptr() == given.data_ptr()
    assert found.qpos.data_ptr() == seen[0]["qpos"].data_ptr()  # pyright: ignore[reportAttributeAccessIssue]


def test_worlds_go_in_chunks_where_memory_does_not_hold_them(gpu: EmulatedGPU) -> None:
    scene = SCENES["pendulum"]()
    state, ctrls = _drive(scene)
    each = bytes_per_world(programs(scene.model).rollout, scene.model)
    small = EmulatedGPU(memory=int(33 * each / 0.8))
    small.kernels = gpu.kernels
    with emulated(gpu):
        whole = sim.rollout(scene.model, _tensors(state), ctrls)
    with emulated(small):
        parts = sim.rollout(scene.model, _tensors(state), ctrls)
    assert [arguments[:2] for *_, arguments in small.launches] == [[0, 32], [32, 35]]
    assert torch.equal(torch.as_tensor(whole.qpos), torch.as_tensor(parts.qpos))
    with emulated(EmulatedGPU(memory=each)), pytest.raises(RuntimeError, match=r"32 worlds need .* MiB of GPU memory"):
        sim.rollout(scene.model, _tensors(state), ctrls)


def test_a_replaced_parameter_and_models_of_each_world_run_the_same_code(
    gpu: EmulatedGPU,
) -> None:
    scene = SCENES["pendulum"]()
    state, ctrls = _drive(scene)
    heavy = scene.model.replace(body_mass=2.0 * scene.model.body_mass, timestep=0.5 * scene.model.timestep)
    models = [heavy if i % 2 else scene.model for i in range(WORLDS)]
    expected = sim.rollout(models, state, ctrls)
    with emulated(gpu), pytest.MonkeyPatch.context() as patch:
        sim.rollout(scene.model, _tensors(state), ctrls)
        patch.setattr(build, "binary", lambda *_: pytest.fail("compiled anew"))
        found = sim.rollout(models, _tensors(state), ctrls)
    assert_allclose(np.asarray(found.qvel), expected.qvel, rtol=1e-10, atol=1e-12)
    assert not np.allclose(expected.qvel[0, -1], sim.rollout(heavy, state, ctrls).qvel[0, -1])


def test_torch_graphs_stay_where_their_tensors_are(gpu: EmulatedGPU) -> None:
    scene = SCENES["pendulum"]()
    state, ctrls = _drive(scene)
    parts = [torch.from_numpy(x) for x in (*state[:3], ctrls)]

    def gradients() -> list[torch.Tensor]:
        leaves = [x.clone().requires_grad_() for x in parts]
        path = torch_bridge.rollout(scene.model, *leaves, n_steps=2)
        total = path.qpos.square().sum() + path.qvel.sin().sum()
        return list(torch.autograd.grad(total, leaves))

    expected = gradients()
    with emulated(gpu):
        found = gradients()
    assert len(gpu.launches) > 0
    for one, other in zip(expected, found, strict=True):
        assert_allclose(other.numpy(), one.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pendulum", "Ant"])
def test_jacobians_gradients_of_a_step_parameters_and_forces(name: str, gpu: EmulatedGPU) -> None:
    scene, rng = SCENES[name](), np.random.default_rng(2)
    model, (state, ctrls) = scene.model, _drive(scene)
    ctrl, forces = ctrls[:, 0], rng.standard_normal((WORLDS, model.nv))
    cotangent = rng.standard_normal((WORLDS, tangent_size(model)))
    jacobian = sim.linearize(model, state, ctrl, 2, qfrc_applied=forces)
    by_ctrl = sim.linearize(model, state, ctrl, by_state=False)
    gradient = sim.step_vjp(model, state, ctrl, cotangent, params=True, qfrc_applied=forces)
    external = sim.cfrc_ext(model, state, ctrl)
    with emulated(gpu):
        found = sim.linearize(model, _tensors(state), ctrl, 2, qfrc_applied=forces)
        short = sim.linearize(model, _tensors(state), ctrl, by_state=False)
        by = sim.step_vjp(model, _tensors(state), ctrl, cotangent, params=True, qfrc_applied=forces)
        qpos, qvel, act, given = (torch.from_numpy(x) for x in (*state[:3], ctrl))
        seen = torch_bridge.cfrc_ext(model, qpos, qvel, act, given)
    pairs: list[tuple[Any, Any]] = [
        (jacobian.A, found.A),
        (jacobian.B, found.B),
        (gradient.state, by.state),
        (gradient.ctrl, by.ctrl),
    ]
    pairs += [(by_ctrl.B, short.B), *zip(jacobian.state[:3], found.state[:3], strict=True)]
    assert short.A is None and (np.asarray(found.unconverged) == jacobian.unconverged).all()
    pairs += [(external, seen), (gradient.qfrc_applied, by.qfrc_applied)]
    assert gradient.params is not None and by.params is not None and gradient.params.keys() == by.params.keys()
    pairs += [(gradient.params[name], by.params[name]) for name in gradient.params]
    for array, tensor in pairs:
        assert_allclose(np.asarray(tensor), array, rtol=1e-9, atol=1e-9 * np.abs(array).max(initial=1e-300))


@pytest.mark.parametrize(
    ("worlds", "processors", "width"), [(1, 132, 8), (1024, 132, 8), (8192, 132, 8), (16384, 132, 16), (32768, 132, 32)]
)
def test_small_batches_have_fewer_worlds_in_a_warp(worlds: int, processors: int, width: int) -> None:
    assert warp_width(worlds, processors) == width

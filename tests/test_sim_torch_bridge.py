"""The simulator as torch functions: torch's own gradient checks, function transforms, batches, types."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from parity import GYMNASIUM_ASSETS, INTEGRATORS, load, random_state
from random_models import SMOOTH_MECHANISM, SMOOTH_QUATERNIONS, random_tree
from torch import Tensor

from gradgym import sim
from gradgym.sim import torch_bridge as bridge

WORLDS = 3


def inputs(model: sim.Model, *, raw: bool = False) -> list[Tensor]:
    """qpos, qvel, act, ctrl of a batch that require gradients; `raw`: quaternions not of unit length."""
    pairs = [random_state(model, seed) for seed in range(WORLDS)]
    arrays = [np.stack(parts) for parts in zip(*((*state[:3], ctrl) for state, ctrl in pairs), strict=True)]
    if raw:
        rng = np.random.default_rng(0)
        for j in range(model.njnt):
            start = int(model.jnt_qposadr[j]) + (3 if model.jnt_type[j] == 0 else 0)
            if model.jnt_type[j] in (0, 1):
                arrays[0][:, start : start + 4] *= rng.uniform(0.5, 2.0, (WORLDS, 1))
    return [torch.tensor(array, requires_grad=True) for array in arrays]


def step(model: sim.Model, tensors: Iterable[Tensor], n_steps: int = 1) -> bridge.TorchState:
    qpos, qvel, act, ctrl = tensors
    return bridge.step(model, qpos, qvel, act, ctrl, n_steps)


@pytest.fixture(params=INTEGRATORS)
def model(request: pytest.FixtureRequest) -> sim.Model:
    return load(SMOOTH_MECHANISM, request.param)


def test_values_are_those_of_the_simulator(model: sim.Model) -> None:
    tensors = inputs(model)
    qpos, qvel, act, ctrl = (t.detach().numpy() for t in tensors)
    expected = sim.step(model, sim.State(qpos, qvel, act), ctrl, 2)[:3]
    for found, value in zip(step(model, tensors, 2), expected, strict=True):
        np.testing.assert_array_equal(found.detach().numpy(), value)
    ctrls = np.random.default_rng(0).normal(size=(WORLDS, 4, model.nu))
    path = sim.rollout(model, sim.State(qpos, qvel, act), ctrls, 2)
    start = tensors[0], tensors[1], tensors[2]
    for found, value in zip(bridge.rollout(model, *start, torch.tensor(ctrls), 2), path[:3], strict=True):
        np.testing.assert_array_equal(found.detach().numpy(), value)


def test_gradients_of_step(model: sim.Model) -> None:
    assert torch.autograd.gradcheck(lambda *x: tuple(step(model, x, 2)), inputs(model), rtol=1e-5, atol=1e-7)


def directions_of(qpos: Tensor) -> Tensor:
    """qpos with quaternions of unit length: what a gradient by raw coordinates refers to."""
    unit = qpos.clone()
    for start in SMOOTH_QUATERNIONS:
        quat = qpos[..., start : start + 4]
        unit[..., start : start + 4] = quat / quat.norm(dim=-1, keepdim=True)
    return unit


def test_gradients_of_step_at_raw_quaternions(model: sim.Model) -> None:
    def directions(*x: Tensor) -> tuple[Tensor, ...]:
        after = step(model, x)
        return directions_of(after.qpos), after.qvel, after.act

    assert torch.autograd.gradcheck(directions, inputs(model, raw=True), rtol=1e-5, atol=1e-7)


def test_gradients_of_rollout(model: sim.Model) -> None:
    qpos, qvel, act, _ = inputs(model)
    ctrls = torch.randn(WORLDS, 3, model.nu, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def directions(*x: Tensor) -> tuple[Tensor, ...]:
        path = bridge.rollout(model, x[0], x[1], x[2], x[3], 2)
        return directions_of(path.qpos), path.qvel, path.act

    assert torch.autograd.gradcheck(directions, (qpos, qvel, act, ctrls.requires_grad_()), rtol=1e-5, atol=1e-7)


def test_one_state_serves_a_batch_of_controls(model: sim.Model) -> None:
    qpos, qvel, act, ctrl = inputs(model)
    path = bridge.rollout(model, qpos[0], qvel[0], act[0], ctrl[:, None])
    assert path.qpos.shape == (WORLDS, 2, model.nq)
    repeated = [t[:1].expand(WORLDS, -1) for t in (qpos, qvel, act)]
    once = torch.autograd.grad(path.qvel[:, 1].sum(), qvel)[0]
    torch.testing.assert_close(once, torch.autograd.grad(step(model, (*repeated, ctrl)).qvel.sum(), qvel)[0])


@pytest.mark.parametrize("source", [SMOOTH_MECHANISM, random_tree(21, 9), GYMNASIUM_ASSETS / "ant.xml"])
def test_gradients_of_kinematics_both_ways(source: Any) -> None:
    model = load(source)
    qpos = inputs(model, raw=True)[0]
    assert torch.autograd.gradcheck(
        lambda q: tuple(bridge.kinematics(model, q)), qpos, rtol=1e-5, atol=1e-7, check_forward_ad=True
    )


def kinematics_function(field: str) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    model = load(SMOOTH_MECHANISM)
    return inputs(model, raw=True)[0].detach(), lambda q: getattr(bridge.kinematics(model, q), field)


@pytest.mark.parametrize("field", bridge.Kinematics._fields)
def test_function_transforms_of_kinematics(field: str) -> None:
    qpos, f = kinematics_function(field)
    generator = torch.Generator().manual_seed(0)
    rate = torch.randn(qpos.shape, dtype=qpos.dtype, generator=generator)
    value, pushed, *_ = torch.func.jvp(f, (qpos,), (rate,))
    torch.testing.assert_close(value, f(qpos))
    h = 1e-6
    torch.testing.assert_close(pushed, (f(qpos + h * rate) - f(qpos - h * rate)) / (2 * h), rtol=1e-6, atol=1e-8)
    linear_value, linear = torch.func.linearize(f, qpos)
    torch.testing.assert_close(linear_value, value)
    torch.testing.assert_close(linear(rate), pushed, rtol=0, atol=1e-14)
    _, pull, *_ = torch.func.vjp(f, qpos)
    cotangent = torch.randn(value.shape, dtype=qpos.dtype, generator=generator)
    product, transposed = (cotangent * pushed).sum(), (pull(cotangent)[0] * rate).sum()
    torch.testing.assert_close(product, transposed, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.func.jacrev(f)(qpos), torch.func.jacfwd(f)(qpos), rtol=1e-12, atol=1e-13)


def test_vmap_of_step_is_the_batch(model: sim.Model) -> None:
    tensors = [t.detach() for t in inputs(model)]
    mapped = torch.func.vmap(lambda q, v, a, u: bridge.step(model, q, v, a, u, 2))(*tensors)
    for found, expected in zip(mapped, step(model, tensors, 2), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    shared = torch.func.vmap(lambda u: step(model, (*(t[0] for t in tensors[:3]), u)))(tensors[3])
    expected = step(model, (*(t[:1].expand(WORLDS, -1) for t in tensors[:3]), tensors[3]))
    torch.testing.assert_close(shared.qvel, expected.qvel, rtol=0, atol=0)


def test_jacrev_of_step_is_the_jacobian(model: sim.Model) -> None:
    qpos, qvel, act, ctrl = (t.detach()[0] for t in inputs(model))
    by_ctrl = torch.func.jacrev(lambda u: bridge.step(model, qpos, qvel, act, u).qvel)(ctrl)
    B = sim.step_jacobian(model, sim.State(qpos.numpy(), qvel.numpy(), act.numpy()), ctrl.numpy()).B
    np.testing.assert_allclose(by_ctrl.numpy(), B[model.nv : 2 * model.nv], rtol=1e-12, atol=1e-15)


def test_single_precision_in_and_out(model: sim.Model) -> None:
    doubles = inputs(model)
    singles = [t.detach().float().requires_grad_() for t in doubles]
    found, expected = step(model, singles), step(model, doubles)
    assert all(t.dtype == torch.float32 for t in found)
    torch.testing.assert_close(found.qvel, expected.qvel.float(), rtol=1e-4, atol=1e-4)
    gradients = torch.autograd.grad(found.qvel.sum(), singles)
    assert all(g.dtype == torch.float32 for g in gradients)
    for found_gradient, gradient in zip(gradients, torch.autograd.grad(expected.qvel.sum(), doubles), strict=True):
        torch.testing.assert_close(found_gradient, gradient.float(), rtol=1e-3, atol=1e-3)
    assert bridge.kinematics(model, singles[0]).site_xpos.dtype == torch.float32


def test_second_derivatives_are_refused_not_zero(model: sim.Model) -> None:
    tensors = inputs(model)
    gradient = torch.autograd.grad(step(model, tensors).qvel.square().sum(), tensors[3], create_graph=True)[0]
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        gradient.sum().backward()
    qpos = tensors[0]
    gradient = torch.autograd.grad(bridge.kinematics(model, qpos).xpos.square().sum(), qpos, create_graph=True)[0]
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        gradient.sum().backward()


def test_no_graph_is_kept_where_no_gradient_is_asked_for(model: sim.Model) -> None:
    tensors = inputs(model)
    with torch.no_grad():
        assert not step(model, tensors).qpos.requires_grad
    assert not step(model, (t.detach() for t in tensors)).qpos.requires_grad


def test_wrong_values_are_named(model: sim.Model) -> None:
    qpos, qvel, act, ctrl = (t.detach() for t in inputs(model))
    ctrl[1, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        bridge.step(model, qpos, qvel, act, ctrl)
    with pytest.raises(ValueError, match="qvel has shape"):
        bridge.step(model, qpos, qvel[:, :-1], act, ctrl.nan_to_num())

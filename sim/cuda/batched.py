"""The public functions of `sim` for tensors on a GPU: shapes are checked, numbers are not, and batch axes flattened.

What is given on another device, or in numpy's arrays, is copied; results stay on the GPU, in float64.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..model.arguments import at_least_one
from ..model.inputs import Inputs, is_per_control
from ..model.model import Model, State
from ..models import Models, one_of
from ..trajectory import RolloutGradient, Trajectory, by_parameters
from . import worlds
from .worlds import InputTensors, Path, PathGradient, States

_INPUTS = Inputs._fields


class _Given(NamedTuple):
    """Arguments of a call, batch axes flattened; `inputs` as given."""

    batch: tuple[int, ...]
    state: States
    ctrl: Tensor  # (worlds, T, nu)
    inputs: Inputs
    rows: InputTensors


def rollout(
    models: Model | Models, state: State, ctrls: Any, n_steps: int, interval: int, inputs: Inputs, device: torch.device
) -> Trajectory:
    """`sim.rollout`; poses in `inputs` are those that each control brings."""
    repeat, interval = at_least_one("n_steps", n_steps), at_least_one("checkpoint_interval", interval)
    given = _given(one_of(models), state, ctrls, inputs, device)
    path, unconverged = worlds.simulate(models, given.state, given.ctrl, given.rows, repeat, interval)
    arrays: Any = (path.qpos, path.qvel, path.act, given.ctrl, path.warmstart, unconverged)
    qpos, qvel, act, ctrl, warm, stopped = (x.reshape(*given.batch, *x.shape[1:]) for x in arrays)
    kept = warm if path.warmstart.shape[1] > 0 else None
    return Trajectory(qpos, qvel, act, ctrl, repeat, interval, kept, *given.inputs, stopped)


def rollout_vjp(
    models: Model | Models, trajectory: Trajectory, cotangents: Any, params: bool, device: torch.device
) -> RolloutGradient:
    """`sim.rollout_vjp` of a trajectory of tensors."""
    model = one_of(models)
    start = State(trajectory.qpos[..., 0, :], trajectory.qvel[..., 0, :], trajectory.act[..., 0, :])
    given = _given(model, start, trajectory.ctrl, trajectory.inputs, device)
    kept = trajectory.qpos.shape[-2]
    nx = 2 * model.nv + model.na
    seeds = _tensor("cotangents", cotangents, (*given.batch, kept, nx), device).reshape(-1, kept, nx)
    return _gradient(models, _path(model, trajectory, given), seeds, params, given)


def step(
    models: Model | Models, state: State, ctrl: Any, n_steps: int, inputs: Inputs, device: torch.device
) -> tuple[State, Tensor]:
    """`sim.counted_step`."""
    held = _one_control(one_of(models), ctrl, device)
    path: Any = rollout(models, state, held, n_steps, 1, inputs, device)
    after = path.qpos[..., 1, :], path.qvel[..., 1, :], path.act[..., 1, :]
    return State(*after, *state[3:]), path.unconverged[..., 0]


def step_vjp(
    models: Model | Models, state: State, ctrl: Any, cotangent: Any, n_steps: int, params: bool, inputs: Inputs,
    device: torch.device,
) -> RolloutGradient:  # fmt: skip
    """`sim.step_vjp`, as of a rollout under one control."""
    model, repeat = one_of(models), at_least_one("n_steps", n_steps)
    given = _given(model, state, _one_control(model, ctrl, device), inputs, device)
    nx = 2 * model.nv + model.na
    seed = _tensor("cotangent", cotangent, (*given.batch, nx), device).reshape(-1, 1, nx)
    # The end is not computed: its place repeats the start
    qpos, qvel, act = (x.unsqueeze(1).repeat(1, 2, 1) for x in given.state)
    path = Path(qpos, qvel, act, qvel.new_empty((len(qvel), 0, model.nv)), given.ctrl, given.rows, repeat, 1)
    return _gradient(models, path, torch.cat([torch.zeros_like(seed), seed], 1), params, given)


def linearize(
    models: Model | Models, state: State, ctrl: Any, n_steps: int, by_state: bool, inputs: Inputs, device: torch.device
) -> tuple[Any, ...]:
    """The fields of `sim.Linearization`."""
    model, repeat = one_of(models), at_least_one("n_steps", n_steps)
    given = _given(model, state, _one_control(model, ctrl, device), inputs, device)
    found = worlds.linearize(models, given.state, given.ctrl[:, 0], given.rows, repeat, by_state)
    arrays: Any = (*found.state, found.A, found.B, found.unconverged)
    qpos, qvel, act, a, b, unconverged = (x.reshape(*given.batch, *x.shape[1:]) for x in arrays)
    return State(qpos, qvel, act, *state[3:]), a if by_state else None, b, unconverged


def _path(model: Model, trajectory: Trajectory, given: _Given) -> Path:
    """The trajectory with batch axes flattened."""
    count, device = math.prod(given.batch), given.ctrl.device
    kept: Any = trajectory[:3]
    states = [_tensor("trajectory", x, tuple(x.shape), device).reshape(count, *x.shape[-2:]) for x in kept]
    warm: Any = trajectory.warmstart
    warm = states[1].new_empty((count, 0, model.nv)) if warm is None else warm.reshape(count, *warm.shape[-2:])
    settings = trajectory.n_steps, trajectory.checkpoint_interval
    return Path(states[0], states[1], states[2], warm, given.ctrl, given.rows, *settings)


def _gradient(models: Model | Models, path: Path, seeds: Tensor, params: bool, given: _Given) -> RolloutGradient:
    found = worlds.pull_back(models, path, seeds, params)
    batch, model = given.batch, one_of(models)
    state0: Any = found.state0.reshape(*batch, found.state0.shape[1])
    ctrls: Any = found.ctrl.reshape(*batch, *found.ctrl.shape[1:])
    by_params = _params(models, found, batch)
    return RolloutGradient(state0, ctrls, by_params, *_input_gradients(model, given, found.inputs))


def _params(models: Model | Models, found: PathGradient, batch: tuple[int, ...]) -> Any:
    """Gradients by MuJoCo's fields, which are made of the simulator's own on the CPU."""
    if found.params is None:
        return None
    device = found.state0.device
    named = by_parameters(models, {name: value.cpu().numpy() for name, value in found.params.items()})
    return {k: torch.from_numpy(v).to(device).reshape((*batch, *v.shape[1:])) for k, v in named.items()}


def _input_gradients(model: Model, given: _Given, found: InputTensors) -> list[Any]:
    """In the axes of what they belong to; forces that were not given have None."""
    result: list[Any] = []
    entries = (model.nmocap, 3), (model.nmocap, 3), (model.nv,), (model.nbody, 6)
    own = (model.nmocap, 3), (model.nmocap, 4), (model.nv,), (model.nbody, 6)
    for name, value, entry, given_entry in zip(_INPUTS, found, entries, own, strict=True):
        original: Any = getattr(given.inputs, name)
        if original is None and not name.startswith("mocap"):
            result.append(None)
            continue
        many = original is not None and is_per_control(original, given_entry, given.batch)
        steps = (value.shape[1],) if many else ()
        result.append(value.reshape(*given.batch, *steps, *entry))
    return result


def _one_control(model: Model, ctrl: Any, device: torch.device) -> Tensor:
    given = torch.as_tensor(ctrl, dtype=torch.float64, device=device)
    return _tensor("ctrl", given, (*given.shape[:-1], model.nu), device).unsqueeze(-2)


def _given(model: Model, state: State, ctrls: Any, inputs: Inputs, device: torch.device) -> _Given:
    """Checked arguments; the state's poses stand in for those that `inputs` has not."""
    controls = torch.as_tensor(ctrls, dtype=torch.float64, device=device)
    if controls.ndim < 2 or controls.shape[-1] != model.nu:
        raise ValueError(f"ctrls has shape {tuple(controls.shape)}, expected (..., T, {model.nu})")
    batch, steps = tuple(controls.shape[:-2]), controls.shape[-2]
    count, sizes = math.prod(batch), (model.nq, model.nv, model.na)
    names = "qpos", "qvel", "act"
    qpos, qvel, act = [
        _tensor(f"state.{name}", x, (*batch, n), device, (n,)).expand(*batch, n).reshape(count, n)
        for name, x, n in zip(names, state[:3], sizes, strict=True)
    ]
    entries = (model.nmocap, 3), (model.nmocap, 4), (model.nv,), (model.nbody, 6)
    own = (*state[3:], None, None)
    kept: list[Any] = []
    rows: list[Tensor | None] = []
    for name, entry, x, standing in zip(_INPUTS, entries, inputs, own, strict=True):
        value = standing if x is None else x
        if value is None or (name.startswith("mocap") and model.nmocap == 0):
            kept.append(None)
            rows.append(None)
            continue
        tensor = torch.as_tensor(value, dtype=torch.float64, device=device)
        if tuple(tensor.shape) == entry and batch:
            tensor = tensor.expand(*batch, *entry)
        if tuple(tensor.shape) not in ((*batch, *entry), (*batch, steps, *entry)):
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {(*batch, *entry)}")
        kept.append(tensor)
        rows.append(tensor.reshape(count, -1 if tensor.numel() else 1, *entry))
    return _Given(
        batch, States(qpos, qvel, act), controls.reshape(count, steps, model.nu), Inputs(*kept),
        worlds.input_tensors(model, count, controls, *rows),
    )  # fmt: skip


def _tensor(
    name: str, value: Any, shape: tuple[int, ...], device: torch.device, also: tuple[int, ...] | None = None
) -> Tensor:
    """`value` on the device in float64; ValueError if it has another shape than `shape` or `also`."""
    if not isinstance(value, Tensor | np.ndarray | list | tuple | float | int):
        raise TypeError(f"{name}: expected numbers, got {type(value).__name__}")
    tensor = torch.as_tensor(value, dtype=torch.float64, device=device)
    if tuple(tensor.shape) not in (shape, also):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")
    return tensor

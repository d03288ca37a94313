"""Rollouts and their derivatives on tensors with one axis of worlds, where these tensors are.

Tensors are float64. Nothing here checks numbers, or waits for the GPU: what is not finite stays so.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..model.inputs import InputAdjoints, InputRows
from ..model.model import Model, tangent_size
from ..models import Models, one_of
from ..trajectory import COLLECTED
from .arguments import AdjointArrays, ForceAdjointArrays, ForceArrays, JacobianArrays, RolloutArrays
from .launch import Room, launch
from .programs import programs


class States(NamedTuple):
    """One state of each world."""

    qpos: Tensor  # (worlds, nq)
    qvel: Tensor  # (worlds, nv)
    act: Tensor  # (worlds, na)


class InputTensors(NamedTuple):
    """What acts besides the controls, (worlds, rows, ...): one row for each control, one that is held, or none."""

    mocap_pos: Tensor  # (worlds, rows, nmocap, 3)
    mocap_quat: Tensor  # (worlds, rows, nmocap, 4); as gradient a tangent (..., 3)
    qfrc_applied: Tensor  # (worlds, rows, nv)
    xfrc_applied: Tensor  # (worlds, rows, nbody, 6)


class Path(NamedTuple):
    """Checkpoints of a rollout, and what its way back needs."""

    qpos: Tensor  # (worlds, K + 1, nq)
    qvel: Tensor  # (worlds, K + 1, nv)
    act: Tensor  # (worlds, K + 1, na)
    warmstart: Tensor  # (worlds, K, nv), or (worlds, 0, nv) where it does not matter
    ctrl: Tensor  # (worlds, T, nu)
    inputs: InputTensors
    n_steps: int
    interval: int


class PathGradient(NamedTuple):
    """Gradient of a sum of checkpoints times cotangents."""

    state0: Tensor  # (worlds, nx), tangent
    ctrl: Tensor  # (worlds, T, nu)
    inputs: InputTensors
    params: dict[str, Tensor] | None  # the simulator's own fields, (worlds, ...)


def input_tensors(
    model: Model, worlds: int, like: Tensor, mocap_pos: Tensor | None = None, mocap_quat: Tensor | None = None,
    qfrc_applied: Tensor | None = None, xfrc_applied: Tensor | None = None,
) -> InputTensors:  # fmt: skip
    """Those that are given; the mocap poses of the model, and no forces, where there are none."""
    if model.nmocap > 0:
        own = [torch.from_numpy(pose).to(like.device).expand(worlds, 1, *pose.shape) for pose in model.mocap_poses]
        mocap_pos, mocap_quat = (
            pose if given is None else given for given, pose in zip((mocap_pos, mocap_quat), own, strict=True)
        )
    entries = (model.nmocap, 3), (model.nmocap, 4), (model.nv,), (model.nbody, 6)
    given = mocap_pos, mocap_quat, qfrc_applied, xfrc_applied
    rows = (
        like.new_empty((worlds, 0, *entry)) if x is None else x.contiguous()
        for x, entry in zip(given, entries, strict=True)
    )
    return InputTensors(*rows)


def simulate(
    models: Model | Models, start: States, ctrl: Tensor, inputs: InputTensors, n_steps: int = 1, interval: int = 1
) -> tuple[Path, Tensor]:
    """From `start` under ctrl (worlds, T, nu): the path, and `Trajectory.unconverged` (worlds, T) int32."""
    model, (worlds, steps, _) = one_of(models), ctrl.shape
    kept = math.ceil(steps / interval)
    paths = []
    for value in start:
        path = value.new_empty((worlds, kept + 1, value.shape[-1]))
        path[:, 0] = value
        paths.append(path)
    warm = start.qpos.new_empty((worlds, kept if interval > 1 and model.nefcmax > 0 else 0, model.nv))
    unconverged = torch.empty((worlds, steps), dtype=torch.int32, device=ctrl.device)
    path = Path(paths[0], paths[1], paths[2], warm, ctrl.contiguous(), inputs, n_steps, interval)
    arrays = {**_states(path), "unconverged": unconverged}
    given = (RolloutArrays, arrays), (InputRows, inputs._asdict())
    launch(programs(model).rollout, models, given, (n_steps, interval))
    return path, unconverged


def pull_back(models: Model | Models, path: Path, cotangent: Tensor, params: bool = False) -> PathGradient:
    """The gradient of the sum of `cotangent` (worlds, K + 1, nx) times the checkpoints, as tangents."""
    model, (worlds, steps, _) = one_of(models), path.ctrl.shape
    state_adj = cotangent.new_empty((worlds, cotangent.shape[-1], 1))
    ctrl_adj = cotangent.new_empty((worlds, steps, model.nu, 1))
    input_adj = _zeros_like(path.inputs)
    found: dict[str, Tensor] | None = None
    program = programs(model).rollout_adj(params)
    after = None
    if params:
        shapes = {name: getattr(model, name).shape for name in COLLECTED}
        found = {name: cotangent.new_empty((worlds, *shape)) for name, shape in shapes.items()}

        def collect(first: int, last: int, lanes: Tensor) -> None:
            assert found is not None
            for name, value in found.items():
                value[first:last] = program.workspaces[1].view(lanes, f"{name}_adj")[: last - first]

        after = collect
    arrays = {**_states(path), "cotangent": cotangent.contiguous().unsqueeze(-1)}
    arrays |= {"state_adj": state_adj, "ctrl_adj": ctrl_adj}
    rooms = Room(path.n_steps), Room(min(path.interval, steps))
    structs = (AdjointArrays, arrays), (InputRows, path.inputs._asdict()), (InputAdjoints, _one_lane(input_adj))
    launch(program, models, (*rooms, *structs), after=after)
    return PathGradient(state_adj.squeeze(-1), ctrl_adj.squeeze(-1), input_adj, found)


class Linearized(NamedTuple):
    """The states after some steps, and their Jacobians."""

    state: States
    A: Tensor  # (worlds, nx, nx), or (worlds, nx, 0) if it was not asked for
    B: Tensor  # (worlds, nx, nu)
    unconverged: Tensor  # (worlds,) int32


def linearize(
    models: Model | Models, state: States, ctrl: Tensor, inputs: InputTensors, n_steps: int, by_state: bool
) -> Linearized:
    """`n_steps` steps and their Jacobians, without `by_state` that by the control alone."""
    model, worlds = one_of(models), len(ctrl)
    nx = tangent_size(model)
    after = States(*(torch.empty_like(x, memory_format=torch.contiguous_format) for x in state))
    a, b = ctrl.new_empty((worlds, nx, nx if by_state else 0)), ctrl.new_empty((worlds, nx, model.nu))
    unconverged = torch.empty(worlds, dtype=torch.int32, device=ctrl.device)
    arrays = {f"next_{name}": value for name, value in after._asdict().items()}
    arrays |= {"A": a, "B": b, "unconverged": unconverged, **_state(state, ctrl)}
    given = (JacobianArrays, arrays), (InputRows, inputs._asdict())
    launch(programs(model).jacobian(by_state), models, given, (n_steps,))
    return Linearized(after, a, b, unconverged)


def cfrc_ext(models: Model | Models, state: States, ctrl: Tensor, inputs: InputTensors) -> Tensor:
    """Forces of the contacts on the bodies (worlds, nbody, 6)."""
    model = one_of(models)
    out = ctrl.new_zeros((len(ctrl), model.nbody, 6))
    if model.nconmax > 0:
        given = (ForceArrays, {**_state(state, ctrl), "out": out}), (InputRows, inputs._asdict())
        launch(programs(model).cfrc_ext, models, given)
    return out


def cfrc_ext_adj(
    models: Model | Models, state: States, ctrl: Tensor, inputs: InputTensors, cotangent: Tensor
) -> tuple[Tensor, Tensor, InputTensors]:
    """From `cotangent` (worlds, nbody, 6) the gradients by state (worlds, nx), control (worlds, nu) and inputs."""
    model, worlds = one_of(models), len(ctrl)
    state_adj = ctrl.new_zeros((worlds, 2 * model.nv + model.na, 1))
    ctrl_adj, input_adj = ctrl.new_zeros((worlds, model.nu, 1)), _zeros_like(inputs)
    if model.nconmax > 0:
        arrays = {**_state(state, ctrl), "cotangent": cotangent.contiguous().unsqueeze(-1)}
        arrays |= {"state_adj": state_adj, "ctrl_adj": ctrl_adj}
        given = (ForceAdjointArrays, arrays), (InputRows, inputs._asdict()), (InputAdjoints, _one_lane(input_adj))
        launch(programs(model).cfrc_ext_adj, models, given)
    return state_adj.squeeze(-1), ctrl_adj.squeeze(-1), input_adj


def _states(path: Path) -> dict[str, Tensor]:
    return {name: getattr(path, name).contiguous() for name in (*States._fields, "warmstart", "ctrl")}


def _state(state: States, ctrl: Tensor) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in {**state._asdict(), "ctrl": ctrl}.items()}


def _zeros_like(inputs: InputTensors) -> InputTensors:
    pos, quat, qfrc, xfrc = (torch.zeros_like(x) for x in inputs)
    return InputTensors(pos, quat[..., :3].contiguous(), qfrc, xfrc)


def _one_lane(inputs: InputTensors) -> dict[str, Tensor]:
    return {name: value.unsqueeze(-1) for name, value in inputs._asdict().items()}

"""What acts on a mechanism besides its controls: the poses of mocap bodies, and applied forces.

Each is held, or given anew for each of T controls, which its axes tell: the latter have one of T
after the batch axes. Kernels take the arrays with one axis of worlds and one of rows: T of them,
one that is held, or none where there is no such input.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..kernels.record import Floats, Struct, floats, kept_with
from .arguments import floats_of, for_kernel
from .model import Model, State


class Inputs(NamedTuple):
    """As public functions take them; None: no such force, or the poses that the model has."""

    mocap_pos: Floats | None = None  # (..., nmocap, 3) or (..., T, nmocap, 3) [m]
    mocap_quat: Floats | None = None  # (..., nmocap, 4) or (..., T, nmocap, 4)
    qfrc_applied: Floats | None = None  # (..., nv) or (..., T, nv) [N or N m]
    xfrc_applied: Floats | None = None  # (..., nbody, 6) or (..., T, nbody, 6): force [N], then torque [N m]

    def at_control(self, model: Model, batch: tuple[int, ...], t: int) -> "Inputs":
        """What holds during control `t`; `batch` are the batch axes."""
        found = []
        for value, entry in zip(self, _entries(model), strict=True):
            if value is not None and is_per_control(value, entry, batch):
                value = np.take(value, t, axis=len(batch))
            found.append(value)
        return Inputs(*found)


class InputRows(Struct):
    """The same for kernels."""

    mocap_pos: Floats = floats("nworld", "nrow", "nmocap", 3)
    mocap_quat: Floats = floats("nworld", "nrow", "nmocap", 4)
    qfrc_applied: Floats = floats("nworld", "nrow", "nv")
    xfrc_applied: Floats = floats("nworld", "nrow", "nbody", 6)


class InputAdjoints(Struct):
    """Their gradients, summed over what a row holds for; quaternions have tangent vectors."""

    mocap_pos: Floats = floats("nworld", "nrow", "nmocap", 3, "nlane")
    mocap_quat: Floats = floats("nworld", "nrow", "nmocap", 3, "nlane")
    qfrc_applied: Floats = floats("nworld", "nrow", "nv", "nlane")
    xfrc_applied: Floats = floats("nworld", "nrow", "nbody", 6, "nlane")


def _entries(model: Model) -> tuple[tuple[int, ...], ...]:
    """Shapes of one row of the fields of `Inputs`."""
    return (model.nmocap, 3), (model.nmocap, 4), (model.nv,), (model.nbody, 6)


def input_of(name: str, value: Any, entry: tuple[int, ...], batch: tuple[int, ...], steps: int | None) -> Floats:
    """`value` as an array (*batch, *entry), or (*batch, steps, *entry) where there are steps; ValueError otherwise."""
    array = floats_of(name, value, entry[-1])
    shapes = [(*batch, *entry)] + ([] if steps is None else [(*batch, steps, *entry)])
    if array.shape not in shapes:
        raise ValueError(f"{name} has shape {array.shape}, expected {' or '.join(map(str, shapes))}")
    return array


def poses_of(name: str, value: Any, entry: tuple[int, ...], batch: tuple[int, ...], steps: int) -> Floats:
    """`value` as an array (*batch, steps, *entry); ValueError otherwise."""
    array, shape = floats_of(name, value, entry[-1]), (*batch, steps, *entry)
    if array.shape != shape:
        raise ValueError(
            f"{name} has shape {array.shape}, expected {shape}, a pose for each control (held: in the state)"
        )
    return array


def checked_inputs(
    model: Model, state: State, batch: tuple[int, ...], qfrc_applied: Any, xfrc_applied: Any, steps: int | None = None
) -> Inputs:
    """The poses of a checked state and the forces, for controls with the batch axes `batch`."""
    pos, quat = state.mocap_pos, state.mocap_quat
    if pos is not None and quat is not None and pos.shape[:-2] != batch:
        pos, quat = np.broadcast_to(pos, (*batch, *pos.shape[-2:])), np.broadcast_to(quat, (*batch, *quat.shape[-2:]))
    if qfrc_applied is not None:
        qfrc_applied = input_of("qfrc_applied", qfrc_applied, (model.nv,), batch, steps)
    if xfrc_applied is not None:
        xfrc_applied = input_of("xfrc_applied", xfrc_applied, (model.nbody, 6), batch, steps)
    return Inputs(pos, quat, qfrc_applied, xfrc_applied)


def input_rows(model: Model, inputs: Inputs, batch: tuple[int, ...]) -> InputRows:
    """`inputs` with batch axes `batch`, for kernels."""
    if _are_none(model, inputs):
        return kept_with(model, "no inputs", lambda: _rows_of(model, Inputs(), (0,)))
    return _rows_of(model, inputs, batch)


def _are_none(model: Model, inputs: Inputs) -> bool:
    """Whether nothing acts besides the controls, the usual case, which is to cost next to nothing."""
    return model.nmocap == 0 and inputs.qfrc_applied is None and inputs.xfrc_applied is None


def _rows_of(model: Model, inputs: Inputs, batch: tuple[int, ...]) -> InputRows:
    worlds, rows = math.prod(batch), {}
    own = model.mocap_poses if model.nmocap > 0 else (None, None)
    for (name, value), entry, given in zip(inputs._asdict().items(), _entries(model), (*own, None, None), strict=True):
        if value is None and given is not None:
            value = np.broadcast_to(given, (*batch, *entry))
        if value is None or (name.startswith("mocap") and model.nmocap == 0):
            rows[name] = np.empty((worlds, 0, *entry))
        else:
            count = value.shape[len(batch)] if is_per_control(value, entry, batch) else 1
            rows[name] = for_kernel(value.reshape(worlds, count, *entry))
    return InputRows(**rows)


def is_per_control(value: Floats, entry: tuple[int, ...], batch: tuple[int, ...]) -> bool:
    """Whether an input has an axis of controls."""
    return value.ndim > len(batch) + len(entry)


def input_adjoints(model: Model, inputs: Inputs, rows: InputRows, lanes: int) -> InputAdjoints:
    """Zeros for the gradients of `inputs`, whose `input_rows` are given."""
    if _are_none(model, inputs):
        return kept_with(model, ("no input adjoints", lanes), lambda: _zero_adjoints(rows, lanes))
    return _zero_adjoints(rows, lanes)


def _zero_adjoints(rows: InputRows, lanes: int) -> InputAdjoints:
    shapes = {name: getattr(rows, name).shape for name in rows.fields}
    shapes["mocap_quat"] = (*shapes["mocap_quat"][:-1], 3)
    return InputAdjoints(**{name: np.zeros((*shape, lanes)) for name, shape in shapes.items()})


def input_sums(model: Model, inputs: Inputs, batch: tuple[int, ...]) -> Inputs:
    """Zeros of the shapes of the gradients of `inputs`."""
    return input_gradients(model, inputs, _zero_adjoints(input_rows(model, inputs, batch), 1), batch)


def input_gradients(model: Model, inputs: Inputs, adjoints: InputAdjoints, batch: tuple[int, ...]) -> Inputs:
    """The gradients of lane 0 in the axes of what they belong to; forces that were not given have None."""
    if _are_none(model, inputs):
        none = np.empty((*batch, 0, 3))
        return Inputs(none, none)
    found = []
    for (name, value), entry in zip(inputs._asdict().items(), _entries(model), strict=True):
        if name.startswith("mocap"):
            entry = (model.nmocap, 3)
        elif value is None:
            found.append(None)
            continue
        array = getattr(adjoints, name)[..., 0]
        steps = array.shape[1:2] if value is not None and is_per_control(value, entry, batch) else ()
        found.append(array.reshape(*batch, *steps, *entry) if array.size else np.zeros((*batch, *steps, *entry)))
    return Inputs(*found)

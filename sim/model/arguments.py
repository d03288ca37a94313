"""Arguments of the public functions: shapes, batch axes, finiteness. One line per mistake."""

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.record import kept_with
from .model import Model, State

Floats = NDArray[np.float64]
_FEW = 32  # numbers that Python adds up sooner than numpy starts


def floats_of(name: str, value: Any, size: int, batch: tuple[int, ...] | None = None) -> Floats:
    """`value` as a float64 array whose last axis has `size` entries; ValueError otherwise."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected numbers, got {type(value).__name__}") from error
    if array.ndim == 0 or array.shape[-1] != size:
        raise ValueError(f"{name} has shape {array.shape}, expected (..., {size})")
    if batch is not None and array.shape[:-1] != batch:
        raise ValueError(f"{name} has shape {array.shape}, expected {(*batch, size)}, batch axes as in qpos")
    # A sum is quicker to make than a mask; where it overflows the mask decides.
    total = sum(array.ravel().tolist()) if array.size < _FEW else np.vdot(array, array)
    if not math.isfinite(total) and not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0].tolist()
        raise ValueError(f"{name} is not finite at index {where}")
    return array


def checked_state(model: Model, state: State) -> State:
    """The state as arrays of equal batch shape; ValueError names the field that does not fit."""
    if not hasattr(state, "qpos"):
        raise TypeError(f"state: expected a sim.State, got {type(state).__name__}")
    qpos = floats_of("state.qpos", state.qpos, model.nq)
    batch = qpos.shape[:-1]
    return State(
        qpos,
        floats_of("state.qvel", state.qvel, model.nv, batch),
        floats_of("state.act", state.act, model.na, batch),
        *_checked_poses(model, state, batch),
    )


def _checked_poses(model: Model, state: State, batch: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Poses of the mocap bodies with all batch axes: those of the state, or of the model."""
    n, pos, quat = model.nmocap, getattr(state, "mocap_pos", None), getattr(state, "mocap_quat", None)
    if n == 0:
        # the usual case, which is to cost next to nothing: the same arrays always, as they hold no numbers
        none = no_poses(model, batch)
        if _is_empty(pos, none[0]) and _is_empty(quat, none[1]):
            return none
    own_pos, own_quat = model.mocap_poses
    return (
        _checked_pose("state.mocap_pos", own_pos if pos is None else pos, (n, 3), batch),
        _checked_pose("state.mocap_quat", own_quat if quat is None else quat, (n, 4), batch),
    )


def no_poses(model: Model, batch: tuple[int, ...]) -> tuple[Floats, Floats]:
    return kept_with(model, ("no poses", batch), lambda: (np.empty((*batch, 0, 3)), np.empty((*batch, 0, 4))))


def _is_empty(value: Any, none: Floats) -> bool:
    return value is None or value is none or np.size(value) == 0


def _checked_pose(name: str, value: Any, entry: tuple[int, int], batch: tuple[int, ...]) -> Floats:
    array = floats_of(name, value, entry[1])
    if array.shape == entry:
        return np.broadcast_to(array, (*batch, *entry))
    if array.shape != (*batch, *entry):
        raise ValueError(f"{name} has shape {array.shape}, expected {(*batch, *entry)}, batch axes as in qpos or none")
    return array


def for_kernel(array: Floats) -> Floats:
    """The array, or a copy, as the one type that kernels are compiled for: contiguous and writeable."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned and flags.writeable and array.dtype == np.float64:
        return array
    return np.require(array, np.float64, ["C", "A", "W"])


def at_least_one(name: str, value: int) -> int:
    """`value` as an int; TypeError if it is none, ValueError if it is less than 1."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, need an integer") from None
    if count < 1:
        raise ValueError(f"{name} is {count}, need at least 1")
    return count

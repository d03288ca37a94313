"""What GPU kernels work on: arrays of all worlds, as structs whose tables lie in the device's memory.

The arrays belong to torch. A kernel gets the address of a table with the address and the extents of each
(`kernels/record.py`), so that no launch depends on how many there are. World is the first axis of all.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..kernels.record import Floats, Ints, Struct, addresses, floats, ints

_DTYPES = {np.float64: torch.float64, np.int32: torch.int32, np.int64: torch.int64}


class Worlds(Struct):
    """What every kernel reads."""

    models: Ints = addresses("nmodel")  # of each world's model; none where one serves all


class RolloutArrays(Worlds):
    """Of `rollout_worlds`."""

    qpos: Floats = floats("nworld", "nstate", "nq")
    qvel: Floats = floats("nworld", "nstate", "nv")
    act: Floats = floats("nworld", "nstate", "na")
    warmstart: Floats = floats("nworld", "nrow", "nv")
    ctrl: Floats = floats("nworld", "ncontrol", "nu")
    unconverged: Ints = ints("nworld", "ncontrol")


class AdjointArrays(Worlds):
    """Of `rollout_adj_worlds`."""

    qpos: Floats = floats("nworld", "nstate", "nq")
    qvel: Floats = floats("nworld", "nstate", "nv")
    act: Floats = floats("nworld", "nstate", "na")
    warmstart: Floats = floats("nworld", "nrow", "nv")
    ctrl: Floats = floats("nworld", "ncontrol", "nu")
    cotangent: Floats = floats("nworld", "nstate", "nx", "nlane")
    state_adj: Floats = floats("nworld", "nx", "nlane")
    ctrl_adj: Floats = floats("nworld", "ncontrol", "nu", "nlane")


class JacobianArrays(Worlds):
    """Of `jacobian_worlds`."""

    qpos: Floats = floats("nworld", "nq")
    qvel: Floats = floats("nworld", "nv")
    act: Floats = floats("nworld", "na")
    ctrl: Floats = floats("nworld", "nu")
    next_qpos: Floats = floats("nworld", "nq")
    next_qvel: Floats = floats("nworld", "nv")
    next_act: Floats = floats("nworld", "na")
    A: Floats = floats("nworld", "nx", "ndirection")  # nx, or none
    B: Floats = floats("nworld", "nx", "nu")
    unconverged: Ints = ints("nworld")


class ForceArrays(Worlds):
    """Of `cfrc_ext_worlds`."""

    qpos: Floats = floats("nworld", "nq")
    qvel: Floats = floats("nworld", "nv")
    act: Floats = floats("nworld", "na")
    ctrl: Floats = floats("nworld", "nu")
    out: Floats = floats("nworld", "nbody", 6)


class ForceAdjointArrays(Worlds):
    """Of `cfrc_ext_adj_worlds`."""

    qpos: Floats = floats("nworld", "nq")
    qvel: Floats = floats("nworld", "nv")
    act: Floats = floats("nworld", "na")
    ctrl: Floats = floats("nworld", "nu")
    cotangent: Floats = floats("nworld", "nbody", 6, "nlane")
    state_adj: Floats = floats("nworld", "nx", "nlane")
    ctrl_adj: Floats = floats("nworld", "nu", "nlane")


def table(struct: type[Struct], tensors: Mapping[str, Tensor]) -> list[int]:
    """The words of the table of a struct whose arrays are tensors; AssertionError where one is of another kind."""
    words = []
    for name, field in struct.fields.items():
        tensor = tensors[name]
        assert tensor.is_contiguous() and tensor.dtype == _DTYPES[field.dtype] and tensor.ndim == len(field.shape), name
        words += [tensor.data_ptr(), *tensor.shape]
    return words


def tables_by_world(tensors: Sequence[Tensor]) -> Tensor:
    """A table for each world (worlds, words) int64, of its parts of these tensors (worlds, ...)."""
    numbers = torch.arange(len(tensors[0]), device=tensors[0].device)
    words = []
    for tensor in tensors:
        assert tensor.is_contiguous()
        words.append(tensor.data_ptr() + math.prod(tensor.shape[1:]) * tensor.element_size() * numbers)
        words += [torch.full_like(numbers, extent) for extent in tensor.shape[1:]]
    return torch.stack(words, dim=1)

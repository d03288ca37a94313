"""Launches of programs: workspaces for the worlds, in chunks where memory does not hold all, and the widths of warps.

Workspaces come from torch's allocator for the time of a launch, without a look at what is in them: results do
not depend on it. Nothing here waits for the GPU.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..kernels.layout import WARP
from ..kernels.record import Struct, kept_with, type_of
from ..model.data import States
from ..model.model import Model
from ..models import Models, check_count, one_of
from . import build
from .arguments import table, tables_by_world
from .driver import GPU
from .programs import Program, programs

_THREADS = 32  # of a block: warps share nothing, and small blocks fill a multiprocessor best
_SCHEDULERS = 4  # of a multiprocessor, each of which wants a warp
_LEAST = 8  # worlds of a warp, fewer gain nothing
_SHARE = 0.8  # of the memory that is free, for workspaces
_ALIGNED = 256  # bytes, of tiles


class Room(NamedTuple):
    """Room for some states of each world, as adjoints need it."""

    states: int


def launch(
    program: Program,
    models: Model | Models,
    structs: Sequence[tuple[type[Struct], Mapping[str, Tensor]] | Room],
    numbers: Sequence[int] = (),
    after: Callable[[int, int, Tensor], None] | None = None,
) -> None:
    """Runs a program for all worlds, with the structs that follow model and workspaces in its arguments.

    `after` is called after each chunk of worlds with where it begins and ends and with its lanes as float64,
    which are zero before. RuntimeError where memory does not even hold one tile of worlds.
    """
    model, arrays = one_of(models), next(given for given in structs if not isinstance(given, Room))[1]
    worlds, device = len(arrays["qpos"]), arrays["qpos"].device
    check_count(models, worlds)
    if worlds == 0:
        return
    kernel = _loaded(program, device)
    rooms = [given.states for given in structs if isinstance(given, Room)]
    slots = _slots(program, model, rooms, worlds, device)
    spaces = [reserve(layout.blocks(slots), device) for layout in program.workspaces]
    if after is not None:
        spaces[1].zero_()
    tables, kept = _tables(models, structs, model, slots, device)
    for first in range(0, worlds, slots):
        last = min(first + slots, worlds)
        width = warp_width(last - first, GPU.processors(device))
        warps = math.ceil((last - first) / width)
        address = _model_block(model, device).data_ptr()
        arguments = [first, last, width, address, *map(_address, spaces), *tables, *numbers]
        GPU.launch(device, kernel, math.ceil(warps * WARP / _THREADS), _THREADS, arguments)
        if after is not None:
            lanes = spaces[1]
            after(first, last, lanes[_offset(lanes) :][: lanes.numel() - _ALIGNED].view(torch.float64))
            lanes.zero_()
    del kept  # may be handed out again: torch's allocator keeps to the order of the stream


def warp_width(worlds: int, processors: int) -> int:
    """How many worlds each warp has: as many as it can, but for too few warps to keep all schedulers busy."""
    width = WARP
    while width > _LEAST and math.ceil(worlds / width) < _SCHEDULERS * processors:
        width //= 2
    return width


def bytes_per_world(program: Program, model: Model, rooms: Sequence[int] = ()) -> int:
    """Memory that a world takes while the program runs."""
    words = sum(count * (model.nq + model.nv + model.na) + type_of(States).words for count in rooms)
    return program.nbytes + 8 * words


def _slots(program: Program, model: Model, rooms: Sequence[int], worlds: int, device: torch.device) -> int:
    """How many worlds run at once."""
    each, free = bytes_per_world(program, model, rooms), GPU.free_memory(device)
    fit = int(_SHARE * free) // each // WARP * WARP
    if fit == 0:
        raise RuntimeError(
            f"{program.name}: {WARP} worlds need {WARP * each >> 20} MiB of GPU memory, {free >> 20} are free"
        )
    return min(fit, worlds)


def _tables(
    models: Model | Models, structs: Sequence[tuple[type[Struct], Mapping[str, Tensor]] | Room], model: Model,
    slots: int, device: torch.device,
) -> tuple[list[int], list[Tensor]]:  # fmt: skip
    """Addresses of tables in the device's memory, in the order of `structs`, and what must live as long."""
    each = _addresses(models, device)
    words: list[int] = []
    places: list[int | Tensor] = []
    kept = [each]
    for given in structs:
        if isinstance(given, Room):
            sizes = (model.nq, model.nv, model.na)
            states = [torch.empty(slots, given.states, n, dtype=torch.float64, device=device) for n in sizes]
            by_world = tables_by_world(states)
            kept += [*states, by_world]
            places.append(by_world)
        else:
            struct, arrays = given
            places.append(len(words))
            words += table(struct, {"models": each, **arrays})
    found = torch.tensor(words, dtype=torch.int64).to(device, non_blocking=True)
    start = found.data_ptr()
    return [start + 8 * p if isinstance(p, int) else p.data_ptr() for p in places], [*kept, found]


_kernels: dict[tuple[object, ...], object] = {}  # loaded, by device and program


def _loaded(program: Program, device: torch.device) -> object:
    """The kernel on a device."""
    key = device, program.name, program.arguments
    if key not in _kernels:
        made = build.binary(program, GPU.capability(device))
        _kernels[key] = GPU.load(device, made.code, made.entry)
    return _kernels[key]


def reserve(count: int, device: torch.device) -> Tensor:
    """Memory for workspaces, as it comes."""
    return torch.empty(count + _ALIGNED, dtype=torch.uint8, device=device)


def _offset(memory: Tensor) -> int:
    return -memory.data_ptr() % _ALIGNED


def _address(memory: Tensor) -> int:
    return memory.data_ptr() + _offset(memory)


def _model_block(model: Model, device: torch.device) -> Tensor:
    """The model's numbers on a device, kept with it."""
    layout = programs(model).model_layout
    return kept_with(model, ("on a device", device), lambda: torch.from_numpy(layout.block(model)).to(device))


def _addresses(models: Model | Models, device: torch.device) -> Tensor:
    """Those of each world's model (worlds,) int64; none where one serves all."""
    each = () if isinstance(models, Model) else models.each
    return torch.tensor([_model_block(m, device).data_ptr() for m in each], dtype=torch.int64).to(device)

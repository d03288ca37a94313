"""Workspaces of the kernels, kept with their model: one `Data` and one `Lanes` for each thread that is busy with it."""

from collections.abc import Callable
from typing import Generic, TypeVar

from ..kernels.record import kept_with
from .data import Data, Lanes, Rates, States
from .model import Model

Kept = TypeVar("Kept")


class _Borrowed(Generic[Kept]):
    """One of the objects kept in `free`, or a new one, for the time of a `with` block."""

    __slots__ = "_free", "_kept"

    def __init__(self, free: list[Kept], make: Callable[[], Kept]) -> None:
        self._free = free
        self._kept = free.pop() if free else make()

    def __enter__(self) -> Kept:
        return self._kept

    def __exit__(self, *exception: object) -> None:
        self._free.append(self._kept)


def workspace(model: Model) -> _Borrowed[Data]:
    """A `Data` of the model for the current thread, kept for later calls."""
    return _Borrowed(kept_with(model, "free data", list), lambda: Data.for_model(model))


def adjoint_workspace(model: Model, nlane: int, with_params: bool = False) -> _Borrowed[Lanes]:
    """A `Lanes` of the model for the current thread, kept for later calls."""
    free: list[Lanes] = kept_with(model, ("free lanes", nlane, with_params), list)
    return _Borrowed(free, lambda: Lanes.for_model(model, nlane, with_params))


def rates_workspace(model: Model, ndirection: int) -> _Borrowed[Rates]:
    """A `Rates` of the model for the current thread, kept for later calls."""
    return _Borrowed(kept_with(model, ("free rates", ndirection), list), lambda: Rates.for_model(model, ndirection))


def states_between(model: Model, lanes: Lanes, use: str, count: int) -> States:
    """Room for `count` states, kept with `lanes`: `use` is "steps" of one control or "controls" of one block."""
    kept: dict[str, States] = kept_with(lanes, "states between", dict)
    if use not in kept or len(kept[use].qpos) != count:
        kept[use] = States.allocate({**model.sizes, "nstate": count})
    return kept[use]

"""The compiled functions that Python calls, bound for a model from the parts of its step."""

from functools import cache, cached_property
from typing import Any

from ..kernels.binding import Part, specialise
from ..kernels.record import kept_with
from ..model.model import Model
from .contact_force import CONTACT_FORCE, cfrc_ext_adj_worlds, cfrc_ext_worlds
from .jacobian import jacobian_worlds
from .parts import jacobian_parts_of, parts_of
from .worlds import forward_world, rollout_adj_worlds, rollout_worlds


class EntryPoints:
    """What a model runs, each function bound when it is first asked for."""

    def __init__(self, parts: tuple[Part, ...], jacobian_parts: tuple[Part, ...], noslip: bool, apart: bool) -> None:
        self._parts, self._jacobian_parts, self._noslip, self._apart = parts, jacobian_parts, noslip, apart

    def _bound(self, function: Any, *others: Part) -> Any:
        return specialise(function, (*self._parts, *others), self._apart)

    @cached_property
    def forward(self) -> Any:
        return self._bound(forward_world)

    @cached_property
    def rollout(self) -> Any:
        return self._bound(rollout_worlds)

    @cached_property
    def rollout_adj(self) -> Any:
        return self._bound(rollout_adj_worlds)

    @cached_property
    def jacobian(self) -> Any:
        return specialise(jacobian_worlds, self._jacobian_parts, self._apart)

    @cached_property
    def cfrc_ext(self) -> Any:
        return self._bound(cfrc_ext_worlds)

    @cached_property
    def cfrc_ext_adj(self) -> Any:
        if self._noslip:
            raise NotImplementedError(
                "noslip: cfrc_ext has no derivative after noslip sweeps; "
                "set noslip_iterations=0 (Model.replace(noslip_iterations=0)) to differentiate it"
            )
        return self._bound(cfrc_ext_adj_worlds, CONTACT_FORCE)


def entry_points(model: Model) -> EntryPoints:
    """The compiled functions for `model`; models of the same parts share them."""
    return kept_with(model, "entry points", lambda: _of_model(model, True))


def whole_entry_points(model: Model) -> EntryPoints:
    """The same without units, for GPUs and for what has a `Layout`: each function is compiled with all that it calls.

    See `specialise`.
    """
    return kept_with(model, "whole entry points", lambda: _of_model(model, False))


def _of_model(model: Model, apart: bool) -> EntryPoints:
    return _entry_points(parts_of(model), jacobian_parts_of(model), model.nnoslip > 0, apart)


@cache
def _entry_points(parts: tuple[Part, ...], jacobian_parts: tuple[Part, ...], noslip: bool, apart: bool) -> EntryPoints:
    return EntryPoints(parts, jacobian_parts, noslip, apart)

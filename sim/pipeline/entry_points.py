"""The compiled functions that Python calls, bound for a model from the parts of its step."""

from functools import cache, cached_property
from typing import Any

from ..kernels.binding import Part, specialise
from ..kernels.record import kept_with
from ..model.model import Model
from .contact_force import CONTACT_FORCE, cfrc_ext_adj_worlds, cfrc_ext_worlds
from .jacobian import jacobian_worlds
from .parts import parts_of
from .worlds import forward_world, rollout_adj_worlds, rollout_worlds


class EntryPoints:
    """What a model runs, each function bound when it is first asked for."""

    def __init__(self, parts: tuple[Part, ...], noslip: bool) -> None:
        self._parts, self._noslip = parts, noslip

    @cached_property
    def forward(self) -> Any:
        return specialise(forward_world, self._parts)

    @cached_property
    def rollout(self) -> Any:
        return specialise(rollout_worlds, self._parts)

    @cached_property
    def rollout_adj(self) -> Any:
        return specialise(rollout_adj_worlds, self._parts)

    @cached_property
    def jacobian(self) -> Any:
        return specialise(jacobian_worlds, self._parts)

    @cached_property
    def cfrc_ext(self) -> Any:
        return specialise(cfrc_ext_worlds, self._parts)

    @cached_property
    def cfrc_ext_adj(self) -> Any:
        if self._noslip:
            raise NotImplementedError(
                "noslip: cfrc_ext has no derivative after noslip sweeps; "
                "set noslip_iterations=0 (Model.replace(noslip_iterations=0)) to differentiate it"
            )
        return specialise(cfrc_ext_adj_worlds, (*self._parts, CONTACT_FORCE))


def entry_points(model: Model) -> EntryPoints:
    """The compiled functions for `model`; models of the same parts share them."""
    return kept_with(model, "entry points", lambda: _entry_points(parts_of(model), model.nnoslip > 0))


@cache
def _entry_points(parts: tuple[Part, ...], noslip: bool) -> EntryPoints:
    return EntryPoints(parts, noslip)

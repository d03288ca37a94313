"""What runs on a GPU: the loops over worlds of `sim/pipeline/`, each called for one world by one thread.

A launch is for the worlds in [first, last), `width` of them to each warp of 32 threads: of a small batch
more warps, of which the GPU has something to do while others wait, are worth more than full ones.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from numba import types

from ..kernels import layout
from ..kernels.binding import source_of
from ..kernels.layout import WARP, Layout
from ..kernels.record import Struct, kept_with, type_of
from ..kernels.vector import round_up
from ..model.data import Data, Lanes, Rates, States
from ..model.inputs import InputAdjoints, InputRows
from ..model.model import Model, tangent_size
from ..pipeline.entry_points import whole_entry_points
from .arguments import AdjointArrays, ForceAdjointArrays, ForceArrays, JacobianArrays, RolloutArrays
from .extra import numba_cuda

_world: Any = layout.world_of  # its first argument is Numba's own


class Program(NamedTuple):
    """A kernel for one kind of model."""

    name: str  # for people, and files
    arguments: tuple[Any, ...]  # Numba's types
    make: Callable[[], Any]  # the Python function; needs numba-cuda
    workspaces: tuple[Layout, ...]  # of `Data`, and where there are adjoints of `Lanes`, then maybe of `Rates`

    @property
    def nbytes(self) -> int:
        """Of a world's workspaces."""
        return sum(layout.nbytes for layout in self.workspaces)


class Programs:
    """Those of a model; models of one structure have the same."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.model_layout = Layout(Model, model.sizes, 1, model.sizes)
        self.data_layout = Layout(Data, model.sizes, WARP, {})
        self.entries = whole_entry_points(model)

    @cached_property
    def rollout(self) -> Program:
        run = self.entries.rollout

        def make() -> Any:
            grid: Any = numba_cuda().grid

            def rollout(
                first: int, last: int, width: int, m: Any, data: Any, a: Any, inputs: Any, n_steps: int, interval: int
            ) -> None:
                thread = grid(1)
                b = first + (thread >> 5) * width + (thread & 31)
                if (thread & 31) < width and b < last:
                    run(
                        b, b + 1, m, a.models, _world(data, b - first), a.qpos, a.qvel, a.act, a.warmstart, a.ctrl,
                        inputs, n_steps, interval, a.unconverged,
                    )  # fmt: skip

            return rollout

        return self._program(run, make, (RolloutArrays, InputRows), numbers=2)

    def rollout_adj(self, with_params: bool) -> Program:
        """With `with_params` the gradients by parameters are left in the fields of the lanes."""
        run, lanes = self.entries.rollout_adj, self._lanes(1, with_params)

        def make() -> Any:
            grid: Any = numba_cuda().grid

            def rollout_adj(
                first: int, last: int, width: int, m: Any, data: Any, lanes: Any, between: Any, block: Any, a: Any,
                inputs: Any, input_adj: Any,
            ) -> None:  # fmt: skip
                thread = grid(1)
                b = first + (thread >> 5) * width + (thread & 31)
                if (thread & 31) < width and b < last:
                    i = b - first
                    run(
                        b, b + 1, m, a.models, _world(data, i), _world(lanes, i), _world(between, i),
                        _world(block, i), a.qpos, a.qvel, a.act, a.warmstart, a.ctrl, inputs, a.cotangent,
                        a.state_adj, a.ctrl_adj, input_adj,
                    )  # fmt: skip

            return rollout_adj

        structs = (States, States, AdjointArrays, InputRows, InputAdjoints)
        return self._program(run, make, structs, lanes)

    def jacobian(self, by_state: bool) -> Program:
        """With `by_state` both Jacobians, else that by the control alone."""
        run, lanes = self.entries.jacobian, self._lanes(round_up(self.model.nv + self.model.na), False)
        sizes, scalars = Rates.extents(self.model, self.model.nu + (tangent_size(self.model) if by_state else 0))
        rates = Layout(Rates, sizes, WARP, scalars)

        def make() -> Any:
            grid: Any = numba_cuda().grid

            def jacobian(
                first: int, last: int, width: int, m: Any, data: Any, lanes: Any, rates: Any, a: Any, inputs: Any,
                n_steps: int,
            ) -> None:  # fmt: skip
                thread = grid(1)
                b = first + (thread >> 5) * width + (thread & 31)
                if (thread & 31) < width and b < last:
                    i = b - first
                    run(
                        b, b + 1, m, a.models, _world(data, i), _world(lanes, i), _world(rates, i),
                        a.qpos, a.qvel, a.act, a.ctrl, inputs, n_steps, a.next_qpos, a.next_qvel, a.next_act,
                        a.A, a.B, a.unconverged,
                    )  # fmt: skip

            return jacobian

        return self._program(run, make, (JacobianArrays, InputRows), lanes, rates, numbers=1)

    @cached_property
    def cfrc_ext(self) -> Program:
        run = self.entries.cfrc_ext

        def make() -> Any:
            grid: Any = numba_cuda().grid

            def cfrc_ext(first: int, last: int, width: int, m: Any, data: Any, a: Any, inputs: Any) -> None:
                thread = grid(1)
                b = first + (thread >> 5) * width + (thread & 31)
                if (thread & 31) < width and b < last:
                    run(b, b + 1, m, a.models, _world(data, b - first), a.qpos, a.qvel, a.act, a.ctrl, inputs, a.out)

            return cfrc_ext

        return self._program(run, make, (ForceArrays, InputRows))

    @cached_property
    def cfrc_ext_adj(self) -> Program:
        run, lanes = self.entries.cfrc_ext_adj, self._lanes(1, False)

        def make() -> Any:
            grid: Any = numba_cuda().grid

            def cfrc_ext_adj(
                first: int, last: int, width: int, m: Any, data: Any, lanes: Any, a: Any, inputs: Any, input_adj: Any
            ) -> None:
                thread = grid(1)
                b = first + (thread >> 5) * width + (thread & 31)
                if (thread & 31) < width and b < last:
                    i = b - first
                    run(
                        b, b + 1, m, a.models, _world(data, i), _world(lanes, i), a.qpos, a.qvel, a.act, a.ctrl,
                        inputs, a.cotangent, a.state_adj, a.ctrl_adj, input_adj,
                    )  # fmt: skip

            return cfrc_ext_adj

        return self._program(run, make, (ForceAdjointArrays, InputRows, InputAdjoints), lanes)

    def _lanes(self, nlane: int, with_params: bool) -> Layout:
        sizes, scalars = Lanes.extents(self.model, nlane, with_params)
        return Layout(Lanes, sizes, WARP, scalars)

    def _program(
        self, run: Any, make: Callable[[], Any], structs: tuple[type[Struct], ...], *adjoints: Layout, numbers: int = 0
    ) -> Program:
        spaces = self.data_layout, *adjoints
        given = [layout.numba_type for layout in (self.model_layout, *spaces)] + [type_of(s) for s in structs]
        kinds = (*(types.int64,) * 3, *given, *(types.int64,) * numbers)
        return Program(source_of(run).__name__, kinds, make, spaces)


def programs(model: Model) -> Programs:
    """The programs of a model, kept with it."""
    return kept_with(model, "programs", lambda: Programs(model))

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
from ..model.data import Data, Lanes, States
from ..model.inputs import InputAdjoints, InputRows
from ..model.model import Model
from ..pipeline.entry_points import entry_points
from .arguments import AdjointArrays, ForceAdjointArrays, ForceArrays, JacobianArrays, RolloutArrays
from .extra import numba_cuda

_world: Any = layout.world_of  # its first argument is Numba's own


class Program(NamedTuple):
    """A kernel for one kind of model."""

    name: str  # for people, and files
    arguments: tuple[Any, ...]  # Numba's types
    make: Callable[[], Any]  # the Python function; needs numba-cuda
    data: Layout
    lanes: Layout | None  # None: no adjoints


class Programs:
    """Those of a model; models of one structure have the same."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.model_layout = Layout(Model, model.sizes, 1, model.sizes)
        self.data_layout = Layout(Data, model.sizes, WARP, {})
        self.entries = entry_points(model)

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

    def jacobian(self, n_steps: int) -> Program:
        """Of one step by the shorter way, where the integrator has one."""
        short = n_steps == 1 and self.entries.step_jacobian is not None
        run: Any = self.entries.step_jacobian if short else self.entries.jacobian
        lanes = self._lanes(self.model.nv + self.model.na if short else 2 * self.model.nv + self.model.na, False)

        def make() -> Any:
            grid: Any = numba_cuda().grid

            def jacobian(
                first: int, last: int, width: int, m: Any, data: Any, lanes: Any, between: Any, a: Any, inputs: Any
            ) -> None:
                thread = grid(1)
                b = first + (thread >> 5) * width + (thread & 31)
                if (thread & 31) < width and b < last:
                    i = b - first
                    run(
                        b, b + 1, m, a.models, _world(data, i), _world(lanes, i), _world(between, i),
                        a.qpos, a.qvel, a.act, a.ctrl, inputs, a.A, a.B,
                    )  # fmt: skip

            return jacobian

        return self._program(run, make, (States, JacobianArrays, InputRows), lanes)

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
        self, run: Any, make: Callable[[], Any], structs: tuple[type[Struct], ...], lanes: Layout | None = None,
        numbers: int = 0,
    ) -> Program:  # fmt: skip
        spaces = [self.model_layout, self.data_layout] + ([] if lanes is None else [lanes])
        given = [layout.numba_type for layout in spaces] + [type_of(struct) for struct in structs]
        kinds = (*(types.int64,) * 3, *given, *(types.int64,) * numbers)
        return Program(source_of(run).__name__, kinds, make, self.data_layout, lanes)


def programs(model: Model) -> Programs:
    """The programs of a model, kept with it."""
    return kept_with(model, "programs", lambda: Programs(model))

"""Kernels on the CPU with the layouts of a GPU: worlds interleaved in tiles, as `sim/kernels/layout.py` says."""

from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

from gradgym import sim
from gradgym.sim.kernels import layout
from gradgym.sim.kernels.jit import FASTMATH
from gradgym.sim.kernels.layout import WARP, Layout
from gradgym.sim.model.data import Data, Lanes, States
from gradgym.sim.model.inputs import InputAdjoints, InputRows, Inputs, input_adjoints, input_rows
from gradgym.sim.model.model import Model, tangent_size
from gradgym.sim.pipeline.entry_points import whole_entry_points

Floats = NDArray[np.float64]
_world: Any = layout.world_of


class Tiles:
    """Workspaces of `worlds` worlds, filled with NaN and -1: nothing may depend on what was there."""

    def __init__(self, model: sim.Model, worlds: int, poisoned: bool = True) -> None:
        sizes, scalars = Lanes.extents(model, 1)
        self.model, self.worlds = model, worlds
        self.layouts = Layout(Model, model.sizes, 1, model.sizes), Layout(Data, model.sizes, WARP, {})
        self.lanes = Layout(Lanes, sizes, WARP, scalars)
        self.blocks = self.layouts[0].block(model)
        fill = 255 if poisoned else 0
        self._memory = [np.full(x.blocks(worlds) + 256, fill, np.uint8) for x in (self.layouts[1], self.lanes)]
        self._rollout, self._pull_back = _loops(model, *(x.numba_type for x in (*self.layouts, self.lanes)))
        self.addresses = [x.ctypes.data + -x.ctypes.data % 256 for x in self._memory]

    def rollout(self, state: sim.State, ctrls: Floats, n_steps: int) -> list[Floats]:
        """qpos, qvel and act (worlds, T + 1, n) by the kernel of `sim.rollout`."""
        paths = []
        for value in state[:3]:
            path = np.zeros((self.worlds, ctrls.shape[1] + 1, value.shape[-1]))
            path[:, 0] = value
            paths.append(path)
        warm, unconverged = np.empty((self.worlds, 0, self.model.nv)), np.zeros(ctrls.shape[:2], np.int32)
        rows = input_rows(self.model, Inputs(), (self.worlds,))
        self._rollout(
            self.worlds, self.blocks.ctypes.data, self.addresses[0], *paths, warm, ctrls, rows, n_steps, unconverged
        )
        return paths

    def pull_back(self, trajectory: sim.Trajectory, cotangents: Floats) -> tuple[Floats, Floats]:
        """Gradients by the first state (worlds, nx) and the controls by the kernel of `sim.rollout_vjp`."""
        model, steps = self.model, trajectory.ctrl.shape[1]
        state_adj = np.zeros((self.worlds, tangent_size(model), 1))
        ctrl_adj = np.zeros((self.worlds, steps, model.nu, 1))
        rows = input_rows(model, Inputs(), (self.worlds,))
        between, block = (States.allocate({**model.sizes, "nstate": n}) for n in (trajectory.n_steps, 1))
        paths = trajectory.qpos, trajectory.qvel, trajectory.act, np.empty((self.worlds, 0, model.nv))
        self._pull_back(
            self.worlds, self.blocks.ctypes.data, *self.addresses, between, block, *paths, trajectory.ctrl, rows,
            cotangents[..., None].copy(), state_adj, ctrl_adj, input_adjoints(model, Inputs(), rows, 1),
        )  # fmt: skip
        return state_adj[..., 0], ctrl_adj[..., 0]


def _loops(model: sim.Model, model_type: Any, data_type: Any, lanes_type: Any) -> tuple[Any, Any]:
    """What a launch does, as loops over worlds."""
    entries, each = whole_entry_points(model), np.empty(0, np.int64)
    rollout, pull_back = entries.rollout, entries.rollout_adj
    model_at, data_at, lanes_at = (_placed(kind) for kind in (model_type, data_type, lanes_type))
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": FASTMATH}

    @numba.njit(**options)
    def run(
        worlds: int, m: int, d: int, qpos: Floats, qvel: Floats, act: Floats, warm: Floats, ctrl: Floats,
        inputs: InputRows, n_steps: int, unconverged: Any,
    ) -> None:  # fmt: skip
        for b in range(worlds):
            data = _world(data_at(d), b)
            rollout(b, b + 1, model_at(m), each, data, qpos, qvel, act, warm, ctrl, inputs, n_steps, 1, unconverged)

    @numba.njit(**options)
    def back(
        worlds: int, m: int, d: int, w: int, between: States, block: States, qpos: Floats, qvel: Floats, act: Floats,
        warm: Floats, ctrl: Floats, inputs: InputRows, cotangent: Floats, state_adj: Floats, ctrl_adj: Floats,
        input_adj: InputAdjoints,
    ) -> None:  # fmt: skip
        for b in range(worlds):
            data, lanes = _world(data_at(d), b), _world(lanes_at(w), b)
            pull_back(
                b, b + 1, model_at(m), each, data, lanes, between, block, qpos, qvel, act, warm, ctrl, inputs,
                cotangent, state_adj, ctrl_adj, input_adj,
            )  # fmt: skip

    return run, back


def _placed(kind: Any) -> Any:
    """In kernels: the struct of a type at an address."""

    @intrinsic
    def at(_: Any, address: Any) -> Any:
        return kind(numba.types.int64), lambda context, builder, signature, arguments: arguments[0]

    return at

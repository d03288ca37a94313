"""A single world from Python: what a call costs besides the physics.

Arrays for kernels and workspaces are made once and kept with the model, for each thread that is busy with it; a
call copies its numbers there and runs the kernels of batches, so that results are the same bit for bit.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from .kernels.direct import run
from .kernels.record import Floats, kept_with
from .model.arguments import no_poses
from .model.data import Data, Lanes, Rates, States
from .model.inputs import InputRows, Inputs, input_adjoints, input_rows
from .model.model import Model, State, tangent_size
from .models import addresses
from .pipeline.entry_points import entry_points

_FLOAT64 = np.dtype(np.float64)


def enter_world(model: Model, state: Any, ctrl: Any, cotangent: Any = None) -> "SingleWorld | None":
    """A `SingleWorld` that holds these arguments; None unless there is nothing about them to check or to convert.

    There is not in the usual call for one world: arrays of float64, without batch axes, of the right sizes, finite.
    """
    if type(state) is not State or type(state.qpos) is not ndarray or state.qpos.ndim != 1:
        return None
    free: list[SingleWorld] = kept_with(model, "free single worlds", list)
    try:
        world = free.pop()
    except IndexError:
        world = SingleWorld(model, free)
    if not world.take(state, ctrl, cotangent):
        free.append(world)
        return None
    # Who can say what is wrong looks at the rest; numbers that a call here left when it diverged are gone with it.
    return world if world.is_finite() else None


class Sweep(NamedTuple):
    """What a kernel of derivatives works in, its arguments as far as they are always the same, and its results."""

    workspaces: tuple[Any, ...]
    given: tuple[Any, ...]
    results: tuple[Any, ...]


class SingleWorld:
    """One world's arrays, and what kernels work in. After a call of `step` and so on another may have it."""

    def __init__(self, model: Model, free: "list[SingleWorld]") -> None:
        self._free, self._nx = free, tangent_size(model)
        nq, nv, na, nu, nx, nmocap = model.nq, model.nv, model.na, model.nu, self._nx, model.nmocap
        shapes = (1, 2, nq), (1, 2, nv), (1, 2, na), (1, 1, nu), (1, 2, nx, 1), (1, 1, nmocap, 3), (1, 1, nmocap, 4)
        ends = np.cumsum([0, *(math.prod(shape) for shape in shapes)])
        self._numbers = np.zeros(ends[-1])  # all side by side, so that one look tells whether they are finite
        self._ones = np.ones(ends[-1])
        parts = [self._numbers[i:j].reshape(s) for i, j, s in zip(ends[:-1], ends[1:], shapes, strict=True)]
        qpos, qvel, act, ctrl, self._cotangent, mocap_pos, mocap_quat = parts
        given = ((place, place.shape) for place in (qpos[0, 0], qvel[0, 0], act[0, 0], ctrl[0, 0]))
        self._qpos, self._qvel, self._act, self._control = given
        self._seed, self._poses = (self._cotangent[0, 1, :, 0], (nx,)), (mocap_pos[0, 0], mocap_quat[0, 0])
        self._own_poses = model.mocap_poses if nmocap > 0 else None
        self._no_poses, self._no_models = no_poses(model, ()), addresses(model)
        self._after = qpos[0, 1], qvel[0, 1], act[0, 1]
        self._path = qpos, qvel, act, np.empty((1, 0, nv))
        self._ctrl, self._unconverged = ctrl, np.zeros((1, 1), np.int32)
        self.data, self._points = Data.for_model(model), entry_points(model)
        self._rows = input_rows(model, Inputs(), ())
        if nmocap > 0:
            self._rows = InputRows(**{**self._rows.as_dict(), "mocap_pos": mocap_pos, "mocap_quat": mocap_quat})
        self._now = qpos[:, 0], qvel[:, 0], act[:, 0], ctrl[:, 0], self._rows
        self._next = qpos[:, 1], qvel[:, 1], act[:, 1]
        self._steps = self._no_models, self.data, *self._path, ctrl, self._rows
        self._forth: dict[bool, Sweep] = {}
        self._back: Sweep | None = None

    def take(self, state: State, ctrl: Any, cotangent: Any) -> bool:
        """Copies the arguments here, unless one of them is no array of float64 of the right size."""
        qpos, qvel, act, pos, quat = state
        for value, place, shape in (qpos, *self._qpos), (qvel, *self._qvel), (act, *self._act), (ctrl, *self._control):
            if type(value) is not ndarray or value.shape != shape or value.dtype is not _FLOAT64:
                return False
            place[...] = value
        if cotangent is not None:
            place, shape = self._seed
            if type(cotangent) is not ndarray or cotangent.shape != shape or cotangent.dtype is not _FLOAT64:
                return False
            place[...] = cotangent
        if self._own_poses is None:
            return (pos is None or _is_empty(pos)) and (quat is None or _is_empty(quat))
        return cotangent is None and self._take_poses(state, self._own_poses)

    def _take_poses(self, state: State, own_poses: tuple[Floats, Floats]) -> bool:
        for value, place, own in zip(state[3:], self._poses, own_poses, strict=True):
            given = own if value is None else value
            if type(given) is not ndarray or given.shape != place.shape or given.dtype is not _FLOAT64:
                return False
            place[...] = given
        return True

    def is_finite(self) -> bool:
        """Whether all numbers here are finite, and their sum too."""
        return math.isfinite(self._numbers.dot(self._ones))  # quicker than numpy's sum

    def step(self, model: Model, n_steps: int) -> tuple[State, NDArray[np.int32]]:
        """What `counted_step` returns."""
        run(self._points.rollout, 0, 1, model, *self._steps, n_steps, 1, self._unconverged)
        found = self._state_after(), self._unconverged[0, 0]
        self._free.append(self)
        return found

    def linearize(
        self, model: Model, n_steps: int, by_state: bool
    ) -> tuple[State, Floats | None, Floats, NDArray[np.int32]]:
        """The fields of `Linearization`."""
        A, B, unconverged = self._jacobian(model, n_steps, by_state)
        after = self._state_after()
        self._free.append(self)
        return after, A, B, unconverged

    def jacobian(self, model: Model, n_steps: int) -> tuple[Floats | None, Floats, NDArray[np.int32]]:
        """The same without the state."""
        found = self._jacobian(model, n_steps, True)
        self._free.append(self)
        return found

    def _jacobian(self, model: Model, n_steps: int, by_state: bool) -> tuple[Floats | None, Floats, NDArray[np.int32]]:
        sweep, nx = self._forth.get(by_state) or self.sweep_forth(model, by_state), self._nx
        a, b = np.empty((1, nx, nx if by_state else 0)), np.empty((1, nx, model.nu))
        (unconverged,) = sweep.results
        run(self._points.jacobian, 0, 1, model, *sweep.given, n_steps, *self._next, a, b, unconverged)
        return a[0] if by_state else None, b[0], unconverged[0]

    def pull_back(self, model: Model, n_steps: int) -> tuple[Floats, Floats, int]:
        """The cotangent's gradients (nx,) and (nu,) by state and control, and how many steps did not converge."""
        sweep, stopped = self.sweep_back(model, n_steps), self.data.unconverged_steps
        stopped[0] = 0
        run(self._points.rollout_adj, 0, 1, model, *sweep.given)
        by_state, by_ctrl = sweep.results
        found = by_state.copy(), by_ctrl.copy(), stopped[0]
        self._free.append(self)
        return found

    def sweep_forth(self, model: Model, by_state: bool) -> Sweep:
        """For `linearize`: lanes and rates; room for the number of unconverged steps."""
        directions = model.nu + (self._nx if by_state else 0)
        spaces = Lanes.for_model(model, model.nv + model.na), Rates.for_model(model, directions)
        given = self._no_models, self.data, *spaces, *self._now
        sweep = self._forth[by_state] = Sweep(spaces, given, (np.zeros(1, np.int32),))
        return sweep

    def sweep_back(self, model: Model, n_steps: int) -> Sweep:
        """For `pull_back`: a lane and states; room for the gradients by state and control."""
        sweep = self._back
        if sweep is None or len(sweep.workspaces[1].qpos) != n_steps:
            between, block = (States.allocate({**model.sizes, "nstate": count}) for count in (n_steps, 1))
            spaces = Lanes.for_model(model, 1), between, block
            by_state, by_ctrl = np.empty((1, self._nx, 1)), np.empty((1, 1, model.nu, 1))
            given = self._no_models, self.data, *spaces, *self._path, self._ctrl, self._rows, self._cotangent
            given = *given, by_state, by_ctrl, input_adjoints(model, Inputs(), self._rows, 1)
            sweep = self._back = Sweep(spaces, given, (by_state[0, :, 0], by_ctrl[0, 0, :, 0]))
        return sweep

    def contact_forces(self, model: Model) -> Floats:
        """What `cfrc_ext` returns."""
        out = np.zeros((1, model.nbody, 6))
        if model.nconmax > 0:
            run(self._points.cfrc_ext, 0, 1, model, self._no_models, self.data, *self._now, out)
        self._free.append(self)
        return out[0]

    def _state_after(self) -> State:
        qpos, qvel, act = self._after
        if self._own_poses is None:
            return State(qpos.copy(), qvel.copy(), act.copy(), *self._no_poses)
        pos, quat = self._poses
        return State(qpos.copy(), qvel.copy(), act.copy(), pos.copy(), quat.copy())


def _is_empty(pose: Any) -> bool:
    return type(pose) is ndarray and pose.size == 0

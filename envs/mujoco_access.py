"""State and model of an environment under the names of Gymnasium's `MujocoEnv`."""

import copy
from dataclasses import replace
from typing import Any

import gymnasium
import mujoco
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..sim import Model, State
from .advance import observe, read_numbers
from .task import Task
from .task_state import TaskState

Floats = NDArray[np.float64]

_STATE = mujoco.mjtState


class MujocoAccess:
    """What ported code reads of an environment, and sets: `model`, `data`, `set_state` and so on.

    `model` and `data` are MuJoCo's own classes, so that all of MuJoCo's functions take them, but copies:
    what steps is `task.model`. Their arrays cannot be written to; `set_state` changes the state, and
    other masses or frictions are arguments of the task.
    """

    task: Task
    _state: TaskState | None = None
    _action: Floats | None = None  # the latest of this episode, (n_act,)
    _copy: "_MujocoCopy | None" = None

    @property
    def state(self) -> TaskState:
        """The current state, a batch of one in tensors. One from before may be put back: all but a limit of time."""
        state = self._current()
        self._state = (state.batched() if state.qpos.ndim == 1 else state).tensors()
        return self._state

    @state.setter
    def state(self, state: TaskState) -> None:
        self._state, self._action = state, None
        self._update_copy()

    def _current(self) -> TaskState:
        """The current state as the latest step left it."""
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call env.reset() before using the environment")
        return self._state

    def set_state(self, qpos: ArrayLike, qvel: ArrayLike, act: ArrayLike | None = None) -> None:
        """Puts the robot elsewhere; the episode's goal, time and object, and the actuators unless given, stay.

        Args:
            qpos: (nq,) positions, as in `sim.State`.
            qvel: (nv,) velocities.
            act: (na,) activations of the actuators, such as commands of servos.

        Raises:
            ValueError: a shape is wrong or a number is not finite.
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        self.state = moved(self.task, self.state, 0, qpos, qvel, act)

    @property
    def model(self) -> mujoco.MjModel:
        """MuJoCo's model that means the same, in an episode with another object with that one."""
        return self._kept_copy().model

    @property
    def data(self) -> mujoco.MjData:
        """MuJoCo's data of the current state: also what `mj_forward` makes of it under the latest action's control.

        It follows the environment. `time` is that of the episode [s]. Unlike after `mj_step`, poses and contacts
        are those of this state.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call env.reset() before env.unwrapped.data: it is of a state")
        return self._kept_copy().data

    @property
    def dt(self) -> float:
        """Duration of a step [s]."""
        return self.task.seconds_per_step

    @property
    def frame_skip(self) -> int:
        """Simulation steps in a step."""
        return self.task.n_substeps

    @property
    def init_qpos(self) -> Floats:
        """The model's reference configuration `qpos0`, (nq,)."""
        return self.task.model.initial_state().qpos

    @property
    def init_qvel(self) -> Floats:
        """(nv,) zeros."""
        return self.task.model.initial_state().qvel

    def state_vector(self) -> Floats:
        """qpos, then qvel, (nq + nv,)."""
        state = self.state.numpy()
        return np.concatenate([state.qpos[0], state.qvel[0]])

    def get_body_com(self, body_name: str) -> Floats:
        """Position (3,) of a body's frame [m], named as Gymnasium has it; KeyError if there is none of that name."""
        return self.data.body(body_name).xpos.copy()

    def _get_obs(self) -> NDArray[np.float32]:
        """The observation (n_obs,) of the current state; Gymnasium's environments have it under this name too."""
        with torch.no_grad():
            return observe(self.task, self.state)[0]

    def _kept_copy(self) -> "_MujocoCopy":
        if self._copy is None:
            self._copy = _MujocoCopy(self.task.model)
            self._update_copy()
        return self._copy

    def _update_copy(self) -> None:
        """To the current state, if there is a copy."""
        if self._copy is None or self._state is None:
            return
        state, ctrl = self.state, None
        model, seconds = self.task.pictured(state, 0)[-1], float(state.time[0]) * self.dt
        if self._action is not None:
            ctrl = self.task.control(torch.from_numpy(self._action[None]))[0].numpy()
        self._copy.show(model, state.numpy(), seconds, np.zeros(model.nu) if ctrl is None else ctrl)


class _MujocoCopy:
    """An MjModel and an MjData, always the same ones, that show what the environment is in."""

    def __init__(self, model: Model) -> None:
        self._shown = model
        self.model = copy.copy(model.mj_model)
        self.data = mujoco.MjData(self.model)
        self._writable = {name: array.view() for name, array in _arrays(self.model).items()}
        for owner in (self.model, self.model.opt, self.data):
            for array in _arrays(owner).values():
                array.flags.writeable = False

    def show(self, model: Model, state: State, seconds: float, ctrl: Floats) -> None:
        """Loads the first of a batch of states."""
        if model is not self._shown:
            for name, array in _arrays(model.mj_model).items():
                self._writable[name][...] = array
            self._shown = model
        own_pos, own_quat = model.mocap_poses
        values = {
            _STATE.mjSTATE_TIME: np.array([seconds]),
            _STATE.mjSTATE_QPOS: state.qpos[0],
            _STATE.mjSTATE_QVEL: state.qvel[0],
            _STATE.mjSTATE_ACT: state.act[0],
            _STATE.mjSTATE_CTRL: ctrl,
            _STATE.mjSTATE_WARMSTART: np.zeros(model.nv),  # what is shown depends on the state alone
            _STATE.mjSTATE_MOCAP_POS: own_pos if state.mocap_pos is None else state.mocap_pos[0],
            _STATE.mjSTATE_MOCAP_QUAT: own_quat if state.mocap_quat is None else state.mocap_quat[0],
        }
        for kind, value in values.items():
            mujoco.mj_setState(self.model, self.data, np.ravel(value), kind)
        mujoco.mj_forward(self.model, self.data)


def _arrays(owner: Any) -> dict[str, NDArray[Any]]:
    """Its fields that are arrays."""
    found = ((name, getattr(owner, name)) for name in dir(owner) if not name.startswith("_"))
    return {name: value for name, value in found if isinstance(value, np.ndarray)}


def moved(
    task: Task,
    state: TaskState,
    rows: int | NDArray[np.int64],
    qpos: ArrayLike,
    qvel: ArrayLike,
    act: ArrayLike | None,
) -> TaskState:
    """States (N,) of which those at `rows` have coordinates (nq,), (nv,) and, if given, (na,).

    `rows` is one index, or k of them: then coordinates have that axis in front. ValueError if a shape is wrong or
    a number is not finite.
    """
    name, state = type(task).__name__, state.map(Tensor.detach)
    old, new = state.numpy(), dict[str, Any]()
    given = {"qpos": qpos, "qvel": qvel} if act is None else {"qpos": qpos, "qvel": qvel, "act": act}
    for field, values in given.items():
        array = getattr(old, field).copy()
        array[rows] = read_numbers(f"{name}: {field}", values, array[rows].shape)
        new[field] = torch.from_numpy(array)
    return replace(state, **new, known_kinematics=None)


def read_rows(rows: ArrayLike | None, count: int) -> NDArray[np.int64]:
    """Indices of some of `count` environments, given as booleans (count,), as indices, or all by None."""
    if rows is None:
        return np.arange(count)
    given = np.asarray(rows)
    if given.dtype == bool and given.shape == (count,):
        return np.flatnonzero(given)
    whole = given.ndim == 1 and np.issubdtype(given.dtype, np.integer)
    if not whole or len(np.unique(given)) < len(given) or not np.isin(given, np.arange(count)).all():
        raise ValueError(f"rows: must be {count} booleans, or different indices from 0 to {count - 1}")
    return given.astype(np.int64)

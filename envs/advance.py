"""One environment step of a batch: what both adapters share."""

import math
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..sim import placement
from .arrays import Array, as_numpy, as_tensor
from .gradients import Gradients, transition_gradients
from .task import Task
from .task_state import TaskState

# A state beyond this is divergence, not motion; the bound is MuJoCo's own (mjMAXVAL).
MAX_STATE = 1e10
_FEW = 32  # numbers that Python goes through sooner than numpy starts
_BOOL = np.dtype(bool)
_TRUE: Any = np.bool_(True)


class Transition(NamedTuple):
    """N transitions; every array has the leading axis N and is freshly made. A single one has no such axis."""

    state: TaskState
    obs: NDArray[np.float32]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    info: dict[str, Any]
    gradients: dict[str, NDArray[np.float64]] | None


def advance(task: Task, state: TaskState, action: Array, gradients: Gradients | None) -> Transition:
    """Applies N actions (N, n_act) to N states; numpy's arrays or tensors, the next state is of the task's own kind.

    Tasks that take numpy's arrays may be given a single state and action, without a batch axis.
    Where the simulation diverges the state stays where it was, the episode is terminated, and the
    gradients are zero: nothing that is not finite leaves here. With backend "sim" the info counts the simulation
    steps of this one that were stopped before the constraint solver converged (`sim.UnconvergedWarning`).
    """
    if task.is_numpy:
        return _advance(task, state.arrays(), as_numpy(action), gradients)
    with torch.no_grad():
        return _advance(task, state.tensors(), as_tensor(action), gradients)


def _advance(task: Task, state: TaskState, action: Array, gradients: Gradients | None) -> Transition:
    if gradients is None:
        next_state, jacobian = task.transition(state, action), None
    else:
        next_state, jacobian = task.linearize(state, action, by_state=gradients == "full")
    unconverged = next_state.unconverged
    finite = is_finite(next_state)
    diverged = ~finite
    if not (finite.all() if finite.ndim else finite):
        copied = state.map(np.copy) if task.is_numpy else state.map(torch.clone)
        next_state = next_state.where(~diverged if task.is_numpy else torch.from_numpy(~diverged), copied)
    obs = observe(task, next_state)
    found = task.transition_info(state, action, next_state)
    reward = 0.0 + reduce(add, [term for name, term in found.items() if name.startswith("reward_")])
    info = _entries({**found, **task.state_info(next_state)})
    derivatives = None
    if jacobian is not None:
        derivatives = transition_gradients(task, state, action, next_state, jacobian)
        diverged = _zero_unless_finite(derivatives, diverged)
    info["diverged"] = np.asarray(diverged)
    if unconverged is not None:
        info["unconverged_steps"] = as_numpy(unconverged)[()]
    return Transition(
        state=next_state,
        obs=obs,
        reward=as_numpy(reward),
        terminated=as_numpy(task.terminal(next_state)) | diverged,
        info=info,
        gradients=derivatives,
    )


def begin(
    task: Task, rngs: list[np.random.Generator]
) -> tuple[TaskState, NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Start states for some generators, their observations (N, n_obs) and infos."""
    state = task.start(rngs)
    if task.is_numpy:
        state = state.arrays()
    return state, observe(task, state), _entries(task.state_info(state))


def observe(task: Task, state: TaskState) -> NDArray[np.float32]:
    """Observations (N, n_obs) in the type of the observation space."""
    return as_numpy(task.observation(state)).astype(np.float32)


def read_action(name: str, action: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An action as float64, or ValueError with what is wrong with it."""
    return read_numbers(f"{name}: action", action, shape)


def read_numbers(what: str, given: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A copy as float64, or ValueError with what is wrong with it."""
    array = np.array(given, np.float64)
    if array.shape != shape:
        raise ValueError(f"{what} has shape {array.shape}, expected {shape}")
    if not (array.size < _FEW and _size(array) < math.inf) and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{what} is not finite at index {where}: {array[where]}")
    return array


def read_seed(seed: Any) -> Any:
    """numpy's integers as Python's, the only ones that Gymnasium takes; others as they are."""
    return int(seed) if isinstance(seed, np.integer) else seed


def _entries(info: dict[str, Array]) -> dict[str, Any]:
    """Fresh arrays of numpy, and its numbers where there is no axis.

    Truth values are arrays even then: of numpy's own, Gymnasium's vector environments make arrays of objects.
    """
    return {name: value if type(value) is np.float64 else _entry(as_numpy(value)) for name, value in info.items()}


def _entry(value: Any) -> Any:
    if value.ndim > 0:
        return value.copy()
    return np.array(value) if value.dtype is _BOOL else value[()]


def _size(*numbers: NDArray[np.float64]) -> float:
    """Norm of all numbers, NaN or infinite unless they are finite; for few of them quicker than numpy's."""
    entries: list[float] = []
    for array in numbers:
        entries += (array if array.ndim == 1 else array.ravel()).tolist()
    return math.hypot(*entries)


def is_finite(state: TaskState) -> NDArray[np.bool_]:
    """Whether each state (N,) is made of finite numbers of sane size; False for NaN."""
    numbers = [as_numpy(x) for x in (state.qpos, state.qvel, state.act)]
    # Norms are quicker to make than masks; unless all of them are small the mask decides.
    few = numbers[0].size < _FEW
    if (_size(*numbers) if few else math.sqrt(sum(np.vdot(x, x) for x in numbers))) < MAX_STATE:
        batch = state.qpos.shape[:-1]
        return np.ones(batch, bool) if batch else _TRUE
    return np.all(np.abs(np.concatenate(numbers, axis=-1)) < MAX_STATE, axis=-1)


def finite_rows(state: TaskState) -> Tensor:
    """`is_finite` as a tensor, where the tensors of the state are."""
    if not placement.is_on_gpu(state.qpos):
        return torch.from_numpy(is_finite(state.map(Tensor.detach)))
    numbers = torch.cat([state.qpos, state.qvel, state.act], -1).detach()
    return (numbers.abs() < MAX_STATE).all(-1)


def _zero_unless_finite(derivatives: dict[str, NDArray[np.float64]], diverged: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Zeroes the rows (N,) that diverged or hold a number that is not finite; says which rows those are."""
    bad = diverged.copy()
    # Again a sum is quicker than a mask.
    if math.isfinite(sum(np.add.reduce(array, None) for array in derivatives.values())) and not (
        bad.any() if bad.ndim else bad
    ):
        return bad
    for array in derivatives.values():
        bad = bad | ~np.isfinite(array).all(axis=tuple(range(bad.ndim, array.ndim)))
    if bad.any():
        for array in derivatives.values():
            array[bad] = 0.0
    return bad

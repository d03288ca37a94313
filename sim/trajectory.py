"""Trajectories: checkpoints, the simulation that makes them, and the reverse sweep over them.

What is kept between forward and backward pass is the state and control of each step, a few
hundred bytes; everything else is computed again, one step at a time (Qiao et al. 2021,
section 4.2: one checkpoint per step). A larger `checkpoint_interval` keeps fewer states, and
simulates from checkpoint to checkpoint once more in the backward pass (supplement B, where the
states before a step are made again for each step, so that time grows with the interval).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .kernels.direct import run
from .kernels.record import Floats, kept_with
from .kernels.threads import for_worlds
from .model.arguments import at_least_one, for_kernel
from .model.contact_pairs_adj import CONTACT_PARAMETERS, PAIR_FIELDS, model_gradients
from .model.data import Lanes
from .model.inputs import InputAdjoints, Inputs, input_adjoints, input_gradients, input_rows
from .model.model import Model, State
from .model.workspaces import gradient_workspace, states_between, workspace
from .models import Models, addresses, check_count, one_of, spans
from .pipeline.entry_points import entry_points
from .unconverged import warn_if_unconverged

COLLECTED = tuple(
    name.removesuffix("_adj")
    for name in Lanes.fields
    if name.endswith("_adj") and name.removesuffix("_adj") in Model.fields and name != "act_adj"
)
_OWN = (*PAIR_FIELDS, "fluid_medium")  # fields that MuJoCo has not
_MEDIUM = ("density", "viscosity")
PARAMETERS = (*(name for name in COLLECTED if name not in _OWN), *CONTACT_PARAMETERS, *_MEDIUM)


class Trajectory(NamedTuple):
    """Checkpoints, and the T controls between them, each of which holds for `n_steps` simulation steps.

    The K + 1 checkpoints are the first state, those after every `checkpoint_interval`-th control,
    and the last state: K is T / checkpoint_interval, rounded up.
    """

    qpos: Floats  # (..., K + 1, nq)
    qvel: Floats  # (..., K + 1, nv)
    act: Floats  # (..., K + 1, na)
    ctrl: Floats  # (..., T, nu)
    n_steps: int = 1
    checkpoint_interval: int = 1
    warmstart: Floats | None = None  # (..., K, nv): the solver's first guess at a checkpoint, where it matters
    mocap_pos: Floats | None = None  # (..., nmocap, 3), or one for each control (..., T, nmocap, 3); None: the model's
    mocap_quat: Floats | None = None  # (..., nmocap, 4) or (..., T, nmocap, 4)
    qfrc_applied: Floats | None = None  # (..., nv) or (..., T, nv); None: no forces
    xfrc_applied: Floats | None = None  # (..., nbody, 6) or (..., T, nbody, 6)
    unconverged: NDArray[np.int32] | None = None  # (..., T): steps under each control that stopped at `iterations`

    @property
    def inputs(self) -> Inputs:
        """What acts besides the controls."""
        return Inputs(self.mocap_pos, self.mocap_quat, self.qfrc_applied, self.xfrc_applied)

    def state(self, t: int) -> State:
        """The state after `t` controls (negative: counted from the end), batch axes kept; a checkpoint.

        Where mocap bodies have a pose for each control, it is that of the last control so far, at the
        start that of the first one.
        """
        steps, interval = self.ctrl.shape[-2], self.checkpoint_interval
        time = range(steps + 1)[t]
        if time % interval != 0 and time != steps:
            raise ValueError(f"the state after {time} controls is not kept: checkpoint_interval is {interval}")
        k = math.ceil(time / interval)
        poses = (self._pose(value, max(time - 1, 0)) for value in (self.mocap_pos, self.mocap_quat))
        return State(self.qpos[..., k, :], self.qvel[..., k, :], self.act[..., k, :], *poses)

    def _pose(self, value: Floats | None, t: int) -> Floats | None:
        return value if value is None or value.ndim <= self.ctrl.ndim else value[..., t, :, :]


class RolloutGradient(NamedTuple):
    """Gradient of a scalar by the initial state (tangent), the controls, the model's parameters, the other inputs.

    An input that was held for all controls has its sum over them; one given for each control has an
    axis of T after the batch axes.
    """

    state0: Floats  # (..., nx)
    ctrls: Floats  # (..., T, nu)
    params: dict[str, Floats] | None  # field name -> (..., *field shape)
    mocap_pos: Floats  # (..., nmocap, 3) or (..., T, nmocap, 3)
    mocap_quat: Floats  # (..., nmocap, 3): tangent in the body frame, as of a free joint's quaternion; or (..., T, ...)
    qfrc_applied: Floats | None  # (..., nv) or (..., T, nv); None: not given
    xfrc_applied: Floats | None  # (..., nbody, 6) or (..., T, nbody, 6)


def simulate(
    models: Model | Models, start: State, controls: Floats, inputs: Inputs, n_steps: int, checkpoint_interval: int = 1
) -> Trajectory:
    """`rollout` of arguments whose arrays have been checked."""
    model = one_of(models)
    batch, steps = controls.shape[:-2], controls.shape[-2]
    repeat, interval = at_least_one("n_steps", n_steps), at_least_one("checkpoint_interval", checkpoint_interval)
    worlds, blocks = math.prod(batch), math.ceil(steps / interval)
    arrays = []
    for value in start[:3]:
        path = np.empty((worlds, blocks + 1, value.shape[-1]))
        path[:, 0] = value.reshape(math.prod(value.shape[:-1]), value.shape[-1])
        arrays.append(path)
    qpos, qvel, act = arrays
    # A single step between checkpoints starts the solver afresh when it is differentiated: nothing to keep.
    warm = np.empty((worlds, blocks if interval > 1 and model.nefcmax > 0 else 0, model.nv))
    flat, rows = for_kernel(controls.reshape(worlds, steps, model.nu)), input_rows(model, inputs, batch)
    unconverged = np.empty((worlds, steps), np.int32)
    _run_rollout(models, qpos, qvel, act, warm, flat, rows, repeat, interval, unconverged)
    shaped = [a.reshape(*batch, *a.shape[1:]) for a in (qpos, qvel, act, warm)]
    warmstart = shaped[3] if warm.shape[1] else None
    stopped = unconverged.reshape(*batch, steps)
    return Trajectory(shaped[0], shaped[1], shaped[2], controls, repeat, interval, warmstart, *inputs, stopped)


def simulate_one(
    models: Model | Models, start: State, controls: Floats, inputs: Inputs, n_steps: int
) -> tuple[tuple[Floats, Floats, Floats], NDArray[np.int32]]:
    """`simulate` under one control (..., nu) for all: qpos, qvel and act after it, and `unconverged` (...)."""
    batch = controls.shape[:-1]
    paths, arguments, unconverged = one_control(models, start, controls, inputs, n_steps)
    _run_rollout(models, *arguments)
    # Every other row: what is done with the state next is quicker without the gaps.
    qpos, qvel, act = (path[:, 1].copy().reshape(*batch, path.shape[2]) for path in paths)
    return (qpos, qvel, act), unconverged.reshape(batch)


def one_control(
    models: Model | Models, start: State, controls: Floats, inputs: Inputs, n_steps: int
) -> tuple[list[Floats], tuple[Any, ...], NDArray[np.int32]]:
    """A rollout under one control (..., nu), flattened and not yet run.

    Its paths (worlds, 2, n), whose first rows are the start; the arguments of `rollout_worlds` from qpos on, paths
    included; `unconverged` (worlds, 1), one of them.
    """
    model, batch = one_of(models), controls.shape[:-1]
    worlds, paths = math.prod(batch), []
    for value in start[:3]:
        path = np.empty((worlds, 2, value.shape[-1]))
        path[:, 0] = value.reshape(worlds, value.shape[-1])
        paths.append(path)
    flat = for_kernel(controls.reshape(worlds, 1, model.nu))
    warm = kept_with(model, ("no warm starts", worlds), lambda: np.empty((worlds, 0, model.nv)))
    unconverged = np.empty((worlds, 1), np.int32)
    return paths, (*paths, warm, flat, input_rows(model, inputs, batch), n_steps, 1, unconverged), unconverged


def _run_rollout(models: Model | Models, *arguments: Any) -> None:
    """The kernel `rollout_worlds` for all worlds; `arguments` are those from qpos on."""
    model, worlds = one_of(models), len(arguments[0])
    rollout_worlds, each = entry_points(model).rollout, addresses(models)
    check_count(models, worlds)

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            run(rollout_worlds, begin, end, model, each, data, *arguments)

    for_worlds(worlds, work)


def trajectory_adj(
    models: Model | Models, trajectory: Trajectory, cotangent: Floats, with_params: bool
) -> tuple[Floats, Floats, dict[str, Floats] | None, InputAdjoints]:
    """`cotangent` (worlds, K + 1, nx, nlane) to (worlds, nx, nlane), (worlds, T, nu, nlane), params, other inputs'."""
    model, worlds, lanes = one_of(models), cotangent.shape[0], cotangent.shape[-1]
    steps, interval = trajectory.ctrl.shape[-2], trajectory.checkpoint_interval
    warm = np.empty((worlds, 0, model.nv)) if trajectory.warmstart is None else trajectory.warmstart
    paths = [
        for_kernel(a.reshape(worlds, *a.shape[-2:])) for a in (trajectory.qpos, trajectory.qvel, trajectory.act, warm)
    ]
    ctrl, cotangent = for_kernel(trajectory.ctrl.reshape(worlds, steps, model.nu)), for_kernel(cotangent)
    inputs = trajectory.inputs
    rows = input_rows(model, inputs, trajectory.ctrl.shape[:-2])
    input_adj = input_adjoints(model, inputs, rows, lanes)
    state_adj = np.empty((worlds, cotangent.shape[2], lanes))
    ctrl_adj = np.empty((worlds, steps, model.nu, lanes))
    params: dict[str, Floats] | None = None
    if with_params:
        params = {name: np.zeros((worlds, *np.shape(getattr(model, name)))) for name in COLLECTED}

    rollout_adj_worlds = entry_points(model).rollout_adj
    check_count(models, worlds)
    unconverged: list[int] = []

    def work(begin: int, end: int) -> None:
        with workspace(model) as data, gradient_workspace(model, with_params) as adjoint:
            data.unconverged_steps[0] = 0
            between = states_between(model, adjoint, "steps", trajectory.n_steps)
            block = states_between(model, adjoint, "controls", min(interval, steps))
            given, wanted = (*paths, ctrl, rows, cotangent), (state_adj, ctrl_adj, input_adj)
            arguments = (model, addresses(models), data, adjoint, between, block, *given, *wanted)
            if params is None:
                run(rollout_adj_worlds, begin, end, *arguments)
            else:
                for b in range(begin, end):
                    for name in COLLECTED:
                        getattr(adjoint, name + "_adj")[...] = 0.0
                    run(rollout_adj_worlds, b, b + 1, *arguments)
                    for name, value in params.items():
                        value[b] = getattr(adjoint, name + "_adj")
            unconverged.append(int(data.unconverged_steps[0]))

    for_worlds(worlds, work)
    warn_if_unconverged(model, sum(unconverged), worlds * steps * trajectory.n_steps, stacklevel=4)
    return state_adj, ctrl_adj, None if params is None else by_parameters(models, params), input_adj


def by_parameters(models: Model | Models, found: dict[str, Floats]) -> dict[str, Floats]:
    """Gradients (worlds, ...) by MuJoCo's fields from those by the simulator's own."""
    worlds = len(next(iter(found.values())))
    found = {name: value for name, value in found.items() if name != "fluid_medium"} | dict(
        zip(_MEDIUM, found["fluid_medium"].T, strict=True)
    )
    parts = [
        model_gradients(own, {name: value[first:last] for name, value in found.items()})
        for first, last, own in spans(models, 0, worlds)
    ]
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def gradient_of(models: Model | Models, trajectory: Trajectory, cotangents: Floats, params: bool) -> RolloutGradient:
    """`rollout_vjp` of cotangents that have been checked."""
    model = one_of(models)
    batch, steps, nx = trajectory.ctrl.shape[:-2], trajectory.ctrl.shape[-2], cotangents.shape[-1]
    flat = cotangents.reshape(math.prod(batch), cotangents.shape[-2], nx, 1)
    state_adj, ctrl_adj, found, input_adj = trajectory_adj(models, trajectory, flat, params)
    if found is not None:
        found = {name: value.reshape((*batch, *value.shape[1:])) for name, value in found.items()}
    by_inputs = input_gradients(model, trajectory.inputs, input_adj, batch)
    return RolloutGradient(state_adj.reshape(*batch, nx), ctrl_adj.reshape(*batch, steps, model.nu), found, *by_inputs)

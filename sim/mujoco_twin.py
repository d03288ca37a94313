"""The simulator's functions on the same `Model` and `State`, computed by MuJoCo itself.

A backend is a module: `sim`, or this one. Derivatives are central differences on the state's
manifold (MuJoCo has no analytic ones): `mjd_transitionFD`, or for RK4, which it refuses, the same
differences of `mj_step`. Every call starts from a cold solver, so equal inputs give equal outputs.
"""

import copy
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np

from .forward import Forward, assemble, no_contacts
from .kernels.record import Floats
from .linearize import Linearization, StepJacobian
from .model.arguments import at_least_one, checked_state, floats_of
from .model.inputs import Inputs, checked_inputs, input_sums
from .model.model import Model, State, tangent_size
from .models import AnyModel, check_count, models_of, one_of, spans
from .mujoco_differences import ForcePoint, Point, difference_one_step, external_force
from .rollout import checked_drive
from .step import StepGradient
from .trajectory import RolloutGradient, Trajectory

_thread = threading.local()


class _Batch:
    """Checked inputs with the batch axes flattened to one."""

    def __init__(self, models: AnyModel, state: State, ctrl: Any, qfrc_applied: Any, xfrc_applied: Any) -> None:
        self._models = models_of(models)
        model = one_of(self._models)
        state = checked_state(model, state)
        self.model, self.shape = model, state.qpos.shape[:-1]
        self.worlds = int(np.prod(self.shape))
        check_count(self._models, self.worlds)
        self.inputs = checked_inputs(model, state, self.shape, qfrc_applied, xfrc_applied)
        fields = {**state._asdict(), "ctrl": floats_of("ctrl", ctrl, model.nu, self.shape), **self.inputs._asdict()}
        axes, given = len(self.shape), {name: value for name, value in fields.items() if value is not None}
        self._flat = {name: value.reshape(self.worlds, *value.shape[axes:]) for name, value in given.items()}

    def load_each(self) -> Iterator[tuple[int, mujoco.MjModel, mujoco.MjData]]:
        """Puts each world in turn into a workspace and yields its index and that."""
        for first, last, own in spans(self._models, 0, self.worlds):
            m, d = _workspace(own)
            for world in range(first, last):
                d.time = 0.0
                d.qfrc_applied[:], d.xfrc_applied[:], d.qacc_warmstart[:] = 0.0, 0.0, 0.0
                for name, value in self._flat.items():
                    getattr(d, name)[...] = value[world]
                yield world, m, d

    def unflatten(self, array: Floats) -> Floats:
        return array.reshape(*self.shape, *array.shape[1:])

    def input_gradients(self, columns: Floats) -> Inputs:
        """A gradient (worlds, n) in the order of `Point.input_columns` in the axes of the inputs."""
        m = self.model
        sizes = (m.nmocap, 3), (m.nmocap, 3), (m.nv,), (m.nbody, 6)
        parts = np.split(columns, np.cumsum([int(np.prod(size)) for size in sizes])[:-1], axis=1)
        shaped = (part.reshape(*self.shape, *size) for part, size in zip(parts, sizes, strict=True))
        return Inputs(*(None if given is None else x for x, given in zip(shaped, self.inputs, strict=True)))


def _workspace(model: Model) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """This thread's MuJoCo model and data for `model`.

    The model is a copy that does not reset itself on divergence: the caller sees the NaN.
    """
    if not hasattr(_thread, "spaces"):
        _thread.spaces = weakref.WeakKeyDictionary()
    if model not in _thread.spaces:
        m = copy.copy(model.mj_model)
        m.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        _thread.spaces[model] = m, mujoco.MjData(m)
    return _thread.spaces[model]


def step(
    model: AnyModel, state: State, ctrl: Any, n_steps: int = 1, *, qfrc_applied: Any = None, xfrc_applied: Any = None
) -> State:
    """The state after `n_steps` of `mj_step` under constant `ctrl` (..., nu) and applied forces."""
    return counted_step(model, state, ctrl, n_steps, qfrc_applied=qfrc_applied, xfrc_applied=xfrc_applied)[0]


def counted_step(
    model: AnyModel, state: State, ctrl: Any, n_steps: int = 1, *, qfrc_applied: Any = None, xfrc_applied: Any = None
) -> tuple[State, None]:
    """`step`, and None in place of a count of unconverged time steps, which MuJoCo does not give."""
    batch = _Batch(model, state, ctrl, qfrc_applied, xfrc_applied)
    model = batch.model
    shapes = (model.nq,), (model.nv,), (model.na,), (model.nmocap, 3), (model.nmocap, 4)
    result = [np.empty((batch.worlds, *shape)) for shape in shapes]
    for world, m, d in batch.load_each():
        mujoco.mj_step(m, d, n_steps)
        for value, name in zip(result, State._fields, strict=True):
            value[world] = getattr(d, name)
    return State(*map(batch.unflatten, result)), None


def forward(model: AnyModel, state: State, ctrl: Any, *, qfrc_applied: Any = None, xfrc_applied: Any = None) -> Forward:
    """Poses, velocities, forces and acceleration of `state` under `ctrl` (..., nu), by `mj_forward`."""
    batch = _Batch(model, state, ctrl, qfrc_applied, xfrc_applied)
    model = batch.model
    ours = ("contact", "efc_force", "solver_niter", "solver_residual", "converged")
    names = [name for name in Forward._fields if name not in ours]
    _, d = _workspace(model)
    found: dict[str, Any] = {name: np.empty((batch.worlds, *getattr(d, name).shape)) for name in names}
    found["efc_force"] = np.zeros((batch.worlds, model.nefcmax))
    found["solver_niter"] = np.zeros(batch.worlds, np.int32)
    found["solver_residual"] = np.zeros(batch.worlds)
    found["converged"] = np.ones(batch.worlds, np.bool_)
    contact = no_contacts(model, batch.worlds)
    for world, m, d in batch.load_each():
        external_force(m, d)
        for name in names:
            found[name][world] = getattr(d, name)
        found["efc_force"][world, : d.nefc] = d.efc_force
        for name, values in zip(contact._fields, contact, strict=True):
            values[world, : d.ncon] = getattr(d.contact, name)
        found["solver_niter"][world] = d.solver_niter.max()
        found["solver_residual"][world] = _solver_residual(m, d)
        stopped = found["solver_niter"][world] >= m.opt.iterations
        found["converged"][world] = not stopped or found["solver_residual"][world] < m.opt.tolerance
    return assemble(batch.shape, found, contact)


def cfrc_ext(model: AnyModel, state: State, ctrl: Any, *, qfrc_applied: Any = None, xfrc_applied: Any = None) -> Floats:
    """Force (torque, force) on each body (..., nbody, 6), by `mj_forward` and `mj_rnePostConstraint`."""
    batch = _Batch(model, state, ctrl, qfrc_applied, xfrc_applied)
    model = batch.model
    found = np.empty((batch.worlds, model.nbody, 6))
    for world, m, d in batch.load_each():
        found[world] = external_force(m, d)
    return batch.unflatten(found)


def cfrc_ext_vjp(
    model: AnyModel, state: State, ctrl: Any, cotangent: Any, *, qfrc_applied: Any = None, xfrc_applied: Any = None
) -> StepGradient:
    """Gradient of the sum of `cotangent` (..., nbody, 6) times `cfrc_ext`, by central differences."""
    batch = _Batch(model, state, ctrl, qfrc_applied, xfrc_applied)
    model = batch.model
    weights = floats_of("cotangent", cotangent, 6, (*batch.shape, model.nbody)).reshape(-1, model.nbody, 6)
    nx = tangent_size(model)
    by_state, by_ctrl = np.empty((batch.worlds, nx)), np.empty((batch.worlds, model.nu))
    by_inputs = np.empty((batch.worlds, _input_size(model)))
    for world, m, d in batch.load_each():
        point = ForcePoint(m, d, weights[world])
        by_state[world] = [point.state_column(d, i) for i in range(nx)]
        by_ctrl[world] = [point.ctrl_column(d, i) for i in range(model.nu)]
        by_inputs[world] = point.input_columns(d, batch.inputs, 0.0)
        point.restore(d)
    inputs = batch.input_gradients(by_inputs)
    return StepGradient(batch.unflatten(by_state), batch.unflatten(by_ctrl), None, *inputs)


def _solver_residual(m: mujoco.MjModel, d: mujoco.MjData) -> float:
    """Scaled norm of what the equation of motion lacks with the forces of the law; replaces the solver's forces."""
    if not d.nefc:
        return 0.0
    acceleration, lack = np.zeros(d.nefc), np.zeros(m.nv)
    mujoco.mj_mulJacVec(m, d, acceleration, d.qacc)
    mujoco.mj_constraintUpdate(m, d, acceleration - d.efc_aref, None, 0)
    mujoco.mj_mulM(m, d, lack, d.qacc)
    lack -= d.qfrc_smooth + d.qfrc_constraint
    return float(np.linalg.norm(lack) / (m.stat.meaninertia * max(1, m.nv)))


def step_jacobian(
    model: AnyModel, state: State, ctrl: Any, n_steps: int = 1, *, qfrc_applied: Any = None, xfrc_applied: Any = None
) -> StepJacobian:
    """Both Jacobians of `step` by central differences, one `mj_step` at a time, chained.

    At a control limit the difference is one-sided, towards the inside, as MuJoCo's own is.
    """
    batch = _Batch(model, state, ctrl, qfrc_applied, xfrc_applied)
    return StepJacobian(*map(batch.unflatten, _step_jacobians(batch.model, batch, n_steps, with_inputs=False)[:2]))


def linearize(
    model: AnyModel,
    state: State,
    ctrl: Any,
    n_steps: int = 1,
    by_state: bool = True,
    *,
    qfrc_applied: Any = None,
    xfrc_applied: Any = None,
) -> Linearization:
    """`step` and `step_jacobian`; without `by_state` A is None."""
    forces = {"qfrc_applied": qfrc_applied, "xfrc_applied": xfrc_applied}
    after, A, B = (
        step(model, state, ctrl, n_steps, **forces),
        *step_jacobian(model, state, ctrl, n_steps, **forces),
    )
    return Linearization(after, A if by_state else None, B, None)


def _step_jacobians(model: Model, batch: _Batch, n_steps: int, with_inputs: bool) -> tuple[Floats, Floats, Floats]:
    """A, B, and on request the Jacobian by mocap poses and applied forces, of each world."""
    nx = tangent_size(model)
    by_state, by_ctrl = np.empty((batch.worlds, nx, nx)), np.empty((batch.worlds, nx, model.nu))
    by_inputs = np.empty((batch.worlds, nx, _input_size(model)))
    for world, m, d in batch.load_each():
        by_state[world], by_ctrl[world], by_inputs[world] = np.eye(nx), 0.0, 0.0
        for _ in range(n_steps):
            a, b = difference_one_step(m, d)
            by_state[world], by_ctrl[world] = a @ by_state[world], a @ by_ctrl[world] + b
            if with_inputs:
                point = Point(m, d)
                columns = np.reshape(point.input_columns(d, batch.inputs, np.zeros(nx)), (-1, nx)).T
                by_inputs[world] = a @ by_inputs[world] + columns
                point.restore(d)
            mujoco.mj_step(m, d)
    return by_state, by_ctrl, by_inputs


def step_vjp(
    model: AnyModel,
    state: State,
    ctrl: Any,
    cotangent: Any,
    n_steps: int = 1,
    params: bool = False,
    *,
    qfrc_applied: Any = None,
    xfrc_applied: Any = None,
) -> StepGradient:
    """Gradient of cotangent . next state by state, control and other inputs; `cotangent` (..., nx)."""
    _refuse_params(params)
    batch = _Batch(model, state, ctrl, qfrc_applied, xfrc_applied)
    A, B, C = _step_jacobians(batch.model, batch, n_steps, with_inputs=True)
    row = floats_of("cotangent", cotangent, A.shape[-1], batch.shape).reshape(batch.worlds, 1, A.shape[-1])
    by_state, by_ctrl = (batch.unflatten((row @ x)[:, 0]) for x in (A, B))
    return StepGradient(by_state, by_ctrl, None, *batch.input_gradients((row @ C)[:, 0]))


def rollout(
    model: AnyModel,
    state: State,
    ctrls: Any,
    n_steps: int = 1,
    checkpoint_interval: int = 1,
    *,
    mocap_pos: Any = None,
    mocap_quat: Any = None,
    qfrc_applied: Any = None,
    xfrc_applied: Any = None,
) -> Trajectory:
    """Simulate under the controls `ctrls` (..., T, nu), each held for `n_steps` time steps; see `sim.rollout`."""
    given = mocap_pos, mocap_quat, qfrc_applied, xfrc_applied
    models = models_of(model)
    model = one_of(models)
    start, controls, inputs = checked_drive(model, state, ctrls, *given)
    batch, interval = controls.shape[:-2], at_least_one("checkpoint_interval", checkpoint_interval)
    reached = State(*(np.broadcast_to(x, (*batch, x.shape[-1])) for x in start[:3]))
    states = [reached[:3]]
    for t in range(controls.shape[-2]):
        reached, forces = _driven(model, inputs, reached, t)
        reached = step(models, reached, controls[..., t, :], n_steps, **forces)
        if (t + 1) % interval == 0 or t + 1 == controls.shape[-2]:
            states.append(reached[:3])
    qpos, qvel, act = (np.stack(x, axis=-2) for x in zip(*states, strict=True))
    return Trajectory(qpos, qvel, act, controls, n_steps, interval, None, *inputs)


def _driven(model: Model, inputs: Inputs, state: State, t: int) -> tuple[State, dict[str, Any]]:
    """The state with its mocap poses, and the applied forces, of control `t`."""
    batch = state.qpos.shape[:-1]
    pos, quat, qfrc, xfrc = inputs.at_control(model, batch, t)
    return state._replace(mocap_pos=pos, mocap_quat=quat), {"qfrc_applied": qfrc, "xfrc_applied": xfrc}


def rollout_vjp(model: AnyModel, trajectory: Trajectory, cotangents: Any, params: bool = False) -> RolloutGradient:
    """Gradient of sum over k of cotangents[k] . checkpoint[k]; `cotangents` (..., K + 1, nx)."""
    _refuse_params(params)
    models = models_of(model)
    model = one_of(models)
    ctrl, interval, kept = trajectory.ctrl, trajectory.checkpoint_interval, trajectory.qpos.shape[-2]
    seeds = floats_of("cotangents", cotangents, tangent_size(model), (*ctrl.shape[:-2], kept))
    ctrls_adj, by_inputs = np.empty_like(ctrl), input_sums(model, trajectory.inputs, ctrl.shape[:-2])
    state_adj = seeds[..., kept - 1, :]
    for k in range(kept - 2, -1, -1):
        first = k * interval
        last = min(first + interval, ctrl.shape[-2]) - 1
        block = [trajectory.state(first)]
        for t in range(first, last):
            before, forces = _driven(model, trajectory.inputs, block[-1], t)
            block.append(step(models, before, ctrl[..., t, :], trajectory.n_steps, **forces))
        for t in range(last, first - 1, -1):
            before, forces = _driven(model, trajectory.inputs, block[t - first], t)
            pulled = step_vjp(models, before, ctrl[..., t, :], state_adj, trajectory.n_steps, **forces)
            ctrls_adj[..., t, :] = pulled.ctrl
            for total, part in zip(by_inputs, pulled[3:], strict=True):
                if total is not None and part is not None:
                    per_control = total.ndim > part.ndim
                    total[(..., t, *[slice(None)] * (part.ndim - ctrl.ndim + 2)) if per_control else ...] += part
            state_adj = pulled.state
        state_adj = state_adj + seeds[..., k, :]
    return RolloutGradient(state_adj, ctrls_adj, None, *by_inputs)


def _input_size(model: Model) -> int:
    return 6 * model.nmocap + model.nv + 6 * model.nbody


def _refuse_params(params: bool) -> None:
    if params:
        raise ValueError("params=True: MuJoCo gives no gradients by the model's parameters, use `sim`")

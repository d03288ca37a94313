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
from .model.arguments import at_least_one, checked_state, floats_of
from .model.model import Model, State, tangent_size
from .step import StepGradient, StepJacobian
from .trajectory import RolloutGradient, Trajectory

# Step of the differences [rad, m, ...]: truncation and rounding both stay near 1e-9 relative.
DIFFERENCE_STEP = 1e-6

_thread = threading.local()


class _Batch:
    """Checked inputs with the batch axes flattened to one."""

    def __init__(self, model: Model, state: State, ctrl: Any) -> None:
        state = checked_state(model, state)
        self.shape = state.qpos.shape[:-1]
        self.worlds = int(np.prod(self.shape))
        arrays = (*state, floats_of("ctrl", ctrl, model.nu, self.shape))
        self._flat = [array.reshape(self.worlds, array.shape[-1]) for array in arrays]

    def load_each(self, d: mujoco.MjData) -> Iterator[int]:
        """Puts each world in turn into `d` and yields its index."""
        for world, (qpos, qvel, act, ctrl) in enumerate(zip(*self._flat, strict=True)):
            d.time = 0.0
            d.qpos[:], d.qvel[:], d.act[:], d.ctrl[:] = qpos, qvel, act, ctrl
            d.qacc_warmstart[:] = 0.0
            yield world

    def unflatten(self, array: Floats) -> Floats:
        return array.reshape(*self.shape, *array.shape[1:])


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


def step(model: Model, state: State, ctrl: Any, n_steps: int = 1) -> State:
    """The state after `n_steps` of `mj_step` under constant `ctrl` (..., nu)."""
    m, d = _workspace(model)
    batch = _Batch(model, state, ctrl)
    result = State(*(np.empty((batch.worlds, n)) for n in (model.nq, model.nv, model.na)))
    for world in batch.load_each(d):
        mujoco.mj_step(m, d, n_steps)
        result.qpos[world], result.qvel[world], result.act[world] = d.qpos, d.qvel, d.act
    return State(*map(batch.unflatten, result))


def forward(model: Model, state: State, ctrl: Any) -> Forward:
    """Poses, velocities, forces and acceleration of `state` under `ctrl` (..., nu), by `mj_forward`."""
    m, d = _workspace(model)
    batch = _Batch(model, state, ctrl)
    ours = ("contact", "efc_force", "solver_niter", "solver_residual", "converged")
    names = [name for name in Forward._fields if name not in ours]
    found: dict[str, Any] = {name: np.empty((batch.worlds, *getattr(d, name).shape)) for name in names}
    found["efc_force"] = np.zeros((batch.worlds, model.nefcmax))
    found["solver_niter"] = np.zeros(batch.worlds, np.int32)
    found["solver_residual"] = np.zeros(batch.worlds)
    found["converged"] = np.ones(batch.worlds, np.bool_)
    contact = no_contacts(model, batch.worlds)
    for world in batch.load_each(d):
        _external_force(m, d)
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


def cfrc_ext(model: Model, state: State, ctrl: Any) -> Floats:
    """Force (torque, force) on each body (..., nbody, 6), by `mj_forward` and `mj_rnePostConstraint`."""
    m, d = _workspace(model)
    batch = _Batch(model, state, ctrl)
    found = np.empty((batch.worlds, model.nbody, 6))
    for world in batch.load_each(d):
        found[world] = _external_force(m, d)
    return batch.unflatten(found)


def _external_force(m: mujoco.MjModel, d: mujoco.MjData) -> Floats:
    mujoco.mj_forward(m, d)
    mujoco.mj_rnePostConstraint(m, d)
    return d.cfrc_ext


def cfrc_ext_vjp(model: Model, state: State, ctrl: Any, cotangent: Any) -> StepGradient:
    """Gradient of the sum of `cotangent` (..., nbody, 6) times `cfrc_ext`, by central differences."""
    m, d = _workspace(model)
    batch = _Batch(model, state, ctrl)
    weights = floats_of("cotangent", cotangent, 6, (*batch.shape, model.nbody)).reshape(-1, model.nbody, 6)
    nx = tangent_size(model)
    by_state, by_ctrl = np.empty((batch.worlds, nx)), np.empty((batch.worlds, model.nu))
    for world in batch.load_each(d):
        point = _ForcePoint(m, d, weights[world])
        by_state[world] = [point.state_column(d, i) for i in range(nx)]
        by_ctrl[world] = [point.ctrl_column(d, i) for i in range(model.nu)]
    return StepGradient(batch.unflatten(by_state), batch.unflatten(by_ctrl), None)


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


def step_jacobian(model: Model, state: State, ctrl: Any, n_steps: int = 1) -> StepJacobian:
    """Both Jacobians of `step` by central differences, one `mj_step` at a time, chained.

    At a control limit the difference is one-sided, towards the inside, as MuJoCo's own is.
    """
    m, d = _workspace(model)
    batch = _Batch(model, state, ctrl)
    nx = tangent_size(model)
    result = StepJacobian(np.empty((batch.worlds, nx, nx)), np.empty((batch.worlds, nx, model.nu)))
    for world in batch.load_each(d):
        by_state, by_ctrl = np.eye(nx), np.zeros((nx, model.nu))
        for _ in range(n_steps):
            a, b = _difference_one_step(m, d)
            by_state, by_ctrl = a @ by_state, a @ by_ctrl + b
            mujoco.mj_step(m, d)
        result.A[world], result.B[world] = by_state, by_ctrl
    return StepJacobian(batch.unflatten(result.A), batch.unflatten(result.B))


def step_vjp(
    model: Model, state: State, ctrl: Any, cotangent: Any, n_steps: int = 1, params: bool = False
) -> StepGradient:
    """Gradient of cotangent . next state by state and control; `cotangent` (..., nx)."""
    _refuse_params(params)
    A, B = step_jacobian(model, state, ctrl, n_steps)
    row = floats_of("cotangent", cotangent, A.shape[-1], A.shape[:-2])[..., None, :]
    return StepGradient((row @ A)[..., 0, :], (row @ B)[..., 0, :], None)


def rollout(model: Model, state: State, ctrls: Any, n_steps: int = 1, checkpoint_interval: int = 1) -> Trajectory:
    """Simulate under the controls `ctrls` (..., T, nu), each held for `n_steps` time steps; see `sim.rollout`."""
    start = checked_state(model, state)
    controls = floats_of("ctrls", ctrls, model.nu)
    if controls.ndim < 2:
        raise ValueError(f"ctrls has shape {controls.shape}, expected (..., T, {model.nu})")
    batch = controls.shape[:-2]
    if start.qpos.shape[:-1] not in (batch, ()):
        raise ValueError(f"state has batch axes {start.qpos.shape[:-1]}, ctrls has {batch}")
    interval = at_least_one("checkpoint_interval", checkpoint_interval)
    reached = State(*(np.broadcast_to(x, (*batch, x.shape[-1])) for x in start))
    states = [reached]
    for t in range(controls.shape[-2]):
        reached = step(model, reached, controls[..., t, :], n_steps)
        if (t + 1) % interval == 0 or t + 1 == controls.shape[-2]:
            states.append(reached)
    qpos, qvel, act = (np.stack(x, axis=-2) for x in zip(*states, strict=True))
    return Trajectory(qpos, qvel, act, controls, n_steps, interval)


def rollout_vjp(model: Model, trajectory: Trajectory, cotangents: Any, params: bool = False) -> RolloutGradient:
    """Gradient of sum over k of cotangents[k] . checkpoint[k]; `cotangents` (..., K + 1, nx)."""
    _refuse_params(params)
    ctrl, interval, kept = trajectory.ctrl, trajectory.checkpoint_interval, trajectory.qpos.shape[-2]
    seeds = floats_of("cotangents", cotangents, tangent_size(model), (*ctrl.shape[:-2], kept))
    ctrls_adj = np.empty_like(ctrl)
    state_adj = seeds[..., kept - 1, :]
    for k in range(kept - 2, -1, -1):
        first = k * interval
        last = min(first + interval, ctrl.shape[-2]) - 1
        block = [trajectory.state(first)]
        for t in range(first, last):
            block.append(step(model, block[-1], ctrl[..., t, :], trajectory.n_steps))
        for t in range(last, first - 1, -1):
            pulled = step_vjp(model, block[t - first], ctrl[..., t, :], state_adj, trajectory.n_steps)
            ctrls_adj[..., t, :] = pulled.ctrl
            state_adj = pulled.state
        state_adj = state_adj + seeds[..., k, :]
    return RolloutGradient(state_adj, ctrls_adj, None)


def _refuse_params(params: bool) -> None:
    if params:
        raise ValueError("params=True: MuJoCo gives no gradients by the model's parameters, use `sim`")


def _difference_one_step(m: mujoco.MjModel, d: mujoco.MjData) -> tuple[Floats, Floats]:
    """A and B of one `mj_step` at the state in `d`, which is left unchanged."""
    nx = 2 * m.nv + m.na
    if int(m.opt.integrator) != int(mujoco.mjtIntegrator.mjINT_RK4):
        a, b = np.empty((nx, nx)), np.empty((nx, m.nu))
        mujoco.mjd_transitionFD(m, d, DIFFERENCE_STEP, True, a, b if m.nu else None, None, None)
        return a, b
    point = _Point(m, d)
    a = np.stack([point.state_column(d, i) for i in range(nx)], axis=1)
    columns = [point.ctrl_column(d, i) for i in range(m.nu)]
    b = np.stack(columns, axis=1) if columns else np.zeros((nx, 0))
    point.restore(d)
    return a, b


class _Point:
    """A state and control around which `mj_step` is differenced."""

    def __init__(self, m: mujoco.MjModel, d: mujoco.MjData) -> None:
        self.m = m
        self.time = d.time
        self.qpos, self.qvel, self.act = d.qpos.copy(), d.qvel.copy(), d.act.copy()
        self.ctrl, self.warmstart = d.ctrl.copy(), d.qacc_warmstart.copy()

    def restore(self, d: mujoco.MjData) -> None:
        d.time = self.time
        d.qpos[:], d.qvel[:], d.act[:] = self.qpos, self.qvel, self.act
        d.ctrl[:], d.qacc_warmstart[:] = self.ctrl, self.warmstart

    def state_column(self, d: mujoco.MjData, index: int) -> Floats:
        ends = [self._state_nudged(d, index, sign * DIFFERENCE_STEP) for sign in (-1, 1)]
        return self._difference(ends[0], ends[1], 2 * DIFFERENCE_STEP)

    def ctrl_column(self, d: mujoco.MjData, index: int) -> Floats:
        low, high = self.ctrl[index] - DIFFERENCE_STEP, self.ctrl[index] + DIFFERENCE_STEP
        clamped = not int(self.m.opt.disableflags) & int(mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL)
        if self.m.actuator_ctrllimited[index] and clamped:
            inside = np.clip([low, high], *self.m.actuator_ctrlrange[index])
            # Beyond the range both ends clip to the same value: the true derivative there is zero.
            low, high = inside if inside[1] > inside[0] else (low, high)
        return self._difference(self._ctrl_set(d, index, low), self._ctrl_set(d, index, high), high - low)

    def _state_nudged(self, d: mujoco.MjData, index: int, amount: float) -> Any:
        self.restore(d)
        nv = self.m.nv
        if index < nv:
            direction = np.zeros(nv)
            direction[index] = amount
            mujoco.mj_integratePos(self.m, d.qpos, direction, 1.0)
        elif index < 2 * nv:
            d.qvel[index - nv] += amount
        else:
            d.act[index - 2 * nv] += amount
        return self._value(d)

    def _ctrl_set(self, d: mujoco.MjData, index: int, value: float) -> Any:
        self.restore(d)
        d.ctrl[index] = value
        return self._value(d)

    def _value(self, d: mujoco.MjData) -> Any:
        mujoco.mj_step(self.m, d)
        return State(d.qpos.copy(), d.qvel.copy(), d.act.copy())

    def _difference(self, low: Any, high: Any, width: float) -> Floats:
        dqpos = np.empty(self.m.nv)
        mujoco.mj_differentiatePos(self.m, dqpos, width, low.qpos, high.qpos)
        return np.concatenate([dqpos, (high.qvel - low.qvel) / width, (high.act - low.act) / width])


class _ForcePoint(_Point):
    """The same for the weighted sum of the forces on the bodies."""

    def __init__(self, m: mujoco.MjModel, d: mujoco.MjData, weights: Floats) -> None:
        super().__init__(m, d)
        self.weights = weights

    def _value(self, d: mujoco.MjData) -> Any:
        return np.sum(self.weights * _external_force(self.m, d))

    def _difference(self, low: Any, high: Any, width: float) -> Floats:
        return (high - low) / width

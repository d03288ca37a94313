"""Central differences of `mj_step`, and of the forces on bodies, on the state's manifold.

MuJoCo has no analytic derivatives. `mjd_transitionFD` is its own, which refuses RK4 and knows neither
mocap poses nor applied forces; the rest is made here, in the same way.
"""

from typing import Any

import mujoco
import numpy as np

from .kernels.record import Floats
from .model.inputs import Inputs
from .model.model import State

# Step of the differences [rad, m, ...]: truncation and rounding both stay near 1e-9 relative.
DIFFERENCE_STEP = 1e-6


def external_force(m: mujoco.MjModel, d: mujoco.MjData) -> Floats:
    mujoco.mj_forward(m, d)
    mujoco.mj_rnePostConstraint(m, d)
    return d.cfrc_ext


def difference_one_step(m: mujoco.MjModel, d: mujoco.MjData) -> tuple[Floats, Floats]:
    """A and B of one `mj_step` at the state in `d`, which is left unchanged."""
    nx = 2 * m.nv + m.na
    if int(m.opt.integrator) != int(mujoco.mjtIntegrator.mjINT_RK4):
        a, b = np.empty((nx, nx)), np.empty((nx, m.nu))
        mujoco.mjd_transitionFD(m, d, DIFFERENCE_STEP, True, a, b if m.nu else None, None, None)
        return a, b
    point = Point(m, d)
    a = np.stack([point.state_column(d, i) for i in range(nx)], axis=1)
    columns = [point.ctrl_column(d, i) for i in range(m.nu)]
    b = np.stack(columns, axis=1) if columns else np.zeros((nx, 0))
    point.restore(d)
    return a, b


class Point:
    """A state and control around which `mj_step` is differenced."""

    def __init__(self, m: mujoco.MjModel, d: mujoco.MjData) -> None:
        self.m = m
        self.time = d.time
        self.qpos, self.qvel, self.act = d.qpos.copy(), d.qvel.copy(), d.act.copy()
        self.ctrl, self.warmstart = d.ctrl.copy(), d.qacc_warmstart.copy()
        self.inputs = {name: getattr(d, name).copy() for name in Inputs._fields}

    def restore(self, d: mujoco.MjData) -> None:
        d.time = self.time
        d.qpos[:], d.qvel[:], d.act[:] = self.qpos, self.qvel, self.act
        d.ctrl[:], d.qacc_warmstart[:] = self.ctrl, self.warmstart
        for name, value in self.inputs.items():
            getattr(d, name)[...] = value

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

    def input_columns(self, d: mujoco.MjData, inputs: Inputs, zero: Any) -> list[Any]:
        """By mocap positions, orientations (tangents), applied forces; `zero` for forces that are not given."""
        m = self.m
        columns = [self._input_column(d, "mocap_pos", i) for i in range(3 * m.nmocap)]
        columns += [self._input_column(d, "mocap_quat", i) for i in range(3 * m.nmocap)]
        for name, size in (("qfrc_applied", m.nv), ("xfrc_applied", 6 * m.nbody)):
            given = getattr(inputs, name) is not None
            columns += [self._input_column(d, name, i) if given else zero for i in range(size)]
        return columns

    def _input_column(self, d: mujoco.MjData, name: str, index: int) -> Floats:
        ends = [self._input_nudged(d, name, index, sign * DIFFERENCE_STEP) for sign in (-1, 1)]
        return self._difference(ends[0], ends[1], 2 * DIFFERENCE_STEP)

    def _input_nudged(self, d: mujoco.MjData, name: str, index: int, amount: float) -> Any:
        self.restore(d)
        if name == "mocap_quat":
            turn = np.zeros(3)
            turn[index % 3] = amount
            mujoco.mju_normalize4(d.mocap_quat[index // 3])
            mujoco.mju_quatIntegrate(d.mocap_quat[index // 3], turn, 1.0)
        else:
            getattr(d, name).reshape(-1)[index] += amount
        return self._value(d)

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


class ForcePoint(Point):
    """The same for the weighted sum of the forces on the bodies."""

    def __init__(self, m: mujoco.MjModel, d: mujoco.MjData, weights: Floats) -> None:
        super().__init__(m, d)
        self.weights = weights

    def _value(self, d: mujoco.MjData) -> Any:
        return np.sum(self.weights * external_force(self.m, d))

    def _difference(self, low: Any, high: Any, width: float) -> Floats:
        return (high - low) / width

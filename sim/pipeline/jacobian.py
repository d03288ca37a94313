"""Whole Jacobians of a step, from one reverse sweep with a lane for every row.

The rows of the position need no lanes of their own after one Euler step: the next position is the
old one moved by the next velocity, so its derivative is that of the velocity times that of
`integrate_pos`. Half the lanes are left. What costs most in a lane is replaced (`JACOBIAN` in `parts.py`):
derivatives of joint forces are made once, and multiplied by all lanes.
"""

from ..dynamics.integrate import integrate_pos_adj
from ..kernels.jit import kernel
from ..kernels.record import Floats, Ints, struct_at
from ..model.data import Data, Lanes, States
from ..model.inputs import InputRows
from ..model.model import Model
from .worlds import clear_cotangent, load_ctrl, load_inputs, load_world, steps_adj


@kernel
def jacobian_worlds(
    begin: int, end: int, m: Model, models: Ints, d: Data, w: Lanes, between: States,
    qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats, inputs: InputRows, A: Floats, B: Floats,
) -> None:  # fmt: skip
    """Fill A (worlds, nx, nx), B (worlds, nx, nu) of as many steps as `between` has room for; lanes: nx or more."""
    for b in range(begin, end):
        m = struct_at(m, models, b)
        clear_cotangent(w)
        for v in range(m.nv):
            w.qpos_adj[v, v], w.qvel_adj[v, m.nv + v] = 1.0, 1.0
        _load(m, d, w, 2 * m.nv, qpos[b], qvel[b], act[b], ctrl[b])
        load_inputs(m, d, inputs, b, 0)
        steps_adj(m, d, w, between)
        for k in range(A.shape[1]):
            _store_row(m, w, k, A[b, k], B[b, k])


@kernel
def step_jacobian_worlds(
    begin: int, end: int, m: Model, models: Ints, d: Data, w: Lanes, between: States,
    qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats, inputs: InputRows, A: Floats, B: Floats,
) -> None:  # fmt: skip
    """The same for one step of an integrator that moves the position by the next velocity; nv + na lanes or more."""
    nv = m.nv
    for b in range(begin, end):
        m = struct_at(m, models, b)
        clear_cotangent(w)
        for v in range(nv):
            w.qvel_adj[v, v] = 1.0
        _load(m, d, w, nv, qpos[b], qvel[b], act[b], ctrl[b])
        load_inputs(m, d, inputs, b, 0)
        steps_adj(m, d, w, between)
        for k in range(nv + m.na):
            _store_row(m, w, k, A[b, nv + k], B[b, nv + k])
        _fill_position_rows(m, d, A[b], B[b])


@kernel
def _fill_position_rows(m: Model, d: Data, A: Floats, B: Floats) -> None:
    """Rows of the next position from those of the next velocity, whose step from the old position is in shift_sum.

    A joint's position moves by its own velocity alone.
    """
    nv, by_start, by_shift = m.nv, d.pos_by_start, d.pos_by_shift
    for i in range(nv):
        for j in range(nv):
            by_start[i, j], by_shift[i, j] = 1.0 if i == j else 0.0, 0.0
    integrate_pos_adj(m, by_start, by_shift, d.shift_sum, m.timestep)
    for i in range(nv):
        joint = m.dof_jntid[i]
        first, end = m.jnt_dofadr[joint], m.jnt_dofadr[joint + 1] if joint + 1 < m.njnt else nv
        A[i, :] = 0.0
        B[i, :] = 0.0
        for v in range(first, end):
            A[i, v] = by_start[v, i]
        for v in range(first, end):
            s = by_shift[v, i]
            if s != 0.0:
                for j in range(A.shape[1]):
                    A[i, j] += s * A[nv + v, j]
                for j in range(m.nu):
                    B[i, j] += s * B[nv + v, j]


@kernel
def _load(m: Model, d: Data, w: Lanes, first: int, qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats) -> None:
    """State and control, and unit cotangents of the activations from lane `first` on."""
    for a in range(m.na):
        w.act_adj[a, first + a] = 1.0
    load_world(m, d, qpos, qvel, act)
    load_ctrl(m, d, ctrl)


@kernel
def _store_row(m: Model, w: Lanes, k: int, by_state: Floats, by_ctrl: Floats) -> None:
    for v in range(m.nv):
        by_state[v], by_state[m.nv + v] = w.qpos_adj[v, k], w.qvel_adj[v, k]
    for a in range(m.na):
        by_state[2 * m.nv + a] = w.act_adj[a, k]
    for i in range(m.nu):
        by_ctrl[i] = w.ctrl_adj[i, k]

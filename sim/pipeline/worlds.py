"""The loops over worlds: trajectories, and back along them, for the step that `parts.py` binds."""

from ..constraint.contact_force import contact_force
from ..dynamics.kinematics import geom_site_poses, site_poses
from ..kernels.jit import kernel, sequence
from ..kernels.record import Floats, Ints, struct_at
from ..kernels.spatial import lanes_set
from ..model.data import Data, Lanes, States
from ..model.inputs import InputAdjoints, InputRows
from ..model.model import Model
from .step import forward, forward_constrained, step, step_adj


@kernel
def load_world(m: Model, d: Data, qpos: Floats, qvel: Floats, act: Floats) -> None:
    """Copy one world's state into the workspace."""
    for i in range(m.nq):
        d.qpos[i] = qpos[i]
    for i in range(m.nv):
        d.qvel[i] = qvel[i]
        d.qacc_warmstart[i] = 0.0  # so that results do not depend on what ran before
    for i in range(m.na):
        d.act[i] = act[i]


@kernel
def store_world(m: Model, d: Data, qpos: Floats, qvel: Floats, act: Floats) -> None:
    """Copy the workspace's state out."""
    for i in range(m.nq):
        qpos[i] = d.qpos[i]
    for i in range(m.nv):
        qvel[i] = d.qvel[i]
    for i in range(m.na):
        act[i] = d.act[i]


@kernel
def load_ctrl(m: Model, d: Data, ctrl: Floats) -> None:
    """Copy one world's control into the workspace."""
    for i in range(m.nu):
        d.ctrl[i] = ctrl[i]


@kernel
def load_inputs(m: Model, d: Data, inputs: InputRows, b: int, t: int) -> None:
    """Copy the mocap poses and applied forces of world `b` under control `t` into the workspace."""
    rows = inputs.mocap_pos.shape[1]
    for i in range(m.nmocap if rows > 0 else 0):
        for r in range(3):
            d.mocap_pos[i, r] = inputs.mocap_pos[b, min(t, rows - 1), i, r]
    rows = inputs.mocap_quat.shape[1]
    for i in range(m.nmocap if rows > 0 else 0):
        for r in range(4):
            d.mocap_quat[i, r] = inputs.mocap_quat[b, min(t, rows - 1), i, r]
    rows = inputs.qfrc_applied.shape[1]
    d.applied[0] = 1 if rows > 0 else 0
    for v in range(m.nv if rows > 0 else 0):
        d.qfrc_applied[v] = inputs.qfrc_applied[b, min(t, rows - 1), v]
    rows = inputs.xfrc_applied.shape[1]
    d.applied[1] = 1 if rows > 0 else 0
    for i in range(m.nbody if rows > 0 else 0):
        for r in range(6):
            d.xfrc_applied[i, r] = inputs.xfrc_applied[b, min(t, rows - 1), i, r]


@kernel
def clear_input_cotangents(m: Model, d: Data, w: Lanes) -> None:
    """Cotangents of control, mocap poses and applied forces <- 0."""
    w.ctrl_adj[:] = 0.0
    if m.nmocap > 0:
        w.mocap_adj[:] = 0.0
    if d.applied[0]:
        w.qfrc_applied_adj[:] = 0.0
    if d.applied[1]:
        w.xfrc_applied_adj[:] = 0.0


@kernel
def add_input_cotangents(m: Model, w: Lanes, out: InputAdjoints, b: int, t: int) -> None:
    """Add the cotangents of mocap poses and applied forces of world `b` under control `t` to `out`."""
    n = w.nlane
    rows = out.mocap_pos.shape[1]
    for i in range(m.nmocap if rows > 0 else 0):
        for r in range(3):
            for k in range(n):
                out.mocap_pos[b, min(t, rows - 1), i, r, k] += w.mocap_adj[i, r, k]
    rows = out.mocap_quat.shape[1]
    for i in range(m.nmocap if rows > 0 else 0):
        for r in range(3):
            for k in range(n):
                out.mocap_quat[b, min(t, rows - 1), i, r, k] += w.mocap_adj[i, 3 + r, k]
    rows = out.qfrc_applied.shape[1]
    for v in range(m.nv if rows > 0 else 0):
        for k in range(n):
            out.qfrc_applied[b, min(t, rows - 1), v, k] += w.qfrc_applied_adj[v, k]
    rows = out.xfrc_applied.shape[1]
    for i in range(m.nbody if rows > 0 else 0):
        for r in range(6):
            for k in range(n):
                out.xfrc_applied[b, min(t, rows - 1), i, r, k] += w.xfrc_applied_adj[i, r, k]


@kernel
def forward_world(m: Model, d: Data) -> None:
    """Everything that `sim.forward` reports, for the state in `d`."""
    forward(m, d)
    geom_site_poses(m, d)


@kernel
def forward_constrained_world(m: Model, d: Data) -> None:
    """The same with constraints."""
    forward_constrained(m, d)
    site_poses(m, d)
    contact_force(m, d)


@kernel
def rollout_worlds(
    begin: int,
    end: int,
    m: Model,
    models: Ints,
    d: Data,
    qpos: Floats,
    qvel: Floats,
    act: Floats,
    warmstart: Floats,
    ctrl: Floats,
    inputs: InputRows,
    n_steps: int,
    interval: int,
    unconverged: Ints,
) -> None:
    """`n_steps` steps under each of ctrl[b, :], from qpos[b, 0] etc., for b in [begin, end).

    World b has the model at the address models[b], or where there are none `m`.
    Fills qpos[b, k] etc. by the states after every `interval` controls and after the last one. Row
    k of `warmstart` (worlds, rows, nv), if it has rows, gets what the solver starts from there.
    unconverged[b, t] (worlds, T) gets the number of steps in which the solver was stopped before it converged.
    """
    steps = ctrl.shape[1]
    for b in range(begin, end):
        m = struct_at(m, models, b)
        load_world(m, d, qpos[b, 0], qvel[b, 0], act[b, 0])
        for t in range(steps):
            k = t // interval
            if t % interval == 0 and warmstart.shape[1] > 0:
                for v in range(m.nv):
                    warmstart[b, k, v] = d.qacc_warmstart[v]
            load_ctrl(m, d, ctrl[b, t])
            load_inputs(m, d, inputs, b, t)
            unconverged[b, t] = 0
            for _ in range(n_steps):
                d.unconverged[0] = 0
                step(m, d)
                unconverged[b, t] += min(d.unconverged[0], 1)
            if (t + 1) % interval == 0 or t + 1 == steps:
                store_world(m, d, qpos[b, k + 1], qvel[b, k + 1], act[b, k + 1])


@kernel
def add_cotangent(m: Model, w: Lanes, cotangent: Floats) -> None:
    """Add `cotangent` (nx, nlane) of a state to that in `w`."""
    for i in range(m.nv):
        for k in range(w.nlane):
            w.qpos_adj[i, k] += cotangent[i, k]
            w.qvel_adj[i, k] += cotangent[m.nv + i, k]
    for i in range(m.na):
        for k in range(w.nlane):
            w.act_adj[i, k] += cotangent[2 * m.nv + i, k]


@kernel
def store_cotangent(m: Model, w: Lanes, state_adj: Floats) -> None:
    """Copy the cotangent of the state (nx, nlane) out."""
    for i in range(m.nv):
        for k in range(w.nlane):
            state_adj[i, k] = w.qpos_adj[i, k]
            state_adj[m.nv + i, k] = w.qvel_adj[i, k]
    for i in range(m.na):
        for k in range(w.nlane):
            state_adj[2 * m.nv + i, k] = w.act_adj[i, k]


@kernel
def clear_cotangent(w: Lanes) -> None:
    """Cotangent of the state <- 0."""
    w.qpos_adj[:] = 0.0
    w.qvel_adj[:] = 0.0
    w.act_adj[:] = 0.0


@sequence
def steps_adj(m: Model, d: Data, w: Lanes, between: States) -> None:
    """Adjoint of as many steps as `between` has room for, under one control, from the state in `d`.

    Sets the cotangents of the control and of the other inputs.
    """
    n_steps = between.qpos.shape[0]
    clear_input_cotangents(m, d, w)
    for s in range(n_steps - 1):
        store_world(m, d, between.qpos[s], between.qvel[s], between.act[s])
        step(m, d)
    for s in range(n_steps - 1, -1, -1):
        if s < n_steps - 1:
            load_world(m, d, between.qpos[s], between.qvel[s], between.act[s])
        d.unconverged[0] = 0
        step_adj(m, d, w)
        d.unconverged_steps[0] += min(d.unconverged[0], 1)


@sequence
def _replay(
    m: Model, d: Data, block: States, ctrl: Floats, inputs: InputRows, b: int, first: int, last: int, n_steps: int
) -> None:
    """Fill `block` by the states before the controls ctrl[b, first] to ctrl[b, last], from that in `d`."""
    for t in range(first, last + 1):
        store_world(m, d, block.qpos[t - first], block.qvel[t - first], block.act[t - first])
        if t < last:
            load_ctrl(m, d, ctrl[b, t])
            load_inputs(m, d, inputs, b, t)
            for _ in range(n_steps):
                step(m, d)


@kernel
def rollout_adj_worlds(
    begin: int,
    end: int,
    m: Model,
    models: Ints,
    d: Data,
    w: Lanes,
    between: States,
    block: States,
    qpos: Floats,
    qvel: Floats,
    act: Floats,
    warmstart: Floats,
    ctrl: Floats,
    inputs: InputRows,
    cotangent: Floats,
    state_adj: Floats,
    ctrl_adj: Floats,
    input_adj: InputAdjoints,
) -> None:
    """Reverse of `rollout_worlds`, one lane per cotangent column.

    From `cotangent` (worlds, checkpoints, nx, nlane) of the states fill state_adj (worlds, nx, nlane)
    of the first state and ctrl_adj (worlds, steps, nu, nlane), and add to `input_adj`. `between` has
    room for the states of one control's steps, `block` for those of one checkpoint's controls.
    """
    n_steps, interval = between.qpos.shape[0], block.qpos.shape[0]
    for b in range(begin, end):
        m = struct_at(m, models, b)
        clear_cotangent(w)
        for k in range(qpos.shape[1] - 2, -1, -1):
            add_cotangent(m, w, cotangent[b, k + 1])
            first = k * interval
            last = min(first + interval, ctrl.shape[1]) - 1
            load_world(m, d, qpos[b, k], qvel[b, k], act[b, k])
            if warmstart.shape[1] > 0:
                for v in range(m.nv):
                    d.qacc_warmstart[v] = warmstart[b, k, v]
            _replay(m, d, block, ctrl, inputs, b, first, last, n_steps)
            for t in range(last, first - 1, -1):
                load_world(m, d, block.qpos[t - first], block.qvel[t - first], block.act[t - first])
                load_ctrl(m, d, ctrl[b, t])
                load_inputs(m, d, inputs, b, t)
                steps_adj(m, d, w, between)
                lanes_set(ctrl_adj[b, t], w.ctrl_adj)
                add_input_cotangents(m, w, input_adj, b, t)
        add_cotangent(m, w, cotangent[b, 0])
        store_cotangent(m, w, state_adj[b])

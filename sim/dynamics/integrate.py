"""Moving a configuration along its tangent space, activations along their rates; adjoints.

Positions move by mj_integratePos: q <- q + s for slides, hinges and translations, q <- q exp(s)
for quaternions, s in the body frame.
"""

from ..kernels.enums import BALL, FREE
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import (
    Vec3,
    mat_vec3,
    quat_exp,
    quat_mul,
    quat_normalize,
    quat_to_mat,
    right_jacobian_t,
    scale3,
)
from ..model.data import Data, Lanes
from ..model.model import Model
from .activation import activation_step, step_parameter_adj
from .circle import turn_length, turn_length_slope, whole_turns


@kernel
def integrate_pos(m: Model, out: Floats, qpos: Floats, shift: Floats, scale: float) -> None:
    """out = qpos moved by scale * shift; `out` may be `qpos`."""
    for j in range(m.njnt):
        a, v, kind = m.jnt_qposadr[j], m.jnt_dofadr[j], m.jnt_type[j]
        if kind == FREE:
            for i in range(3):
                out[a + i] = qpos[a + i] + scale * shift[v + i]
            a, v = a + 3, v + 3
        if kind == FREE or kind == BALL:
            turn = quat_exp(scale3(scale, (shift[v], shift[v + 1], shift[v + 2])))
            quat = quat_normalize((qpos[a], qpos[a + 1], qpos[a + 2], qpos[a + 3]))
            out[a], out[a + 1], out[a + 2], out[a + 3] = quat_mul(quat, turn)
        else:
            out[a] = qpos[a] + scale * shift[v]


@kernel
def integrate_pos_adj(m: Model, qpos_adj: Floats, shift_adj: Floats, shift: Floats, scale: float) -> None:
    """Pull `qpos_adj` of the moved configuration back to the start, add to `shift_adj`.

    exp(phi) moved by d is exp(phi) exp(d): the start's share is exp(phi) d, the shift's
    scale * Jr(phi)' d.
    """
    n = qpos_adj.shape[1]
    for j in range(m.njnt):
        v, kind = m.jnt_dofadr[j], m.jnt_type[j]
        rotations = 3 if (kind == FREE or kind == BALL) else 0
        for i in range(v, v + (1 if kind > 1 else (3 if kind == FREE else 0))):
            for k in range(n):
                shift_adj[i, k] += scale * qpos_adj[i, k]
        if rotations == 0:
            continue
        if kind == FREE:
            v += 3
        phi: Vec3 = scale3(scale, (shift[v], shift[v + 1], shift[v + 2]))
        turn = quat_to_mat(quat_exp(phi))
        for k in range(n):
            d: Vec3 = (qpos_adj[v, k], qpos_adj[v + 1, k], qpos_adj[v + 2, k])
            by_shift, by_start = right_jacobian_t(phi, d), mat_vec3(turn, d)
            for i in range(3):
                shift_adj[v + i, k] += scale * by_shift[i]
                qpos_adj[v + i, k] = by_start[i]


@kernel
def advance_activations(m: Model, d: Data) -> None:
    """act <- act after one step at the rate act_dot, kept inside actrange (mj_nextActivation)."""
    for i in range(m.nu):
        a = m.actuator_actadr[i]
        if a >= 0:
            value = d.act[a] + activation_step(m, i) * d.act_dot[a]
            if m.actuator_actlimited[i]:
                value = min(max(value, m.actuator_actrange[i, 0]), m.actuator_actrange[i, 1])
            turns = whole_turns(m, i, value - d.actuator_length[i])
            d.act[a] = value - turns * turn_length(m, i) if turns != 0.0 else value


@kernel
def advance_activations_adj(m: Model, d: Data, w: Lanes, act: Floats, act_dot: Floats) -> None:
    """From act_adj of the next activation (started at `act`): fill actdot_adj, mask act_adj."""
    for i in range(m.nu):
        a = m.actuator_actadr[i]
        if a >= 0:
            step = activation_step(m, i)
            value = act[a] + step * act_dot[a]
            free = not m.actuator_actlimited[i] or (m.actuator_actrange[i, 0] <= value <= m.actuator_actrange[i, 1])
            if w.with_params:
                _circle_adj(m, d, w, i, value)
                if free:
                    step_parameter_adj(m, w, i, w.act_adj[a, 0] * act_dot[a])
            for k in range(w.nlane):
                w.act_adj[a, k] = w.act_adj[a, k] if free else 0.0
                w.actdot_adj[a, k] = step * w.act_adj[a, k]


@kernel
def _circle_adj(m: Model, d: Data, w: Lanes, i: int, value: float) -> None:
    """The gear sets the length of the whole turns that the next activation leaves out."""
    if m.actuator_actlimited[i]:
        value = min(max(value, m.actuator_actrange[i, 0]), m.actuator_actrange[i, 1])
    turns = whole_turns(m, i, value - d.actuator_length[i])
    if turns != 0.0:
        for r in range(3):
            w.actuator_gear_adj[i, r] -= w.act_adj[m.actuator_actadr[i], 0] * turns * turn_length_slope(m, i, r)

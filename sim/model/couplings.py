"""Constants of what couples joints and bodies: fixed tendons, transmissions, equalities; made once per model.

MuJoCo documentation, Modeling, "Tendons" and XML reference, "actuator" and "equality". A fixed
tendon is a combination of scalar joints with constant coefficients, so the moment arms of all
actuators are constants too: one table holds them, whatever the transmission.
"""

from typing import Any

import mujoco
import numpy as np

from ..kernels.enums import CONNECT, JOINT, TENDON, TRN_JOINT, TRN_JOINTINPARENT, TRN_TENDON, WELD

ROWS = {CONNECT: 3, WELD: 6, JOINT: 1, TENDON: 1}
_DOFS_OF_JOINT = {
    int(mujoco.mjtJoint.mjJNT_FREE): 6,
    int(mujoco.mjtJoint.mjJNT_BALL): 3,
    int(mujoco.mjtJoint.mjJNT_SLIDE): 1,
    int(mujoco.mjtJoint.mjJNT_HINGE): 1,
}


def is_fixed(m: mujoco.MjModel, t: int) -> bool:
    """Whether tendon `t` is a combination of joints."""
    return int(m.tendon_type[t]) == int(mujoco.mjtTendon.mjTENDON_FIXED)


def tendon_fields(m: mujoco.MjModel, spring: bool, damper: bool, limit: bool, frictionloss: bool) -> dict[str, Any]:
    """The `tendon_*` and `wrap_*` fields that the flags change; spatial tendons, which exert no force, stay empty."""
    fixed = np.array([is_fixed(m, t) for t in range(m.ntendon)], bool)
    return {
        "tendon_num": np.where(fixed, m.tendon_num, 0),
        "tendon_stiffness": m.tendon_stiffness * spring,
        "tendon_damping": m.tendon_damping * damper,
        "tendon_limited": m.tendon_limited.astype(bool) & limit,
        "tendon_frictionloss": m.tendon_frictionloss * frictionloss,
    }


def moment_fields(m: mujoco.MjModel) -> dict[str, Any]:
    """The table of moment arms: actuator i acts on the entries moment_rowadr[i] to + moment_rownnz[i].

    An entry is a degree of freedom, the gear that counts for it, and a factor.
    """
    entries: list[tuple[int, int, float]] = []
    start, count = np.zeros(m.nu, np.int32), np.zeros(m.nu, np.int32)
    for i in range(m.nu):
        start[i], target, kind = len(entries), int(m.actuator_trnid[i, 0]), int(m.actuator_trntype[i])
        if kind == TRN_TENDON and is_fixed(m, target):
            for k in range(int(m.tendon_adr[target]), int(m.tendon_adr[target] + m.tendon_num[target])):
                entries.append((int(m.jnt_dofadr[m.wrap_objid[k]]), 0, float(m.wrap_prm[k])))
        elif kind in (TRN_JOINT, TRN_JOINTINPARENT):
            first = int(m.jnt_dofadr[target])
            entries += [(first + r, r, 1.0) for r in range(_DOFS_OF_JOINT[int(m.jnt_type[target])])]
        count[i] = len(entries) - start[i]
    return {
        "nmoment": len(entries),
        "moment_rowadr": start,
        "moment_rownnz": count,
        "moment_colind": np.array([entry[0] for entry in entries], np.int32),
        "moment_gear": np.array([entry[1] for entry in entries], np.int32),
        "moment_coef": np.array([entry[2] for entry in entries], np.float64),
    }


def is_simulated(m: mujoco.MjModel, e: int) -> bool:
    """Whether equality `e` is one of those that the simulator knows."""
    kind, second = int(m.eq_type[e]), int(m.eq_obj2id[e])
    if kind == TENDON:
        return is_fixed(m, int(m.eq_obj1id[e])) and (second < 0 or is_fixed(m, second))
    return kind in ROWS


def equality_fields(m: mujoco.MjModel, enabled: bool) -> dict[str, Any]:
    """The `eq_*` fields that are not MuJoCo's own.

    Equalities of bodies and of sites become alike: a point and an orientation in the frames of two bodies.
    """
    body, anchor, quat = np.zeros((m.neq, 2), np.int32), np.zeros((m.neq, 2, 3)), np.zeros((m.neq, 2, 4))
    active = m.eq_active0.astype(bool) & enabled
    for e in range(m.neq):
        kind, pair, data = int(m.eq_type[e]), (int(m.eq_obj1id[e]), int(m.eq_obj2id[e])), m.eq_data[e]
        if kind not in (CONNECT, WELD):
            continue
        if int(m.eq_objtype[e]) == int(mujoco.mjtObj.mjOBJ_SITE):
            sites = list(pair)
            body[e], anchor[e], quat[e] = m.site_bodyid[sites], m.site_pos[sites], m.site_quat[sites]
        else:
            body[e], quat[e] = pair, (data[6:10] if kind == WELD else (1, 0, 0, 0), (1, 0, 0, 0))
            anchor[e] = data[:6].reshape(2, 3)[:: -1 if kind == WELD else 1]
        # MuJoCo makes no rows if neither side can move
        active[e] &= any(_can_move(m, int(b)) for b in body[e])
    return {
        "eq_active0": active,
        "eq_bodyid": body,
        "eq_anchor1": anchor[:, 0],
        "eq_anchor2": anchor[:, 1],
        "eq_quat1": quat[:, 0],
        "eq_quat2": quat[:, 1],
    }


def _can_move(m: mujoco.MjModel, b: int) -> bool:
    while b > 0:
        if m.body_dofnum[b] > 0:
            return True
        b = int(m.body_parentid[b])
    return False


def widest_row(m: mujoco.MjModel, con_geom: np.ndarray, tendons: dict[str, Any], equalities: dict[str, Any]) -> int:
    """Most degrees of freedom of the trees that a constraint row touches, with those between a tendon's trees."""
    size = np.append(m.tree_dofnum, 0)  # the last for static bodies, whose tree is -1
    rows = [np.stack([m.body_treeid[m.geom_bodyid[con_geom[:, side]]] for side in range(2)], axis=1)]
    widths = [*(int(n) for n in m.tree_dofnum)]
    for t in np.flatnonzero(tendons["tendon_limited"] | (tendons["tendon_frictionloss"] > 0)):
        widths.append(_span_of_tendon(m, int(t)))
    for e in np.flatnonzero(equalities["eq_active0"]):
        objects = [int(t) for t in (m.eq_obj1id[e], m.eq_obj2id[e]) if t >= 0]
        if int(m.eq_type[e]) == TENDON:
            widths.append(sum(_span_of_tendon(m, t) for t in objects))
        elif int(m.eq_type[e]) == JOINT:
            widths.append(sum(int(size[m.dof_treeid[m.jnt_dofadr[j]]]) for j in objects))
        else:
            rows.append(m.body_treeid[equalities["eq_bodyid"][e]].reshape(1, 2))
    trees = np.concatenate(rows)
    apart = trees[:, 0] != trees[:, 1]
    widths.append(int((size[trees[:, 0]] + apart * size[trees[:, 1]]).max(initial=0)))
    return min(max(widths), int(m.nv))


def _span_of_tendon(m: mujoco.MjModel, t: int) -> int:
    """Degrees of freedom of the trees of a fixed tendon and of those between them."""
    first = int(m.tendon_adr[t])
    trees = m.dof_treeid[m.jnt_dofadr[m.wrap_objid[first : first + int(m.tendon_num[t])]]]
    return int(m.tree_dofnum[trees.min() : trees.max() + 1].sum())

"""Constants of what couples joints and bodies: fixed tendons, transmissions, equalities; made once per model.

MuJoCo documentation, Modeling, "Tendons" and XML reference, "actuator" and "equality". A fixed
tendon is a combination of scalar joints with constant coefficients, so the moment arms of all
actuators are constants too: one table holds them, whatever the transmission.
"""

from typing import Any

import mujoco
import numpy as np

from ..kernels.enums import CONNECT, JOINT, TENDON, TRN_JOINT, TRN_JOINTINPARENT, TRN_TENDON, WELD
from ..kernels.record import Ints
from .source import Source
from .tendon_paths import are_fixed

ROWS = {CONNECT: 3, WELD: 6, JOINT: 1, TENDON: 1}
_SITE = int(mujoco.mjtObj.mjOBJ_SITE)
_DOFS_OF_JOINT = {
    int(mujoco.mjtJoint.mjJNT_FREE): 6,
    int(mujoco.mjtJoint.mjJNT_BALL): 3,
    int(mujoco.mjtJoint.mjJNT_SLIDE): 1,
    int(mujoco.mjtJoint.mjJNT_HINGE): 1,
}


def tendon_fields(m: Source, spring: bool, damper: bool, limit: bool, frictionloss: bool) -> dict[str, Any]:
    """The `tendon_*` fields that the flags change."""
    return {
        "tendon_num": np.where(are_fixed(m), m.tendon_num, 0),
        "tendon_stiffness": m.tendon_stiffness * spring,
        "tendon_stiffnesspoly": m.tendon_stiffnesspoly * spring,
        "tendon_damping": m.tendon_damping * damper,
        "tendon_dampingpoly": m.tendon_dampingpoly * damper,
        "tendon_limited": m.tendon_limited.astype(bool) & limit,
        "tendon_frictionloss": m.tendon_frictionloss * frictionloss,
    }


def moment_fields(m: Source) -> dict[str, Any]:
    """The table of moment arms: actuator i acts on the entries moment_rowadr[i] to + moment_rownnz[i].

    An entry is a degree of freedom, the gear that counts for it, and a factor.
    """
    entries: list[tuple[int, int, float]] = []
    start, count = np.zeros(m.nu, np.int32), np.zeros(m.nu, np.int32)
    fixed, first, wrapped, coef = are_fixed(m), m.jnt_dofadr.tolist(), m.wrap_objid, m.wrap_prm
    begin, number, types = m.tendon_adr, m.tendon_num, m.jnt_type
    for i, (kind, target) in enumerate(zip(m.actuator_trntype.tolist(), m.actuator_trnid[:, 0].tolist(), strict=True)):
        start[i] = len(entries)
        if kind == TRN_TENDON and fixed[target]:
            for k in range(begin[target], begin[target] + number[target]):
                entries.append((first[wrapped[k]], 0, float(coef[k])))
        elif kind in (TRN_JOINT, TRN_JOINTINPARENT):
            entries += [(first[target] + r, r, 1.0) for r in range(_DOFS_OF_JOINT[int(types[target])])]
        count[i] = len(entries) - start[i]
    return {
        "nmoment": len(entries),
        "moment_rowadr": start,
        "moment_rownnz": count,
        "moment_colind": np.array([entry[0] for entry in entries], np.int32),
        "moment_gear": np.array([entry[1] for entry in entries], np.int32),
        "moment_coef": np.array([entry[2] for entry in entries], np.float64),
    }


def are_simulated(m: Source) -> Any:
    """Which equalities (neq) are of those that the simulator knows."""
    return np.isin(m.eq_type, list(ROWS))


def equality_fields(m: Source, enabled: bool) -> dict[str, Any]:
    """The `eq_*` fields that are not MuJoCo's own.

    Equalities of bodies and of sites become alike: a point and an orientation in the frames of two bodies.
    """
    body, anchor, quat = np.zeros((m.neq, 2), np.int32), np.zeros((m.neq, 2, 3)), np.zeros((m.neq, 2, 4))
    objects, data, of_sites = np.stack([m.eq_obj1id, m.eq_obj2id], axis=1), m.eq_data, m.eq_objtype == _SITE
    holds = (m.eq_type == CONNECT) | (m.eq_type == WELD)
    sites, bodies = objects[holds & of_sites], holds & ~of_sites
    body[holds & of_sites], anchor[holds & of_sites] = m.site_bodyid[sites], m.site_pos[sites]
    quat[holds & of_sites] = m.site_quat[sites]
    body[bodies], quat[bodies] = objects[bodies], (1, 0, 0, 0)
    anchor[bodies] = data[bodies, :6].reshape(-1, 2, 3)
    weld = bodies & (m.eq_type == WELD)
    anchor[weld], quat[weld, 0] = anchor[weld, ::-1], data[weld, 6:10]
    # MuJoCo makes no rows if neither side can move
    moves = np.any(m.body_treeid[body] >= 0, axis=1) | ~holds
    return {
        "eq_active0": m.eq_active0.astype(bool) & enabled & moves,
        "eq_bodyid": body,
        "eq_anchor1": anchor[:, 0],
        "eq_anchor2": anchor[:, 1],
        "eq_quat1": quat[:, 0],
        "eq_quat2": quat[:, 1],
    }


def widest_row(
    m: Source, con_geom: Ints, tendons: Ints, spans_of_tendons: Ints, equalities: Ints, eq_bodyid: Ints
) -> int:
    """Most degrees of freedom of the trees that a constraint row touches, with those between a tendon's trees.

    `tendons` and `equalities` say of each whether it has rows.
    """
    size = np.append(m.tree_dofnum, 0)  # the last for static bodies, whose tree is -1
    of_geom, widths = m.body_treeid[m.geom_bodyid], [int(size.max())]

    def widest(first: Ints, second: Ints) -> int:
        return int((size[first] + (first != second) * size[second]).max(initial=0))

    widths.append(widest(of_geom[con_geom[:, 0]], of_geom[con_geom[:, 1]]))
    widths.append(int(spans_of_tendons[tendons].max(initial=0)))
    kinds, objects = m.eq_type, np.stack([m.eq_obj1id, m.eq_obj2id], axis=1)
    held = eq_bodyid[equalities & ((kinds == CONNECT) | (kinds == WELD))]
    widths.append(widest(m.body_treeid[held[:, 0]], m.body_treeid[held[:, 1]]))
    joint_width = np.append(size[m.dof_treeid[m.jnt_dofadr]], 0)  # the last: no second joint
    widths.append(int(joint_width[objects[equalities & (kinds == JOINT)]].sum(axis=1).max(initial=0)))
    widths.append(
        int(np.append(spans_of_tendons, 0)[objects[equalities & (kinds == TENDON)]].sum(axis=1).max(initial=0))
    )
    return min(max(widths), int(m.nv))

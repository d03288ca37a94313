"""Constants of what couples joints and bodies: fixed tendons, transmissions, equalities; made once per model.

MuJoCo documentation, Modeling, "Tendons" and XML reference, "actuator" and "equality". A fixed
tendon is a combination of scalar joints with constant coefficients, so its moment arms are constants,
as are those of joints: one table holds them. It also lists what moment arms that move with the pose act on.
"""

from typing import Any

import mujoco
import numpy as np

from ..kernels.enums import (
    BALL,
    CONNECT,
    FREE,
    JOINT,
    TENDON,
    TRN_BODY,
    TRN_JOINT,
    TRN_JOINTINPARENT,
    TRN_SITE,
    TRN_SLIDERCRANK,
    TRN_TENDON,
    WELD,
)
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


def tendon_fields(m: Source, moves: Any, spring: bool, damper: bool, limit: bool, frictionloss: bool) -> dict[str, Any]:
    """The `tendon_*` fields that the flags change; one that nothing `moves` (ntendon) has no rows, as in MuJoCo."""
    return {
        "tendon_num": np.where(are_fixed(m), m.tendon_num, 0),
        "tendon_stiffness": m.tendon_stiffness * spring,
        "tendon_stiffnesspoly": m.tendon_stiffnesspoly * spring,
        "tendon_damping": m.tendon_damping * damper,
        "tendon_dampingpoly": m.tendon_dampingpoly * damper,
        "tendon_limited": m.tendon_limited.astype(bool) & limit & moves,
        "tendon_frictionloss": m.tendon_frictionloss * (frictionloss & moves),
    }


def moment_fields(m: Source, rowadr: Ints, rownnz: Ints, shifts: Ints) -> dict[str, Any]:
    """The table of moment arms: actuator i acts on the entries moment_rowadr[i] to + moment_rownnz[i].

    An entry is a degree of freedom, the gear that counts for it, and a factor. Of an actuator whose moment
    arms move with the pose only the first counts, and for two bodies the factor's sign: whose it is.
    Spatial tendons have theirs in `shifts`, from rowadr on, rownnz of them.
    """
    entries: list[tuple[int, int, float]] = []
    start, count = np.zeros(m.nu, np.int32), np.zeros(m.nu, np.int32)
    moves, turn = np.zeros(m.nu, np.int32), np.full(m.nu, -1, np.int32)
    other, gear = m.actuator_trnid.reshape(m.nu, 2)[:, 1].tolist(), m.actuator_gear
    fixed, first, wrapped, coef = are_fixed(m), m.jnt_dofadr.tolist(), m.wrap_objid, m.wrap_prm
    begin, number, types, dofs = m.tendon_adr, m.tendon_num, m.jnt_type, shifts.tolist()
    for i, (kind, target) in enumerate(zip(m.actuator_trntype.tolist(), m.actuator_trnid[:, 0].tolist(), strict=True)):
        start[i] = len(entries)
        if kind == TRN_TENDON and fixed[target]:
            for k in range(begin[target], begin[target] + number[target]):
                entries.append((first[wrapped[k]], 0, float(coef[k])))
        elif kind == TRN_TENDON:
            begins = rowadr[target]
            entries += [(v, 0, 1.0) for v in dofs[begins : begins + rownnz[target]]]
            moves[i] = True
        elif kind in (TRN_JOINT, TRN_JOINTINPARENT):
            entries += [(first[target] + r, r, 1.0) for r in range(_DOFS_OF_JOINT[int(types[target])])]
            moves[i] = kind == TRN_JOINTINPARENT and types[target] in (FREE, BALL)
            turn[i] = 0 if types[target] == BALL else -1
        elif kind in (TRN_SITE, TRN_SLIDERCRANK):
            second = int(m.site_bodyid[other[i]]) if other[i] >= 0 else 0
            one, two = _separate_dofs(m, int(m.site_bodyid[target]), second)
            entries += [(v, 0, 1.0) for v in one] + [(v, 0, -1.0) for v in two]
            moves[i] = True
            turn[i] = 3 if kind == TRN_SITE and other[i] >= 0 and not gear[i, :3].any() else -1
        elif kind == TRN_BODY:
            entries += [(v, 0, 1.0) for v in range(m.nv)]
            moves[i] = True
        count[i] = len(entries) - start[i]
    return {
        "nmoment": len(entries),
        "nmovingarm": int(count[moves != 0].max(initial=0)),
        "moment_moves": moves,
        "actuator_turngear": turn,
        "moment_rowadr": start,
        "moment_rownnz": count,
        "moment_colind": np.array([entry[0] for entry in entries], np.int32),
        "moment_gear": np.array([entry[1] for entry in entries], np.int32),
        "moment_coef": np.array([entry[2] for entry in entries], np.float64),
    }


def _separate_dofs(m: Source, one: int, two: int) -> tuple[list[int], list[int]]:
    """Degrees of freedom that move one of two bodies and not the other, from the root."""
    chains = [_chain(m, body) for body in (one, two)]
    return [v for v in chains[0] if v not in chains[1]], [v for v in chains[1] if v not in chains[0]]


def _chain(m: Source, body: int) -> list[int]:
    """Degrees of freedom that move `body`, from the root."""
    body, found = int(m.body_weldid[body]), list[int]()
    v = int(m.body_dofadr[body] + m.body_dofnum[body]) - 1 if m.body_dofnum[body] else -1
    while v >= 0:
        found.append(v)
        v = int(m.dof_parentid[v])
    return found[::-1]


def are_simulated(m: Source) -> Any:
    """Which equalities (neq) are of those that the simulator knows."""
    return np.isin(m.eq_type, list(ROWS))


def equality_fields(m: Source, tendons_move: Any, enabled: bool) -> dict[str, Any]:
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
    tied = np.append(tendons_move, False)[objects[m.eq_type == TENDON]]  # the last: no second tendon
    moves[m.eq_type == TENDON] = tied.any(axis=1)
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

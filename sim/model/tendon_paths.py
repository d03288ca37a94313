"""Tables of the tendons' paths: what a length consists of, and which coordinates change it; made once per model.

MuJoCo's XML reference, "tendon/spatial". The path falls apart into pieces, from a site to the next,
straight or past a geom. What moves one end of a piece against another end, or against the geom, is a
shift of the tendon: first degrees of freedom, for which the length's derivatives are the moment arms ten_J,
then coordinates of mocap bodies and positions of bodies in their parents, for derivatives only. A spatial
tendon that nothing asks for exerts no force, and has neither pieces nor shifts.
"""

from typing import Any, NamedTuple

import mujoco
import numpy as np

from ..kernels.enums import TENDON, TRN_TENDON
from ..kernels.record import Ints
from .source import Source

DOF, MOCAP, BODY_POS = 0, 1, 2  # kinds of shifts
FIRST_END, SECOND_END, OBSTACLE = 1, 2, 4  # bits: what of a piece a shift moves
_WRAP = mujoco.mjtWrap


_TENDON_TABLES = (
    *("tendon_spatial", "tendon_pieceadr", "tendon_piecenum"),
    *("ten_J_rowadr", "ten_J_rownnz", "tendon_shiftnum", "tendon_bendadr"),
)


class _Shift(NamedTuple):
    kind: int
    number: int  # degree of freedom, 6 * mocap body + coordinate, or 3 * body + axis
    body: int  # the body that it moves, with all that is behind


class _Piece(NamedTuple):
    sites: tuple[int, int]
    geom: int  # -1: none
    side: int  # side site, -1: none
    divisor: float


def are_fixed(m: Source) -> Any:
    """Which tendons (ntendon) are combinations of joints."""
    return m.tendon_type == int(mujoco.mjtTendon.mjTENDON_FIXED)


def _are_used(m: Source) -> Any:
    """Which tendons (ntendon) exert a force, or may."""
    used = m.tendon_limited.astype(bool) | (m.tendon_frictionloss != 0) | (m.tendon_armature != 0)
    used |= (m.tendon_stiffness != 0) | (m.tendon_damping != 0)
    used |= (m.tendon_stiffnesspoly != 0).any(axis=1) | (m.tendon_dampingpoly != 0).any(axis=1)
    used[m.actuator_trnid.reshape(-1, 2)[m.actuator_trntype == TRN_TENDON, 0]] = True
    tied = np.stack([m.eq_obj1id, m.eq_obj2id], axis=1)[(m.eq_type == TENDON) & (m.eq_active0 != 0)].ravel()
    used[tied[tied >= 0]] = True
    return used


def path_fields(m: Source) -> dict[str, Any]:
    """The tables of pieces (`piece_*`), of shifts (`shift_*`), of what they move (`move_*`) and of ten_bend."""
    fixed, used = are_fixed(m), _are_used(m)
    first, number, objects = m.tendon_adr.tolist(), m.tendon_num.tolist(), m.wrap_objid.tolist()
    pieces, shifts, moves, carried = list[_Piece](), list[_Shift](), list[tuple[int, int]](), list[int]()
    tables: dict[str, list[int]] = {name: [] for name in _TENDON_TABLES}
    tables |= {"piece_moveadr": [], "piece_movenum": []}
    of_joint = m.jnt_dofadr.tolist()
    for t in range(m.ntendon):
        own, own_pieces = list[_Shift](), list[_Piece]()
        if fixed[t]:
            joints = objects[first[t] : first[t] + number[t]]
            own = [_Shift(DOF, of_joint[j], int(m.jnt_bodyid[j])) for j in joints]
        elif used[t]:
            own_pieces = _pieces(m, t)
            own = sorted({s for piece in own_pieces for s in _shifts_of_piece(m, piece)})
        numbers = {shift: i for i, shift in enumerate(own)}
        dofs = sum(shift.kind == DOF for shift in own)
        size = dofs * len(own) if own_pieces else 0
        starts = len(own_pieces) > 0, len(pieces), len(own_pieces), len(shifts), dofs, len(own), len(carried)
        for name, value in zip(_TENDON_TABLES, starts, strict=True):
            tables[name].append(int(value))
        for piece in own_pieces:
            moved = sorted(_shifts_of_piece(m, piece).items())
            tables["piece_moveadr"].append(len(moves))
            tables["piece_movenum"].append(len(moved))
            moves += [(numbers[shift], ends) for shift, ends in moved]
        carried += [_carries(m, own[i % len(own)], own[i // len(own)]) for i in range(size)]
        pieces += own_pieces
        shifts += own
    return {
        **{name: np.array(values, np.int32) for name, values in tables.items()},
        "npiece": len(pieces),
        "nshift": len(shifts),
        "nmove": len(moves),
        "nbend": len(carried),
        "piece_siteid": np.array([piece.sites for piece in pieces], np.int32).reshape(-1, 2),
        "piece_geomid": np.array([piece.geom for piece in pieces], np.int32),
        "piece_sideid": np.array([piece.side for piece in pieces], np.int32),
        "piece_divisor": np.array([piece.divisor for piece in pieces], np.float64),
        "shift_kind": np.array([shift.kind for shift in shifts], np.int32),
        "shift_id": np.array([shift.number for shift in shifts], np.int32),
        "shift_bodyid": np.array([shift.body for shift in shifts], np.int32),
        "move_shift": np.array([move[0] for move in moves], np.int32),
        "move_ends": np.array([move[1] for move in moves], np.int32),
        "bend_carries": np.array(carried, np.int32),
    }


def _pieces(m: Source, t: int) -> list[_Piece]:
    """The pieces of spatial tendon `t`: those between consecutive sites of one branch."""
    found, divisor, before, geom, side = list[_Piece](), 1.0, -1, -1, -1
    for k in range(int(m.tendon_adr[t]), int(m.tendon_adr[t] + m.tendon_num[t])):
        kind, index = int(m.wrap_type[k]), int(m.wrap_objid[k])
        if kind == int(_WRAP.mjWRAP_PULLEY):
            divisor, before = float(m.wrap_prm[k]), -1
        elif kind == int(_WRAP.mjWRAP_SITE):
            if before >= 0:
                found.append(_Piece((before, index), geom, side, divisor))
            before, geom, side = index, -1, -1
        else:
            geom, side = index, round(float(m.wrap_prm[k]))
    return found


def _shifts_of_body(m: Source, body: int) -> set[_Shift]:
    """Everything that moves a body in the world."""
    found = set[_Shift]()
    while body > 0:
        first, number, joint = int(m.body_dofadr[body]), int(m.body_dofnum[body]), int(m.body_jntadr[body])
        found |= {_Shift(DOF, v, body) for v in range(first, first + number)}
        if m.body_mocapid[body] >= 0:
            found |= {_Shift(MOCAP, 6 * int(m.body_mocapid[body]) + i, body) for i in range(6)}
        elif joint < 0 or m.jnt_type[joint] != int(mujoco.mjtJoint.mjJNT_FREE):
            found |= {_Shift(BODY_POS, 3 * body + i, body) for i in range(3)}
        body = int(m.body_parentid[body])
    return found


def _shifts_of_piece(m: Source, piece: _Piece) -> dict[_Shift, int]:
    """What of a piece (bits) the shifts move that do not move it as a whole."""
    of = [_shifts_of_body(m, int(m.site_bodyid[site])) for site in piece.sites]
    if piece.geom >= 0:
        of.append(_shifts_of_body(m, int(m.geom_bodyid[piece.geom])))
    bits = FIRST_END, SECOND_END, OBSTACLE
    apart = set.union(*of) - set.intersection(*of)
    return {shift: sum(bit for bit, own in zip(bits, of, strict=False) if shift in own) for shift in apart}


def _carries(m: Source, shift: _Shift, dof: _Shift) -> int:
    """Whether a shift turns the motion axis of a degree of freedom along."""
    if shift.kind != DOF:
        return int(_is_behind(m, dof.body, shift.body))
    if dof.number == shift.number:
        return 0
    joint, other = int(m.dof_jntid[shift.number]), int(m.dof_jntid[dof.number])
    if joint == other and m.jnt_type[joint] in (int(mujoco.mjtJoint.mjJNT_BALL), int(mujoco.mjtJoint.mjJNT_FREE)):
        # the rotations turn with one another, and translate with the joint; translations stay
        turns = int(m.jnt_dofadr[joint]) + (3 if m.jnt_type[joint] == int(mujoco.mjtJoint.mjJNT_FREE) else 0)
        return int(dof.number >= turns)
    above = dof.number
    while above > shift.number:
        above = int(m.dof_parentid[above])
    return int(above == shift.number)


def _is_behind(m: Source, body: int, other: int) -> bool:
    while body > other:
        body = int(m.body_parentid[body])
    return body == other


def spans_of_tendons(m: Source, rowadr: Ints, rownnz: Ints, colind: Ints) -> Ints:
    """Degrees of freedom (ntendon) of the trees that tendons move, and of those between them."""
    before = np.concatenate([[0], np.cumsum(m.tree_dofnum)])
    spans, have = np.zeros(m.ntendon, np.int64), rownnz > 0
    first, number = rowadr[have], rownnz[have]
    begin = np.cumsum(number) - number
    trees = m.dof_treeid[colind[np.repeat(first - begin, number) + np.arange(number.sum())]]
    if len(trees):
        spans[have] = before[np.maximum.reduceat(trees, begin) + 1] - before[np.minimum.reduceat(trees, begin)]
    return spans

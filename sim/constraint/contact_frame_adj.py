"""How a contact's frame, position and distance push its bodies when these move.

A cotangent of frame and position is a torque on the frame and a force at the position (`contact_adj.py`).
"""

from ..collision.frame import FOLLOWS_AXIS, HELD, column3, row3, tangent_hint
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, cross3, dot3, load3, scale3, store3
from ..kernels.spatial import Vec6, axpy6, load6, scale6, sub6
from ..model.data import Data
from ..model.model import Model


@kernel
def frame_hinge(m: Model, d: Data, c: int) -> None:
    """Fill con_hinge: how the frame follows normal and hint."""
    normal, tangent, bitangent = row3(d.con_frame, c, 0), row3(d.con_frame, c, 1), row3(d.con_frame, c, 2)
    attached = d.con_hint[c] == FOLLOWS_AXIS
    hint = column3(d.geom_xmat, m.con_geom[d.con_pair[c], 1], 2) if attached else tangent_hint(normal)
    if d.con_hint[c] == HELD:
        hint = tangent
    length = dot3(hint, tangent)  # of the hint's part across the normal
    store3(d.con_hinge, 0, normal)
    store3(d.con_hinge, 1, scale3(1.0 / length, normal))
    store3(d.con_hinge, 2, scale3(-dot3(hint, normal), bitangent))
    store3(d.con_hinge, 3, cross3(hint, bitangent) if attached else (0.0, 0.0, 0.0))


@kernel
def frame_turn(f: Vec6, twist: Vec6) -> Vec6:
    """Torque on the frame, then cotangent of the position, of a wrench paired with a relative velocity."""
    torque, force = (f[0], f[1], f[2]), (f[3], f[4], f[5])
    turn, point = (twist[0], twist[1], twist[2]), (twist[3], twist[4], twist[5])
    by_frame = add3(cross3(torque, turn), cross3(force, point))
    by_pos = cross3(force, turn)
    return by_frame[0], by_frame[1], by_frame[2], by_pos[0], by_pos[1], by_pos[2]


@kernel
def frame_pushes(d: Data, held: bool, turn: Vec6, dist_adj: float) -> tuple[Vec6, Vec6]:
    """What pushes both bodies, at the contact; needs con_motion, con_hinge. May be of eight lanes.

    `turn` is the cotangent of frame and position; `held`: the first body is the world's, and its push unused.
    """
    torque, pos_adj, normal = (turn[0], turn[1], turn[2]), (turn[3], turn[4], turn[5]), load3(d.con_hinge, 0)
    about = dot3(torque, load3(d.con_hinge, 1))
    normal_adj = add3(cross3(torque, normal), scale3(about, load3(d.con_hinge, 2)))
    second = _motion_t(d, dist_adj, pos_adj, normal_adj)
    spun = add3((second[0], second[1], second[2]), scale3(about, load3(d.con_hinge, 3)))
    push2 = (spun[0], spun[1], spun[2], second[3], second[4], second[5])
    if held:
        return push2, push2
    whole = cross3(normal, normal_adj)
    return sub6((whole[0], whole[1], whole[2], pos_adj[0], pos_adj[1], pos_adj[2]), second), push2


@kernel
def _motion_t(d: Data, dist: float, pos: Vec3, normal: Vec3) -> Vec6:
    """Wrench on body 2 at the contact: transpose of con_motion times cotangents."""
    a = d.con_motion
    x = axpy6(pos[0], load6(a, 1), scale6(dist, load6(a, 0)))
    x = axpy6(pos[2], load6(a, 3), axpy6(pos[1], load6(a, 2), x))
    return axpy6(normal[2], load6(a, 6), axpy6(normal[1], load6(a, 5), axpy6(normal[0], load6(a, 4), x)))

"""A mocap body seen as a free body at rest whose six coordinates are given: its motion axes, for derivatives.

Before these coordinates is the world, which neither moves nor has a virtual velocity, so that of
what `rnea.py` says of a coordinate only the subtree's weight is left.
"""

from ..kernels.enums import FREE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, cross3, load3, load_mat3, sub3
from ..kernels.spatial import Vec6, cross_motion, lanes_add_dot, load6, scale6
from ..model.data import Data, Lanes
from ..model.model import Model


@kernel
def mocap_axis(d: Data, b: int, i: int) -> Vec6:
    """Motion of mocap body `b` along its coordinate `i`: the world's three axes, then turns about its own three."""
    if i < 3:
        return 0.0, 0.0, 0.0, 1.0 if i == 0 else 0.0, 1.0 if i == 1 else 0.0, 1.0 if i == 2 else 0.0
    r = load_mat3(d.xmat, b)
    axis: Vec3 = (r[0], r[3], r[6])
    if i == 4:
        axis = (r[1], r[4], r[7])
    elif i == 5:
        axis = (r[2], r[5], r[8])
    moment = cross3(axis, sub3(load3(d.subtree_com, b), load3(d.xpos, b)))
    return axis[0], axis[1], axis[2], moment[0], moment[1], moment[2]


@kernel
def has_own_position(m: Model, b: int) -> bool:
    """Whether body `b` is where the state says, whatever the model's body_pos."""
    return m.body_mocapid[b] >= 0 or (m.body_jntnum[b] > 0 and m.jnt_type[m.body_jntadr[b]] == FREE)


@kernel
def has_unturning(m: Model, d: Data) -> bool:
    """Whether there are forces that do not turn with the bodies: compensated weight, wind, applied ones."""
    return m.ngravcomp > 0 or m.windy > 0 or d.applied[1] > 0


@kernel
def mocap_weight_adj(m: Model, d: Data, w: Lanes) -> None:
    """Subtract the derivative of what `rne_adj` differentiates from mocap_adj: bodies on a mocap body turn with it."""
    for c in range(m.nmocap):
        b = m.mocap_bodyid[c]
        for i in range(3, 6):
            axis = mocap_axis(d, b, i)
            lanes_add_dot(w.mocap_adj, c, i, scale6(-1.0, cross_motion(load6(d.cacc, 0), axis)), w.wmom, b)
            if has_unturning(m, d):
                for k in range(w.nlane):
                    for r in range(3):
                        w.mocap_adj[c, i, k] -= axis[r] * w.wgrav[b, r, k]


@kernel
def mocap_push_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add the share of the subtrees' pushes, which are summed in wcor."""
    for c in range(m.nmocap):
        b = m.mocap_bodyid[c]
        for i in range(6):
            lanes_add_dot(w.mocap_adj, c, i, mocap_axis(d, b, i), w.wcor, b)

"""All contacts of a pose: broad phase by bounding spheres, then the pair's own geometry."""

from .._jit import kernel
from ..contact_pairs import PLANE, ROUND
from ..data import Data, Lanes
from ..model import Model
from ..rotation import Vec3, dot3, load3, sub3
from .frame import column3
from .round_geoms import collide_round
from .round_geoms_adj import collide_round_adj


@kernel
def collide(m: Model, d: Data) -> None:
    """Fill ncon, con_pair, con_dist, con_pos, con_frame."""
    d.ncon[0] = 0
    for pair in range(m.npair):
        if within_reach(m, d, pair) and m.con_family[pair] == ROUND:
            collide_round(m, d, pair)


@kernel
def collide_adj(
    m: Model, d: Data, w: Lanes, c: int, k: int, dist_adj: float, pos_adj: Vec3, x_adj: Vec3, y_adj: Vec3, z_adj: Vec3
) -> None:
    """Push the bodies of contact `c` in lane `k` with the cotangents of dist, pos and the frame's rows."""
    if m.con_family[d.con_pair[c]] == ROUND:
        collide_round_adj(m, d, w, c, k, dist_adj, pos_adj, x_adj, y_adj, z_adj)


@kernel
def within_reach(m: Model, d: Data, pair: int) -> bool:
    """Bounding spheres (or sphere and plane) closer than margin and gap."""
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    offset = sub3(load3(d.geom_xpos, g2), load3(d.geom_xpos, g1))
    reach = m.geom_rbound[g2] + m.con_margin[pair] + m.con_gap[pair]
    if m.geom_type[g1] == PLANE:
        return dot3(offset, column3(d.geom_xmat, g1, 2)) <= reach
    reach += m.geom_rbound[g1]
    return dot3(offset, offset) <= reach * reach

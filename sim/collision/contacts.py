"""All contacts of a pose: broad phase by bounding spheres, then the pair's own geometry."""

from .._jit import kernel
from ..contact_pairs import PLANE, ROUND
from ..data import Data
from ..model import Model
from ..rotation import dot3, load3, sub3
from .frame import column3
from .round_geoms import collide_round
from .round_motion import round_motion


@kernel
def collide(m: Model, d: Data) -> None:
    """Fill ncon, con_pair, con_dist, con_pos, con_frame, con_hint."""
    d.ncon[0] = 0
    for pair in range(m.npair):
        if within_reach(m, d, pair) and m.con_family[pair] == ROUND:
            collide_round(m, d, pair)


@kernel
def contact_motion(m: Model, d: Data, c: int) -> None:
    """Fill con_motion: how contact `c` moves with its bodies."""
    if m.con_family[d.con_pair[c]] == ROUND:
        round_motion(m, d, c)


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

"""All contacts of a pose: broad phase by bounding spheres, then the pair's own geometry."""

from .._jit import kernel
from ..contact_pairs import BOXED, BOXES, CONVEX, PLANE, RIMMED, ROUND
from ..data import Data
from ..model import Model
from ..rotation import dot3, load3, sub3
from .box_box import collide_box_box
from .box_box_motion import box_box_motion
from .box_geoms import collide_box
from .box_motion import box_motion
from .convex import collide_convex
from .convex_motion import convex_motion
from .frame import column3
from .rim_geoms import collide_rim
from .rim_motion import rim_motion
from .round_geoms import collide_round
from .round_motion import round_motion


@kernel
def collide(m: Model, d: Data) -> None:
    """Fill ncon, con_pair, con_dist, con_pos, con_frame, con_hint, con_feature."""
    d.ncon[0] = 0
    for pair in range(m.npair):
        if not within_reach(m, d, pair):
            continue
        family = m.con_family[pair]
        if family == ROUND:
            collide_round(m, d, pair)
        elif family == BOXED:
            collide_box(m, d, pair)
        elif family == BOXES:
            collide_box_box(m, d, pair)
        elif family == RIMMED:
            collide_rim(m, d, pair)
        elif family == CONVEX:
            collide_convex(m, d, pair)


@kernel
def contact_motion(m: Model, d: Data, c: int) -> None:
    """Fill con_motion: how contact `c` moves with its bodies."""
    family = m.con_family[d.con_pair[c]]
    if family == ROUND:
        round_motion(m, d, c)
    elif family == BOXED:
        box_motion(m, d, c)
    elif family == BOXES:
        box_box_motion(m, d, c)
    elif family == RIMMED:
        rim_motion(m, d, c)
    elif family == CONVEX:
        convex_motion(m, d, c)


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


@kernel
def no_contacts(m: Model, d: Data, pair: int) -> None:
    """In place of a family of geometry that the model lacks."""


@kernel
def no_motion(m: Model, d: Data, c: int) -> None:
    """In place of a family of geometry that the model lacks."""

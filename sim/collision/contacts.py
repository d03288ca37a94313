"""All contacts of a pose: broad phase, then the pair's own geometry."""

from ..kernels.apart import unit
from ..kernels.jit import kernel
from ..model.contact_pairs import BOXED, BOXES, CONVEX, FIELD, RIMMED, ROUND
from ..model.data import Data
from ..model.model import Model
from .box_box import collide_box_box
from .box_box_motion import box_box_motion
from .box_geoms import collide_box
from .box_motion import box_motion
from .broad_phase import near_pairs
from .convex import collide_convex
from .convex_motion import convex_motion
from .height_field import collide_height_field, height_field_motion
from .rim_geoms import collide_rim
from .rim_motion import rim_motion
from .round_geoms import collide_round
from .round_motion import round_motion


@unit
def collide(m: Model, d: Data) -> None:
    """Fill ncon, con_pair, con_dist, con_pos, con_frame, con_hint, con_feature."""
    near_pairs(m, d)
    d.ncon[0] = 0
    for i in range(d.nnear[0]):
        _collide_pair(m, d, d.near_pair[i])


@kernel
def _collide_pair(m: Model, d: Data, pair: int) -> None:
    """A pair by its family's geometry."""
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
    elif family == FIELD:
        collide_height_field(m, d, pair)


@unit
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
    elif family == FIELD:
        height_field_motion(m, d, c)

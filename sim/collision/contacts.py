"""All contacts of a pose: broad phase, then the pair's own geometry."""

from ..kernels.jit import kernel
from ..model.contact_pairs import BOXED, BOXES, CONVEX, RIMMED, ROUND
from ..model.data import Data
from ..model.model import Model
from .box_box import collide_box_box
from .box_box_motion import box_box_motion
from .box_geoms import collide_box
from .box_motion import box_motion
from .broad_phase import bounding_boxes, boxes_within_reach, group_within_reach, within_reach
from .convex import collide_convex
from .convex_motion import convex_motion
from .rim_geoms import collide_rim
from .rim_motion import rim_motion
from .round_geoms import collide_round
from .round_motion import round_motion


@kernel
def collide(m: Model, d: Data) -> None:
    """Fill ncon, con_pair, con_dist, con_pos, con_frame, con_hint, con_feature."""
    d.ncon[0] = 0
    for pair in range(m.nalways):
        if within_reach(m, d, pair):
            _collide_pair(m, d, pair)
    if m.nmover > 0:
        bounding_boxes(m, d)
        for mover in range(m.nmover if m.nstatic > 0 else 0):
            _collide_with_static(m, d, mover)
        for group in range(m.ngroup):
            if group_within_reach(m, d, group):
                _collide_group(m, d, group)


@kernel
def _collide_with_static(m: Model, d: Data, mover: int) -> None:
    """One moving body's pairs with the static geoms whose boxes are near."""
    row = mover * m.nstatic
    if m.static_pairadr[row] == m.static_pairadr[row + m.nstatic]:
        return
    node = 0
    while node < m.nstaticnode:
        if not boxes_within_reach(d.box, mover, m.static_box, node, 0.0):
            node = m.static_next[node]
            continue
        leaf = m.static_leaf[node]
        if leaf >= 0:
            for pair in range(m.static_pairadr[row + leaf], m.static_pairadr[row + leaf + 1]):
                g = m.con_geom[pair, 0 if m.con_geom[pair, 1] == m.static_geom[leaf] else 1]
                if within_reach(m, d, pair) and boxes_within_reach(d.geom_bound, g, m.static_box, node, 0.0):
                    _collide_pair(m, d, pair)
        node += 1


@kernel
def _collide_group(m: Model, d: Data, group: int) -> None:
    """The pairs of a group."""
    for pair in range(m.group_pairadr[group], m.group_pairadr[group] + m.group_pairnum[group]):
        if within_reach(m, d, pair):
            g1, g2, reach = m.con_geom[pair, 0], m.con_geom[pair, 1], m.con_margin[pair] + m.con_gap[pair]
            if boxes_within_reach(d.geom_bound, g1, d.geom_bound, g2, reach):
                _collide_pair(m, d, pair)


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
def no_contacts(m: Model, d: Data, pair: int) -> None:
    """In place of a family of geometry that the model lacks."""


@kernel
def no_motion(m: Model, d: Data, c: int) -> None:
    """In place of a family of geometry that the model lacks."""

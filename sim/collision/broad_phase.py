"""Which pairs of geoms are worth a closer look: bounding boxes of trees, then bounding spheres of geoms."""

from ..kernels.enums import PLANE
from ..kernels.jit import kernel
from ..kernels.rotation import dot3, load3, sub3
from ..model.data import Data
from ..model.model import Model
from .frame import column3


@kernel
def tree_boxes(m: Model, d: Data) -> None:
    """Fill tree_box: around the bounding spheres of what may touch another tree."""
    for t in range(m.ntree):
        for i in range(m.tree_geomadr[t], m.tree_geomadr[t] + m.tree_geomnum[t]):
            g = m.tree_geom[i]
            for axis in range(3):
                low, high = d.geom_xpos[g, axis] - m.geom_rbound[g], d.geom_xpos[g, axis] + m.geom_rbound[g]
                if i == m.tree_geomadr[t]:
                    d.tree_box[t, axis], d.tree_box[t, 3 + axis] = low, high
                else:
                    d.tree_box[t, axis] = min(low, d.tree_box[t, axis])
                    d.tree_box[t, 3 + axis] = max(high, d.tree_box[t, 3 + axis])


@kernel
def trees_within_reach(m: Model, d: Data, group: int) -> bool:
    """Boxes of the group's two trees closer than its largest margin and gap."""
    t, u, reach = m.group_tree[group, 0], m.group_tree[group, 1], m.group_reach[group]
    for axis in range(3):
        if d.tree_box[t, axis] - d.tree_box[u, 3 + axis] > reach:
            return False
        if d.tree_box[u, axis] - d.tree_box[t, 3 + axis] > reach:
            return False
    return True


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

"""Which pairs of geoms are worth a closer look: boxes around bodies and trees, then bounding spheres of geoms.

Before the general convex routine, which costs most, the boxes of the two geoms themselves are tried.
"""

from ..kernels.enums import PLANE
from ..kernels.jit import kernel
from ..kernels.record import Floats
from ..kernels.rotation import Vec3, add3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, sub3
from ..model.data import Data
from ..model.model import Model
from .frame import column3, row3

ROUNDING = 1e-12  # of distances between boxes, relative to the sizes


@kernel
def near_pairs(m: Model, d: Data) -> None:
    """Fill nnear, near_pair: the pairs of geoms that are left, in the order of the model's."""
    d.nnear[0] = 0
    for pair in range(m.nalways):
        if _within_reach(m, d, pair):
            _add_near(d, pair)
    if m.nmover > 0:
        _bounding_boxes(m, d)
        for mover in range(m.nmover if m.nstatic > 0 else 0):
            _search_static(m, d, mover)
        for group in range(m.ngroup):
            if group_within_reach(m, d, group):
                _search_group(m, d, group)


@kernel
def _add_near(d: Data, pair: int) -> None:
    d.near_pair[d.nnear[0]] = pair
    d.nnear[0] += 1


@kernel
def _search_static(m: Model, d: Data, mover: int) -> None:
    """One moving body's pairs with the static geoms whose boxes are near."""
    row = mover * m.nstatic
    if m.static_pairadr[row] == m.static_pairadr[row + m.nstatic]:
        return
    node = 0
    while node < m.nstaticnode:
        if not _boxes_within_reach(d.box, mover, m.static_box, node, 0.0):
            node = m.static_next[node]
            continue
        leaf = m.static_leaf[node]
        if leaf >= 0:
            for pair in range(m.static_pairadr[row + leaf], m.static_pairadr[row + leaf + 1]):
                g = m.con_geom[pair, 0 if m.con_geom[pair, 1] == m.static_geom[leaf] else 1]
                if _within_reach(m, d, pair) and _boxes_within_reach(d.geom_bound, g, m.static_box, node, 0.0):
                    _add_near(d, pair)
        node += 1


@kernel
def _search_group(m: Model, d: Data, group: int) -> None:
    """The pairs of a group."""
    for pair in range(m.group_pairadr[group], m.group_pairadr[group] + m.group_pairnum[group]):
        if _within_reach(m, d, pair):
            g1, g2, reach = m.con_geom[pair, 0], m.con_geom[pair, 1], m.con_margin[pair] + m.con_gap[pair]
            if _boxes_within_reach(d.geom_bound, g1, d.geom_bound, g2, reach):
                _add_near(d, pair)


@kernel
def _bounding_boxes(m: Model, d: Data) -> None:
    """Fill geom_bound of geoms that are in groups, and box: of moving bodies, around theirs, and of trees."""
    for u in range(m.nmover):
        first = m.mover_geomadr[u]
        for i in range(first, first + m.mover_geomnum[u]):
            _bound_geom(m, d, m.mover_geom[i])
            _extend(d.box, u, d.geom_bound, m.mover_geom[i], i == first)
    for t in range(m.ntreebox):
        first = m.treebox_moveradr[t]
        for i in range(first, first + m.treebox_movernum[t]):
            _extend(d.box, m.nmover + t, d.box, m.treebox_mover[i], i == first)


@kernel
def _bound_geom(m: Model, d: Data, g: int) -> None:
    """What the geom's own box and its bounding sphere have in common."""
    pos, half = load3(d.geom_xpos, g), _half_sizes(m, g)
    offset = mat_vec3(load_mat3(d.geom_xmat, g), load3(m.geom_box, g))
    slack = ROUNDING * m.geom_rbound[g]
    for axis in range(3):
        turn = row3(d.geom_xmat, g, axis)
        extent = abs(turn[0]) * half[0] + abs(turn[1]) * half[1] + abs(turn[2]) * half[2] + slack
        d.geom_bound[g, axis] = pos[axis] + max(offset[axis] - extent, -m.geom_rbound[g])
        d.geom_bound[g, 3 + axis] = pos[axis] + min(offset[axis] + extent, m.geom_rbound[g])


@kernel
def _extend(a: Floats, i: int, b: Floats, j: int, first: bool) -> None:
    """Extend box a[i] to box b[j], or begin with it."""
    for axis in range(3):
        a[i, axis] = b[j, axis] if first else min(a[i, axis], b[j, axis])
        a[i, 3 + axis] = b[j, 3 + axis] if first else max(a[i, 3 + axis], b[j, 3 + axis])


@kernel
def _boxes_within_reach(a: Floats, i: int, b: Floats, j: int, reach: float) -> bool:
    """Box a[i] and box b[j], lower and upper corners, closer than `reach`."""
    for axis in range(3):
        if a[i, axis] - b[j, 3 + axis] > reach or b[j, axis] - a[i, 3 + axis] > reach:
            return False
    return True


@kernel
def group_within_reach(m: Model, d: Data, group: int) -> bool:
    """The group's two boxes closer than its largest margin and gap."""
    return _boxes_within_reach(d.box, m.group_box[group, 0], d.box, m.group_box[group, 1], m.group_reach[group])


@kernel
def _within_reach(m: Model, d: Data, pair: int) -> bool:
    """Bounding spheres (or sphere and plane) closer than margin and gap."""
    g1, g2 = m.con_geom[pair, 0], m.con_geom[pair, 1]
    offset = sub3(load3(d.geom_xpos, g2), load3(d.geom_xpos, g1))
    reach = m.geom_rbound[g2] + m.con_margin[pair] + m.con_gap[pair]
    if m.geom_type[g1] == PLANE:
        return dot3(offset, column3(d.geom_xmat, g1, 2)) <= reach
    reach += m.geom_rbound[g1]
    return dot3(offset, offset) <= reach * reach


@kernel
def own_boxes_within_reach(m: Model, d: Data, g1: int, g2: int, reach: float) -> bool:
    """Boxes around two geoms, each in its geom's frame, closer than `reach` along all of their own axes."""
    rot1, rot2 = load_mat3(d.geom_xmat, g1), load_mat3(d.geom_xmat, g2)
    half1, half2 = _half_sizes(m, g1), _half_sizes(m, g2)
    centre1 = add3(load3(d.geom_xpos, g1), mat_vec3(rot1, load3(m.geom_box, g1)))
    centre2 = add3(load3(d.geom_xpos, g2), mat_vec3(rot2, load3(m.geom_box, g2)))
    offset = mat_t_vec3(rot1, sub3(centre2, centre1))
    reach += ROUNDING * (m.geom_rbound[g1] + m.geom_rbound[g2])
    extent = (0.0, 0.0, 0.0)  # of box 2 along the axes of box 1
    for k in range(3):
        axis = mat_t_vec3(rot1, column3(d.geom_xmat, g2, k))
        across = (abs(axis[0]), abs(axis[1]), abs(axis[2]))
        if abs(dot3(axis, offset)) - half2[k] - dot3(across, half1) > reach:
            return False
        extent = add3(extent, scale3(half2[k], across))
    for k in range(3):
        if abs(offset[k]) - half1[k] - extent[k] > reach:
            return False
    return True


@kernel
def _half_sizes(m: Model, g: int) -> Vec3:
    return m.geom_box[g, 3], m.geom_box[g, 4], m.geom_box[g, 5]

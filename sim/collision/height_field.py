"""Contacts of a height field: of each of its prisms under the other geom, one at most.

As mjc_ConvexHField of MuJoCo 4.0. A cell of the grid is two prisms with a common diagonal
(`prism.py`); those under the box around the geom, in the field's frame, take part one after the
other, row by row, until there are as many contacts as MuJoCo gives room for. Distances are to
single prisms, so where the geom lies over an edge that several share there are as many contacts.
"""

import math

from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, add3, dot3, load3, load_mat3, mat_t_vec3, mat_vec3, scale3, store3, sub3
from ..model.contact_pairs import MAX_CONTACTS
from ..model.data import Data
from ..model.model import Model
from .convex import keep_features, nearest_points
from .convex_motion import single_motion
from .frame import add_contact, column3
from .manifold import SINGLE
from .support import core_radius, core_support


@kernel
def collide_height_field(m: Model, d: Data, pair: int) -> None:
    """Append the contacts of a height field and a convex geom."""
    g1, g2, reach = m.con_geom[pair, 0], m.con_geom[pair, 1], m.con_margin[pair] + m.con_gap[pair]
    field = m.geom_dataid[g1]
    x, y, top, base = m.hfield_size[field, 0], m.hfield_size[field, 1], m.hfield_size[field, 2], m.hfield_size[field, 3]
    place = mat_t_vec3(load_mat3(d.geom_xmat, g1), sub3(load3(d.geom_xpos, g2), load3(d.geom_xpos, g1)))
    radius = m.geom_rbound[g2] + reach
    # in this form where a state that diverged is not a number there is no contact
    if not (abs(place[0]) - radius <= x and abs(place[1]) - radius <= y):
        return
    if not -base - radius <= place[2] <= top + radius:
        return
    (left, right), (front, back), (low, high) = _span(m, d, g1, g2, 0), _span(m, d, g1, g2, 1), _span(m, d, g1, g2, 2)
    if not (left - reach <= x and right + reach >= -x and front - reach <= y and back + reach >= -y):
        return
    if not (low - reach <= top and high + reach >= -base):
        return
    rows, columns = m.hfield_nrow[field] - 1, m.hfield_ncol[field] - 1
    first_row, last_row = _cells(front - reach, back + reach, y, rows)
    first_column, last_column = _cells(left - reach, right + reach, x, columns)
    before = d.ncon[0]
    for r in range(first_row, last_row):
        for c in range(first_column, last_column):
            for half in range(2):
                if d.ncon[0] - before < MAX_CONTACTS and _set_prism(m, d, g1, r, c, half, low - reach):
                    _collide_prism(m, d, pair, reach)


@kernel
def _span(m: Model, d: Data, g1: int, g2: int, axis: int) -> tuple[float, float]:
    """Least and largest coordinate of geom 2 along an axis of the field's frame."""
    direction, origin, radius = column3(d.geom_xmat, g1, axis), load3(d.geom_xpos, g1), core_radius(m, g2)
    least = core_support(m, d, g2, scale3(-1.0, direction))[0]
    most = core_support(m, d, g2, direction)[0]
    return dot3(direction, sub3(least, origin)) - radius, dot3(direction, sub3(most, origin)) + radius


@kernel
def _cells(least: float, most: float, half: float, count: int) -> tuple[int, int]:
    """First cell along an axis that a span reaches into, and the one after the last."""
    first, last = math.floor((least + half) / (2.0 * half) * count), math.ceil((most + half) / (2.0 * half) * count)
    return max(0, int(first)), min(count, int(last))


@kernel
def _set_prism(m: Model, d: Data, g: int, r: int, c: int, half: int, low: float) -> bool:
    """Put a prism's corners in `prism`, of a cell's two the upper left one first; False if all is below `low`."""
    if half == 0:
        a, b, e = _node(m, g, r + 1, c), _node(m, g, r, c), _node(m, g, r + 1, c + 1)
    else:
        a, b, e = _node(m, g, r, c), _node(m, g, r, c + 1), _node(m, g, r + 1, c + 1)
    if a[2] < low and b[2] < low and e[2] < low:
        return False
    base = -m.hfield_size[m.geom_dataid[g], 3]
    _set_corners(d, g, 0, a, base)
    _set_corners(d, g, 1, b, base)
    _set_corners(d, g, 2, e, base)
    return True


@kernel
def _node(m: Model, g: int, r: int, c: int) -> Vec3:
    """Where the surface is at a node of the grid, in the field's frame."""
    field = m.geom_dataid[g]
    rows, columns = m.hfield_nrow[field], m.hfield_ncol[field]
    x, y, top = m.hfield_size[field, 0], m.hfield_size[field, 1], m.hfield_size[field, 2]
    elevation = m.hfield_data[m.hfield_adr[field] + r * columns + c]
    return 2.0 * x / (columns - 1) * c - x, 2.0 * y / (rows - 1) * r - y, elevation * top


@kernel
def _set_corners(d: Data, g: int, i: int, node: Vec3, base: float) -> None:
    pos, rot = load3(d.geom_xpos, g), load_mat3(d.geom_xmat, g)
    store3(d.prism, i, add3(pos, mat_vec3(rot, (node[0], node[1], base))))
    store3(d.prism, 3 + i, add3(pos, mat_vec3(rot, node)))


@kernel
def _collide_prism(m: Model, d: Data, pair: int, reach: float) -> None:
    g1, g2, c = m.con_geom[pair, 0], m.con_geom[pair, 1], d.ncon[0]
    found, dist, normal = nearest_points(m, d, g1, g2, reach)
    if not found:
        return
    add_contact(d, pair, dist, scale3(0.5, add3(load3(d.ccd_point, 0), load3(d.ccd_point, 1))), normal)
    d.con_kind[c, 2] = SINGLE
    keep_features(m, d, g1, g2, c, dist, normal)


@kernel
def height_field_motion(m: Model, d: Data, c: int) -> None:
    """Fill con_motion for contact `c` of a height field."""
    single_motion(m, d, c)

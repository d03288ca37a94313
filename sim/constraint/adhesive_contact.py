"""Contacts that can pull (geom adhesion, MuJoCo documentation, Computation, "Adhesion").

The cone of forces is moved down the normal by the adhesion A: a constant pull A joins the smooth forces, and the
reference acceleration of the normal gets R A more, so that what presses is as without. In the gap, where others
have no force, such a contact has its normal's row alone. The adjoint is that of other contacts (`contact_adj.py`)
with what is left of the force for the wrench, and R in the reference acceleration, which goes with the distance.
"""

from ..collision.frame import row3
from ..kernels.enums import CONTACT_PYRAMIDAL
from ..kernels.jit import kernel
from ..kernels.rotation import dot3, load3, sub3
from ..kernels.spatial import Vec6, lane6, load6, velocity_at
from ..model.data import Data, Lanes
from ..model.model import Model
from .row import last_dof


@kernel
def in_gap(m: Model, d: Data, c: int) -> bool:
    """Whether contact `c` is farther than its margin."""
    return d.con_dist[c] >= m.con_margin[d.con_pair[c]]


@kernel
def out_of_reach(m: Model, d: Data, c: int) -> bool:
    """Whether contact `c` is detected without force: in the gap, unless it pulls there."""
    return in_gap(m, d, c) and m.con_adhesion[d.con_pair[c]] == 0.0


@kernel
def directions(m: Model, d: Data, c: int) -> int:
    """Number of directions of the force of contact `c`."""
    return 1 if in_gap(m, d, c) else given_directions(m, d, c)


@kernel
def given_directions(m: Model, d: Data, c: int) -> int:
    """The same where none has a force in the gap."""
    return m.con_dim[d.con_pair[c]]


@kernel
def _normal_rows(m: Model, d: Data, c: int) -> int:
    """How many rows of contact `c`, the first ones, share the normal: all edges of a pyramid."""
    return 2 * (m.con_dim[d.con_pair[c]] - 1) if d.efc_type[d.con_efc[c]] == CONTACT_PYRAMIDAL else 1


@kernel
def reference_push(m: Model, d: Data, c: int, e: int) -> float:
    """What adhesion adds to the reference acceleration of row `e` of contact `c`."""
    count = _normal_rows(m, d, c)
    return m.con_adhesion[d.con_pair[c]] / count * d.efc_R[d.con_efc[c] + e] if e < count else 0.0


@kernel
def no_push(_m: Model, _d: Data, _c: int, _e: int) -> float:
    """In place of `reference_push` where nothing sticks."""
    return 0.0


@kernel
def adhesive_reference(m: Model, d: Data) -> None:
    """Add to efc_aref."""
    for c in range(d.ncon[0]):
        if d.con_efc[c] >= 0:
            for e in range(_normal_rows(m, d, c)):
                d.efc_aref[d.con_efc[c] + e] += reference_push(m, d, c, e)


@kernel
def adhesive_pull(m: Model, d: Data) -> None:
    """Add the pulls to qfrc_passive, qfrc_smooth and what is to become qacc."""
    for c in range(d.ncon[0]):
        pull = m.con_adhesion[d.con_pair[c]]
        if pull != 0.0:
            normal, b1, b2 = row3(d.con_frame, c, 0), _body(m, d, c, 0), _body(m, d, c, 1)
            if last_dof(m, b1) != last_dof(m, b2):
                _push(m, d, c, b1, normal, pull)
                _push(m, d, c, b2, normal, -pull)


@kernel
def _body(m: Model, d: Data, c: int, side: int) -> int:
    return m.geom_bodyid[m.con_geom[d.con_pair[c], side]]


@kernel
def _push(m: Model, d: Data, c: int, b: int, normal: tuple[float, float, float], s: float) -> None:
    """A force s along the normal on body `b` at contact `c`."""
    arm, v = sub3(load3(d.con_pos, c), load3(d.subtree_com, m.body_rootid[b])), last_dof(m, b)
    while v >= 0:
        force = s * dot3(normal, velocity_at(load6(d.cdof, v), arm))
        d.qfrc_passive[v] += force
        d.qfrc_smooth[v] += force
        d.qacc[v] += force
        v = m.dof_parentid[v]


@kernel
def pulled(m: Model, d: Data, c: int, wrench: Vec6) -> Vec6:
    """What is left of the wrench of contact `c` on its second body when adhesion has pulled."""
    normal, pull = row3(d.con_frame, c, 0), m.con_adhesion[d.con_pair[c]]
    force = (wrench[3] - pull * normal[0], wrench[4] - pull * normal[1], wrench[5] - pull * normal[2])
    return wrench[0], wrench[1], wrench[2], force[0], force[1], force[2]


@kernel
def adhesion_parameter_adj(m: Model, d: Data, w: Lanes, c: int) -> None:
    """Add to con_adhesion_adj, lane 0: the pull against the virtual velocities, and the reference acceleration."""
    normal, pair, total = row3(d.con_frame, c, 0), d.con_pair[c], 0.0
    for side in range(2):
        b = _body(m, d, c, side)
        if b > 0:
            arm = sub3(load3(d.con_pos, c), load3(d.subtree_com, m.body_rootid[b]))
            total += (1.0 - 2.0 * side) * dot3(normal, velocity_at(lane6(w.wvel, b, 0), arm))
    count = _normal_rows(m, d, c)
    for r in range(d.con_efc[c], d.con_efc[c] + count):
        total += w.efc_z[r, 0] * d.efc_R[r] / count
    w.con_adhesion_adj[pair] += total


@kernel
def whole(_m: Model, _d: Data, _c: int, wrench: Vec6) -> Vec6:
    """In place of `pulled` where nothing sticks."""
    return wrench

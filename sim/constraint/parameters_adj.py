"""Gradients of the constraints' own parameters: friction coefficients, friction loss, solref.

From Phi of `rows_adj.py`, whose efc_y, efc_z are needed: solref sets the reference
acceleration; friction turns the edges of a pyramid and scales its regulariser, or shapes an
elliptic cone. Contacts collect per pair of geoms; `contact_pairs_adj.py` hands that on to geoms.
"""

import math

from ..kernels.enums import CONTACT_ELLIPTIC, CONTACT_PYRAMIDAL, FRICTION_DOF, LIMIT
from ..kernels.jit import kernel
from ..model.data import Data, Lanes
from ..model.model import Model
from .adhesive_contact import adhesion_parameter_adj, directions, reference_push
from .contact_wrench import contact_row_count
from .row import TINY


@kernel
def constraint_parameters_adj(m: Model, d: Data, w: Lanes) -> None:
    """Add to the constraint's parameter fields of `w`, lane 0."""
    for r in range(d.nefc[0]):
        i = d.efc_id[r]
        if d.efc_type[r] == FRICTION_DOF:
            by_ref = _solref_adj(d, w, r, m.dof_solref[i, 0], m.dof_solref[i, 1], m.dof_solimp[i, 1])
            w.dof_solref_adj[i, 0] += by_ref[0]
            w.dof_solref_adj[i, 1] += by_ref[1]
            if d.efc_slope[r] == 0.0:
                w.dof_frictionloss_adj[i] += w.efc_y[r, 0] * (1.0 if d.efc_force[r] > 0.0 else -1.0)
        elif d.efc_type[r] == LIMIT:
            by_ref = _solref_adj(d, w, r, m.jnt_solref[i, 0], m.jnt_solref[i, 1], m.jnt_solimp[i, 1])
            w.jnt_solref_adj[i, 0] += by_ref[0]
            w.jnt_solref_adj[i, 1] += by_ref[1]
    for c in range(d.ncon[0]):
        if d.con_efc[c] >= 0:
            _contact_adj(m, d, w, c, d.con_efc[c], d.con_pair[c])


@kernel
def _solref_adj(d: Data, w: Lanes, r: int, ref0: float, ref1: float, p1: float) -> tuple[float, float]:
    """Of row `r`, through its stiffness and damping (`constraint_row.stiffness_damping`)."""
    high = min(max(p1, 1e-4), 0.9999)
    k, b, imp = d.efc_kbip[r, 0], d.efc_kbip[r, 1], d.efc_kbip[r, 2]
    b_adj, k_adj = -w.efc_z[r, 0] * d.efc_vel[r], -w.efc_z[r, 0] * imp * d.efc_pos[r]
    if ref0 > 0.0:
        return -(2.0 * k * k_adj + b * b_adj) / ref0, -2.0 * k * k_adj / ref1 if ref1 != 0.0 else 0.0
    # rows without stiffness have k = 0 whatever their solref
    return -k_adj / (high * high) if k != 0.0 else 0.0, -b_adj / high


@kernel
def _contact_adj(m: Model, d: Data, w: Lanes, c: int, first: int, p: int) -> None:
    """Add to con_solref_adj, con_solreffriction_adj, con_friction_adj of pair `p`, from the rows of contact `c`."""
    dim, kind = directions(m, d, c), d.efc_type[first]
    for e in range(contact_row_count(m, d, c)):
        if kind == CONTACT_ELLIPTIC and e > 0:
            ref0, ref1 = m.con_solreffriction[p, 0], m.con_solreffriction[p, 1]
            by_ref = _solref_adj(d, w, first + e, ref0, ref1, m.con_solimp[p, 1])
            w.con_solreffriction_adj[p, 0] += by_ref[0]
            w.con_solreffriction_adj[p, 1] += by_ref[1]
        else:
            by_ref = _solref_adj(d, w, first + e, m.con_solref[p, 0], m.con_solref[p, 1], m.con_solimp[p, 1])
            w.con_solref_adj[p, 0] += by_ref[0]
            w.con_solref_adj[p, 1] += by_ref[1]
    adhesion_parameter_adj(m, d, w, c)
    if kind == CONTACT_PYRAMIDAL:
        _pyramid_adj(m, d, w, c, first, p, dim)
    elif kind == CONTACT_ELLIPTIC and d.cone_on[c]:
        _sliding_adj(m, d, w, c, first, p, dim)
    elif kind == CONTACT_ELLIPTIC:
        for e in range(1, dim):  # 1 / R of the friction rows goes with friction^2, relative to the first row's
            share = 2.0 * w.efc_y[first + e, 0] * d.efc_force[first + e]
            w.con_friction_adj[p, e - 1] += share / m.con_friction[p, e - 1]
            w.con_friction_adj[p, 0] -= share / m.con_friction[p, 0]


@kernel
def _pyramid_adj(m: Model, d: Data, w: Lanes, c: int, first: int, p: int, dim: int) -> None:
    """An edge is the normal plus or minus friction times a tangent, whose velocities are half a difference of edges."""
    pressure = 0.0
    for e in range(dim - 1):
        a, b = first + 2 * e, first + 2 * e + 1
        half = 0.5 / m.con_friction[p, e]
        virtual = half * (w.efc_y[a, 0] - w.efc_y[b, 0])
        target = half * (d.efc_jar[a] + d.efc_aref[a] - d.efc_jar[b] - d.efc_aref[b])
        target += half * d.efc_kbip[a, 1] * (d.efc_vel[a] - d.efc_vel[b])
        force, change = d.efc_force[a] - d.efc_force[b], w.efc_z[a, 0] - w.efc_z[b, 0]
        w.con_friction_adj[p, e] += force * virtual - change * target
        pressure += w.efc_y[a, 0] * d.efc_force[a] + w.efc_y[b, 0] * d.efc_force[b]
        pressure -= (w.efc_z[a, 0] + w.efc_z[b, 0]) * reference_push(m, d, c, e)
    friction = m.con_friction[p, 0]  # R of all edges goes with friction^2 (1 + friction^2), the second unless clamped
    scaled = 0.0 if d.efc_least[first] else 2.0 * friction / (1.0 + friction * friction)
    w.con_friction_adj[p, 0] -= pressure * (2.0 / friction + scaled)


@kernel
def _sliding_adj(m: Model, d: Data, w: Lanes, c: int, first: int, p: int, dim: int) -> None:
    """On the cone the normal force is N = D (t - jar_0) / (1 + mu^2), friction -N s with s = friction^2 jar / t.

    t^2 is the sum of (friction jar)^2.
    """
    mu, normal = d.con_mu[c], d.efc_force[first]
    t, along = 0.0, 0.0
    for e in range(1, dim):
        t += (d.efc_jar[first + e] * m.con_friction[p, e - 1]) ** 2
    t = max(math.sqrt(t), TINY)
    for e in range(1, dim):
        along += w.efc_y[first + e, 0] * d.efc_jar[first + e] * m.con_friction[p, e - 1] ** 2 / t
    push = w.efc_y[first, 0] - along  # cotangent of N
    for e in range(1, dim):
        friction, jar = m.con_friction[p, e - 1], d.efc_jar[first + e]
        t_slope = friction * jar * jar / t
        by_friction = push * d.efc_D[first] / (1.0 + mu * mu) * t_slope
        by_friction -= normal * (2.0 * w.efc_y[first + e, 0] * friction * jar - along * t_slope) / t
        w.con_friction_adj[p, e - 1] += by_friction
    w.con_friction_adj[p, 0] -= push * normal * 2.0 * m.con_friction[p, 0] / (m.impratio * (1.0 + mu * mu))

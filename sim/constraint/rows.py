"""Constraint rows: friction loss, joint limits, contacts, with MuJoCo's soft-constraint parameters.

MuJoCo documentation, Computation, "Constraint model" and "Parameters": every row has a Jacobian
J, a regulariser R and a reference acceleration aref = -b J v - k d(r) r.
"""

import math

from ..kernels.apart import unit
from ..kernels.enums import (
    BALL,
    CONTACT_ELLIPTIC,
    CONTACT_FRICTIONLESS,
    CONTACT_PYRAMIDAL,
    ELLIPTIC_CONE,
    FRICTION_DOF,
    HINGE,
    LIMIT,
    SLIDE,
)
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, dot3, load3, quat_log, quat_normalize, sub3
from ..kernels.spatial import Vec6, load6, velocity_at
from ..model.data import Data
from ..model.model import Model
from .adhesive_contact import adhesive_reference, directions, out_of_reach
from .equality import equality, equality_bias
from .row import TINY, Spans, column, last_dof, new_row, row_dot, set_row, spans_of_bodies, stiffness_damping
from .surface_velocity import surface_velocity
from .tendon_rows import tendon_friction, tendon_limits


@unit
def make_constraints(m: Model, d: Data) -> None:
    """Fill the efc_* rows for the equalities, friction losses, limits and contacts of the pose and velocity."""
    d.nefc[0] = 0
    equality(m, d)
    _friction_loss(m, d)
    tendon_friction(m, d)
    if m.nlimit > 0:
        _limits(m, d)
    tendon_limits(m, d)
    for c in range(d.ncon[0]):
        _contact(m, d, c)
    for r in range(d.nefc[0]):
        velocity = row_dot(d, r, d.efc_dofadr[r, 0], d.efc_dofadr[r, 1], d.qvel)
        d.efc_vel[r] = velocity
        k, b, imp = d.efc_kbip[r, 0], d.efc_kbip[r, 1], d.efc_kbip[r, 2]
        d.efc_aref[r] = -b * velocity - k * imp * d.efc_pos[r]
        d.efc_D[r] = 1.0 / d.efc_R[r]
    surface_velocity(m, d)
    adhesive_reference(m, d)
    equality_bias(m, d)


@kernel
def _friction_loss(m: Model, d: Data) -> None:
    for v in range(m.nv):
        if m.dof_frictionloss[v] > 0.0:
            r = new_row(d, FRICTION_DOF, v, (v, 1, 0, 0))
            d.efc_J[r, 0] = 1.0
            d.efc_floss[r] = m.dof_frictionloss[v]
            set_row(d, r, m.dof_solref, m.dof_solimp, v, 0.0, m.dof_invweight0[v])
            d.efc_kbip[r, 0] = 0.0


@kernel
def _limits(m: Model, d: Data) -> None:
    """Rows of joint limits that are violated or within the margin: one a side, one for a ball."""
    for j in range(m.njnt):
        if not m.jnt_limited[j]:
            continue
        a, v, kind, margin = m.jnt_qposadr[j], m.jnt_dofadr[j], m.jnt_type[j], m.jnt_margin[j]
        if kind == SLIDE or kind == HINGE:
            for side in range(2):
                sign = 1.0 - 2.0 * side
                dist = sign * (d.qpos[a] - m.jnt_range[j, side])
                if dist < margin:
                    r = new_row(d, LIMIT, j, (v, 1, 0, 0))
                    d.efc_J[r, 0] = sign
                    set_row(d, r, m.jnt_solref, m.jnt_solimp, j, dist - margin, m.dof_invweight0[v])
        elif kind == BALL:
            axis, angle = ball_limit(d, a)
            dist = max(m.jnt_range[j, 0], m.jnt_range[j, 1]) - angle
            if dist < margin:
                r = new_row(d, LIMIT, j, (v, 3, 0, 0))
                for i in range(3):
                    d.efc_J[r, i] = -axis[i]
                set_row(d, r, m.jnt_solref, m.jnt_solimp, j, dist - margin, m.dof_invweight0[v])


@kernel
def ball_limit(d: Data, a: int) -> tuple[Vec3, float]:
    """Axis and angle of the quaternion at qpos address `a`."""
    phi = quat_log(quat_normalize((d.qpos[a], d.qpos[a + 1], d.qpos[a + 2], d.qpos[a + 3])))
    angle = math.sqrt(dot3(phi, phi))
    if angle < TINY:
        return (1.0, 0.0, 0.0), 0.0
    return (phi[0] / angle, phi[1] / angle, phi[2] / angle), angle


@kernel
def _add_body_jacobian(m: Model, d: Data, c: int, b: int, sign: float, rows: int, spans: Spans) -> None:
    """Add sign * (velocity of body `b` at contact `c`, in the contact frame) to con_jac."""
    v = last_dof(m, b)
    arm = sub3(load3(d.con_pos, c), load3(d.subtree_com, m.body_rootid[b]))
    f = d.con_frame
    while v >= 0:
        s: Vec6 = load6(d.cdof, v)
        turn, i = (s[0], s[1], s[2]), column(spans, v)
        point = velocity_at(s, arm)
        for r in range(rows):
            x = point if r < 3 else turn
            k = 3 * (r if r < 3 else r - 3)
            d.con_jac[r, i] += sign * (f[c, k] * x[0] + f[c, k + 1] * x[1] + f[c, k + 2] * x[2])
        v = m.dof_parentid[v]


@kernel
def _contact(m: Model, d: Data, c: int) -> None:
    """Rows of contact `c` in its cone; sets con_efc."""
    p = d.con_pair[c]
    b1, b2 = m.geom_bodyid[m.con_geom[p, 0]], m.geom_bodyid[m.con_geom[p, 1]]
    spans = spans_of_bodies(m, b1, b2)
    d.con_efc[c] = -1
    if out_of_reach(m, d, c) or last_dof(m, b1) == last_dof(m, b2):
        return  # in the gap, or nothing moves one against the other: detected, without force
    dim = directions(m, d, c)
    for r in range(dim):
        for i in range(spans[1] + spans[3]):
            d.con_jac[r, i] = 0.0
    _add_body_jacobian(m, d, c, b1, -1.0, dim, spans)
    _add_body_jacobian(m, d, c, b2, 1.0, dim, spans)
    weight = m.body_invweight0[b1, 0] + m.body_invweight0[b2, 0]
    turning = m.body_invweight0[b1, 1] + m.body_invweight0[b2, 1]
    pos = d.con_dist[c] - m.con_margin[p]
    d.con_efc[c] = d.nefc[0]
    if dim == 1:
        r = _contact_row(m, d, c, CONTACT_FRICTIONLESS, p, pos, weight, spans)
        for i in range(spans[1] + spans[3]):
            d.efc_J[r, i] = d.con_jac[0, i]
    elif m.cone == ELLIPTIC_CONE:
        _elliptic(m, d, c, p, dim, pos, weight, spans)
    else:
        _pyramidal(m, d, c, p, dim, pos, weight, turning, spans)


@kernel
def _contact_row(m: Model, d: Data, c: int, kind: int, p: int, pos: float, diag: float, spans: Spans) -> int:
    r = new_row(d, kind, c, spans)
    set_row(d, r, m.con_solref, m.con_solimp, p, pos, diag)
    return r


@kernel
def _pyramidal(
    m: Model, d: Data, c: int, p: int, dim: int, pos: float, weight: float, turning: float, spans: Spans
) -> None:
    """Two rows for each direction of friction, normal plus and minus friction times tangent.

    One regulariser for all.
    """
    mu = m.con_friction[p, 0] / math.sqrt(m.impratio)
    d.con_mu[c] = mu
    first = d.nefc[0]
    for e in range(2 * (dim - 1)):
        axis, sign = 1 + e // 2, 1.0 - 2.0 * (e % 2)
        friction = m.con_friction[p, axis - 1]
        diag = weight + friction * friction * (weight if axis < 3 else turning)
        r = _contact_row(m, d, c, CONTACT_PYRAMIDAL, p, pos, diag, spans)
        for i in range(spans[1] + spans[3]):
            d.efc_J[r, i] = d.con_jac[0, i] + sign * friction * d.con_jac[axis, i]
    for r in range(first, d.nefc[0]):
        if r > first:
            d.efc_R[r], d.efc_least[r] = d.efc_R[first], d.efc_least[first]
    shared = 2.0 * mu * mu * d.efc_R[first]
    for r in range(first, d.nefc[0]):
        d.efc_R[r] = shared


@kernel
def _elliptic(m: Model, d: Data, c: int, p: int, dim: int, pos: float, weight: float, spans: Spans) -> None:
    """One row for the normal and one for each direction of friction, whose regularisers follow from impratio."""
    first = d.nefc[0]
    for e in range(dim):
        r = _contact_row(m, d, c, CONTACT_ELLIPTIC, p, pos if e == 0 else 0.0, weight, spans)
        for i in range(spans[1] + spans[3]):
            d.efc_J[r, i] = d.con_jac[e, i]
        if e > 0:
            d.efc_kbip[r, 0] = 0.0
            d.efc_kbip[r, 1] = stiffness_damping(
                m.con_solreffriction[p, 0], m.con_solreffriction[p, 1], m.con_solimp[p, 1]
            )[1]
    normal = d.efc_R[first]
    sliding = normal / max(TINY, m.impratio)  # below the least R too, as MuJoCo has it
    d.con_mu[c] = m.con_friction[p, 0] * math.sqrt(sliding / normal)
    for e in range(1, dim):
        ratio = m.con_friction[p, 0] / m.con_friction[p, e - 1]
        d.efc_R[first + e], d.efc_least[first + e] = sliding * ratio * ratio, d.efc_least[first]

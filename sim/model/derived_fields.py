"""Fields of `Model` that no field of MuJoCo's holds as kernels need it: flags folded in, contact tables, row counts."""

from typing import Any

import mujoco
import numpy as np

from ..kernels.record import Ints
from .contact_groups import group_reach
from .contact_pairs import Pairs, pair_fields
from .contact_parameters import (
    contact_dim,
    contact_friction,
    contact_gap,
    contact_margin,
    contact_solimp,
    contact_solref,
    contact_solreffriction,
)
from .couplings import ROWS, equality_fields, moment_fields, tendon_fields, widest_row
from .unsupported import disabled


def derived_fields(m: mujoco.MjModel, pairs: Pairs) -> dict[str, Any]:
    """Fields that fold MuJoCo's option flags in, so that kernels need not look at them."""
    bit = mujoco.mjtDisableBit
    spring, damper = not disabled(m, bit.mjDSBL_SPRING), not disabled(m, bit.mjDSBL_DAMPER)
    gravity = m.opt.gravity * (not disabled(m, bit.mjDSBL_GRAVITY))
    # MuJoCo skips all passive forces, gravity compensation included, when both are disabled
    gravcomp = m.body_gravcomp * (spring or damper) * bool(np.any(gravity))
    damping = m.dof_damping * damper
    group_on = np.array(
        [g < 0 or g > 30 or not (int(m.opt.disableactuator) >> int(g)) & 1 for g in m.actuator_group], bool
    )
    actuation = not disabled(m, bit.mjDSBL_ACTUATION)
    ctrllimited = m.actuator_ctrllimited.astype(bool) & (not disabled(m, bit.mjDSBL_CLAMPCTRL))
    return {
        "integrator": int(m.opt.integrator),
        **_constraint_fields(m, pairs),
        "eulerdamp": int(damper and not disabled(m, bit.mjDSBL_EULERDAMP)),
        "damped": int(np.any(damping)),
        "timestep": float(m.opt.timestep),
        "gravity": gravity,
        "ngravcomp": int(np.count_nonzero(gravcomp)),
        "body_gravcomp": gravcomp,
        "body_freesolo": _free_without_descendants(m),
        **_before_joints(m),
        "jnt_stiffness": m.jnt_stiffness * spring,
        "dof_damping": damping,
        **moment_fields(m),
        "actuator_trnid": m.actuator_trnid.reshape(m.nu, 2),
        "actuator_enabled": group_on & actuation,
        # without actuation MuJoCo leaves activations alone, so no actuator owns one
        "actuator_actadr": np.where(actuation, m.actuator_actadr, -1),
        "actuator_ctrllimited": ctrllimited,
    }


_SOLREFS = ("jnt_solref", "dof_solref", "tendon_solref_lim", "tendon_solref_fri", "eq_solref")


def _constraint_fields(m: mujoco.MjModel, pairs: Pairs) -> dict[str, Any]:
    bit = mujoco.mjtDisableBit
    on = not disabled(m, bit.mjDSBL_CONSTRAINT)
    limited = m.jnt_limited.astype(bool) & (on and not disabled(m, bit.mjDSBL_LIMIT))
    frictional = on and not disabled(m, bit.mjDSBL_FRICTIONLOSS)
    frictionloss = m.dof_frictionloss * frictional
    tendons = tendon_fields(
        m,
        spring=not disabled(m, bit.mjDSBL_SPRING),
        damper=not disabled(m, bit.mjDSBL_DAMPER),
        limit=on and not disabled(m, bit.mjDSBL_LIMIT),
        frictionloss=frictional,
    )
    equalities = equality_fields(m, on and not disabled(m, bit.mjDSBL_EQUALITY))
    contacts = _contact_fields(m, pairs)
    pyramidal = int(m.opt.cone) == int(mujoco.mjtCone.mjCONE_PYRAMIDAL)
    pgs = int(m.opt.solver) == int(mujoco.mjtSolver.mjSOL_PGS)
    dim = contacts["con_dim"]
    contact_rows = int(np.where(dim == 1, 1, 2 * (dim - 1) if pyramidal else dim) @ pairs.max_contacts)
    nlimit = int(np.count_nonzero(limited))
    rows = 2 * nlimit + int(np.count_nonzero(frictionloss))
    rows += 2 * int(np.count_nonzero(tendons["tendon_limited"])) + int(np.count_nonzero(tendons["tendon_frictionloss"]))
    ne = sum(ROWS[int(kind)] for kind in m.eq_type[equalities["eq_active0"]])
    rows += ne
    nconcone = contacts["nconmax"] * (not pyramidal)
    safe = not disabled(m, bit.mjDSBL_REFSAFE)
    references = {"con_solref": contacts["con_solref"], "con_solreffriction": contacts["con_solreffriction"]}
    references |= {name: getattr(m, name) for name in _SOLREFS}
    return {
        **contacts,
        **tendons,
        **equalities,
        **{name: _safe_reference(value, m.opt.timestep, safe) for name, value in references.items()},
        "cone": int(m.opt.cone),
        "iterations": int(m.opt.iterations),
        "ls_iterations": int(m.opt.ls_iterations),
        "tolerance": float(m.opt.tolerance),
        "impratio": float(m.opt.impratio),
        "meaninertia": float(m.stat.meaninertia),
        "nlimit": nlimit,
        "ne": ne,
        "nconcone": nconcone,
        "nefcmax": rows + contact_rows,
        "nefcbefore": rows,
        "nefcdof": widest_row(m, contacts["con_geom"], tendons, equalities),
        "npgs": (rows + contact_rows) * pgs,
        "npgsdof": int(m.nv) * pgs,
        "nconpgs": nconcone * pgs,
        "solver": int(m.opt.solver),
        "jnt_limited": limited,
        "dof_frictionloss": frictionloss,
    }


def _contact_fields(m: mujoco.MjModel, pairs: Pairs) -> dict[str, Any]:
    solref = contact_solref(m, pairs)
    margin, gap = contact_margin(m, pairs), contact_gap(m, pairs)
    fields = pair_fields(m, pairs)
    return {
        **fields,
        "con_dim": contact_dim(m, pairs),
        "con_friction": contact_friction(m, pairs),
        "con_solref": solref,
        "con_solreffriction": contact_solreffriction(m, pairs, solref),
        "con_solimp": contact_solimp(m, pairs),
        "con_margin": margin,
        "con_gap": gap,
        "group_reach": group_reach(fields["group_pairadr"], margin + gap),
    }


def _safe_reference(solref: np.ndarray, timestep: float, safe: bool) -> np.ndarray:
    """solref with its time constant at least two time steps (MuJoCo's refsafe)."""
    out = np.array(solref, np.float64)
    if safe and len(out):
        np.maximum(out[:, 0], 2 * timestep, out=out[:, 0], where=out[:, 0] > 0)
    return out


def _before_joints(m: mujoco.MjModel) -> dict[str, Any]:
    """Degrees of freedom that turn together, as those of a ball, share what is before them."""
    before, rows, group = np.zeros(m.nv, np.int32), m.nbody, -1
    for v in range(m.nv):
        body, joint = int(m.dof_bodyid[v]), int(m.dof_jntid[v])
        kind, offset = int(m.jnt_type[joint]), v - int(m.jnt_dofadr[joint])
        ball = kind == int(mujoco.mjtJoint.mjJNT_BALL) or (kind == int(mujoco.mjtJoint.mjJNT_FREE) and offset > 3)
        if v == m.body_dofadr[body]:
            group = int(m.body_parentid[body])
        elif not ball or offset == 0:
            group, rows = rows, rows + 1
        before[v] = group
    return {"nwvel": rows, "dof_beforeid": before}


def _free_without_descendants(m: mujoco.MjModel) -> Ints:
    first = m.body_jntadr
    free = (first >= 0) & (np.append(m.jnt_type, -1)[first] == int(mujoco.mjtJoint.mjJNT_FREE))
    return (free & (np.append(m.tree_dofnum, 0)[m.body_treeid] == 6)).astype(np.int32)

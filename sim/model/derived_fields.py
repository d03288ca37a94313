"""Fields of `Model` that no field of MuJoCo's holds as kernels need it: flags folded in, contact tables, row counts."""

from typing import Any

import mujoco
import numpy as np

from ..kernels.enums import IMPLICIT
from ..kernels.record import Floats, Ints
from .contact_groups import group_fields, group_reach
from .contact_pairs import contacts_enabled, pair_fields, possible_contact_pairs
from .contact_parameters import (
    contact_adhesion,
    contact_dim,
    contact_friction,
    contact_gap,
    contact_margin,
    contact_solimp,
    contact_solref,
    contact_solreffriction,
)
from .couplings import ROWS, equality_fields, moment_fields, tendon_fields, widest_row
from .fluids import fluid_fields
from .recipes import Made
from .source import Source
from .static_geoms import bounding_radii, geom_boxes, static_boxes, static_hierarchy, static_pairs
from .tendon_paths import path_fields, spans_of_tendons
from .unsupported import check_supported, disabled

_BIT = mujoco.mjtDisableBit
_SOLREFS = ("jnt_solref", "dof_solref", "tendon_solref_lim", "tendon_solref_fri", "eq_solref")


def _options(m: Source, _: Made) -> dict[str, Any]:
    implicit = int(m.opt.integrator) == IMPLICIT
    return {
        "integrator": int(m.opt.integrator),
        "nvimplicit": int(m.nv) * implicit,
        "nbodyimplicit": int(m.nbody) * implicit,
        "cone": int(m.opt.cone),
        "solver": int(m.opt.solver),
        "iterations": int(m.opt.iterations),
        "ls_iterations": int(m.opt.ls_iterations),
        "tolerance": float(m.opt.tolerance),
        "noslip_iterations": int(m.opt.noslip_iterations),
        "noslip_tolerance": float(m.opt.noslip_tolerance),
        "impratio": float(m.opt.impratio),
        "meaninertia": float(m.stat.meaninertia),
        "timestep": float(m.opt.timestep),
        "gravity": m.opt.gravity * (not disabled(m, _BIT.mjDSBL_GRAVITY)),
    }


def _passive(m: Source, made: Made) -> dict[str, Any]:
    spring, damper = not disabled(m, _BIT.mjDSBL_SPRING), not disabled(m, _BIT.mjDSBL_DAMPER)
    # MuJoCo skips all passive forces, gravity compensation included, when both are disabled
    gravcomp = m.body_gravcomp * (spring or damper) * bool(np.any(made["gravity"]))
    damping = m.dof_damping * damper
    return {
        "eulerdamp": int(damper and not disabled(m, _BIT.mjDSBL_EULERDAMP)),
        "damped": int(np.any(damping)),
        "dof_gravcomp": m.jnt_actgravcomp[m.dof_jntid] * bool(np.any(gravcomp)) * (1 if _actuates(m) else 2),
        "ngravcomp": int(np.count_nonzero(gravcomp)),
        "body_gravcomp": gravcomp,
        "jnt_stiffness": m.jnt_stiffness * spring,
        "dof_damping": damping,
    }


def _surfaces(m: Source, _: Made) -> dict[str, Any]:
    number = int(m.ngeom) if m.flg_surfacevel and contacts_enabled(m) else 0
    return {"nsurface": number, "geom_surfacevel": m.geom_surfacevel[:number].copy()}


def _fluid(m: Source, made: Made) -> dict[str, Any]:
    # MuJoCo skips all passive forces when both are disabled
    enabled = not (disabled(m, _BIT.mjDSBL_SPRING) and disabled(m, _BIT.mjDSBL_DAMPER))
    skew = np.logical_or(made["body_freesolo"], made["integrator"] == IMPLICIT)
    return fluid_fields(m, enabled, skew)


def _actuates(m: Source) -> bool:
    """Whether MuJoCo computes actuators; else gravity compensation that is theirs is lost."""
    return m.nu > 0 and not disabled(m, _BIT.mjDSBL_ACTUATION)


def _actuation(m: Source, _: Made) -> dict[str, Any]:
    group = m.actuator_group
    counts = (group < 0) | (group > 30)
    off = (int(m.opt.disableactuator) >> np.where(counts, 0, group)) & 1
    enabled = not disabled(m, _BIT.mjDSBL_ACTUATION)
    return {
        "actuator_trnid": m.actuator_trnid.reshape(m.nu, 2).copy(),
        "actuator_enabled": (counts | (off == 0)) & enabled,
        # without actuation MuJoCo leaves activations alone, so no actuator owns one
        "actuator_actadr": np.where(enabled, m.actuator_actadr, -1),
        "actuator_ctrllimited": m.actuator_ctrllimited.astype(bool) & (not disabled(m, _BIT.mjDSBL_CLAMPCTRL)),
    }


def _limits_and_friction(m: Source, made: Made) -> dict[str, Any]:
    limit, friction = (_constrained(m, flag) for flag in (_BIT.mjDSBL_LIMIT, _BIT.mjDSBL_FRICTIONLOSS))
    limited = m.jnt_limited.astype(bool) & limit
    return {
        "jnt_limited": limited,
        "nlimit": int(np.count_nonzero(limited)),
        "dof_frictionloss": m.dof_frictionloss * friction,
        **tendon_fields(
            m,
            made["ten_J_rownnz"] > 0,
            spring=not disabled(m, _BIT.mjDSBL_SPRING),
            damper=not disabled(m, _BIT.mjDSBL_DAMPER),
            limit=limit,
            frictionloss=friction,
        ),
    }


def _equalities(m: Source, made: Made) -> dict[str, Any]:
    fields = equality_fields(m, made["ten_J_rownnz"] > 0, _constrained(m, _BIT.mjDSBL_EQUALITY))
    return {**fields, "ne": sum(ROWS[int(kind)] for kind in m.eq_type[fields["eq_active0"]])}


def _constrained(m: Source, flag: mujoco.mjtDisableBit) -> bool:
    """Whether the option flags let a kind of constraint be."""
    return not (disabled(m, _BIT.mjDSBL_CONSTRAINT) or disabled(m, flag))


def _rows(m: Source, made: Made) -> dict[str, Any]:
    pyramidal = made["cone"] == int(mujoco.mjtCone.mjCONE_PYRAMIDAL)
    dim, ne = made["con_dim"], made["ne"]
    of_contacts = int(np.where(dim == 1, 1, 2 * (dim - 1) if pyramidal else dim) @ made["contact_pairs"].max_contacts)
    others = ne + 2 * made["nlimit"] + int(np.count_nonzero(made["dof_frictionloss"]))
    others += 2 * int(np.count_nonzero(made["tendon_limited"])) + int(np.count_nonzero(made["tendon_frictionloss"]))
    noslip = made["noslip_iterations"] > 0
    dual = noslip or made["solver"] == int(mujoco.mjtSolver.mjSOL_PGS)
    nconcone = made["nconmax"] * (not pyramidal)
    return {
        "nconcone": nconcone,
        "nefcmax": others + of_contacts,
        "nefcbefore": others,
        "ndual": (others + of_contacts) * dual,
        "ndualdof": int(m.nv) * dual,
        "ndualcone": nconcone * dual,
        "nnoslip": (others + of_contacts) * noslip,
        "nnoslipdof": int(m.nv) * noslip,
    }


def _row_width(m: Source, made: Made) -> dict[str, Any]:
    tendons = made["tendon_limited"] | (made["tendon_frictionloss"] > 0)
    spans = spans_of_tendons(m, made["ten_J_rowadr"], made["ten_J_rownnz"], made["shift_id"])
    return {"nefcdof": widest_row(m, made["con_geom"], tendons, spans, made["eq_active0"], made["eq_bodyid"])}


def _contact_solrefs(m: Source, made: Made) -> dict[str, Any]:
    solref = contact_solref(m, made["contact_pairs"])
    both = {"con_solref": solref, "con_solreffriction": contact_solreffriction(m, made["contact_pairs"], solref)}
    return {name: _safe(m, value) for name, value in both.items()}


def _adhesion(m: Source, made: Made) -> dict[str, Any]:
    sticks = contacts_enabled(m) and (np.any(m.geom_adhesion) or np.any(m.pair_adhesion))
    pulls = contact_adhesion(m, made["contact_pairs"]) if sticks else np.zeros(0)
    return {"nadhesive": len(pulls), "con_adhesion": pulls}


def _contact_distances(m: Source, made: Made) -> dict[str, Any]:
    margin, gap = contact_margin(m, made["contact_pairs"]), contact_gap(m, made["contact_pairs"])
    return {"con_margin": margin, "con_gap": gap, "group_reach": group_reach(made["group_pairadr"], margin + gap)}


def _static_boxes(m: Source, made: Made) -> dict[str, Any]:
    return static_boxes(m, made["contact_pairs"], made["geom_box"], made["con_margin"] + made["con_gap"])


def _mocap_bodies(m: Source, _: Made) -> dict[str, Any]:
    return {"mocap_bodyid": np.argsort(m.body_mocapid, kind="stable")[m.nbody - m.nmocap :]}


def _solref(name: str) -> Any:
    return lambda m, _: {name: _safe(m, getattr(m, name))}


def _safe(m: Source, solref: Floats) -> Floats:
    """solref with its time constant at least two time steps (MuJoCo's refsafe)."""
    out = np.array(solref, np.float64)
    if not disabled(m, _BIT.mjDSBL_REFSAFE):
        np.maximum(out[:, 0], 2 * m.opt.timestep, out=out[:, 0], where=out[:, 0] > 0)
    return out


def _before_joints(m: Source) -> dict[str, Any]:
    """Degrees of freedom that turn together, as those of a ball, share what is before them."""
    before, rows, group = np.zeros(m.nv, np.int32), int(m.nbody), -1
    kind, offset = m.jnt_type[m.dof_jntid], np.arange(m.nv) - m.jnt_dofadr[m.dof_jntid]
    ball, free = (int(kind) for kind in (mujoco.mjtJoint.mjJNT_BALL, mujoco.mjtJoint.mjJNT_FREE))
    with_last = ((kind == ball) & (offset > 0)) | ((kind == free) & (offset > 3))
    first = m.body_dofadr[m.dof_bodyid] == np.arange(m.nv)
    parent = m.body_parentid[m.dof_bodyid]
    for v, (starts, stays) in enumerate(zip(first.tolist(), with_last.tolist(), strict=True)):
        if starts:
            group = int(parent[v])
        elif not stays:
            group, rows = rows, rows + 1
        before[v] = group
    return {"nwvel": rows, "dof_beforeid": before}


def _free_without_descendants(m: Source) -> Ints:
    first = m.body_jntadr
    free = (first >= 0) & (np.append(m.jnt_type, -1)[first] == int(mujoco.mjtJoint.mjJNT_FREE))
    return (free & (np.append(m.tree_dofnum, 0)[m.body_treeid] == 6)).astype(np.int32)


# in an order in which each finds what it reads
RECIPES = (
    lambda m, _: {"contact_pairs": possible_contact_pairs(m)},
    lambda m, made: check_supported(m, made["contact_pairs"]),
    _options,
    _passive,
    _actuation,
    lambda m, _: path_fields(m),
    lambda m, made: moment_fields(m, made["ten_J_rowadr"], made["ten_J_rownnz"], made["shift_id"]),
    lambda m, _: _before_joints(m),
    lambda m, _: {"body_freesolo": _free_without_descendants(m)},
    _fluid,
    _surfaces,
    _mocap_bodies,
    _limits_and_friction,
    _equalities,
    lambda m, made: pair_fields(m, made["contact_pairs"]),
    lambda m, made: group_fields(m, made["contact_pairs"].geom, made["contact_pairs"].place),
    lambda m, made: {"con_dim": contact_dim(m, made["contact_pairs"])},
    lambda m, made: {"con_friction": contact_friction(m, made["contact_pairs"])},
    _contact_solrefs,
    lambda m, made: {"con_solimp": contact_solimp(m, made["contact_pairs"])},
    _contact_distances,
    _adhesion,
    lambda m, _: {"geom_box": geom_boxes(m)},
    lambda m, _: {"geom_rbound": bounding_radii(m)},
    _static_boxes,
    lambda _, made: static_pairs(made["contact_pairs"], made["movers"], made["static_geom"]),
    lambda _, made: static_hierarchy(made["static_low"], made["static_high"]),
    *(_solref(name) for name in _SOLREFS),
    _rows,
    _row_width,
)

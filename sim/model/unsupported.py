"""What the simulator does not do, found in a compiled model and named.

Nothing that would change the motion is dropped silently: every such element of a model is
listed, by name, in one `UnsupportedModelError`.
"""

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np

from ..kernels.enums import PLANE, TRN_JOINT, TRN_JOINTINPARENT, TRN_TENDON
from .contact_pairs import CONVEX, Pairs, contacts_enabled
from .couplings import are_fixed, are_simulated
from .source import Source

INTEGRATORS = {
    int(mujoco.mjtIntegrator.mjINT_EULER),
    int(mujoco.mjtIntegrator.mjINT_RK4),
    int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST),
}
_DYNAMICS = {
    int(mujoco.mjtDyn.mjDYN_NONE),
    int(mujoco.mjtDyn.mjDYN_INTEGRATOR),
    int(mujoco.mjtDyn.mjDYN_FILTER),
    int(mujoco.mjtDyn.mjDYN_FILTEREXACT),
}
_GAINS = {int(mujoco.mjtGain.mjGAIN_FIXED), int(mujoco.mjtGain.mjGAIN_AFFINE)}
_BIASES = {int(mujoco.mjtBias.mjBIAS_NONE), int(mujoco.mjtBias.mjBIAS_AFFINE)}
_ROTATIONAL = {int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)}


class UnsupportedModelError(ValueError):
    """The model uses elements that would change the motion and are not simulated.

    `elements` lists every one of them, one text each.
    """

    def __init__(self, elements: list[str]) -> None:
        self.elements = elements
        super().__init__(
            "this model cannot be simulated exactly; not supported: "
            + "; ".join(elements)
            + ". Remove these elements or disable them in the MJCF (option/flag)."
        )


def _name(mj_model: Source, kind: mujoco.mjtObj, index: int) -> str:
    name = mujoco.mj_id2name(mj_model.base, kind, index)
    return f"'{name}'" if name else f"number {index}"


def disabled(mj_model: Source, flag: mujoco.mjtDisableBit) -> bool:
    """Whether the option flag disables a stage."""
    return bool(int(mj_model.opt.disableflags) & int(flag))


def check_supported(mj_model: Source, pairs: Pairs) -> dict[str, Any]:
    """Raise `UnsupportedModelError` naming every element that is not simulated; no fields."""
    found = [
        *_options(mj_model),
        *_joints(mj_model),
        *_actuators(mj_model),
        *_constraints(mj_model, pairs),
        *_other_elements(mj_model),
    ]
    if found:
        raise UnsupportedModelError(found)
    return {}


def _options(m: Source) -> Iterator[str]:
    integrator = int(m.opt.integrator)
    if integrator not in INTEGRATORS:
        known = mujoco.mjtIntegrator(integrator).name.removeprefix("mjINT_").lower()
        yield f"option integrator '{known}' (use Euler, RK4 or implicitfast)"
    for field in ("density", "viscosity"):
        if float(getattr(m.opt, field)) != 0:
            yield f"option {field} (fluid forces)"
    if int(m.opt.enableflags) & int(mujoco.mjtEnableBit.mjENBL_SLEEP):
        yield "option flag sleep"


def _joints(m: Source) -> Iterator[str]:
    spring = not disabled(m, mujoco.mjtDisableBit.mjDSBL_SPRING)
    damper = not disabled(m, mujoco.mjtDisableBit.mjDSBL_DAMPER)
    for j in range(m.njnt):
        name = _name(m, mujoco.mjtObj.mjOBJ_JOINT, j)
        if spring and np.any(m.jnt_stiffnesspoly[j]):
            yield f"joint {name}: polynomial stiffness"
        if spring and m.jnt_springyield[j] != 0:
            yield f"joint {name}: springyield"
        if m.jnt_actgravcomp[j]:
            yield f"joint {name}: actuatorgravcomp"
        dof = int(m.jnt_dofadr[j])
        if damper and np.any(m.dof_dampingpoly[dof]):
            yield f"joint {name}: polynomial damping"


def _actuators(m: Source) -> Iterator[str]:
    if disabled(m, mujoco.mjtDisableBit.mjDSBL_ACTUATION):
        return
    for i in range(m.nactuator):
        for complaint in _actuator_complaints(m, i):
            yield f"actuator {_name(m, mujoco.mjtObj.mjOBJ_ACTUATOR, i)}: {complaint}"


def _actuator_complaints(m: Source, i: int) -> Iterator[str]:
    transmission, target = int(m.actuator_trntype[i]), int(m.actuator_trnid[i, 0])
    on_fixed_tendon = transmission == TRN_TENDON and are_fixed(m)[target]
    if transmission not in (TRN_JOINT, TRN_JOINTINPARENT) and not on_fixed_tendon:
        yield f"transmission {mujoco.mjtTrn(transmission).name.removeprefix('mjTRN_').lower()}"
    elif transmission == int(mujoco.mjtTrn.mjTRN_JOINTINPARENT):
        if int(m.jnt_type[target]) in _ROTATIONAL:
            yield "jointinparent transmission on a ball or free joint"
    for field, kinds, prefix, enum in (
        ("actuator_dyntype", _DYNAMICS, "mjDYN_", mujoco.mjtDyn),
        ("actuator_gaintype", _GAINS, "mjGAIN_", mujoco.mjtGain),
        ("actuator_biastype", _BIASES, "mjBIAS_", mujoco.mjtBias),
    ):
        value = int(getattr(m, field)[i])
        if value not in kinds:
            yield f"{field.removeprefix('actuator_')} {enum(value).name.removeprefix(prefix).lower()}"
    if int(m.actuator_ctrlnum[i]) > 1 or int(m.actuator_actnum[i]) > 1:
        yield "several controls or activations"
    if m.actuator_actearly[i]:
        yield "actearly"
    if m.actuator_delay[i] != 0:
        yield "delay"
    if m.actuator_damping[i] != 0 or np.any(m.actuator_dampingpoly[i]):
        yield "damping (put it on the joint)"
    if m.actuator_armature[i] != 0:
        yield "armature (put it on the joint)"
    if int(m.actuator_plugin[i]) >= 0:
        yield "plugin"


def _constraints(m: Source, pairs: Pairs) -> Iterator[str]:
    bit = mujoco.mjtDisableBit
    if disabled(m, bit.mjDSBL_CONSTRAINT):
        return
    for flag in ("override", "diagexact", "ipc", "speculative"):
        if int(m.opt.enableflags) & int(getattr(mujoco.mjtEnableBit, f"mjENBL_{flag.upper()}")):
            yield f"option flag {flag}"
    for t in range(m.ntendon):
        name = _name(m, mujoco.mjtObj.mjOBJ_TENDON, t)
        if m.tendon_limited[t] and not are_fixed(m)[t] and not disabled(m, bit.mjDSBL_LIMIT):
            yield f"tendon {name}: limits (it is spatial)"
        if m.tendon_frictionloss[t] and not are_fixed(m)[t] and not disabled(m, bit.mjDSBL_FRICTIONLOSS):
            yield f"tendon {name}: frictionloss (it is spatial)"
    if not disabled(m, bit.mjDSBL_EQUALITY):
        for e in np.flatnonzero(m.eq_active0):
            if not are_simulated(m)[e]:
                yield f"equality {_name(m, mujoco.mjtObj.mjOBJ_EQUALITY, int(e))}"
    if contacts_enabled(m):
        yield from _contacts(m, pairs)


def _contacts(m: Source, pairs: Pairs) -> Iterator[str]:
    if m.flg_surfacevel:
        yield "geom surfacevel"
    if m.flg_adhesion:
        yield "geom adhesion"
    bit = mujoco.mjtDisableBit
    flags = [flag for flag in ("nativeccd", "multiccd") if disabled(m, getattr(bit, f"mjDSBL_{flag.upper()}"))]
    for p in np.flatnonzero(pairs.family < 0):
        ids = [int(g) for g in pairs.geom[p]]
        first, second = (_name(m, mujoco.mjtObj.mjOBJ_GEOM, g) for g in ids)
        kinds = sorted(int(m.geom_type[g]) for g in ids)
        shapes = " and ".join(mujoco.mjtGeom(k).name.removeprefix("mjGEOM_").lower() for k in kinds)
        yield f"contact of geoms {first} and {second} ({shapes})"
    if flags and np.any(np.all(m.geom_type[pairs.geom[pairs.family == CONVEX]] != PLANE, axis=1)):
        yield from (f"option flag {flag} disabled" for flag in flags)


def _other_elements(m: Source) -> Iterator[str]:
    spring = not disabled(m, mujoco.mjtDisableBit.mjDSBL_SPRING)
    damper = not disabled(m, mujoco.mjtDisableBit.mjDSBL_DAMPER)
    for t in range(m.ntendon):
        for complaint in _tendon_complaints(m, t, spring, damper):
            yield f"tendon {_name(m, mujoco.mjtObj.mjOBJ_TENDON, t)}: {complaint}"
    for index in range(m.nflex):
        yield f"flex {_name(m, mujoco.mjtObj.mjOBJ_FLEX, index)}"
    for b in np.flatnonzero(m.body_plugin >= 0):
        yield f"body {_name(m, mujoco.mjtObj.mjOBJ_BODY, int(b))}: plugin"


def _tendon_complaints(m: Source, t: int, spring: bool, damper: bool) -> Iterator[str]:
    if are_fixed(m)[t]:
        if spring and np.any(m.tendon_stiffnesspoly[t]):
            yield "polynomial stiffness"
        if damper and np.any(m.tendon_dampingpoly[t]):
            yield "polynomial damping"
    else:
        if spring and (m.tendon_stiffness[t] != 0 or np.any(m.tendon_stiffnesspoly[t])):
            yield "stiffness (it is spatial)"
        if damper and (m.tendon_damping[t] != 0 or np.any(m.tendon_dampingpoly[t])):
            yield "damping (it is spatial)"
    if spring and m.tendon_springyield[t] != 0:
        yield "springyield"
    if m.tendon_armature[t] != 0:
        yield "armature"
    pulling = (m.actuator_trntype == TRN_TENDON) & (m.actuator_trnid.reshape(-1, 2)[:, 0] == t)
    if m.tendon_actfrclimited[t] and np.count_nonzero(pulling) > 1:
        yield "actuatorfrcrange shared by several actuators"

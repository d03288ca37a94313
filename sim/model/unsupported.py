"""What the simulator does not do, found in a compiled model and named.

Nothing that would change the motion is dropped silently: every such element of a model is in one
`UnsupportedModelError`, whose message has a line for each kind of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np

from ..kernels.enums import (
    BOX,
    CAPSULE,
    CYLINDER,
    MESH,
    PLANE,
    TRN_BODY,
    TRN_JOINT,
    TRN_JOINTINPARENT,
    TRN_SITE,
    TRN_SLIDERCRANK,
    TRN_TENDON,
)
from .contact_groups import ascending
from .contact_pairs import CONVEX, FIELD, Pairs, contacts_enabled
from .couplings import are_simulated
from .option_flags import advice_on_flag
from .source import Source

INTEGRATORS = {
    int(mujoco.mjtIntegrator.mjINT_EULER),
    int(mujoco.mjtIntegrator.mjINT_RK4),
    int(mujoco.mjtIntegrator.mjINT_IMPLICIT),
    int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST),
}
_DYNAMICS = {
    int(mujoco.mjtDyn.mjDYN_NONE),
    int(mujoco.mjtDyn.mjDYN_INTEGRATOR),
    int(mujoco.mjtDyn.mjDYN_FILTER),
    int(mujoco.mjtDyn.mjDYN_FILTEREXACT),
    int(mujoco.mjtDyn.mjDYN_MUSCLE),
}
_GAINS = {int(getattr(mujoco.mjtGain, f"mjGAIN_{name}")) for name in ("FIXED", "AFFINE", "MUSCLE")}
_BIASES = {int(getattr(mujoco.mjtBias, f"mjBIAS_{name}")) for name in ("NONE", "AFFINE", "MUSCLE")}
_AWAKE = [int(mujoco.mjtSleepPolicy.mjSLEEP_AUTO_NEVER), int(mujoco.mjtSleepPolicy.mjSLEEP_NEVER)]
_NAMES, _LINES = 3, 22  # in a message: names of a kind, kinds


class UnsupportedKind(NamedTuple):
    """Elements of a model that are not simulated for the same reason."""

    text: str  # {} stands for the names
    advice: str  # how to do without
    names: Sequence[str]  # none: an option of the whole model

    @property
    def elements(self) -> list[str]:
        """One text for each."""
        return [self.text.format(name) for name in self.names] or [self.text]

    def __str__(self) -> str:
        more = len(self.names) - _NAMES
        names = ", ".join(self.names[:_NAMES]) + (f" and {more:,} more" if more > 0 else "")
        return f"{self.text.format(names)} - {self.advice}"


class UnsupportedModelError(ValueError):
    """The model uses elements that would change the motion and are not simulated.

    `elements` lists every one of them, one text each, `kinds` what they have in common and how to do without.
    """

    def __init__(self, kinds: Sequence[UnsupportedKind]) -> None:
        self.kinds = tuple(kinds)
        lines = [str(kind) for kind in self.kinds[:_LINES]]
        if len(self.kinds) > _LINES:
            lines.append(f"and {len(self.kinds) - _LINES} more kinds (`kinds` of this error has all)")
        apart = " " if len(lines) == 1 else "\n  "
        super().__init__(apart.join(["this model cannot be simulated exactly; not supported:", *lines]))

    @property
    def elements(self) -> list[str]:
        """One text for each element."""
        return [element for kind in self.kinds for element in kind.elements]

    def __reduce__(self) -> tuple[Any, ...]:
        return UnsupportedModelError, (self.kinds,)


def _names(m: Source, kind: mujoco.mjtObj, which: Any) -> list[str]:
    """Names of the elements that `which`, a mask or numbers, picks; numbers of those that have none."""
    numbers = np.flatnonzero(which) if which.dtype == bool else which
    return [f"'{name}'" if (name := mujoco.mj_id2name(m.base, kind, i)) else f"number {i}" for i in map(int, numbers)]


def disabled(m: Source, flag: mujoco.mjtDisableBit) -> bool:
    """Whether the option flag disables a stage."""
    return bool(int(m.opt.disableflags) & int(flag))


def check_supported(m: Source, pairs: Pairs) -> dict[str, Any]:
    """Raise `UnsupportedModelError` naming every element that is not simulated; no fields."""
    found = [*_options(m), *_joints(m), *_actuators(m), *_tendons(m), *_constraints(m, pairs), *_other_elements(m)]
    if found:
        raise UnsupportedModelError(found)
    return {}


def _options(m: Source) -> Iterator[UnsupportedKind]:
    integrator = int(m.opt.integrator)
    if integrator not in INTEGRATORS:
        known = mujoco.mjtIntegrator(integrator).name.removeprefix("mjINT_").lower()
        yield UnsupportedKind(f"option integrator '{known}'", "use Euler, RK4, implicit or implicitfast", ())
    if int(m.opt.enableflags) & int(mujoco.mjtEnableBit.mjENBL_SLEEP):
        # a tree that falls asleep stops short of rest; where none may, the flag changes nothing
        roots = m.dof_bodyid[m.tree_dofadr[~np.isin(m.tree_sleep_policy, _AWAKE)]]
        if len(roots):
            awake = f"{advice_on_flag('sleep', 'disable')}: all then stay awake"
            names = _names(m, mujoco.mjtObj.mjOBJ_BODY, m.body_rootid[roots])
            yield UnsupportedKind("option flag sleep, with body {} that may fall asleep", awake, names)


def _joints(m: Source) -> Iterator[UnsupportedKind]:
    spring = not disabled(m, mujoco.mjtDisableBit.mjDSBL_SPRING)
    damper = not disabled(m, mujoco.mjtDisableBit.mjDSBL_DAMPER)
    for problem, which, advice in (
        ("polynomial stiffness", spring & _nonzero(m.jnt_stiffnesspoly), "give a single stiffness"),
        ("springyield", spring & (m.jnt_springyield != 0), 'set springyield="0"'),
        ("polynomial damping", damper & _nonzero(m.dof_dampingpoly)[m.jnt_dofadr], "give a single damping"),
    ):
        if np.any(which):
            yield UnsupportedKind(f"joint {{}}: {problem}", advice, _names(m, mujoco.mjtObj.mjOBJ_JOINT, which))


def _nonzero(rows: Any) -> Any:
    """Which rows (n, k) have a number other than zero."""
    return (rows != 0).any(axis=1)


def _actuators(m: Source) -> Iterator[UnsupportedKind]:
    if disabled(m, mujoco.mjtDisableBit.mjDSBL_ACTUATION):
        return
    for problem, which, advice in (*_transmissions(m), *_actuator_types(m), *_actuator_extras(m)):
        if np.any(which):
            yield UnsupportedKind(f"actuator {{}}: {problem}", advice, _names(m, mujoco.mjtObj.mjOBJ_ACTUATOR, which))


def _transmissions(m: Source) -> Iterator[tuple[str, Any, str]]:
    kind = m.actuator_trntype
    known = [TRN_BODY, TRN_JOINT, TRN_JOINTINPARENT, TRN_SITE, TRN_SLIDERCRANK, TRN_TENDON]
    other = ~np.isin(kind, known)
    for number in np.unique(kind[other]):
        name = mujoco.mjtTrn(int(number)).name.removeprefix("mjTRN_").lower()
        yield f"transmission {name}", other & (kind == number), "let it act on joints"


def _actuator_types(m: Source) -> Iterator[tuple[str, Any, str]]:
    for field, known, enum in (
        ("dyntype", _DYNAMICS, mujoco.mjtDyn),
        ("gaintype", _GAINS, mujoco.mjtGain),
        ("biastype", _BIASES, mujoco.mjtBias),
    ):
        value = getattr(m, f"actuator_{field}")
        for number in set(value.tolist()) - known:
            name, *instead = (enum(k).name.split("_")[1].lower() for k in (number, *sorted(known)))
            yield f"{field} {name}", value == number, f"use {field} {' or '.join(instead)}"


def _actuator_extras(m: Source) -> Iterator[tuple[str, Any, str]]:
    several = (m.actuator_ctrlnum > 1) | (m.actuator_actnum > 1)
    damping = (m.actuator_damping != 0) | _nonzero(m.actuator_dampingpoly)
    yield "several controls or activations", several, "use actuators of one control, as position or velocity"
    yield "delay", m.actuator_delay != 0, 'set delay="0"'
    yield "damping", damping, "put it on the joint"
    yield "armature", m.actuator_armature != 0, "put it on the joint"
    yield "plugin", m.actuator_plugin >= 0, "use one of MuJoCo's own actuators"


def _tendons(m: Source) -> Iterator[UnsupportedKind]:
    spring = not disabled(m, mujoco.mjtDisableBit.mjDSBL_SPRING)
    on_tendon = np.flatnonzero(m.actuator_trntype == TRN_TENDON)
    tendon = m.actuator_trnid.reshape(-1, 2)[on_tendon, 0]
    idle = np.bincount(tendon[m.actuator_gear[on_tendon, 0] == 0], minlength=m.ntendon) > 0
    shared = (m.tendon_actfrclimited != 0) & (np.bincount(tendon, minlength=m.ntendon) > 1)
    for problem, which, advice in (
        ("springyield", (m.tendon_springyield != 0) & spring, 'set springyield="0"'),
        ("actuatorfrcrange shared with an actuator of gear 0", shared & idle, "leave that actuator out"),
    ):
        if np.any(which):
            yield UnsupportedKind(f"tendon {{}}: {problem}", advice, _names(m, mujoco.mjtObj.mjOBJ_TENDON, which))


def _constraints(m: Source, pairs: Pairs) -> Iterator[UnsupportedKind]:
    bit = mujoco.mjtDisableBit
    if disabled(m, bit.mjDSBL_CONSTRAINT):
        return
    for flag in ("override", "diagexact", "ipc", "speculative"):
        if int(m.opt.enableflags) & int(getattr(mujoco.mjtEnableBit, f"mjENBL_{flag.upper()}")):
            yield UnsupportedKind(f"option flag {flag}", advice_on_flag(flag, "disable"), ())
    if not disabled(m, bit.mjDSBL_EQUALITY):
        unknown = (m.eq_active0 != 0) & ~are_simulated(m)
        for kind in np.unique(m.eq_type[unknown]):
            name = mujoco.mjtEq(int(kind)).name.removeprefix("mjEQ_").lower()
            which = _names(m, mujoco.mjtObj.mjOBJ_EQUALITY, unknown & (m.eq_type == kind))
            advice = 'set active="false", or hold bodies, sites, joints or tendons together'
            yield UnsupportedKind(f"equality {{}}: of {name}", advice, which)
    if contacts_enabled(m):
        yield from _contacts(m, pairs)


def _contacts(m: Source, pairs: Pairs) -> Iterator[UnsupportedKind]:
    bit = mujoco.mjtDisableBit
    sticks = np.any(m.geom_adhesion) or np.any(m.pair_adhesion)
    if sticks and disabled(m, bit.mjDSBL_SPRING) and disabled(m, bit.mjDSBL_DAMPER):
        # MuJoCo drops the pull and keeps what holds against it
        text = "geom adhesion with the option flags spring and damper disabled"
        yield UnsupportedKind(text, advice_on_flag("spring", "enable"), ())
    unknown = pairs.geom[pairs.family < 0]
    kinds = ascending(m.geom_type[unknown])
    for first, second in np.unique(kinds, axis=0):
        geoms = unknown[(kinds == (first, second)).all(axis=1)]
        a, b = (_names(m, mujoco.mjtObj.mjOBJ_GEOM, geoms[:, side]) for side in range(2))
        shapes = " and ".join(mujoco.mjtGeom(int(k)).name.removeprefix("mjGEOM_").lower() for k in (first, second))
        advice = "use other shapes, or keep them apart by contype and conaffinity or contact/exclude"
        names = [f"{one} and {other}" for one, other in zip(a, b, strict=True)]
        yield UnsupportedKind(f"contact of geoms {{}} ({shapes})", advice, names)
    convex = ascending(m.geom_type[pairs.geom[pairs.family == CONVEX]])
    convex = convex[convex[:, 0] != PLANE]
    # of other pairs, those of height fields too, MuJoCo makes one contact
    several = np.isin(convex[:, 0], [CAPSULE, CYLINDER, BOX, MESH]) & np.isin(convex[:, 1], [CYLINDER, BOX, MESH])
    for flag, matters in (
        ("nativeccd", len(convex) > 0 or bool(np.any(pairs.family == FIELD))),
        ("multiccd", bool(several.any())),
    ):
        if matters and disabled(m, getattr(mujoco.mjtDisableBit, f"mjDSBL_{flag.upper()}")):
            yield UnsupportedKind(f"option flag {flag} disabled", advice_on_flag(flag, "enable"), ())


def _other_elements(m: Source) -> Iterator[UnsupportedKind]:
    if m.nflex:
        flexes = _names(m, mujoco.mjtObj.mjOBJ_FLEX, np.arange(m.nflex))
        yield UnsupportedKind("flex {}", "build it of bodies and joints", flexes)
    if np.any(m.body_plugin >= 0):
        bodies = _names(m, mujoco.mjtObj.mjOBJ_BODY, m.body_plugin >= 0)
        yield UnsupportedKind("body {}: plugin", "leave the plugin out", bodies)

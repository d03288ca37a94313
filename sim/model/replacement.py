"""Values that `Model.replace` is given: which fields can be replaced, and what they may hold."""

from collections.abc import Container
from typing import Any

import mujoco
import numpy as np

from .source import OPTIONS

_PAIR_FIELDS = ("friction", "solref", "solreffriction", "solimp", "margin", "gap", "adhesion", "dim")
_GEOM_FIELDS = (
    *("friction", "solref", "solimp", "margin", "gap", "adhesion", "condim", "solmix", "priority"),
    *("contype", "conaffinity"),
)
# fields that contact pairs and their parameters are made of
CONTACT_SOURCES = {*(f"pair_{name}" for name in _PAIR_FIELDS), *(f"geom_{name}" for name in _GEOM_FIELDS)}
_ENUMS = {
    "integrator": mujoco.mjtIntegrator,
    "cone": mujoco.mjtCone,
    "solver": mujoco.mjtSolver,
    "actuator_gaintype": mujoco.mjtGain,
    "actuator_biastype": mujoco.mjtBias,
}
# all that a field may hold
_VALUES = {
    **{name: sorted(map(int, enum.__members__.values())) for name, enum in _ENUMS.items()},
    "geom_condim": [1, 3, 4, 6],
    "pair_dim": [1, 3, 4, 6],
}
_LEAST = {
    "timestep": 0,
    "impratio": 0,
    "density": 0,
    "viscosity": 0,
    "tolerance": 0,
    "disableflags": 0,
    "ls_iterations": 0,
    "noslip_iterations": 0,
    "noslip_tolerance": 0,
}
_POSITIVE = ("timestep", "impratio")


def replacement(base: mujoco.MjModel, used: Container[str], name: str, value: Any) -> Any:
    """`value` as the field holds it; TypeError or ValueError, in one line, where the field cannot be replaced by it.

    `used` has the fields that the simulator uses.
    """
    owner = base.opt if name in OPTIONS else base
    if not hasattr(owner, name) or not (name in OPTIONS or name in used or name in CONTACT_SOURCES):
        raise TypeError(f"Model.replace: {name!r} is not a field of MuJoCo's model that the simulator uses")
    old = getattr(owner, name)
    numbers = np.asarray(int(value) if isinstance(value, tuple(_ENUMS.values())) else value)
    if numbers.dtype.kind not in "biuf":
        raise TypeError(f"Model.replace: {name} is {value!r}, expected numbers")
    if not np.all(np.isfinite(numbers)):
        raise ValueError(f"Model.replace: {name} is not finite")
    shape = np.shape(old)
    if not _can_change(name, old):
        raise TypeError(f"Model.replace: {name!r} is structure, which cannot change: load the changed MJCF or MjSpec")
    if numbers.shape != shape:
        raise ValueError(f"Model.replace: {name} has shape {numbers.shape}, expected {shape}")
    if np.asarray(old).dtype.kind == "i" and np.any(numbers != np.round(numbers)):
        raise ValueError(f"Model.replace: {name} has fractions, expected whole numbers")
    wrong = ~np.isin(numbers, _VALUES[name]) if name in _VALUES else np.zeros(shape, bool)
    if np.any(wrong):
        expected = " ".join(map(str, _VALUES[name]))
        raise ValueError(f"Model.replace: {name} is {numbers[wrong][0]}, need one of {expected}")
    if name == "iterations":
        checked_iterations(value)
    if name in _LEAST and (numbers < _LEAST[name] or (numbers == 0 and name in _POSITIVE)):
        need = "more than 0" if name in _POSITIVE else f"{_LEAST[name]} or more"
        raise ValueError(f"Model.replace: {name} is {numbers}, need {need}")
    if name == "hfield_data" and not np.all((numbers >= 0) & (numbers <= 1)):
        raise ValueError("Model.replace: hfield_data is not within 0 and 1; hfield_size[:, 2] is the elevation of 1")
    if name == "hfield_size" and not np.all(numbers > 0):
        raise ValueError(f"Model.replace: hfield_size has {numbers.min()}, need more than 0")
    return numbers.astype(old.dtype) if isinstance(old, np.ndarray) else type(old)(numbers)


def checked_iterations(value: Any) -> int:
    """The most iterations of a solver that is to converge; ValueError if it is no integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"iterations is {value!r}, need an integer of at least 1")
    return int(value)


def _can_change(name: str, old: Any) -> bool:
    """Neither a size, nor an address, an id or a type that others depend on."""
    if name in OPTIONS:
        return True
    return isinstance(old, np.ndarray) and (old.dtype.kind != "i" or name in _VALUES or name in CONTACT_SOURCES)

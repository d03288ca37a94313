"""What the fluid pushes: pieces of bodies with their frames and coefficients, made once per model.

MuJoCo documentation, Computation, "Fluid forces". A body is one box that has its inertia, or, where
one of its geoms asks for that, the ellipsoids of those geoms.
"""

from typing import Any

import mujoco
import numpy as np

from ..kernels.record import Floats
from .source import Source

MINVAL = mujoco.mjMINVAL
NCOEF = 19  # of a piece: see `inertia_box.py`, `ellipsoid.py`
_SPHERE, _CAPSULE, _CYLINDER = (int(getattr(mujoco.mjtGeom, f"mjGEOM_{x}")) for x in ("SPHERE", "CAPSULE", "CYLINDER"))


def fluid_fields(m: Source, enabled: bool, skew: Any) -> dict[str, Any]:
    """The `fluid_*` fields; `skew` (nbody): the trees of these roots need no symmetric slope."""
    density, viscosity = float(m.opt.density), float(m.opt.viscosity)
    pieces: list[tuple[int, int]] = []  # body, geom or -1
    if enabled and (density != 0 or viscosity != 0):
        mass, tree, shaped = m.body_mass, m.body_treeid, m.geom_fluid[:, 0] > 0
        for b in np.flatnonzero((mass >= MINVAL) & (tree >= 0)).tolist():
            geoms = np.flatnonzero(shaped & (m.geom_bodyid == b)).tolist()
            pieces += [(b, g) for g in geoms] or [(b, -1)]
    body, geom = np.array(pieces, np.int32).reshape(-1, 2).T
    boxes, n = geom < 0, len(pieces)
    pos, quat = np.empty((n, 3)), np.empty((n, 4))
    if n:
        pos[boxes], quat[boxes] = m.body_ipos[body[boxes]], m.body_iquat[body[boxes]]
        pos[~boxes], quat[~boxes] = m.geom_pos[geom[~boxes]], m.geom_quat[geom[~boxes]]
    coef, dense, viscous = (_coefficients(m, body, geom, *of) for of in ((density, viscosity), (1.0, 0.0), (0.0, 1.0)))
    wind = np.array(m.opt.wind, np.float64)
    return {
        "density": density,
        "viscosity": viscosity,
        "wind": wind,
        "nfluid": n,
        "windy": int(n > 0 and wind.any()),
        "fluid_bodyid": body,
        "fluid_box": boxes,
        "fluid_skew": ~boxes & skew[m.body_rootid[body]],
        "fluid_dofadr": _last_dofs(m)[body],
        "fluid_pos": pos,
        "fluid_quat": quat,
        "fluid_coef": coef,
        "fluid_unit": np.stack([dense, viscous], axis=1),
        "fluid_medium": np.array([density, viscosity]),
    }


def _last_dofs(m: Source) -> Any:
    """The last degree of freedom (nbody) that moves a body, -1: none does."""
    last, first, number = np.full(m.nbody, -1, np.int32), m.body_dofadr, m.body_dofnum
    for b, p in enumerate(m.body_parentid.tolist()):
        last[b] = first[b] + number[b] - 1 if number[b] else last[p]
    return last


def _coefficients(m: Source, body: Any, geom: Any, density: float, viscosity: float) -> Floats:
    """fluid_coef (n, NCOEF) of pieces: boxes of bodies, or ellipsoids where there is a geom."""
    boxes, coef = geom < 0, np.zeros((len(body), NCOEF))
    if np.any(boxes):
        coef[boxes, :12] = _box_coefficients(m.body_inertia[body[boxes]], m.body_mass[body[boxes]], density, viscosity)
    for i in np.flatnonzero(~boxes):
        axes = _semi_axes(m.geom_size[geom[i]], int(m.geom_type[geom[i]]))
        coef[i] = _ellipsoid_coefficients(axes, m.geom_fluid[geom[i]], density, viscosity)
    return coef


def _box_coefficients(inertia: Floats, mass: Floats, density: float, viscosity: float) -> Floats:
    """Of the box with that inertia (n, 3): linear drag of rotations and translations, then quadratic drag (n, 12)."""
    others = inertia.sum(axis=1, keepdims=True) - 2.0 * inertia
    box = np.sqrt(np.maximum(MINVAL, others) / mass[:, None] * 6.0)
    x, y, z = box.T
    size = box.mean(axis=1)
    turn, shift = np.pi * size**3 * viscosity, 3.0 * np.pi * size * viscosity
    drag = [density * a * (b**4 + c**4) / 64.0 for a, b, c in ((x, y, z), (y, x, z), (z, x, y))]
    drag += [0.5 * density * a * b for a, b in ((y, z), (x, z), (x, y))]
    return np.stack([turn] * 3 + [shift] * 3 + drag, axis=1)


def _semi_axes(size: Floats, kind: int) -> Floats:
    x, y, z = size
    if kind == _SPHERE:
        return np.array([x, x, x])
    if kind in (_CAPSULE, _CYLINDER):
        return np.array([x, x, y + x if kind == _CAPSULE else y])
    return np.array([x, y, z])


def _ellipsoid_coefficients(axes: Floats, fluid: Floats, density: float, viscosity: float) -> Floats:
    _, blunt, slender, angular, kutta, magnus = fluid[:6]
    _, middle, largest = np.sort(axes)
    others = np.roll(axes, 1) * np.roll(axes, 2)
    across = np.array([max(axes[1], axes[2]), max(axes[2], axes[0]), max(axes[0], axes[1])])
    moments, most = 8.0 / 15.0 * np.pi * axes * across**4, 8.0 / 15.0 * np.pi * middle * largest**4
    diameter = 2.0 / 3.0 * axes.sum()
    return np.concatenate(
        [
            others**2,
            [density * kutta, density * (blunt - slender), density * slender * np.pi * largest * middle],
            [viscosity * 3.0 * np.pi * diameter],
            angular * moments + slender * (most - moments),
            [density, viscosity * np.pi * diameter**3],
            density * fluid[6:12],
            [density * magnus * 4.0 / 3.0 * np.pi * np.prod(axes)],
        ]
    )

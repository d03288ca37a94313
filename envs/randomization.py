"""Variants of a model: the same scene with a body of another friction, mass or size, one of them for each episode."""

import copy
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from ..sim import Model

FACTORS = ("friction", "mass", "size")
_RESIZED = ("SPHERE", "CAPSULE", "ELLIPSOID", "CYLINDER", "BOX")  # mjtGeom


def variants(
    model: Model,
    body: str | int,
    randomize: Mapping[str, tuple[float, float]],
    n: int = 64,
    rng: np.random.Generator | int | None = None,
) -> tuple[Model, ...]:
    """`n` models of one structure: `model` itself, and n - 1 in which one body differs by factors.

    `randomize` has the lowest and the highest factor, of which one is drawn uniformly for each variant:
    of the sliding friction of the body's geoms ("friction"), its mass and inertia ("mass"), the size of
    its geoms ("size"). Without a factor of its own the mass goes with the cube of the size: the density
    stays. The inertia goes with the mass and the square of the size. Geoms, sites and the centre of mass
    stay where they are in the body's frame, so that no pose depends on the variant. Of two geoms in
    contact MuJoCo takes the larger friction: below that of the other one a geom's own has no effect.

    ValueError where a name is unknown, a range is none, or the size of a mesh is to change.
    """
    m = model.mj_model
    index = _body(m, body)
    for name, bounds in randomize.items():
        _check_range(name, bounds)
    if n < 1:
        raise ValueError(f"n={n}: must be at least 1")
    geoms = m.geom_bodyid == index
    kinds = [int(getattr(mujoco.mjtGeom, f"mjGEOM_{name}")) for name in _RESIZED]
    if "size" in randomize and not np.isin(m.geom_type[geoms], kinds).all():
        raise ValueError(f"randomize['size']: body {m.body(index).name!r} has a geom that cannot be resized, as a mesh")
    draw = np.random.default_rng(rng)
    drawn = [{name: draw.uniform(*bounds) for name, bounds in randomize.items()} for _ in range(n - 1)]
    return (model, *(_variant(model, index, geoms, factors) for factors in drawn))


def _variant(model: Model, body: int, geoms: np.ndarray, factors: Mapping[str, float]) -> Model:
    m, size = model.mj_model, factors.get("size", 1.0)
    mass = factors.get("mass", size**3)
    changed = {name: getattr(m, name).copy() for name in _CHANGED}
    changed["geom_friction"][geoms, 0] *= factors.get("friction", 1.0)
    changed["geom_size"][geoms] *= size
    changed["geom_rbound"][geoms] *= size
    changed["body_mass"][body] *= mass
    changed["body_inertia"][body] *= mass * size**2
    other = model.replace(**changed)
    # What the compiler makes of masses: how stiff constraints are. The rest it makes is made by `replace`.
    made = copy.copy(other.mj_model)
    mujoco.mj_setConst(made, mujoco.MjData(made))
    derived: dict[str, Any] = {name: getattr(made, name) for name in _DERIVED}
    return other.replace(**derived)


_CHANGED = ("geom_friction", "geom_size", "geom_rbound", "body_mass", "body_inertia")
_DERIVED = ("body_invweight0", "dof_invweight0", "tendon_invweight0")


def _body(m: mujoco.MjModel, body: str | int) -> int:
    index = mujoco.mj_name2id(m, mujoco.mjtObj.mjOBJ_BODY, body) if isinstance(body, str) else body
    if not 0 < index < m.nbody:
        raise ValueError(f"body={body!r}: the model has no such body besides the world")
    return index


def _check_range(name: str, bounds: Any) -> None:
    if name not in FACTORS:
        raise ValueError(f"randomize has {name!r}: choose among {', '.join(FACTORS)}")
    if len(bounds) != 2 or not 0.0 < bounds[0] <= bounds[1] < np.inf:
        raise ValueError(f"randomize[{name!r}] is {bounds!r}: give the lowest and the highest factor, both positive")

"""`Source`: MuJoCo's model as `Model` is made from it, with some fields changed and a record of those that were read.

A changed copy of a large model is made anew only where it differs (`recipes.py`); which fields a
part of it depends on is not written down anywhere, it is seen when the part is made.
"""

import copy
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from ..kernels.enums import HFIELD

# fields of mjOption that `Model.replace` accepts
OPTIONS = (
    *("timestep", "gravity", "density", "viscosity", "wind"),
    *("integrator", "cone", "impratio", "solver", "iterations", "ls_iterations", "tolerance"),
    *("noslip_iterations", "noslip_tolerance"),
    *("ccd_iterations", "disableflags"),
)
# what `body_subtreemass` and `dof_M0` are made of
_INERTIAL = {
    *("body_mass", "body_inertia", "body_pos", "body_quat", "body_ipos", "body_iquat"),
    *("jnt_pos", "jnt_axis", "dof_armature", "tendon_armature"),
}


class Source:
    """An MjModel whose fields may be changed without a copy of it; `read` collects the names of what is read."""

    def __init__(self, base: mujoco.MjModel, changed: Mapping[str, Any]) -> None:
        self.base, self.changed, self.read = base, changed, set[str]()
        self.opt: Any = _Section(self, base.opt)
        self.stat: Any = _Section(self, base.stat)

    def __getattr__(self, name: str) -> Any:
        return self.value_in(self.base, name)

    def value_in(self, owner: Any, name: str) -> Any:
        """The field `name` of the model, or of a section of it."""
        self.read.add(name)
        return self.changed[name] if name in self.changed else getattr(owner, name)


class _Section:
    """`opt` or `stat` of a `Source`: no name in them is one of MjModel's too."""

    def __init__(self, source: Source, owner: Any) -> None:
        self._source, self._owner = source, owner

    def __getattr__(self, name: str) -> Any:
        return self._source.value_in(self._owner, name)


def written(base: mujoco.MjModel, changed: Mapping[str, Any]) -> mujoco.MjModel:
    """A copy of `base` that has the changed fields."""
    m = copy.copy(base)
    for name, value in changed.items():
        owner = m.opt if name in OPTIONS else m
        if isinstance(value, np.ndarray):
            getattr(owner, name)[...] = value
        else:
            setattr(owner, name, value)
    # what MuJoCo's compiler made of inertias and its steps read
    if changed.keys() & _INERTIAL:
        made = copy.copy(m)
        # Bodies that were simple may be so no longer, which MuJoCo would refuse.
        made.body_simple[:], made.dof_simplenum[:] = 0, 0
        mujoco.mj_setConst(made, mujoco.MjData(made))
        m.body_subtreemass[:], m.dof_M0[:] = made.body_subtreemass, made.dof_M0
    if changed.keys() & {"geom_adhesion", "pair_adhesion"}:
        m.flg_adhesion = bool(m.geom_adhesion.any() or m.pair_adhesion.any())
    # what MuJoCo's broad phase knows of a body's geoms
    if changed.keys() & {"geom_margin", "geom_gap"}:
        m.body_margin[:] = 0.0
        np.maximum.at(m.body_margin, m.geom_bodyid, m.geom_margin + m.geom_gap)
    if changed.keys() & {"hfield_size"}:
        _resize_fields(m)
    if changed.keys() & {"geom_rbound"}:
        _grow_boxes(base, m)
    if changed.keys() & {"geom_contype", "geom_conaffinity"}:
        m.body_contype[:], m.body_conaffinity[:] = 0, 0
        np.bitwise_or.at(m.body_contype, m.geom_bodyid, m.geom_contype)
        np.bitwise_or.at(m.body_conaffinity, m.geom_bodyid, m.geom_conaffinity)
    return m


def _resize_fields(m: mujoco.MjModel) -> None:
    """What MuJoCo's broad phase knows of height fields, as mj_setConst makes it of their sizes."""
    fields = np.flatnonzero(m.geom_type == HFIELD)
    size = m.hfield_size[m.geom_dataid[fields]]
    box, before = field_boxes(size), m.geom_aabb[fields]
    beyond = np.maximum(np.abs(box[:, :3] - before[:, :3]) + box[:, 3:] - before[:, 3:], 0.0)
    m.geom_aabb[fields], m.geom_rbound[fields] = box, field_radii(size)
    grown = np.zeros(m.nbody)
    np.maximum.at(grown, m.geom_bodyid[fields], np.linalg.norm(beyond, axis=1))
    _grow_bodies(m, grown)


def field_boxes(size: Any) -> Any:
    """Centre and half sizes (n, 6) of the boxes around height fields of sizes (n, 4) [m]."""
    x, y, top, base = size.T
    nothing = np.zeros(len(size))
    return np.stack([nothing, nothing, 0.5 * (top - base), x, y, 0.5 * (top + base)], axis=1)


def field_radii(size: Any) -> Any:
    """Radii (n) of the spheres about the origins of height fields of sizes (n, 4) [m]."""
    return np.sqrt(size[:, 0] ** 2 + size[:, 1] ** 2 + np.maximum(size[:, 2], size[:, 3]) ** 2)


def _grow_boxes(base: mujoco.MjModel, m: mujoco.MjModel) -> None:
    """Boxes of geoms, and of bodies, around which MuJoCo looks for contacts: not smaller than they must be."""
    grown = np.maximum(m.geom_rbound - base.geom_rbound, 0.0)
    grown[m.geom_type == mujoco.mjtGeom.mjGEOM_MESH] = 0.0  # a mesh stays as it is
    m.geom_aabb[:, 3:] += grown[:, None]
    most = np.zeros(m.nbody)
    np.maximum.at(most, m.geom_bodyid, grown)
    _grow_bodies(m, most)


def _grow_bodies(m: mujoco.MjModel, most: Any) -> None:
    """Boxes of bodies, wider by `most` (nbody) on all sides."""
    for body in np.flatnonzero(most):
        first = m.body_bvhadr[body]
        m.bvh_aabb[first : first + m.body_bvhnum[body], 3:] += most[body]

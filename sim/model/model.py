"""`Model`: the constants of a mechanism, under MuJoCo's own field names.

Files are read by the `mujoco` package's compiler; this module copies what the kernels need.
Fields are in `model_fields.py`. Units are SI, angles in radians, quaternions (w, x, y, z).
"""

import copy
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import mujoco
import numpy as np

from ..kernels.jit import check_cache
from ..kernels.record import Floats, kept_with
from .contact_pairs import Pairs
from .contact_softness import SOFTENED, softened
from .derived_fields import RECIPES
from .keyframes import key_id
from .model_fields import ModelFields
from .option_flags import set_flags
from .recipes import Portion, follow
from .replacement import checked_iterations, replacement
from .source import Source, written


class State(NamedTuple):
    """What changes in time, and the poses of mocap bodies, which are inputs: a step leaves them as they are.

    A leading axis, the same in all, is a batch; poses without one hold for all of it.
    """

    qpos: Floats  # (..., nq) positions [m or rad; unit quaternions]
    qvel: Floats  # (..., nv) velocities [m/s or rad/s]; rotations of ball and free joints in the body frame
    act: Floats  # (..., na) actuator activations
    mocap_pos: Floats = None  # (..., nmocap, 3) positions [m]; None: those of the model
    mocap_quat: Floats = None  # (..., nmocap, 4) orientations, taken as of unit length; None: the model's


class Origin(NamedTuple):
    """What a `Model` was made of."""

    base: mujoco.MjModel  # what was loaded
    changes: dict[str, Any]  # fields that were replaced since
    portions: list[Portion]  # softness included


class Model(ModelFields):
    """A mechanism that can be simulated; made by `from_xml_path`, `from_xml_string`, `from_mujoco`.

    Attributes are MuJoCo's `mjModel` fields, those the simulator uses, and read-only: `replace` makes
    a changed copy. `mj_model` is the MuJoCo model that means the same, which nobody should write to.
    `contact_softness` [m] lets contacts push before they touch (`contact_softness.py`). `iterations`
    replaces the file's limit of the constraint solver: where that is too low for it to converge, as
    in models made for MJX, derivatives are not those of the step that was made.
    """

    contact_softness: float
    origin: Origin

    @classmethod
    def from_xml_path(
        cls,
        path: str | os.PathLike[str],
        contact_softness: float = 0.0,
        iterations: int | None = None,
        flags: Mapping[str, str] | None = None,
    ) -> "Model":
        """Read an MJCF or URDF file; ValueError with the compiler's message if it is malformed."""
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"Model.from_xml_path: expected a path, got {type(path).__name__}; "
                "from_mujoco takes a mujoco.MjModel or MjSpec"
            )
        if not os.path.isfile(path):
            raise FileNotFoundError(f"no model file at {os.fspath(path)!r}")
        try:
            mj_model = mujoco.MjModel.from_xml_path(os.fspath(path))
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None
        return cls.from_mujoco(mj_model, contact_softness, iterations, flags)

    @classmethod
    def from_xml_string(
        cls,
        xml: str,
        contact_softness: float = 0.0,
        iterations: int | None = None,
        flags: Mapping[str, str] | None = None,
    ) -> "Model":
        """Read MJCF or URDF text; ValueError with the compiler's message if it is malformed."""
        if not isinstance(xml, str):
            raise TypeError(f"Model.from_xml_string: expected text, got {type(xml).__name__}; files: from_xml_path")
        return cls.from_mujoco(mujoco.MjModel.from_xml_string(xml), contact_softness, iterations, flags)

    @classmethod
    def from_mujoco(
        cls,
        source: "mujoco.MjModel | mujoco.MjSpec",
        contact_softness: float = 0.0,
        iterations: int | None = None,
        flags: Mapping[str, str] | None = None,
    ) -> "Model":
        """Take a compiled MuJoCo model, or compile a spec. The model is copied."""
        check_cache()
        if not isinstance(source, mujoco.MjModel | mujoco.MjSpec):
            raise TypeError(
                f"Model.from_mujoco: expected a mujoco.MjModel or MjSpec, got {type(source).__name__}; "
                "from_xml_path reads files, from_xml_string texts"
            )
        base = source.compile() if isinstance(source, mujoco.MjSpec) else copy.copy(source)
        if iterations is not None:
            base.opt.iterations = checked_iterations(iterations)
        set_flags(base.opt, flags or {})
        m = Source(base, softened(Source(base, {}), contact_softness))
        portions, made = follow(RECIPES, m, (), set())
        values = {name: made[name] if name in made else _copied(m, name) for name in cls.fields}
        # no tree may fall asleep: the flag means nothing, and MuJoCo's differences refuse it
        set_flags(base.opt, {"sleep": "disable"})
        model = cls(**values)
        vars(model).update(origin=Origin(base, {}, portions), contact_softness=float(contact_softness))
        return model

    def replace(self, contact_softness: float | None = None, **fields: Any) -> "Model":
        """A copy with some `mjModel` or `mjOption` fields changed, e.g. `model.replace(body_mass=masses)`.

        Sizes, addresses, ids and types cannot change. What MuJoCo's compiler makes of a field is not
        made anew, as when a field of mjModel is written to (geom_rbound of geom_size, body_invweight0
        of masses). Fields that softness changes (solimp, margins) are given as they are without it.
        The copy shares the fields that stay, and costs only what the changed ones need.
        """
        base = self.origin.base
        new = {name: replacement(base, self.fields, name, value) for name, value in fields.items()}
        changes = {**self.origin.changes, **new}
        softness = self.contact_softness if contact_softness is None else contact_softness
        m = Source(base, {**changes, **softened(Source(base, changes), softness)})
        changed = new.keys() | (SOFTENED if softness != self.contact_softness else set())
        portions, made = follow(RECIPES, m, self.origin.portions, changed)
        own = {name for portion in portions for name in portion.fields}
        values = {name: value for name, value in made.items() if name in self.fields}
        values |= {name: _copied(m, name) for name in changed & self.fields.keys() - own}
        model = self.with_fields(values)
        vars(model).update(origin=Origin(base, changes, portions), contact_softness=float(softness))
        return model

    @property
    def mj_model(self) -> mujoco.MjModel:
        """The MuJoCo model that means the same; made at the first call where fields were replaced."""
        base, changes, _ = self.origin
        changes = {**changes, **softened(Source(base, changes), self.contact_softness)}
        return kept_with(self, "mj_model", lambda: written(base, changes)) if changes else base

    def initial_state(self, key: str | int | None = None) -> State:
        """The reference configuration `qpos0` at rest, or the state of a keyframe, by name or number.

        Shapes as in `State`, without batch axes. ValueError if there is no such keyframe.
        """
        if key is None:
            return State(self.qpos0.copy(), np.zeros(self.nv), np.zeros(self.na), *self.mocap_poses)
        m, number = self.origin.base, key_id(self.origin.base, key)
        moving = m.key_qpos[number].copy(), m.key_qvel[number].copy(), m.key_act[number].copy()
        return State(*moving, m.key_mpos[number].reshape(-1, 3).copy(), m.key_mquat[number].reshape(-1, 4).copy())

    def key_ctrl(self, key: str | int) -> Floats:
        """The controls (nu,) of a keyframe, by name or number."""
        return self.origin.base.key_ctrl[key_id(self.origin.base, key)].copy()

    @property
    def mocap_poses(self) -> tuple[Floats, Floats]:
        """Positions (nmocap, 3) and orientations (nmocap, 4) of the mocap bodies where the model has them."""
        return self.body_pos[self.mocap_bodyid], self.body_quat[self.mocap_bodyid]

    @property
    def contact_pairs(self) -> Pairs:
        """The pairs that con_* fields are about."""
        return self.origin.portions[0].fields["contact_pairs"]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Model is read-only: make a changed one with model.replace({name}=...)")

    def _put(self, name: str, value: Any) -> None:
        super()._put(name, value)
        if isinstance(made := getattr(self, name), np.ndarray):
            made.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        return Model.from_mujoco, (written(self.origin.base, self.origin.changes), self.contact_softness)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Model":
        return self  # immutable


def _copied(m: Source, name: str) -> Any:
    value = getattr(m, name)
    return value.copy() if isinstance(value, np.ndarray) else value


def tangent_size(model: Model) -> int:
    """nx = 2 nv + na: position, velocity, activation, ordered as in mjd_transitionFD."""
    return 2 * model.nv + model.na

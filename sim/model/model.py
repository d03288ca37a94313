"""`Model`: the constants of a mechanism, under MuJoCo's own field names.

Files are read by the `mujoco` package's compiler; this module copies what the kernels need.
Shapes are declared with the fields. Units are SI, angles in radians, quaternions (w, x, y, z).
"""

import copy
import os
from typing import Any, NamedTuple

import mujoco
import numpy as np

from ..kernels.record import Field, Floats, Ints, Struct, floats, integer, ints, real
from .contact_pairs import CONTACT_SOURCES
from .contact_softness import softened
from .derived_fields import derived_fields
from .unsupported import check_supported

_OPTIONS = ("timestep", "gravity", "integrator", "solver", "iterations", "tolerance")
# symbols in declared shapes
_SIZES = (
    *("nq", "nv", "nu", "na", "nbody", "nwvel", "ntree", "njnt", "ngeom", "nsite", "ntendon", "nwrap", "neq", "ne"),
    *(
        "nmoment",
        "npair",
        "ngroup",
        "ntreegeom",
        "nconmax",
        "nconcone",
        "nefcmax",
        "nefcdof",
        "npgs",
        "npgsdof",
        "nconpgs",
    ),
    *("nmesh", "nmeshvert", "nmeshgraph", "nmeshpoly", "nmeshpolyvert", "nmeshpolymap"),
    *("nconvex", "nccdvert", "nccdface", "nside", "nclip"),
)


class State(NamedTuple):
    """What changes in time. A leading axis, the same in all three, is a batch."""

    qpos: Floats  # (..., nq) positions [m or rad; unit quaternions]
    qvel: Floats  # (..., nv) velocities [m/s or rad/s]; rotations of ball and free joints in the body frame
    act: Floats  # (..., na) actuator activations


class Model(Struct):
    """A mechanism that can be simulated; made by `from_xml_path`, `from_xml_string`, `from_mujoco`.

    Attributes are MuJoCo's `mjModel` fields, those the simulator uses; they must not be written
    to: `replace` makes a changed copy. `mj_model` is the MuJoCo model that means the same.
    `contact_softness` [m] lets contacts push before they touch (`contact_softness.py`). `iterations`
    replaces the file's limit of the constraint solver: where that is too low for it to converge, as
    in models made for MJX, derivatives are not those of the step that was made.
    """

    nq: int = integer()
    nv: int = integer()
    nu: int = integer()
    na: int = integer()
    nbody: int = integer()
    nwvel: int = integer()  # nbody, and one for each later joint of a body that has several
    ntree: int = integer()  # kinematic trees
    njnt: int = integer()
    ngeom: int = integer()
    nsite: int = integer()
    ntendon: int = integer()
    nwrap: int = integer()
    neq: int = integer()
    ne: int = integer()  # constraint rows of active equalities
    nmoment: int = integer()  # degrees of freedom that actuators act on, counted for each actuator
    ngravcomp: int = integer()
    npair: int = integer()  # pairs of geoms that may collide
    nalways: int = integer()  # those of them that are always tested, the first ones; the rest are in groups
    ngroup: int = integer()  # pairs of trees that may collide
    ntreegeom: int = integer()  # geoms in such pairs
    nconmax: int = integer()  # most contacts at once
    nconcone: int = integer()  # nconmax if the cone is elliptic, else 0
    nefcmax: int = integer()  # most constraint rows at once
    nefcbefore: int = integer()  # most of them before those of the contacts
    nefcdof: int = integer()  # most degrees of freedom that a row and its trees have
    npgs: int = integer()  # nefcmax if the solver is projected Gauss-Seidel, else 0
    npgsdof: int = integer()  # nv if it is, else 0
    nconpgs: int = integer()  # nconcone if it is, else 0
    nmesh: int = integer()
    nmeshvert: int = integer()
    nmeshgraph: int = integer()
    nmeshpoly: int = integer()
    nmeshpolyvert: int = integer()
    nmeshpolymap: int = integer()
    nconvex: int = integer()  # nconmax, 0 if no pair needs the general convex routine
    nccdvert: int = integer()  # most vertices of the difference of two convex geoms
    nccdface: int = integer()
    nside: int = integer()  # most sides of a face, or faces at a vertex
    nclip: int = integer()  # most corners of a clipped face
    nlimit: int = integer()  # joints with an enabled limit
    cone: int = integer()  # mjtCone
    solver: int = integer()  # mjtSolver: PGS, else Newton
    iterations: int = integer()  # solver
    ls_iterations: int = integer()
    tolerance: float = real()
    impratio: float = real()
    meaninertia: float = real()
    integrator: int = integer()  # mjtIntegrator
    eulerdamp: int = integer()  # 1: Euler treats joint damping implicitly
    damped: int = integer()  # 1: a joint has damping
    timestep: float = real()  # [s]
    gravity: Floats = floats(3)  # [m/s^2]

    qpos0: Floats = floats("nq")
    qpos_spring: Floats = floats("nq")

    body_parentid: Ints = ints("nbody")
    body_rootid: Ints = ints("nbody")
    body_jntnum: Ints = ints("nbody")
    body_jntadr: Ints = ints("nbody")
    body_dofnum: Ints = ints("nbody")
    body_dofadr: Ints = ints("nbody")  # -1: none
    body_pos: Floats = floats("nbody", 3)  # [m], parent frame
    body_quat: Floats = floats("nbody", 4)
    body_ipos: Floats = floats("nbody", 3)  # [m], body frame
    body_iquat: Floats = floats("nbody", 4)
    body_mass: Floats = floats("nbody")  # [kg]
    body_inertia: Floats = floats("nbody", 3)  # principal moments [kg m^2]
    body_gravcomp: Floats = floats("nbody")
    body_invweight0: Floats = floats("nbody", 2)
    body_freesolo: Ints = ints("nbody")  # 1: free body without jointed descendants

    tree_dofadr: Ints = ints("ntree")
    tree_dofnum: Ints = ints("ntree")
    tree_geomadr: Ints = ints("ntree")  # its geoms that may touch another tree's: place in tree_geom
    tree_geomnum: Ints = ints("ntree")
    tree_geom: Ints = ints("ntreegeom")

    jnt_type: Ints = ints("njnt")  # mjtJoint
    jnt_qposadr: Ints = ints("njnt")
    jnt_dofadr: Ints = ints("njnt")
    jnt_bodyid: Ints = ints("njnt")
    jnt_pos: Floats = floats("njnt", 3)  # [m], body frame
    jnt_axis: Floats = floats("njnt", 3)
    jnt_stiffness: Floats = floats("njnt")  # [N/m or N m/rad]
    jnt_limited: Ints = ints("njnt")
    jnt_range: Floats = floats("njnt", 2)
    jnt_margin: Floats = floats("njnt")
    jnt_solref: Floats = floats("njnt", 2)
    jnt_solimp: Floats = floats("njnt", 5)
    jnt_actfrclimited: Ints = ints("njnt")
    jnt_actfrcrange: Floats = floats("njnt", 2)

    dof_bodyid: Ints = ints("nv")
    dof_jntid: Ints = ints("nv")
    dof_treeid: Ints = ints("nv")
    dof_parentid: Ints = ints("nv")  # -1: none
    dof_beforeid: Ints = ints("nv")  # what moves as the body did before this joint: its parent, or nbody + a number
    dof_armature: Floats = floats("nv")
    dof_damping: Floats = floats("nv")
    dof_frictionloss: Floats = floats("nv")
    dof_invweight0: Floats = floats("nv")
    dof_solref: Floats = floats("nv", 2)
    dof_solimp: Floats = floats("nv", 5)

    geom_bodyid: Ints = ints("ngeom")
    geom_type: Ints = ints("ngeom")  # mjtGeom
    geom_size: Floats = floats("ngeom", 3)
    geom_rbound: Floats = floats("ngeom")
    geom_dataid: Ints = ints("ngeom")  # mesh, -1: none
    geom_pos: Floats = floats("ngeom", 3)
    geom_quat: Floats = floats("ngeom", 4)
    site_bodyid: Ints = ints("nsite")
    site_pos: Floats = floats("nsite", 3)
    site_quat: Floats = floats("nsite", 4)

    mesh_vertadr: Ints = ints("nmesh")
    mesh_vertnum: Ints = ints("nmesh")
    mesh_vert: Floats = floats("nmeshvert", 3)  # [m], geom frame
    mesh_graphadr: Ints = ints("nmesh")  # -1: no convex hull
    mesh_graph: Ints = ints("nmeshgraph")  # edges of the convex hull
    mesh_extrema: Ints = ints("nmesh", 27)  # hull vertices farthest in the directions (-1, -1, -1) ... (1, 1, 1)
    mesh_polyadr: Ints = ints("nmesh")  # faces of the hull, flat polygons
    mesh_polynormal: Floats = floats("nmeshpoly", 3)
    mesh_polyvertadr: Ints = ints("nmeshpoly")
    mesh_polyvertnum: Ints = ints("nmeshpoly")
    mesh_polyvert: Ints = ints("nmeshpolyvert")
    mesh_polymapadr: Ints = ints("nmeshvert")  # faces at a vertex
    mesh_polymapnum: Ints = ints("nmeshvert")
    mesh_polymap: Ints = ints("nmeshpolymap")

    group_tree: Ints = ints("ngroup", 2)
    group_pairadr: Ints = ints("ngroup")  # first of the group's pairs of geoms, which are neighbours
    group_pairnum: Ints = ints("ngroup")
    group_reach: Floats = floats("ngroup")  # most of their margin and gap [m]
    con_geom: Ints = ints("npair", 2)  # the pairs, geom types ascending
    con_family: Ints = ints("npair")  # contact_pairs.ROUND, ...
    con_dim: Ints = ints("npair")
    con_friction: Floats = floats("npair", 5)
    con_solref: Floats = floats("npair", 2)
    con_solreffriction: Floats = floats("npair", 2)
    con_solimp: Floats = floats("npair", 5)
    con_margin: Floats = floats("npair")
    con_gap: Floats = floats("npair")

    tendon_adr: Ints = ints("ntendon")
    tendon_num: Ints = ints("ntendon")  # joints of a fixed tendon, 0 for spatial ones
    tendon_limited: Ints = ints("ntendon")
    tendon_range: Floats = floats("ntendon", 2)
    tendon_margin: Floats = floats("ntendon")
    tendon_stiffness: Floats = floats("ntendon")
    tendon_lengthspring: Floats = floats("ntendon", 2)  # no spring force between these lengths
    tendon_damping: Floats = floats("ntendon")
    tendon_frictionloss: Floats = floats("ntendon")
    tendon_length0: Floats = floats("ntendon")  # length at qpos0
    tendon_invweight0: Floats = floats("ntendon")
    tendon_solref_lim: Floats = floats("ntendon", 2)
    tendon_solimp_lim: Floats = floats("ntendon", 5)
    tendon_solref_fri: Floats = floats("ntendon", 2)
    tendon_solimp_fri: Floats = floats("ntendon", 5)
    tendon_actfrclimited: Ints = ints("ntendon")
    tendon_actfrcrange: Floats = floats("ntendon", 2)
    wrap_objid: Ints = ints("nwrap")  # joint
    wrap_prm: Floats = floats("nwrap")  # its coefficient

    eq_type: Ints = ints("neq")  # mjtEq
    eq_obj1id: Ints = ints("neq")  # of joint and tendon equalities
    eq_obj2id: Ints = ints("neq")  # -1: none
    eq_active0: Ints = ints("neq")
    eq_solref: Floats = floats("neq", 2)
    eq_solimp: Floats = floats("neq", 5)
    eq_data: Floats = floats("neq", mujoco.mjNEQDATA)  # polynomial, torquescale
    eq_bodyid: Ints = ints("neq", 2)  # the bodies that a connect or weld holds together
    eq_anchor1: Floats = floats("neq", 3)  # the point held, in the first body's frame [m]
    eq_anchor2: Floats = floats("neq", 3)  # and in the second's
    eq_quat1: Floats = floats("neq", 4)  # weld: the orientation held, in the first body's frame
    eq_quat2: Floats = floats("neq", 4)

    actuator_trntype: Ints = ints("nu")  # mjtTrn
    actuator_trnid: Ints = ints("nu", 2)
    moment_rowadr: Ints = ints("nu")  # first entry of the actuator in the table of moment arms
    moment_rownnz: Ints = ints("nu")  # number of its entries
    moment_colind: Ints = ints("nmoment")  # degree of freedom
    moment_gear: Ints = ints("nmoment")  # the moment arm is this gear
    moment_coef: Floats = floats("nmoment")  # times this
    actuator_dyntype: Ints = ints("nu")
    actuator_gaintype: Ints = ints("nu")
    actuator_biastype: Ints = ints("nu")
    actuator_actadr: Ints = ints("nu")  # -1: no activation
    actuator_enabled: Ints = ints("nu")
    actuator_ctrllimited: Ints = ints("nu")
    actuator_ctrlrange: Floats = floats("nu", 2)
    actuator_forcelimited: Ints = ints("nu")
    actuator_forcerange: Floats = floats("nu", 2)
    actuator_actlimited: Ints = ints("nu")
    actuator_actrange: Floats = floats("nu", 2)
    actuator_gear: Floats = floats("nu", 6)
    actuator_dynprm: Floats = floats("nu", mujoco.mjNDYN)
    actuator_gainprm: Floats = floats("nu", mujoco.mjNGAIN)
    actuator_biasprm: Floats = floats("nu", mujoco.mjNBIAS)

    mj_model: mujoco.MjModel
    contact_softness: float
    _source: mujoco.MjModel  # without softness

    @classmethod
    def from_xml_path(
        cls, path: str | os.PathLike[str], contact_softness: float = 0.0, iterations: int | None = None
    ) -> "Model":
        """Read an MJCF or URDF file; ValueError with the compiler's message if it is malformed."""
        if not os.path.isfile(path):
            raise FileNotFoundError(f"no model file at {os.fspath(path)!r}")
        try:
            mj_model = mujoco.MjModel.from_xml_path(os.fspath(path))
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None
        return cls.from_mujoco(mj_model, contact_softness, iterations)

    @classmethod
    def from_xml_string(cls, xml: str, contact_softness: float = 0.0, iterations: int | None = None) -> "Model":
        """Read MJCF or URDF text; ValueError with the compiler's message if it is malformed."""
        return cls.from_mujoco(mujoco.MjModel.from_xml_string(xml), contact_softness, iterations)

    @classmethod
    def from_mujoco(
        cls,
        source: "mujoco.MjModel | mujoco.MjSpec",
        contact_softness: float = 0.0,
        iterations: int | None = None,
    ) -> "Model":
        """Take a compiled MuJoCo model, or compile a spec. The model is copied."""
        own = source.compile() if isinstance(source, mujoco.MjSpec) else copy.copy(source)
        if iterations is not None:
            own.opt.iterations = _checked_iterations(iterations)
        mj_model = softened(own, contact_softness)
        check_supported(mj_model)
        model = cls(**_fields_of(mj_model))
        model.mj_model, model.contact_softness, model._source = mj_model, float(contact_softness), own
        return model

    def replace(self, contact_softness: float | None = None, **fields: Any) -> "Model":
        """A copy with some `mjModel` fields changed, e.g. `model.replace(body_mass=masses)`.

        Fields that softness changes (solimp) are given as they are without it.
        """
        mj_model = copy.copy(self._source)
        for name, value in fields.items():
            if not np.all(np.isfinite(value)):
                raise ValueError(f"Model.replace: {name} is not finite")
            owner = mj_model.opt if name in _OPTIONS else mj_model
            is_size = self.fields.get(name) == Field((), int) and name not in _OPTIONS
            known = name in self.fields or name in CONTACT_SOURCES
            if not known or not hasattr(owner, name) or is_size:
                raise TypeError(f"Model.replace: {name!r} is not a field of MuJoCo's model that the simulator uses")
            old = getattr(owner, name)
            if name in _OPTIONS and name != "gravity":
                if name == "iterations":
                    _checked_iterations(value)
                if name == "timestep" and value <= 0:
                    raise ValueError(f"Model.replace: timestep is {value}, need more than 0")
                setattr(owner, name, value)
                continue
            if np.shape(value) != old.shape:
                raise ValueError(f"Model.replace: {name} has shape {np.shape(value)}, expected {old.shape}")
            old[...] = value
        softness = self.contact_softness if contact_softness is None else contact_softness
        return type(self).from_mujoco(mj_model, softness)

    def initial_state(self) -> State:
        """The model's reference configuration `qpos0` at rest, shapes (nq,), (nv,), (na,)."""
        return State(self.qpos0.copy(), np.zeros(self.nv), np.zeros(self.na))

    @property
    def sizes(self) -> dict[str, int]:
        """Values of the symbols in declared shapes."""
        return {name: getattr(self, name) for name in _SIZES}

    def __reduce__(self) -> tuple[Any, ...]:
        return Model.from_mujoco, (self._source, self.contact_softness)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Model":
        return self  # immutable


def _checked_iterations(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"iterations is {value!r}, need an integer of at least 1")
    return int(value)


def _fields_of(m: mujoco.MjModel) -> dict[str, Any]:
    derived = derived_fields(m)
    values = {}
    for name in Model.fields:
        if name in derived:
            values[name] = derived[name]
        elif hasattr(m, name):
            value = getattr(m, name)
            values[name] = value.copy() if isinstance(value, np.ndarray) else value
        else:
            values[name] = getattr(m.opt, name)
    return values


def tangent_size(model: Model) -> int:
    """nx = 2 nv + na: position, velocity, activation, ordered as in mjd_transitionFD."""
    return 2 * model.nv + model.na

"""What a `Model` holds: the fields that kernels read, with their shapes.

Names that MuJoCo has are its own. Units are SI, angles in radians, quaternions (w, x, y, z).
"""

import mujoco

from ..kernels.record import Floats, Ints, Struct, floats, integer, ints, real
from .fluids import NCOEF

# symbols in declared shapes
_SIZES = (
    *("nq", "nv", "nu", "na", "nbody", "nwvel", "ntree", "njnt", "ngeom", "nsite", "ntendon", "nwrap", "neq", "ne"),
    *("npiece", "nshift", "nmove", "nbend"),
    "nmocap",
    *(
        "nmoment",
        "nfluid",
        "nsurface",
        "nadhesive",
        "nvimplicit",
        "nbodyimplicit",
        "nmovingarm",
        "npair",
        "ngroup",
        "nmover",
        "nmovergeom",
        "nbox",
        "ntreebox",
        "nstatic",
        "nstaticnode",
        "nstaticpair",
        "nconmax",
        "nconcone",
        "nefcmax",
        "nefcdof",
        "ndual",
        "ndualdof",
        "ndualcone",
        "nnoslip",
        "nnoslipdof",
    ),
    *("nmesh", "nmeshvert", "nmeshgraph", "nmeshpoly", "nmeshpolyvert", "nmeshpolymap"),
    *("nconvex", "nccdvert", "nccdface", "nside", "nclip"),
    *("nhfield", "nhfielddata"),
)


class ModelFields(Struct):
    """The constants of a mechanism; see `Model`."""

    nq: int = integer()
    nv: int = integer()
    nu: int = integer()
    na: int = integer()
    nmocap: int = integer()
    nbody: int = integer()
    nwvel: int = integer()  # nbody, and one for each later joint of a body that has several
    ntree: int = integer()  # kinematic trees
    njnt: int = integer()
    ngeom: int = integer()
    nsite: int = integer()
    ntendon: int = integer()
    nwrap: int = integer()
    npiece: int = integer()  # pieces of spatial tendons' paths: see `tendon_paths.py`
    nshift: int = integer()  # coordinates that change a tendon's length, counted for each tendon
    nmove: int = integer()  # the same of pieces, counted for each piece
    nbend: int = integer()  # degrees of freedom of a spatial tendon times its shifts, for each tendon
    neq: int = integer()
    ne: int = integer()  # constraint rows of active equalities
    nmoment: int = integer()  # degrees of freedom that actuators act on, counted for each actuator
    nmovingarm: int = integer()  # most of them of one actuator whose moment arms move with the pose, 0: none does
    ngravcomp: int = integer()
    nvimplicit: int = integer()  # nv for the integrator implicit, else 0
    nbodyimplicit: int = integer()  # nbody for it, else 0
    nsurface: int = integer()  # ngeom if the surface of a geom moves, else 0
    nadhesive: int = integer()  # npair if geoms stick to one another, else 0
    nfluid: int = integer()  # pieces of bodies that the fluid pushes; 0 without fluid
    windy: int = integer()  # 1: it flows
    npair: int = integer()  # pairs of geoms that may collide
    nalways: int = integer()  # those of them that are always tested, the first ones; then those with static geoms
    ngroup: int = integer()  # the rest are in groups, of two bodies or of two trees
    nmover: int = integer()  # moving bodies, as what others are welded to, of pairs that are not always tested
    nmovergeom: int = integer()  # their geoms in such pairs
    ntreebox: int = integer()  # trees in groups
    nbox: int = integer()  # nmover + ntreebox
    nstatic: int = integer()  # static geoms that moving bodies search
    nstaticnode: int = integer()  # nodes of the hierarchy of boxes that holds them
    nstaticpair: int = integer()  # nmover * nstatic + 1; 0 without such geoms
    nconmax: int = integer()  # most contacts at once
    nconcone: int = integer()  # nconmax if the cone is elliptic, else 0
    nefcmax: int = integer()  # most constraint rows at once
    nefcbefore: int = integer()  # most of them before those of the contacts
    nefcdof: int = integer()  # most degrees of freedom that a row and its trees have
    ndual: int = integer()  # nefcmax if forces are solved for, by projected Gauss-Seidel or noslip, else 0
    ndualdof: int = integer()  # nv if they are, else 0
    ndualcone: int = integer()  # nconcone if they are, else 0
    nnoslip: int = integer()  # nefcmax if there is noslip, else 0
    nnoslipdof: int = integer()  # nv if there is, else 0
    nmesh: int = integer()
    nmeshvert: int = integer()
    nmeshgraph: int = integer()
    nmeshpoly: int = integer()
    nmeshpolyvert: int = integer()
    nmeshpolymap: int = integer()
    nhfield: int = integer()
    nhfielddata: int = integer()
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
    noslip_iterations: int = integer()  # most sweeps over the friction forces after the solver, 0: none
    noslip_tolerance: float = real()
    impratio: float = real()
    meaninertia: float = real()
    integrator: int = integer()  # mjtIntegrator
    eulerdamp: int = integer()  # 1: Euler treats joint damping implicitly
    damped: int = integer()  # 1: a joint has damping
    timestep: float = real()  # [s]
    gravity: Floats = floats(3)  # [m/s^2]
    density: float = real()  # of the fluid [kg/m^3]
    viscosity: float = real()  # [Pa s]
    wind: Floats = floats(3)  # velocity of the fluid [m/s]

    qpos0: Floats = floats("nq")
    qpos_spring: Floats = floats("nq")

    body_parentid: Ints = ints("nbody")
    body_rootid: Ints = ints("nbody")
    body_mocapid: Ints = ints("nbody")  # its place among the mocap bodies, -1: it is none
    mocap_bodyid: Ints = ints("nmocap")  # the mocap bodies
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
    dof_gravcomp: Ints = ints("nv")  # gravity compensation is 0: passive, 1: the actuators', 2: neither
    dof_frictionloss: Floats = floats("nv")
    dof_invweight0: Floats = floats("nv")
    dof_solref: Floats = floats("nv", 2)
    dof_solimp: Floats = floats("nv", 5)

    geom_bodyid: Ints = ints("ngeom")
    geom_type: Ints = ints("ngeom")  # mjtGeom
    geom_size: Floats = floats("ngeom", 3)
    geom_rbound: Floats = floats("ngeom")
    geom_box: Floats = floats("ngeom", 6)  # centre and half sizes of a box around it, its own frame [m]
    geom_dataid: Ints = ints("ngeom")  # mesh or height field, -1: none
    geom_pos: Floats = floats("ngeom", 3)
    geom_quat: Floats = floats("ngeom", 4)
    geom_surfacevel: Floats = floats("nsurface", 6)  # velocity [m/s], rotation [rad/s] of the surface, geom frame
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

    hfield_size: Floats = floats("nhfield", 4)  # half sizes x, y; elevation where the data are 1; base below 0 [m]
    hfield_nrow: Ints = ints("nhfield")  # rows go along y
    hfield_ncol: Ints = ints("nhfield")
    hfield_adr: Ints = ints("nhfield")
    hfield_data: Floats = floats("nhfielddata")  # elevation, 0 to 1, row by row

    mover_geomadr: Ints = ints("nmover")  # a moving body's geoms: place in mover_geom
    mover_geomnum: Ints = ints("nmover")
    mover_geom: Ints = ints("nmovergeom")
    treebox_moveradr: Ints = ints("ntreebox")  # the moving bodies of a tree: place in treebox_mover
    treebox_movernum: Ints = ints("ntreebox")
    treebox_mover: Ints = ints("nmover")
    static_box: Floats = floats("nstaticnode", 6)  # lower and upper corner, reach included; see `static_geoms.py` [m]
    static_next: Ints = ints("nstaticnode")  # the node after its descendants
    static_leaf: Ints = ints("nstaticnode")  # number of its static geom, -1: it has descendants
    static_geom: Ints = ints("nstatic")
    static_pairadr: Ints = ints("nstaticpair")  # first pair of moving body and static geom, [mover * nstatic + leaf]
    group_box: Ints = ints("ngroup", 2)  # its two boxes: those of moving bodies, then those of trees
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
    con_adhesion: Floats = floats("nadhesive")  # force that a contact can pull with [N]

    tendon_adr: Ints = ints("ntendon")
    tendon_num: Ints = ints("ntendon")  # joints of a fixed tendon, 0 for spatial ones
    tendon_limited: Ints = ints("ntendon")
    tendon_range: Floats = floats("ntendon", 2)
    tendon_margin: Floats = floats("ntendon")
    tendon_stiffness: Floats = floats("ntendon")
    tendon_stiffnesspoly: Floats = floats("ntendon", mujoco.mjNPOLY)  # of further powers of the stretch
    tendon_lengthspring: Floats = floats("ntendon", 2)  # no spring force between these lengths
    tendon_damping: Floats = floats("ntendon")
    tendon_dampingpoly: Floats = floats("ntendon", mujoco.mjNPOLY)  # of further powers of the speed
    tendon_armature: Floats = floats("ntendon")  # inertia against changes of the length
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
    tendon_spatial: Ints = ints("ntendon")  # 1: it is spatial and exerts forces
    tendon_pieceadr: Ints = ints("ntendon")
    tendon_piecenum: Ints = ints("ntendon")
    ten_J_rowadr: Ints = ints("ntendon")  # the tendon's first shift, place in shift_* and ten_J
    ten_J_rownnz: Ints = ints("ntendon")  # those of its shifts that are degrees of freedom, the first ones
    tendon_shiftnum: Ints = ints("ntendon")  # all its shifts
    tendon_bendadr: Ints = ints("ntendon")  # place in ten_bend
    piece_siteid: Ints = ints("npiece", 2)  # a path's piece: from site to site
    piece_geomid: Ints = ints("npiece")  # past a geom, -1: none
    piece_sideid: Ints = ints("npiece")  # side site, -1: none
    piece_divisor: Floats = floats("npiece")  # the pulley's
    piece_moveadr: Ints = ints("npiece")  # what moves it: place in move_*
    piece_movenum: Ints = ints("npiece")
    move_shift: Ints = ints("nmove")  # number of the shift among those of the tendon
    move_ends: Ints = ints("nmove")  # what of the piece it moves, bits: tendon_paths.FIRST_END, ...
    shift_kind: Ints = ints("nshift")  # tendon_paths.DOF, ...
    shift_id: Ints = ints("nshift")  # degree of freedom, 6 * mocap body + coordinate, or 3 * body + axis of body_pos
    shift_bodyid: Ints = ints("nshift")  # the body that it moves, with all behind
    bend_carries: Ints = ints("nbend")  # 1: the shift turns the degree of freedom's axis along

    fluid_bodyid: Ints = ints("nfluid")
    fluid_box: Ints = ints("nfluid")  # 1: the box of the body's inertia, 0: an ellipsoid
    fluid_skew: Ints = ints("nfluid")  # 1: implicitfast keeps its slope as it is, 0: symmetric
    fluid_dofadr: Ints = ints("nfluid")  # last degree of freedom that moves it
    fluid_pos: Floats = floats("nfluid", 3)  # its frame in the body's [m]
    fluid_quat: Floats = floats("nfluid", 4)
    fluid_coef: Floats = floats("nfluid", NCOEF)  # see `inertia_box.py`, `ellipsoid.py`
    fluid_unit: Floats = floats("nfluid", 2, NCOEF)  # the same of unit density alone, and of unit viscosity alone
    fluid_medium: Floats = floats(2)  # density and viscosity

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
    moment_coef: Floats = floats("nmoment")  # times this; or a sign: see `couplings.py`
    moment_moves: Ints = ints("nu")  # 1: the pose decides, see `transmission.py`
    actuator_turngear: Ints = ints("nu")  # first gear of a transmission that lives on a circle, -1: it does not
    actuator_cranklength: Floats = floats("nu")  # [m]
    actuator_dyntype: Ints = ints("nu")
    actuator_gaintype: Ints = ints("nu")
    actuator_biastype: Ints = ints("nu")
    actuator_actadr: Ints = ints("nu")  # -1: no activation
    actuator_actearly: Ints = ints("nu")  # 1: the force is that of the next activation
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
    actuator_lengthrange: Floats = floats("nu", 2)  # of muscles: where their range of scaled lengths is
    actuator_acc0: Floats = floats("nu")  # of muscles: acceleration that a unit force makes, to which scale is relative

    @property
    def sizes(self) -> dict[str, int]:
        """Values of the symbols in declared shapes."""
        return {name: getattr(self, name) for name in _SIZES}

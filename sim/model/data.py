"""What kernels work in: `Data` (forward quantities), `Lanes` (adjoints), `Rates`, `States` (room for some states).

One of each per thread. Shapes are declared with the fields. World frame, SI units, unless said;
spatial vectors are (rotational, linear), referred to `subtree_com` of the tree's root body, as
in MuJoCo; that point counts as fixed in space during a step, so derivatives need not follow it.
"""

import mujoco

from ..kernels.enums import RK4
from ..kernels.record import Floats, Ints, Struct, floats, integer, ints
from ..kernels.vector import AT_ONCE, round_up
from .model import Model

MAX_CONTACT_ROWS = 10  # two for each of five directions of friction


class Data(Struct):
    """Everything computed from one state and control."""

    qpos: Floats = floats("nq")
    qvel: Floats = floats("nv")
    act: Floats = floats("na")
    ctrl: Floats = floats("nu")
    mocap_pos: Floats = floats("nmocap", 3)
    mocap_quat: Floats = floats("nmocap", 4)  # of any length
    applied: Ints = ints(2)  # 1: there are forces in qfrc_applied, in xfrc_applied; 0: none, whatever is there
    qfrc_applied: Floats = floats("nv")
    xfrc_applied: Floats = floats("nbody", 6)  # force, then torque, at the centre of mass

    xpos: Floats = floats("nbody", 3)  # body frame origin [m]
    xquat: Floats = floats("nbody", 4)  # body frame orientation
    xmat: Floats = floats("nbody", 9)  # the same as a rotation matrix, row by row
    xipos: Floats = floats("nbody", 3)  # centre of mass [m]
    ximat: Floats = floats("nbody", 9)  # principal axes of inertia
    xanchor: Floats = floats("njnt", 3)  # joint anchor [m]
    xaxis: Floats = floats("njnt", 3)  # joint axis
    geom_xpos: Floats = floats("ngeom", 3)
    geom_xmat: Floats = floats("ngeom", 9)
    site_xpos: Floats = floats("nsite", 3)
    site_xmat: Floats = floats("nsite", 9)

    subtree_com: Floats = floats("nbody", 3)  # centre of mass of body and descendants [m]
    subtree_mass: Floats = floats("nbody")  # [kg]
    cinert: Floats = floats("nbody", 10)  # inertia: xx yy zz xy xz yz, mass * position, mass
    cdof: Floats = floats("nv", 6)  # motion axis of each degree of freedom
    cvel: Floats = floats("nbody", 6)  # velocity of the body
    cdof_dot: Floats = floats("nv", 6)  # rate of the motion axis, joint's own motion left out
    cacc: Floats = floats("nbody", 6)  # acceleration, gravity included as upward acceleration
    cvel_qacc: Floats = floats("nbody", 6)  # velocity that the body would have if qacc were the joint velocity
    cfrc: Floats = floats("nbody", 6)  # force through the body's joint: that of its whole subtree

    fluid_force: Floats = floats("nfluid", 6)  # wrench of the fluid on a piece; linearised: see `fluid_implicit.py`
    fluid_acc: Floats = floats("nfluid", 6)  # motion under qacc, piece's own frame
    fluid_time: Floats = floats(1)  # how far ahead fluid_force sees the velocity [s]
    qfrc_bias: Floats = floats("nv")  # Coriolis, centrifugal, gravity [N or N m]
    qfrc_gravcomp: Floats = floats("nv")
    ten_length: Floats = floats("ntendon")  # 0 for spatial tendons without force
    ten_velocity: Floats = floats("ntendon")
    ten_J: Floats = floats("nshift")  # moment arms; derivatives of the length by shifts that are not degrees of freedom
    ten_bend: Floats = floats("nbend")  # derivatives of a spatial tendon's moment arms by its shifts
    ten_hess: Floats = floats(6, 6)  # of one piece: second derivatives of its length by both ends
    ten_axis: Floats = floats("nmove", 6)  # motion axes of shifts
    ten_ends: Floats = floats("nmove", 6)  # velocities of both ends of a piece along them
    tendon_force: Floats = floats("ntendon")  # sum of the actuators' forces before a range that they share
    qfrc_passive: Floats = floats("nv")  # springs, dampers, gravity compensation, fluid
    qfrc_actuator: Floats = floats("nv")
    qfrc_smooth: Floats = floats("nv")  # passive + actuator - bias + applied
    actuator_moment: Floats = floats("nmoment")  # moment arms that move with the pose, in the model's table's order
    actuator_length: Floats = floats("nu")
    actuator_velocity: Floats = floats("nu")
    actuator_force: Floats = floats("nu")
    act_dot: Floats = floats("na")
    qacc: Floats = floats("nv")  # acceleration [m/s^2 or rad/s^2]

    geom_bound: Floats = floats("ngeom", 6)  # lower and upper corner of geoms in groups, a bit too far [m]
    box: Floats = floats("nbox", 6)  # lower and upper corner of moving bodies, then of trees [m]
    nnear: Ints = ints(1)  # pairs of geoms that the broad phase leaves
    near_pair: Ints = ints("npair")
    ncon: Ints = ints(1)  # number of contacts
    con_pair: Ints = ints("nconmax")  # index into the model's con_* tables
    con_dist: Floats = floats("nconmax")  # distance of the surfaces, negative inside [m]
    con_pos: Floats = floats("nconmax", 3)  # midway between the surfaces [m]
    con_frame: Floats = floats("nconmax", 9)  # rows: normal from geom 1 to geom 2, two tangents
    con_hint: Ints = ints("nconmax")  # what the first tangent follows: see `collision/frame.py`
    con_feature: Ints = ints("nconmax", 5)  # what touches: each family's own code
    box_rot: Floats = floats(3, 3)  # of two boxes: see `collision/box_box.py`
    box_offset: Floats = floats(2, 3)
    box_poly: Floats = floats(2, 12, 3)  # two buffers: points of the clipped face
    box_edge: Ints = ints(2, 12)  # faces that the edges after them lie in
    box_over: Floats = floats(12)  # how far they are over the clipping plane
    con_efc: Ints = ints("nconmax")  # first constraint row, -1: none
    con_mu: Floats = floats("nconmax")  # friction of the regularised cone
    con_jac: Floats = floats(6, "nefcdof")  # of one contact: relative velocity in its frame
    con_motion: Floats = floats(7, 6)  # of one contact: see `collision/motion.py`
    con_force: Floats = floats(1, 6)  # of one contact, at it: wrench on its second body
    con_rates: Floats = floats(4, 6)  # of both its bodies: their twists under qacc + damping * qvel, under qvel
    con_hinge: Floats = floats(4, 3)  # how its frame follows: see `contact_adj.py`
    con_damping: Floats = floats(1)  # of the first contact's rows, most often that of all
    con_uneven: Ints = ints(1)  # 1: some contact has another damping
    cfrc_ext: Floats = floats("nbody", 6)  # force of the contacts on the body
    con_kind: Ints = ints("nconvex", 5)  # convex contacts: see `collision/convex_motion.py`
    con_shape: Floats = floats("nconvex", 8, 3)
    prism: Floats = floats(6, 3)  # corners of one prism of a height field: see `collision/prism.py` [m]
    con_apart_by: Floats = floats("nconvex")  # distance at the single point [m]
    con_solve: Floats = floats(4, 14)  # see `collision/feature_system.py`

    ccd_vert: Floats = floats("nccdvert", 3, 3)  # difference of two cores: point, and those of core 1, 2 [m]
    ccd_id: Ints = ints("nccdvert", 2)  # numbers of these vertices on both cores
    ccd_climb: Ints = ints(2)  # hull vertices where the last searches for supports ended, -1: none
    ccd_weight: Floats = floats(4)  # of the nearest simplex
    ccd_gap: Floats = floats(1)  # distance of the cores, 0: they overlap [m]
    ccd_face: Ints = ints("nccdface", 3)  # expanding polytope: vertices, -1: no face
    ccd_plane: Floats = floats("nccdface", 4)  # its normal and distance
    ccd_edge: Ints = ints("nccdface", 2)  # boundary of the faces that a new vertex sees
    ccd_corner: Ints = ints(4)  # rows of ccd_vert that the contact lies between
    ccd_point: Floats = floats(2, 3)  # nearest or deepest points of the geoms [m]
    ccd_feature: Ints = ints(2, 4)  # what of a core the contact lies on: 1 vertex, 2 edge, 3 face, 4 curve; vertices
    ccd_kind: Ints = ints(2)  # what the single contact lies on, once polished
    ccd_side: Floats = floats(2, 3)  # direction from the first of these to the second
    face_normal: Floats = floats(2, "nside", 3)  # faces of both geoms that may carry several contacts
    face_index: Ints = ints(2, "nside")
    edge_start: Floats = floats("nside", 3)  # edges that may
    edge_end: Floats = floats("nside", 3)
    polygon: Floats = floats(5, "nclip", 3)  # see `collision/manifold.py`
    polygon_side: Ints = ints(2, "nclip")
    corner: Ints = ints("nclip", 4)

    nefc: Ints = ints(1)  # number of constraint rows
    efc_type: Ints = ints("nefcmax")  # mjtConstraint, see kernels/enums.py
    efc_id: Ints = ints("nefcmax")  # joint, dof, tendon, equality or contact
    efc_dofadr: Ints = ints("nefcmax", 2)  # the two spans of degrees of freedom that the row touches: where they begin
    efc_dofnum: Ints = ints("nefcmax", 2)  # and how long they are
    efc_J: Floats = floats("nefcmax", "nefcdof")  # the columns of the first span, then those of the second
    efc_pos: Floats = floats("nefcmax")  # residual minus margin [m or rad]
    efc_kbip: Floats = floats("nefcmax", 4)  # stiffness, damping, impedance and its slope by efc_pos
    efc_R: Floats = floats("nefcmax")
    efc_least: Ints = ints("nefcmax")  # 1: R is the least that it may be, whatever the impedance
    efc_D: Floats = floats("nefcmax")  # 1 / R
    efc_floss: Floats = floats("nefcmax")  # largest force of friction loss
    efc_vel: Floats = floats("nefcmax")
    efc_aref: Floats = floats("nefcmax")
    efc_force: Floats = floats("nefcmax")
    efc_jar: Floats = floats("nefcmax")  # J qacc - aref
    efc_jv: Floats = floats("nefcmax")  # J times search direction
    efc_slope: Floats = floats("nefcmax")  # minus derivative of force by jar, rows that stand alone
    efc_slope_qH: Floats = floats("nefcmax")  # the slopes in qH
    cone_hess: Floats = floats("nconcone", 6, 6)  # the same for a contact on its elliptic cone
    cone_on: Ints = ints("nconmax")  # 1: the contact slides on its elliptic cone
    eq_share: Floats = floats(5, 6)  # coefficients of one coordinate in an equality's adjoint, see equality_adj.py
    qacc_smooth: Floats = floats("nv")
    qacc_warmstart: Floats = floats("nv")
    qfrc_constraint: Floats = floats("nv")

    nisland: Ints = ints(1)  # islands: see `islands.py`
    tree_island: Ints = ints("ntree")
    island_treeadr: Ints = ints("ntree")  # where its trees begin in tree_order, and their number
    island_ntree: Ints = ints("ntree")
    tree_order: Ints = ints("ntree")  # the trees of one island after the other
    tree_seen: Ints = ints("ntree")  # the search that has seen the tree last
    tree_link: Ints = ints("ntree")  # a row and a part of it that couple the tree with another: 2 row + part, -1: none
    row_link: Ints = ints("nefcmax", 2)  # for each part: the next such row and part of the same tree
    island_idofadr: Ints = ints("ntree")  # where an island begins in island order, and its size
    island_nv: Ints = ints("ntree")
    island_iefcadr: Ints = ints("ntree")  # the same of its rows
    island_nefc: Ints = ints("ntree")
    map_dof2idof: Ints = ints("nv")  # place of a degree of freedom in island order
    map_idof2dof: Ints = ints("nv")
    map_iefc2efc: Ints = ints("nefcmax")
    efc_idofadr: Ints = ints("nefcmax", 2)  # efc_dofadr in island order
    iacc: Floats = floats("nv")  # in island order, as all until Mv: qacc
    iacc_smooth: Floats = floats("nv")
    iacc_warmstart: Floats = floats("nv")
    ifrc_smooth: Floats = floats("nv")
    ifrc_constraint: Floats = floats("nv")
    qH_first: Ints = ints("nv")  # first column of the row of qH that may be nonzero
    qH: Floats = floats("nv", "nv")  # Newton's and noslip's Hessian, then its factor L' D L
    qH_rows: Floats = floats(4, "nefcdof")  # rows of C J that are being added to the Hessian
    qH_diag: Floats = floats("nv")  # diagonal of the Hessian
    grad: Floats = floats("nv")
    search: Floats = floats("nv")
    Ma: Floats = floats("nv")
    Mv: Floats = floats("nv")
    solver_niter: Ints = ints(1)  # iterations of the solver, in the island that took most
    unconverged: Ints = ints(1)  # of a step: times that a solver was stopped by `iterations` before it converged
    unconverged_steps: Ints = ints(1)  # steps of an adjoint's way back in which that happened
    solver_residual: Floats = floats(1)  # |M qacc - qfrc_smooth - J' force(J qacc - aref)| / (meaninertia nv)

    efc_MinvJ: Floats = floats("ndual", "nefcdof")  # J M^-1, columns of the row's whole trees
    efc_ARdiag: Floats = floats("ndual")  # projected Gauss-Seidel: diagonal of A + R, A = J M^-1 J'
    pgs_force: Floats = floats("ndual")  # the forces found, while efc_force holds those of the law
    dual_push: Floats = floats("ndualdof")  # J' times the forces found
    cone_A: Floats = floats("ndualcone", 6, 6)  # block of A of a contact with an elliptic cone
    cone_inv: Floats = floats("ndualcone", 6, 6)  # (A + C^-1)^-1 of the block, C = cone_hess
    noslip_curvature: Floats = floats(
        "nnoslip"
    )  # of the cost by a friction loss, or by the difference of a pair of edges
    main_force: Floats = floats("nnoslip")  # efc_force of the solver, before noslip
    main_acc: Floats = floats("nnoslipdof")  # iacc of the solver
    noslip_state: Ints = ints("nnoslip")  # of the row's force: see `noslip_adj.py`
    island_noslip: Ints = ints("ntree")  # sweeps of noslip
    cone_work: Floats = floats(3, 6, 6)  # matrices of one block, while it is solved
    cone_vec: Floats = floats(3, 6)  # vectors of the same

    abi: Floats = floats("nbody", 6, 6)  # articulated-body inertia
    abi_u: Floats = floats("nv", 6)  # abi times motion axis
    abi_dinv: Floats = floats("nv")  # inverse joint-space inertia seen by the degree of freedom

    crb: Floats = floats("nbody", 10)  # composite inertia of body and descendants
    qM: Floats = floats("nv", "nv")  # joint-space inertia, lower triangle
    qLD: Floats = floats("nv", "nv")  # its factor L' D L (unit lower L, diagonal D)

    block: Floats = floats(6, 6)  # implicitfast, free bodies: matrix being inverted, one row
    block_row: Floats = floats(6)
    block_inv: Floats = floats("nbody", 6, 6)

    crb_coriolis: Floats = floats("nbodyimplicit", 3, 6)  # integrator implicit: see `implicit_full.py`
    axis_slope: Floats = floats("nvimplicit", 6)  # slope of the bias by the velocity, before the inertia
    qLU: Floats = floats("nvimplicit", "nvimplicit")  # matrix, then its factors U D L

    rk_qpos: Floats = floats(4, "nq")  # Runge-Kutta stages: state, rates
    rk_qvel: Floats = floats(4, "nv")
    rk_act: Floats = floats(4, "na")
    rk_qacc: Floats = floats(4, "nv")
    rk_rate: Floats = floats(4, "nv")  # velocity pulled back to the start's tangent space
    rk_actdot: Floats = floats(4, "na")
    rk_shift: Floats = floats(4, "nv")  # position shift of the stage, tangent at the start
    shift_sum: Floats = floats("nv")
    column: Floats = floats("nv", 1)

    @classmethod
    def for_model(cls, model: Model) -> "Data":
        """An empty workspace for `model`."""
        return cls.allocate(model.sizes)


class States(Struct):
    """States that an adjoint needs again on its way back."""

    qpos: Floats = floats("nstate", "nq")
    qvel: Floats = floats("nstate", "nv")
    act: Floats = floats("nstate", "na")


class Rates(Struct):
    """Rates of change of a state on its way through a step, in `ndirection` directions at once, their index last.

    The last nu directions are the control's; before them are those of the state it all starts from, or none.
    """

    ndirection: int = integer()
    pos: Floats = floats("nv", "ndirection")  # of the state's tangent
    vel: Floats = floats("nv", "ndirection")
    act: Floats = floats("na", "ndirection")
    found: Floats = floats("nfound", "ndirection")  # of the next qvel and act, or under Runge-Kutta of qacc and act_dot

    rk_pos: Floats = floats("nv", "nrkdirection")  # Runge-Kutta: `pos`, `vel` and `act` of the step's start
    rk_vel: Floats = floats("nv", "nrkdirection")
    rk_act: Floats = floats("na", "nrkdirection")
    rk_rate: Floats = floats("nv", "nrkdirection")  # of the stage's velocity, pulled back
    rk_shift: Floats = floats("nv", "nrkdirection")
    rk_shift_sum: Floats = floats("nv", "nrkdirection")
    rk_found_sum: Floats = floats("nfound", "nrkdirection")

    @classmethod
    def for_model(cls, model: Model, ndirection: int) -> "Rates":
        """An empty workspace for `ndirection` directions."""
        sizes, own = cls.extents(model, ndirection)
        return cls(**{**cls.allocate(sizes).as_dict(), **own})

    @staticmethod
    def extents(model: Model, ndirection: int) -> tuple[dict[str, int], dict[str, int]]:
        """The values of the symbols in declared shapes, and those of the scalar fields."""
        sizes = {"nfound": model.nv + model.na, "nrkdirection": ndirection if model.integrator == RK4 else 0}
        return {**model.sizes, **sizes, "ndirection": ndirection}, {"ndirection": ndirection}


class Lanes(Struct):
    """Adjoints: the derivative of `nlane` scalars at once, lane index last.

    `qpos_adj`, `qvel_adj`, `act_adj` hold the cotangent of the next state on entry of an adjoint
    step and that of the state on return. Positions are tangent vectors of size nv.
    """

    nlane: int = integer()
    qpos_adj: Floats = floats("nv", "nlane")
    qvel_adj: Floats = floats("nv", "nlane")
    act_adj: Floats = floats("na", "nlane")
    ctrl_adj: Floats = floats("nu", "nlane")
    mocap_adj: Floats = floats("nmocap", 6, "nlane")  # position, then orientation: tangent in the body frame
    qfrc_applied_adj: Floats = floats("nv", "nlane")
    xfrc_applied_adj: Floats = floats("nbody", 6, "nlane")
    qacc_adj: Floats = floats("nv", "nlane")
    actdot_adj: Floats = floats("na", "nlane")
    qfrc_adj: Floats = floats("nv", "nlane")  # multiplier of the equation of motion

    wvel: Floats = floats("nwvel", 6, "nlane")  # virtual velocity under qfrc_adj of the bodies; rows of dof_beforeid
    wmom: Floats = floats("nbody", 6, "nlane")  # subtree sum: inertia times virtual velocity
    wcor: Floats = floats("nbody", 6, "nlane")  # subtree sum: velocity product part
    wgrav: Floats = floats(
        "nbody", 3, "nlane"
    )  # subtree sum: forces fixed in the world, gravity compensation's and wind's too

    wpush: Floats = floats("nbody", 6, "nlane")  # subtree sum: contact forces that damp qvel beyond con_damping wmom
    con_lanes: Floats = floats(2, 6, "nlane")  # of one contact: see `contact_adj.py`
    con_dist_adj: Floats = floats("nlane")  # of one contact: cotangent of its distance
    con_row: int = integer()  # where the rows of any contact are in the next two, -1: every row has a place of its own
    efc_y: Floats = floats("nefclane", "nlane")  # J qfrc_adj
    efc_z: Floats = floats("nefclane", "nlane")  # minus derivative of the force times efc_y
    subtree_com_adj: Floats = floats("nbody", 3, "nlane")  # of the trees' centres, which those velocities refer to
    cfrc_ext_adj: Floats = floats("nbody", 6, "nlane")  # pairs with the force like a velocity of the body

    ten_adj: Floats = floats(2, "nlane")  # of one tendon: cotangents that its shifts share

    efc_pos_adj: Floats = floats("ne", "nlane")  # cotangent of the residual of equalities, the first rows

    efc_force_adj: Floats = floats("nnoslip", "nlane")  # cotangent of the forces that noslip starts from

    sweep_change: Floats = floats("nlane")  # of one row, in a reverse Gauss-Seidel sweep
    sweep_gain: Floats = floats("nlane")  # energy gained by one reverse Gauss-Seidel sweep
    sweep_total: Floats = floats("nlane")  # the same, of all sweeps

    coriolis: Floats = floats("nbody", 3, 6)  # lane-independent coefficients of the sweep
    axis_force: Floats = floats("nv", 6)
    axis_ddot: Floats = floats("nv", 6)
    axis_rate: Floats = floats("nv", 6)

    qderiv: Floats = floats(4, "nv")  # of one coordinate and those before it: see `rnea_derivatives.py`
    qderiv_dof: Ints = ints("nv")  # those before it
    turning: Floats = floats("nbody", 3, 6)  # subtree sum: see `rnea_derivatives.py`
    acc_rate: Floats = floats("nv", 6)  # rate of the motion axis if qacc were the joint velocity
    con_column: Floats = floats(48, "ncolumn")  # of one contact, by its columns: see `contact_derivatives.py`
    con_share: Floats = floats(MAX_CONTACT_ROWS, 13)  # of one contact, by its rows
    force_adj: Floats = floats(2, "nlane")  # of one actuator: cotangent of its force, of that's slope by velocity,
    length_adj: Floats = floats(1, "nlane")  # of its length,
    velocity_adj: Floats = floats(1, "nlane")  # of its velocity
    moment_adj: Floats = floats("nmovingarm", "nlane")  # and moment arms
    arm_lanes: Floats = floats(5, 6, "nlane")  # see `wrench_adj.py`

    rk_rate_adj: Floats = floats(4, "nv", "nlane")
    rk_qacc_adj: Floats = floats(4, "nv", "nlane")
    rk_actdot_adj: Floats = floats(4, "na", "nlane")
    rk_shift_adj: Floats = floats("nv", "nlane")  # of one stage's shift, or of the sum
    rk_qpos_adj: Floats = floats("nv", "nlane")
    rk_qvel_adj: Floats = floats("nv", "nlane")
    rk_act_adj: Floats = floats("na", "nlane")

    with_params: int = integer()  # 1: the fields below collect, needs nlane == 1
    body_mass_adj: Floats = floats("nbody")
    body_inertia_adj: Floats = floats("nbody", 3)
    body_ipos_adj: Floats = floats("nbody", 3)
    body_pos_adj: Floats = floats("nbody", 3)
    dof_armature_adj: Floats = floats("nv")
    dof_damping_adj: Floats = floats("nv")
    jnt_stiffness_adj: Floats = floats("njnt")
    dof_frictionloss_adj: Floats = floats("nv")
    dof_solref_adj: Floats = floats("nv", 2)
    jnt_solref_adj: Floats = floats("njnt", 2)
    con_friction_adj: Floats = floats("npair", 5)
    con_solref_adj: Floats = floats("npair", 2)
    con_solreffriction_adj: Floats = floats("npair", 2)
    con_adhesion_adj: Floats = floats("nadhesive")
    actuator_gainprm_adj: Floats = floats("nu", mujoco.mjNGAIN)
    actuator_biasprm_adj: Floats = floats("nu", mujoco.mjNBIAS)
    actuator_gear_adj: Floats = floats("nu", 6)
    actuator_dynprm_adj: Floats = floats("nu", mujoco.mjNDYN)
    actuator_lengthrange_adj: Floats = floats("nu", 2)
    gravity_adj: Floats = floats(3)
    fluid_medium_adj: Floats = floats(2)
    wind_adj: Floats = floats(3)

    @classmethod
    def for_model(cls, model: Model, nlane: int, with_params: bool = False) -> "Lanes":
        """An empty workspace for `nlane` simultaneous cotangents."""
        sizes, own = cls.extents(model, nlane, with_params)
        return cls(**{**cls.allocate(sizes).as_dict(), **own})

    @staticmethod
    def extents(model: Model, nlane: int, with_params: bool = False) -> tuple[dict[str, int], dict[str, int]]:
        """The values of the symbols in declared shapes, and those of the scalar fields."""
        # contacts take turns, unless sweeps or parameters come back to their rows
        keeps = with_params or model.ndual > 0
        rows = model.nefcmax if keeps else model.nefcbefore + MAX_CONTACT_ROWS
        if nlane > 1 and nlane % AT_ONCE:
            raise ValueError(f"Lanes: {nlane} lanes, need 1 or a multiple of {AT_ONCE}")
        own = {"nlane": nlane, "with_params": int(with_params), "con_row": -1 if keeps else model.nefcbefore}
        sizes = {**model.sizes, "nlane": nlane, "nefclane": rows, "ncolumn": round_up(model.nefcdof)}
        return sizes, own

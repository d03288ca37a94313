"""The scene of a trial, a hand at the origin and one free object, and what the hand's servos are told there.

The hand stays where it is; a grasp is where the object starts. One compiled model thus serves all grasps of an object.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from .grasps import Grasps

OBJECT = "grasped object"
TIMESTEP = 0.005  # [s]
_FACETS = 8  # of a friction cone, in the choice of forces
_INNER = 0.5  # of the friction that forces are chosen within: the rest is for gravity
_TOTAL, _EVEN = 0.5, 0.1  # weights of the sum of the normal forces and of each, beside the wrench
_DAMPING = 0.003  # of the least squares that move joints by a distance [m]


class Solid(Protocol):
    """A closed mesh; arrays, or what numpy makes arrays of."""

    @property
    def vertices(self) -> Any: ...  # (V, 3) [m]
    @property
    def faces(self) -> Any: ...  # (F, 3)


class JointedHand(Protocol):
    """What a trial needs of a hand, see `hand.Hand`."""

    joint_names: tuple[str, ...]

    def spec(self) -> mujoco.MjSpec: ...
    def qpos(self, joints: NDArray[np.float64]) -> NDArray[np.float64]: ...


class Drive(NamedTuple):
    """Start and commands of n grasps; the object at rest, as everything."""

    qpos: NDArray[np.float64]  # (n, nq): the object last, where the grasp has it, the hand opened a little
    before: NDArray[np.float64]  # (n, nu) commands that keep it there
    after: NDArray[np.float64]  # (n, nu) commands that squeeze
    inside: NDArray[np.float64]  # (n,) how deep hand and object are in each other at the start [m], 0 or more


def mass_properties(
    vertices: NDArray[np.float64], faces: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Volume, centre (3,) and second moments about it (3, 3), ∫ x xᵀ dV, of a closed mesh.

    Sums over the tetrahedra between the frame's origin and each face, whose moments are closed forms in the corners.
    """
    corners = vertices[faces]
    volumes = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0
    volume, sums = volumes.sum(), corners.sum(axis=1)
    center = volumes @ sums / (4.0 * volume)
    squares = np.einsum("f,fki,fkj->ij", volumes, corners, corners) + np.einsum("f,fi,fj->ij", volumes, sums, sums)
    return float(volume), center, squares / 20.0 - volume * np.outer(center, center)


def trial_model(
    solid: Solid,
    hand: JointedHand,
    pieces: Sequence[NDArray[np.float64]],
    mass: float,
    friction: tuple[float, float],
) -> mujoco.MjModel:
    """Hand and object compiled, without gravity; the object's joint is the last, its frame the mesh's.

    Args:
        solid: what the object's inertia is of, at uniform density.
        hand: whose spec has its root at the origin.
        pieces: convex pieces that collide, corners (k, 3) each.
        mass: of the object [kg].
        friction: of the object's contacts, sliding and torsional [m]; they hold, whatever it touches.
    """
    spec = hand.spec()
    option = spec.option
    option.timestep, option.gravity, option.integrator = TIMESTEP, [0, 0, 0], mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone, option.impratio, option.tolerance = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0, 1e-10
    volume, center, moments = mass_properties(np.asarray(solid.vertices, float), np.asarray(solid.faces))
    inertia = mass / volume * (np.trace(moments) * np.eye(3) - moments)
    body = spec.worldbody.add_body(name=OBJECT)
    body.add_freejoint(name=OBJECT)
    body.explicitinertial, body.mass, body.ipos = True, mass, center
    body.fullinertia = inertia[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    for i, piece in enumerate(pieces):
        name = f"{OBJECT} {i}"
        spec.add_mesh(name=name, uservert=np.asarray(piece, float).ravel())
        geom = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, rgba=[0.85, 0.3, 0.2, 1])
        geom.condim, geom.friction, geom.priority, geom.solref = 4, [*friction, 1e-4], 1, [0.01, 1.0]
        geom.contype, geom.conaffinity = 1, 1
    return spec.compile()


def drive(
    model: mujoco.MjModel,
    hand: JointedHand,
    grasps: Grasps,
    force: float,
    friction: float,
    clearance: float,
    reach: float,
) -> Drive:
    """Where each grasp starts, and the commands that close it.

    Forces at the contacts are chosen that balance each other within the friction cone; a servo leads its joint by
    their torque over its stiffness. Before that, joints move so that surfaces that are near each other just touch.

    Args:
        model: of `trial_model`.
        hand: the same.
        grasps: their joints' names are the hand's.
        force: sum of the normal forces [N].
        friction: sliding, of the contacts.
        clearance: of hand and object at the start [m].
        reach: surfaces no farther than that from the object are to touch it [m].

    Raises:
        ValueError: grasps of another hand, or an actuator that is no position servo.
    """
    if grasps.joint_names != hand.joint_names:
        raise ValueError(f"the grasps' joints are {grasps.joint_names}, the hand's {hand.joint_names}: not its grasps")
    gain, bias = model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1]
    if bad := [model.actuator(i).name for i in np.flatnonzero((gain <= 0.0) | (gain != -bias))]:
        raise ValueError(f"actuator {bad[0]!r} is no position servo: the squeeze needs servos with kp > 0")
    probe = _Probe(model, hand, reach)
    rows = [
        probe.drive(pose, joints, force, friction, clearance)
        for pose, joints in zip(grasps.pose, grasps.joints, strict=True)
    ]
    if not rows:
        return Drive(np.empty((0, model.nq)), np.empty((0, model.nu)), np.empty((0, model.nu)), np.empty(0))
    return Drive(*(np.array(column) for column in zip(*rows, strict=True)))


def touches(model: mujoco.MjModel, qpos: NDArray[np.float64]) -> bool:
    """Whether hand and object are in contact where the joints are at `qpos` (nq,)."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_fwdPosition(model, data)
    return bool((model.geom_bodyid[data.contact.geom] == model.body(OBJECT).id).any())


class _Probe:
    """Looks at one grasp after the other in a model whose contacts reach farther."""

    def __init__(self, model: mujoco.MjModel, hand: JointedHand, reach: float) -> None:
        self._model = m = copy.deepcopy(model)
        self._data = mujoco.MjData(m)
        self._hand = hand
        self._object = m.body(OBJECT).id
        m.geom_margin[m.geom_bodyid == self._object] = reach
        self._size = float(np.linalg.norm(np.ptp(m.mesh_vert, axis=0))) / 2.0
        count = len(hand.joint_names)
        origin = hand.qpos(np.zeros(count))
        self._spread = np.zeros((m.nv, count))  # velocities of all joints by those of the independent ones
        self._spread[: len(origin)] = (hand.qpos(np.eye(count)) - origin).T

    def drive(
        self, pose: NDArray[np.float64], joints: NDArray[np.float64], force: float, friction: float, clearance: float
    ) -> Drive:
        m, d, hinges = self._model, self._data, self._hand.qpos(joints)
        inverse, turn = np.empty(3), np.empty(4)
        mujoco.mju_negPose(inverse, turn, pose[:3], pose[3:] / np.linalg.norm(pose[3:]))
        d.qpos[:] = np.concatenate([hinges, inverse, turn])
        mujoco.mj_fwdPosition(m, d)
        point, frame, distance, jacobian = self._contacts()
        along = np.einsum("ci,cij->cj", frame[:, 0], jacobian)
        touch = _moved(along, -distance)
        opened = _moved(along, (clearance - distance).clip(0.0))
        forces = _balanced(point - d.xipos[self._object], frame, force, _INNER * friction, self._size)
        torque = np.einsum("cij,ci->j", jacobian, forces)
        moment = self._moment()
        effort = np.linalg.lstsq(moment.T, torque, rcond=None)[0]
        limited = m.actuator_forcelimited.astype(bool)
        effort[limited] = effort[limited].clip(*m.actuator_forcerange[limited].T)
        length = d.actuator_length.copy()
        start = d.qpos.copy()
        start[: len(hinges)] = self._hand.qpos(joints + opened)
        d.qpos[:] = start
        mujoco.mj_fwdPosition(m, d)
        inside = max(0.0, -min(self._contacts()[2], default=0.0))
        before = self._allowed(length + moment @ opened)
        after = self._allowed(length + moment @ touch + effort / m.actuator_gainprm[:, 0])
        return Drive(start, before, after, np.array(inside))

    def _contacts(self) -> tuple[NDArray[np.float64], ...]:
        """Points of contact, frames, distances, and Jacobians of the hand's points: (c, 3), (c, 3, 3), (c,), (c, 3, J).

        A frame's first row points from the object to the hand.
        """
        m, d = self._model, self._data
        found = []
        for contact in (d.contact[i] for i in range(d.ncon)):
            bodies = m.geom_bodyid[contact.geom]
            if self._object not in bodies:
                continue
            first = bodies[0] == self._object
            jacobian = np.empty((3, m.nv))
            mujoco.mj_jac(m, d, jacobian, None, contact.pos, bodies[1 if first else 0])
            frame = contact.frame.reshape(3, 3) * (1.0 if first else -1.0)
            found.append((contact.pos.copy(), frame.copy(), contact.dist, jacobian @ self._spread))
        shapes = (3,), (3, 3), (), (3, self._spread.shape[1])
        if not found:
            return tuple(np.empty((0, *shape)) for shape in shapes)
        return tuple(np.array(column) for column in zip(*found, strict=True))

    def _moment(self) -> NDArray[np.float64]:
        """Rates of the actuators' lengths by those of the independent joints, (nu, J)."""
        m, d = self._model, self._data
        dense = np.zeros((m.nu, m.nv))
        mujoco.mju_sparse2dense(dense, d.actuator_moment, d.moment_rownnz, d.moment_rowadr, d.moment_colind)
        return dense @ self._spread

    def _allowed(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        m, limited = self._model, self._model.actuator_ctrllimited.astype(bool)
        command[limited] = command[limited].clip(*m.actuator_ctrlrange[limited].T)
        return command


def _moved(along: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Joint motion (J,) that moves contacts, of rows (c, J), by distances (c,), in damped least squares."""
    damped = along.T @ along + _DAMPING**2 * np.eye(along.shape[1])
    return np.asarray(np.linalg.solve(damped, along.T @ distance), np.float64)


def _balanced(
    arm: NDArray[np.float64], frame: NDArray[np.float64], force: float, friction: float, size: float
) -> NDArray[np.float64]:
    """Forces (c, 3) of the hand on the object within friction cones, whose sum and moment are near zero [N].

    A non-negative least squares over the cones' edges: the wrench, moments over the object's size; the sum of the
    normal forces, which is to be `force`; and even shares. Where contacts cannot balance, forces are smaller.
    """
    if len(arm) == 0:
        return np.empty((0, 3))
    turns = 2.0 * np.pi * np.arange(_FACETS) / _FACETS
    local = np.stack([-np.ones(_FACETS), friction * np.cos(turns), friction * np.sin(turns)], axis=1)
    edges = local @ frame  # (c, facets, 3)
    wrench = np.concatenate([edges, np.cross(arm[:, None], edges) / size], axis=-1).reshape(-1, 6).T
    total = np.full((1, wrench.shape[1]), _TOTAL)
    shares = _EVEN * np.kron(np.eye(len(arm)), np.ones((1, _FACETS)))
    target = np.concatenate([np.zeros(6), [_TOTAL * force], np.zeros(len(arm))])
    amounts, _ = nnls(np.concatenate([wrench, total, shares]), target, maxiter=100 * wrench.shape[1])
    return np.einsum("cf,cfi->ci", amounts.reshape(len(arm), _FACETS), edges)

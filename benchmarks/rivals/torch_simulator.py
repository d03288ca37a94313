"""A quadruped on a floor in plain torch, as one writes it to have it differentiated by autograd.

The chain of operations is that of `gradgym.sim`: kinematics, inertia matrix by composite rigid
bodies, bias forces by Newton-Euler (Featherstone, Rigid Body Dynamics Algorithms, chapters 5, 6),
MuJoCo's soft contacts with pyramidal friction (documentation, Computation), a step of MuJoCo's
Euler integrator. The constants are those of the compiled `mujoco.MjModel`.

Eager torch costs microseconds an operation, whatever its size. So there are no loops over bodies:
the legs are an axis, motions and inertias are in one frame (the world's axes, origin in the
trunk's), where sums along and over branches are products with constant matrices of zeros and ones;
only poses go down the legs link by link. B is the batch, and double precision throughout.

Joint limits are left out: they do not touch a robot that stands.
"""

from typing import Literal, NamedTuple

import mujoco
import numpy as np
import torch
from torch import Tensor

LEGS, LINKS = 4, 3
Solver = Literal["newton", "pgs"]

NEWTON_ITERATIONS = 4
PGS_ITERATIONS = 50  # 5 would do for the motion, but leave gradients a tenth off; 50 a thousandth


class State(NamedTuple):
    """Where a step begins."""

    qpos: Tensor  # (B, 19)
    qvel: Tensor  # (B, 18)
    row_forces: Tensor  # (B, 16) of the step before, from which the Gauss-Seidel sweeps start


class Bodies(NamedTuple):
    """Poses in the frame of the world's axes with its origin in the trunk's: the trunk, then the links leg by leg."""

    rotation: Tensor  # (B, 13, 3, 3)
    position: Tensor  # (B, 13, 3)


class Rows(NamedTuple):
    """The 16 rows of the contacts, four a foot; without force where the foot is in the air."""

    jacobian: Tensor  # (B, 16, 18)
    weight: Tensor  # (B, 16), the inverse of the regulariser
    reference: Tensor  # (B, 16), the acceleration that the row asks for
    touching: Tensor  # (B, 16)


class Quadruped:
    """A free trunk with four legs of three hinges each, the feet welded spheres, above a plane.

    Args:
        m: such a model; each leg's bodies follow one another, in the order of the actuators.
        contact: of a foot with the plane; MuJoCo's choice of friction, solref and solimp for the pair.
    """

    def __init__(self, m: mujoco.MjModel, contact: mujoco.MjContact) -> None:
        _check(m)
        links = np.flatnonzero(m.body_dofnum == 1)
        feet = links.reshape(LEGS, LINKS)[:, -1] + 1
        geoms = m.body_geomadr[feet]
        by_leg = (LEGS, LINKS, 3)

        self.timestep = float(m.opt.timestep)
        self.offset = _constant(m.body_pos[links].reshape(by_leg)).unbind(1)
        self.axis = _constant(m.jnt_axis[1:])
        turn = _skew(m.jnt_axis[1:])
        self.turn, self.turn_squared = _constant(turn), _constant(turn @ turn)
        self.inertia = _constant(_inertias(m, links, feet))

        self.gain = _constant(m.actuator_gainprm[:, 0])
        self.bias = _constant(m.actuator_biasprm[:, :3]).unbind(-1)
        self.force_range = _constant(_force_range(m)).unbind(-1)

        above = _ancestors(m)
        self.above = _constant(above)
        self.below = _constant(above[:, 5:])
        self.upper, self.lower = _constant(np.triu(above)), _constant(np.triu(above, 1).T)
        self.translations = _constant(np.eye(6)[3:])
        self.upwards = _constant(np.concatenate([np.zeros(3), -m.opt.gravity]))

        self.foot = _constant(m.body_pos[feet])
        self.radius = _constant(m.geom_size[geoms, 0])
        self.foot_dofs = _constant(above[:, 8::LINKS].T[:, :, None])
        frame = contact.frame.reshape(3, 3)
        mu = float(contact.friction[0])
        self.normal = _constant(frame[0])
        self.edges = _constant(np.stack([frame[0] + s * mu * frame[i] for i in (1, 2) for s in (1, -1)], axis=1))
        self.regulariser = _constant(2.0 * mu * mu * (1.0 + mu * mu) * m.body_invweight0[feet, 0])
        self.solref, self.solimp = contact.solref.copy(), contact.solimp.copy()

    def step(self, state: State, ctrl: Tensor, solver: Solver = "newton") -> State:
        """One time step under the controls (B, 12)."""
        qpos, qvel, row_forces = state
        bodies = self.kinematics(qpos)
        motions = self.motions(bodies)
        inertia = self.world_inertias(bodies)
        mass = self.composite_inertia(inertia, motions)
        force = self.actuation(state, ctrl) - self.bias_force(inertia, motions, qvel)
        rows = self.contact_rows(bodies, motions, state)
        if solver == "newton":
            qacc = newton(mass, force, rows)
        else:
            qacc, row_forces = projected_gauss_seidel(mass, force, rows, row_forces)
        qvel = qvel + self.timestep * qacc
        return State(advance(qpos, self.timestep * qvel), qvel, row_forces)

    def rollout(self, state: State, ctrls: Tensor, solver: Solver = "newton") -> State:
        """The last state under the controls (T, B, 12)."""
        for ctrl in ctrls.unbind():  # not by index: its derivative would fill an array of all controls at each step
            state = self.step(state, ctrl, solver)
        return state

    def kinematics(self, qpos: Tensor) -> Bodies:
        trunk = rotation_matrix(qpos[:, 3:7])
        angle = qpos[:, 7:, None, None]
        eye = torch.eye(3, dtype=torch.float64)
        turns = eye + torch.sin(angle) * self.turn + (1.0 - torch.cos(angle)) * self.turn_squared
        rotation, position = trunk[:, None], torch.zeros(3, dtype=torch.float64)
        rotations, positions = [], []
        for offset, turn in zip(self.offset, turns.unflatten(1, (LEGS, LINKS)).unbind(2), strict=True):
            position = position + _apply(rotation, offset)
            rotation = rotation @ turn
            rotations.append(rotation)
            positions.append(position)
        legs = torch.stack(positions, 2).flatten(1, 2)
        return Bodies(
            torch.cat([trunk[:, None], torch.stack(rotations, 2).flatten(1, 2)], 1),
            torch.nn.functional.pad(legs, (0, 0, 1, 0)),
        )

    def motions(self, bodies: Bodies) -> Tensor:
        """Velocity (angular, linear) of each degree of freedom (B, 18, 6): MuJoCo's cdof, but for the origin."""
        batch = len(bodies.rotation)
        axis = _apply(bodies.rotation[:, 1:], self.axis)
        hinges = torch.cat([axis, torch.linalg.cross(bodies.position[:, 1:], axis)], -1)
        rotations = torch.nn.functional.pad(bodies.rotation[:, 0].mT, (0, 3))
        return torch.cat([self.translations.expand(batch, 3, 6), rotations, hinges], 1)

    def world_inertias(self, bodies: Bodies) -> Tensor:
        """Spatial inertia of each body (B, 13, 6, 6) in the common frame."""
        back = bodies.rotation.mT
        moment = -back @ _cross_matrix(bodies.position)
        to_body = torch.cat([torch.nn.functional.pad(back, (0, 3)), torch.cat([moment, back], -1)], -2)
        return to_body.mT @ self.inertia @ to_body

    def composite_inertia(self, inertia: Tensor, motions: Tensor) -> Tensor:
        """The inertia matrix (B, 18, 18): what the bodies below each degree of freedom resist its ancestors with."""
        composite = (self.below @ inertia.flatten(-2)).unflatten(-1, (6, 6))
        products = motions @ _apply(composite, motions).mT
        return self.upper * products + self.lower * products.mT

    def bias_force(self, inertia: Tensor, motions: Tensor, qvel: Tensor) -> Tensor:
        """Forces (B, 18) that keep the velocity constant against gravity, Coriolis and centrifugal forces."""
        moves = motions * qvel[..., None]
        velocity = self.above.T @ moves
        cross = _motion_cross_matrix(velocity)
        # Translations keep their direction; every other motion turns with its body.
        acceleration = self.above.T[5:, 3:] @ _apply(cross[:, 3:], moves[:, 3:]) + self.upwards
        momentum = _apply(inertia, velocity[:, 5:])
        force = _apply(inertia, acceleration) - _apply(cross[:, 5:].mT, momentum)
        return (motions * (self.below @ force)).sum(-1)

    def actuation(self, state: State, ctrl: Tensor) -> Tensor:
        """Forces (B, 18) of the actuators, linear in control, angle and speed, within their joints' limits."""
        constant, by_angle, by_speed = self.bias
        force = self.gain * ctrl + constant + by_angle * state.qpos[:, 7:] + by_speed * state.qvel[:, 6:]
        return torch.nn.functional.pad(torch.clamp(force, *self.force_range), (6, 0))

    def contact_rows(self, bodies: Bodies, motions: Tensor, state: State) -> Rows:
        foot = bodies.position[:, LINKS::LINKS] + _apply(bodies.rotation[:, LINKS::LINKS], self.foot)
        distance = (foot + state.qpos[:, None, :3]) @ self.normal - self.radius
        point = foot - (self.radius + 0.5 * distance)[..., None] * self.normal
        turning, moving = motions[:, None, :, :3], motions[:, None, :, 3:]
        velocities = self.foot_dofs * (moving + torch.linalg.cross(turning, point[:, :, None]))
        jacobian = (velocities @ self.edges).mT.flatten(1, 2)

        stiffness, damping = stiffness_damping(self.solref, self.solimp)
        impedance_ = impedance(self.solimp, distance)
        weight = impedance_ / ((1.0 - impedance_) * self.regulariser)
        pull = stiffness * impedance_ * distance
        speed = _apply(jacobian, state.qvel)
        each = (len(foot), LEGS, 4)
        reference = -damping * speed - pull[..., None].expand(each).flatten(1)
        touching = (distance < 0.0)[..., None].expand(each).flatten(1)
        return Rows(jacobian, weight[..., None].expand(each).flatten(1), reference, touching)


def newton(mass: Tensor, force: Tensor, rows: Rows) -> Tensor:
    """The acceleration (B, 18): Newton's method on the cost, which is quadratic while the same rows push.

    Which rows push has no derivative, so that all iterations but the last are outside the graph.
    """
    pushing = rows.touching
    with torch.no_grad():
        for _ in range(NEWTON_ITERATIONS - 1):
            residual = _apply(rows.jacobian, _with_rows(mass, force, rows, pushing)) - rows.reference
            pushing = rows.touching & (residual < 0.0)
    return _with_rows(mass, force, rows, pushing)


def _with_rows(mass: Tensor, force: Tensor, rows: Rows, pushing: Tensor) -> Tensor:
    weighted = rows.jacobian.mT * (rows.weight * pushing)[:, None]
    return torch.linalg.solve(mass + weighted @ rows.jacobian, force + _apply(weighted, rows.reference))


def projected_gauss_seidel(mass: Tensor, force: Tensor, rows: Rows, row_forces: Tensor) -> tuple[Tensor, Tensor]:
    """The acceleration (B, 18) and the forces of the rows (B, 16), found one after the other, all in the graph."""
    smooth = torch.linalg.solve(mass, force)
    by_force = torch.linalg.solve(mass, rows.jacobian.mT)
    matrix = rows.jacobian @ by_force + torch.diag_embed(1.0 / rows.weight)
    scale = rows.touching / matrix.diagonal(dim1=-2, dim2=-1)
    change = (scale[..., None] * matrix).unbind(-1)
    start = row_forces * rows.touching
    residual = scale * (_apply(rows.jacobian, smooth) - rows.reference + _apply(matrix, start))
    forces = list(start.split(1, -1))
    for _ in range(PGS_ITERATIONS):
        for i, column in enumerate(change):
            found = torch.relu(forces[i] - residual[:, i : i + 1])
            residual = torch.addcmul(residual, column, found - forces[i])
            forces[i] = found
    row_forces = torch.cat(forces, -1)
    return smooth + _apply(by_force, row_forces), row_forces


def stiffness_damping(solref: np.ndarray, solimp: np.ndarray) -> tuple[float, float]:
    high = float(np.clip(solimp[1], 1e-4, 0.9999))
    time, ratio = map(float, solref)
    return 1.0 / (high * time * ratio) ** 2, 2.0 / (high * time)


def impedance(solimp: np.ndarray, x: Tensor) -> Tensor:
    """d(x) of solimp, MuJoCo's sigmoid of the depth."""
    low, high, width, middle, power = map(float, solimp)
    s = torch.clamp(torch.abs(x) / width, max=1.0)
    rising = s**power / middle ** (power - 1.0)
    falling = 1.0 - (1.0 - s) ** power / (1.0 - middle) ** (power - 1.0)
    return low + (high - low) * torch.where(s <= middle, rising, falling)


def advance(qpos: Tensor, shift: Tensor) -> Tensor:
    """Qpos (B, 19) moved along the tangent (B, 18); the trunk's rotation in its own frame."""
    turn = shift[:, 3:6]
    half = 0.5 * torch.linalg.vector_norm(turn, dim=-1, keepdim=True)
    turn = torch.cat([torch.cos(half), 0.5 * torch.sinc(half / torch.pi) * turn], -1)
    quat = quat_product(torch.nn.functional.normalize(qpos[:, 3:7], dim=-1), turn)
    return torch.cat([qpos[:, :3] + shift[:, :3], quat, qpos[:, 7:] + shift[:, 6:]], -1)


def tangent(state: State) -> Tensor:
    """Tangent (B, 36) of a state at itself, position and velocity: zero rotation, but with its derivative."""
    back = state.qpos[:, 3:7].detach() * torch.tensor([1.0, -1.0, -1.0, -1.0])
    turn = 2.0 * quat_product(back, state.qpos[:, 3:7])[:, 1:]
    return torch.cat([state.qpos[:, :3], turn, state.qpos[:, 7:], state.qvel], -1)


def quat_product(a: Tensor, b: Tensor) -> Tensor:
    return (a[..., :, None] * b[..., None, :]).flatten(-2) @ _QUAT_PRODUCT


def rotation_matrix(quat: Tensor) -> Tensor:
    quat = torch.nn.functional.normalize(quat, dim=-1)
    return ((quat[..., :, None] * quat[..., None, :]).flatten(-2) @ _ROTATION).unflatten(-1, (3, 3))


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]


def _cross_matrix(v: Tensor) -> Tensor:
    """The matrices (..., 3, 3) of v x."""
    return (v @ _CROSS).unflatten(-1, (3, 3))


def _motion_cross_matrix(v: Tensor) -> Tensor:
    """The matrices (..., 6, 6) of v x on motions; the negative transposes are those on forces."""
    return (v @ _MOTION_CROSS).unflatten(-1, (6, 6))


def _constant(array: np.ndarray) -> Tensor:
    return torch.tensor(array, dtype=torch.float64)


def _skew(v: np.ndarray) -> np.ndarray:
    return -np.cross(v[..., None, :], np.eye(3))


def _quat_product_table() -> np.ndarray:
    """(16, 4): entry (4 i + j, k) is the part of e_i e_j along e_k."""
    table, units = np.zeros((4, 4, 4)), np.eye(4)
    for i in range(4):
        for j in range(4):
            mujoco.mju_mulQuat(table[i, j], units[i], units[j])
    return table.reshape(16, 4)


def _rotation_table() -> np.ndarray:
    """(16, 9): the rotation matrix of q is q q' times it, for unit q."""
    product, table = _quat_product_table().reshape(4, 4, 4), np.zeros((4, 4, 3, 3))
    conjugate = np.diag([1.0, -1.0, -1.0, -1.0])
    for axis in range(3):  # q e q*, linear in the first and in the second q
        table[:, :, :, axis] = np.einsum("ik,jl,klm->ijm", product[:, 1 + axis], conjugate, product)[:, :, 1:]
    return table.reshape(16, 9)


_QUAT_PRODUCT = _constant(_quat_product_table())
_ROTATION = _constant(_rotation_table())
_CROSS = _constant(_skew(np.eye(3)).reshape(3, 9))
_UNIT_ROTATIONS = np.concatenate([_skew(np.eye(3)), np.zeros((3, 3, 3))])
_UNIT_TRANSLATIONS = np.concatenate([np.zeros((3, 3, 3)), _skew(np.eye(3))])
_MOTION_CROSS = _constant(
    np.block([[_UNIT_ROTATIONS, np.zeros((6, 3, 3))], [_UNIT_TRANSLATIONS, _UNIT_ROTATIONS]]).reshape(6, 36)
)


def _ancestors(m: mujoco.MjModel) -> np.ndarray:
    """(18, 18): one where the motion of row i moves the body of column j; all of the trunk's six move it."""
    above = np.eye(m.nv)
    for j in range(m.nv):
        if m.dof_parentid[j] >= 0:
            above[:, j] += above[:, m.dof_parentid[j]]
    above[:6, :6] = 1.0
    return above


def _force_range(m: mujoco.MjModel) -> np.ndarray:
    """(12, 2): what an actuator and its joint both allow."""
    ranges = np.stack([m.jnt_actfrcrange[1:], m.actuator_forcerange])
    ranges[~np.stack([m.jnt_actfrclimited[1:], m.actuator_forcelimited]).astype(bool)] = -np.inf, np.inf
    return np.stack([ranges[:, :, 0].max(0), ranges[:, :, 1].min(0)], -1)


def _inertias(m: mujoco.MjModel, links: np.ndarray, feet: np.ndarray) -> np.ndarray:
    """Spatial inertia of each moving body (13, 6, 6) in its own frame, a foot's with its calf's."""
    bodies = np.concatenate([[1], links])
    inertia = np.stack([_spatial_inertia(m, b, np.zeros(3)) for b in bodies])
    inertia[LINKS::LINKS] += [_spatial_inertia(m, b, m.body_pos[b]) for b in feet]
    return inertia


def _spatial_inertia(m: mujoco.MjModel, body: int, position: np.ndarray) -> np.ndarray:
    """Of a body at `position` in parallel axes."""
    mass, rotation = m.body_mass[body], np.zeros(9)
    mujoco.mju_quat2Mat(rotation, m.body_iquat[body])
    rotation = rotation.reshape(3, 3)
    arm = _skew(position + m.body_ipos[body])
    turning = rotation * m.body_inertia[body] @ rotation.T - mass * arm @ arm
    return np.block([[turning, mass * arm], [-mass * arm, mass * np.eye(3)]])


def _check(m: mujoco.MjModel) -> None:
    """ValueError if the model is no such quadruped, or has what is left out here."""
    parents = np.arange(2, m.nbody) - 1
    parents[:: LINKS + 1] = 1
    absent = (m.dof_damping, m.dof_armature, m.dof_frictionloss, m.jnt_stiffness, m.jnt_pos)
    expected = {
        "body_parentid": (m.body_parentid[2:], parents),
        "body_dofnum": (m.body_dofnum[1:], [6, *[1, 1, 1, 0] * LEGS]),
        "body_quat": (m.body_quat[1:], [1.0, 0.0, 0.0, 0.0]),
        "jnt_type": (m.jnt_type[1:], int(mujoco.mjtJoint.mjJNT_HINGE)),
        "actuator_trnid": (m.actuator_trnid[:, 0], np.arange(1, m.njnt)),
        "actuator_gear": (m.actuator_gear[:, 0], 1.0),
        "integrator": (m.opt.integrator, int(mujoco.mjtIntegrator.mjINT_EULER)),
        "cone": (m.opt.cone, int(mujoco.mjtCone.mjCONE_PYRAMIDAL)),
        "impratio": (m.opt.impratio, 1.0),
        "damping, armature, friction loss, stiffness or jnt_pos": (np.concatenate([a.ravel() for a in absent]), 0.0),
    }
    for name, (found, wanted) in expected.items():
        if not np.array_equal(found, np.broadcast_to(wanted, np.shape(found))):
            raise ValueError(f"this is for quadrupeds with other {name}")

"""What the trainer knows of a manipulation task: the robot's commands, the object, and which pairs may touch."""

from typing import Any, NamedTuple

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...envs.task_state import TaskState
from ...envs.tasks.manipulation import Manipulation
from ...sim import poses, torch_bridge
from .rotations import apply, apply_inverse, log, matrix
from .shapes import Primitive, Shape, primitive, vertices_of


class Links(NamedTuple):
    """Poses of what the robot's contact points and spheres are fixed to, and the joints that move them."""

    pos: Tensor  # (N, nbody, 3)
    mat: Tensor  # (N, nbody, 3, 3)
    anchor: Tensor  # (N, J, 3)
    axis: Tensor  # (N, J, 3)


class Start(NamedTuple):
    """States that relaxed rollouts begin with; B of them."""

    x: Tensor  # (B, n + 9 K) commands, contact points on the robot and on the object, forces
    pos: Tensor  # (B, 3) the object's centre of mass
    mat: Tensor  # (B, 3, 3) the object's axes
    vel: Tensor  # (B, 3)
    omega: Tensor  # (B, 3) world axes
    goal_pos: Tensor  # (B, 3)
    goal_mat: Tensor  # (B, 3, 3)


class Scene:
    """Constants of a task, and kinematics of its robot.

    The pairs that may touch are each fingertip with the object, and the table with the object where it lies on
    one. Contact points on the robot are in the frame of their body, those on the object in its own: axes of its
    body, origin at its centre of mass. n commands, J joints of the robot, K pairs, M spheres.
    """

    def __init__(self, task: Manipulation, dtype: torch.dtype = torch.float32) -> None:
        self.task, self.model, self.dtype = task, task.model, dtype
        m = self.m = task.model.mj_model
        self.free = bool(m.body_dofnum[task.object_body] == 6)
        self.place = task.origin.to(self.dtype)
        self._read_robot()
        self._read_object()
        self._read_pairs()
        self._read_spheres()

    def _read_robot(self) -> None:
        m = self.m
        if np.any(m.actuator_trntype != int(mujoco.mjtTrn.mjTRN_JOINT)):
            raise ValueError("the trainer wants servos at joints: an actuator of this model moves something else")
        driven = [int(j) for j in m.actuator_trnid[:, 0]]
        self.n = len(driven)
        joints, rows = list(driven), [*np.eye(self.n)]
        for i in np.flatnonzero(m.eq_type == int(mujoco.mjtEq.mjEQ_JOINT)):
            follower, leader = int(m.eq_obj1id[i]), int(m.eq_obj2id[i])
            joints.append(follower)
            rows.append(m.eq_data[i, 1] * np.eye(self.n)[driven.index(leader)])
        self.coupling = torch.tensor(np.array(rows), dtype=self.dtype)  # (J, n)
        self.joints = joints
        self.qpos_of_joints = m.jnt_qposadr[joints]
        self.observed_joints = [self.task.robot_qpos.tolist().index(i) for i in self.qpos_of_joints]
        self.joint_body = m.jnt_bodyid[joints]
        if len(set(self.joint_body)) != len(joints):
            raise ValueError("the trainer wants one joint a body: a body of this robot has several")
        self._joint_axis = torch.tensor(m.jnt_axis[joints], dtype=self.dtype)
        self._joint_pos = torch.tensor(m.jnt_pos[joints], dtype=self.dtype)
        self.stiffness = torch.tensor(m.actuator_gainprm[:, 0], dtype=self.dtype)
        self.low, self.high = (torch.tensor(m.actuator_actrange[:, k], dtype=self.dtype) for k in (0, 1))
        self.rate = torch.tensor(m.actuator_ctrlrange[:, 1], dtype=self.dtype)
        self._qpos = self.model.initial_state("start").qpos.copy()
        start = self.model.initial_state("start").act
        self.start_command = torch.tensor(start, dtype=self.dtype)

    def _read_object(self) -> None:
        m, body = self.m, self.task.object_body
        self.mass = float(m.body_mass[body])
        self.gravity = torch.tensor(m.opt.gravity, dtype=self.dtype)
        self.weight = self.mass * float(np.linalg.norm(m.opt.gravity))
        axes = _matrix(m.body_iquat[body])
        self.com = torch.tensor(m.body_ipos[body], dtype=self.dtype)
        self.inertia = torch.tensor(axes @ np.diag(m.body_inertia[body]) @ axes.T, dtype=self.dtype)
        if not self.free:
            joint = int(m.body_jntadr[body])
            self.axis = torch.tensor(m.jnt_axis[joint], dtype=self.dtype)
            offset = m.body_ipos[body] - m.jnt_pos[joint]
            along = m.jnt_axis[joint]
            about = along @ self.inertia.numpy() @ along + self.mass * np.sum(np.cross(along, offset) ** 2)
            self.hinge_inertia = float(about) + float(m.dof_armature[m.jnt_dofadr[joint]])
            self.hinge_damping = float(m.dof_damping[m.jnt_dofadr[joint]])
        geoms = [g for g in range(m.ngeom) if m.geom_bodyid[g] == body and (m.geom_contype[g] or m.geom_conaffinity[g])]
        self.shape = Shape([self._primitive(g, self.com.numpy()) for g in geoms])
        self.vertices = self._vertices(geoms)
        self.symmetries = self._symmetries(geoms)

    def _primitive(self, geom: int, origin: Any = 0.0) -> Primitive:
        pos = torch.tensor(self.m.geom_pos[geom] - origin, dtype=self.dtype)
        return primitive(self.m, geom, pos, torch.tensor(_matrix(self.m.geom_quat[geom]), dtype=self.dtype))

    def _vertices(self, geoms: list[int]) -> Tensor:
        """Corners of boxes and meshes (V, 3) in the object's frame: they are not to sink into the table."""
        corners = [
            self.m.geom_pos[g] + self._corners(g) @ _matrix(self.m.geom_quat[g]).T - self.com.numpy() for g in geoms
        ]
        return torch.tensor(np.concatenate([np.empty((0, 3)), *corners]), dtype=self.dtype)

    def _corners(self, geom: int) -> NDArray[np.float64]:
        """(V, 3) in the geom's frame."""
        match int(self.m.geom_type[geom]):
            case mujoco.mjtGeom.mjGEOM_BOX:
                return np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T * self.m.geom_size[geom]
            case mujoco.mjtGeom.mjGEOM_MESH:
                return vertices_of(self.m, int(self.m.geom_dataid[geom]))
            case _:
                return np.empty((0, 3))

    def _symmetries(self, geoms: list[int]) -> Tensor:
        """Turns (S, 3, 3) about the vertical that take the object to itself."""
        turns = [torch.eye(3)]
        if len(geoms) == 1 and int(self.m.geom_type[geoms[0]]) == mujoco.mjtGeom.mjGEOM_BOX:
            size = self.m.geom_size[geoms[0]]
            if size[0] == size[1]:
                quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
                turns = [torch.linalg.matrix_power(quarter, k) for k in range(4)]
        return torch.stack(turns).to(self.dtype)

    def _read_pairs(self) -> None:
        m = self.m
        tips = [m.geom(m.site(i).name).id for i in self.task.tips]
        planes = [g for g in range(m.ngeom) if int(m.geom_type[g]) == mujoco.mjtGeom.mjGEOM_PLANE]
        self.has_table = any(int(t) == mujoco.mjtGeom.mjGEOM_PLANE for t in m.geom_type)
        self.on_table = self.free and self.has_table and self.task.on_table
        self.pairs = tips + (planes[:1] if self.on_table else [])
        self.K, self.n_tips = len(self.pairs), len(tips)
        self.pair_body = m.geom_bodyid[self.pairs]
        self.pair_shapes = [Shape([self._primitive(g)]) for g in self.pairs]
        self.pair_center = torch.tensor(m.geom_pos[self.pairs], dtype=self.dtype)
        self.pair_mask = self._moved_by(self.pair_body)
        self.is_tip = torch.tensor([1.0] * self.n_tips + [0.0] * (self.K - self.n_tips), dtype=self.dtype)

    def _read_spheres(self) -> None:
        """Spheres inside the robot's colliding geoms, which are not to overlap object and table."""
        m, body, pos, radius = self.m, [], [], []
        movable = set(self._below(self.joint_body))
        for g in range(m.ngeom):
            if m.geom_bodyid[g] not in movable or not (m.geom_contype[g] or m.geom_conaffinity[g]):
                continue
            for offset, r in _inner_spheres(int(m.geom_type[g]), m.geom_size[g]):
                body.append(int(m.geom_bodyid[g]))
                pos.append(m.geom_pos[g] + _matrix(m.geom_quat[g]) @ offset)
                radius.append(r)
        self.sphere_body = np.array(body)
        self.sphere_pos = torch.tensor(np.array(pos), dtype=self.dtype)
        self.radius = torch.tensor(radius, dtype=self.dtype)
        self.sphere_mask = self._moved_by(self.sphere_body)

    def _below(self, bodies: NDArray[Any]) -> list[int]:
        tops = set(int(b) for b in bodies)
        return [b for b in range(1, self.m.nbody) if tops & set(self._ancestors(b))]

    def _ancestors(self, body: int) -> list[int]:
        found = []
        while body > 0:
            found.append(body)
            body = int(self.m.body_parentid[body])
        return found

    def _moved_by(self, bodies: NDArray[Any]) -> Tensor:
        """Whether each joint of the robot moves each body, (len, J) 0 or 1."""
        moved = [[float(b in self._ancestors(int(one))) for b in self.joint_body] for one in bodies]
        return torch.tensor(moved, dtype=self.dtype).reshape(len(bodies), len(self.joints))

    def links(self, commands: Tensor) -> Links:
        """Kinematics (N, ...) of the robot at its commands (N, n)."""
        return self.links_of_joints(commands @ self.coupling.to(commands).T)

    def links_of_joints(self, angles: Tensor) -> Links:
        """Kinematics (N, ...) of the robot with its joints at angles (N, J)."""
        qpos = torch.from_numpy(np.tile(self._qpos, (len(angles), 1))).to(angles.dtype)
        qpos = qpos.index_copy(1, torch.from_numpy(self.qpos_of_joints.astype(np.int64)), angles)
        if torch.is_grad_enabled():
            kin = torch_bridge.kinematics(self.model, qpos)
            pos, mat = kin.xpos, matrix(kin.xquat)
        else:
            found = poses.evaluate(self.model, qpos.double().numpy())
            pos, mat = torch.from_numpy(found[0]).to(angles), matrix(torch.from_numpy(found[1]).to(angles))
        joints = mat[:, self.joint_body]
        axis = apply(joints, self._joint_axis.to(angles))
        return Links(pos, mat, pos[:, self.joint_body] + apply(joints, self._joint_pos.to(angles)), axis)

    def point_jacobian(self, points: Tensor, mask: Tensor, links: Links) -> Tensor:
        """Derivatives (N, P, 3, n) by the commands of points (N, P, 3) that the joints of mask (P, J) move."""
        arm = points[:, :, None] - links.anchor[:, None]
        moved = torch.linalg.cross(links.axis[:, None].expand_as(arm), arm, dim=-1) * mask.to(points)[:, :, None]
        return moved.transpose(-1, -2) @ self.coupling.to(points)

    def start(self, state: TaskState) -> Start:
        """The relaxed state that stands for a task's state (B) at the beginning of an episode."""
        kin, body, goal = state.kinematics, self.task.object_body, self.task.goal_body
        mat, goal_mat = matrix(kin.xquat[:, body]).to(self.dtype), matrix(kin.xquat[:, goal]).to(self.dtype)
        pos = kin.xpos[:, body].to(self.dtype) + apply(mat, self.com)
        goal_pos = kin.xpos[:, goal].to(self.dtype) + apply(goal_mat, self.com)
        turn = self.symmetry(mat)
        mat, goal_mat = mat @ turn, goal_mat @ turn
        rest = torch.zeros_like(pos)
        return Start(self.contacts(state.act.to(self.dtype), pos, mat), pos, mat, rest, rest, goal_pos, goal_mat)

    def symmetry(self, mat: Tensor) -> Tensor:
        """The turn (B, 3, 3) of `symmetries` after which the object (B, 3, 3) is turned least."""
        angles = log(mat[:, None] @ self.symmetries).norm(dim=-1)
        return self.symmetries[angles.argmin(-1)]

    def contacts(self, commands: Tensor, pos: Tensor, mat: Tensor) -> Tensor:
        """Commands (B, n) and first contact variables, (B, n + 9 K).

        On the object the point that a fingertip is nearest to, beside it where it lies on a table; on the tip the
        one nearest to that. Forces are none but the table's.
        """
        links = self.links(commands)
        frame_pos, frame_mat = links.pos[:, self.pair_body], links.mat[:, self.pair_body]
        centers = frame_pos + apply(frame_mat, self.pair_center)
        away = centers - pos[:, None]
        if self.on_table:
            away = torch.cat([away[..., :2], torch.zeros_like(away[..., 2:])], dim=-1)
            away[:, self.n_tips :] = -torch.tensor([0.0, 0.0, 1.0])
            on_object = self.shape.along(apply_inverse(mat[:, None], away))
        else:
            on_object = self.shape.project(apply_inverse(mat[:, None], away))
        world = pos[:, None] + apply(mat[:, None], on_object)
        local = apply_inverse(frame_mat, world - frame_pos)
        on_robot = torch.stack([s.project(local[:, k]) for k, s in enumerate(self.pair_shapes)], dim=1)
        force = torch.zeros_like(on_object)
        force[:, self.n_tips :, 2] = self.weight
        return torch.cat([commands, on_robot.flatten(1), on_object.flatten(1), force.flatten(1)], dim=-1)


def _inner_spheres(kind: int, size: NDArray[Any]) -> list[tuple[NDArray[Any], float]]:
    """Centres in the geom's frame and radii [m]."""
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return [(np.zeros(3), size[0])]
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        count = max(2, int(np.ceil(size[1] / size[0])) + 1)
        return [(np.array([0.0, 0.0, z]), size[0]) for z in np.linspace(-size[1], size[1], count)]
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        r = size.min()
        grids = [np.linspace(-(s - r), s - r, max(1, int(np.ceil((s - r) / (1.5 * r))) + 1)) for s in size]
        return [(np.array(p), r) for p in np.array(np.meshgrid(*grids)).reshape(3, -1).T]
    return []


def _matrix(quat: NDArray[Any]) -> NDArray[np.float64]:
    found = np.empty(9)
    mujoco.mju_quat2Mat(found, quat)
    return found.reshape(3, 3)

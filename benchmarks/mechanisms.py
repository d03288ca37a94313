"""Mechanisms that several benchmarks measure, and a description of them for engines that read no MJCF.

A description holds numbers only and passes through a pipe: a tree of links, one for each joint, whose
frames lie at their joints. What is welded to a link is part of its inertia.
"""

from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from gradgym import sim

Floats = NDArray[np.float64]
_JOINTS = {
    int(mujoco.mjtJoint.mjJNT_FREE): "free",
    int(mujoco.mjtJoint.mjJNT_HINGE): "hinge",
    int(mujoco.mjtJoint.mjJNT_SLIDE): "slide",
}


def chain(n: int) -> mujoco.MjModel:
    """Capsules of 0.3 m that hang from each other by driven hinges, whose axes alternate between y and x."""
    opened, closed = [], []
    for i in range(n):
        opened.append(
            f'<body pos="0 0 {-0.3 if i else 0}"><joint axis="{"1 0 0" if i % 2 else "0 1 0"}" damping="0.05"/>'
            '<geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.03" contype="0" conaffinity="0"/>'
        )
        closed.append("</body>")
    model = mujoco.MjSpec.from_string(f"<mujoco><worldbody>{''.join(opened + closed)}</worldbody></mujoco>")
    for joint in model.joints:
        joint.name = f"joint{len(model.actuators)}"
        actuator = model.add_actuator(target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_motor()
    return model.compile()


class Pose(NamedTuple):
    """Of a frame in another: rotation matrix and origin [m]."""

    rotation: Floats
    origin: Floats

    def __matmul__(self, other: "Pose") -> "Pose":
        return Pose(self.rotation @ other.rotation, self.rotation @ other.origin + self.origin)

    def inverse(self) -> "Pose":
        return Pose(self.rotation.T, -self.rotation.T @ self.origin)


def _rotation(quat: Floats) -> Floats:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


class Tree(NamedTuple):
    """Links of a description, and by body the link that carries it (-1: the world) and its pose there."""

    links: list[dict[str, Any]]
    carriers: list[int]
    poses: list[Pose]


def tree(m: mujoco.MjModel) -> Tree:
    """The links of `m`, in the order of its joints. A link's pose is in its parent's frame, at joint position 0."""
    at_origin = Pose(np.eye(3), np.zeros(3))
    links: list[dict[str, Any]] = []
    carriers, poses = [-1], [at_origin]
    parts: list[list[tuple[float, Floats, Floats]]] = []
    for body in range(1, m.nbody):
        carrier = carriers[m.body_parentid[body]]
        pose = poses[m.body_parentid[body]] @ Pose(_rotation(m.body_quat[body]), m.body_pos[body].copy())
        for joint in range(m.body_jntadr[body], m.body_jntadr[body] + m.body_jntnum[body]):
            kind = _JOINTS[int(m.jnt_type[joint])]
            if kind == "free":
                pose = at_origin
            anchor = Pose(np.eye(3), m.jnt_pos[joint] * (kind == "hinge"))
            placed = pose @ anchor
            links.append({
                "parent": carrier,
                "joint": kind,
                "axis": m.jnt_axis[joint].tolist(),
                "rotation": placed.rotation.tolist(),
                "origin": placed.origin.tolist(),
            })  # fmt: skip
            parts.append([])
            carrier, pose = len(links) - 1, anchor.inverse()
        carriers.append(carrier)
        poses.append(pose)
        if carrier >= 0:
            principal = pose @ Pose(_rotation(m.body_iquat[body]), m.body_ipos[body])
            inertia = principal.rotation @ np.diag(m.body_inertia[body]) @ principal.rotation.T
            parts[carrier].append((float(m.body_mass[body]), principal.origin, inertia))
    for link, own in zip(links, parts, strict=True):
        link |= _joined(own)
    return Tree(links, carriers, poses)


def _joined(parts: list[tuple[float, Floats, Floats]]) -> dict[str, Any]:
    """Mass [kg], centre of mass [m] and inertia about it [kg m²] of all parts together."""
    mass = sum(part[0] for part in parts)
    centre = sum((part[0] * part[1] for part in parts), np.zeros(3)) / max(mass, 1e-300)
    inertia = np.zeros((3, 3))
    for weight, position, own in parts:
        arm = position - centre
        inertia += own + weight * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    return {"mass": mass, "centre": centre.tolist(), "inertia": inertia.tolist()}


def describe(m: mujoco.MjModel, states: list[sim.State], ctrls: list[Floats]) -> dict[str, Any]:
    """What an engine needs to be in the same states.

    "motions" hold for each state: positions and velocities as MuJoCo has them, the generalised forces of
    actuators and springs, and the acceleration of MuJoCo's Euler step without constraints, which adds
    timestep * damping to the armature. "contacts" are the places where, in the first state, two bodies touch:
    link, orientation and position of the world's axes there. "spheres" are the touching ends of capsules and
    spheres: link, centre, radius; those that a margin keeps off the floor are grown until they touch it.
    """
    found, motions = tree(m), []
    free = m.__copy__()
    free.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
    for state, ctrl in zip(states, ctrls, strict=True):
        d = mujoco.MjData(free)
        d.qpos[:], d.qvel[:], d.act[:], d.ctrl[:] = *state[:3], ctrl
        mujoco.mj_forward(free, d)
        force = d.qfrc_actuator + d.qfrc_spring
        mujoco.mj_step(free, d)
        motions.append({
            "qpos": state.qpos.tolist(),
            "qvel": state.qvel.tolist(),
            "force": force.tolist(),
            "qacc": ((d.qvel - state.qvel) / m.opt.timestep).tolist(),
        })  # fmt: skip
    contacts, spheres = _touching(m, found, states[0])
    actuation = np.zeros((m.nv, m.nu))
    for i in range(m.nu):
        actuation[m.jnt_dofadr[m.actuator_trnid[i, 0]], i] = m.actuator_gear[i, 0]
    return {
        "timestep": m.opt.timestep,
        "gravity": m.opt.gravity.tolist(),
        "links": found.links,
        "armature": m.dof_armature.tolist(),
        "damping": m.dof_damping.tolist(),
        "actuation": actuation.tolist(),
        "motions": motions,
        "contacts": contacts,
        "spheres": spheres,
    }


def _touching(m: mujoco.MjModel, found: Tree, state: sim.State) -> tuple[list[list[Any]], list[dict[str, Any]]]:
    d = mujoco.MjData(m)
    d.qpos[:] = state.qpos
    mujoco.mj_fwdPosition(m, d)
    contacts, spheres = [], []
    for contact in d.contact:
        places = []
        for geom in contact.geom:
            body = int(m.geom_bodyid[geom])
            link = Pose(d.xmat[body].reshape(3, 3), d.xpos[body]) @ found.poses[body].inverse()
            place = link.inverse() @ Pose(np.eye(3), contact.pos)
            places.append([found.carriers[body], place.rotation.tolist(), place.origin.tolist()])
            if body:
                centre, radius = _touching_sphere(m, d, geom, contact.pos)
                local = link.inverse() @ Pose(np.eye(3), centre)
                radius += max(0.0, contact.dist + 1e-3)
                spheres.append({"link": found.carriers[body], "centre": local.origin.tolist(), "radius": radius})
        contacts.append(places)
    return contacts, spheres


def _touching_sphere(m: mujoco.MjModel, d: mujoco.MjData, geom: int, contact: Floats) -> tuple[Floats, float]:
    """Centre in the world and radius of the sphere, or of the end of the capsule, that touches at `contact`."""
    kind, centre, size = int(m.geom_type[geom]), d.geom_xpos[geom], m.geom_size[geom]
    if kind == int(mujoco.mjtGeom.mjGEOM_CAPSULE):
        half = d.geom_xmat[geom].reshape(3, 3)[:, 2] * size[1]
        centre = min(centre + half, centre - half, key=lambda end: float(np.linalg.norm(end - contact)))
    elif kind != int(mujoco.mjtGeom.mjGEOM_SPHERE):
        raise ValueError(f"geom {geom} touches, and is neither sphere nor capsule")
    return centre, float(size[0])

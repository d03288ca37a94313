"""Starts of an episode in which the hand on its arm is around the object, from a file of planned grasps."""

from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

_STARTS, _TRIES = 32, 300  # how many are kept, and of how many places and turns of the object, at most
_STEPS, _RESTARTS = 60, 3  # of the inverse kinematics
_CLOSE = 1e-4  # [m], [rad]: where it has arrived
_DAMPING = 0.05
_OPENED = 0.9  # of the grasp's joints: fingers let the object stand


class GraspStart(NamedTuple):
    """One start."""

    object: NDArray[np.float64]  # (7,) position and quaternion
    qpos: NDArray[np.float64]  # (nq,) of the whole model
    commands: NDArray[np.float64]  # (na,) of its servos


def grasp_starts(model: mujoco.MjModel, file: str | Path, height: float, reach: float) -> list[GraspStart]:
    """Starts that the arm can reach, with the hand above the table.

    Of grasps in turn the object is put at a random place and turn, and the arm's joints follow from the hand's pose.

    Args:
        model: of arm and hand, with the keyframe "start", a free body "object" and a table.
        file: .npz with `pose` (n, 7) of the hand's root in the object's frame, `joints` (n, J) [rad] and their
            `joint_names`, as `gradgym.agents.grasp.Grasps.save` writes it.
        height: of the object's origin on the table [m].
        reach: to how far from the table's middle it is put, in x and in y [m].

    Raises:
        ValueError: the file is no such file, its joints are not the hand's, or no grasp can be reached.
    """
    poses, joints, names = _read(file)
    if unknown := [name for name in names if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) < 0]:
        raise ValueError(f"grasp={str(file)!r}: the hand has no joint {unknown[0]!r}")
    rng, data, found = np.random.default_rng(0), mujoco.MjData(model), []
    for i in range(_TRIES):
        turn = rng.uniform(-np.pi, np.pi)
        place = np.array([*rng.uniform(-reach, reach, 2), height])
        quat = np.array([np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)])
        row = i % len(poses)
        if _reached(model, data, (place, quat), poses[row], dict(zip(names, joints[row], strict=True)), rng):
            commands = np.clip(data.actuator_length, *model.actuator_actrange.T)[model.actuator_actadr >= 0]
            found.append(GraspStart(np.concatenate([place, quat]), data.qpos.copy(), commands))
        if len(found) == _STARTS:
            break
    if not found:
        raise ValueError(f"grasp={str(file)!r}: the arm can reach none of the {len(poses)} grasps above the table")
    return found


def _read(file: str | Path) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            poses, joints, names = (stored[name] for name in ("pose", "joints", "joint_names"))
        if poses.ndim != 2 or poses.shape[1] != 7 or joints.shape != (len(poses), len(names)) or not len(poses):
            raise ValueError(f"shapes {poses.shape} and {joints.shape} are not those of grasps")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"grasp={str(file)!r} is no file of grasps: {str(error).splitlines()[0]}") from None
    return poses, joints, [str(name) for name in names]


def _reached(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    placed: tuple[NDArray[np.float64], NDArray[np.float64]],
    pose: NDArray[np.float64],
    joints: dict[str, float],
    rng: np.random.Generator,
) -> bool:
    """Brings `data` to a grasp of the object where it is placed; whether arm and table allow it."""
    first = model.jnt_qposadr[model.body_jntadr[model.body("object").id]]
    root, arm = _hand_root(model, joints)
    hand = np.setdiff1d(np.arange(model.nq), [*arm, *range(first, first + 7)])
    target, quat = np.empty(3), np.empty(4)
    mujoco.mju_mulPose(target, quat, *placed, pose[:3], pose[3:] / np.linalg.norm(pose[3:]))
    for attempt in range(_RESTARTS):
        mujoco.mj_resetDataKeyframe(model, data, model.key("start").id)
        data.qpos[first : first + 7] = np.concatenate(placed)
        data.qpos[hand] = 0.0
        for name, angle in joints.items():
            data.qpos[model.joint(name).qposadr[0]] = _OPENED * angle
        _follow(model, data)
        if attempt:
            data.qpos[arm] += rng.uniform(-0.8, 0.8, len(arm))
        if _inverse_kinematics(model, data, root, arm, target, quat):
            mujoco.mj_fwdPosition(model, data)
            bodies = model.geom_bodyid[data.contact.geom]
            inside = data.contact.dist < 0.0
            return not (inside & (bodies == 0).any(axis=1) & (bodies != model.body("object").id).all(axis=1)).any()
    return False


def _hand_root(model: mujoco.MjModel, joints: dict[str, float]) -> tuple[int, NDArray[np.int64]]:
    """The hand's root body, and the places in qpos of the joints that carry it."""
    carried = {model.joint(name).bodyid[0] for name in joints}
    above = [i for i in range(model.njnt) if int(model.jnt_type[i]) == mujoco.mjtJoint.mjJNT_HINGE]
    arm = [i for i in above if all(_below(model, body, int(model.jnt_bodyid[i])) for body in carried)]
    arm = arm[:6]
    last = int(model.jnt_bodyid[arm[-1]])
    children = [b for b in range(model.nbody) if int(model.body_parentid[b]) == last]
    return children[0], model.jnt_qposadr[arm].astype(np.int64)


def _below(model: mujoco.MjModel, body: int, above: int) -> bool:
    while body and body != above:
        body = int(model.body_parentid[body])
    return body == above


def _follow(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Joints that an equality couples to another are where that says."""
    for i in range(model.neq):
        if int(model.eq_type[i]) == mujoco.mjtEq.mjEQ_JOINT and model.eq_obj2id[i] >= 0:
            leader = data.qpos[model.jnt_qposadr[model.eq_obj2id[i]]]
            data.qpos[model.jnt_qposadr[model.eq_obj1id[i]]] = np.polynomial.Polynomial(model.eq_data[i, :5])(leader)


def _inverse_kinematics(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    body: int,
    arm: NDArray[np.int64],
    target: NDArray[np.float64],
    quat: NDArray[np.float64],
) -> bool:
    """Damped least squares on the arm's joints, all of them hinges; whether the body arrived within their ranges."""
    ids = [int(np.flatnonzero(model.jnt_qposadr == adr)[0]) for adr in arm]
    dofs = model.jnt_dofadr[ids]
    jacobian, conjugate, difference, turn = np.empty((6, model.nv)), np.empty(4), np.empty(4), np.empty(3)
    for _ in range(_STEPS):
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mju_negQuat(conjugate, data.xquat[body])
        mujoco.mju_mulQuat(difference, quat, conjugate)
        mujoco.mju_quat2Vel(turn, difference, 1.0)
        error = np.concatenate([target - data.xpos[body], turn])
        if np.abs(error).max() < _CLOSE:
            low, high = model.jnt_range[ids].T
            return bool(((data.qpos[arm] >= low) & (data.qpos[arm] <= high)).all())
        mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], body)
        j = jacobian[:, dofs]
        step = j.T @ np.linalg.solve(j @ j.T + _DAMPING**2 * np.eye(6), error)
        data.qpos[arm] += step * min(1.0, 0.5 / np.abs(step).max())
    return False

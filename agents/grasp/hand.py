"""A robot hand as the grasp planner sees it: independent joints, points on its surface, hulls of its links."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...envs.hand import SHADOW_HAND
from ...sim import Model, torch_bridge
from .attached import points_of, vectors_of
from .hand_surface import Surface, surface_of

# Of the Shadow hand: the paper's (6 + 18) numbers have no wrist, which moves the hand as a whole.
_WRIST = ("WRJ1", "WRJ2", "rh_WRJ1", "rh_WRJ2", "robot0:WRJ0", "robot0:WRJ1")
_BY_JOINT = mujoco.mjtTrn.mjTRN_JOINT


class Links(NamedTuple):
    """Poses of a hand's bodies in the object's frame."""

    position: Tensor  # (..., nbody, 3) [m]
    rotation: Tensor  # (..., nbody, 3, 3)

    def points(self, body: Tensor, local: Tensor) -> Tensor:
        """Points (P, 3) that are fixed in bodies (P,) in the object's frame, (..., P, 3) [m]."""
        return points_of(self.position, self.rotation, body, local)

    def vectors(self, body: Tensor, local: Tensor) -> Tensor:
        """Directions (P, 3) that are fixed in bodies (P,), (..., P, 3)."""
        return vectors_of(self.rotation, body, local)


class Hand:
    """A hand, read from MJCF. Its root is the first body of the file's world, moved to the origin.

    Args:
        spec: with joints that are hinges, position servos, and geoms that collide. Joints that follow others by an
            <equality><joint> are coupled, and joints without a servo that a limited <tendon><fixed> ties to one that
            has one; the others are the hand's independent joints, and need a range.
        contact_geoms: names of geoms that may hold an object; None for all that collide.
        name: what messages and files call it.

    Attributes:
        model: (alone, its root at the origin) as MuJoCo compiled it.
        joint_names: of the J independent joints.
        lower, upper: (J,) their ranges [rad].
        surface: samples of the surface, contact candidates and hulls, see `hand_surface.Surface`.
    """

    def __init__(self, spec: mujoco.MjSpec, contact_geoms: Sequence[str] | None = None, name: str = "hand") -> None:
        self.name, self._spec = name, spec
        self.model = m = spec.compile()
        if any(int(kind) != mujoco.mjtJoint.mjJNT_HINGE for kind in m.jnt_type):
            raise ValueError(f"hand {name!r}: every joint must be a hinge")
        equalities = [i for i in range(m.neq) if int(m.eq_type[i]) == mujoco.mjtEq.mjEQ_JOINT]
        follows = {int(m.eq_obj1id[i]): i for i in equalities if m.eq_obj2id[i] >= 0}
        tied = _tied(m)
        free = [j for j in range(m.njnt) if j not in follows and j not in tied]
        if unlimited := [m.joint(j).name for j in free if not m.jnt_limited[j]]:
            raise ValueError(f"hand {name!r}: joint {unlimited[0]!r} has no range")
        self.joint_names = tuple(m.joint(j).name for j in free)
        self.lower, self.upper = m.jnt_range[free].T.copy()
        # A follower is a polynomial of the joint that it follows, of which hands have the linear part.
        self._coupling, self._offset = np.zeros((m.nq, len(free))), np.zeros(m.nq)
        for column, j in enumerate(free):
            self._coupling[j, column] = 1.0
        for j, i in follows.items():
            if m.eq_data[i, 2:5].any() or int(m.eq_obj2id[i]) not in free:
                raise ValueError(f"hand {name!r}: joint {m.joint(j).name!r} must follow an independent joint linearly")
            self._coupling[j, free.index(int(m.eq_obj2id[i]))] = m.eq_data[i, 1]
            self._offset[j] = m.eq_data[i, 0]
        for j, (leader, ratio, offset) in tied.items():
            column = free.index(leader)
            self._coupling[j, column], self._offset[j] = ratio, offset
            low, high = (m.jnt_range[j] - offset) / ratio  # where the follower is in its range too
            self.lower[column], self.upper[column] = max(self.lower[column], low), min(self.upper[column], high)
        self._simulated = Model.from_mujoco(m)
        self.surface: Surface = surface_of(m, self.qpos(self.middle), contact_geoms)

    @staticmethod
    def shadow() -> "Hand":
        """The Shadow hand of the environments; 18 independent joints, its wrist straight."""
        return Hand.from_xml_path(SHADOW_HAND, name="shadow")

    @staticmethod
    def from_xml_path(path: str | Path, contact_geoms: Sequence[str] | None = None, name: str | None = None) -> "Hand":
        """Reads a hand's MJCF; wrist joints of Shadow hands are held straight, and what is no hand is left out."""
        try:
            spec = mujoco.MjSpec.from_file(str(path))
        except ValueError as error:
            raise ValueError(f"cannot read the MJCF {str(path)!r}: {str(error).splitlines()[0]}") from None
        _keep_the_hand(spec)
        return Hand(spec, contact_geoms, Path(path).stem if name is None else name)

    def spec(self) -> mujoco.MjSpec:
        """A copy of what it was made from, to be put in a scene."""
        return self._spec.copy()

    @property
    def middle(self) -> NDArray[np.float64]:
        """Joints a third of the way from open to closed, (J,) [rad]; joints that bend to both sides at zero."""
        bends = self.lower > -0.3 * self.upper
        return np.where(bends, self.lower.clip(0.0) + 0.35 * (self.upper - self.lower.clip(0.0)), 0.0)

    def qpos(self, joints: NDArray[np.float64]) -> NDArray[np.float64]:
        """All joints, (..., nq), of the independent ones, (..., J) [rad]."""
        return joints @ self._coupling.T + self._offset

    def links(self, pose: Tensor, joints: Tensor) -> Links:
        """Poses of the bodies; differentiable.

        Args:
            pose: (..., 7) of the root: position [m] and quaternion (w, x, y, z), of which the direction matters.
            joints: (..., J) [rad].
        """
        qpos = joints @ torch.from_numpy(self._coupling).T + torch.from_numpy(self._offset)
        own = torch_bridge.kinematics(self._simulated, qpos)
        root = quaternion_matrix(pose[..., 3:])
        position = own.xpos @ root.transpose(-1, -2) + pose[..., None, :3]
        return Links(position, root[..., None, :, :] @ quaternion_matrix(own.xquat))


def quaternion_matrix(quat: Tensor) -> Tensor:
    """Rotations (..., 3, 3) of quaternions (w, x, y, z) of any length, (..., 4)."""
    w, x, y, z = (quat / quat.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def _tied(m: mujoco.MjModel) -> dict[int, tuple[int, float, float]]:
    """Of each joint that a limited tendon makes follow another: that joint, and ratio and offset to it.

    Both joints stretch the tendon, with opposite signs, and only the leader has a servo; the follower is taken to be
    where the tendon is in the middle of its range.
    """
    driven = {int(i) for i, kind in zip(m.actuator_trnid[:, 0], m.actuator_trntype, strict=True) if kind == _BY_JOINT}
    found = {}
    for t in np.flatnonzero(m.tendon_limited):
        wraps = slice(m.tendon_adr[t], m.tendon_adr[t] + m.tendon_num[t])
        if m.tendon_num[t] != 2 or (m.wrap_type[wraps] != mujoco.mjtWrap.mjWRAP_JOINT).any():
            continue
        (leader, c), (follower, d) = sorted(
            zip(m.wrap_objid[wraps].tolist(), m.wrap_prm[wraps].tolist(), strict=True),
            key=lambda wrap: wrap[0] not in driven,
        )
        if leader in driven and follower not in driven and c * d < 0.0:
            found[follower] = leader, -c / d, float(m.tendon_range[t].mean()) / d
    return found


def _keep_the_hand(spec: mujoco.MjSpec) -> None:
    """Takes away wrists' joints, what measures or pulls them, and what stands beside the hand; the root to the origin.

    ValueError: the world has no body with joints, or several.
    """
    for tendon in spec.tendons:
        if any(wrap.target.name in _WRIST for wrap in tendon.path):
            spec.delete(tendon)
    for part in (*spec.sensors, *spec.actuators, *spec.joints):
        names = (part.name, getattr(part, "objname", None), getattr(part, "target", None))
        if any(name in _WRIST for name in names):
            spec.delete(part)
    world = spec.worldbody
    roots = [body for body in world.bodies if body.find_all(mujoco.mjtObj.mjOBJ_JOINT)]
    if len(roots) != 1:
        raise ValueError(f"{spec.modelname!r}: one body of the world must hold the hand, {len(roots)} have joints")
    for part in (*world.geoms, *world.sites, *(body for body in world.bodies if body not in roots)):
        spec.delete(part)
    (root,) = roots
    root.pos, root.quat, root.alt.type = np.zeros(3), [1, 0, 0, 0], mujoco.mjtOrientation.mjORIENTATION_QUAT

"""Grasping an object from a table with the Shadow hand on an arm, and lifting it."""

from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import ASSETS
from ..arrays import beside
from ..grasp_starts import grasp_starts
from ..hand import SHADOW_HAND, attach_arm, attach_hand, compiled
from ..task_state import TaskState
from .manipulation import Contacts, Draw, Manipulation, matrix, ramp, turned

# The hand open above the table, palm down, its lowest fingertip 15 cm high: fingers at x = 5 cm, the thumb at -5 cm.
# The arm's angles are inverse kinematics of that.
ABOVE = {
    **{"shoulder_pan": -0.0351, "shoulder_lift": -1.3507, "elbow": 2.2458},
    **{"wrist_1": 2.5958, "wrist_2": 1.5378, "wrist_3": -0.012},
    **{f"{f}J{k}": angle for f in ("FF", "MF", "RF", "LF") for k, angle in ((3, 0.5), (2, 0.12), (1, 0.12))},
    **{"THJ5": 0.75, "THJ4": 1.2, "THJ2": -0.4, "THJ1": 0.1},
}
_UP = (0.0, 0.0, 1.0)
_VERTICAL = torch.tensor(_UP, dtype=torch.float64)
_MASS = 0.1  # [kg]
# Of the fingertips' points: beside the faces, farther while the hand comes down, and between outer fingers.
_BESIDE, _OPEN, _SPREAD = 0.003, 0.034, 0.018  # [m]
_ASIDE = 0.05  # of the object's place, in x and in y [m]
_CLOSING = (1.5, 2.1)  # when the hand closes [s]


class ShadowHandGrasp(Manipulation):
    """An object on the table shall be lifted to a goal pose. Observation, action and reward: see `Manipulation`.

    The hand starts open above it. The object lies within 5 cm (in x and in y) of the place below, turned at random
    about the vertical; the goal is 10 to 15 cm above its place, up to 3 cm aside, with the orientation of the start.

    Success is what a state tells: the object is 5 cm or more above the table and slower than 0.1 m/s. That it is held
    there for 2 s is for the evaluation to count (40 steps of success in a row). The episode has 120 steps, 6 s.

    The object's pose is rewarded from 2.4 s on.

    Args:
        object: None for a cube of 6 cm, or a mesh file of one convex piece [m], z up, or a folder of such pieces.
            No higher than 14 cm: the fingertips start 15 cm above the table.
        hand_xml: another hand's MJCF; see `envs.hand`.
        grasp: a file of grasps (`gradgym.agents.grasp.Grasps.save`) of this object: episodes start with the hand around
            it, a little open, in one of those that the arm can reach. Nothing then leads the hand: the way to the
            points of `contacts` is 0.
        weights, contact_softness, randomize: see `Manipulation`.
    """

    on_table = True
    rewarded_from = 2.4  # when a hand that follows its points has closed; before, only a push changes the pose [s]

    def __init__(
        self,
        object: str | Path | None = None,
        hand_xml: str | Path = SHADOW_HAND,
        weights: Mapping[str, float] | None = None,
        backend: str = "sim",
        contact_softness: float = 0.0,
        randomize: Mapping[str, tuple[float, float]] | None = None,
        grasp: str | Path | None = None,
    ) -> None:
        if grasp is not None and randomize and "size" in randomize:
            raise ValueError('grasp= is for an object of one size: leave "size" out of randomize')
        scene = mujoco.MjSpec.from_file(str(ASSETS / "shadow_hand_grasp.xml"))
        if object is not None:
            _put_meshes(scene, Path(object))
        attach_arm(scene, "base")
        attach_hand(scene, "flange", hand_xml)
        model = compiled(scene, ABOVE)
        self._rest_height = -_lowest(model)
        self._half_widths = torch.from_numpy(_half_widths(model))
        super().__init__(model, backend, 120, weights, (0.0, 0.0, self._rest_height), contact_softness, randomize)
        self._starts = [] if grasp is None else grasp_starts(model, grasp, self._rest_height, _ASIDE)
        if self._starts:
            self.rewarded_from = 0.0
        # The thumb opposes all other tips, which are to be in a row as they are at the start.
        thumb = torch.arange(len(self.tips)) == self.start_tips[:, 0].argmin()
        row = torch.where(thumb, 0.0, self.start_tips[:, 1] - self.start_tips[~thumb, 1].mean())
        self._spread = _SPREAD * row / row.abs().max().clamp_min(1e-6)
        self._side = torch.where(thumb, -1.0, 1.0).double()
        self._share = torch.where(thumb, 0.4, 0.6 / max(len(self.tips) - 1, 1)).double() * (grasp is None)

    def draw(self, rng: np.random.Generator) -> Draw:
        """The object's place on the table and the goal above it."""
        start = self._starts[rng.integers(len(self._starts))] if self._starts else None
        if start is None:
            place = np.array([*rng.uniform(-_ASIDE, _ASIDE, 2), self._rest_height])
            quat = turned(np.array([1.0, 0.0, 0.0, 0.0]), _UP, rng.uniform(-np.pi, np.pi))
        else:
            place, quat = start.object[:3], start.object[3:]
        goal = place + np.array([*rng.uniform(-0.03, 0.03, 2), rng.uniform(0.10, 0.15)])
        robot = None if start is None else (start.qpos[self.robot_qpos], start.commands)
        return Draw(np.concatenate([place, quat]), {"goal": (goal, quat)}, robot)

    def contacts(self, state: TaskState) -> Contacts:
        """The thumb beside one face, the fingers in a row beside the opposite one.

        Of the object's x and y faces those that are most across the hand. The hand comes down around the object in
        1.5 s and closes until 2.1 s.
        """
        seconds = self.seconds(state)
        rotation = matrix(state.kinematics.xquat[..., self.object_body, :])
        # The goal has the start's orientation all the time, so that the choice lasts an episode.
        chosen = matrix(state.kinematics.xquat[..., self.goal_body, :].detach())[..., 0, :2]
        axis = chosen.abs().argmax(-1, keepdim=True)
        sign = torch.gather(chosen, -1, axis).sign()
        columns = axis[..., None, :].expand(*axis.shape[:-1], 3, 1)
        across = torch.gather(rotation[..., :2], -1, columns).squeeze(-1) * sign
        along = torch.linalg.cross(rotation[..., 2], across, dim=-1)
        away = (
            beside(self._half_widths, rotation)[axis] * self.size(state)[..., None]
            + _BESIDE
            + _OPEN * (1.0 - ramp(seconds, *_CLOSING))[..., None]
        )
        above = 0.05 - 0.02 * ramp(seconds, 0.0, 0.9) - 0.03 * ramp(seconds, 0.9, 1.5)
        side, spread, share = (beside(x, rotation) for x in (self._side, self._spread, self._share))
        points = (side * away)[..., None] * across[..., None, :] + spread[:, None] * along[..., None, :]
        points = points + above[..., None, None] * beside(_VERTICAL, rotation)
        return Contacts(points, share.expand(*away.shape[:-1], -1))

    def lifted(self, state: TaskState) -> Tensor:
        """How far the object is above where it lay, (...) [m]."""
        return state.kinematics.xpos[..., self.object_body, 2] - self._rest_height * self.size(state)

    def success(self, state: TaskState) -> Tensor:
        """Whether the object is lifted by 5 cm and slower than 0.1 m/s, (...) bool."""
        speed = torch.linalg.vector_norm(state.qvel[..., self._object_dofs][..., :3], dim=-1)
        return (self.lifted(state) >= 0.05) & (speed < 0.1)

    def state_info(self, state: TaskState, params: None = None) -> dict[str, Tensor]:
        """As of every manipulation, and how far the object is lifted, (...) [m]."""
        return super().state_info(state) | {"lifted": self.lifted(state)}


def _put_meshes(scene: mujoco.MjSpec, path: Path) -> None:
    """Convex meshes in place of the cube and of its ghost; ValueError if there are none."""
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".obj", ".stl")) if path.is_dir() else [path]
    if not files or not all(p.is_file() for p in files):
        raise ValueError(f"object={str(path)!r}: must be an OBJ or STL file, or a folder of them")
    for file in files:
        _check_mesh(file)
    for body in ("object", "goal"):
        cube = scene.geom(body)
        shown = {"rgba": cube.rgba.copy(), "contype": cube.contype, "conaffinity": cube.conaffinity}
        felt = {"condim": cube.condim, "friction": cube.friction.copy(), "priority": cube.priority}
        felt |= {"solref": cube.solref.copy(), "mass": _MASS / len(files)}
        for geom in scene.body(body).geoms:
            scene.delete(geom)
        for i, file in enumerate(files):
            if body == "object":
                scene.add_mesh(name=f"object_{i}", file=str(file.resolve()))
            scene.body(body).add_geom(
                name=body if i == 0 else f"{body}_{i}",
                type=mujoco.mjtGeom.mjGEOM_MESH,
                meshname=f"object_{i}",
                **shown,
                **(felt if body == "object" else {}),
            )


def _check_mesh(file: Path) -> None:
    """ValueError in one line, with the file, where MuJoCo's own has two and may have none."""
    alone = mujoco.MjSpec()
    alone.add_mesh(name="object", file=str(file.resolve()))
    alone.worldbody.add_body().add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="object")
    try:
        alone.compile()
    except ValueError as error:
        reason = str(error).splitlines()[0].removeprefix("Error: ")
        raise ValueError(f"object={str(file)!r} is no OBJ or STL file of a solid: {reason}") from None


def _half_widths(m: mujoco.MjModel) -> NDArray[np.float64]:
    """Half of the object's widths along the x and y of its body [m], (2,)."""
    widest = np.zeros(2)
    for i in np.flatnonzero((m.geom_bodyid == m.body("object").id) & (m.geom_contype != 0)):
        axes = np.empty(9)
        mujoco.mju_quat2Mat(axes, m.geom_quat[i])
        box = np.abs(axes.reshape(3, 3)) @ m.geom_aabb[i, 3:]
        center = m.geom_pos[i] + axes.reshape(3, 3) @ m.geom_aabb[i, :3]
        widest = np.maximum(widest, (np.abs(center) + box)[:2])
    return widest


def _lowest(m: mujoco.MjModel) -> float:
    """The lowest point of the object below the origin of its body [m], negative."""
    heights = []
    for i in np.flatnonzero((m.geom_bodyid == m.body("object").id) & (m.geom_contype != 0)):
        if m.geom_type[i] == mujoco.mjtGeom.mjGEOM_MESH:
            first = m.mesh_vertadr[m.geom_dataid[i]]
            points = m.mesh_vert[first : first + m.mesh_vertnum[m.geom_dataid[i]]]
        else:
            points = np.array([[0.0, 0.0, -m.geom_size[i, 2]]])
        turned_points = np.empty_like(points, dtype=np.float64)
        for k, point in enumerate(points):
            mujoco.mju_rotVecQuat(turned_points[k], point.astype(np.float64), m.geom_quat[i])
        heights.append(m.geom_pos[i, 2] + turned_points[:, 2].min())
    return float(min(heights))

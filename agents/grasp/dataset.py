"""Data for the grasp network: of each object its mesh, depth views, and grasps by the planner, in one file.

Liu et al., V: 500 objects with 100 grasps each, and eight rotations of each object together with the hand.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from .depth_views import SEEN, depth_views
from .grasps import Grasps
from .hand import Hand
from .object_mesh import ObjectMesh
from .objective import PlanSettings
from .objects import random_object
from .planner import plan

Floats = NDArray[np.float64]
_STARTS = 1.5  # of the planner, for each grasp that is kept


def eight_rotations() -> Floats:
    """The object as it stands, and turned by 120 degrees about the eight half diagonals of a cube, (9, 3, 3).

    The paper's "8 symmetric axes" are not named; these turn an upright object to all sides.
    """
    axes = np.array(list(product((1.0, -1.0), repeat=3))) / np.sqrt(3.0)
    return np.concatenate([np.eye(3)[None], Rotation.from_rotvec(2.0 * np.pi / 3.0 * axes).as_matrix()])


@dataclass(frozen=True)
class ObjectData:
    """One object of a data set.

    Attributes:
        name: of its file.
        mesh: the object.
        rotations: (R, 3, 3) by which it was turned about its centre of mass, for the views.
        views: (R, 5, S, S) depth [m], as of `depth_views`.
        grasps: in the mesh's frame, not turned.
    """

    name: str
    mesh: ObjectMesh
    rotations: Floats
    views: NDArray[np.float32]
    grasps: Grasps

    def save(self, path: Path) -> None:
        """Writes it, whole or not at all."""
        arrays = {"vertices": self.mesh.vertices, "faces": self.mesh.faces, "mesh_name": np.asarray(self.mesh.name)}
        arrays |= {"rotations": self.rotations, "views": self.views}
        arrays |= {f.name: np.asarray(getattr(self.grasps, f.name)) for f in fields(Grasps)}
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        partial.replace(path)

    @staticmethod
    def load(path: Path) -> "ObjectData":
        """Reads what `save` wrote; ValueError, in one line, if the file is something else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                a = {name: file[name] for name in file.files}
            names = tuple(map(str, a["joint_names"]))
            grasps = Grasps(joint_names=names, **{f.name: a[f.name] for f in fields(Grasps) if f.name != "joint_names"})
            mesh = ObjectMesh(a["vertices"], a["faces"], str(a["mesh_name"]))
            return ObjectData(path.stem, mesh, a["rotations"], a["views"], grasps)
        except Exception as error:
            raise ValueError(f"{path}: no object of a data set ({error}); delete it to have it made again") from None


class Source:
    """Where objects come from: how many, what is said of them, and each by its number."""

    def __init__(self, description: str, makers: Sequence[Callable[[], ObjectMesh]]) -> None:
        self.description, self.makers = description, makers

    @staticmethod
    def random(count: int, seed: int = 0) -> "Source":
        """Parametric objects, see `objects.random_object`."""

        def maker(i: int) -> Callable[[], ObjectMesh]:
            return lambda: ObjectMesh.from_trimesh(random_object(np.random.default_rng([seed, i])), name=f"random {i}")

        return Source(f"random, seed {seed}", [maker(i) for i in range(count)])

    @staticmethod
    def folder(path: Path, scale: float = 1.0) -> "Source":
        """The meshes in a folder, by name; all are read at once, so that a bad one is known before the first plan.

        ValueError: there is none, or one is no closed mesh or larger than the cameras see.
        """
        files = sorted(
            file for file in path.iterdir() if file.suffix.lower() in (".obj", ".stl", ".ply", ".off", ".glb")
        )
        if not files:
            raise ValueError(f"{path}: holds no mesh (.obj, .stl, .ply, .off, .glb)")
        for file in files:
            mesh = ObjectMesh.load(file, scale)
            if mesh.radius > SEEN:
                raise ValueError(f"{file}: of radius {mesh.radius:.2f} m, but the cameras see {SEEN:.2f} m: scale it")

        def maker(file: Path) -> Callable[[], ObjectMesh]:
            return lambda: ObjectMesh.load(file, scale)

        return Source(f"{', '.join(file.name for file in files)}, scale {scale}", [maker(file) for file in files])


def generate(
    folder: Path,
    hand: Hand,
    source: Source,
    grasps: int = 100,
    size: int = 224,
    eightfold: bool = True,
    settings: PlanSettings | None = None,
    progress: bool = True,
) -> None:
    """Makes a data set in a folder, or the part of it that is not there yet.

    Args:
        folder: one file an object, object_00000.npz and so on.
        hand: that grasps.
        source: of the objects.
        grasps: of each object.
        size: of the views' sides [pixels].
        eightfold: whether there are views of each object turned, `eight_rotations`, beside those as it stands.
        settings: of the planner.
        progress: whether a bar is shown.

    Raises:
        ValueError: the folder holds a data set that was made otherwise, or an object is larger than the cameras see.
    """
    folder.mkdir(parents=True, exist_ok=True)
    s = PlanSettings(starts=round(_STARTS * grasps)) if settings is None else settings
    made = {"hand": hand.name, "source": source.description, "grasps": grasps, "size": size, "eightfold": eightfold}
    text, file = json.dumps({**made, "planner": repr(s)}, indent=1) + "\n", folder / "dataset.json"
    if file.exists() and file.read_text() != text:
        raise ValueError(f"{file}: was made with other settings: choose another folder, or delete this one")
    file.write_text(text)
    rotations = eight_rotations() if eightfold else np.eye(3)[None]
    for i, make in enumerate(tqdm(source.makers, desc="objects", unit="object", disable=not progress)):
        path = folder / f"object_{i:05d}.npz"
        if path.exists():
            continue
        mesh = make()
        views = depth_views(mesh, size, rotations)
        found = plan(mesh, hand, grasps, seed=i, settings=s, progress=False)
        ObjectData(path.stem, mesh, rotations, views, found).save(path)


def load_dataset(folder: Path, hand: Hand) -> list[ObjectData]:
    """All objects of a folder, by name.

    ValueError: there are none, one has no grasp, they are another hand's, or their views differ in shape.
    """
    objects = [ObjectData.load(path) for path in sorted(folder.glob("object_*.npz"))]
    if not objects:
        raise ValueError(f"{folder}: holds no objects, make them with `gradgym-grasp data`")
    for data in objects:
        if data.grasps.joint_names != hand.joint_names or len(data.grasps) == 0:
            raise ValueError(f"{folder / data.name}.npz: holds no grasps of the hand {hand.name!r}")
        if data.views.shape != objects[0].views.shape:
            raise ValueError(
                f"{folder / data.name}.npz: views {data.views.shape} where others {objects[0].views.shape}"
            )
    return objects

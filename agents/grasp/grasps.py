"""Grasps of one object by one hand, and their file."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Grasps:
    """n grasps, in the object's frame (its mesh file's axes and origin).

    Attributes:
        pose: (n, 7) of the hand's root body: position [m] and unit quaternion (w, x, y, z).
        joints: (n, J) of the hand's independent joints [rad], in the order of `joint_names`.
        joint_names: J names.
        q1: (n,) exact metric of the contacts.
        penetration: (n,) greatest depth of a point of the hand's surface in the object [m], 0 or more.
        self_penetration: (n,) greatest depth of a point of one link in another link [m], 0 or more.
    """

    pose: NDArray[np.float64]
    joints: NDArray[np.float64]
    joint_names: tuple[str, ...]
    q1: NDArray[np.float64]
    penetration: NDArray[np.float64]
    self_penetration: NDArray[np.float64]

    def __post_init__(self) -> None:
        n, j = len(self.pose), len(self.joint_names)
        shapes = {"pose": (n, 7), "joints": (n, j), "q1": (n,), "penetration": (n,), "self_penetration": (n,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, {shape} was expected")

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, which: slice | Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> "Grasps":
        """Some of them, by a slice, numbers or a mask."""
        arrays = {f.name: getattr(self, f.name)[which] for f in fields(self) if f.name != "joint_names"}
        return Grasps(joint_names=self.joint_names, **arrays)

    @staticmethod
    def joined(parts: "Sequence[Grasps]") -> "Grasps":
        """All grasps of some, at least one, of the same hand."""
        names = {f.name for f in fields(Grasps)} - {"joint_names"}
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return Grasps(joint_names=parts[0].joint_names, **arrays)

    def save(self, path: str | Path) -> None:
        """Writes them to a file of numpy's, which ends in ".npz"."""
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"{str(path)!r}: name the file of grasps with the ending .npz")
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **{f.name: np.asarray(getattr(self, f.name)) for f in fields(self)})
        partial.replace(path)  # whole or not at all

    @staticmethod
    def load(path: str | Path) -> "Grasps":
        """Reads what `save` wrote; ValueError, in one line, if the file is something else."""
        names = [f.name for f in fields(Grasps)]
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in names}
            return Grasps(joint_names=tuple(map(str, arrays.pop("joint_names"))), **arrays)
        except FileNotFoundError:
            raise ValueError(f"{str(path)!r}: there is no such file of grasps") from None
        except Exception as error:
            raise ValueError(f"{str(path)!r} is no file of grasps as `Grasps.save` writes them: {error}") from None

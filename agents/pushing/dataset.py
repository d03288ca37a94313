"""Data sets of pushing tasks in NPZ files, as arrays that are whole or not there.

Of B tasks with T knots, N fingers and at most F vertices, float64 if not said otherwise; lengths in m, forces in N,
world frame:

- `vertices` (B, F, 2), in the object's frame, counterclockwise, zeros beyond `num_vertices` (B,) int64
- `inertia` (B,) about the centre of mass [kg m^2]; the mass is 1 kg
- `p`, `lam`, `lam_e`, `r`, `jacobian`, `facets`, `cones`, `p_e`, `cones_e`, `objective`, and `solved` int64: those of
  `oracle.ContactPlan`, with a leading axis B
- `stiffness` (B,) of the servos: commands are p + lam / stiffness
- `losses` (B, 4): those of `tasks.Losses`, in its order
- `rejected` (B, 3) int64: draws that were not kept before the task, those of `tasks.Rejected`, in its order
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from ...envs.polygon import Polygon
from ...envs.pushing_scene import MASS
from ...envs.pushing_video import video
from .oracle import ContactPlan
from .parameters import Batch, MechanicalParameters
from .tasks import Losses, PushingTask, Rejected

Array = NDArray[np.float64]
_PLAN = tuple(field.name for field in fields(ContactPlan))
_NAMES = {"vertices", "num_vertices", "inertia", "stiffness", "losses", "rejected", *_PLAN}


@dataclass(frozen=True)
class Dataset:
    """Tasks with as many knots and fingers each."""

    tasks: tuple[PushingTask, ...]

    def __post_init__(self) -> None:
        shapes = {task.plan.p.shape for task in self.tasks}
        if len(shapes) != 1:
            raise ValueError(f"data set: tasks have contact points of shapes {sorted(shapes)}: all must be the same")

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def polygons(self) -> list[Polygon]:
        return [task.polygon for task in self.tasks]

    @cached_property
    def batch(self) -> Batch:
        """All tasks as tensors, with their videos."""
        arrays = _arrays(self.tasks)
        frames = np.stack([video(task.polygon, task.plan.r) for task in self.tasks])
        return Batch(
            video=torch.from_numpy(frames),
            parameters=MechanicalParameters.from_numpy(arrays),
            p=torch.from_numpy(arrays["p"]),
            lam=torch.from_numpy(arrays["lam"]),
        )

    def save(self, path: Path) -> None:
        """Writes it, whole or not at all; the same tasks give the same bytes."""
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **_arrays(self.tasks))
        partial.replace(path)

    @staticmethod
    def load(path: str | Path) -> "Dataset":
        """Reads what `save` wrote.

        Raises:
            ValueError: there is no such file, or it is something else.
        """
        if not Path(path).is_file():
            raise ValueError(f"{path}: no such file, make data sets with `gradgym-pushing-data`")
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if missing := _NAMES - set(arrays):
                raise ValueError(f"lacks {', '.join(sorted(missing))}")
            count = len(arrays["r"])
            return Dataset(tuple(_task({name: arrays[name][i] for name in _NAMES}) for i in range(count)))
        except (ValueError, IndexError, OSError, EOFError, TypeError, BadZipFile) as error:
            raise ValueError(f"{path}: is no data set of pushing tasks ({error})") from error


def _arrays(tasks: Sequence[PushingTask]) -> dict[str, Array]:
    longest = max(len(task.polygon.vertices) for task in tasks)
    vertices = np.zeros((len(tasks), longest, 2))
    for row, task in zip(vertices, tasks, strict=True):
        row[: len(task.polygon.vertices)] = task.polygon.vertices
    arrays = {name: np.stack([np.asarray(getattr(task.plan, name)) for task in tasks]) for name in _PLAN}
    return arrays | {
        "vertices": vertices,
        "num_vertices": np.array([len(task.polygon.vertices) for task in tasks]),
        "inertia": np.array([MASS * task.polygon.inertia for task in tasks]),
        "stiffness": np.array([task.stiffness for task in tasks]),
        "losses": np.array([task.losses for task in tasks]),
        "rejected": np.array([task.rejected for task in tasks]),
    }


def _task(row: dict[str, Array]) -> PushingTask:
    numbers: Any = {"objective": float(row["objective"]), "solved": int(row["solved"])}
    return PushingTask(
        polygon=Polygon(row["vertices"][: int(row["num_vertices"])]),
        plan=ContactPlan(**{name: row[name] for name in _PLAN} | numbers),
        stiffness=float(row["stiffness"]),
        losses=Losses(*map(float, row["losses"])),
        rejected=Rejected(*map(int, row["rejected"])),
    )

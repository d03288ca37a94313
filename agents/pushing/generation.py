"""Making data sets of pushing tasks: seeded, by several processes, and to be gone on with where it was killed."""

import json
import multiprocessing
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from .dataset import Dataset
from .tasks import RandomPolygons, Shapes, draw_task


class TaskSet(NamedTuple):
    """So many tasks with such objects."""

    tasks: int
    shapes: Shapes


PAPER_SETS: Mapping[str, TaskSet] = {
    "training": TaskSet(20, RandomPolygons(4, 6)),
    "finetuning": TaskSet(20, RandomPolygons(4, 6)),
    "test": TaskSet(40, RandomPolygons(12, 12)),
    "family": TaskSet(40, RandomPolygons(4, 6)),
}
"""Those of section 5 of the paper."""


@dataclass(frozen=True)
class TaskSettings:
    """What all tasks have in common.

    Attributes:
        seed: a task depends on it, on its set's name and shapes, and on its number there.
        num_fingers: N.
        knots: T.
        stiffness: of the servos [N/m].
    """

    seed: int = 0
    num_fingers: int = 2
    knots: int = 5
    stiffness: float = 500.0


def generate(
    folder: Path,
    sets: Mapping[str, TaskSet] = PAPER_SETS,
    settings: TaskSettings | None = None,
    jobs: int = 1,
    progress: bool = True,
) -> dict[str, float]:
    """Writes `folder/<set>.npz` for each set; tasks that are there already are not made again.

    Each task is kept in a file of its own under `folder/<set>` until its set is whole.

    Args:
        folder: for the files.
        sets: by their names.
        settings: of the tasks.
        jobs: processes; 1: this one.
        progress: whether a bar is shown.

    Returns:
        For each set the median of the oracle's seconds of CPU time a task, of those that were made now; nan: none was.

    Raises:
        ValueError: the folder holds data made otherwise, or a set's objects give no tasks.
    """
    if jobs < 1:
        raise ValueError(f"jobs={jobs}: needs at least one process")
    settings = TaskSettings() if settings is None else settings
    if settings.knots < 3 or settings.num_fingers < 1:
        raise ValueError(f"knots={settings.knots}, num_fingers={settings.num_fingers}: at least 3 and 1 are needed")
    for name, task_set in sets.items():
        if task_set.tasks < 1:
            raise ValueError(f"{name}: {task_set.tasks} tasks, at least 1 is needed")
    folder.mkdir(parents=True, exist_ok=True)
    for name, task_set in sets.items():
        _claim(folder / f"{name}.json", task_set, settings)
    missing = [
        (folder / name / f"{i:05d}.npz", task_set.shapes, settings, name, i)
        for name, task_set in sets.items()
        if not (folder / f"{name}.npz").exists()
        for i in range(task_set.tasks)
        if not (folder / name / f"{i:05d}.npz").exists()
    ]
    seconds: dict[str, list[float]] = {name: [] for name in sets}
    with tqdm(total=len(missing), desc="tasks", unit="task", disable=not (progress and missing)) as bar:
        for name, spent in _made(missing, jobs):
            seconds[name].append(spent)
            bar.update()
    for name, task_set in sets.items():
        _join(folder, name, task_set.tasks)
    return {name: float(np.median(spent)) if spent else float("nan") for name, spent in seconds.items()}


_Order = tuple[Path, Shapes, TaskSettings, str, int]


def _claim(file: Path, task_set: TaskSet, settings: TaskSettings) -> None:
    text = json.dumps({"tasks": task_set.tasks, "shapes": repr(task_set.shapes), "settings": repr(settings)}, indent=1)
    if file.exists() and file.read_text() != text + "\n":
        raise ValueError(f"{file}: its set was made with other settings: choose another folder, or delete the set")
    partial = file.with_name(file.name + ".part")
    partial.write_text(text + "\n")
    partial.replace(file)


def _make(order: _Order) -> tuple[str, float]:
    path, shapes, settings, name, i = order
    # crc32 is the same in every process, unlike `hash`.
    rng = np.random.default_rng([settings.seed, zlib.crc32(name.encode()), i])
    try:
        task, seconds = draw_task(shapes, rng, settings.num_fingers, settings.knots, settings.stiffness)
    except ValueError as error:
        raise ValueError(f"{name}, task {i}: {error}") from error
    path.parent.mkdir(exist_ok=True)
    Dataset((task,)).save(path)
    return name, seconds


def _made(orders: list[_Order], jobs: int) -> Iterator[tuple[str, float]]:
    if jobs == 1 or len(orders) < 2:
        yield from map(_make, orders)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(orders)), context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = [pool.submit(_make, order) for order in orders]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _join(folder: Path, name: str, count: int) -> None:
    whole, parts = folder / f"{name}.npz", [folder / name / f"{i:05d}.npz" for i in range(count)]
    if not whole.exists():
        Dataset(tuple(Dataset.load(part).tasks[0] for part in parts)).save(whole)
    for part in parts:
        part.unlink(missing_ok=True)
    if (folder / name).is_dir():
        (folder / name).rmdir()

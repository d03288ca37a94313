"""Imports point down only: the layers, the rooms of the simulator, the tests, the benchmarks.

Read from the import statements, wherever in a file they stand.
"""

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("sim", "envs", "agents")  # each may import those before it
ROOMS = (
    "kernels",
    "model",
    "dynamics",
    "collision",
    "constraint",
    "solver",
    "pipeline",
    "cuda",
    "autograd",
)  # folders of sim, likewise
OUTSIDE = ("tests", "benchmarks", "examples")
ABOVE_SIM = {"gymnasium", "gymnasium_robotics", "stable_baselines3"}
TORCH_PLACES = {"torch_bridge.py", "autograd", "cuda"}  # the only ones of sim that import torch


class Import(NamedTuple):
    """One imported module: ("gradgym", "sim", "model") or ("numpy",)."""

    line: int
    module: tuple[str, ...]
    relative: bool


def imports_of(root: Path, path: Path) -> list[Import]:
    """The imports of a file below `root`, which is the package `gradgym`; names that are no modules are left out."""
    package, found = ("gradgym", *path.relative_to(root).parent.parts), []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, tuple(name.name.split(".")), False) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            for name in node.names:
                whole = (*module, name.name)
                is_module = whole[0] == "gradgym" and _exists(root.joinpath(*whole[1:]))
                found.append(Import(node.lineno, whole if is_module else module, node.level > 0))
    return found


def _exists(module: Path) -> bool:
    return module.is_dir() or module.with_suffix(".py").exists()


def broken(root: Path, path: Path) -> list[str]:
    """What is wrong with the imports of a file of the package."""
    place = path.relative_to(root)
    layer, room = place.parts[0], place.parts[1] if len(place.parts) > 2 else None
    outside = set(OUTSIDE) | {file.stem for folder in OUTSIDE for file in (root / folder).glob("*.py")}
    reasons = []
    for line, module, relative in imports_of(root, path):
        top, target, below = (*module, None, None)[:3]
        inside = top == "gradgym"
        wrong = {
            "is absolute": inside and not relative,
            "points up": inside and target not in LAYERS[: LAYERS.index(layer) + 1],
            "is no part of the package": top in outside,
            "is not for sim": layer == "sim" and top in ABOVE_SIM,
            "is for the bridge": layer == "sim" and top == "torch" and not {room, place.name} & TORCH_PLACES,
            "is no public file of sim": layer != "sim" and target == "sim" and not _is_public(root, module[2:]),
        }
        if layer == target == "sim" and room in ROOMS and below in ROOMS:
            wrong["points up in sim"] = ROOMS.index(below) > ROOMS.index(room)
        reasons += [f"{place}:{line}: {'.'.join(module)} {what}" for what, true in wrong.items() if true]
    return reasons


def _is_public(root: Path, module: tuple[str, ...]) -> bool:
    """`sim` itself or a file in it; what is in its folders, or begins with "_", is the simulator's own."""
    return len(module) < 2 and not any(name.startswith("_") or (root / "sim" / name).is_dir() for name in module)


def sources(root: Path) -> list[Path]:
    return sorted(path for layer in LAYERS for path in (root / layer).rglob("*.py"))


@pytest.mark.parametrize("path", sources(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_and_are_relative(path: Path) -> None:
    assert broken(ROOT, path) == []


def test_every_folder_of_sim_has_its_place_in_the_order() -> None:
    folders = {path.name for path in (ROOT / "sim").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert "collision" in folders and folders <= set(ROOMS)


def modules_below(folder: Path) -> dict[str, set[str]]:
    """What each script of a flat folder imports of the others."""
    names = {path.stem for path in folder.glob("*.py")}
    return {
        path.stem: {found.module[0] for found in imports_of(ROOT, path)} & names - {path.stem}
        for path in folder.glob("*.py")
    }


def test_no_test_imports_another() -> None:
    graph = modules_below(ROOT / "tests")
    assert graph["test_sim_contact"] >= {"contact_scenes", "parity"}
    for name, imported in graph.items():
        assert not [other for other in imported if other.startswith("test_")], name
    list(TopologicalSorter(graph).static_order())  # raises CycleError


def test_benchmarks_do_not_import_each_other_in_a_circle() -> None:
    graph = modules_below(ROOT / "benchmarks")
    assert "simulator_measurements" in graph["pages"]
    list(TopologicalSorter(graph).static_order())  # raises CycleError


def test_modules_of_the_package_do_not_import_each_other_in_a_circle() -> None:
    """A folder's `__init__` stands for the folder: it is what those who name the folder import."""
    graph = {}
    for path in sources(ROOT):
        place = path.relative_to(ROOT)
        own = ("gradgym", *(place.parent.parts if place.stem == "__init__" else place.with_suffix("").parts))
        graph[own] = {found.module for found in imports_of(ROOT, path) if found.module[0] == "gradgym"} - {own}
    assert ("gradgym", "sim") in graph["gradgym", "envs", "task"]
    list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize(
    ("place", "statement", "reason"),
    [
        ("sim/step.py", "from ..envs import task", "gradgym.envs.task points up"),
        ("sim/step.py", "def f():\n    from .. import envs", "gradgym.envs points up"),
        ("envs/tasks/ant.py", "from ...agents import mbpo", "gradgym.agents.mbpo points up"),
        ("envs/tasks/ant.py", "from ... import train", "gradgym.train points up"),
        ("envs/tasks/ant.py", "from ... import __version__", "gradgym points up"),
        ("envs/tasks/ant.py", "from gradgym.envs import task", "gradgym.envs.task is absolute"),
        ("envs/tasks/ant.py", "import gradgym.sim", "gradgym.sim is absolute"),
        ("envs/tasks/ant.py", "from ...sim.kernels import jit", "gradgym.sim.kernels.jit is no public file of sim"),
        ("agents/mbpo.py", "from ..sim._jit import kernel", "gradgym.sim._jit is no public file of sim"),
        ("agents/mbpo.py", "from parity import load", "parity is no part of the package"),
        ("agents/mbpo.py", "import benchmarks.sides", "benchmarks.sides is no part of the package"),
        ("sim/kernels/jit.py", "import gymnasium.spaces", "gymnasium.spaces is not for sim"),
        ("sim/step.py", "from torch import Tensor", "torch is for the bridge"),
        ("sim/kernels/jit.py", "from ..model.data import Data", "gradgym.sim.model.data points up in sim"),
        ("sim/kernels/jit.py", "from .. import model", "gradgym.sim.model points up in sim"),
        ("sim/solver/newton.py", "from ..pipeline import step", "gradgym.sim.pipeline points up in sim"),
    ],
)
def test_a_wrong_import_is_found(place: str, statement: str, reason: str, tmp_path: Path) -> None:
    existing = ("envs/task.py", "agents/mbpo.py", "train.py", "sim/kernels/jit.py", "sim/model/data.py", "sim/_jit.py")
    for name in (*existing, "tests/parity.py", place):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    right = "from .kernels import jit\nimport numpy\n" if place == "sim/step.py" else "import numpy\n"
    (tmp_path / place).write_text(right)
    assert broken(tmp_path, tmp_path / place) == []
    (tmp_path / place).write_text(right + statement + "\n")
    (found,) = broken(tmp_path, tmp_path / place)
    assert found.startswith(f"{place}:") and found.endswith(f" {reason}")


def test_right_imports_are_right(tmp_path: Path) -> None:
    lines = {
        "sim/torch_bridge.py": "import torch\nfrom .pipeline.step import step",
        "sim/pipeline/step.py": "from ..solver import newton\nfrom ..kernels.jit import kernel\nfrom . import step",
        "envs/tasks/ant.py": "import torch\nfrom ...sim import Model\nfrom ..task import Task\nfrom .. import ASSETS",
        "agents/mbpo.py": "from ..envs.tasks.ant import Ant\nfrom ..sim import torch_bridge",
    }
    for name, text in lines.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [broken(tmp_path, tmp_path / name) for name in lines] == [[]] * len(lines)

"""Environments that a stranger's file names: what would execute the stranger's code is refused."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any


def check_foreign(env: str, env_kwargs: dict[str, Any], folder: Path) -> None:
    """ValueError if making the environment would import a module from the folder, or anything the arguments name.

    Modules of an id are imported only where this user has them: on the module path, or in the working folder.
    """
    if "task" in env_kwargs:
        raise ValueError(f"env_kwargs.task={env_kwargs['task']!r}: code is named by registered ids alone")
    module = env.rpartition(":")[0].partition(".")[0]
    spec = PathFinder.find_spec(module, [*sys.path, str(Path.cwd())]) if module else None
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or [])]
    own = folder.resolve()
    if any(place is not None and Path(place).resolve().is_relative_to(own) for place in places):
        raise ValueError(
            f"env={env!r}: is code from the file's own folder, which is not executed; if you trust it, move it"
        )

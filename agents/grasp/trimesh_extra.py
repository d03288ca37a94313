"""The optional library of meshes."""

from importlib import import_module
from types import ModuleType


def trimesh() -> ModuleType:
    """trimesh with its parts that have to be imported; ImportError in one line if it is not installed."""
    try:
        for part in ("convex", "creation", "sample"):
            import_module(f"trimesh.{part}")
    except ImportError:
        raise ImportError("the grasp planner needs trimesh: pip install 'gradgym[grasp]'") from None
    return import_module("trimesh")

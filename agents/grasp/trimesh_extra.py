"""The optional library of meshes."""

from types import ModuleType


def trimesh() -> ModuleType:
    """trimesh; ImportError in one line if it is not installed."""
    try:
        import trimesh as module
        import trimesh.convex
        import trimesh.creation
        import trimesh.sample
    except ImportError:
        raise ImportError("the grasp planner needs trimesh: pip install 'gradgym[grasp]'") from None
    return module

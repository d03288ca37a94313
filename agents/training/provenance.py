"""What results were obtained with: versions of packages, and the machine."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

_VERSIONED = ("gradgym", "gymnasium", "mujoco", "numba", "numpy", "stable-baselines3", "torch")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONED}}


def machine() -> dict[str, str | int | None]:
    """What results were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    return {"processor": name, "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}

"""The options that say where, and how many at once."""

import argparse
import os
from pathlib import Path

from .launcher import Launcher
from .processes import ProcessLauncher
from .ray_tasks import RayLauncher


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of searches and sweeps, to the training command."""
    group = parser.add_argument_group("trainings at once", "Of a search or a sweep.")
    group.add_argument(
        "--n-jobs", type=int, help="so many; default: 1, for a sweep on a cluster as many as have a processor there"
    )
    group.add_argument("--ray-address", metavar="auto|HOST:PORT", help="as tasks of this cluster; extra `ray`")


def check_options(arguments: argparse.Namespace, wanted: bool) -> None:
    """ValueError for options that do not fit; `wanted`: whether there are several trainings at all."""
    for name in ("n_jobs", "ray_address"):
        value = getattr(arguments, name)
        if value is not None and not wanted:
            option = f"--{name.replace('_', '-')} {value}"
            raise ValueError(
                f"{option}: is of a search or a sweep: add --optimize, --seeds or --sweep, or leave it out"
            )
    if arguments.n_jobs is not None and arguments.n_jobs < 1:
        raise ValueError(f"--n-jobs {arguments.n_jobs}: must be at least 1")


def make_launcher(ray_address: str | None, at_once: int, gpu: bool = False, modules: tuple[Path, ...] = ()) -> Launcher:
    """Processes that share this machine's cores, or a cluster's tasks; further arguments as of `RayLauncher`.

    ValueError: as `RayLauncher`.
    """
    if ray_address is not None:
        return RayLauncher(ray_address, gpu, modules)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the processes
    if at_once > 1:
        os.environ.setdefault("GRADGYM_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // at_once)))
    return ProcessLauncher()

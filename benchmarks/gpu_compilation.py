"""Compiles for a GPU what its tests and its benchmark run, all at once: a process for each robot and way.

    python benchmarks/gpu_compilation.py 9.0    # for GPUs of compute capability 9.0; needs none

One after the other takes ten minutes, most of them in Numba.
"""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from gpu_scenes import SCENES

from gradgym import sim
from gradgym.sim.cuda import build
from gradgym.sim.cuda.programs import programs
from gradgym.sim.model.model import tangent_size

KINDS = "back", "back on the CPU", "forward", "forward on the CPU"  # those that take longest first


def compile_all(names: Sequence[str], capability: tuple[int, int]) -> None:
    """Puts the code of rollouts of the scenes and of their gradients, and the CPU's beside it, where it is found."""
    tasks = [(name, kind, capability) for kind in KINDS for name in names]
    workers = min(len(tasks), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(_compile, *task) for task in tasks]:
            done.result()


def _compile(name: str, kind: str, capability: tuple[int, int]) -> None:
    scene, rng = SCENES[name](), np.random.default_rng(0)
    if kind.endswith("CPU"):
        path = sim.rollout(scene.model, scene.starts(1, rng), scene.ctrls(1, 1, rng))
        if kind.startswith("back"):
            sim.rollout_vjp(scene.model, path, np.zeros((1, 2, tangent_size(scene.model))))
        return
    made = programs(scene.model)
    build.binary(made.rollout if kind == "forward" else made.rollout_adj(False), capability)


def main(argv: list[str]) -> int:
    major, minor = argv[0].split(".")
    compile_all([name for name in SCENES if name != "pendulum"], (int(major), int(minor)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Prints each place in a kernel that indexes an array from its end, then how many contacts there were.

Run with NUMBA_DISABLE_JIT=1: kernels are then Python functions, and the arrays that they get may watch.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from gpu_scenes import SCENES

from gradgym import sim
from gradgym.sim.kernels.record import Struct
from gradgym.sim.model.model import tangent_size

KERNELS = tuple(f"/sim/{room}/" for room in ("collision", "constraint", "dynamics", "kernels", "pipeline", "solver"))


class Watching(np.ndarray):
    """An array that reports indices below zero which kernels use."""

    def __getitem__(self, index: Any) -> Any:
        _look(index)
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        _look(index)
        super().__setitem__(index, value)


def _look(index: Any) -> None:
    for one in index if isinstance(index, tuple) else (index,):
        bounds = (one.start, one.stop) if isinstance(one, slice) else (one,)
        if any(isinstance(x, int | np.integer) and x < 0 for x in bounds):
            caller = sys._getframe(2)
            if any(room in caller.f_code.co_filename for room in KERNELS):
                print(f"{caller.f_code.co_filename}:{caller.f_lineno}: index {index}")


_put = Struct._put


def _watched(self: Struct, name: str, value: Any) -> None:
    _put(self, name, value)
    if isinstance(made := vars(self)[name], np.ndarray):
        vars(self)[name] = made.view(Watching)


def main(names: list[str]) -> int:
    Struct._put = _watched
    contacts = 0
    for name in names:
        scene, rng = SCENES[name](), np.random.default_rng(0)
        state, ctrls = scene.starts(4, rng), scene.ctrls(4, 1, rng)
        after = sim.step(scene.model, state, ctrls[:, 0])
        cotangent = rng.standard_normal((4, tangent_size(scene.model)))
        sim.step_vjp(scene.model, after, ctrls[:, 0], cotangent)
        contacts += int((sim.forward(scene.model, after, ctrls[:, 0]).contact.geom[..., 0] >= 0).sum())
    print(contacts)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

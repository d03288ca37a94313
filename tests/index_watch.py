"""Prints each place in a kernel that indexes an array from its end, then how many contacts there were.

Run with NUMBA_DISABLE_JIT=1: kernels are then Python functions, and the arrays that they get may watch.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from feature_scenes import FEATURES
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
        scene, rng = {**SCENES, **FEATURES}[name](), np.random.default_rng(0)
        model, state, ctrl = scene.model, scene.starts(4, rng), scene.ctrls(4, 1, rng)[:, 0]
        if model.nnoslip > 0:  # few sweeps go where many do
            model = model.replace(iterations=10, noslip_iterations=2)
        after = sim.step(model, state, ctrl)
        sim.step_vjp(model, after, ctrl, rng.standard_normal((4, tangent_size(model))), params=True)
        first = sim.State(*(x[:1] for x in after[:3]))
        sim.linearize(model, first, ctrl[:1])
        if model.nnoslip == 0:  # after which forces have no derivative
            sim.cfrc_ext_vjp(model, first, ctrl[:1], np.ones((1, model.nbody, 6)))
        contacts += int((sim.forward(model, after, ctrl).contact.geom[..., 0] >= 0).sum())
    print(contacts)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

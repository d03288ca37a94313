"""Kernels that callers reach by a symbol: compiled once, and loaded before what was kept of their callers."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from gradgym.sim.kernels.apart import unit
from gradgym.sim.kernels.binding import Part, hook, specialise
from gradgym.sim.kernels.jit import PROGRESS, kernel
from gradgym.sim.kernels.record import Struct, floats


class Box(Struct):
    x = floats("n")


@hook
def change(box: Box, by: float) -> None: ...


@unit
def add(box: Box, by: float) -> None:
    for i in range(len(box.x)):
        box.x[i] += by


@unit
def add_twice(box: Box, by: float) -> None:
    add(box, by)
    add(box, by)


@kernel
def through(box: Box) -> None:
    change(box, 1.5)


@kernel
def entry(box: Box) -> None:
    through(box)
    change(box, 0.25)


for part in (Part("once", {change: add}), Part("twice", {change: add_twice})):
    box, bound = Box.allocate({"n": 3}), specialise(entry, [part])
    bound(box)
    print(box.x[2])
print(PROGRESS.count)
(library,) = (made.library for made in bound.overloads.values())
print(int("fadd" in library.get_llvm_str()))
whole = specialise(entry, [Part("twice", {change: add_twice})], apart=False)
box = Box.allocate({"n": 3})
whole(box)
print(box.x[2], whole is not bound)
(library,) = (made.library for made in whole.overloads.values())
print(int("fadd" in library.get_llvm_str()))
"""


def test_units_are_loaded_before_their_callers(tmp_path: Path) -> None:
    """The second process compiles nothing; the entry's code has no addition in it, but where nothing is apart."""
    (tmp_path / "units_at_work.py").write_text(PROGRAM)
    settings = {**os.environ, "GRADGYM_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", "import units_at_work"]
    outputs = [
        subprocess.run(command, cwd=tmp_path, env=settings, check=True, capture_output=True, text=True).stdout.split()
        for _ in range(2)
    ]
    assert outputs[0] == ["1.75", "3.5", "6", "0", "3.5", "True", "1"]
    assert outputs[1][:-1] == ["1.75", "3.5", "0", "0", "3.5", "True"]  # what was kept no longer shows its code

"""Compilation: the `kernel` decorator, its disk cache and the first-compile progress line.

Every numerical function of the simulator is a Numba nopython function made here, so that one
place decides the floating-point rules and the cache.

* The cache folder is named after a hash of all sources below `sim/`. Numba invalidates a cached
  function by its own file only, so an edit in a function that it calls from another file would
  silently run the old one (numba issues 1833 and 9483); a new hash means a new folder.
* Fused multiply-add is allowed; NaN and infinity keep their meaning, since divergence is detected
  by them. Reassociation is not: it made the process that compiles and those that load from the
  cache differ in the last digit, and gained no time.
"""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numba
from numba.core import event

from .cache import cache_folder, keep

F = TypeVar("F", bound=Callable[..., Any])

FASTMATH = {"contract", "nsz"}
SOURCES = Path(__file__).resolve().parent.parent  # all of the simulator, wherever this file stands in it
KERNELS: set[Any] = set()  # all that was compiled here, or would be without NUMBA_DISABLE_JIT


def source_hash(folder: Path = SOURCES) -> str:
    """Hash of Numba's version and of all Python files below `folder`, their places included."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _prepare_cache(versions: int = 4) -> str:
    """Create this version's folder and drop all but the youngest."""
    folder = cache_folder(f"kernels/{source_hash()}")
    os.utime(folder)
    folders = sorted((p for p in folder.parent.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for old in folders[:-versions]:
        shutil.rmtree(old, ignore_errors=True)
    return str(folder)


def _cache_or_fault() -> tuple[str, str]:
    """The folder, or why there is none: nothing is raised while Python imports."""
    try:
        return _prepare_cache(), ""
    except OSError as error:
        return "", str(error)


CACHE_DIR, _FAULT = _cache_or_fault()


def check_cache() -> None:
    """OSError, in one line, if the folder for what is compiled cannot be used; whoever makes a model asks."""
    if _FAULT:
        raise OSError(_FAULT)


class _CompileProgress(event.Listener):
    """One stderr line that counts kernels while they compile, and only then."""

    def __init__(self) -> None:
        self.count = 0
        self.depth = 0
        self.seconds = 0.0
        self.started = 0.0

    def on_start(self, event: Any) -> None:
        if event.data.get("dispatcher") not in KERNELS:
            return
        if self.depth == 0:
            self.started = time.perf_counter()
        self.depth += 1
        self.count += 1
        if sys.stderr is not None and sys.stderr.isatty():
            name = event.data["dispatcher"].py_func.__name__
            sys.stderr.write(
                f"\r\x1b[Kgradgym: compiling what is new in this kind of model, once: kernel {self.count} ({name})"
            )
            sys.stderr.flush()
        elif self.count == 1 and sys.stderr is not None:
            sys.stderr.write("gradgym: compiling what is new in this kind of model, once (half a minute and more)\n")

    def on_end(self, event: Any) -> None:
        if event.data.get("dispatcher") not in KERNELS:
            return
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.perf_counter() - self.started
            if sys.stderr is not None and sys.stderr.isatty():
                sys.stderr.write(f"\r\x1b[Kgradgym: compiled {self.count} kernels in {self.seconds:.1f} s\r")
                sys.stderr.flush()


PROGRESS = _CompileProgress()
event.register("numba:compile", PROGRESS)


def kernel(function: F) -> F:
    """Compile `function` for one world: no allocation, no exceptions, no Python objects.

    Released GIL, so that threads can run kernels at once (`threads.py`).
    """
    return compiled(function, "never")


def sequence(function: F) -> F:
    """A kernel that calls others in order: it becomes part of its callers and is not compiled by itself.

    Numba compiles all that a function calls once more with the function, so that each level of the
    calls that lead from Python to the physics would cost as much as all below it.
    """
    return compiled(function, "always")


def compiled(function: F, inline: Literal["never", "always"]) -> F:
    """`function` as a kernel, or as a sequence if it is always to be inlined."""
    made = numba.njit(nogil=True, error_model="numpy", fastmath=FASTMATH, inline=inline)(function)
    if CACHE_DIR:
        keep(made, CACHE_DIR)
    KERNELS.add(made)
    return cast(F, made)

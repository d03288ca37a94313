"""GPU machine code of a program: compiled once for each kind of model and compute capability, then kept on disk.

Numba compiles a program and all that it calls to LLVM's language, NVVM that to PTX, and nvJitLink PTX to
the machine's own code, all without a GPU. Sizes are compiled in, the model's numbers are data: what
`Model.replace` makes runs the same code. Files are named after a hash of all sources of the simulator,
numba-cuda's version, the program with its layouts, and the capability.
"""

import hashlib
import json
import os
import re
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from ..kernels.cache import cache_folder
from ..kernels.jit import source_hash
from .extra import cuda_bindings, numba_cuda
from .programs import Program

_SHOWN = 60  # characters of a program's name in those of its files


class Binary(NamedTuple):
    """A compiled program."""

    entry: str  # name of the kernel in the code
    code: bytes  # cubin
    registers: int  # of a thread
    spilled: int  # bytes of a thread that found no room in registers, of all functions


def binary(program: Program, capability: tuple[int, int]) -> Binary:
    """The program for a compute capability, such as (9, 0): from disk, or compiled, which takes a minute or more."""
    path = _place(program, capability)
    try:
        return _read(path)
    except (OSError, ValueError, KeyError):  # not there, or written in part by a machine that stopped
        pass
    _say(f"compiling {program.name} for CUDA sm_{capability[0]}{capability[1]}, once (a minute and more)")
    started = time.perf_counter()
    made = assembled(ptx(program, capability), capability)
    took, used = f"compiled in {time.perf_counter() - started:.0f} s", f"{made.registers} registers a thread"
    _say(f"{took}: {used}, {made.spilled} bytes spilled, {program.nbytes / 1024:.0f} KiB of memory a world")
    _write(path, made)
    return made


def ptx(program: Program, capability: tuple[int, int]) -> str:
    """The program in NVIDIA's assembly language."""
    cuda = numba_cuda()
    from .lowering import lowering

    with lowering(capability):
        text, _ = cuda.compile_ptx(program.make(), program.arguments, device=False, cc=capability, abi="numba")
    return text


def assembled(text: str, capability: tuple[int, int]) -> Binary:
    """Machine code of PTX."""
    linker, source = cuda_bindings("nvjitlink"), text.encode()
    handle = linker.create(3, [f"-arch=sm_{capability[0]}{capability[1]}", "-O3", "-verbose"])
    try:
        linker.add_data(handle, linker.InputType.PTX, source, len(source), "gradgym")
        linker.complete(handle)
        log, code = bytearray(linker.get_info_log_size(handle)), bytearray(linker.get_linked_cubin_size(handle))
        linker.get_info_log(handle, log)
        linker.get_linked_cubin(handle, code)
    finally:
        linker.destroy(handle)
    used, entries = log.decode(), re.findall(r"\.entry\s+([^\s(]+)", text)
    registers, spills = (map(int, re.findall(p, used)) for p in (r"Used (\d+) registers", r"(\d+) bytes spill stores"))
    return Binary(entries[0], bytes(code), max(registers, default=0), sum(spills))


@cache
def _sources() -> str:
    return f"{source_hash()} {version('numba-cuda')}"


def _place(program: Program, capability: tuple[int, int]) -> Path:
    key = hashlib.sha256(repr((_sources(), program.name, [str(kind) for kind in program.arguments])).encode())
    name = program.name[:_SHOWN]  # with all its parts it can be longer than file systems allow
    return cache_folder("cuda") / f"{name}-sm_{capability[0]}{capability[1]}-{key.hexdigest()[:20]}"


def _read(path: Path) -> Binary:
    described = json.loads(path.with_suffix(".json").read_text())
    code = path.with_suffix(".cubin").read_bytes()
    if hashlib.sha256(code).hexdigest() != described.pop("digest"):
        raise ValueError(f"{path}: damaged")
    return Binary(code=code, **described)


def _write(path: Path, made: Binary) -> None:
    """Both files, each at once: others may be reading or writing the same ones."""
    described = {"entry": made.entry, "registers": made.registers, "spilled": made.spilled}
    described["digest"] = hashlib.sha256(made.code).hexdigest()
    try:
        for suffix, content in ((".cubin", made.code), (".json", json.dumps(described).encode())):
            partial = path.with_suffix(f"{suffix}.{os.getpid()}")
            partial.write_bytes(content)
            partial.replace(path.with_suffix(suffix))
    except OSError as error:
        _say(f"GPU code is not kept: {path.parent}: {error.strerror}")


def _say(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"gradgym: {line}\n")

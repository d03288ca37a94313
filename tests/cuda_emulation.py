"""A GPU that is none, for tests: it runs the code that numba-cuda makes for CUDA on the CPU, thread after thread.

What comes before NVVM is the real thing: typing, the lowering for CUDA, layouts, tables, launches. LLVM's
code for the host takes NVVM's place, libm that of libdevice. Device memory is the CPU's, so that tensors
of torch's device "cpu" serve; each launch is kept for a look at its arguments.
"""

import ctypes
import importlib
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

import llvmlite.binding as llvm
import torch

from gradgym.sim import placement
from gradgym.sim.cuda import build, launch
from gradgym.sim.cuda.build import Binary
from gradgym.sim.cuda.driver import Driver
from gradgym.sim.cuda.programs import Program

_REGISTERS = {name: index for index, name in enumerate(("tid.x", "ntid.x", "ctaid.x"))}


class EmulatedGPU(Driver):
    """As `Driver`; `launches` has (kernel's name, blocks, threads, arguments) of each launch."""

    def __init__(self, processors: int = 1, memory: int = 2**32) -> None:
        self._processors, self.memory = processors, memory
        self.launches: list[tuple[str, int, int, list[int]]] = []
        self.kernels: dict[Any, Any] = {}
        self._engines: list[Any] = []

    def capability(self, device: torch.device) -> tuple[int, int]:
        return 9, 0

    def processors(self, device: torch.device) -> int:
        return self._processors

    def free_memory(self, device: torch.device) -> int:
        return self.memory

    def load(self, device: torch.device, code: bytes, entry: str) -> Any:
        engine = _engine(code.decode())
        self._engines.append(engine)
        return entry, engine

    def launch(self, device: torch.device, kernel: Any, blocks: int, threads: int, arguments: Sequence[int]) -> None:
        entry, engine = kernel
        self.launches.append((entry, blocks, threads, list(arguments)))
        kind = ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * len(arguments))
        function = kind(engine.get_function_address(entry))
        registers = (ctypes.c_int32 * 3).from_address(engine.get_global_value_address("emulated_registers"))
        registers[1] = threads
        for block in range(blocks):
            for thread in range(threads):
                registers[0], registers[2] = thread, block
                function(*arguments)


@cache
def shared_gpu() -> EmulatedGPU:
    """One for all tests of a process: what it has compiled stays."""
    return EmulatedGPU()


@contextmanager
def emulated(gpu: EmulatedGPU) -> Generator[EmulatedGPU]:
    """While this lasts tensors count as on a GPU, and launches go to `gpu`; what it loaded stays for later ones."""
    with (
        patch.object(launch, "GPU", gpu),
        patch.object(launch, "_kernels", gpu.kernels),
        patch.object(build, "binary", _binary),
        patch.object(placement, "is_on_gpu", lambda value: isinstance(value, torch.Tensor)),
        patch.object(placement, "gpu_of", _gpu_of),
    ):
        yield gpu


def _gpu_of(device: Any, *values: Any) -> torch.device | None:
    """Where the emulation runs: for tensors, and for whoever asks for "cuda"."""
    there = any(isinstance(value, torch.Tensor) for value in values) if device is None else str(device) != "cpu"
    return torch.device("cpu") if there else None


def _binary(program: Program, capability: tuple[int, int]) -> Binary:
    lowering: Any = importlib.import_module("gradgym.sim.cuda.lowering")
    compiler: Any = importlib.import_module("numba.cuda.compiler")
    with lowering.lowering(capability):
        library, _ = compiler._compile_pyfunc_with_fixup(
            program.make(), program.arguments, device=False, cc=capability, abi="numba"
        )
    parts = library.llvm_strs
    kernels = re.findall(r'!\{[^}]*@"?([^",\s]+)"?,\s*!"kernel"', "\n".join(parts))
    return Binary(kernels[0], "\x00".join(parts).encode(), 0, 0)


def _engine(code: str) -> Any:
    """The modules, linked and compiled for this machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
    module = llvm.parse_assembly(_REGISTER_FILE)
    for text in code.split("\x00"):
        module.link_in(llvm.parse_assembly(_for_host(text)))
    module.triple, module.data_layout = llvm.get_default_triple(), str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


_REGISTER_FILE = "@emulated_registers = global [3 x i32] zeroinitializer\n" + "".join(
    f"""
define i32 @emulated_register_{index}() {{
  %p = getelementptr [3 x i32], [3 x i32]* @emulated_registers, i32 0, i32 {index}
  %v = load volatile i32, i32* %p
  ret i32 %v
}}
"""
    for index in range(3)
)


def _for_host(text: str) -> str:
    text = re.sub(r'target (triple|datalayout) = "[^"]*"', "", text)
    for name, index in _REGISTERS.items():
        text = re.sub(rf'@"?llvm\.nvvm\.read\.ptx\.sreg\.{re.escape(name)}"?', f"@emulated_register_{index}", text)
    return re.sub(r'@"?__nv_(\w+)"?', lambda match: f"@{match[1]}", text)

"""What the simulator needs for a GPU besides its own requirements, or one line on what is missing."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch

_INSTALL = 'pip install "gradgym[cuda]"'


class CudaUnavailableError(RuntimeError):
    """There is no GPU that could be used, or no package that could use it."""


def numba_cuda() -> ModuleType:
    """The module `numba.cuda` of the package numba-cuda; Numba's own of that name is another."""
    if find_spec("numba_cuda") is None:
        raise CudaUnavailableError(f"compilation for CUDA needs the package numba-cuda: {_INSTALL}")
    return import_module("numba.cuda")


def cuda_bindings(module: str) -> Any:
    """A module of the package cuda-bindings: "nvjitlink", the assembler, or "driver"."""
    try:
        return import_module(f"cuda.bindings.{module}")
    except ImportError as error:
        raise CudaUnavailableError(f"a GPU needs the package cuda-bindings ({error}): {_INSTALL}") from None


def checked_gpu(device: Any) -> torch.device:
    """The GPU, with its number; CudaUnavailableError, in one line, where torch sees none."""
    if torch.cuda.is_available():
        asked = torch.device(device)
        return asked if asked.index is not None else torch.device("cuda", torch.cuda.current_device())
    if torch.version.cuda is None:
        raise CudaUnavailableError('device="cuda": this torch is a build for the CPU; install the CUDA build of torch')
    raise CudaUnavailableError('device="cuda": torch finds no NVIDIA GPU, or no driver for it (see nvidia-smi)')

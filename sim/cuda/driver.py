"""The GPU: what of CUDA's driver is used, on the memory and the stream that torch uses."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .extra import cuda_bindings


class Driver:
    """Loads and launches compiled kernels; `device` is torch's."""

    def capability(self, device: torch.device) -> tuple[int, int]:
        """The compute capability, (9, 0) of an H100."""
        return torch.cuda.get_device_capability(device)

    def processors(self, device: torch.device) -> int:
        """The number of multiprocessors."""
        return torch.cuda.get_device_properties(device).multi_processor_count

    def free_memory(self, device: torch.device) -> int:
        """Bytes that torch could still hand out."""
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)

    def load(self, device: torch.device, code: bytes, entry: str) -> Any:
        """The kernel `entry` of a cubin."""
        with torch.cuda.device(device):
            torch.empty(1, device=device)  # torch makes its context, which the module is to belong to
            image = np.frombuffer(code, np.uint8)
            (module,) = _checked(cuda_bindings("driver").cuModuleLoadData(image.ctypes.data))
            (function,) = _checked(cuda_bindings("driver").cuModuleGetFunction(module, entry.encode()))
        return function

    def launch(self, device: torch.device, kernel: Any, blocks: int, threads: int, arguments: Sequence[int]) -> None:
        """Runs a kernel on torch's current stream; arguments are 64-bit integers. Does not wait for it."""
        words = np.array(arguments, np.int64)
        places = words.ctypes.data + 8 * np.arange(len(words), dtype=np.uint64)
        with torch.cuda.device(device):
            stream = cuda_bindings("driver").CUstream(torch.cuda.current_stream(device).cuda_stream)
            grid, block = (blocks, 1, 1), (threads, 1, 1)
            _checked(cuda_bindings("driver").cuLaunchKernel(kernel, *grid, *block, 0, stream, places.ctypes.data, 0))


def _checked(result: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a call of the driver found, without its status; RuntimeError if that is none of success."""
    status, *found = result
    if int(status) != 0:
        raise RuntimeError(f"CUDA: {status.name}")
    return tuple(found)


GPU = Driver()

"""The simulator on a GPU: its kernels compiled for CUDA, one thread for each world, on torch's tensors.

Users call the functions of `sim` with `device="cuda"`, or with tensors that are there.
"""

from .extra import CudaUnavailableError

__all__ = ["CudaUnavailableError"]

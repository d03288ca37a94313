"""Where a call runs: on the CPU, in numpy's arrays, or on a GPU, in torch's tensors."""

from typing import Any


def is_on_gpu(value: Any) -> bool:
    """Whether `value` is a tensor in a GPU's memory; costs no import of torch."""
    return getattr(value, "is_cuda", False)


def gpu_of(device: Any, *values: Any) -> Any:
    """The torch.device of a GPU that a call runs on, None for the CPU.

    That is `device` if it is given, else where the first of `values` in a GPU's memory is. ValueError where it
    is neither the CPU nor CUDA's; `sim.cuda.CudaUnavailableError` where there is no GPU.
    """
    if device is None:
        return next((value.device for value in values if is_on_gpu(value)), None)
    if device == "cpu":
        return None
    import torch

    asked = torch.device(device)
    if asked.type not in ("cpu", "cuda"):
        raise ValueError(f'device={str(device)!r}: the simulator runs on "cpu" or "cuda"')
    if asked.type == "cpu":
        return None
    from .cuda.extra import check_gpu

    check_gpu()
    return asked if asked.index is not None else torch.device("cuda", torch.cuda.current_device())

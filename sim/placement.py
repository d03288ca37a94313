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
    kind = str(device).partition(":")[0]
    if kind == "cpu":
        return None
    if kind != "cuda":
        raise ValueError(f'device={str(device)!r}: the simulator runs on "cpu" or "cuda"')
    from .cuda.extra import checked_gpu

    return checked_gpu(device)

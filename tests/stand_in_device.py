"""A device that is none, for tests: its tensors lie in the CPU's memory, but do not mix with those of the CPU.

torch takes it for its device "meta", whose tensors elsewhere have no numbers.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
_COPY, _MOVE = torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default
_INDEX = torch.ops.aten.index.Tensor  # takes indices of the CPU, as on a GPU


class Elsewhere(torch.Tensor):
    """A tensor of the device; `here` has its numbers."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls: Any, here: torch.Tensor) -> "Elsewhere":
        layout: dict[str, Any] = {"strides": here.stride(), "storage_offset": here.storage_offset()}
        made = torch.Tensor._make_wrapper_subclass(cls, here.size(), dtype=here.dtype, device=DEVICE, **layout)
        made.here = here
        return made

    @property
    def data(self) -> Any:
        return self.detach()

    @data.setter
    def data(self, value: "Elsewhere") -> None:
        self.here = value.here  # the wrapper's own storage has no numbers

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    given = [x for x in tensors if isinstance(x, Elsewhere)]
    mixed = given and any(not isinstance(x, Elsewhere) and x.dim() > 0 for x in tensors)
    indexed = func is _INDEX and isinstance(args[0], Elsewhere)
    if mixed and not indexed and func not in (_COPY, _MOVE):
        raise RuntimeError(f"{func}: tensors of the CPU and of the stand-in device")
    asked = kwargs.get("device")
    here_args, here_kwargs = pytree.tree_map_only(Elsewhere, lambda x: x.here, (args, kwargs))
    if asked is not None:
        here_kwargs["device"] = torch.device("cpu")
    result = func(*here_args, **here_kwargs)
    if func is _COPY:
        return args[0]
    if not (given if asked is None else torch.device(asked) == DEVICE):
        return result
    # What was changed in place stays the same object.
    known = {id(x.here): x for x in given}
    return pytree.tree_map_only(torch.Tensor, lambda x: known[id(x)] if id(x) in known else Elsewhere(x), result)


class _Mode(TorchDispatchMode):
    """Also catches what makes tensors of the device from none, or from those of the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


_tensor = torch.tensor


def _tensor_with_numbers(data: Any, *, device: Any = None, **kwargs: Any) -> torch.Tensor:
    """torch.tensor, which of the device "meta" makes tensors without asking a mode."""
    made = _tensor(data, **kwargs)
    return made if device is None else made.to(device)


@contextmanager
def stand_in() -> Generator[torch.device]:
    """The device, while torch knows it as one of those that fused optimizers are for."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    fused = "torch.optim.optimizer._get_fused_kernels_supported_devices"
    try:
        with patch(fused, lambda: ["cpu", "meta"]), patch("torch.tensor", _tensor_with_numbers), _Mode():
            yield DEVICE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)

"""Task functions that serve torch and numpy alike.

torch is for gradients; for one environment each of its operations costs several of numpy's. numpy's
functions and torch's have the same names and take `axis` alike, so that a function is written once over
`namespace(x)` and the methods that both kinds of arrays have (`sum`, `clip`, `all`, arithmetic).
"""

from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

Array: TypeAlias = Any  # a torch.Tensor, a numpy array, or a `Dual` of one; all arguments of a call are of one kind


def namespace(x: Array) -> ModuleType:
    """The module whose functions take `x`: torch or numpy."""
    return np if type(x) is np.ndarray or not isinstance(x, Tensor) else torch


def as_float(x: Array) -> Array:
    """The numbers or truth values as float64."""
    return x.double() if isinstance(x, Tensor) else np.asarray(x, np.float64)


def as_numpy(x: Array) -> Any:
    """The numbers without torch, not copied unless they are on a GPU."""
    return x if type(x) is np.ndarray or not isinstance(x, Tensor) else x.detach().cpu().numpy()


def as_tensor(x: Array) -> Tensor:
    """The numbers for torch, not copied."""
    return x if isinstance(x, Tensor) else torch.from_numpy(np.asarray(x))


def uniform_like(x: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Numbers between `low` and `high`, as many as `x` has, of its type and on its device, which is the generator's."""
    return low + (high - low) * torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def beside(constant: Tensor, x: Tensor) -> Tensor:
    """A task's constant on the device where `x` is."""
    return constant if constant.device == x.device else constant.to(x.device)

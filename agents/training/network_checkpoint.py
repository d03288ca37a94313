"""Checkpoints of networks and optimizers without a pickle: nested dictionaries of tensors and numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from .tensor_file import read_tensors, write_tensors

_CONTENT, _TENSOR = "checkpoint", "tensor"


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes the file whole or not at all.

    Args:
        path: of the file, safetensors.
        content: dictionaries and lists of tensors and of what JSON has, such as `state_dict`s. Keys are strings
            that are no numbers, or integers from 0 on, as an optimizer's state has them; tuples become lists.
    """
    tensors: dict[str, Tensor] = {}
    write_tensors(path, {_CONTENT: _without_tensors(content, "", tensors)}, tensors)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote, tensors on the CPU; ValueError, in one line, as `read_tensors`, or KeyError."""
    settings, tensors = read_tensors(path)
    return _with_tensors(settings[_CONTENT], tensors)


def _without_tensors(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[place] = value
        return {_TENSOR: place}
    if isinstance(value, Mapping):
        if wrong := [key for key in value if isinstance(key, str) and (key.isdigit() or key == _TENSOR)]:
            raise ValueError(f"{place}: a checkpoint cannot hold the key {wrong[0]!r}")
        return {str(key): _without_tensors(one, f"{place}/{key}".lstrip("/"), tensors) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(one, f"{place}/{i}", tensors) for i, one in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_TENSOR}:
            return tensors[value[_TENSOR]]
        return {int(key) if key.isdigit() else key: _with_tensors(one, tensors) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_tensors(one, tensors) for one in value]
    return value

"""Files of tensors and settings that hold nothing else: safetensors, with a JSON object in the metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor

from .whole_file import written_beside

SUFFIX = ".safetensors"
_KEY = "gradgym"


class TensorFile(NamedTuple):
    """The content of a file."""

    settings: dict[str, Any]  # as JSON has them
    tensors: dict[str, Tensor]  # on the CPU


def write_tensors(path: Path, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes the file whole or not at all; ValueError if a setting is nothing that JSON has."""
    try:
        text = json.dumps(settings)
    except TypeError as error:
        raise ValueError(f"{path}: holds settings as JSON has them: {error}") from None
    # The format has no tensors that share memory.
    content = safetensors.torch.save(
        {k: x.detach().cpu().contiguous().clone() for k, x in tensors.items()}, {_KEY: text}
    )
    with written_beside(path) as file:
        file.write_bytes(content)


def read_tensors(path: Path) -> TensorFile:
    """ValueError, in one line: there is no such file, it is damaged, or none of gradgym's."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
        raise ValueError(f"{path}: damaged, or no safetensors file ({first_line(error)})") from None
    if text is None:
        raise ValueError(f"{path}: a safetensors file, but none of gradgym's: {_KEY!r} is missing in its metadata")
    try:
        settings: Any = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: damaged, {_KEY!r} in its metadata is no JSON ({error})") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: damaged, {_KEY!r} in its metadata is no JSON object")
    return TensorFile(settings, tensors)


def first_line(error: Exception) -> str:
    """Of its message."""
    return (str(error).strip().splitlines() or [""])[0]

"""Gymnasium's spaces as JSON has them, and back."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


def to_settings(space: spaces.Space[Any]) -> dict[str, Any]:
    """A space in numbers, strings, lists and dictionaries; ValueError for a kind that Stable-Baselines3 has no use for.

    Of a box `low` and `high` are one number where all entries are equal, else nested lists; null is no bound.
    """
    match space:
        case spaces.Box():
            bounds = {"low": _bounds(space.low), "high": _bounds(space.high)}
            return {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
        case spaces.Discrete():
            return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
        case spaces.MultiDiscrete():
            return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
        case spaces.MultiBinary():
            return {"type": "MultiBinary", "n": np.array(space.n).tolist()}
        case spaces.Dict():
            return {"type": "Dict", "spaces": {name: to_settings(one) for name, one in space.spaces.items()}}
        case _:
            raise ValueError(f"{space}: cannot be written to a policy file; Box, Discrete, MultiDiscrete, ... can")


def from_settings(settings: dict[str, Any]) -> spaces.Space[Any]:
    """The space that `to_settings` wrote. What is no such settings raises KeyError, TypeError or ValueError."""
    match settings["type"]:
        case "Box":
            shape, dtype = tuple(settings["shape"]), np.dtype(settings["dtype"])
            low, high = (
                _filled(settings[name], shape, dtype, inf) for name, inf in (("low", -np.inf), ("high", np.inf))
            )
            return spaces.Box(low, high, shape, dtype)  # pyright: ignore[reportArgumentType]
        case "Discrete":
            return spaces.Discrete(settings["n"], start=settings["start"])
        case "MultiDiscrete":
            return spaces.MultiDiscrete(settings["nvec"], start=settings["start"])
        case "MultiBinary":
            return spaces.MultiBinary(settings["n"])
        case "Dict":
            return spaces.Dict({name: from_settings(one) for name, one in settings["spaces"].items()})
        case other:
            raise ValueError(f"{other!r} is no kind of space")


def _bounds(values: NDArray[Any]) -> Any:
    if values.size and (values == values.flat[0]).all():
        values = values.flat[0]
    return _finite(np.asarray(values).tolist())


def _finite(values: Any) -> Any:
    if isinstance(values, list):
        return [_finite(one) for one in values]
    return values if np.isfinite(values) else None


def _filled(values: Any, shape: tuple[int, ...], dtype: np.dtype[Any], infinity: float) -> NDArray[Any]:
    if values is None:
        values = infinity
    numbers = np.array(values, dtype=None if dtype.kind in "iub" else np.float64)  # None becomes NaN
    if numbers.dtype.kind == "f":
        numbers = np.where(np.isnan(numbers), infinity, numbers)
    return np.broadcast_to(numbers, shape).astype(dtype)

"""Compilation of this package's loops over plain arrays."""

from collections.abc import Callable
from typing import Any

import numba
from numba.core import config

from .cache import cache_folder


def kernel(function: Callable[..., Any]) -> Any:
    """`function`, compiled at its first call and kept in the project's cache folder; it releases the GIL.

    A kernel may call those of its own file only: Numba would not see a change in another one.
    """
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(cache_folder("grasp_kernels"))
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        settings.CACHE_DIR = before

"""Compilation of this package's loops over plain arrays."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba

from ...sim.cache import cache_folder, keep


def kernel(function: Callable[..., Any]) -> Any:
    """`function`, compiled at its first call and kept in the project's cache folder; it releases the GIL.

    A kernel may call those of its own file only: Numba would not see a change in another one.
    """
    made = numba.njit(nogil=True, error_model="numpy")(function)
    with suppress(OSError):  # `Hand` and `convex_pieces` say what is wrong with the folder
        keep(made, str(cache_folder("grasp_kernels")))
    return made

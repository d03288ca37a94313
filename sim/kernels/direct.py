"""`run`: a kernel called from Python without Numba's look at its arguments.

The dispatcher finds the compiled version by the type of every argument, which for fifteen of them costs
5 µs a call. Kernels have one signature, so after the first call there is nothing to find; what unpacks the
arguments still refuses arrays of another number of axes.
"""

from typing import Any

_entries: dict[Any, Any] = {}  # by kernel: the function that unpacks arguments and calls the compiled code


def run(kernel: Any, *arguments: Any) -> None:
    """Calls a kernel that returns nothing. Arrays must have passed `for_kernel`: their layout is not looked at."""
    entry = _entries.get(kernel)
    if entry is not None:
        entry(*arguments)
        return
    kernel(*arguments)
    overloads = getattr(kernel, "overloads", None)  # None under NUMBA_DISABLE_JIT
    if overloads:
        (compiled,) = overloads.values()
        _entries[kernel] = compiled.entry_point

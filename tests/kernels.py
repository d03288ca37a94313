"""The kernels that a kernel runs, found as `kernels/binding.py` finds them."""

from typing import Any

from gradgym.sim.kernels.binding import callees


def all_kernels(function: Any) -> set[Any]:
    """All that `function` calls, directly or further down, itself included."""
    found, left = set(), [function]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += callees(one).values()
    return found

"""Units: kernels that are compiled by themselves and that their callers reach by a symbol.

Numba compiles all that a function calls once more with the function. Through six levels, from the
loops over worlds down to a stage of a step, and in each of the five functions that Python calls, that
was most of what a model cost to compile. A unit is compiled once and its address given to LLVM under a
name: its callers contain a call and nothing of it. A call costs nanoseconds, a stage microseconds.

Machine code that was kept by another process knows the name alone, so what calls units has them loaded
before itself.
"""

from collections.abc import Callable, Iterable
from functools import cache
from inspect import Parameter, Signature
from typing import Any, TypeVar, cast

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

from .cache import before_loading
from .jit import compiled
from .record import numba_type_of

F = TypeVar("F", bound=Callable[..., None])

UNITS: set[Any] = set()
SYMBOLS: dict[Any, Any] = {}  # what callers of a unit call in its place, and the unit


def unit(function: F) -> F:
    """A kernel of structs and numbers that returns nothing, compiled by itself."""
    made = compiled(function, "never")
    UNITS.add(made)
    return made


@cache
def by_symbol(bound: Any) -> Any:
    """What callers of a unit, bound for a model, call in its place."""
    if not isinstance(bound, Dispatcher):  # NUMBA_DISABLE_JIT
        return bound
    made: Any = _call(bound)
    SYMBOLS[made] = bound
    return made


def _arguments(bound: Any) -> tuple[types.Type, ...]:
    """Numba's types of a unit's arguments, from their annotations."""
    named = bound.py_func.__annotations__
    return tuple(numba_type_of(kind) for name, kind in named.items() if name != "return")


def _symbol(bound: Any) -> str:
    return f"{bound.py_func.__module__}.{bound.py_func.__qualname__}"


def calls(function: Any, units: Iterable[Any]) -> None:
    """Note the bound units that a function calls, itself or in what it contains."""
    needed = tuple(units)

    def prepare() -> None:
        for one in needed:
            _load(one)

    before_loading(function, prepare)


@cache
def _load(bound: Any) -> None:
    """Compile a bound unit, or load what was kept of it, and give LLVM its address."""
    if isinstance(bound, Dispatcher):
        dispatcher: Any = bound
        dispatcher.compile(_arguments(bound))
        (made,) = dispatcher.overloads.values()
        llvm.add_symbol(_symbol(bound), made.library.get_pointer_to_function(made.fndesc.llvm_func_name))


def _call(bound: Any) -> Any:
    """A function, for kernels alone, that calls a unit by its symbol, in Numba's own convention."""
    expected, symbol = _arguments(bound), _symbol(bound)

    def typed(context: Any, *arguments: Any) -> Any:  # noqa: ARG001 (Numba's interface)
        _load(bound)
        return types.none(*expected), lower

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 (the same)
        convention = context.call_conv
        kind = convention.get_function_type(types.none, expected)
        known = builder.module.globals.get(symbol)
        function = ir.Function(builder.module, kind, symbol) if known is None else known
        convention.call_function(builder, function, types.none, expected, arguments)
        return context.get_dummy_value()

    places = [Parameter(f"a{i}", Parameter.POSITIONAL_ONLY) for i in range(len(expected) + 1)]
    cast(Any, typed).__signature__ = Signature(places)  # Numba counts the arguments
    return intrinsic(cast(Any, typed))

"""Binding: one source for all models, in which a model's parts replace the kernels that they are about.

A part is a table from kernels to what runs in their place: an integrator fills `step`, a solver
`solve_constraints`, a model without boxes puts nothing in the place of their collisions. So a
model compiles what it uses and nothing else, and who reads a step need not know how it was bound.
"""

import dis
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple, TypeVar, cast

from numba.core.dispatcher import Dispatcher

from .apart import SYMBOLS, UNITS, by_symbol, calls
from .jit import KERNELS, compiled, kernel

F = TypeVar("F")

LONGEST_NAME = 160  # Numba names files after kernels, and adds some; file systems take 255 bytes
_HOOKS: set[Any] = set()
_INSTANCES: dict[str, tuple[dict[str, Any], Any]] = {}  # by name: what was replaced in it, and the kernel


class _Bound(NamedTuple):
    """A kernel as its callers are to call it, the parts that it needs, and the units that are called in it."""

    kernel: Any
    parts: frozenset[str]
    units: frozenset[Any]


@dataclass(frozen=True, eq=False)
class Part:
    """Kernels and what replaces them; parts of one name have one table."""

    name: str
    table: Mapping[Any, Any]


def hook(function: F) -> F:
    """A kernel without code of its own, which a part must replace; its docstring says what by."""
    made: Any = kernel(cast(Any, function))
    _HOOKS.add(made)
    return made


def specialise(function: F, parts: Sequence[Part], apart: bool = True) -> F:
    """`function` with kernels that it calls, directly or further down, replaced as `parts` say.

    What replaces a kernel is specialised too; where parts differ the last one counts. Callers on the
    way become instances, named after the parts that they need and shared by all who need the same;
    what calls no replaced kernel is shared as it is. RuntimeError where a hook is left empty.
    Without `apart` units are compiled as part of their callers: a symbol of the CPU's code means nothing
    elsewhere, and takes the arguments of one layout.
    """
    replacements = {key: (part.name, value) for part in parts for key, value in part.table.items()}
    done: dict[Any, _Bound] = {}

    def visit(called: Any) -> _Bound:
        if called not in done:
            name, chosen = replacements.get(called, ("", called))
            if chosen in _HOOKS:
                raise RuntimeError(f"no part replaces {source_of(chosen).__name__}")
            inside = {callee_name: visit(callee) for callee_name, callee in callees(chosen).items()}
            needed = frozenset[str]().union(*(bound.parts for bound in inside.values()))
            units = frozenset[Any]().union(*(bound.units for bound in inside.values()))
            made = chosen
            if needed or units:
                tag = "_".join(part.name for part in parts if part.name in needed) or "apart"
                tag = tag if apart else f"{tag}_whole"
                bindings = {key: bound.kernel for key, bound in inside.items() if bound.parts or bound.units}
                made = _instance(chosen, tag, bindings, units)
            if apart and chosen in UNITS:
                made, units = by_symbol(made), frozenset([made])
            done[called] = _Bound(made, needed | {name} - {""}, units)
        return done[called]

    visit(function)
    bound = done[function].kernel
    return SYMBOLS.get(bound, bound)


def callees(function: Any) -> dict[str, Any]:
    """The kernels that `function` names, under these names."""
    source = source_of(function)
    named = {i.argval for i in dis.get_instructions(source) if i.opname == "LOAD_GLOBAL"}
    found = {name: source.__globals__.get(name) for name in sorted(named)}
    found = {name: SYMBOLS.get(value, value) if callable(value) else value for name, value in found.items()}
    return {name: value for name, value in found.items() if is_kernel(value)}


def is_kernel(value: Any) -> bool:
    """Whether `value` was made by `jit.py`."""
    return isinstance(value, FunctionType | Dispatcher) and value in KERNELS


def source_of(function: Any) -> FunctionType:
    """The Python function of a kernel: itself under NUMBA_DISABLE_JIT."""
    return getattr(function, "py_func", function)


def _instance(function: Any, tag: str, bindings: dict[str, Any], units: frozenset[Any]) -> Any:
    """The kernel with other functions under some of the names that it calls."""
    source = source_of(function)
    name = f"{source.__name__}_{tag}"
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 17]}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    # Numba's cache knows an instance by its file and name
    key = f"{source.__module__}.{name}"
    if key not in _INSTANCES:
        copied = FunctionType(source.__code__, {**source.__globals__, **bindings}, name)
        copied.__module__, copied.__qualname__ = source.__module__, name
        copied.__annotations__ = source.__annotations__
        made = compiled(cast(Any, copied), getattr(function, "targetoptions", {}).get("inline", "never"))
        calls(made, units)
        _INSTANCES[key] = bindings, made
    known, made = _INSTANCES[key]
    if known != bindings:
        raise RuntimeError(f"two parts with one name lead to {key}")
    return made

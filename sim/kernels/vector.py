"""`Vec8`: eight numbers that kernels add and multiply as one, in a vector register.

Numba leaves it to LLVM to find such numbers, and it finds them in loops that are longer than most here. The
functions of `rotation.py` and `spatial.py` take them for numbers. With NUMBA_DISABLE_JIT=1 they are numpy arrays.
"""

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing import templates
from numba.core.typing.templates import ConcreteTemplate, signature
from numba.extending import intrinsic, lower_builtin, models, register_model
from numba.np.arrayobj import make_array

from .record import DISABLE_JIT

AT_ONCE = 8
_typed: Any = templates.infer_global
_VECTOR = ir.VectorType(ir.DoubleType(), AT_ONCE)
Vec8 = Any


def round_up(count: int) -> int:
    """The least multiple of `AT_ONCE` that is not below `count`."""
    return -(-count // AT_ONCE) * AT_ONCE


class _Vec8Type(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Vec8")


_vec8 = _Vec8Type()


@register_model(_Vec8Type)
class _Vec8Model(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: _Vec8Type) -> None:
        super().__init__(dmm, fe_type, _VECTOR)


@_typed(operator.add)
@_typed(operator.sub)
@_typed(operator.iadd)
@_typed(operator.isub)
class _Sum(ConcreteTemplate):
    cases = [signature(_vec8, _vec8, _vec8)]  # noqa: RUF012 (Numba's)


@_typed(operator.mul)
class _Product(ConcreteTemplate):
    cases = [  # noqa: RUF012 (Numba's)
        signature(_vec8, _vec8, _vec8),
        signature(_vec8, types.float64, _vec8),
        signature(_vec8, _vec8, types.float64),
    ]


@_typed(operator.neg)
class _Negative(ConcreteTemplate):
    cases = [signature(_vec8, _vec8)]  # noqa: RUF012 (Numba's)


def _all(builder: Any, x: Any) -> Any:
    """A number as a vector; a vector as it is."""
    if x.type == _VECTOR:
        return x
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), x, ir.IntType(32)(0))
    same = ir.Constant(ir.VectorType(ir.IntType(32), AT_ONCE), [0] * AT_ONCE)
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), same)


@lower_builtin(operator.add, _Vec8Type, _Vec8Type)
@lower_builtin(operator.iadd, _Vec8Type, _Vec8Type)
def _add(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    return builder.fadd(*arguments)


@lower_builtin(operator.sub, _Vec8Type, _Vec8Type)
@lower_builtin(operator.isub, _Vec8Type, _Vec8Type)
def _sub(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    return builder.fsub(*arguments)


@lower_builtin(operator.mul, _Vec8Type, _Vec8Type)
@lower_builtin(operator.mul, types.Float, _Vec8Type)
@lower_builtin(operator.mul, _Vec8Type, types.Float)
def _mul(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    return builder.fmul(*(_all(builder, x) for x in arguments))


@lower_builtin(operator.neg, _Vec8Type)
def _neg(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    return builder.fneg(arguments[0])


def _places(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Addresses of the numbers at arguments [array, row, first column]: of the first alone where they are in a row."""
    kind: Any = signature.args[0]
    array = make_array(kind)(context, builder, arguments[0])
    row, first = (
        context.cast(builder, x, t, types.intp) for x, t in zip(arguments[1:3], signature.args[1:3], strict=True)
    )
    columns = [first] if kind.layout == "C" else [builder.add(first, first.type(j)) for j in range(AT_ONCE)]
    return [
        cgutils.get_item_pointer(context, builder, kind, array, [row, column], wraparound=False) for column in columns
    ]


@intrinsic
def _load8(_: Any, x: Any, i: Any, k: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = _places(context, builder, signature, arguments)
        if len(places) == 1:
            return builder.load(builder.bitcast(places[0], _VECTOR.as_pointer()), align=8)
        found = ir.Constant(_VECTOR, ir.Undefined)
        for j, place in enumerate(places):  # worlds are interleaved (`layout.py`)
            found = builder.insert_element(found, builder.load(place), ir.IntType(32)(j))
        return found

    return _vec8(x, i, k), code


@intrinsic
def _store8(_: Any, out: Any, i: Any, k: Any, value: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = _places(context, builder, signature, arguments)
        if len(places) == 1:
            builder.store(arguments[3], builder.bitcast(places[0], _VECTOR.as_pointer()), align=8)
        else:
            for j, place in enumerate(places):
                builder.store(builder.extract_element(arguments[3], ir.IntType(32)(j)), place)
        return context.get_dummy_value()

    return types.none(out, i, k, value), code


@intrinsic
def _all8(_: Any, x: Any) -> Any:  # noqa: ARG001 (Numba's form)
    return _vec8(types.float64), lambda context, builder, signature, arguments: _all(builder, arguments[0])


def _load8_python(x: Any, i: int, k: int) -> Vec8:
    return x[i, k : k + AT_ONCE].copy()


def _store8_python(out: Any, i: int, k: int, value: Vec8) -> None:
    out[i, k : k + AT_ONCE] = value


def _all8_python(x: float) -> Vec8:
    return np.full(AT_ONCE, x)


# In kernels: x[i, k : k + 8]; the same set to a value; eight times a number.
load8: Any = _load8_python if DISABLE_JIT else _load8
store8: Any = _store8_python if DISABLE_JIT else _store8
all8: Any = _all8_python if DISABLE_JIT else _all8

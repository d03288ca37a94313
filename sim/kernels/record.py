"""`Struct`: a record of arrays that kernels take by address.

A NamedTuple of 60 arrays costs about 15 µs to unpack at each call from Python, and is copied
onto the stack at each call between kernels. A `Struct` crosses both borders as one 64-bit
address of a table (data pointer and shape of every field), so that a call costs under 1 µs
whatever the number of fields, and kernels still read `m.body_pos[b, i]`. The table never
changes after construction, which the generated loads say to the compiler (`invariant.load`).

Extents that a declaration gives as numbers are known when kernels are compiled.

With NUMBA_DISABLE_JIT=1 kernels receive the Python object itself: same attributes, same code.
"""

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    models,
    overload,
    register_model,
    unbox,
)
from numba.np.arrayobj import make_array, populate_array
from numpy.typing import NDArray

if TYPE_CHECKING:
    # numpy's stubs take a[i, j] for an array; in kernels it is a number
    Floats = Any
    Ints = Any
else:
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int32]

Kept = TypeVar("Kept")
_settings: Any = config
DISABLE_JIT = bool(_settings.DISABLE_JIT)


_SCALARS: dict[type, types.Type] = {np.float64: types.float64, np.int32: types.int32, np.int64: types.int64}


class Field(NamedTuple):
    """Declared shape (symbols or numbers) and scalar type of a field."""

    shape: tuple[str | int, ...]
    dtype: type


def floats(*shape: str | int) -> Any:
    """Declare a float64 array field; symbols name sizes, e.g. `floats("nbody", 3)`."""
    return Field(shape, np.float64)


def ints(*shape: str | int) -> Any:
    """Declare an int32 array field."""
    return Field(shape, np.int32)


def addresses(*shape: str | int) -> Any:
    """Declare an int64 array field: what `struct_at` takes."""
    return Field(shape, np.int64)


def integer() -> Any:
    """Declare an integer scalar."""
    return Field((), int)


def real() -> Any:
    """Declare a real scalar."""
    return Field((), float)


class AddressType(types.Type):
    """Base of Numba's views of structs, which are addresses to kernels; `fields` tells what there is."""

    fields: Mapping[str, types.Type]


class StructType(AddressType):
    """Numba's view of a `Struct` subclass: an address plus the static list of fields."""

    def __init__(self, name: str, fields: Mapping[str, Field]) -> None:
        self.fields = {key: numba_type(field, "C") for key, field in fields.items()}
        self.slots = _slots(fields)
        self.extents = {key: field.shape for key, field in fields.items()}
        self.words = sum(1 + len(field.shape) for field in fields.values())  # of the table
        super().__init__(name=f"Struct({name})")


def _slots(fields: Mapping[str, Field]) -> dict[str, int]:
    """Where each field's words begin in the table: a scalar's value, or an array's address and extents."""
    sizes = [1 + len(field.shape) for field in fields.values()]
    return dict(zip(fields, itertools.accumulate(sizes, initial=0), strict=False))


def numba_type(field: Field, layout: str) -> types.Type:
    """What kernels see in a field; `layout` of arrays is "C", or "A" where their entries lie apart."""
    if field.dtype is int:
        return types.int64
    if field.dtype is float:
        return types.float64
    return types.Array(_SCALARS[field.dtype], len(field.shape), layout)


def type_of(struct: "type[Struct]") -> StructType:
    """What kernels see in a struct."""
    return struct._numba_type_  # pyright: ignore[reportPrivateUsage] (Numba's name for it)


class Struct:
    """Base class; a subclass declares its fields as annotated class attributes.

    `fields` maps each name to its declaration, `address` is what kernels receive.
    """

    fields: ClassVar[dict[str, Field]]
    _numba_type_: ClassVar[StructType]
    _table: NDArray[np.int64]
    address: int

    def __init_subclass__(cls) -> None:
        declared = {k: v for k, v in vars(cls).items() if isinstance(v, Field)}
        cls.fields = {**getattr(cls, "fields", {}), **declared}
        cls._numba_type_ = StructType(cls.__name__, cls.fields)

    def __init__(self, **values: Any) -> None:
        table = np.zeros(self._numba_type_.words, np.int64)
        vars(self).update(_table=table, address=table.ctypes.data)
        for name in self.fields:
            self._put(name, values.pop(name))
        if values:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(values)}")

    def _put(self, name: str, value: Any) -> None:
        """Set a field, before any kernel has seen the address."""
        field, at = self.fields[name], self._numba_type_.slots[name]
        if field.dtype is int:
            self._table[at] = value
        elif field.dtype is float:
            self._table[at : at + 1].view(np.float64)[0] = value
        else:
            value = np.ascontiguousarray(value, dtype=field.dtype)
            if value.ndim != len(field.shape):
                raise TypeError(f"{type(self).__name__}.{name}: {value.ndim} axes, declared {field.shape}")
            known = self._numba_type_.extents[name]
            if any(isinstance(s, int) and s != n for s, n in zip(known, value.shape, strict=True)):
                raise ValueError(f"{type(self).__name__}.{name}: shape {value.shape}, declared {known}")
            self._table[at] = value.ctypes.data
            self._table[at + 1 : at + 1 + value.ndim] = value.shape
        vars(self)[name] = value

    def with_fields(self, values: Mapping[str, Any]) -> Any:
        """A copy with some fields changed, which shares the others; what was kept with this one is left behind."""
        other, table = object.__new__(type(self)), self._table.copy()
        vars(other).update({name: value for name, value in vars(self).items() if name != "_kept"})
        vars(other).update(_table=table, address=table.ctypes.data)
        for name, value in values.items():
            other._put(name, value)
        return other

    @classmethod
    def allocate(cls, sizes: Mapping[str, int]) -> Any:
        """A new instance with zeroed arrays of the declared shapes."""
        values = {}
        for name, field in cls.fields.items():
            shape = tuple(sizes[s] if isinstance(s, str) else s for s in field.shape)
            values[name] = np.zeros(shape, field.dtype)
        return cls(**values)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Fields by name, not copied."""
        return {name: getattr(self, name) for name in self.fields}


def kept_with(owner: Struct, key: Hashable, make: Callable[[], Kept]) -> Kept:
    """What is derived from `owner`: made at the first call, kept with it, and neither pickled nor copied."""
    try:
        return owner.__dict__["_kept"][key]
    except KeyError:
        kept: dict[Hashable, Any] = owner.__dict__.setdefault("_kept", {})
        return kept.setdefault(key, make())  # of two threads at once the first one's stays


def numba_type_of(annotation: Any) -> types.Type:
    """Numba's type of a kernel's argument: of a struct or a number."""
    numbers: dict[Any, types.Type] = {float: types.float64, int: types.int64, bool: types.boolean}
    return numbers.get(annotation) or annotation._numba_type_


def _rebuild(cls: type[Struct], values: dict[str, Any]) -> Struct:
    """Unpickle: addresses belong to one process, so the table is made anew."""
    return cls(**values)


@register_model(StructType)
class _StructModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: StructType) -> None:
        super().__init__(dmm, fe_type, ir.IntType(64))


@infer_getattr
class _StructAttribute(AttributeTemplate):
    key = StructType

    def generic_resolve(self, typ: StructType, attr: str) -> types.Type | None:
        return typ.fields.get(attr)


@lower_getattr_generic(StructType)
def _lower_attribute(context: Any, builder: Any, typ: StructType, value: Any, attr: str) -> Any:
    word_type = ir.IntType(64)
    table = builder.inttoptr(value, word_type.as_pointer())
    invariant = builder.module.add_metadata([])

    def word(offset: int) -> Any:
        slot = builder.gep(table, [word_type(typ.slots[attr] + offset)])
        load = builder.load(slot)
        load.set_metadata("invariant.load", invariant)
        return load

    kind = typ.fields[attr]
    if kind == types.int64:
        return word(0)
    if kind == types.float64:
        return builder.bitcast(word(0), ir.DoubleType())
    array_type: Any = kind
    element = context.get_data_type(array_type.dtype)
    itemsize = context.get_abi_sizeof(element)
    extents = typ.extents[attr]
    shape = [word_type(s) if isinstance(s, int) else word(1 + axis) for axis, s in enumerate(extents)]
    strides, stride = [], word_type(itemsize)
    for extent in reversed(shape):
        strides.insert(0, stride)
        stride = builder.mul(stride, extent)
    array = make_array(array_type)(context, builder)
    populate_array(
        array,
        data=builder.inttoptr(word(0), element.as_pointer()),
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=itemsize,
        meminfo=None,  # the Python object owns the memory: no reference counting in kernels
    )
    return array._getvalue()  # noqa: SLF001 (Numba's way to hand a made array on)


@unbox(StructType)
def _unbox_struct(_: StructType, obj: Any, c: Any) -> NativeValue:
    address = c.pyapi.object_getattr_string(obj, "address")
    value = c.pyapi.long_as_longlong(address)
    c.pyapi.decref(address)
    return NativeValue(value)


def addresses_of(structs: Sequence[Struct]) -> Any:
    """Structs of one type as `struct_at` takes them: their addresses, int64."""
    return np.array(structs, object) if DISABLE_JIT else np.array([s.address for s in structs], np.int64)


def struct_at(one: Any, addresses: Any, index: int) -> Any:
    """In kernels: the struct at a place of `addresses`, or `one` where they are empty."""
    return addresses[index] if len(addresses) else one


@intrinsic
def _struct_of(_: Any, one: AddressType, address: types.Type) -> Any:
    """The struct of the type of `one` at an address: in kernels a struct is its address."""
    return one(one, address), lambda context, builder, signature, arguments: arguments[1]


@overload(struct_at)
def _struct_at(one: Any, addresses: Any, index: Any) -> Any:  # noqa: ARG001 (Numba matches names)
    if not isinstance(one, AddressType):
        return None

    as_struct: Any = _struct_of  # its first argument is Numba's own

    def at(one: Any, addresses: Any, index: Any) -> Any:
        return as_struct(one, addresses[index]) if len(addresses) > 0 else one

    return at

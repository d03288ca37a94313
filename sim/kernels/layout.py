"""`Layout`: the fields of a struct in one block of memory, for many worlds at once.

On a CPU each thread has one workspace whose arrays lie where the allocator put them (`record.py`). A
GPU's threads have a world each and read the same field of it at the same time, which is one access to
memory where the worlds' entries are neighbours: so worlds are interleaved, in tiles of as many as a warp
has threads. Entry i of a field of world w is in tile w // worlds, at offset * worlds + (i * worlds +
w % worlds) * itemsize. Places and extents are known when kernels are compiled, which costs no loads and
few integer operations; integers that are named as constants are compiled in too.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model
from numba.np.arrayobj import make_array, populate_array

from .record import AddressType, Field, Struct, StructType, numba_type

WARP = 32  # threads of a warp, and worlds of a tile
_WORD = 8  # bytes that everything begins at a multiple of
_ADDRESS = ir.IntType(64)


class Place(NamedTuple):
    """Where a field lies."""

    field: Field
    shape: tuple[int, ...]
    offset: int  # bytes of one world's fields before it


class Layout:
    """Where the fields of a `Struct` lie in blocks of `worlds` worlds each.

    `constants` are scalar fields whose values are compiled in; with more than one world they must be all.
    """

    def __init__(
        self, struct: type[Struct], sizes: Mapping[str, int], worlds: int, constants: Mapping[str, int]
    ) -> None:
        self.worlds, self.constants = worlds, dict(constants)
        places, offset = {}, 0
        for name, field in sorted(struct.fields.items(), key=lambda item: _itemsize(item[1]), reverse=True):
            if name in self.constants:
                continue
            if worlds > 1 and field.dtype in (int, float):
                raise ValueError(f"{struct.__name__}.{name}: a scalar of interleaved worlds must be a constant")
            shape = tuple(sizes[s] if isinstance(s, str) else s for s in field.shape)
            places[name] = Place(field, shape, offset)
            offset += int(np.prod(shape)) * _itemsize(field)
        self.places: dict[str, Place] = places
        self.nbytes = -(-offset // _WORD) * _WORD  # of one world
        described = repr((worlds, sorted(self.constants.items()), list(places.items())))
        self.digest = hashlib.sha256(described.encode()).hexdigest()[:16]
        self.name, self.fields = f"{struct.__name__}, {self.digest}", struct.fields

    @property
    def numba_type(self) -> "LaidOutType":
        """What kernels see in a struct that has this layout; equal for equal layouts."""
        return LaidOutType(self.name, self.fields, self)

    def block(self, values: Struct) -> np.ndarray:
        """The fields of one struct as bytes (nbytes,), for layouts of one world."""
        found = np.zeros(self.nbytes, np.uint8)
        for name, place in self.places.items():
            dtype = np.dtype(np.int64 if place.field.dtype is int else place.field.dtype)
            entries = np.asarray(getattr(values, name), dtype).reshape(-1)
            if entries.size != int(np.prod(place.shape)):
                raise ValueError(f"{name} has {entries.size} entries, the layout {place.shape}")
            found[place.offset : place.offset + entries.nbytes] = entries.view(np.uint8)
        return found

    def view(self, words: Any, name: str) -> Any:
        """A float field of all worlds (worlds, *shape), from the blocks as float64: numpy's array or a tensor."""
        place, count = self.places[name], int(np.prod(self.places[name].shape))
        tiles = words.reshape(-1, self.nbytes // _WORD * self.worlds)
        first = place.offset // _WORD * self.worlds
        entries = tiles[:, first : first + count * self.worlds].reshape(len(tiles), count, self.worlds)
        return entries.swapaxes(1, 2).reshape(len(tiles) * self.worlds, *place.shape)

    def blocks(self, count: int) -> int:
        """Bytes of the blocks of `count` worlds."""
        return -(-count // self.worlds) * self.worlds * self.nbytes


def _itemsize(field: Field) -> int:
    return _WORD if field.dtype in (int, float) else np.dtype(field.dtype).itemsize


class LaidOutType(AddressType):
    """Numba's view of a struct that has a layout: the address of its world's first word."""

    def __init__(self, name: str, fields: Mapping[str, Field], layout: Layout) -> None:
        order = "C" if layout.worlds == 1 else "A"
        self.fields = {key: numba_type(field, order) for key, field in fields.items()}
        self.layout = layout
        super().__init__(name=f"LaidOut({name})")


@register_model(LaidOutType)
class _LaidOutModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: LaidOutType) -> None:
        super().__init__(dmm, fe_type, _ADDRESS)


@infer_getattr
class _LaidOutAttribute(AttributeTemplate):
    key = LaidOutType

    def generic_resolve(self, typ: LaidOutType, attr: str) -> types.Type | None:
        return typ.fields.get(attr)


@lower_getattr_generic(LaidOutType)
def _lower_attribute(context: Any, builder: Any, typ: LaidOutType, value: Any, attr: str) -> Any:
    layout, kind = typ.layout, typ.fields[attr]
    if attr in layout.constants:
        return ir.Constant(context.get_value_type(kind), layout.constants[attr])
    place = layout.places[attr]
    start = builder.add(value, _ADDRESS(place.offset * layout.worlds))
    if not isinstance(kind, types.Array):
        return builder.load(_global_pointer(builder, start, context.get_value_type(kind)))
    element = context.get_data_type(kind.dtype)
    itemsize = context.get_abi_sizeof(element)
    if layout.worlds > 1 and itemsize == _WORD // 2:
        # The address has a word for each world before it in the tile, where such entries take half of one
        words = builder.and_(value, _ADDRESS(layout.worlds * _WORD - 1))
        start = builder.sub(start, builder.lshr(words, _ADDRESS(1)))
    strides, stride = [], itemsize * layout.worlds
    for extent in reversed(place.shape):
        strides.insert(0, stride)
        stride *= extent
    array = make_array(kind)(context, builder)
    populate_array(
        array,
        data=_global_pointer(builder, start, element),
        shape=cgutils.pack_array(builder, [_ADDRESS(n) for n in place.shape], _ADDRESS),
        strides=cgutils.pack_array(builder, [_ADDRESS(n) for n in strides], _ADDRESS),
        itemsize=_ADDRESS(itemsize),
        meminfo=None,
    )
    return array._getvalue()  # noqa: SLF001 (as in `record.py`)


def _global_pointer(builder: Any, address: Any, element: Any) -> Any:
    """The address as a pointer that comes from global memory (address space 1), where a GPU has quicker loads."""
    return builder.addrspacecast(builder.inttoptr(address, ir.PointerType(element, 1)), ir.PointerType(element))


@intrinsic
def world_of(_: Any, one: AddressType, index: types.Type) -> Any:  # noqa: ARG001 (Numba matches names)
    """In kernels: the struct of world `index`, from the first world's; of plain ones the tables are neighbours."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 (Numba's arguments)
        address, number = arguments
        if isinstance(one, StructType):
            return builder.add(address, builder.mul(number, _ADDRESS(_WORD * one.words)))
        assert isinstance(one, LaidOutType)
        layout = one.layout
        tile = builder.sdiv(number, _ADDRESS(layout.worlds))
        place = builder.srem(number, _ADDRESS(layout.worlds))
        address = builder.add(address, builder.mul(tile, _ADDRESS(layout.worlds * layout.nbytes)))
        return builder.add(address, builder.mul(place, _ADDRESS(_WORD if layout.worlds > 1 else 0)))

    return one(one, types.int64), lower
